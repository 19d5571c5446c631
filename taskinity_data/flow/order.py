"""Order names so that each can run after those that it needs, and find cycles."""

from __future__ import annotations

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
    waits = dict.fromkeys(names, 0)
    follows: dict[str, list[str]] = {name: [] for name in names}
    for before, after in edges:
        follows[before].append(after)
        waits[after] += 1
    ready = [position[name] for name in names if not waits[name]]
    heapify(ready)
    ordered = []
    while ready:
        name = names[heappop(ready)]
        ordered.append(name)
        for after in follows[name]:
            waits[after] -= 1
            if not waits[after]:
                heappush(ready, position[after])
    return ordered


def find_cycle(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> list[str]:
    """Return the names of one circle, the first repeated at the end; empty where there is none.

    >>> find_cycle(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "b")])
    ['b', 'c', 'b']
    """
    free = set(sort_names(names, edges))
    comes_from: dict[str, str] = {}
    for before, after in edges:
        if before not in free and after not in free:
            comes_from.setdefault(after, before)
    if not comes_from:
        return []
    visited: dict[str, None] = {}
    name = next(iter(comes_from))
    while name not in visited:
        visited[name] = None
        name = comes_from[name]
    backwards = list(visited)[list(visited).index(name) :]
    circle = backwards[::-1]
    first = min(range(len(circle)), key=lambda index: names.index(circle[index]))
    circle = circle[first:] + circle[:first]
    return [*circle, circle[0]]
