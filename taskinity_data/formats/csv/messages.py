"""Errors for pieces of CSV that can't be read: file, row, byte, value and what to do.

It looks at the piece again, since only then the place is worth its price.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from taskinity_data.errors import ReadError, SchemaError
from taskinity_data.formats.csv.column_types.dates import DateColumn
from taskinity_data.formats.csv.encodings import LOOK_NBYTES
from taskinity_data.formats.csv.hints import hint_dialect
from taskinity_data.formats.csv.pandas_parser import TooManyFields, count_fields, parse_text
from taskinity_data.formats.csv.records.cuts import find_grains, find_open_quote

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.reader import Misfit
    from taskinity_data.sources.file import Piece

__all__ = ["misfit_error", "parse_error"]


def misfit_error(piece: Piece, misfit: Misfit, options: CsvOptions) -> SchemaError:
    """Return the error for a value that does not fit its column."""
    column = misfit.column
    where, offset = "", None
    if misfit.row is not None:
        # Rows that were left out are not among those that are counted.
        offset = None if options.skips_bad_lines else record_start(piece, misfit.row, options)
        where = f", row {misfit.row} of the chunk"
        where += "" if offset is None else f" (byte {offset:,})"
    value = "a missing value" if misfit.value is None else repr(misfit.value)
    verb = "" if misfit.value is None else f" {misfit.why}"
    advice = f"schema={{{column.label!r}: {misfit.fits!r}}}"
    if isinstance(column, DateColumn):
        advice = f"a date_format= that fits all, or leave {column.label!r} out of parse_dates"
    advice = f"{advice}, or schema='scan' to look at all values first"
    if column.kind == "bool" and misfit.value is None:
        # No dtype reads booleans with missing values; inference does.
        advice = "schema='scan' to look at all values first"
        if column.is_given:
            advice = f"no type for {column.label!r} (it is then found out), or {advice}"
    return SchemaError(
        f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]{where}, column {column.label!r}: "
        f"{value}{verb}, but the schema frozen before the run says {column.dtype}; "
        f"give {advice}",
        path=piece.path,
        start=piece.start,
        row=misfit.row,
        column=column.name,
        value=misfit.value,
    )


def parse_error(
    piece: Piece, data: bytes, labels: Sequence[Hashable], options: CsvOptions, error: Exception
) -> ReadError:
    """Return the error for records that pandas can't parse, with the first of them."""
    ends = record_ends(data, options)
    step = "repair the row, or look at"
    detail, where, hint = str(error) or "too many fields", "", ""
    # pandas reports an unclosed quote only if everything before it parses.
    is_open = OPEN_QUOTE in detail and bool(ends)
    row = len(ends) - 1 if is_open else first_bad_row(data, ends, labels, options)
    quote = find_open_quote(data, 0, options.dialect) if row == len(ends) - 1 else None
    if quote is not None:
        at = "" if options.encoding not in BYTES_ALIKE else f" at byte {piece.start + quote[1]:,}"
        detail = f"the quote that opens{at} is never closed"
        step = "close it, or give quoting=3 if quotes have no special meaning; else look at"
    if row is not None:
        first = bisect_left(ends, ends[row] - LOOK_NBYTES // 2)
        hint = hint_dialect(data[ends[first - 1] if first else 0 :][:LOOK_NBYTES], options)
        begin, end = (ends[row - 1] if row else 0), ends[row]
        width = None if is_open else count_fields(data[begin:end], options)
        where = f", row {row} of the chunk"
        if options.encoding in BYTES_ALIKE:
            where += f" (byte {piece.start + begin:,})"
        if width is not None and width > len(labels):
            detail = f"expected {len(labels)} fields, saw {width}"
            step = "repair the row, quarantine such rows (on_bad_lines='quarantine'), or look at"
    return ReadError(
        f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]{where}: {detail}; {step} sep=, "
        f"quotechar= and escapechar={hint}",
        path=piece.path,
        start=piece.start,
        row=row,
    )


OPEN_QUOTE = "EOF inside string"
"""In pandas' error where the text ends within quotes."""

BYTES_ALIKE = {"utf-8", "utf-8-sig", "ascii"}
"""Encodings in which a byte of a piece's text is a byte of the file."""


def record_ends(data: bytes, options: CsvOptions) -> list[int]:
    return [
        grain.stop
        for grain in find_grains(data, 0, len(data), options.dialect, 1)
        if grain.rows != 0
    ]


def record_start(piece: Piece, row: int, options: CsvOptions) -> int | None:
    """Return the byte of the file at which a row begins (or the blank lines before it)."""
    before = 0
    for grain in find_grains(piece.file, piece.start, piece.stop, options.dialect, 1):
        if grain.rows is None:
            return None
        if before + grain.rows > row:
            return grain.start
        before += grain.rows
    return None


def first_bad_row(
    data: bytes, ends: Sequence[int], labels: Sequence[Hashable], options: CsvOptions
) -> int | None:
    """Return the first record up to which `data` does not parse, by bisection."""
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) // 2
        if parses(data[: ends[middle]], labels, options):
            low = middle + 1
        else:
            high = middle
    return low if low < len(ends) else None


def parses(data: bytes, labels: Sequence[Hashable], options: CsvOptions) -> bool:
    try:
        parse_text(data, labels, options, dtype=str)
    except TooManyFields:
        return options.skips_bad_lines
    except ValueError:
        return False
    return True
