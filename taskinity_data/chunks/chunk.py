"""Describe one piece of a dataset: its files and ranges, its size, and the reader for it.

A chunk holds no data. Its reader, which is pickled with it, reads its rows on any machine that sees
the files.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, overload

from taskinity_data.chunks.plan_limits import refuse_failures
from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import PlanError, ReadError, SourceChanged
from taskinity_data.formats.reader import KINDS, Reader, ReadResult
from taskinity_data.sources.changed import (
    check_after,
    check_before,
    check_mark,
    explain_change,
    mark_pieces,
    refuse_changed,
)
from taskinity_data.sources.file import Piece
from taskinity_data.wording import inert_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskinity_data.sources.file import SourceFile

__all__ = [
    "UNREADABLE",
    "Chunk",
    "CutColumns",
    "mark_chunk",
]


@dataclass(frozen=True)
class Chunk:
    """A piece of a dataset (or a few pieces together), which can be read by itself.

    Attributes
    ----------
    reader : Reader
    pieces : tuple of Piece
        In order; at least one. Usually a single range of a single file.
    index : int
        Its position in the plan, from 0. Not part of its identity.
    mark : int or None
        The checksum of the blocks where it was cut, see `mark_cut`; None: not computed.
    """

    reader: Reader
    pieces: tuple[Piece, ...]
    index: int = 0
    mark: int | None = field(default=None, compare=False, repr=False)

    @property
    def path(self) -> str:
        """The path of its file, or of the first of its files."""
        return self.pieces[0].path

    @property
    def start(self) -> int:
        """Where it begins in `path`: a byte of (decompressed) text, a row of Parquet and tables."""
        return self.pieces[0].start

    @property
    def stop(self) -> int:
        """Where its last piece ends (in the last piece's file)."""
        return self.pieces[-1].stop

    @property
    def ranges(self) -> tuple[str, ...]:
        """Its pieces as ``PATH:START-STOP``, the arguments of `Dataset.pick`."""
        return tuple(f"{piece.path}:{piece.start}-{piece.stop}" for piece in self.pieces)

    @property
    def nbytes(self) -> int:
        """The planned size: see `Piece`."""
        if len(self.pieces) == 1:  # as nearly always, and needed often
            return self.pieces[0].nbytes
        return sum(piece.nbytes for piece in self.pieces)

    @property
    def rows(self) -> int | None:
        """The number of rows, None if it is only known after reading."""
        return add_counts(piece.rows for piece in self.pieces)

    @cached_property
    def key(self) -> str:
        """A stable name made of the files' fingerprints, the ranges and the reader's options."""
        text = self.reader.identity()
        for piece in self.pieces:
            file = piece.file
            nbytes, mtime_ns, inode, tag = file.fingerprint
            number = f"tag {tag}" if tag else inode
            text += f"\0{file.path}\0{nbytes}\0{mtime_ns}\0{number}\0{piece.start}\0{piece.stop}"
            if file.unpacked is not None:
                text += f"\0unpacked {tuple(file.unpacked.conversion)}"
        return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()

    def read(self, as_: str = "pandas") -> Any:
        """Read the chunk's rows, with a fresh index from 0.

        Parameters
        ----------
        as_ : {"pandas", "arrow", "polars"}

        Returns
        -------
        pandas.DataFrame, pyarrow.Table or polars.DataFrame

        Raises
        ------
        ReadError
            The range does not parse, or a value does not fit the schema.
        SourceChanged
            The file is no longer the one that was planned.
        """
        return self.load(as_).data

    def __dask_tokenize__(self) -> str:
        return self.key

    def load(self, as_: str = "pandas") -> ReadResult:
        """Read as `read` does, with the counts of rows read and filtered, and the bad lines.

        Notes
        -----
        ``as_="native"`` is for reducers: a frame or a table, whichever the reader makes faster. It
        is a frame if the dtype that pandas has for a column depends on other chunks (integers and
        bools that have nulls there): the reader's `needs_pandas`.
        The files are checked before and after (see `sources/changed.py`), so that a file that
        changes meanwhile is never counted in part; a table in memory checks its private file when
        it opens that. If the plan has the number of rows, the rows read and filtered must add
        up to it.
        """
        needs_pandas = as_ == "native" and self.reader.needs_pandas
        if needs_pandas:
            as_ = "pandas"
        if as_ == "native" and not self.reader.reads_native:
            as_ = "arrow"
        if as_ not in (*KINDS, "native"):
            raise PlanError(f"as_={as_!r}: a chunk is read as one of {', '.join(KINDS)}")
        self.refuse_unreadable()
        checks_files = not self.reader.is_in_memory
        if checks_files:
            check_before(self.pieces)
        check_mark(self.pieces, self.mark, self.reader.unit, self)
        try:
            result = self.reader.read(self.pieces, as_)
        except SourceChanged:
            raise
        except ReadError as error:
            refuse_changed(self.pieces, error)
            raise
        except OSError as error:
            refuse_changed(self.pieces, error)
            raise ReadError(
                f"{self}: can't be read: {error}", path=self.path, start=self.start
            ) from error
        if checks_files:
            check_after(self.pieces)
        if needs_pandas:
            result.data.columns = self.reader.schema.names  # reducers are checked by these
        planned = self.rows
        if planned is not None and result.filtered is not None:
            bad = 0 if result.bad_lines is None else result.bad_lines.count
            delivered = result.rows + result.filtered + bad
            if delivered != planned:
                raise ReadError(
                    f"{self}: {planned} rows were planned but {delivered} read; please report this "
                    "file as a bug",
                    path=self.path,
                    start=self.start,
                )
        return result

    def split(self) -> tuple[Chunk, ...]:
        """Split the chunk into two smaller ones, in order; return it alone if it is one record."""
        if self.failure is not None:
            return (self,)
        if len(self.pieces) > 1:
            middle = len(self.pieces) // 2
            return (
                Chunk(self.reader, self.pieces[:middle], self.index),
                Chunk(self.reader, self.pieces[middle:], self.index),
            )
        with explain_change(self.pieces[0].file, self.start):
            halves = self.reader.split(self.pieces[0])
        if halves is None:
            return (self,)
        return tuple(Chunk(self.reader, (half,), self.index) for half in halves)

    @property
    def failure(self) -> PlanError | ReadError | None:
        """Why it can't be read, if that was known when it was cut; it is then one piece."""
        return self.pieces[0].failure

    def refuse_unreadable(self) -> None:
        """Raise the chunk's failure, if it has one."""
        refuse_failures(self.pieces)

    def __str__(self) -> str:
        others = len(self.pieces) - 1
        more = f" and {others} more piece{'s' if others > 1 else ''}" if others else ""
        first = self.pieces[0]
        return inert_line(
            f"{first.path} [{self.reader.unit} {first.start:,} to {first.stop:,}]{more}"
        )

    def __repr__(self) -> str:
        rows = "unknown" if self.rows is None else f"{self.rows:,}"
        return f"Chunk({self}, {self.nbytes:,} bytes, {rows} rows)"


def mark_chunk(chunk: Chunk) -> Chunk:
    """Return `chunk` with its mark."""
    if chunk.reader.is_in_memory:
        return chunk
    mark = mark_pieces(chunk.pieces, chunk.reader.unit)
    return Chunk(chunk.reader, chunk.pieces, chunk.index, mark)


_UNKNOWN = -1
"""Stands for None among whole numbers."""

UNREADABLE = -2
"""The mark of a chunk that can't be read."""


class CutColumns(Sequence[Chunk]):
    """Chunks in the order in which they were added, in about 70 bytes each; a slice is a tuple.

    Those with another reader than the first, another index than their position here, or a failure
    are kept as they are, too.

    Parameters
    ----------
    chunks : iterable of Chunk

    Attributes
    ----------
    files : list of SourceFile
        Those of the pieces, in order; what two chunks share one after the other is there once.
    """

    def __init__(self, chunks: Iterable[Chunk] = ()) -> None:
        self._reader: Reader | None = None
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
        if mark == UNREADABLE or chunk.reader is not self._reader or chunk.index != number:
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

    @property
    def rows(self) -> int | None:
        """Rows of all chunks, None where those of one are unknown."""
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
        return Chunk(self._reader, pieces, number, None if mark == _UNKNOWN else mark)

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
