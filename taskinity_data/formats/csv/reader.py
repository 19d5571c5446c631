"""CSV files as chunks whose rows, put together, are `pandas.read_csv` of the whole file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from taskinity_data.errors import ReadError
from taskinity_data.formats.csv.columns import (
    concat_tables,
    decode,
    deliver_columns,
    fill,
    join_native,
    to_table,
    with_index,
)
from taskinity_data.formats.csv.fast import parse_fast
from taskinity_data.formats.csv.head import read_head
from taskinity_data.formats.csv.options import stable
from taskinity_data.formats.csv.pandas_parser import TooManyFields
from taskinity_data.formats.csv.records.rows import find_row_grains
from taskinity_data.formats.csv.records.scan import join_texts
from taskinity_data.formats.csv.records.texts import read_text
from taskinity_data.formats.reader import Misfit, Reader, ReadResult
from taskinity_data.formats.schema import arrow_schema, dtype_of_kind, text_column
from taskinity_data.outcome import join_bad_lines
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_pieces

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.rows import RowRange
    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.schema import Column
    from taskinity_data.outcome import BadLines
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.row_cache import CachedRows, RowCache

    Part = tuple[pd.DataFrame | pa.Table, int, BadLines | None]
    """Rows, how many were dropped, and those that were quarantined."""

__all__ = ["CsvReader"]

BATCH_NBYTES = 1 << 20
"""Small pieces are parsed together up to this: Arrow takes a third of a millisecond to begin."""


@dataclass(frozen=True)
class CsvReader(Reader):
    """Reads pieces of CSV files; see `Reader`.

    Attributes
    ----------
    options : CsvOptions
    columns : tuple of Column
        What is delivered, in order.
    extra : tuple of Column
        What is read in addition, for the filters only.
    layouts : tuple of tuple of labels
        The orders of columns that the files have, the commonest first.
    layout_of : dict of path to position in `layouts`
        Of the files that have another than the first.
    filters : Filters or None
    encoded : tuple of labels
        Text columns that may come as codes: see `encode`.
    rows_of : dict of path to RowRange
        Of the files of which not all rows are read.
    index : tuple of Column
        What is the index of a pandas chunk, and the first columns of any other.
    index_names : tuple of labels or None
        What the levels of that index are called.
    level_names : tuple of labels or None
        The names of the levels of nested columns, with that index.
    row_cache : RowCache or None
        Rows that were parsed for the schema, and need not be parsed again.
    """

    reads_native: ClassVar[bool] = True

    options: CsvOptions
    columns: tuple[Column, ...]
    extra: tuple[Column, ...]
    layouts: tuple[tuple[Hashable, ...], ...]
    layout_of: Mapping[str, int] = field(default_factory=dict)
    filters: Filters | None = None
    encoded: tuple[Hashable, ...] = ()
    rows_of: Mapping[str, RowRange] = field(default_factory=dict)
    index: tuple[Column, ...] = ()
    index_names: tuple[Hashable, ...] = ()
    level_names: tuple[Hashable, ...] = ()
    row_cache: RowCache | None = field(default=None, compare=False, repr=False)

    @property
    def needed(self) -> tuple[Column, ...]:
        """All that is read of a file: what is delivered, and what is filtered on."""
        some = (*self.index, *self.columns, *self.extra)
        return tuple({column.label: column for column in some}.values())

    @property
    def format(self) -> str:
        """``"csv"``."""
        return "csv"

    @property
    def schema(self) -> pa.Schema:
        """The schema that every chunk keeps, after the selection of columns."""
        return arrow_schema(self.columns)

    @property
    def keeps_bad_lines(self) -> bool:
        """Whether it hands over what does not parse."""
        return self.options.keeps_bad_lines

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return any(column.needs_pandas for column in self.columns)

    def identity(self) -> str:
        """Return a stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        filters = None if self.filters is None else self.filters.text
        columns, extra, index = (
            [(column.label, column.kind, repr(column.dtype), column.details) for column in some]
            for some in (self.columns, self.extra, self.index)
        )
        details = f"{stable(self.layouts)} {filters} {extra!r} {index!r} {self.index_names!r}"
        details += f" {self.level_names!r}" if self.level_names else ""
        return f"csv 1 {self.options.identity} {columns!r} {details}"

    def extent(self, file: SourceFile) -> Piece:
        """Return all data of `file` as one piece, without its header.

        Raises
        ------
        PlanError
            The file has no head: see `read_head`.
        """
        start = read_head(file, self.options).data_start
        rows = self.rows_of.get(file.path)
        stop = file.nbytes if rows is None else rows.stop
        return Piece(file, start, stop, stop - start)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield `piece` in pieces as small as records and `grain_nbytes` allow."""
        rows = self.rows_of.get(piece.path)
        for grain in find_row_grains(
            piece.file, piece.start, piece.stop, self.options, grain_nbytes, rows
        ):
            yield Piece(piece.file, grain.start, grain.stop, grain.stop - grain.start, grain.rows)

    def frame_nbytes(self, piece: Piece) -> int | None:
        """Return bytes of all rows of `piece` as a pandas frame, None if it holds objects."""
        dtypes = [column.dtype for column in self.needed]
        is_fixed = all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in dtypes)
        if piece.rows is None or not is_fixed:
            return None
        return piece.rows * sum(int(dtype.itemsize) for dtype in dtypes)

    def select(self, columns: Sequence[str]) -> CsvReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order.

        Where none is wanted the first is kept, since rows without columns can't be counted.
        """
        by_name = {column.name: column for column in (*self.columns, *self.extra)}
        names = list(columns) or [column.name for column in self.columns[:1]]
        needed = () if self.filters is None else self.filters.columns
        return replace(
            self,
            columns=tuple(by_name[name] for name in names),
            extra=tuple(by_name[name] for name in needed if name not in names),
        )

    def encode(self, columns: Sequence[str]) -> CsvReader:
        """Return the same reader, which may give these texts as codes when it reads "native".

        Only for who knows them as such: the table's schema names them, under `fast.ENCODED`.
        """
        texts = [
            column.label
            for column in self.columns
            if column.name in columns
            and column.kind == "str"
            and column.dtype == dtype_of_kind("str")
        ]
        return replace(self, encoded=tuple(texts))

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, one after another, as one frame or table with a fresh index.

        Raises
        ------
        SchemaError
            A value does not fit the frozen schema.
        ReadError
            A piece does not parse: a row with too many fields, an open quote, no text.

        Notes
        -----
        Only the pieces' own bytes are read. Arrow parses where it provably gives what pandas
        would; everything else, and every refusal, is pandas' word.
        """
        is_native = as_ == "native" and self.filters is None and not self.index
        read = self.read_parts(pieces, self.encoded if is_native else ())
        parts = [part for part, _, _ in read]
        skipped = sum(count for _, count, _ in read)
        bad = join_bad_lines(lines for _, _, lines in read)
        joined = join_native(parts) if is_native else None
        if joined is not None:
            return ReadResult(joined, len(joined), skipped, bad)
        as_ = "pandas" if as_ == "native" else as_
        all_frames = all(isinstance(part, pd.DataFrame) for part in parts)
        if as_ == "pandas" and self.filters is None and all_frames:
            frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
            frame = with_index(frame, self.index, self.index_names, self.level_names)
            return ReadResult(frame, len(frame), skipped, bad)
        needed = self.needed
        schema = arrow_schema(needed)
        tables = [
            to_table(part, needed) if isinstance(part, pd.DataFrame) else decode(part, schema)
            for part in parts
        ]
        table = concat_tables(tables, schema)
        before = table.num_rows
        if self.filters is not None:
            table = self.filters.apply(table)
        delivered = replace(self, extra=()).needed
        table = table.select([column.name for column in delivered])
        rows = table.num_rows
        data = deliver_columns(table, delivered, as_)
        if as_ == "pandas":
            data = with_index(data, self.index, self.index_names, self.level_names)
        return ReadResult(data, rows, skipped + before - rows, bad)

    def read_parts(self, pieces: Sequence[Piece], encoded: tuple[Hashable, ...]) -> list[Part]:
        """Return what `parse_piece` does for each of `pieces`, or in one for several small ones.

        Rows that are cached come in the tables in which they were parsed.
        """
        if self.row_cache is not None:
            tables = list(map(self.fit, self.row_cache.take(pieces)))
            if tables and None not in tables:
                return [(table, 0, None) for table in tables]
        texts = read_pieces(
            lambda piece: read_text(piece, self.options, self.rows_of.get(piece.path)), pieces
        )
        parts: list[Part] = []
        for batch in find_batches(pieces, self.layout_of):
            some = [texts[position] for position in batch]
            table = self.parse_together(pieces[batch[0]], some, encoded)
            if table is not None:
                parts.append((table, 0, None))
            else:
                parts += (
                    self.parse_piece(pieces[position], texts[position], encoded)
                    for position in batch
                )
        return parts

    def fit(self, cached: CachedRows) -> pa.Table | None:
        """Return the columns of cached rows, None if one is of another type there."""
        _, there, columns = self.columns_in(cached.piece)
        strict = [column.name for column in columns if not column.allows_missing]
        table = cached.select(arrow_schema(columns), strict)
        return None if table is None else self.complete(table, there)

    def parse_together(
        self, piece: Piece, texts: Sequence[bytes], encoded: tuple[Hashable, ...]
    ) -> pa.Table | None:
        """Return the rows of `texts`, of files like that of `piece`, None if each counts alone.

        What does not fit is left for that, so that its error names a file.
        """
        joined = join_texts(texts, self.options.dialect) if len(texts) > 1 else None
        if joined is None:
            return None
        labels, there, columns = self.columns_in(piece)
        try:
            # What may end within quotes is not joined.
            part = parse_fast(joined, labels, columns, self.options, encoded, is_closed=True)
            return None if part is None else self.complete(part, there)
        except (Misfit, ValueError, OverflowError):
            return None

    def parse_piece(self, piece: Piece, data: bytes, encoded: tuple[Hashable, ...]) -> Part:
        """Return the rows of one piece, of whichever kind its parser made, and what it left out.

        That is how many rows were dropped, and those that were quarantined.
        """
        labels, there, columns = self.columns_in(piece)
        is_closed = self.ends_closed(piece)
        part: Any = parse_fast(data, labels, columns, self.options, encoded, is_closed=is_closed)
        skipped = 0
        try:
            if part is None:
                from taskinity_data.formats.csv.bad_lines import parse_with_bad_lines

                part, skipped = parse_with_bad_lines(data, labels, columns, self.options)
            bad = None
            if skipped and self.options.keeps_bad_lines:
                from taskinity_data.formats.csv.bad_lines import find_bad_lines

                bad = find_bad_lines(piece, data, labels, self.options, skipped)
                skipped = 0
            return self.complete(part, there), skipped, bad
        except ReadError:
            raise
        except Misfit as error:
            from taskinity_data.formats.csv.messages import misfit_error

            raise misfit_error(piece, error, self.options) from None
        except (TooManyFields, ValueError, OverflowError) as error:
            from taskinity_data.formats.csv.messages import parse_error

            raise parse_error(piece, data, labels, self.options, error) from error

    def ends_closed(self, piece: Piece) -> bool:
        """Return whether `piece` was cut after a record, so that it can't end within quotes."""
        is_last = piece.stop >= piece.file.nbytes or piece.path in self.rows_of
        return self.options.dialect.newlines_in_values and not is_last

    def columns_in(self, piece: Piece) -> tuple[tuple[Hashable, ...], list[Column], list[Column]]:
        """Return the labels of a piece's file, those of `needed` that it has, and what is parsed.

        That is their texts, where they are made of texts; some column, where it has none of them.
        """
        labels = self.layouts[self.layout_of.get(piece.path, 0)]
        there = [column for column in self.needed if column.label in labels]
        return labels, there, [column.as_text() for column in there or [text_column(labels[0])]]

    def complete(self, part: Any, there: Sequence[Column]) -> Any:
        """Return the parsed columns `there` with their values made, and `needed` they lack."""
        if any(column.is_made_of_texts for column in there):
            part = with_values(part, there)
        needed = self.needed
        return part if len(there) == len(needed) else fill(part, needed)


def find_batches(pieces: Sequence[Piece], layout_of: Mapping[str, int]) -> Iterator[range]:
    """Yield the positions of small pieces in a row whose files have the same columns."""
    start = nbytes = 0
    for position, piece in enumerate(pieces):
        nbytes += piece.nbytes
        is_alike = layout_of.get(piece.path, 0) == layout_of.get(pieces[start].path, 0)
        if position > start and (nbytes > BATCH_NBYTES or not is_alike):
            yield range(start, position)
            start, nbytes = position, piece.nbytes
    if pieces:
        yield range(start, len(pieces))


def with_values(part: Any, columns: Sequence[Column]) -> Any:
    """Return `part` with those of `columns` that are made of texts made from them."""
    from taskinity_data.formats.csv.column_types.categories import with_categories
    from taskinity_data.formats.csv.column_types.dates import with_dates

    return with_categories(with_dates(part, columns), columns)
