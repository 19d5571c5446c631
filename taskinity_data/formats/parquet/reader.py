"""Parquet as pieces: whole row groups, or ranges of rows within large ones.

It knows nothing of how many pieces make a chunk. Reading equals `pandas.read_parquet` with the same
columns and filters, but for the index: see `open`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.fs as pfs
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.deliver import conform, count_only, deliver_rows, gather
from taskinity_data.formats.parquet.footer import open_footer, read_groups, read_rows
from taskinity_data.formats.reader import ReadResult
from taskinity_data.formats.tables import divide_rows
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.parquet.footer import Footer
    from taskinity_data.formats.parquet.options import ParquetOptions
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "ParquetReader",
    "surviving_groups",
]


@dataclass(frozen=True)
class ParquetReader:
    """How the pieces of a Parquet dataset are found and read: see `open`.

    Attributes
    ----------
    schema : pyarrow.Schema
        The selected columns, in the order asked for, with pandas' metadata but for the index.
    stored : pyarrow.Schema
        The columns that are read from the files: the selected and the filter's, without hive keys.
    hive : tuple of HiveColumn
        The hive keys that are selected or filtered by.
    filters : Filters or None
    categories : tuple of (str, pyarrow.Array)
        All values of each dictionary-encoded column, in the order of their first appearance.
    with_nulls : frozenset of str
        Integer and bool columns that hold a null somewhere.
    options : ParquetOptions
    """

    schema: pa.Schema
    stored: pa.Schema
    hive: tuple[HiveColumn, ...] = ()
    filters: Filters | None = None
    categories: tuple[tuple[str, pa.Array], ...] = ()
    with_nulls: frozenset[str] = frozenset()
    options: ParquetOptions = ()

    @property
    def format(self) -> str:
        """``"parquet"``."""
        return "parquet"

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
        for name, values in (*self.categories, *((one.name, one.values) for one in self.hive)):
            digest.update(f"\0{name}\0{values.to_pylist()!r}".encode())
        filters = "" if self.filters is None else self.filters.text
        digest.update(f"\0{filters}\0{sorted(self.with_nulls)}".encode())
        if self.options:
            digest.update(f"\0{self.options!r}".encode())
        return f"parquet {digest.hexdigest()}"

    def select(self, columns: Sequence[str]) -> ParquetReader:
        """The reader of `columns` alone, some of `schema`'s names, in that order."""
        needed = {*columns, *(self.filters.columns if self.filters else ())}
        return replace(
            self,
            schema=pa.schema([self.schema.field(name) for name in columns], self.schema.metadata),
            stored=pa.schema([one for one in self.stored if one.name in needed]),
            hive=tuple(one for one in self.hive if one.name in needed),
            categories=tuple(one for one in self.categories if one[0] in needed),
        )

    def extent(self, file: SourceFile) -> Piece:
        """All rows of `file`; its bytes without those of row groups that the filter rules out."""
        footer = open_footer(file, self.options)
        nbytes = sum(self._group_nbytes(footer, group) for group in self.survivors(footer))
        rows = sum(footer.rows)
        return Piece(file, 0, rows, nbytes, rows)

    def grains(self, file: SourceFile, grain_nbytes: int) -> Iterator[Piece]:
        """The row groups of `file` in order, each in as many even parts as `grain_nbytes` asks.

        Row groups that the filter rules out have 0 bytes. A file without rows is one empty piece.
        """
        footer = open_footer(file, self.options)
        survivors = set(self.survivors(footer))
        start = 0
        for group, rows in enumerate(footer.rows):
            nbytes = self._group_nbytes(footer, group) if group in survivors else 0
            if rows:
                whole = Piece(file, start, start + rows, nbytes, rows)
                yield from self.recut(whole, grain_nbytes)
            start += rows
        if start == 0:
            yield Piece(file, 0, 0, 0, 0)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """`piece` in even parts of at most `grain_nbytes`, or of one row."""
        yield from divide_rows(piece, -(-piece.nbytes // grain_nbytes))

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """`piece` as two halves by rows, None where it is one row or none."""
        halves = divide_rows(piece, 2)
        return (halves[0], halves[1]) if len(halves) == 2 else None

    def begins_anew(self, piece: Piece) -> bool:
        """Whether `piece` begins with a row group, so that no rows before it are decoded."""
        return piece.start in {0, *accumulate(open_footer(piece.file, self.options).rows)}

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """The rows of `pieces`, one after another.

        Raises
        ------
        ReadError
            They can't be read, or hold what `as_` has no type for.
        SchemaError
            A value does not fit the schema.

        Notes
        -----
        Decodes in the calling thread, but for several pieces that lie in stores. Rows before a
        piece that begins within a row group are decoded too, unless the same process has just read
        up to there.
        """
        read = read_pieces(lambda piece: list(self._tables(piece)), pieces)
        tables = [table for found in read for table in found]
        rows = sum(table.num_rows for table in tables)
        planned = sum(piece.stop - piece.start for piece in pieces)
        dictionaries = [*self.categories, *((one.name, one.values) for one in self.hive)]
        named = bool(self.schema.names)
        table = gather(tables, self.schema, dictionaries) if named else count_only(rows)
        data = deliver_rows(table, as_, self.with_nulls, pieces)
        return ReadResult(data, rows, planned - rows)

    def frame_nbytes(self, piece: Piece) -> int | None:
        """Bytes of all rows of `piece` as a pandas frame, None where only reading can tell.

        Rows that the filter will drop are counted, as they are read before.
        """
        widths = [_width(one.type, one.name in self.with_nulls) for one in self.schema]
        if None in widths:
            return None
        rows = piece.stop - piece.start if piece.nbytes else 0
        return rows * sum(width for width in widths if width is not None)

    @cached_property
    def _full(self) -> pa.Schema:
        """The stored columns and the hive keys: what filters see."""
        fields = [*self.stored, *(pa.field(one.name, one.type) for one in self.hive)]
        return pa.schema(fields)

    def _tables(self, piece: Piece) -> Iterator[pa.Table]:
        """The rows of `piece` that pass, in tables of the schema `_full`."""
        if piece.start == piece.stop:
            return
        footer = open_footer(piece.file, self.options)
        survivors = set(self.survivors(footer))
        names = [name for name in self.stored.names if name in footer.leaves]
        whole: list[int] = []
        start = 0
        for group, rows in enumerate(footer.rows):
            low, high = max(start, piece.start) - start, min(start + rows, piece.stop) - start
            start += rows
            if low >= high or group not in survivors:
                continue
            if high - low == rows:
                whole.append(group)
                continue
            if whole:
                yield self._finish(read_groups(footer, whole, names), piece.file)
                whole = []
            yield self._finish(read_rows(footer, group, low, high, names), piece.file)
        if whole:
            yield self._finish(read_groups(footer, whole, names), piece.file)

    def _finish(self, table: pa.Table, file: SourceFile) -> pa.Table:
        rows = table.num_rows
        table = conform(table, self.stored, file.path)
        for one in self.hive:
            table = table.append_column(pa.field(one.name, one.type), one.repeat(file, rows))
        return table if self.filters is None else self.filters.apply(table)

    def _group_nbytes(self, footer: Footer, group: int) -> int:
        if footer.rows[group] == 0:
            return 0
        names = [name for name in self.schema.names if name in footer.leaves]
        # Without a stored column there is nothing to read but rows to count.
        return footer.nbytes(group, names) if names else footer.rows[group]

    def survivors(self, footer: Footer) -> list[int]:
        """The row groups that the filter does not rule out."""
        return surviving_groups(footer, self.filters, self._full, self.hive)


def _width(type_: pa.DataType, has_nulls: bool) -> int | None:
    """Bytes of a value of this type in a pandas column, None where they differ."""
    if pat.is_boolean(type_):
        return None if has_nulls else 1
    if pat.is_integer(type_):
        return 8 if has_nulls else int(type_.bit_width) // 8
    if pat.is_floating(type_) or pat.is_timestamp(type_) or pat.is_duration(type_):
        return int(type_.bit_width) // 8
    return None


def surviving_groups(
    footer: Footer, filters: Filters | None, schema: pa.Schema, hive: Sequence[HiveColumn]
) -> list[int]:
    """The row groups of `footer` that statistics and hive keys don't rule out."""
    if filters is None:
        return list(range(len(footer.rows)))
    known = None
    for one in hive:
        value = one.repeat(footer.file, 1)[0].as_py()
        column = pds.field(one.name)
        claim = column.is_null() if value is None else column == value
        known = claim if known is None else known & claim
    form = pds.ParquetFileFormat()
    if footer.file.store is None:
        fragment = form.make_fragment(
            footer.file.path, pfs.LocalFileSystem(), partition_expression=known
        )
    else:
        alone = pa.BufferOutputStream()
        footer.metadata.write_metadata_file(alone)
        fragment = form.make_fragment(alone.getvalue(), partition_expression=known)
    try:
        kept = fragment.subset(filter=filters.expression, schema=schema)
    except (pa.ArrowException, OverflowError) as error:
        raise PlanError(
            f"{footer.file.path}: the statistics can't be compared with the filter "
            f"{filters.expression}: {error}"
        ) from error
    return sorted(group.id for group in kept.row_groups)
