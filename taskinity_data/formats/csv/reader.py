"""CSV files as chunks whose rows, put together, are `pandas.read_csv` of the whole file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from taskinity_data.errors import ReadError
from taskinity_data.formats.csv.columns import (
    concat_tables,
    deliver_columns,
    fill,
    to_table,
    with_index,
)
from taskinity_data.formats.csv.encodings import to_utf8
from taskinity_data.formats.csv.fast import has_lone_return, parse_fast
from taskinity_data.formats.csv.head import read_head
from taskinity_data.formats.csv.options import stable
from taskinity_data.formats.csv.pandas_parser import TooManyFields
from taskinity_data.formats.csv.records.dialect import WHITESPACE
from taskinity_data.formats.csv.records.encoded import codec_of
from taskinity_data.formats.csv.records.rows import find_row_grains
from taskinity_data.formats.reader import Misfit, Reader, ReadResult
from taskinity_data.formats.schema import arrow_schema, dtype_of_kind, text_column
from taskinity_data.outcome import join_bad_lines
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_pieces, read_range

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.rows import RowRange
    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.schema import Column
    from taskinity_data.outcome import BadLines
    from taskinity_data.sources.file import SourceFile

__all__ = ["CsvReader"]


@dataclass(frozen=True)
class CsvReader(Reader):
    """Reads pieces of CSV files; see `Reader`.

    Attributes
    ----------
    options : CsvOptions
    columns : tuple of Column
        What is delivered, in order.
    extra : tuple of Column
        What is read beside it, for the filters alone.
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
        What the levels of nested columns beside that index are called.
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
        filters = None if self.filters is None else self.filters.text
        columns, extra, index = (
            [(column.label, column.kind, repr(column.dtype), column.details) for column in some]
            for some in (self.columns, self.extra, self.index)
        )
        details = f"{stable(self.layouts)} {filters} {extra!r} {index!r} {self.index_names!r}"
        if self.level_names:
            details += f" {self.level_names!r}"
        return f"csv 1 {self.options.identity()} {columns!r} {details}"

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

    def select(self, columns: Sequence[str]) -> CsvReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order.

        Where none is wanted the first is kept, since rows without columns can't be counted.
        """
        by_name = {column.name: column for column in (*self.columns, *self.extra)}
        names = list(columns) or [self.columns[0].name]
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
        if as_ == "native":
            if len(pieces) == 1 and self.filters is None and not self.index:
                part, skipped, bad = self.read_piece(pieces[0], self.encoded)
                return ReadResult(part, len(part), skipped, bad)
            as_ = "pandas"
        read = read_pieces(self.read_piece, pieces)
        parts = [part for part, _, _ in read]
        skipped = sum(count for _, count, _ in read)
        bad = join_bad_lines(lines for _, _, lines in read)
        all_frames = all(isinstance(part, pd.DataFrame) for part in parts)
        if as_ == "pandas" and self.filters is None and all_frames:
            frame = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
            frame = with_index(frame, self.index, self.index_names, self.level_names)
            return ReadResult(frame, len(frame), skipped, bad)
        needed = self.needed
        tables = [
            to_table(part, needed) if isinstance(part, pd.DataFrame) else part for part in parts
        ]
        table = concat_tables(tables, arrow_schema(needed))
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

    def read_piece(
        self, piece: Piece, encoded: tuple[Hashable, ...] = ()
    ) -> tuple[pd.DataFrame | pa.Table, int, BadLines | None]:
        """Return the rows of one piece, of whichever kind its parser made, and what it left out.

        That is how many rows were dropped, and those that were quarantined.
        """
        labels = self.layouts[self.layout_of.get(piece.path, 0)]
        needed = self.needed
        there = [column for column in needed if column.label in labels]
        texts = [column.as_text() for column in there or [text_column(labels[0])]]
        data = read_text(piece, self.options, self.rows_of.get(piece.path))
        encoded = tuple(label for label in encoded if label in labels)
        part: Any = parse_fast(data, labels, texts, self.options, encoded)
        skipped = 0
        try:
            if part is None:
                from taskinity_data.formats.csv.bad_lines import parse_with_bad_lines

                part, skipped = parse_with_bad_lines(data, labels, texts, self.options)
            bad = None
            if skipped and self.options.keeps_bad_lines:
                from taskinity_data.formats.csv.bad_lines import find_bad_lines

                bad = find_bad_lines(piece, data, labels, self.options, skipped)
                skipped = 0
            if any(column.is_made_of_texts for column in there):
                part = with_values(part, there)
            return (part if len(there) == len(needed) else fill(part, needed)), skipped, bad
        except ReadError:
            raise
        except Misfit as error:
            from taskinity_data.formats.csv.messages import misfit_error

            raise misfit_error(piece, error, self.options) from None
        except (TooManyFields, ValueError, OverflowError) as error:
            from taskinity_data.formats.csv.messages import parse_error

            raise parse_error(piece, data, labels, self.options, error) from error


def with_values(part: Any, columns: Sequence[Column]) -> Any:
    """Return `part` with those of `columns` that are made of texts made from them."""
    from taskinity_data.formats.csv.column_types.categories import with_categories
    from taskinity_data.formats.csv.column_types.dates import with_dates

    return with_categories(with_dates(part, columns), columns)


def read_text(piece: Piece, options: CsvOptions, rows: RowRange | None = None) -> bytes:
    """Return the whole records of `piece` as UTF-8, without lines that `rows` leaves out.

    Raises
    ------
    ReadError
        A byte that belongs to no text, or lines that can't be cut with these options.
    """
    data = read_range(piece.file, piece.start, piece.stop)
    if rows is not None:
        data = rows.blank_out(data, piece.start, piece.file, options)
    codec, _ = codec_of(piece.file, options)
    try:
        text = to_utf8(data, codec, options.encoding_errors)
    except UnicodeDecodeError as error:
        from taskinity_data.formats.csv.hints import hint_encoding

        step = hint_encoding(data, error.start, options.encoding)
        raise ReadError(
            f"{piece.path}: byte {piece.start + error.start:,} is not valid "
            f"{options.encoding} text; {step}",
            path=piece.path,
            start=piece.start,
        ) from error
    check_returns(piece, text, options)
    return text


def check_returns(piece: Piece, data: bytes, options: CsvOptions) -> None:
    r"""Raise `ReadError` where pandas' parser reads a record by what stood before it.

    After a lone ``\r`` it takes a space for the separator that it is; at the start of a text, or
    after ``\n``, `skipinitialspace` or ``sep=r"\s+"`` drops it.
    """
    dialect = options.dialect
    drops_blanks = dialect.sep == WHITESPACE or (dialect.sep == " " and dialect.skipinitialspace)
    if drops_blanks and has_lone_return(data):
        option = " and skipinitialspace=True" if dialect.sep == " " else ""
        raise ReadError(
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: lines end with \\r alone, "
            f"which can't be cut together with sep={dialect.sep!r}{option}; write the file with "
            "\\n",
            path=piece.path,
            start=piece.start,
        )
