"""JSON records as chunks, however they lie in their files.

It puts cuts, schema and parsers together; each has a module of its own, and so have the formats.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.json.array import BadArray
from taskinity_data.formats.json.cuts import cut_records, split_records
from taskinity_data.formats.json.deliver import deliver_records
from taskinity_data.formats.json.exact import BadRecord, blank_bad_lines, parse_exact
from taskinity_data.formats.json.fast import parse_fast
from taskinity_data.formats.json.sample import SampleFacts, freeze, infer_columns
from taskinity_data.formats.json.types import given_types, has_struct
from taskinity_data.formats.reader import Reader, ReadResult
from taskinity_data.formats.tables import check_columns
from taskinity_data.outcome import join_bad_lines
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import map_files, read_pieces, read_range
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.json.cuts import RecordLayout
    from taskinity_data.formats.json.sample import JsonSchema
    from taskinity_data.outcome import BadLines
    from taskinity_data.sources.file import SourceFile

__all__ = ["JsonReader", "open_records"]

SLICE_NBYTES = 8 << 20
"""Text that is parsed at a time: one odd record sends no more than this to the slow parser."""


@dataclass(frozen=True)
class JsonReader(Reader):
    """Reads pieces of files of JSON records; see `Reader`.

    Attributes
    ----------
    layout : RecordLayout
    known : JsonSchema
        Of all columns that were seen or named.
    columns : tuple of str
        What is delivered, in order.
    is_open : bool
        Some keys are not wanted, so that keys outside of `known` are passed over.
    filters : Filters or None
    on_bad_lines : {"error", "skip", "quarantine"}
        What is done with a line that is no object of JSON.
    """

    layout: RecordLayout
    known: JsonSchema
    columns: tuple[str, ...]
    is_open: bool
    filters: Filters | None = None
    on_bad_lines: str = "error"

    @property
    def format(self) -> str:
        """``"jsonl"`` or ``"json"``."""
        return self.layout.format

    @property
    def schema(self) -> pa.Schema:
        """The schema that every chunk keeps, after the selection of columns."""
        return select_fields(self.known.types, self.columns)

    @property
    def keeps_bad_lines(self) -> bool:
        """Whether it hands over what does not parse."""
        return self.on_bad_lines == "quarantine"

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        told = self.known.with_nulls.union(name for name, _ in self.known.dtypes)
        return not told.isdisjoint(self.columns)

    def identity(self) -> str:
        """A stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        known = self.known
        filters = None if self.filters is None else self.filters.text
        types = [(one.name, str(one.type)) for one in known.types]
        return (
            f"{self.format} 1 {types!r} {sorted(known.strict)!r} {sorted(known.with_nulls)!r} "
            f"{known.dtypes!r} {self.columns!r} {self.is_open} {filters} {self.on_bad_lines}"
        )

    def select(self, columns: Sequence[str]) -> JsonReader:
        """The reader of `columns` alone, some of `schema`'s names, in that order.

        Where none is wanted the first is kept, since rows without columns can't be counted.
        """
        names = tuple(columns) or self.columns[:1]
        is_open = self.is_open or not set(self.known.types.names) <= set(names)
        return replace(self, columns=names, is_open=is_open)

    def extent(self, file: SourceFile) -> Piece:
        """All data of `file` as one piece, without a byte order mark or an opening bracket."""
        start = self.layout.find_start(file)
        return Piece(file, start, file.nbytes, file.nbytes - start)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """`piece` in pieces as small as records and `grain_nbytes` allow."""
        ends = self.layout.find_ends(piece.file, piece.start, piece.stop)
        for start, stop, rows in cut_records(ends, piece.start, piece.stop, grain_nbytes):
            yield Piece(piece.file, start, stop, stop - start, rows)

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """`piece` cut near its middle, or None where it is one record."""
        ends = self.layout.find_ends(piece.file, piece.start, piece.stop)
        halves = split_records(ends, piece.start, piece.stop)
        if halves is None:
            return None
        at, before, behind = halves
        return (
            Piece(piece.file, piece.start, at, at - piece.start, before),
            Piece(piece.file, at, piece.stop, piece.stop - at, behind),
        )

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """The rows of `pieces`, one after another, as one frame or table with a fresh index.

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
        fields = select_fields(
            self.known.types, tuple(dict.fromkeys((*self.columns, *filtered_on)))
        )

        def read(piece: Piece) -> tuple[list[pa.Table], list[BadLines]]:
            bad: list[BadLines] = []
            return list(self._read_piece(piece, fields, bad)), bad

        found = read_pieces(read, pieces)
        tables = [table for some, _ in found for table in some]
        table = pa.concat_tables([fields.empty_table(), *tables])
        set_aside = join_bad_lines(lines for _, bad in found for lines in bad)
        dropped = 0
        if set_aside is not None and self.on_bad_lines == "skip":
            dropped, set_aside = set_aside.count, None
        before = table.num_rows
        if self.filters is not None:
            table = self.filters.apply(table)
        rows = table.num_rows
        table = table.select(list(self.columns))
        first = pieces[0]
        data = deliver_records(table, self.known, as_, first.path, first.start)
        return ReadResult(data, rows, dropped + before - rows, set_aside)

    def _read_piece(
        self, piece: Piece, fields: pa.Schema, bad: list[BadLines]
    ) -> Iterator[pa.Table]:
        text = read_range(piece.file, piece.start, piece.stop)
        try:
            text = self.layout.to_lines(piece, text)
        except BadArray as error:
            at = piece.start + error.offset
            raise ReadError(
                f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: {error.why} "
                f"(byte {at:,}); mend the file",
                path=piece.path,
                start=piece.start,
            ) from error
        place = rows = 0
        while place < len(text):
            stop = text.find(b"\n", place + SLICE_NBYTES) + 1 or len(text)
            try:
                table, found = self._parse_slice(text[place:stop], fields, piece, place, rows)
            except BadRecord as error:
                line = text.count(b"\n", 0, place + error.offset) + 1
                raise self._explain(piece, error, place, line, rows) from error
            yield table
            place = stop
            rows += table.num_rows
            if found is not None:
                bad.append(found)
                rows += found.count

    def _parse_slice(
        self, text: bytes, fields: pa.Schema, piece: Piece, place: int, rows: int
    ) -> tuple[pa.Table, BadLines | None]:
        """The rows of some lines of `piece`, and the lines that are no object if these may be."""
        try:
            return self._parse(text, fields), None
        except BadRecord as error:
            if error.column is not None or self.on_bad_lines == "error":
                raise
        text, found = blank_bad_lines(text, piece, place, rows)
        return self._parse(text, fields), found

    def _parse(self, text: bytes, fields: pa.Schema) -> pa.Table:
        # Arrow passes over unknown keys of wanted objects too, where it passes over any.
        is_lax = self.is_open and not any(has_struct(one.type) for one in fields)
        table = parse_fast(text, fields if is_lax else self.known.types, is_open=is_lax)
        if table is not None:
            table = table.select(fields.names)
            if not any(table[name].null_count for name in self.known.strict & set(fields.names)):
                return table
        return parse_exact(text, fields, self.known.strict, is_open=self.is_open)

    def _explain(
        self, piece: Piece, trouble: BadRecord, place: int, line: int, rows: int
    ) -> ReadError:
        where = (
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: {self.layout.record} {line} "
            f"of these (byte {piece.start + place + trouble.offset:,}): "
        )
        facts = {"path": piece.path, "start": piece.start, "row": rows + trouble.row}
        if trouble.column is None:
            step = "mend the file"
            if self.format == "jsonl":
                step = "mend the line, or set such lines aside with on_bad_lines='quarantine'"
            return ReadError(f"{where}{trouble.why}; {step}", **facts)
        return SchemaError(where + trouble.why, **facts, column=trouble.column, value=trouble.value)


def select_fields(schema: pa.Schema, names: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in names])


def open_records(
    layout: RecordLayout,
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
) -> JsonReader:
    """The reader of a dataset of files whose records lie as `layout` says.

    Parameters
    ----------
    layout : RecordLayout
    files : sequence of SourceFile
        At least one; their rows follow one another.
    columns : sequence of str, or None for all
    filters : see `parse_filters`
        Rows that don't pass are counted as filtered.
    schema : None, "scan", pyarrow.Schema, or mapping of column to dtype
        A schema: these columns alone, in this order, and nothing is read for it. What a mapping
        does not name is inferred. What either names need not be there.
    options : mapping
        ``encoding``, which must be UTF-8; of JSON Lines ``on_bad_lines``.

    Raises
    ------
    PlanError
        An option, column, filter, type or file that can't be honoured, each with its name.
    """
    check_options(options, layout.format)
    given = given_types(schema)
    list(map_files(layout.find_start, files))
    is_told = isinstance(schema, pa.Schema) and len(schema) > 0
    seen = SampleFacts({}, frozenset(), 0)
    if not is_told:
        seen = infer_columns(files, layout, scan=isinstance(schema, str))
    if not seen.types and not given:
        if seen.trouble:
            raise PlanError(f"{seen.trouble}; mend the file")
        if seen.rows:
            raise PlanError(
                f"{files[0].path}: there is no record with a key among {seen.rows:,}, and rows "
                "without columns can't be counted; leave the file out"
            )
    if columns is not None and not list(columns):
        raise PlanError("columns=[]: select at least one column")
    is_chosen = columns is not None and not isinstance(columns, str)
    known = freeze(seen, given, columns if is_chosen and filters is None else None)
    names = check_columns(columns, known.types, known.types.names)
    return JsonReader(
        layout=layout,
        known=known,
        columns=tuple(names),
        is_open=is_told or not seen.types.keys() <= set(names),
        filters=parse_filters(filters, known.types),
        on_bad_lines=options.get("on_bad_lines") or "error",
    )


BAD_LINES = ("error", "skip", "quarantine")


def check_options(options: Mapping[str, Any], format_: str) -> None:
    """Raise `PlanError` for what JSON has no use for."""
    known = ["encoding", "on_bad_lines", "columns", "filters", "schema", "chunk_size"]
    for name, value in options.items():
        if value is None:
            continue
        if name == "on_bad_lines":
            if format_ != "jsonl" and value != "error":
                raise PlanError(
                    f"on_bad_lines={value!r}: where an array is broken, nothing tells which of its "
                    "elements are; mend the file, or write it as JSON Lines"
                )
            if value not in BAD_LINES:
                raise PlanError(
                    f"on_bad_lines={value!r}: use one of {', '.join(BAD_LINES)}."
                    f"{suggest(str(value), BAD_LINES)}"
                )
        elif name != "encoding":
            raise PlanError(
                f"{name}={value!r} means nothing for JSON; leave it out.{suggest(name, known)}"
            )
        elif str(value).lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
            raise PlanError(
                f"encoding={value!r}: JSON is UTF-8; convert the file: "
                f"iconv -f {value} -t UTF-8 FILE > NEW"
            )
