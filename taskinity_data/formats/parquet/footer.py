"""Parquet files as their footers describe them, and rows read from them by ranges.

Notes
-----
Parquet can't be entered in the middle of a row group, so a range that begins there decodes all rows
before it; a cursor left where the last range ended makes ranges read in order cost each row group
once a process, not once a range. A cursor is taken out of its cache while it is in use, so that
threads never share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pat

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.detect import refuse_parquet
from taskinity_data.formats.parquet.options import pass_on
from taskinity_data.formats.table_access import TableLayout, check_schema, reading
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.file import StoreFile, open_tail, read_parts
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from taskinity_data.formats.parquet.options import ParquetOptions
    from taskinity_data.sources.file import SourceFile

__all__ = ["Footer", "read_footer", "read_groups", "read_rows"]

CURSORS = 4
"""Cursors that are kept: a cursor holds one row group's compressed columns."""

MARK = b"PAR1"
SIGNATURE_NBYTES = 28
"""A footer's signature after its metadata: a nonce of 12 bytes and a tag of 16 (the Parquet
format's "Encryption", section 5.5)."""

CODED_NBYTES = 2
"""Bytes of a text below which a column is stored as codes: a text by itself has its length in four.
Two such columns of 2 M rows are read in 42 ms as codes that are then decoded, in 75 as texts; of
50,000 different ones codes would take four times as long, and have more bytes."""

_TEXTS = (pa.string(), pa.large_string())
_MAX_OFFSET = (1 << 31) - 1

CURSOR_ROWS = 65_536
"""Rows decoded at a time: 16,384 to 131,072 cost the same within 5 % (1 M rows, 8 columns)."""


@dataclass(frozen=True, eq=False)
class Footer(TableLayout):
    """The contents of a file's footer.

    Attributes
    ----------
    metadata : pyarrow.parquet.FileMetaData
    leaves : dict of str to range
        Each column's places among the row groups' column chunks (a nested one has several; one
        of nothing but groups without fields has none, is not named here, and reads as null).
    options : ParquetOptions
        What decides on types in addition to the file.
    """

    metadata: Any
    leaves: dict[str, range]
    options: ParquetOptions = ()

    @property
    def columns(self) -> Container[str]:
        """The columns that can be read; others of `schema` are null."""
        return self.leaves

    @property
    def nbytes(self) -> int:
        """Serialized bytes: parsed it takes about five times as much."""
        return int(self.metadata.serialized_size)

    def group_rows(self, groups: Sequence[int]) -> int:
        """Return rows of `groups` together."""
        return sum(int(self.starts[group + 1] - self.starts[group]) for group in groups)

    def null_count(self, group: int, name: str) -> int | None:
        """Nulls of the flat column `name` in row group `group`, None if it isn't known."""
        if not self.schema.field(name).nullable:
            return 0
        statistics = self.metadata.row_group(group).column(self.leaves[name][0]).statistics
        if statistics is None or not statistics.has_null_count:
            return None
        return int(statistics.null_count)

    def _columns(self, group: int, names: Sequence[str]) -> list[Any]:
        """Return the column chunks of columns `names` in row group `group`."""
        chunks = self.metadata.row_group(group)
        return [chunks.column(leaf) for name in names for leaf in self.leaves.get(name, ())]

    def find_coded(self, groups: Sequence[int], names: Sequence[str]) -> list[str]:
        """Return the text columns of `names` that are stored as codes of few texts in `groups`."""
        if self.options:
            return []
        return [
            name
            for name in names
            if name in self.leaves
            and self.schema.field(name).type in _TEXTS
            and all(
                column.total_uncompressed_size < CODED_NBYTES * column.num_values
                for group in groups
                for column in self._columns(group, [name])
            )
        ]

    def open(
        self, groups: Sequence[int], names: Sequence[str], coded: Sequence[str] = ()
    ) -> pq.ParquetFile:
        """Return the file, ready to read columns `names` of `groups` from it; one for each thread.

        Where it lies in a store, their bytes are read now. Columns `coded` come as dictionaries.
        """
        source: str | StoreFile = self.file.path
        if self.file.store is not None:
            columns = [column for group in groups for column in self._columns(group, names)]
            source = read_parts(self.file, [_range_of(column) for column in columns])
        # Checksums of pages, where the writer left some, cost 0.1 ms a megabyte.
        return pq.ParquetFile(
            source,
            metadata=self.metadata,
            page_checksum_verification=True,
            **(pass_on(self.options) or {"read_dictionary": list(coded)}),
        )


_cursors: Cache[_GroupCursor] = Cache(CURSORS)


def read_footer(file: SourceFile, options: ParquetOptions = ()) -> Footer:
    """Return the footer of `file`; the types of its schema follow `options`.

    Raises
    ------
    PlanError
        The footer is corrupt, encrypted, or has several columns of one name.
    """
    source = open_file(file.path) if file.store is None else open_tail(file)
    try:
        with source:
            if file.store is not None:
                _look_at_mark(source, file)
            with pq.ParquetFile(source, **pass_on(options)) as opened:
                _refuse_signed(source, file, opened.metadata)
                return _describe(file, opened.metadata, opened.schema_arrow, options)
    # Extension types are built from what the file says by any class that is registered.
    except Exception as error:
        if isinstance(error, (ReadError, PlanError)):
            raise
        raise PlanError(
            f"{file.path}: the Parquet footer can't be read ({error}); write or copy the file again"
        ) from error


def _describe(
    file: SourceFile, metadata: Any, schema: pa.Schema, options: ParquetOptions
) -> Footer:
    check_schema(schema, file.path)
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    rows = [group.num_rows for group in groups]
    leaves: dict[str, range] = {}
    leaf = 0
    for index, field in enumerate(schema):
        count = _count_leaves(field.type)
        if count:
            leaves[field.name] = range(leaf, leaf + count)
        else:
            schema = schema.set(index, field.with_nullable(True))
        leaf += count
    if metadata.num_columns != leaf or min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise PlanError(
            f"{file.path}: the Parquet footer is inconsistent: it has {metadata.num_columns:,} "
            f"columns and {metadata.num_rows:,} rows, its schema {leaf:,} and its row groups "
            f"{sum(rows):,}; write the file again"
        )
    sizes = [
        [
            sum(max(0, group.column(leaf).total_uncompressed_size) for leaf in leaves.get(name, ()))
            for name in schema.names
        ]
        for group in groups
    ]
    return Footer(
        file=file,
        schema=schema,
        starts=np.cumsum([0, *rows], dtype=np.int64),
        sizes=np.array(sizes, np.int64).reshape(len(rows), len(schema)),
        metadata=metadata,
        leaves=leaves,
        options=options,
    )


def _look_at_mark(source: BinaryIO | StoreFile, file: SourceFile) -> None:
    """Raise `PlanError` if a store's file does not end as Parquet: only its name was known."""
    source.seek(max(0, file.nbytes - len(MARK)))
    if source.read(len(MARK)) != MARK:
        refuse_parquet(file, "parquet")


def _refuse_signed(source: BinaryIO | StoreFile, file: SourceFile, metadata: Any) -> None:
    """Raise `PlanError` if columns are encrypted though the footer is not.

    Such a footer is signed. pyarrow ends the process at the metadata of an encrypted column, so
    this is found before any column is looked at.
    """
    source.seek(file.nbytes - len(MARK) - 4)
    footer_nbytes = int.from_bytes(source.read(4), "little")
    if footer_nbytes == metadata.serialized_size + SIGNATURE_NBYTES:
        raise PlanError(
            f"{file.path}: columns of the Parquet file are encrypted, which this version can't read"
        )


def _range_of(column: Any) -> tuple[int, int]:
    """From and to where the bytes of a column chunk go."""
    # Writers that have no dictionary page may tell its place as 0, which is the file's mark.
    start = min(column.data_page_offset, column.dictionary_page_offset or column.data_page_offset)
    return start, start + column.total_compressed_size


def read_groups(footer: Footer, groups: Sequence[int], names: Sequence[str]) -> pa.Table:
    """Return columns `names` of the row groups `groups`, in one thread."""
    columns = _physical(footer, names)
    coded = footer.find_coded(groups, columns) if columns else []
    with reading(footer, int(footer.starts[groups[0]])):
        with footer.open(groups, columns or footer.schema.names, coded) as file:
            table = file.read_row_groups(list(groups), columns=columns, use_threads=False)
        for name in coded:
            field, index = footer.schema.field(name), table.schema.get_field_index(name)
            table = table.set_column(index, field, _decode(table.column(index), field.type))
        if table.num_rows != footer.group_rows(groups):
            raise pa.ArrowInvalid("a row group ends before its last row")
    return table.select(list(names))


def _decode(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """Return the texts of `column`, which are codes.

    Texts of 1, 2, 4 or 8 bytes each, as flags have, take a quarter of the time of others.
    """
    binary = pa.binary() if type_ == pa.string() else pa.large_binary()
    parts = []
    for chunk in column.chunks:
        texts, codes = chunk.dictionary, chunk.indices
        texts.validate(full=True)
        lengths = pc.min_max(pc.binary_length(texts)).as_py()
        longest = lengths["max"] or 1
        texts = texts.cast(pa.binary(longest) if lengths["min"] == longest else binary)
        rows = max(1, _MAX_OFFSET // longest)
        parts += [
            texts.take(codes.slice(start, rows)).cast(binary).view(type_)
            for start in range(0, len(chunk), rows)
        ]
    return pa.chunked_array(parts, type_)


def read_rows(footer: Footer, group: int, start: int, stop: int, names: Sequence[str]) -> pa.Table:
    """Return rows `start` to `stop` (counted within the row group `group`) of columns `names`."""
    key = (footer.file.path, footer.file.fingerprint, footer.options, group, tuple(names))
    cursor = _cursors.take(key)
    with reading(footer, int(footer.starts[group]) + start):
        if cursor is None or cursor.position > start:
            cursor = _GroupCursor(footer, group, names)
        table = cursor.read(start, stop)
    if cursor.position < footer.group_rows([group]):
        _cursors.put(key, cursor)
    return table.select(list(names))


class _GroupCursor:
    """A place within a row group from which reading can go on."""

    def __init__(self, footer: Footer, group: int, names: Sequence[str]) -> None:
        self.position = 0
        columns = _physical(footer, names)
        self._opened = footer.open([group], columns or footer.schema.names)
        self._batches: Iterator[Any] = self._opened.iter_batches(
            CURSOR_ROWS, [group], columns, use_threads=False
        )
        self._rest: Any = None

    def read(self, start: int, stop: int) -> pa.Table:
        parts = []
        while self.position < stop:
            batch = next(self._batches, None) if self._rest is None else self._rest
            if batch is None:
                raise pa.ArrowInvalid("a row group ends before its last row")
            low = min(max(start - self.position, 0), batch.num_rows)
            high = min(stop - self.position, batch.num_rows)
            if high > low:
                parts.append(batch.slice(low, high - low))
            self._rest = batch.slice(high) if high < batch.num_rows else None
            self.position += high
        return pa.Table.from_batches(parts)


def _physical(footer: Footer, names: Sequence[str]) -> list[str] | None:
    # pyarrow takes a dot in a name for a way into a struct; such files are read whole, then cut.
    is_plain = not any("." in name for name in footer.schema.names)
    return list(names) if is_plain else None


def _count_leaves(type_: pa.DataType) -> int:
    if isinstance(type_, pa.BaseExtensionType):
        return _count_leaves(type_.storage_type)
    if not type_.num_fields and not pat.is_struct(type_):
        return 1
    return sum(_count_leaves(type_.field(i).type) for i in range(type_.num_fields))
