"""Describe one piece of a dataset: its files and ranges, its size, and the reader for it.

A chunk holds no data. Its reader, which is pickled with it, reads its rows on any machine that sees
the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

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
from taskinity_data.wording import inert_line

if TYPE_CHECKING:
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "Chunk",
    "describe_file",
    "digest_key",
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
            before, after = describe_file(piece.file)
            text += f"{before}\0{piece.start}\0{piece.stop}{after}"
        return digest_key(text).hex()

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


def describe_file(file: SourceFile) -> tuple[str, str]:
    """Return the parts of keys for `file`, before and after the range of a piece."""
    nbytes, mtime_ns, inode, tag = file.fingerprint
    number = f"tag {tag}" if tag else inode
    after = "" if file.unpacked is None else f"\0unpacked {tuple(file.unpacked.conversion)}"
    return f"\0{file.path}\0{nbytes}\0{mtime_ns}\0{number}", after


def digest_key(text: str) -> bytes:
    """Return the digest that is a key, of the text that it is made of."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def mark_chunk(chunk: Chunk) -> Chunk:
    """Return `chunk` with its mark."""
    if chunk.reader.is_in_memory:
        return chunk
    mark = mark_pieces(chunk.pieces, chunk.reader.unit)
    return Chunk(chunk.reader, chunk.pieces, chunk.index, mark)
