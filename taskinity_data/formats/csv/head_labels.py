"""What pandas makes of the beginning of a CSV file: its column labels, index and repeated names."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import to_utf8
from taskinity_data.formats.csv.hints import LOOK_NBYTES, hint_dialect

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
    "find_index",
    "find_repeated",
    "hint_head",
    "parse",
    "probe_mark",
]

BOM = b"\xef\xbb\xbf"

PARSE_ERRORS = (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, IndexError)
"""Of pandas, where a text has no such head."""


def parse(prefix: bytes, options: CsvOptions, **keywords: Any) -> pd.DataFrame:
    """What pandas makes of a file that ends behind `prefix`."""
    text = io.BytesIO(decode_head(prefix, options))
    frame: pd.DataFrame = pd.read_csv(text, **options.for_head(), **keywords)
    return frame


def decode_head(prefix: bytes, options: CsvOptions) -> bytes:
    start = bom_nbytes(prefix, options)
    return to_utf8(prefix[start:], options.encoding, options.encoding_errors)


def bom_nbytes(data: bytes, options: CsvOptions) -> int:
    """The bytes of the byte order marks that `data` begins with."""
    # utf-8-sig drops one mark while decoding, pandas' tokenizer drops one that is left.
    if options.encoding == "utf-8-sig":
        return len(BOM) * (2 if data.startswith(BOM * 2) else data.startswith(BOM))
    return len(BOM) * (options.encoding == "utf-8" and data.startswith(BOM))


def probe_mark(options: CsvOptions) -> str:
    """A character that is plain text in this dialect."""
    dialect = options.dialect
    special = {dialect.sep, dialect.quotechar, dialect.escapechar, dialect.comment}
    return next(one for one in "1234567" if one not in special)


def hint_head(data: bytes, options: CsvOptions) -> str:
    """What else the file looks like."""
    head = data[bom_nbytes(data, options) : LOOK_NBYTES + 1]
    return hint_dialect(to_utf8(head, options.encoding, "replace"), options)


def has_fresh_index(frame: pd.DataFrame) -> bool:
    """Whether pandas took no column for an index, as it does where a first row is too long."""
    return isinstance(frame.index, pd.RangeIndex)


def check_labels(
    file: SourceFile, data: bytes, frame: pd.DataFrame, options: CsvOptions
) -> tuple[Hashable, ...]:
    """The labels of `frame`, where chunks can have them; else `PlanError`."""
    if not has_fresh_index(frame):
        extra = frame.index.nlevels
        raise PlanError(
            f"{file}: the first row has {len(frame.columns) + extra} fields but there are "
            f"{len(frame.columns)} names; pandas would make an index of the first {extra}, which "
            "can't be kept chunk by chunk; give names= for all columns (and header=0 to replace "
            f"the header){hint_head(data, options)}"
        )
    labels: tuple[Any, ...] = tuple(
        label if isinstance(label, str) else int(label) if is_position(label) else label
        for label in frame.columns
    )
    for position, label in enumerate(labels):
        is_nested = isinstance(label, tuple) and all(isinstance(level, str) for level in label)
        if not isinstance(label, str) and label != position and not is_nested:
            raise PlanError(f"names={list(labels)!r}: column names must be texts")
    if any("\0" in str(label) for label in labels):
        raise PlanError(
            f"{file}: the header {list(labels)!r} holds a NUL character, which names of columns "
            "can't have in Arrow; give names= and header=0"
        )
    if len({str(label) for label in labels}) != len(labels):
        raise PlanError(f"{file}: column names must be unique, these are {list(labels)!r}")
    if not labels:
        hint = hint_head(data, options)
        raise PlanError(
            f"{file}: there are no columns; is sep={options.dialect.sep!r} right?{hint}"
        )
    return labels


def check_levels(
    file: SourceFile, frame: pd.DataFrame, labels: Sequence[Hashable], options: CsvOptions
) -> None:
    """Refuse a header of several rows that names columns otherwise beside an index."""
    index = set(options.index_col)
    rest = [label for position, label in enumerate(labels) if position not in index]
    if list(frame.columns) != rest or frame.index.nlevels != len(index):
        raise PlanError(
            f"{file}: header={options.header!r} beside index_col={list(options.index_col)}: pandas "
            f"names the columns {list(frame.columns)!r} with that index and {rest!r} without; give "
            "header=None, names= and skiprows="
        )


def check_first_row(file: SourceFile, row: bytes, width: int, options: CsvOptions) -> None:
    """Refuse a first row of fewer than `width` fields behind a header of several rows.

    pandas adds no missing values to it, and takes its width for that of all rows.
    """
    if count_fields(row, options) < width:
        raise PlanError(
            f"{file}: the first row has fewer fields than the {width} columns of "
            f"header={options.header}, which pandas reads wrongly; add what is missing there"
        )


def count_fields(record: bytes, options: CsvOptions) -> int:
    """The fields of one record; 0 of a blank line."""
    alone = replace(options, names=None, header=None, skiprows=0, skips_bad_lines=False)
    try:
        return parse(record, alone).shape[1]
    except pd.errors.EmptyDataError:
        return 0


def check_width(
    file: SourceFile, prefix: bytes, start: int, labels: Sequence[Hashable], options: CsvOptions
) -> None:
    """Refuse more `names` than fields where pandas goes by fields that a later chunk does not see.

    Beside a header it judges rows by the fields of the header and of the first row, which begins at
    `start` and ends `prefix`; beside `usecols` it wants a row somewhere with a field for each name.
    """
    if options.names is None or (options.header is None and options.usecols is None):
        return
    strict = replace(options, skips_bad_lines=False)
    try:
        if options.usecols is not None:
            fits = count_fields(prefix[start:], options) >= len(labels)
        else:
            full = options.dialect.sep_bytes[:1].decode().join([probe_mark(options)] * len(labels))
            gap = b"" if prefix.endswith((b"\n", b"\r")) else b"\n"
            parse(prefix + gap + full.encode() + b"\n", strict)
            fits = True
    except PARSE_ERRORS:
        fits = False
    if not fits:
        beside = "header=" if options.usecols is None else "usecols="
        raise PlanError(
            f"{file}: names={list(labels)!r} are more than the first row has fields, and beside "
            f"{beside} it depends on other rows whether pandas takes that; give as many names as "
            "there are fields"
        )


def is_position(label: Any) -> bool:
    return hasattr(label, "__index__") and not isinstance(label, bool)


def find_index(data: bytes, options: CsvOptions) -> pd.DataFrame:
    """`data` with the index that `index_col` makes of it.

    Raises
    ------
    PlanError
        There is no such column.
    """
    usecols = list(options.usecols) if isinstance(options.usecols, tuple) else options.usecols
    try:
        return parse(data, options, index_col=list(options.index_col), usecols=usecols)
    except PARSE_ERRORS as error:
        raise PlanError(f"index_col={list(options.index_col)}: {error}") from error


def find_repeated(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions
) -> tuple[tuple[Hashable, Hashable], ...]:
    """Columns that have the dtype of another, since they stand in the header under its name.

    Returns
    -------
    tuple of (label, label)
        The column and the one that `dtype` names.
    """
    if not isinstance(options.dtype, dict):
        return ()
    named = [label for label in options.dtype if label in labels]
    origins = {
        label: [one for one in named if str(label).startswith(f"{one}.")]
        for label in labels
        if label not in named
    }
    if not any(origins.values()):
        return ()
    dtypes = dict(parse(data, options, dtype=dict.fromkeys(named, "category")).dtypes)
    return tuple(
        (label, max(found, key=str))
        for label, found in origins.items()
        if found and dtypes[label] == "category"
    )
