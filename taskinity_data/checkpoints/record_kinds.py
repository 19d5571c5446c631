"""The records of a journal that are about fan-outs, as they are written and read.

The others are plain values: see `Past.add`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.cut_again import EarlierPiece
from taskinity_data.chunks.cut_columns import UNREADABLE

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable, Iterator, Sequence

    from taskinity_data.outcome import Outcome
    from taskinity_data.outcome_block import OutcomeBlock

__all__ = ["CutsRecord", "EndedRecord", "StartRecord", "code_at", "identify_chunk"]


class StartRecord(NamedTuple):
    """A fan-out begins.

    Attributes
    ----------
    name : str
    parts : dict of str to str
        Digests of what it runs, by part.
    cutting : str
        How it is to be cut, and as what its files are read.
    codes, arguments : list of str or None
        Digests of all that it runs, and of that without the functions; one for all items, or one
        for each position.
    unstable : list of str
        Those of `parts` whose digests say nothing.
    """

    name: str
    parts: dict[str, str]
    cutting: str
    codes: list[str | None]
    arguments: list[str | None]
    unstable: list[str]


class CutsRecord(NamedTuple):
    """Chunks of the fan-out `name` that were handed out, after those of the records before.

    Attributes
    ----------
    reader : str
        A digest of their reader's identity.
    files : list of (str, str)
        Identities and paths of further files, see `CutColumns.files`.
    columns : tuple of array
        See `CutColumns.columns`.
    """

    name: str
    reader: str
    files: list[tuple[str, str]]
    columns: tuple[array[int], ...]

    def read(self, files: Sequence[str]) -> Iterator[tuple[tuple[EarlierPiece, ...], bool]]:
        """Yield the pieces of each chunk, in the `files` until now, and whether it can be read."""
        numbers, ranges, ends, marks = (column.tolist() for column in self.columns)
        begin = ends[0]
        for (first, last), mark in zip(pairwise(ends), marks, strict=True):
            pieces = []
            for number in range(first - begin, last - begin):
                start, stop, nbytes, rows = ranges[4 * number : 4 * number + 4]
                file = files[numbers[number]]
                pieces.append(EarlierPiece(file, start, stop, nbytes, rows if rows >= 0 else None))
            if mark >= 0:
                pieces[0] = pieces[0]._replace(mark=mark)
            yield tuple(pieces), mark != UNREADABLE


class EndedRecord(NamedTuple):
    """Items of the fan-out `name` that have ended together; their values follow the record.

    Attributes
    ----------
    positions : array of int
    keys : bytes
        16 for each.
    data : list of str or None
        A digest of the data of each; None: they are the chunks at these positions.
    ended : Outcome or OutcomeBlock
        Without values.
    part : tuple, optional
        Of a part of a chunk that was split: that chunk's key, the part's place in it, and the
        fields of its pieces.
    """

    name: str
    positions: array[int]
    keys: bytes
    data: list[str | None] | None
    ended: Outcome | OutcomeBlock
    part: tuple[str, tuple[int, ...], list[tuple[Any, ...]]] | None = None


def code_at(codes: Sequence[str | None], position: int) -> str | None:
    """Return that of `codes` which is of the item at `position`."""
    return codes[position if len(codes) > 1 else 0]


def identify_chunk(reader: str, pieces: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return what identifies a chunk: its reader, and file, start and stop of its `pieces`."""
    return reader, *(part for piece in pieces for part in piece[:3])
