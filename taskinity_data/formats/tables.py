"""Tables that files hold in groups of rows (row groups, batches, stripes), as pieces: rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.formats.deliver import conform, count_only, deliver_rows, gather
from taskinity_data.formats.reader import ReadResult, RowReader
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_pieces

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.table_access import TableAccess, TableLayout
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["TableReader"]

SMALL_NBYTES = 256 << 10
"""Bytes up to which groups are one piece together: reading one by itself costs 0.5 ms, as much as
400 KB of it do."""


@dataclass(frozen=True)
class TableReader(RowReader):
    """How the pieces of a dataset are found and read: see `open_tables`.

    Attributes
    ----------
    access : TableAccess
    schema : pyarrow.Schema
        The selected columns, in the order requested, with pandas' metadata but for the index.
    stored : pyarrow.Schema
        The columns that are read from the files: the selected and the filter's, without hive keys.
    hive : tuple of HiveColumn
        The hive keys that are selected or filtered by.
    filters : Filters or None
    categories : tuple of (str, pyarrow.Array)
        All values of each dictionary-encoded column, in the order of their first appearance.
    with_nulls : frozenset of str
        Integer and bool columns that hold a null somewhere.
    """

    access: TableAccess
    schema: pa.Schema
    stored: pa.Schema
    hive: tuple[HiveColumn, ...] = ()
    filters: Filters | None = None
    categories: tuple[tuple[str, pa.Array], ...] = ()
    with_nulls: frozenset[str] = frozenset()

    @property
    def format(self) -> str:
        """A key of `registry.FORMATS`."""
        return self.access.format

    @property
    def has_groups(self) -> bool:
        """Whether rows are in groups that are decoded as a whole, which the grains are."""
        return self.access.decodes_groups

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return not self.with_nulls.isdisjoint(self.schema.names)

    def identity(self) -> str:
        """Return a stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        digest = blake2b(repr(self.access).encode(), digest_size=16)
        for schema in (self.schema, self.stored):
            digest.update(schema.serialize())
        for name, values in self._dictionaries:
            digest.update(f"\0{name}\0{values.to_pylist()!r}".encode())
        filters = "" if self.filters is None else self.filters.text
        digest.update(f"\0{filters}\0{sorted(self.with_nulls)}".encode())
        return f"{self.format} file {digest.hexdigest()}"

    @property
    def _dictionaries(self) -> list[tuple[str, pa.Array]]:
        """The values of each dictionary-encoded column and hive key."""
        return [*self.categories, *((key.name, key.values) for key in self.hive)]

    def select(self, columns: Sequence[str]) -> TableReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order."""
        needed = {*columns, *(self.filters.columns if self.filters else ())}
        return replace(
            self,
            schema=pa.schema([self.schema.field(name) for name in columns], self.schema.metadata),
            stored=pa.schema([field for field in self.stored if field.name in needed]),
            hive=tuple(key for key in self.hive if key.name in needed),
            categories=tuple(category for category in self.categories if category[0] in needed),
        )

    def extent(self, file: SourceFile) -> Piece:
        """Return all rows of `file`; its bytes leave out groups that the filter rules out."""
        layout = self.access.open_layout(file)
        return Piece(file, 0, layout.rows, sum(self._group_nbytes(layout)), layout.rows)

    def grains(self, extent: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield the groups of a file in order, small ones together, large ones in even parts.

        Groups that the filter rules out have 0 bytes. A file without rows is one empty piece.
        """
        file = extent.file
        layout = self.access.open_layout(file)
        stops = layout.starts[1:].tolist()
        limit = min(grain_nbytes, SMALL_NBYTES)
        start = stop = size = 0
        for end, nbytes in zip(stops, self._group_nbytes(layout), strict=True):
            if end == stop:
                continue
            if start < stop and (bool(nbytes) != bool(size) or size + nbytes > limit):
                yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)
                start, size = stop, 0
            stop, size = end, size + nbytes
        yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)

    def begins_anew(self, piece: Piece) -> bool:
        """Return whether `piece` begins with a group, so that no rows before it are decoded."""
        return piece.start in self.access.open_layout(piece.file).starts

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, one after another, in memory of their own.

        Raises
        ------
        ReadError
            They can't be read, or hold what `as_` has no type for.
        SchemaError
            A value does not fit the schema.

        Notes
        -----
        Decodes in the calling thread, except for several pieces in stores. Rows before a piece that
        begins within a group are decoded too, unless the same process has just read up to there.
        """
        read = read_pieces(lambda piece: list(self._tables(piece)), pieces)
        tables = [table for tables_of_piece in read for table in tables_of_piece]
        rows = sum(table.num_rows for table in tables)
        planned = sum(piece.stop - piece.start for piece in pieces)
        named = bool(self.schema.names)
        table = gather(tables, self.schema, self._dictionaries) if named else count_only(rows)
        return ReadResult(self.deliver(table, as_, pieces), rows, planned - rows)

    def deliver(self, table: pa.Table, as_: str, pieces: Sequence[Piece]) -> Any:
        """Return `table`, rows of `pieces`, as one of `KINDS`."""
        return deliver_rows(table, as_, self.with_nulls, pieces)

    def frame_nbytes(self, piece: Piece) -> int | None:
        """Return bytes of all rows of `piece` as a pandas frame, None if only reading can tell.

        Rows that the filter will drop are counted, as they are read before.
        """
        widths = [_width(field.type, field.name in self.with_nulls) for field in self.schema]
        if None in widths:
            return None
        rows = piece.stop - piece.start if piece.nbytes else 0
        return rows * sum(width for width in widths if width is not None)

    def survivors(self, layout: TableLayout) -> Sequence[int]:
        """Return the groups that the filter does not rule out."""
        filters = self.filters
        if filters is None or not filters.columns:
            return range(len(layout.starts) - 1)
        hive = [key for key in self.hive if key.name in filters.columns]
        fields = [field for field in self.stored if field.name in filters.columns]
        fields += [pa.field(key.name, key.type) for key in hive]
        return self.access.survivors(layout, filters, pa.schema(fields), hive)

    def _group_nbytes(self, layout: TableLayout) -> list[int]:
        """Return bytes of the selected columns in each group, 0 where the filter rules it out."""
        survivors = set(self.survivors(layout))
        sizes = layout.group_nbytes(self.schema.names)
        return [nbytes if group in survivors else 0 for group, nbytes in enumerate(sizes)]

    def _tables(self, piece: Piece) -> Iterator[pa.Table]:
        """Yield the rows of `piece` that pass."""
        if piece.start == piece.stop:
            return
        layout = self.access.open_layout(piece.file)
        if self.filters is None:
            yield self._read_columns(layout, piece.start, piece.stop, self._columns)
            return
        for start, stop in self._runs(layout, piece):
            yield from self._filter(layout, start, stop, self.filters)

    @property
    def _columns(self) -> set[str]:
        """The columns and hive keys that are read."""
        return {*self.stored.names, *(key.name for key in self.hive)}

    def _filter(
        self, layout: TableLayout, start: int, stop: int, filters: Filters
    ) -> Iterator[pa.Table]:
        """Yield rows `start` to `stop` that pass `filters`, if any may.

        Hive keys are the same in all rows of a file. Where a group is decoded as a whole, the
        columns that are tested come first, and the others only where a row passes.
        """
        if set(filters.columns) <= {key.name for key in self.hive}:
            row = self._read_columns(layout, start, start + 1, filters.columns)
            if filters.mask(row)[0].as_py():
                selected = self.schema.names or self._columns
                yield self._read_columns(layout, start, stop, selected)
            return
        tested = set(filters.columns) if self._tests_first(layout) else self._columns
        table = self._read_columns(layout, start, stop, tested)
        passes = filters.mask(table)
        others = self._columns - tested
        if others:
            if not pc.any(passes).as_py():
                return
            rest = self._read_columns(layout, start, stop, others)
            for field, column in zip(rest.schema, rest.columns, strict=True):
                table = table.append_column(field, column)
        yield table.select(self.schema.names or table.schema.names).filter(passes)

    def _tests_first(self, layout: TableLayout) -> bool:
        """Return whether columns that are filtered by are read before others: in stores they cost
        a request more.
        """
        is_here = layout.file.store is None
        return (
            is_here and self.access.decodes_groups and bool(self.filters and self.filters.columns)
        )

    def _read_columns(
        self, layout: TableLayout, start: int, stop: int, selected: Container[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` of those columns and hive keys that are `selected`."""
        rows = stop - start
        schema = pa.schema([field for field in self.stored if field.name in selected])
        columns = layout.columns
        names = [name for name in schema.names if name in columns]
        table = self.access.read_rows(layout, start, stop, names) if names else count_only(rows)
        table = conform(table, schema, layout.file.path)
        for key in self.hive:
            if key.name in selected:
                field = pa.field(key.name, key.type)
                table = table.append_column(field, key.repeat(layout.file, rows))
        return table

    def _runs(self, layout: TableLayout, piece: Piece) -> list[tuple[int, int]]:
        """Return the ranges of rows of `piece` that the filter does not rule out.

        They are tested one by one; small groups are read together, in stores all of them.
        """
        survivors = set(self.survivors(layout))
        sizes = layout.group_nbytes(self.schema.names)
        max_nbytes = SMALL_NBYTES if self._tests_first(layout) else layout.file.nbytes
        runs: list[tuple[int, int]] = []
        for group in layout.groups(piece.start, piece.stop):
            if group not in survivors:
                continue
            start = max(piece.start, int(layout.starts[group]))
            stop = min(piece.stop, int(layout.starts[group + 1]))
            if runs and runs[-1][1] == start and sizes[group] <= max_nbytes:
                start, _ = runs.pop()
            runs.append((start, stop))
        return runs


def _width(type_: pa.DataType, has_nulls: bool) -> int | None:
    """Return bytes of a value of this type in a pandas column, None if they differ."""
    if pat.is_boolean(type_):
        return None if has_nulls else 1
    if pat.is_integer(type_):
        return 8 if has_nulls else int(type_.bit_width) // 8
    if pat.is_floating(type_) or pat.is_timestamp(type_) or pat.is_duration(type_):
        return int(type_.bit_width) // 8
    return None
