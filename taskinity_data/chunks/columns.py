"""Keep chunks in columns, in about 70 bytes each, and make them again where they are needed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = ["CutColumns"]

_UNKNOWN = -1
"""Stands for None among whole numbers."""


class CutColumns(Sequence[Chunk]):
    """Chunks in the order in which they were added; a slice is a tuple.

    Those with another reader than the first, another index than their position here, or a failure
    are kept as they are.

    Parameters
    ----------
    chunks : iterable of Chunk
    """

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._reader: Reader | None = None
        self._files: list[SourceFile] = []
        self._file_numbers = array("i")
        self._ranges = array("q")
        self._ends = array("q", [0])
        self._marks = array("q")
        self._others: dict[int, Chunk] = {}
        for chunk in chunks:
            self.append(chunk)

    def append(self, chunk: Chunk) -> None:
        """Add `chunk`."""
        number = len(self)
        if self._reader is None:
            self._reader = chunk.reader
        if chunk.reader is self._reader and chunk.index == number and chunk.failure is None:
            for piece in chunk.pieces:
                if not self._files or piece.file is not self._files[-1]:
                    self._files.append(piece.file)
                self._file_numbers.append(len(self._files) - 1)
                rows = _UNKNOWN if piece.rows is None else piece.rows
                self._ranges.extend((piece.start, piece.stop, piece.nbytes, rows))
        else:
            self._others[number] = chunk
        self._ends.append(len(self._file_numbers))
        self._marks.append(_UNKNOWN if chunk.mark is None else chunk.mark)

    @property
    def rows(self) -> int | None:
        """Rows of all chunks, None where those of one are unknown."""
        others = [chunk.rows for chunk in self._others.values()]
        counts = self._ranges[3::4]
        if None in others or _UNKNOWN in counts:
            return None
        return sum(counts) + sum(rows for rows in others if rows is not None)

    def __len__(self) -> int:
        return len(self._marks)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Chunk, ...]: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        number = range(len(self))[index]
        if number in self._others:
            return self._others[number]
        pieces = tuple(map(self._piece, range(self._ends[number], self._ends[number + 1])))
        mark = self._marks[number]
        assert self._reader is not None
        return Chunk(self._reader, pieces, number, None if mark == _UNKNOWN else mark)

    def _piece(self, number: int) -> Piece:
        start, stop, nbytes, rows = self._ranges[4 * number : 4 * number + 4]
        file = self._files[self._file_numbers[number]]
        return Piece(file, start, stop, nbytes, None if rows == _UNKNOWN else rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (CutColumns, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(map(Chunk.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))
