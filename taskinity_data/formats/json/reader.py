"""JSON records as chunks, of JSON Lines and of arrays, which were converted to such.

Cuts, schema and parsers meet here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import ReadError, SchemaError
from taskinity_data.formats.json.cuts import cut_records, find_line_ends, find_start
from taskinity_data.formats.json.deliver import deliver_records
from taskinity_data.formats.json.exact import BadRecord, parse_exact
from taskinity_data.formats.json.fast import parse_fast
from taskinity_data.formats.json.types import has_struct
from taskinity_data.formats.reader import Reader, ReadResult
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import read_pieces, read_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.json.sample import JsonSchema
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.row_cache import RowCache

__all__ = ["JsonReader"]

SLICE_NBYTES = 8 << 20
"""Text that is parsed at a time: one odd record sends no more than this to the slow parser."""


@dataclass(frozen=True)
class JsonReader(Reader):
    """Reads pieces of files of JSON records; see `Reader`.

    Attributes
    ----------
    format : {"jsonl", "json"}
    all_columns : JsonSchema
        Of all columns that were sampled or named.
    columns : tuple of str
        What is delivered, in order.
    is_open : bool
        Some keys are not selected, so that keys outside of `all_columns` are passed over.
    filters : Filters or None
    row_cache : RowCache or None
        Rows that were parsed for the schema, and need not be parsed again.
    """

    format: str
    all_columns: JsonSchema
    columns: tuple[str, ...]
    is_open: bool
    filters: Filters | None = None
    row_cache: RowCache | None = field(default=None, compare=False, repr=False)

    @property
    def schema(self) -> pa.Schema:
        """The schema that every chunk keeps, after the selection of columns."""
        return select_fields(self.all_columns.types, self.columns)

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        some = {name for name, _ in self.all_columns.dtypes} | self.all_columns.with_nulls
        some |= {field.name for field in self.all_columns.types if pat.is_nested(field.type)}
        return not some.isdisjoint(self.columns)

    def identity(self) -> str:
        """Return a stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        schema = self.all_columns
        filters = None if self.filters is None else self.filters.text
        types = [(field.name, str(field.type)) for field in schema.types]
        return (
            f"{self.format} 1 {types!r} {sorted(schema.strict)!r} {sorted(schema.with_nulls)!r} "
            f"{schema.dtypes!r} {self.columns!r} {self.is_open} {filters}"
        )

    def select(self, columns: Sequence[str]) -> JsonReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order.

        Where none is named the first is kept, since rows without columns can't be counted.
        """
        names = tuple(columns) or self.columns[:1]
        is_open = self.is_open or not set(self.all_columns.types.names) <= set(names)
        return replace(self, columns=names, is_open=is_open)

    def extent(self, file: SourceFile) -> Piece:
        """Return all data of `file` as one piece, after a byte order mark."""
        start = find_start(file)
        return Piece(file, start, file.nbytes, file.nbytes - start)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield `piece` in pieces as small as records and `grain_nbytes` allow."""
        ends = find_line_ends(piece.file, piece.start, piece.stop)
        for start, stop, rows in cut_records(ends, piece.start, piece.stop, grain_nbytes):
            yield Piece(piece.file, start, stop, stop - start, rows)

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, one after another, as one frame or table with a fresh index.

        Raises
        ------
        SchemaError
            A key or a value does not fit the frozen schema.
        ReadError
            A piece does not parse.

        Notes
        -----
        Only the pieces' own bytes are read. Arrow parses where it provably gives what Python's
        json module would; everything else, and every refusal, is Python's word.
        """
        filtered_on = () if self.filters is None else self.filters.columns
        names = dict.fromkeys((*self.columns, *filtered_on))
        fields = select_fields(self.all_columns.types, tuple(names))
        tables: Sequence[Any] = ()
        if self.row_cache is not None:
            strict = self.all_columns.strict & set(fields.names)
            tables = [part.select(fields, strict) for part in self.row_cache.take(pieces)]
        if not tables or None in tables:
            results = read_pieces(lambda piece: list(self._read_piece(piece, fields)), pieces)
            tables = list(chain.from_iterable(results))
        table = pa.concat_tables([fields.empty_table(), *tables])
        before = table.num_rows
        if self.filters is not None:
            table = self.filters.apply(table)
        rows = table.num_rows
        first = pieces[0]
        table = table.select(list(self.columns))
        data = deliver_records(table, self.all_columns, as_, first.path, first.start)
        return ReadResult(data, rows, before - rows)

    def _read_piece(self, piece: Piece, fields: pa.Schema) -> Iterator[pa.Table]:
        """Yield the rows of `piece` in slices."""
        text = read_range(piece.file, piece.start, piece.stop)
        offset = rows = 0
        while offset < len(text):
            stop = text.find(b"\n", offset + SLICE_NBYTES) + 1 or len(text)
            try:
                table = self._parse(text[offset:stop], fields)
            except BadRecord as error:
                line = text.count(b"\n", 0, offset + error.offset) + 1
                raise self._explain(piece, error, offset, line, rows) from error
            yield table
            offset = stop
            rows += table.num_rows

    def _parse(self, text: bytes, fields: pa.Schema) -> pa.Table:
        # Arrow passes over unknown keys of selected objects too, where it passes over any.
        is_lax = self.is_open and not any(has_struct(field.type) for field in fields)
        table = parse_fast(text, fields if is_lax else self.all_columns.types, is_open=is_lax)
        if table is not None:
            table = table.select(fields.names)
            if not any(
                table[name].null_count for name in self.all_columns.strict & set(fields.names)
            ):
                return table
        return parse_exact(text, fields, self.all_columns.strict, is_open=self.is_open)

    def _explain(
        self, piece: Piece, error: BadRecord, offset: int, line: int, rows: int
    ) -> ReadError:
        record = "line" if self.format == "jsonl" else "element"
        why = (
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: {record} {line} "
            f"of these (byte {piece.start + offset + error.offset:,}): {error.why}"
        )
        details = {"path": piece.path, "start": piece.start, "row": rows + error.row}
        if error.column is not None:
            return SchemaError(why, **details, column=error.column, value=error.value)
        step = "repair the file"
        if self.format == "jsonl":
            step = "repair the line, or isolate such lines with on_error='bisect'"
        return ReadError(f"{why}; {step}", **details)


def select_fields(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])
