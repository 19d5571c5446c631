"""Convert a bound flow to a few kinds of stages, in an order in which they can run.

No function is called, and no data is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from taskinity_data.flow.binding.bind import raise_problems
from taskinity_data.flow.binding.match_arguments import Constant, Fill, Input, Source, Upstream
from taskinity_data.flow.binding.signatures import is_reducer
from taskinity_data.flow.binding.wiring import Wiring
from taskinity_data.flow.model import find_last
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskinity_data.flow.model import FlowGraph, FlowNode, Task

__all__ = [
    "Call",
    "ChainStep",
    "Constant",
    "FanOutStage",
    "Input",
    "Reduce",
    "Source",
    "Stage",
    "Upstream",
    "list_sources",
    "required_inputs",
    "resources_of",
    "stages",
    "with_defaults",
]


class ChainStep(NamedTuple):
    """One function of a fan-out's chain, which runs once a piece.

    Attributes
    ----------
    task : Task
        Its name, policy and function.
    kind : {"pandas", "arrow", "polars", "chunk"}
        As what the function wants a piece of a dataset, by its annotation. Says nothing where the
        piece is an item of a list or the result of the step before: that goes as it is.
    arguments : dict of str to Source
        What fills the parameters other than the first: the same for every piece.
    fallback : ChainStep or None
        What to run on the same piece instead, where the policy's `on_error` is a function or names
        a task; it has its own `kind` and `arguments`.
    """

    task: Task
    kind: str
    arguments: Mapping[str, Source]
    fallback: ChainStep | None = None


class Call(NamedTuple):
    """A task that runs once.

    `arguments` holds what fills its parameters; those in `positional` (in this order) are passed by
    position, as their names can't be used (``len``). `after` names the stages that must have ended.
    An `Upstream` that names a fan-out means the list of its results.
    """

    task: Task
    arguments: Mapping[str, Source]
    positional: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fallback: Call | None = None

    @property
    def name(self) -> str:
        """What `Upstream` calls this stage's result."""
        return self.task.name


class FanOutStage(NamedTuple):
    """Chunk-wise tasks in a row that run as one chain, once for each piece of `over`.

    Attributes
    ----------
    name : str
        What `Upstream` and `Reduce.over` call it: the last chunk-wise task's name; for numbered
        siblings the name without the number; for the rows themselves (no step) the name of the
        first reducer that takes them, followed by ``[*]``.
    chains : tuple of tuple of ChainStep
        One chain, for all pieces; or one for each of `members`. A chain may be empty: then the
        pieces themselves are reduced.
    over : Source
        What is cut into pieces: a dataset by the plan, a list by its items (`width` ``"*"``) or
        into `width` slices.
    width : "*" or int
    members : tuple of str
        The numbered siblings' names, in order, or nothing. What is neither dataset, path, frame,
        table nor list goes whole to each of them.
    after : tuple of str
        The stages that must have ended.
    policy : Policy
        What applies to a piece that goes through no step: that of the first reducer.
    """

    name: str
    chains: tuple[tuple[ChainStep, ...], ...]
    over: Source
    width: int | Literal["*"] = "*"
    members: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    policy: Policy = Policy()

    def chain(self, index: int) -> tuple[ChainStep, ...]:
        """Return the steps that piece number `index` goes through."""
        return self.chains[index if self.members else 0]

    @property
    def steps(self) -> tuple[ChainStep, ...]:
        """The steps of the first chain, as an example of all."""
        return self.chains[0]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in it, each once, in the flow's order."""
        tasks = {step.task.name: step.task for chain in self.chains for step in chain}
        return tuple(tasks.values())


class Reduce(NamedTuple):
    """A reducer that makes one value of the partials of the fan-out called `over`.

    A plain function that gets the list of results is a `Call`.
    """

    task: Task
    over: str
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What `Upstream` calls this stage's result."""
        return self.task.name


Stage = Call | FanOutStage | Reduce


def stages(flow: FlowGraph, inputs: Collection[str] = ()) -> tuple[Stage, ...]:
    """Return the stages of `flow` for a run with `inputs`, each after all that it needs.

    Parameters
    ----------
    flow : Flow
        Bound.
    inputs : names
        Which inputs the caller gives.

    Raises
    ------
    BindError
        The flow is not bound, an input is missing or not asked for, a parameter is not filled or
        filled by two things: all of it in one message.
    """
    return tuple(_Stager(flow, _wire_bound(flow, inputs)).build())


def with_defaults(flow: FlowGraph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs given, and the flow's own values for the others."""
    declared = [each for each in flow.inputs or () if not each.is_required]
    return {**{each.name: each.default for each in declared}, **inputs}


def required_inputs(flow: FlowGraph) -> tuple[str, ...]:
    """Return the inputs without which `flow` can't run, in the order of its tasks."""
    return tuple(_wire_bound(flow, None).required)


def _wire_bound(flow: FlowGraph, inputs: Collection[str] | None) -> Wiring:
    """Return what fills all parameters, or raise `BindError` with all that does not fit."""
    unbound = [task.name for task in flow.tasks if task.function is None]
    wiring = Wiring(flow, inputs)
    problems = [f"task {name} has no function: bind the flow first" for name in unbound]
    raise_problems(flow, problems + wiring.problems)
    return wiring


class _Stager:
    """Turns places and what fills them into stages, in the places' order."""

    def __init__(self, flow: FlowGraph, wiring: Wiring) -> None:
        self.last = find_last(flow)
        self.wiring = wiring
        self.users: dict[str, list[str]] = {node.name: [] for node in wiring.nodes}
        for node in wiring.nodes:
            for name in node.upstreams:
                self.users[name].append(node.name)
        self.nodes = {node.name: node for node in wiring.nodes}
        self.widths: dict[str, int | Literal["*"]] = {}
        self.rows: dict[Input | Upstream, str] = {}
        self.done: list[Stage] = []

    def build(self) -> list[Stage]:
        for node in self.wiring.nodes:
            if node.is_fan_out:
                self._add_fan_out(node)
            elif is_reducer(node.tasks[0].function):
                self._add_reducer(node)
            else:
                self._add_call(node)
        return self.done

    def _add_fan_out(self, node: FlowNode) -> None:
        chains = tuple((_to_step(task, self.wiring.fills[task.name]),) for task in node.tasks)
        over = self.wiring.fills[node.tasks[0].name].over
        if over is None or node.width is None:
            raise AssertionError(node)
        width = node.width
        members = tuple(task.name for task in node.tasks) if node.is_siblings else ()
        before = self.nodes.get(over.task) if isinstance(over, Upstream) else None
        if before is not None and before.is_fan_out and not node.is_siblings:
            before_width = self.widths[before.name]
            if width in ("*", before_width):
                # One task an item, whether or not both run as one chain.
                self.widths[node.name] = before_width
                if self._can_follow(before, node):
                    self._extend(before, node, chains[0][0])
                    return
                width = "*"
        self.widths.setdefault(node.name, width)
        after = tuple(node.upstreams)
        self.done.append(FanOutStage(node.name, chains, over, width, members, after))

    def _can_follow(self, before: FlowNode, node: FlowNode) -> bool:
        """Return whether only `node` needs the results of `before`, item by item."""
        small = self.wiring.fills[node.tasks[0].name].arguments.values()
        is_small = Upstream(before.name) in list(small)
        is_alone = self.users[before.name] == [node.name]
        return is_alone and not is_small and before.name != self.last

    def _extend(self, before: FlowNode, node: FlowNode, step: ChainStep) -> None:
        """Let the fan-out of `before` run `step` too, now that all that it needs has run."""
        fan_out = next(
            stage
            for stage in self.done
            if isinstance(stage, FanOutStage) and stage.name == before.name
        )
        self.done.remove(fan_out)
        more = [name for name in node.upstreams if name != before.name]
        self.done.append(
            fan_out._replace(
                name=node.name,
                chains=tuple((*chain, step) for chain in fan_out.chains),
                after=tuple(dict.fromkeys([*fan_out.after, *more])),
            )
        )

    def _add_reducer(self, node: FlowNode) -> None:
        task = node.tasks[0]
        over = self.wiring.fills[task.name].over
        if over is None:
            raise AssertionError(node)
        before = self.nodes.get(over.task) if isinstance(over, Upstream) else None
        if before is not None and before.is_fan_out:
            name = before.name
        elif isinstance(over, Constant):
            name = self._add_rows(node, over)
        else:
            if over not in self.rows:
                self.rows[over] = self._add_rows(node, over)
            name = self.rows[over]
        after = tuple(dict.fromkeys([name, *node.upstreams]))
        self.done.append(Reduce(task, name, after))

    def _add_rows(self, node: FlowNode, over: Source) -> str:
        """Add a fan-out without a step, so that the pieces themselves are reduced."""
        name = f"{node.name}[*]"  # the reducer's value has the name itself
        policy = node.tasks[0].policy
        self.done.append(FanOutStage(name, ((),), over, after=node.upstreams, policy=policy))
        return name

    def _add_call(self, node: FlowNode) -> None:
        task = node.tasks[0]
        self.done.append(_to_call(task, self.wiring.fills[task.name], node.upstreams))


def _to_call(task: Task, fill: Fill, after: tuple[str, ...]) -> Call:
    fallback = None if fill.fallback is None else _to_call(*fill.fallback, after)
    return Call(task, fill.arguments, fill.positional, after, fallback)


def _to_step(task: Task, fill: Fill) -> ChainStep:
    fallback = None if fill.fallback is None else _to_step(*fill.fallback)
    return ChainStep(task, fill.kind, fill.arguments, fallback)


def list_calls(stage: Stage) -> list[ChainStep | Call]:
    """Return the calls of functions that `stage` makes, and of their fallbacks."""
    if isinstance(stage, Reduce):
        return []
    calls: list[ChainStep | Call] = (
        [stage] if isinstance(stage, Call) else [step for chain in stage.chains for step in chain]
    )
    return [*calls, *(call.fallback for call in calls if call.fallback is not None)]


def list_sources(stage: Stage) -> list[Source]:
    """Return what fills the parameters of all that `stage` calls, but for chunks."""
    return [source for call in list_calls(stage) for source in call.arguments.values()]


def resources_of(stage: Stage) -> dict[str, float]:
    """Return what a worker must have that runs what `stage` calls."""
    resources: dict[str, float] = {}
    calls = [stage] if isinstance(stage, Reduce) else list_calls(stage)
    for call in calls:
        for name, amount in (call.task.policy.resources or {}).items():
            resources[name] = max(amount, resources.get(name, 0.0))
    return resources
