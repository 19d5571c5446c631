"""Find the nodes of a flow at which something runs: single tasks, and numbered siblings as one.

``ProcessChunk1`` … ``ProcessChunk4`` are siblings if the numbers go up from 1 without a gap, there
are at least two, and all have the same upstreams (at least one, as there must be something to
divide) and the same downstreams. Everything else is a single task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.flow.naming import split_number, to_snake

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.model import FlowGraph, Task, Width

__all__ = ["FlowNode", "find_last", "find_nodes"]


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
