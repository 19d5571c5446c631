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
    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = [
    "ENCODED",
    "MISSING",
    "are_regular",
    "can_be_fast",
    "check_wide",
    "has_lone_return",
    "has_wide_integers",
    "join_texts",
    "parse_fast",
    "split_first_rows",
    "trim_to_records",
]


def are_regular(data: bytes, seps: bytes, quotechar: str | None) -> bool:
    r"""Return whether each quote opens a field, closes it, or is half of a doubled one inside it.

    Parameters
    ----------
    data : bytes
        Whole records, of which the first begins outside quotes.
    seps : bytes
        Each separates fields.

    Examples
    --------
    >>> are_regular(b'"a,b",1\n', b",", '"'), are_regular(b'a"b,1\n', b",", '"')
    (True, False)
    """
    if quotechar is None:
        return True
    quote = quotechar.encode()
    if quote not in data:
        return True
    values = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(values == quote[0])
    if len(at) % 2:
        return False
    borders = np.zeros(256, dtype=bool)
    borders[[*seps, 10, 13, quote[0]]] = True
    # Quotes open and close in turn; a doubled one closes and opens at once, which is why a quote
    # counts as a border.
    opens, closes = at[::2], at[1::2]
    before = np.where(opens > 0, values[opens - 1], 10)
    after = np.where(closes + 1 < len(values), values[np.minimum(closes + 1, len(values) - 1)], 10)
    return bool(borders[before].all() and borders[after].all())


def join_texts(texts: Sequence[bytes], dialect: Dialect) -> bytes | None:
    r"""Return whole records as one text, or None where one of `texts` may end within quotes.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> join_texts([b"1,2", b"", b"3,4\n"], Dialect()), join_texts([b'1,"2', b'"'], Dialect())
    (b'1,2\n3,4\n', None)
    """
    if dialect.escapechar is not None:
        return None
    quote = dialect.quote_byte
    if quote is not None and any(quote in text for text in texts):
        is_plain = dialect.comment is None and dialect.doublequote
        seps = dialect.sep_bytes
        if not is_plain or not all(are_regular(text, seps, dialect.quotechar) for text in texts):
            return None
    return b"".join(text + b"\n" * (not text.endswith(b"\n")) for text in texts if text)


def has_lone_return(data: bytes) -> bool:
    r"""Return whether a ``\r`` stands without a ``\n`` after it."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def trim_to_records(window: bytes, seps: bytes, quotechar: str | None) -> bytes | None:
    """Return the whole records inside a window that begins anywhere, None where it is unclear.

    With quotes in the window, the bytes after its first line end must read regularly from outside
    quotes and irregularly from inside. Without any, they are taken for records.
    """
    first = window.find(b"\n")
    if first < 0:
        return None
    body = window[first + 1 :]
    quote = None if quotechar is None else quotechar.encode()
    if quote is None or quote not in body:
        return body[: body.rfind(b"\n") + 1] or None
    values = np.frombuffer(body, dtype=np.uint8)
    is_inside = np.cumsum(values == quote[0]) % 2
    ends = np.flatnonzero((values == 10) & (is_inside == 0))
    if not len(ends):
        return None
    body = body[: int(ends[-1]) + 1]
    is_outside = are_regular(body, seps, quotechar)
    return body if is_outside and not are_regular(quote + body + quote, seps, quotechar) else None


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
# blocks keep what Arrow holds beside the result small.
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
) -> pa.Table | None:
    """Return the rows in `data` as a table of the frozen schema, or None where pandas must look.

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

    Notes
    -----
    Arrow releases the interpreter lock; it is held to one thread, since workers are the
    parallelism.
    """
    quotechar = options.dialect.quotechar
    has_quotes = quotechar is not None and quotechar.encode() in data
    if not can_be_fast(labels, columns, options) or not looks_alike(data, options, has_quotes):
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
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK_NBYTES,
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
    except pa.ArrowException:
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


def looks_alike(data: bytes, options: CsvOptions, has_quotes: bool) -> bool:
    """Return whether both parsers cut these bytes into the same fields."""
    dialect = options.dialect
    if not data or data.startswith(BOM_UTF8) or b"\0" in data:
        return False
    if has_lone_return(data):
        return False
    return not has_quotes or are_regular(data, dialect.sep_bytes, dialect.quotechar)


def split_first_rows(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions
) -> dict[Hashable, list[str]]:
    """Return the first texts of each column, without missing ones, up to a line that is not plain.

    It spares who needs no more a call of pandas, which takes a millisecond.
    """
    columns: dict[Hashable, list[str]] = {label: [] for label in labels}
    if not can_be_fast(labels, (), options) or data.startswith(BOM_UTF8):
        return columns
    quote = (options.dialect.quotechar or "\0").encode()
    for line in data[:FIRST_ROWS_NBYTES].split(b"\n")[:-1]:
        bare = line.removesuffix(b"\r")
        fields = bare.decode(errors="replace").split(options.dialect.sep)
        if b"\r" in bare or quote in bare or len(fields) != len(labels):
            break
        for texts, text in zip(columns.values(), fields, strict=True):
            if text not in MISSING:
                texts.append(text)
    return columns


def has_hexadecimal(data: bytes) -> bool:
    """Return whether ``0x`` stands anywhere but within a word, as in the tail number N540XY."""
    # A regular expression for the same runs at 60 MB/s, this at 1 GB/s where there is an x at all.
    for prefix in (b"0x", b"0X"):
        at = data.find(prefix) if prefix[1:] in data else -1
        while at >= 0:
            if not data[max(at - 1, 0) : at].isalnum():
                return True
            at = data.find(prefix, at + 2)
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
    """Raise `Misfit` where an integer beyond int64 may change what the whole column is.

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
                "is an integer beyond int64, and what pandas makes of the column depends on where "
                "it stands",
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
