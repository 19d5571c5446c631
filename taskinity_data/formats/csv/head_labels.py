"""What pandas makes of the beginning of a CSV file: its column labels, index and repeated names.

And which beginnings it makes the same of, so that it is called once for many files.
"""

from __future__ import annotations

import io
from codecs import BOM_UTF8
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import LOOK_NBYTES, to_utf8
from taskinity_data.formats.csv.pandas_parser import count_fields
from taskinity_data.formats.csv.records.dialect import WHITESPACE
from taskinity_data.formats.csv.records.scan import are_regular

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "PARSE_ERRORS",
    "bom_nbytes",
    "check_first_row",
    "check_labels",
    "check_levels",
    "check_width",
    "count_with_probe",
    "find_index",
    "find_repeated",
    "is_header_only",
    "no_head",
    "parse",
    "parse_head",
    "plain_header",
]

PARSE_ERRORS = (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, IndexError)
"""Of pandas, where a text has no such head."""


def parse(prefix: bytes, options: CsvOptions, **keywords: Any) -> pd.DataFrame:
    """Return what pandas makes of a file that ends after `prefix`."""
    text = io.BytesIO(decode_head(prefix, options))
    frame: pd.DataFrame = pd.read_csv(text, **options.for_head(), **keywords)
    return frame


def parse_head(file: SourceFile, data: bytes, options: CsvOptions) -> pd.DataFrame:
    """Return what pandas makes of a file that ends after `data`, or `PlanError`."""
    try:
        return parse(data, options)
    except PARSE_ERRORS as error:
        raise no_head(file, data, options, error) from error


def count_with_probe(prefix: bytes, options: CsvOptions) -> int:
    """Return the rows of `prefix` with one more record after it."""
    return len(parse(end_line(prefix) + options.dialect.plain_mark.encode() + b"\n", options))


def end_line(prefix: bytes) -> bytes:
    """Return `prefix` with a line end after its last line."""
    return prefix if not prefix or prefix.endswith((b"\n", b"\r")) else prefix + b"\n"


def can_parse(prefix: bytes, options: CsvOptions) -> bool:
    """Return whether pandas reads a file that ends after `prefix`."""
    try:
        parse(prefix, options)
    except PARSE_ERRORS:
        return False
    return True


def is_header_only(data: bytes, options: CsvOptions) -> bool:
    """Return whether pandas finds no row in a file that ends after `data`."""
    try:
        return len(parse(data, options)) == 0
    except PARSE_ERRORS:
        return False


def no_head(
    file: SourceFile, data: bytes, options: CsvOptions, reason: Exception | None
) -> PlanError:
    """Return the error for a beginning in which there is no head, with pandas' own `reason`."""
    try:
        parse(data, options)
    except PARSE_ERRORS as error:
        reason = error
    return PlanError(
        f"{file}: no header and first record found: {reason or 'there are no records'}; look at "
        f"header=, skiprows=, sep= and quotechar={hint_head(data, options)}"
    )


def decode_head(prefix: bytes, options: CsvOptions) -> bytes:
    start = bom_nbytes(prefix, options)
    return to_utf8(prefix[start:], options.encoding, options.encoding_errors)


def bom_nbytes(data: bytes, options: CsvOptions) -> int:
    """Return the bytes of the byte order marks that `data` begins with."""
    # utf-8-sig drops one mark while decoding, pandas' tokenizer drops one that is left.
    if options.encoding == "utf-8-sig":
        return len(BOM_UTF8) * (2 if data.startswith(BOM_UTF8 * 2) else data.startswith(BOM_UTF8))
    return len(BOM_UTF8) * (options.encoding == "utf-8" and data.startswith(BOM_UTF8))


def hint_head(data: bytes, options: CsvOptions) -> str:
    """Return what else the file looks like."""
    from taskinity_data.formats.csv.hints import hint_dialect

    head = data[bom_nbytes(data, options) : LOOK_NBYTES + 1]
    return hint_dialect(to_utf8(head, options.encoding, "replace"), options)


def check_labels(
    file: SourceFile, data: bytes, frame: pd.DataFrame, options: CsvOptions
) -> tuple[Hashable, ...]:
    """Return the labels of `frame`, where chunks can have them; else `PlanError`."""
    if not isinstance(frame.index, pd.RangeIndex):
        extra = frame.index.nlevels
        raise PlanError(
            f"{file}: the first row has {len(frame.columns) + extra} fields but there are "
            f"{len(frame.columns)} names; pandas would make an index of the first {extra}, which "
            "is not supported in chunks; give names= for all columns (and header=0 to replace the "
            f"header){hint_head(data, options)}"
        )
    labels: tuple[Any, ...] = tuple(
        label if isinstance(label, str) else int(label) if is_position(label) else label
        for label in frame.columns
    )
    for position, label in enumerate(labels):
        is_nested = isinstance(label, tuple) and all(isinstance(level, str) for level in label)
        if not isinstance(label, str) and label != position and not is_nested:
            raise PlanError(f"names={list(labels)!r}: column names must be strings")
    if any("\0" in str(label) for label in labels):
        raise PlanError(
            f"{file}: the header {list(labels)!r} has a NUL character, which Arrow does not allow "
            "in column names; give names= and header=0"
        )
    if len({str(label) for label in labels}) != len(labels):
        raise PlanError(f"{file}: column names must be unique, these are {list(labels)!r}")
    if not labels:
        hint = hint_head(data, options)
        raise PlanError(f"{file}: no columns; is sep={options.dialect.sep!r} right?{hint}")
    return labels


def check_levels(
    file: SourceFile, frame: pd.DataFrame, labels: Sequence[Hashable], options: CsvOptions
) -> None:
    """Refuse a header of several rows that names columns differently with an index."""
    index = set(options.index_col)
    rest = [label for position, label in enumerate(labels) if position not in index]
    if list(frame.columns) != rest or frame.index.nlevels != len(index):
        raise PlanError(
            f"{file}: header={options.header!r} with index_col={list(options.index_col)}: pandas "
            f"names the columns {list(frame.columns)!r} with that index and {rest!r} without; give "
            "header=None, names= and skiprows="
        )


def check_first_row(file: SourceFile, row: bytes, width: int, options: CsvOptions) -> None:
    """Refuse a first row of fewer than `width` fields after a header of several rows.

    pandas adds no missing values to it, and takes its width for that of all rows.
    """
    if (count_fields(decode_head(row, options), options) or 0) < width:
        raise PlanError(
            f"{file}: the first row has fewer fields than the {width} columns of "
            f"header={options.header}, which pandas reads wrongly; add what is missing there"
        )


def check_width(
    file: SourceFile, prefix: bytes, start: int, labels: Sequence[Hashable], options: CsvOptions
) -> None:
    """Refuse more `names` than fields where pandas goes by fields that a later chunk does not see.

    Beside a header it judges rows by the fields of the header and of the first row, which begins at
    `start` and ends `prefix`; with `usecols` it needs a row with a field for each name.
    """
    if options.names is None or (options.header is None and options.usecols is None):
        return
    if options.usecols is not None:
        first = decode_head(prefix[start:], options)
        fits = (count_fields(first, options) or 0) >= len(labels)
    else:
        full = end_line(prefix) + options.dialect.make_record(len(labels))
        fits = can_parse(full, replace(options, skips_bad_lines=False))
    if not fits:
        option = "header=" if options.usecols is None else "usecols="
        raise PlanError(
            f"{file}: names={list(labels)!r} are more than the fields of the first row, and with "
            f"{option} other rows decide whether pandas accepts that; give as many names as there "
            "are fields"
        )


def is_position(label: Any) -> bool:
    return hasattr(label, "__index__") and not isinstance(label, bool)


def find_index(data: bytes, options: CsvOptions) -> pd.DataFrame:
    """Return `data` with the index that `index_col` makes of it.

    Raises
    ------
    PlanError
        There is no such column.
    """
    usecols = list(options.usecols) if isinstance(options.usecols, tuple) else options.usecols
    try:
        return parse(data, options, index_col=list(options.index_col), usecols=usecols)
    except (*PARSE_ERRORS, TypeError) as error:  # the last for a name and a text without rows
        raise PlanError(f"index_col={list(options.index_col)}: {error}") from error


def find_repeated(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions
) -> tuple[tuple[Hashable, Hashable], ...]:
    """Columns that have the dtype of another, which has the same name in the header.

    Returns
    -------
    tuple of (label, label)
        The column and the one that `dtype` names.
    """
    if not isinstance(options.dtype, dict):
        return ()
    named = [label for label in options.dtype if label in labels]
    origins = {
        label: [name for name in named if str(label).startswith(f"{name}.")]
        for label in labels
        if label not in named
    }
    if not any(origins.values()):
        return ()
    dtypes = dict(parse(data, options, dtype=dict.fromkeys(named, "category")).dtypes)
    return tuple(
        (label, max(origin, key=str))
        for label, origin in origins.items()
        if origin and dtypes[label] == "category"
    )


def plain_header(data: bytes, options: CsvOptions) -> bytes | None:
    r"""Return the first line of `data`, with its end, where it and its fields determine the head.

    Parameters
    ----------
    data : bytes
        The beginning of a file in which marks are ASCII.
    options : CsvOptions

    Returns
    -------
    bytes or None
        None if more than these two lines may count: what surrounds them, names passed by the
        user, another number of fields in the first row (of which pandas may make an index), quotes
        that don't enclose whole fields of a line, escapes, comments, blanks at the beginning of a
        line, byte order marks, a lone ``\r``.
    """
    if options.header not in ("infer", 0) or options.names is not None or options.skiprows:
        return None
    if options.dialect.sep == WHITESPACE or callable(options.usecols):
        return None
    end = data.find(b"\n") + 1
    stop = data.find(b"\n", end) + 1
    if not end or not stop:
        return None
    dialect = options.dialect
    sep, quote = dialect.sep_bytes, (dialect.quotechar or "").encode()
    widths = []
    for line in (data[:end], data[end:stop]):
        text = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if not text[:1].strip() or text[0] > 127 or b"\r" in text:
            return None
        if any(mark in text for mark in (dialect.escape_byte, dialect.comment_byte) if mark):
            return None
        outside = [text]
        if quote and quote in text:
            if not dialect.doublequote or not are_regular(text, sep, dialect.quotechar):
                return None
            outside = text.split(quote)[::2]
        widths.append(sum(part.count(sep) for part in outside))
    return data[:end] if widths[0] == widths[1] else None
