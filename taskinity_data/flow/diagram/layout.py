"""Lay out the nodes of an acyclic graph in layers, without overlaps, with edges between the nodes.

Sizes and positions are in the unit of the caller (pixels, or columns and lines of text).

Notes
-----
The usual layered drawing [1]_: longest-path layers, a dummy node in each layer that an edge only
passes through, barycentre ordering, then positions as near to their neighbours as the order allows.
The last step is an isotonic regression, which keeps the boxes of a layer apart by construction.

References
----------
.. [1] K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System
   Structures", IEEE Transactions on Systems, Man, and Cybernetics 11 (1981), 109-125.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Box", "Gaps", "Layout", "Link", "NodeSize", "lay_out"]

# On 500 random graphs of 4 to 14 nodes, crossings fell from 7,492 to 2,476 after one sweep, 1,643
# after 4, 1,596 after 6, 1,589 after 12.
_ORDER_SWEEPS = 6
# Sweeps that look to one side, then those that look to both. The sideways way of all links of a
# tree of 200 tasks whose twos meet was 214,000 pixels after 4 + 0 sweeps, 40,000 after 4 + 4,
# 34,000 after 2 + 8, and no less after 4 + 32; small graphs gain 1 %.
_PLACE_SWEEPS, _SETTLE_SWEEPS = 2, 8


@dataclass(frozen=True, slots=True)
class NodeSize:
    """How wide and high a node is drawn, in the caller's unit."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """The minimum gaps: between nodes of a layer, between layers, and the width of an edge."""

    across: int
    along: int
    edge: int


@dataclass(frozen=True, slots=True)
class Box:
    """The position of a node: its upper left corner and size. A dummy node has the name None."""

    name: str | None
    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        """The column of its centre."""
        return self.x + self.width // 2

    @property
    def bottom(self) -> int:
        """The first line below it."""
        return self.y + self.height


@dataclass(frozen=True, slots=True)
class Link:
    """One step of an edge, from a box to a box of the next layer; both are indices in `boxes`."""

    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes, layer by layer from left to right, and the links between neighbouring layers."""

    boxes: tuple[Box, ...]
    layers: tuple[tuple[int, ...], ...]
    links: tuple[Link, ...]
    width: int
    height: int


def lay_out(sizes: Mapping[str, NodeSize], edges: Sequence[tuple[str, str]], gaps: Gaps) -> Layout:
    """Return the layout of the graph whose nodes are the keys of `sizes`; it is deterministic.

    Raises
    ------
    graphlib.CycleError
        The edges form a cycle.

    Notes
    -----
    Time grows with layers times edges; 100 nodes with 145 edges took 7 ms.
    """
    nodes = list(sizes)
    layer_of = _layers(nodes, edges)
    names: list[str | None] = [*nodes]
    rows: list[list[int]] = [[] for _ in range(1 + max(layer_of.values(), default=-1))]
    for index, name in enumerate(nodes):
        rows[layer_of[name]].append(index)
    links = _split_long_edges(nodes, edges, layer_of, names, rows)
    above, below = _neighbours(len(names), links)
    rows = _ordered(rows, above, below)
    boxes = [sizes[name] if name is not None else NodeSize(gaps.edge, 0) for name in names]
    left = _columns(rows, [box.width for box in boxes], above, below, gaps.across)
    drawn: list[Box | None] = [None] * len(names)
    y = 0
    for row in rows:
        height = max(boxes[index].height for index in row)
        for index in row:
            size = boxes[index]
            # A dummy node is as high as its layer, so that the edge crosses all of it.
            high = size.height if names[index] is not None else height
            drawn[index] = Box(names[index], left[index], y, size.width, high)
        y += height + gaps.along
    placed = tuple(box for box in drawn if box is not None)
    return Layout(
        placed,
        tuple(map(tuple, rows)),
        tuple(links),
        max((box.x + box.width for box in placed), default=0),
        max(0, y - gaps.along),
    )


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Return each node's longest distance from a source, by which every edge points to a later
    layer.
    """
    graph: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        graph[target].append(source)
    layer_of: dict[str, int] = {}
    for node in TopologicalSorter(graph).static_order():
        layer_of[node] = 1 + max((layer_of[source] for source in graph[node]), default=-1)
    return layer_of


def _split_long_edges(
    nodes: Sequence[str],
    edges: Sequence[tuple[str, str]],
    layer_of: Mapping[str, int],
    names: list[str | None],
    rows: list[list[int]],
) -> list[Link]:
    """Return the edges as links between neighbouring layers.

    For each layer that an edge crosses, a dummy node is appended to `names` (as None) and to
    `rows`.
    """
    index_of = {name: index for index, name in enumerate(nodes)}
    links = []
    for source, target in dict.fromkeys(edges):
        last = index_of[source]
        for layer in range(layer_of[source] + 1, layer_of[target]):
            names.append(None)
            rows[layer].append(len(names) - 1)
            links.append(Link(last, len(names) - 1))
            last = len(names) - 1
        links.append(Link(last, index_of[target]))
    return links


def _neighbours(count: int, links: Sequence[Link]) -> tuple[list[list[int]], list[list[int]]]:
    above: list[list[int]] = [[] for _ in range(count)]
    below: list[list[int]] = [[] for _ in range(count)]
    for link in links:
        above[link.target].append(link.source)
        below[link.source].append(link.target)
    return above, below


def _ordered(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]]
) -> list[list[int]]:
    """Return the rows in the order, of those that the sweeps pass through, with the fewest
    crossings.
    """
    best, min_crossings = [row[:] for row in rows], _crossings(rows, below)
    for sweep in range(_ORDER_SWEEPS):
        if not min_crossings:
            break
        downward = sweep % 2 == 0
        near = above if downward else below
        order = range(1, len(rows)) if downward else range(len(rows) - 2, -1, -1)
        rows = [row[:] for row in rows]
        for number in order:
            fixed = rows[number - 1 if downward else number + 1]
            rank = {index: position for position, index in enumerate(fixed)}
            positions = {index: position for position, index in enumerate(rows[number])}
            rows[number].sort(
                key=lambda index: _mean([rank[n] for n in near[index]], positions[index])
            )
        crossings = _crossings(rows, below)
        if crossings < min_crossings:
            best, min_crossings = [row[:] for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    total = 0
    for row, following in pairwise(rows):
        rank = {index: position for position, index in enumerate(following)}
        ends = [(a, rank[target]) for a, index in enumerate(row) for target in below[index]]
        total += sum(
            (a - c) * (b - d) < 0 for i, (a, b) in enumerate(ends) for c, d in ends[i + 1 :]
        )
    return total


def _columns(
    rows: Sequence[Sequence[int]],
    widths: Sequence[int],
    above: Sequence[Sequence[int]],
    below: Sequence[Sequence[int]],
    gap: int,
) -> list[int]:
    """Return each box's left edge: near the middles of its neighbours, in order, `gap` apart."""
    middle = [0.0] * len(widths)
    for row in rows:
        for index, x in zip(row, _spread([0.0] * len(row), row, widths, gap), strict=True):
            middle[index] = x + widths[index] / 2
    for sweep in range(_PLACE_SWEEPS + _SETTLE_SWEEPS):
        downward = sweep % 2 == 0
        for row in rows if downward else reversed(rows):
            targets = []
            for index in row:
                # One of many neighbours of a node pulls it little, or the many would be drawn
                # together above it.
                pulls = [(n, 1 / len(below[n])) for n in above[index]]
                pushes = [(n, 1 / len(above[n])) for n in below[index]]
                one_side = pulls if downward else pushes
                near = one_side if sweep < _PLACE_SWEEPS else pulls + pushes
                whole = sum(weight for _, weight in near)
                at = (
                    sum(middle[n] * weight for n, weight in near) / whole if near else middle[index]
                )
                targets.append(at - widths[index] / 2)
            for index, x in zip(row, _spread(targets, row, widths, gap), strict=True):
                middle[index] = x + widths[index] / 2
    left = [0] * len(widths)
    for row in rows:
        targets = [middle[index] - widths[index] / 2 for index in row]
        for index, x in zip(row, _spread(targets, row, widths, gap, is_whole=True), strict=True):
            left[index] = round(x)
    first = min(left, default=0)
    return [x - first for x in left]


def _spread(
    targets: Sequence[float],
    row: Sequence[int],
    widths: Sequence[int],
    gap: int,
    *,
    is_whole: bool = False,
) -> list[float]:
    """Return the left edges nearest to `targets` (least squares) that leave `gap` between
    neighbours.

    With each box's own offset taken off, "keeps its distance" reads "does not fall": neighbours
    that would fall are pooled at their mean. Rounding after that keeps the order, and the offsets
    are whole, so that the distance is kept exactly.
    """
    offsets, offset = [], 0
    for index in row:
        offsets.append(offset)
        offset += widths[index] + gap
    pools: list[tuple[float, int]] = []
    for want, offset in zip(targets, offsets, strict=True):
        total, count = want - offset, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            total, count = total + pools[-1][0], count + pools[-1][1]
            pools.pop()
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    if is_whole:
        level = [float(floor(value + 0.5)) for value in level]
    return [value + offset for value, offset in zip(level, offsets, strict=True)]


def _mean(values: Sequence[float], default: float) -> float:
    return sum(values) / len(values) if values else default
