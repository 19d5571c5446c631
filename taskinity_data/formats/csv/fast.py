"""Parse a piece of CSV with Arrow, where the rows are certain to be those of pandas."""

from __future__ import annotations

import math
import re
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from taskinity_data.formats.csv.records.scan import ends_open
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import (
    INT64_STOP,
    KINDS,
    Column,
    arrow_schema,
    dtype_of_kind,
    fits_int64,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Sequence

    from taskinity_data.formats.csv.options import CsvOptions

__all__ = [
    "ENCODED",
    "MISSING",
    "can_be_fast",
    "check_wide",
    "has_lone_return",
    "has_wide_integers",
    "parse_fast",
    "split_first_rows",
]


def has_lone_return(data: bytes) -> bool:
    r"""Return whether there is a ``\r`` without a ``\n`` after it."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


ENCODED = "encoded_columns"
"""Names, in a table's metadata, the text columns that it holds as dictionaries (joined by NUL)."""

DICTIONARY = pa.dictionary(pa.int32(), pa.string())

# The texts that pandas documents as missing values.
MISSING = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
TRUE = ("True", "TRUE", "true")
FALSE = ("False", "FALSE", "false")

# From 256 KiB to 16 MiB it makes no difference (flights: 160 to 178 MB/s of one core's time); small
# blocks limit Arrow's memory in addition to the result.
BLOCK_NBYTES = 1 << 20

FIRST_ROWS_NBYTES = 4 << 10

# Both parsers split at these alike; at a space, pandas has rules of its own for blank lines.
SEPARATORS = ",;|\t"


def can_be_fast(labels: Sequence[Hashable], columns: Sequence[Column], options: CsvOptions) -> bool:
    """Return whether Arrow reads this dialect and these types as pandas does, for regular bytes."""
    dialect = options.dialect
    return (
        options.per_chunk.keys() <= {"decimal"}
        and options.dtype_backend is None
        and len(labels) > 1
        and dialect.sep in SEPARATORS
        and dialect.escapechar is None
        and dialect.comment is None
        and dialect.doublequote
        and not dialect.skipinitialspace
        # Where blanks follow an integer beyond int64, Arrow reads it and pandas does not.
        and all(column.kind != "uint64" for column in columns)
        and all(column.dtype == dtype_of_kind(column.kind) for column in columns)
    )


def parse_fast(
    data: bytes,
    labels: Sequence[Hashable],
    columns: Sequence[Column],
    options: CsvOptions,
    encoded: Collection[Hashable] = (),
    *,
    is_closed: bool = False,
) -> pa.Table | None:
    """Return the rows in `data` as a table of the frozen schema, or None if pandas must look.

    Parameters
    ----------
    data : bytes
        Whole records, UTF-8.
    labels : sequence
        All columns of the file, in its order.
    columns : sequence of Column
        Those that are wanted, in the order that is wanted.
    encoded : labels
        Text columns that come as dictionaries; the schema's metadata name them, under `ENCODED`.
    is_closed : bool
        `data` are known to end outside quotes. Both parsers take quotes for the same, but Arrow
        accepts one that is never closed.

    Notes
    -----
    Arrow releases the interpreter lock; it is held to one thread, since workers are the
    parallelism.
    """
    dialect = options.dialect
    quotechar = dialect.quotechar
    has_quotes = quotechar is not None and quotechar.encode() in data
    if not can_be_fast(labels, columns, options) or not looks_alike(data):
        return None
    if has_quotes and not is_closed and ends_open(data, dialect):
        return None
    has_integers = any(column.kind == "int64" for column in columns)
    if has_integers and has_hexadecimal(data):
        # Arrow reads hexadecimal integers, pandas takes them for text.
        return None
    texts = [column for column in columns if column.kind == "str" and column.label not in encoded]
    # Looking each value up among all spellings of a missing one takes a tenth of the parse. Without
    # texts it shows afterwards whether that was needed.
    for missing in (MISSING,) if texts else (MISSING[:1], MISSING):
        table = _parse(data, labels, columns, options, encoded, missing, has_quotes)
        if table is not None:
            return table
    return None


def _parse(
    data: bytes,
    labels: Sequence[Hashable],
    columns: Sequence[Column],
    options: CsvOptions,
    encoded: Collection[Hashable],
    missing: Sequence[str],
    has_quotes: bool,
) -> pa.Table | None:
    dialect = options.dialect
    is_one_block = has_quotes and b"\r" in data
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                # Between blocks Arrow drops a line feed after a return, also within quotes.
                block_size=max(BLOCK_NBYTES, len(data)) if is_one_block else BLOCK_NBYTES,
                column_names=[str(label) for label in labels],
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=dialect.sep,
                quote_char=dialect.quotechar if has_quotes else False,
                double_quote=True,
                escape_char=False,
                newlines_in_values=has_quotes,
                ignore_empty_lines=dialect.skip_blank_lines,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={
                    column.name: DICTIONARY if column.label in encoded else KINDS[column.kind]
                    for column in columns
                },
                include_columns=[column.name for column in columns],
                null_values=missing,
                true_values=TRUE,
                false_values=FALSE,
                decimal_point=options.per_chunk.get("decimal", "."),
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
                # A tenth of the parse, where one glance at all bytes (20 GB/s) says the same.
                check_utf8=not data.isascii(),
            ),
        )
    except (pa.ArrowException, OverflowError):  # a block has less than 2 GiB
        return None
    for column in columns:
        values = table.column(column.name)
        if column.label in encoded:
            values = pa.chunked_array([chunk.dictionary for chunk in values.chunks], pa.string())
            if pc.any(pc.is_in(values, pa.array(MISSING))).as_py():
                return None
        if is_suspicious(values, column, options):
            return None
    codes = [column.name for column in columns if column.label in encoded]
    if codes:
        return table.replace_schema_metadata({ENCODED: "\0".join(codes)})
    return table.cast(arrow_schema(columns))


def looks_alike(data: bytes) -> bool:
    """Return whether both parsers cut these bytes into the same fields, if no quote stays open."""
    if not data or data.startswith(BOM_UTF8) or b"\0" in data:
        return False
    return not has_lone_return(data)


def split_first_rows(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions
) -> dict[Hashable, list[str]]:
    """Return the first texts of each column, without missing ones, up to a line that is not plain.

    It spares who needs no more a call of pandas, which takes a millisecond.
    """
    columns: dict[Hashable, list[str]] = {label: [] for label in labels}
    if not can_be_fast(labels, (), options) or data.startswith(BOM_UTF8):
        return columns
    sep, quote = options.dialect.sep, options.dialect.quotechar or "\0"
    for line in data[:FIRST_ROWS_NBYTES].split(b"\n")[:-1]:
        bare = line.removesuffix(b"\r").decode(errors="replace")
        fields = [unquote(field, quote) for field in bare.split(sep)]
        if "\r" in bare or None in fields or len(fields) != len(labels):
            break
        for texts, text in zip(columns.values(), fields, strict=True):
            if text is not None and text not in MISSING:
                texts.append(text)
    return columns


def unquote(field: str, quote: str) -> str | None:
    """Return the text of a field, None if it has quotes anywhere but around all of it."""
    if quote not in field:
        return field
    is_quoted = len(field) > 1 and field[0] == field[-1] == quote and quote not in field[1:-1]
    return field[1:-1] if is_quoted else None


def has_hexadecimal(data: bytes) -> bool:
    """Return whether ``0x`` occurs outside a word, unlike in the tail number N540XY."""
    values = np.frombuffer(data, np.uint8)
    for mark in b"xX":
        if mark not in data:
            continue
        before = np.flatnonzero(values[1:] == mark)
        zeros = before[values[before] == ord("0")].tolist()
        if any(not data[max(zero - 1, 0) : zero].isalnum() for zero in zeros):
            return True
    return False


def is_suspicious(values: pa.ChunkedArray, column: Column, options: CsvOptions) -> bool:
    """Return whether a column that Arrow accepted needs pandas' verdict after all."""
    if values.null_count and not column.allows_missing:
        return True
    if column.kind == "float64":
        # Spellings of infinity and of NaN, with blanks around them, differ between the two. A sum
        # shows them in one pass; one that overflows only takes the slower way.
        total = pc.sum(values).as_py()
        if total is not None and not math.isfinite(total):
            return True
        if not column.is_proven and len(values):
            sizes = [
                abs(limit) for limit in pc.min_max(values).as_py().values() if limit is not None
            ]
            return any(size >= INT64_STOP for size in sizes)
    elif column.kind == "str" and not column.is_proven:
        try:
            check_wide(values, column, options)
        except Misfit:
            return True
    return False


def check_wide(texts: Any, column: Column, options: CsvOptions) -> None:
    """Raise `Misfit` if an integer beyond int64 may change what the whole column is.

    Parameters
    ----------
    texts : Series or ChunkedArray of str
    """
    thousands = options.per_chunk.get("thousands") or ""
    array = pa.array(texts) if isinstance(texts, pd.Series) else texts
    pattern = rf"^\s*[+-]?[0-9{re.escape(thousands)}]{{19,}}\s*$"
    is_long = pc.fill_null(pc.match_substring_regex(array, pattern), fill_value=False)
    for row in pc.indices_nonzero(is_long).to_pylist():
        text = array[row].as_py()
        if not fits_int64(text.replace(thousands, "") if thousands else text):
            raise Misfit(
                column,
                row,
                text,
                column.kind,
                "is an integer beyond int64, so the dtype in pandas depends on its position",
            )


def has_wide_integers(texts: pd.Series, options: CsvOptions) -> bool:
    """Return whether an integer beyond int64 is among `texts`."""
    array = pa.array(texts.astype(dtype_of_kind("str")))
    if not pa.types.is_large_string(array.type) and not pa.types.is_string(array.type):
        return False
    is_long = pc.greater_equal(pc.binary_length(array), len(str(INT64_STOP)))
    try:
        check_wide(array.filter(is_long), Column(texts.name, "str", dtype_of_kind("str")), options)
    except Misfit:
        return True
    return False
