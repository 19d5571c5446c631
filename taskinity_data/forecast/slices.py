"""Slices of a plan's data from places spread evenly over its bytes.

It knows nothing of functions or of time.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from taskinity_data.chunks.chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.chunks.chunk import Piece

__all__ = ["order_places", "slice_at"]

GRAINS = 8
"""Grains of a slice: it is at most one of them larger than asked for."""


def order_places(count: int) -> Iterator[float]:
    """`count` places between 0 and 1, each in the middle of a share of its own.

    In such an order that any first few of them are spread too: halves, then quarters, then eighths
    (the van der Corput sequence of base 2).

    >>> [round(place, 3) for place in order_places(4)]
    [0.125, 0.625, 0.375, 0.875]
    """
    bits = max(1, (count - 1).bit_length())
    for number in range(1 << bits):
        reverse = int(f"{number:0{bits}b}"[::-1], 2)
        if reverse < count:
            yield (reverse + 0.5) / count


def slice_at(chunks: Sequence[Chunk], place: float, nbytes: int | None) -> Chunk:
    """About `nbytes` planned bytes that begin at `place` of all chunks' bytes, at most one chunk.

    Parameters
    ----------
    chunks : sequence of Chunk
        At least one.
    place : float
        From 0 to 1.
    nbytes : int or None
        None: the whole chunk that lies there.
    """
    ends = list(accumulate(chunk.nbytes for chunk in chunks))
    chunk = chunks[min(bisect_right(ends, place * ends[-1]), len(chunks) - 1)]
    if nbytes is None or chunk.nbytes <= nbytes:
        return chunk
    pieces: list[Piece] = []
    for piece in chunk.pieces:
        grains = chunk.reader.recut(piece, max(1, nbytes // GRAINS))
        for grain in grains:
            joined = pieces[-1].joined(grain) if pieces else None
            if joined is None:
                pieces.append(grain)
            else:
                pieces[-1] = joined
            if sum(one.nbytes for one in pieces) >= nbytes:
                return Chunk(chunk.reader, tuple(pieces), chunk.index)
    return chunk
