"""Take slices of a plan's data, spread evenly over its bytes, and choose their sizes."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.size import fit_middle
from taskinity_data.chunks.sizing import TARGET_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.sources.file import Piece

__all__ = ["PARTS", "fitting_nbytes", "next_nbytes", "slice_at", "spread_positions"]

FIRST_NBYTES, GROWTH, SETTLED = 16 << 10, 8, 1.5
"""The first slice, the largest factor between a slice and the next, and the factor below which they
do not grow any more."""

SLICE_S = TARGET_S
"""The most seconds that a slice's bytes should take: those of a usual chunk, since larger ones may
cost more for each byte (text of more than 32 MiB does), and smaller ones less."""

PARTS = (1, 4, 2)
"""Slices are whole, a quarter, a half, and so on: a line through them shows the cost that does not
depend on bytes."""

GRAINS = 8
"""Grains of a slice: it is at most one grain larger than requested."""


def spread_positions(count: int) -> Iterator[float]:
    """Yield `count` positions between 0 and 1, each in the middle of an equal share.

    Their order is such that the first few of them are spread, too: halves, then quarters, then
    eighths (the van der Corput sequence of base 2).

    >>> [round(position, 3) for position in spread_positions(4)]
    [0.125, 0.625, 0.375, 0.875]
    """
    bits = max(1, (count - 1).bit_length())
    for number in range(1 << bits):
        reverse = int(f"{number:0{bits}b}"[::-1], 2)
        if reverse < count:
            yield (reverse + 0.5) / count


def next_nbytes(points: Sequence[tuple[int, float]], max_nbytes: int) -> tuple[int, bool]:
    """Return the size of the next slice after `points` (bytes, seconds), and whether they grow.

    >>> next_nbytes([], 10**9), next_nbytes([(16384, 0.01)], 10**9)
    ((16384, True), (131072, True))
    >>> next_nbytes([(16384, 0.5), (131072, 0.001), (1048576, 0.008)], 10**9)
    (8388608, True)
    """
    if not points:
        return min(FIRST_NBYTES, max_nbytes), True
    first_nbytes, first_s = points[0]
    if len(points) == 1:
        # It may have taken long to load code, or for its records: a smaller one shows which.
        is_long = first_s > SLICE_S
        return max(
            1, first_nbytes // GROWTH if is_long else min(GROWTH * first_nbytes, max_nbytes)
        ), True
    is_by_slice = len(points) == 2 and points[1][1] > first_s / 2
    costs = points if is_by_slice else points[1:]
    whole, largest = fitting_nbytes(costs, max_nbytes), max(nbytes for nbytes, _ in costs)
    if whole >= SETTLED * largest:
        return whole, True
    return max(1, whole // PARTS[len(points) % len(PARTS)]), False


def fitting_nbytes(points: Sequence[tuple[int, float]], max_nbytes: int) -> int:
    """Return the size that takes `SLICE_S`, but at most `GROWTH` times the largest of `points`."""
    # Other work on the machine only adds to a slice's time.
    cheapest: dict[int, float] = {}
    for nbytes, seconds in points:
        cheapest[nbytes] = min(seconds, cheapest.get(nbytes, seconds))
    line = fit_middle(list(cheapest.items()))
    if line is None:
        return max_nbytes
    longest = SLICE_S / line.per_byte if line.per_byte else math.inf
    return int(max(1, min(GROWTH * max(cheapest), longest, max_nbytes)))


def slice_at(chunks: Sequence[Chunk], position: float, nbytes: int | None) -> Chunk:
    """Return about `nbytes` planned bytes from the chunk at `position` of all bytes on.

    Parameters
    ----------
    chunks : sequence of Chunk
        At least one.
    position : float
        From 0 to 1. A slice that would reach beyond the end begins earlier.
    nbytes : int or None
        None: the whole chunk at that position.
    """
    ends = list(accumulate(chunk.nbytes for chunk in chunks))
    begin = position * ends[-1] if nbytes is None else min(position * ends[-1], ends[-1] - nbytes)
    first = min(bisect_right(ends, begin), len(chunks) - 1)
    # A run continues where it has read up to; a slice in the middle would read everything before.
    while first and not _begins_at_start(chunks[first]):
        first -= 1
    if nbytes is None:
        return chunks[first]
    pieces: list[Piece] = []
    remaining = nbytes
    for chunk in chunks[first:]:
        for piece in chunk.pieces:
            is_whole = piece.nbytes <= remaining
            grains = chunk.reader.recut(piece, max(1, nbytes // GRAINS))
            for grain in [piece] if is_whole else grains:
                joined = pieces[-1].joined(grain) if pieces else None
                if joined is None:
                    pieces.append(grain)
                else:
                    pieces[-1] = joined
                remaining -= grain.nbytes
                if remaining <= 0:
                    break
            if remaining <= 0:
                return Chunk(chunk.reader, tuple(pieces), chunks[first].index)
    return Chunk(chunks[first].reader, tuple(pieces), chunks[first].index)


def _begins_at_start(chunk: Chunk) -> bool:
    return not chunk.pieces or chunk.reader.begins_anew(chunk.pieces[0])
