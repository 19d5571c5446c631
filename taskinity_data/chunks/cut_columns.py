"""Keep many chunks in columns, not as an object each."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, overload

from taskinity_data.chunks.chunk import Chunk, describe_file, digest_key
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = ["UNREADABLE", "CutColumns"]

_UNKNOWN = -1
"""Represents None among integers."""

UNREADABLE = -2
"""The mark of a chunk that can't be read."""


class CutColumns(Sequence[Chunk]):
    """Chunks in the order in which they were added, in about 70 bytes each; a slice is a tuple.

    Those with another reader than the first, another index than their position (from `first` on),
    or a failure are kept as they are, too.

    Parameters
    ----------
    chunks : iterable of Chunk

    Attributes
    ----------
    first : int
        The index of the first.
    files : list of SourceFile
        Those of the pieces, in order; what two chunks share one after the other is there once.
    """

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._reader: Reader | None = None
        self.first = 0
        self.files: list[SourceFile] = []
        self._file_numbers = array("i")
        self._ranges = array("q")
        self._ends = array("q", [0])
        self._marks = array("q")
        self._others: dict[int, Chunk] = {}
        for chunk in chunks:
            self.append(chunk)

    def append(self, chunk: Chunk) -> None:
        """Add `chunk`."""
        number, files = len(self._marks), self.files
        if self._reader is None:
            self._reader = chunk.reader
        mark = _UNKNOWN if chunk.mark is None else chunk.mark
        for piece in chunk.pieces:
            if not files or piece.file is not files[-1]:
                files.append(piece.file)
            self._file_numbers.append(len(files) - 1)
            rows = _UNKNOWN if piece.rows is None else piece.rows
            self._ranges.extend((piece.start, piece.stop, piece.nbytes, rows))
        if chunk.failure is not None:
            mark = UNREADABLE
        if (
            mark == UNREADABLE
            or chunk.reader is not self._reader
            or (chunk.index != self.first + number)
        ):
            self._others[number] = chunk
        self._ends.append(len(self._file_numbers))
        self._marks.append(mark)

    def columns(self, start: int = 0) -> tuple[array[int], ...]:
        """Return the columns of the chunks from `start` on.

        Numbers of files; start, stop, bytes and rows of each piece, -1 for unknown rows; where the
        pieces of each chunk end, with where the first one's begin; marks, -1 where there is none.
        """
        first = self._ends[start]
        return (
            self._file_numbers[first:],
            self._ranges[4 * first :],
            self._ends[start:],
            self._marks[start:],
        )

    def cut_out(self, start: int, stop: int) -> CutColumns:
        """Return the chunks from `start` to `stop` in columns of their own."""
        part, begin, end = CutColumns(), self._ends[start], self._ends[stop]
        numbers = self._file_numbers[begin:end]
        part._reader, part.first = self._reader, self.first + start
        part.files = self.files[numbers[0] : numbers[-1] + 1]
        part._file_numbers = array("i", [number - numbers[0] for number in numbers])
        part._ranges = self._ranges[4 * begin : 4 * end]
        part._ends = array("q", [each - begin for each in self._ends[start : stop + 1]])
        part._marks = self._marks[start:stop]
        for number in range(start, stop) if self._others else ():
            if number in self._others:
                part._others[number - start] = self._others[number]
        return part

    def sizes(self, numbers: Iterable[int]) -> list[int]:
        """Return the planned bytes of the chunks with these `numbers`."""
        ends, ranges = self._ends, self._ranges
        return [sum(ranges[4 * ends[number] + 2 : 4 * ends[number + 1] : 4]) for number in numbers]

    def keys(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Yield the digests that are the keys of the chunks with these `numbers`."""
        described = cache(lambda number: describe_file(self.files[number]))
        for number in numbers:
            if number in self._others:
                yield bytes.fromhex(self._others[number].key)
                continue
            assert self._reader is not None
            text = self._reader.identity()
            for piece in range(self._ends[number], self._ends[number + 1]):
                before, after = described(self._file_numbers[piece])
                text += f"{before}\0{self._ranges[4 * piece]}\0{self._ranges[4 * piece + 1]}{after}"
            yield digest_key(text)

    @property
    def rows(self) -> int | None:
        """Rows of all chunks, None if those of one are unknown."""
        counts = self._ranges[3::4]
        return None if _UNKNOWN in counts else sum(counts)

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
        index = self.first + number
        return Chunk(self._reader, pieces, index, None if mark == _UNKNOWN else mark)

    def iter_pieces(self) -> Iterator[Piece]:
        """Yield the pieces of all chunks, in order."""
        return map(self._piece, range(len(self._file_numbers)))

    def _piece(self, number: int) -> Piece:
        start, stop, nbytes, rows = self._ranges[4 * number : 4 * number + 4]
        file = self.files[self._file_numbers[number]]
        return Piece(file, start, stop, nbytes, None if rows == _UNKNOWN else rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (CutColumns, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(map(Chunk.__eq__, self, other))

    # It grows, as a list does.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))
