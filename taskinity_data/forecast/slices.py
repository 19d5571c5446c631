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

    from taskinity_data.sources.file import Piece

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
    """About `nbytes` planned bytes from `place` of all chunks' bytes on, where a chunk begins.

    Parameters
    ----------
    chunks : sequence of Chunk
        At least one.
    place : float
        From 0 to 1. A slice that would reach beyond the end begins earlier.
    nbytes : int or None
        None: the whole chunk that lies there.
    """
    ends = list(accumulate(chunk.nbytes for chunk in chunks))
    begin = place * ends[-1] if nbytes is None else min(place * ends[-1], ends[-1] - nbytes)
    first = min(bisect_right(ends, begin), len(chunks) - 1)
    # A run goes on where it has read up to; a slice in the middle would read all before it again.
    while first and not _begins_anew(chunks[first]):
        first -= 1
    if nbytes is None:
        return chunks[first]
    pieces: list[Piece] = []
    left = nbytes
    for chunk in chunks[first:]:
        for piece in chunk.pieces:
            is_whole = piece.nbytes <= left
            grains = chunk.reader.recut(piece, max(1, nbytes // GRAINS))
            for grain in [piece] if is_whole else grains:
                joined = pieces[-1].joined(grain) if pieces else None
                if joined is None:
                    pieces.append(grain)
                else:
                    pieces[-1] = joined
                left -= grain.nbytes
                if left <= 0:
                    break
            if left <= 0:
                return Chunk(chunk.reader, tuple(pieces), chunks[first].index)
    return Chunk(chunks[first].reader, tuple(pieces), chunks[first].index)


def _begins_anew(chunk: Chunk) -> bool:
    tell = getattr(chunk.reader, "begins_anew", None)
    return tell is None or not chunk.pieces or tell(chunk.pieces[0])
