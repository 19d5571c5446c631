"""Take slices of a plan's data at positions spread evenly over its bytes."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from taskinity_data.chunks.chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.sources.file import Piece

__all__ = ["slice_at", "spread_positions"]

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
