"""Order names so that each can run after those that it needs, and find cycles."""

from __future__ import annotations

from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["find_cycle", "sort_names"]


def sort_names(names: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return `names` so that each stands after all that it follows; ties keep the order of `names`.

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
    """Return the names of one circle, the first repeated at the end; empty where there is none.

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
