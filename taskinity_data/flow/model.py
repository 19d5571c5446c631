"""The graph of a flow as an immutable value: tasks, the edges between them, and their checks.

Something runs at each of its nodes: a single task, or numbered siblings together.
``ProcessChunk1`` … ``ProcessChunk4`` are siblings if the numbers go up from 1 without a gap, there
are at least two, and all have the same upstreams (at least one, as there must be something to
divide) and the same downstreams. Everything else is a single task.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from taskinity_data.errors import FlowError
from taskinity_data.flow.keywords import KEYWORDS, stated_keywords
from taskinity_data.flow.naming import is_name, split_number, to_snake
from taskinity_data.policy import ON_ERROR, Policy
from taskinity_data.wording import for_stdout, suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskinity_data.flow.binding.match_arguments import Source

__all__ = [
    "MAX_WIDTH",
    "FlowGraph",
    "FlowInput",
    "FlowNode",
    "Task",
    "Width",
    "explain_fallback",
    "find_cycle",
    "find_last",
    "find_nodes",
    "sort_names",
]

Width = int | Literal["*"] | None

MAX_WIDTH = 1_000_000
"""A fixed width above this is taken for a slip: a task costs milliseconds, so that a million
chunks alone cost about half an hour of scheduling."""


class FlowInput(NamedTuple):
    """An input that a flow written in Python declares.

    `default` fills it where the caller hands over nothing and `is_required` is False.
    """

    name: str
    is_required: bool = True
    default: Any = None


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a flow.

    Attributes
    ----------
    name : str
    description : str or None
    width : None, "*" or int
        None: runs once. ``"*"``: once for each chunk or item. A number: for that many slices.
    policy : Policy
    function : callable, reducer or None
        What runs; None until the flow is bound.
    arguments : dict of str to Source, or None
        Which source fills which parameter, where the flow was written in Python. None: parameters
        are filled by name.
    chunk_parameter : str or None
        The key of `arguments` that is fanned out over; None if there is none.
    stated : frozenset of str
        The keywords of ``@td.task`` that were given for this task in the flow's text (of an
        unbound task: at least those that are not the default). They win over those of the function
        that is bound to it.
    """

    name: str
    description: str | None = None
    width: Width = None
    policy: Policy = field(default_factory=Policy)
    function: Callable[..., Any] | Any | None = None
    arguments: Mapping[str, Source] | None = field(default=None, hash=False)
    chunk_parameter: str | None = None
    stated: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not is_name(self.name):
            raise FlowError(f"task {self.name!r}: a name is made of letters, digits and _")
        is_number = isinstance(self.width, int) and not isinstance(self.width, bool)
        if not (self.width in (None, "*") or (is_number and 1 <= int(self.width) <= MAX_WIDTH)):
            raise FlowError(
                f"task {self.name}: width {self.width!r} is neither '*' nor a whole number from 1 "
                f"to {MAX_WIDTH:,}"
            )
        stated = frozenset(self.stated)
        if self.function is None:
            stated |= stated_keywords(self.policy)
        object.__setattr__(self, "stated", stated)

    @property
    def fallback(self) -> str | None:
        """The task that `on_error` names, None if it names none."""
        on_error = self.policy.on_error
        return on_error if isinstance(on_error, str) and on_error not in ON_ERROR else None

    def __str__(self) -> str:
        return self.name if self.width is None else f"{self.name}[{self.width}]"

    def __repr__(self) -> str:
        parts = [repr(str(self))]
        parts += [
            f"{name}={getattr(self.policy, keyword.field)!r}"
            for name, keyword in KEYWORDS.items()
            if name in self.stated | stated_keywords(self.policy)
        ]
        if self.function is not None:
            parts.append(f"function={getattr(self.function, '__qualname__', self.function)}")
        return f"Task({', '.join(parts)})"


@dataclass(frozen=True, slots=True, repr=False)
class FlowGraph:
    """The tasks of a flow, and which of them follow which: what `Flow` is made of.

    Two are equal where names, descriptions, tasks (with policies and functions) and edges
    are, in the same order.

    Raises
    ------
    FlowError
        The graph can't be run; the message lists all that is wrong.
    """

    name: str
    description: str | None = None
    tasks: tuple[Task, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()
    inputs: tuple[FlowInput, ...] | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple(self.tasks))
        object.__setattr__(self, "edges", tuple((before, after) for before, after in self.edges))
        problems = _check_flow(self)
        if problems:
            lines = "".join(f"\n- {line}" for line in problems)
            raise FlowError(f"flow {self.name}: {problems[0] if len(problems) == 1 else lines}")

    def task(self, name: str) -> Task:
        """Return the task called `name`.

        Raises
        ------
        FlowError
            There is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        names = [task.name for task in self.tasks]
        raise FlowError(f"flow {self.name} has no task {name!r}.{suggest(name, names)}")

    def upstreams(self, name: str) -> tuple[str, ...]:
        """Return the names of the tasks with an edge to `name`, in the order of the edges."""
        return tuple(before for before, after in self.edges if after == name)

    @property
    def order(self) -> tuple[str, ...]:
        """The tasks' names in topological order; ties as in the text."""
        return tuple(sort_names([task.name for task in self.tasks], self.edges))

    @property
    def fallbacks(self) -> frozenset[str]:
        """The tasks that run only where another's `on_error` names them."""
        named = {task.fallback for task in self.tasks if task.fallback is not None}
        return frozenset(named - {name for edge in self.edges for name in edge})

    @property
    def is_bound(self) -> bool:
        """Whether every task has its function."""
        return all(task.function is not None for task in self.tasks)

    def __repr__(self) -> str:
        state = "" if self.is_bound else ", unbound"
        shown = ", ".join(str(task) for task in self.tasks[:8])
        more = f", … {len(self.tasks) - 8} more" if len(self.tasks) > 8 else ""
        return for_stdout(f"Flow({self.name}: {shown}{more}; {len(self.edges)} edges{state})")


def _check_flow(flow: FlowGraph) -> list[str]:
    """Return the problems of `flow`, as sentences."""
    names = [task.name for task in flow.tasks]
    problems = []
    if not isinstance(flow.name, str) or not is_name(flow.name):
        problems.append(f"{flow.name!r} is not a name for a flow: use letters, digits and _")
    if not names:
        problems.append("a flow needs at least one task")
    problems += _check_names(names)
    edges = list(flow.edges)
    names_ = set(names)
    for (before, after), times in Counter(edges).items():
        problems += [
            f"edge {before} -> {after}: no task {name!r}.{suggest(name, names)}"
            for name in (before, after)
            if name not in names_
        ]
        if before == after:
            problems.append(f"task {before} can't follow itself")
        elif times > 1:
            problems.append(f"edge {before} -> {after} is repeated")
    if flow.output is not None and flow.output not in names:
        problems.append(f"no task {flow.output!r} to give the value.{suggest(flow.output, names)}")
    if problems:
        return problems
    circle = find_cycle(names, edges)
    if circle:
        return [f"these tasks wait for each other: {' -> '.join(circle)}"]
    fallbacks = {task.name: task.fallback for task in flow.tasks}
    for task, name in fallbacks.items():
        if name is not None and (problem := explain_fallback(task, name, fallbacks)):
            problems.append(problem)
    return problems + _check_alone(flow)


def _check_names(names: list[str]) -> list[str]:
    problems = [f"two tasks are called {name}" for name, n in Counter(names).items() if n > 1]
    names_: dict[str, str] = {}
    for name in names:
        other = names_.setdefault(to_snake(name), name)
        if other != name:
            problems.append(
                f"tasks {other} and {name} would both bind a function {to_snake(name)}: rename one"
            )
    return problems


def explain_fallback(task: str, name: str, fallbacks: Mapping[str, str | None]) -> str | None:
    """Return why `name` can't be the fallback of `task`, None if it can.

    `fallbacks` holds what each task of the flow names.
    """
    if name not in fallbacks:
        choices = [*ON_ERROR, *(other for other in fallbacks if other != task)]
        return (
            f"task {task}: on_error names {name!r}, which is neither fail, skip or bisect nor a "
            f"task of this flow.{suggest(name, choices)}"
        )
    if name == task:
        return f"task {task} can't be its own fallback"
    if fallbacks[name] is not None:
        return f"task {task}: its fallback {name} has a fallback itself; remove one of them"
    return None


def _check_alone(flow: FlowGraph) -> list[str]:
    fallbacks = flow.fallbacks
    if len(flow.tasks) - len(fallbacks) <= 1:
        return []
    linked = {name for edge in flow.edges for name in edge} | fallbacks
    return [
        f"task {task.name} has no edge: nothing leads to it or follows it"
        for task in flow.tasks
        if task.name not in linked and task.arguments is None
    ]


def sort_names(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return `names` in topological order; ties keep the order of `names`.

    Names that wait for each other in a circle, or for one that does, are left out.

    >>> sort_names(["c", "b", "a"], [("a", "b")])
    ['c', 'a', 'b']
    """
    position = {name: index for index, name in enumerate(names)}
    sorter = _sorter(names, edges)
    with suppress(CycleError):  # what does not wait for the circle can be had all the same
        sorter.prepare()
    ready = [position[name] for name in sorter.get_ready()]
    heapify(ready)
    ordered = []
    while ready:
        name = names[heappop(ready)]
        ordered.append(name)
        sorter.done(name)
        for follower in sorter.get_ready():
            heappush(ready, position[follower])
    return ordered


def find_cycle(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names of one cycle, the first repeated at the end; empty if there is none.

    >>> find_cycle(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "b")])
    ['b', 'c', 'b']
    """
    try:
        _sorter(names, edges).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1][1:]
        first = min(range(len(circle)), key=lambda index: names.index(circle[index]))
        return [*circle[first:], *circle[:first], circle[first]]
    return []


def _sorter(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> TopologicalSorter[str]:
    sorter: TopologicalSorter[str] = TopologicalSorter(dict.fromkeys(names, ()))
    for before, after in edges:
        sorter.add(after, before)
    return sorter


class FlowNode(NamedTuple):
    """One task, or the numbered siblings that are one fan-out.

    `name` is the task's, or the siblings' without the number; `upstreams` are names of places.
    """

    name: str
    tasks: tuple[Task, ...]
    upstreams: tuple[str, ...]
    is_siblings: bool = False

    @property
    def width(self) -> Width:
        """How often it runs."""
        return len(self.tasks) if self.is_siblings else self.tasks[0].width

    @property
    def is_fan_out(self) -> bool:
        """Whether it runs once a piece."""
        return self.width is not None


def find_nodes(flow: FlowGraph) -> tuple[FlowNode, ...]:
    """Return the nodes of `flow`, each after all that it needs; fallbacks have none."""
    upstreams: dict[str, list[str]] = {task.name: [] for task in flow.tasks}
    downstreams: dict[str, list[str]] = {task.name: [] for task in flow.tasks}
    for before, after in flow.edges:
        upstreams[after].append(before)
        downstreams[before].append(after)
    groups = _group_siblings(flow, upstreams, downstreams)
    place_of = {task.name: base for base, tasks in groups.items() for task in tasks}
    by_name = {task.name: task for task in flow.tasks}
    fallbacks = flow.fallbacks
    nodes: dict[str, FlowNode] = {}
    for name in flow.order:
        base = place_of.get(name, name)
        if name not in fallbacks and base not in nodes:
            before_it = dict.fromkeys(
                place_of.get(upstream, upstream) for upstream in upstreams[name]
            )
            tasks = groups[base] if name in place_of else (by_name[name],)
            nodes[base] = FlowNode(base, tasks, tuple(before_it), name in place_of)
    return tuple(nodes.values())


def find_last(flow: FlowGraph) -> str:
    """Return the last task: see `Flow.last`."""
    if flow.output is not None:
        return flow.output
    fallbacks = flow.fallbacks
    last = [name for name in flow.order if name not in fallbacks][-1]
    return next(
        node.name for node in find_nodes(flow) if last in {task.name for task in node.tasks}
    )


def _group_siblings(
    flow: FlowGraph, upstreams: Mapping[str, list[str]], downstreams: Mapping[str, list[str]]
) -> dict[str, tuple[Task, ...]]:
    numbered: dict[str, dict[int, Task]] = {}
    for task in flow.tasks:
        split = split_number(task.name)
        if split and task.width is None and task.arguments is None:
            numbered.setdefault(split[0], {})[split[1]] = task
    names = {to_snake(task.name) for task in flow.tasks}
    groups = {}
    for base, by_number in numbered.items():
        tasks = tuple(by_number[number] for number in sorted(by_number))
        around = {
            (frozenset(upstreams[task.name]), frozenset(downstreams[task.name])) for task in tasks
        }
        is_whole = sorted(by_number) == list(range(1, len(tasks) + 1))
        has_upstream = bool(upstreams[tasks[0].name])
        is_free = to_snake(base) not in names
        if len(tasks) > 1 and is_whole and len(around) == 1 and has_upstream and is_free:
            groups[base] = tasks
    return groups
