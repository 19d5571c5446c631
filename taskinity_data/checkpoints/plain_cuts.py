"""Convert the cuts of chunks to plain columns and back."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from taskinity_data.chunks.cut_again import EarlierPiece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["from_plain_cuts", "to_plain_cuts"]

_UNKNOWN = -1
"""Stands for None among whole numbers."""

_NUMBERS = 7
"""Of a piece: its file's, its own in its chunk, start, stop, bytes, rows, mark."""


def to_plain_cuts(cuts: Iterable[Sequence[EarlierPiece]]) -> tuple[list[str], bytes]:
    """Return the files of `cuts`, which are the pieces of a chunk each, and their numbers."""
    files: dict[str, int] = {}
    numbers = array("q")
    for pieces in cuts:
        for number, (file, *sizes) in enumerate(pieces):
            numbers.append(files.setdefault(file, len(files)))
            numbers.append(number)
            numbers.extend([_UNKNOWN if size is None else size for size in sizes])
    return list(files), numbers.tobytes()


def from_plain_cuts(files: Sequence[str], columns: bytes) -> Iterator[tuple[EarlierPiece, ...]]:
    """Yield the pieces of each chunk that `to_plain_cuts` converted."""
    numbers = array("q", columns).tolist()
    pieces: list[EarlierPiece] = []
    for at in range(0, len(numbers), _NUMBERS):
        file, number, start, stop, nbytes, *last = numbers[at : at + _NUMBERS]
        if not number and pieces:
            yield tuple(pieces)
            pieces = []
        rows, mark = (None if value == _UNKNOWN else value for value in last)
        pieces.append(EarlierPiece(files[file], start, stop, nbytes, rows, mark))
    if pieces:
        yield tuple(pieces)
