"""What a bound flow does, as a few kinds of steps in an order in which they can run.

Pure: it calls no function, reads no data, and knows nothing of Dask.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from taskinity_data.flow.binding.argument_sources import Constant, Input, Source, Upstream
from taskinity_data.flow.binding.bind import raise_problems
from taskinity_data.flow.binding.wiring import Fill, Wiring, wire
from taskinity_data.flow.fan_outs import find_last
from taskinity_data.flow.task_mark import is_reducer
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from taskinity_data.flow.fan_outs import FlowNode
    from taskinity_data.flow.model import FlowGraph, Task

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
    "required_inputs",
    "stages",
]


@dataclass(frozen=True, slots=True)
class ChainStep:
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
    kind: str = "pandas"
    arguments: Mapping[str, Source] = field(default_factory=dict)
    fallback: ChainStep | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A task that runs once.

    `arguments` holds what fills its parameters; those in `positional` (in this order) are passed
    by position, as their names can't be used (``len``). `after` names the stages that must have
    ended. An `Upstream` that names a fan-out stands for the list of its results.
    """

    task: Task
    arguments: Mapping[str, Source] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fallback: Call | None = None

    @property
    def name(self) -> str:
        """What `Upstream` calls this stage's result."""
        return self.task.name


@dataclass(frozen=True, slots=True)
class FanOutStage:
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
    policy: Policy = field(default_factory=Policy)

    def chain(self, index: int) -> tuple[ChainStep, ...]:
        """The steps that piece number `index` goes through."""
        return self.chains[index if self.members else 0]

    @property
    def steps(self) -> tuple[ChainStep, ...]:
        """The steps of the first chain, which stand for all."""
        return self.chains[0]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in it, each once, in the flow's order."""
        tasks = {step.task.name: step.task for chain in self.chains for step in chain}
        return tuple(tasks.values())


@dataclass(frozen=True, slots=True)
class Reduce:
    """A task that makes one value of all results of the fan-out called `over`.

    Its function is a reducer (`is_reducer`), which takes partials; or a plain function that gets
    the list: then the list's parameter is among `arguments` (as ``Upstream(over)``) and it is
    called as a `Call` is. A plain function of several fan-outs is a `Call`.
    """

    task: Task
    over: str
    arguments: Mapping[str, Source] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    fallback: Call | None = None

    @property
    def name(self) -> str:
        """What `Upstream` calls this stage's result."""
        return self.task.name

    @property
    def is_reducer(self) -> bool:
        """Whether the task is a reducer, and not a plain function of the list."""
        return bool(getattr(self.task.function, "is_reducer", False))


Stage = Call | FanOutStage | Reduce


def stages(flow: FlowGraph, inputs: Collection[str] = ()) -> tuple[Stage, ...]:
    """The stages of `flow` for a run with `inputs`, each after all that it needs.

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
    unbound = [task.name for task in flow.tasks if task.function is None]
    wiring = wire(flow, inputs)
    problems = [f"task {name} has no function: bind the flow first" for name in unbound]
    raise_problems(flow, problems + wiring.problems)
    return tuple(_Stager(flow, wiring).build())


def required_inputs(flow: FlowGraph) -> tuple[str, ...]:
    """The inputs without which `flow` can't run, in the order of its tasks."""
    unbound = [task.name for task in flow.tasks if task.function is None]
    wiring = wire(flow, None)
    problems = [f"task {name} has no function: bind the flow first" for name in unbound]
    raise_problems(flow, problems + wiring.problems)
    return tuple(wiring.required)


class _Stager:
    """Turns places and what fills them into stages, in the places' order."""

    def __init__(self, flow: FlowGraph, wiring: Wiring) -> None:
        self.last = find_last(flow)
        self.wiring = wiring
        self.users: dict[str, list[str]] = {place.name: [] for place in wiring.places}
        for place in wiring.places:
            for name in place.upstreams:
                self.users[name].append(place.name)
        self.places = {place.name: place for place in wiring.places}
        self.widths: dict[str, int | Literal["*"]] = {}
        self.rows: dict[Input | Upstream, str] = {}
        self.done: list[Stage] = []

    def build(self) -> list[Stage]:
        for place in self.wiring.places:
            if place.is_fan_out:
                self._add_fan_out(place)
            elif is_reducer(place.tasks[0].function):
                self._add_reducer(place)
            else:
                self._add_call(place)
        return self.done

    def _add_fan_out(self, place: FlowNode) -> None:
        chains = tuple((self._make_step(task),) for task in place.tasks)
        over = self.wiring.fills[place.tasks[0].name].over
        if over is None or place.width is None:
            raise AssertionError(place)
        width = place.width
        members = tuple(task.name for task in place.tasks) if place.is_siblings else ()
        before = self.places.get(over.task) if isinstance(over, Upstream) else None
        if before is not None and before.is_fan_out and not place.is_siblings:
            before_width = self.widths[before.name]
            if width in ("*", before_width):
                # One task an item, whether or not both run as one chain.
                self.widths[place.name] = before_width
                if self._can_follow(before, place):
                    self._extend(before, place, chains[0][0])
                    return
                width = "*"
        self.widths.setdefault(place.name, width)
        after = tuple(place.upstreams)
        self.done.append(FanOutStage(place.name, chains, over, width, members, after))

    def _can_follow(self, before: FlowNode, place: FlowNode) -> bool:
        """Whether nobody but `place`, item by item, needs the results of `before`."""
        small = self.wiring.fills[place.tasks[0].name].arguments.values()
        is_small = Upstream(before.name) in list(small)
        is_alone = self.users[before.name] == [place.name]
        return is_alone and not is_small and before.name != self.last

    def _extend(self, before: FlowNode, place: FlowNode, step: ChainStep) -> None:
        """Let the fan-out of `before` run `step` too, now that all that it needs has run."""
        fan_out = next(
            one for one in self.done if isinstance(one, FanOutStage) and one.name == before.name
        )
        self.done.remove(fan_out)
        more = [name for name in place.upstreams if name != before.name]
        self.done.append(
            replace(
                fan_out,
                name=place.name,
                chains=tuple((*chain, step) for chain in fan_out.chains),
                after=tuple(dict.fromkeys([*fan_out.after, *more])),
            )
        )

    def _add_reducer(self, place: FlowNode) -> None:
        task = place.tasks[0]
        over = self.wiring.fills[task.name].over
        if over is None:
            raise AssertionError(place)
        before = self.places.get(over.task) if isinstance(over, Upstream) else None
        if before is not None and before.is_fan_out:
            name = before.name
        elif isinstance(over, Constant):
            name = self._add_rows(place, over)
        else:
            if over not in self.rows:
                self.rows[over] = self._add_rows(place, over)
            name = self.rows[over]
        after = tuple(dict.fromkeys([name, *place.upstreams]))
        self.done.append(Reduce(task, name, after=after))

    def _add_rows(self, place: FlowNode, over: Source) -> str:
        """A fan-out without a step, so that the pieces themselves are reduced."""
        name = f"{place.name}[*]"  # the reducer's value has the name itself
        policy = place.tasks[0].policy
        self.done.append(FanOutStage(name, ((),), over, after=place.upstreams, policy=policy))
        return name

    def _add_call(self, place: FlowNode) -> None:
        task = place.tasks[0]
        fill = self.wiring.fills[task.name]
        call = self._make_call(task, fill, place.upstreams)
        fan_outs = [name for name in place.upstreams if self.places[name].is_fan_out]
        if len(fan_outs) == 1 and Upstream(fan_outs[0]) in list(fill.arguments.values()):
            self.done.append(
                Reduce(
                    task, fan_outs[0], call.arguments, call.positional, call.after, call.fallback
                )
            )
        else:
            self.done.append(call)

    def _make_call(self, task: Task, fill: Fill, after: tuple[str, ...]) -> Call:
        fallback = None if fill.fallback is None else self._make_call(*fill.fallback, after)
        return Call(task, fill.arguments, fill.positional, after, fallback)

    def _make_step(self, task: Task) -> ChainStep:
        return _to_step(task, self.wiring.fills[task.name])


def _to_step(task: Task, fill: Fill) -> ChainStep:
    fallback = None if fill.fallback is None else _to_step(*fill.fallback)
    return ChainStep(task, fill.kind, fill.arguments, fallback)
