"""Tables that files hold in groups of rows (record batches, stripes) as pieces: ranges of rows.

It knows nothing of how a format's groups are found and read: `ReadsGroups` says what it asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from taskinity_data.chunks.chunk import ReadResult
from taskinity_data.chunks.files import read_pieces
from taskinity_data.chunks.frames import conform, count_only, deliver_rows, gather
from taskinity_data.chunks.read_parquet import divide_rows
from taskinity_data.chunks.source_file import Piece
from taskinity_data.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.chunks.filters import Filters
    from taskinity_data.chunks.source_file import SourceFile
    from taskinity_data.chunks.tables_layout import Layout

__all__ = ["ReadsGroups", "TableReader", "read_all", "unreadable"]


SMALL_NBYTES = 256 << 10
"""Bytes up to which groups are one piece together: reading one by itself costs 0.5 ms, as much as
400 KB of it do."""


class ReadsGroups(Protocol):
    """How files of one format are looked into: stateless, and pickled with the reader."""

    @property
    def format(self) -> str:
        """``"arrow"``, ``"orc"``."""

    def open_layout(self, file: SourceFile) -> Layout:
        """What `file` holds; `PlanError` where its metadata can't be read."""

    def read_rows(self, layout: Layout, start: int, stop: int, names: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` (at least one) of columns `names` (at least one, in any order);
        `ReadError` where they can't be read.
        """

    def read_dictionaries(self, layout: Layout, name: str) -> pa.Table:
        """Rows of column `name` whose dictionaries hold all its categories, in order."""


@dataclass(frozen=True)
class TableReader:
    """How the pieces of a dataset are found and read: see `open_tables`.

    Attributes
    ----------
    access : ReadsGroups
    schema : pyarrow.Schema
        The selected columns, in the order asked for, with pandas' metadata but for the index.
    stored : pyarrow.Schema
        The columns that are read from the files: the selected and the filter's.
    filters : Filters or None
    categories : tuple of (str, pyarrow.Array)
        All values of each dictionary-encoded column, in the order of their first appearance.
    with_nulls : frozenset of str
        Integer and bool columns that hold a null somewhere.
    """

    access: ReadsGroups
    schema: pa.Schema
    stored: pa.Schema
    filters: Filters | None = None
    categories: tuple[tuple[str, pa.Array], ...] = ()
    with_nulls: frozenset[str] = frozenset()

    @property
    def format(self) -> str:
        """``"arrow"`` or ``"orc"``."""
        return self.access.format

    @property
    def unit(self) -> str:
        """``"rows"``."""
        return "rows"

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return not self.with_nulls.isdisjoint(self.schema.names)

    def identity(self) -> str:
        """A stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        digest = blake2b(digest_size=16)
        for schema in (self.schema, self.stored):
            digest.update(schema.serialize())
        for name, values in self.categories:
            digest.update(f"\0{name}\0{values.to_pylist()!r}".encode())
        filters = "" if self.filters is None else self.filters.text
        digest.update(f"\0{filters}\0{sorted(self.with_nulls)}".encode())
        return f"{self.format} file {digest.hexdigest()}"

    def select(self, columns: Sequence[str]) -> TableReader:
        """The reader of `columns` alone, some of `schema`'s names, in that order."""
        needed = {*columns, *(self.filters.columns if self.filters else ())}
        return replace(
            self,
            schema=pa.schema([self.schema.field(name) for name in columns], self.schema.metadata),
            stored=pa.schema([one for one in self.stored if one.name in needed]),
            categories=tuple(one for one in self.categories if one[0] in needed),
        )

    def extent(self, file: SourceFile) -> Piece:
        """All rows of `file`."""
        layout = self.access.open_layout(file)
        nbytes = sum(layout.group_nbytes(self.schema.names))
        return Piece(file, 0, layout.rows, nbytes, layout.rows)

    def grains(self, file: SourceFile, grain_nbytes: int) -> Iterator[Piece]:
        """The groups of `file` in order: small ones together, large ones in even parts.

        A piece has at most `grain_nbytes`, or one row. A file without rows is one empty piece.
        """
        layout = self.access.open_layout(file)
        stops = layout.starts[1:].tolist()
        limit = min(grain_nbytes, SMALL_NBYTES)
        start = stop = size = 0
        for end, nbytes in zip(stops, layout.group_nbytes(self.schema.names), strict=True):
            if nbytes and start < stop and size + nbytes > limit:
                yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)
                start, size = stop, 0
            stop, size = end, size + nbytes
        yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """`piece` in even parts of at most `grain_nbytes`, or of one row."""
        yield from divide_rows(piece, -(-piece.nbytes // grain_nbytes))

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """`piece` as two halves by rows, None where it is one row or none."""
        halves = divide_rows(piece, 2)
        return (halves[0], halves[1]) if len(halves) == 2 else None

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """The rows of `pieces`, one after another, in memory of their own.

        Raises
        ------
        ReadError
            They can't be read, or hold what `as_` has no type for.
        SchemaError
            A value does not fit the schema.
        """
        tables = read_pieces(self._read_one, [one for one in pieces if one.start < one.stop])
        rows = sum(table.num_rows for table in tables)
        planned = sum(piece.stop - piece.start for piece in pieces)
        named = bool(self.schema.names)
        table = gather(tables, self.schema, self.categories) if named else count_only(rows)
        data = deliver_rows(table, as_, self.with_nulls, pieces)
        return ReadResult(data, rows, planned - rows)

    def _read_one(self, piece: Piece) -> pa.Table:
        """The rows of `piece` that pass."""
        layout = self.access.open_layout(piece.file)
        there = set(layout.schema.names)
        names = [name for name in self.stored.names if name in there]
        rows = piece.stop - piece.start
        if names:
            table = self.access.read_rows(layout, piece.start, piece.stop, names)
        else:
            table = count_only(rows)
        table = conform(table, self.stored, piece.path)
        return table if self.filters is None else self.filters.apply(table)


def read_all(access: ReadsGroups, layout: Layout, name: str) -> pa.Table:
    """Column `name` of a whole file."""
    if layout.rows == 0:
        return pa.schema([layout.schema.field(name)]).empty_table()
    return access.read_rows(layout, 0, layout.rows, [name])


def unreadable(layout: Layout, start: int, error: Exception) -> ReadError:
    """The error that rows of a file, from `start` on, can't be read because of `error`."""
    path = layout.file.path
    return ReadError(
        f"{path}: rows from {start:,} on can't be read: {error}; the file is damaged: write or "
        "copy it again",
        path=path,
        start=start,
    )
