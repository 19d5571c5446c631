"""Hive keys as columns for formats whose readers don't add them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import PlanError
from taskinity_data.formats.deliver import count_only, deliver
from taskinity_data.formats.filters import narrow_filters, parse_filters
from taskinity_data.formats.open_tables import refuse_clash
from taskinity_data.formats.reader import Reader, ReadResult, check_columns
from taskinity_data.outcome import join_bad_lines
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "HiveReader",
    "add_hive_columns",
    "rule_out",
]

_ROW = "row of the file's piece"


@dataclass(frozen=True)
class HiveReader(Reader):
    """A reader that adds the hive keys to the columns of `inner`: see `add_hive_columns`.

    Attributes
    ----------
    inner : Reader
        Reads the columns that are selected or filtered by, and filters nothing.
    schema : pyarrow.Schema
        The selected columns and keys, in the order requested.
    hive : tuple of HiveColumn
    filters : Filters or None
    """

    inner: Reader
    schema: pa.Schema
    hive: tuple[HiveColumn, ...]
    filters: Filters | None = None

    @property
    def format(self) -> str:
        """That of the files."""
        return self.inner.format

    @property
    def keeps_bad_lines(self) -> bool:
        """Whether it hands over what does not parse."""
        return self.inner.keeps_bad_lines

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return self.inner.needs_pandas

    def identity(self) -> str:
        """Return a stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        keys = [(column.name, column.values.to_pylist()) for column in self.hive]
        filters = "" if self.filters is None else self.filters.text
        return f"{self.inner.identity()} {keys!r} {self.schema.names!r} {filters}"

    def select(self, columns: Sequence[str]) -> HiveReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order."""
        schema = pa.schema([self.schema.field(name) for name in columns])
        needed = {*columns, *(self.filters.columns if self.filters else ())}
        stored = [name for name in self.inner.schema.names if name in needed]
        return replace(self, inner=self.inner.select(stored), schema=schema)

    def extent(self, file: SourceFile) -> Piece:
        """Return all data of `file` as one piece."""
        return self.inner.extent(file)

    def grains(self, extent: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield the pieces of `file`, in order, as small as records and `grain_nbytes` allow."""
        return self.inner.grains(extent, grain_nbytes)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield `piece` in pieces as small as records and `grain_nbytes` allow."""
        return self.inner.recut(piece, grain_nbytes)

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """Return `piece` cut near its middle, or None if it is one record."""
        return self.inner.split(piece)

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, one after another.

        Notes
        -----
        Files that the keys alone rule out are not read. A filter that needs other columns too makes
        pandas chunks cost two reads.
        """
        first = pieces[0]
        nothing = Piece(first.file, first.start, first.start, 0, 0)
        runs = [(file, list(run)) for file, run in groupby(pieces, key=lambda piece: piece.file)]
        read = [
            self._read_file(file, run, as_)
            if self._may_pass(file)
            else self._read_file(file, [nothing], as_)._replace(
                rows=0, filtered=add_counts(piece.rows for piece in run)
            )
            for file, run in runs
        ]
        parts = [result.data for result in read]
        data = parts[0] if len(parts) == 1 else _join(parts)
        return ReadResult(
            deliver(data, as_) if isinstance(data, pa.Table) else data,
            sum(result.rows for result in read),
            add_counts(result.filtered for result in read),
            join_bad_lines(result.bad_lines for result in read),
        )

    def _may_pass(self, file: SourceFile) -> bool:
        names = [column.name for column in self.hive]
        if self.filters is None or not set(self.filters.columns) <= set(names):
            return True
        row = pa.table({column.name: column.repeat(file, 1) for column in self.hive})
        return bool(self.filters.apply(row).num_rows)

    def _read_file(self, file: SourceFile, pieces: Sequence[Piece], as_: str) -> ReadResult:
        if as_ == "pandas" and self.filters is None:
            result = self.inner.read(pieces, "pandas")
            return result._replace(data=self._to_frame(result.data, file))
        result = self.inner.read(pieces, "arrow")
        table = result.data
        for column in self.hive:
            table = table.append_column(
                pa.field(column.name, column.type), column.repeat(file, result.rows)
            )
        table = table.append_column(_ROW, pa.array(range(result.rows), pa.int64()))
        passed = table if self.filters is None else self.filters.apply(table)
        dropped = result.rows - passed.num_rows
        filtered = None if result.filtered is None else result.filtered + dropped
        if as_ != "pandas":
            return ReadResult(
                passed.select(self.schema.names), passed.num_rows, filtered, result.bad_lines
            )
        frame = self.inner.read(pieces, "pandas").data.iloc[passed[_ROW].to_numpy()]
        return ReadResult(
            self._to_frame(frame.reset_index(drop=True), file),
            passed.num_rows,
            filtered,
            result.bad_lines,
        )

    def _to_frame(self, frame: pd.DataFrame, file: SourceFile) -> pd.DataFrame:
        labels = {str(label): label for label in frame.columns}
        for column in self.hive:
            frame[column.name] = column.repeat(file, len(frame)).to_pandas()
            labels[column.name] = column.name
        return frame[[labels[name] for name in self.schema.names]]


def _join(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], pa.Table):
        rows = sum(map(len, parts))
        return pa.concat_tables(parts) if parts[0].num_columns else count_only(rows)
    full = [part for part in parts if len(part)] or parts[:1]
    return pd.concat(full, ignore_index=True)


def add_hive_columns(
    reader: Reader,
    first: str,
    hive: tuple[HiveColumn, ...],
    columns: Sequence[str] | None,
    filters: Any,
) -> HiveReader:
    """Return `reader` with the `hive` columns, last, as categories.

    Parameters
    ----------
    reader : Reader
        Of all columns, without a filter.
    first : str
        Path of the first file, for messages.
    hive : tuple of HiveColumn
    columns, filters
        As in `open_dataset`.

    Raises
    ------
    PlanError
        A key is a column of the files too; an unknown column; a wrong filter.
    """
    refuse_clash(first, reader.schema, hive)
    if reader.index:
        raise PlanError(
            f"{first}: index_col= is not supported with hive directories; call set_index in the "
            "chunk function"
        )
    every = pa.schema([*reader.schema, *(pa.field(column.name, column.type) for column in hive)])
    parsed = parse_filters(filters, every)
    whole = HiveReader(reader, every, hive, parsed)
    return whole if columns is None else whole.select(check_columns(columns, every, every.names))


def rule_out(
    files: Sequence[SourceFile], hive: Sequence[HiveColumn], filters: Any
) -> tuple[SourceFile, ...]:
    """Return `files` without those in which no row can pass `filters`, by their keys alone.

    The first stays in any case: its columns are those of all.
    """
    schema = pa.schema([pa.field(column.name, column.type) for column in hive])
    narrowed = None if filters is None or not hive else narrow_filters(filters, schema)
    if narrowed is None:
        return tuple(files)
    position = "\0"  # no key can have that name
    keys = pa.table(
        {
            **{column.name: column.list(files) for column in hive},
            position: pa.array(range(len(files))),
        }
    )
    passed = narrowed.apply(keys)[position].to_pylist()
    return tuple(files[number] for number in sorted({0, *passed}))
