"""Rows with too many fields, where they are to be left out: as pandas leaves them out, and counted.

It knows records and options, not columns' types or files.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from taskinity_data.chunks.csv_cuts import find_grains
from taskinity_data.chunks.csv_exact import TooManyFields, parse_exact
from taskinity_data.chunks.csv_scan import count_rows

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskinity_data.chunks.csv_options import CsvOptions
    from taskinity_data.chunks.schema import Column

__all__ = ["parse_with_bad_lines", "skip_bad_start"]


def parse_with_bad_lines(
    data: bytes, labels: Sequence[Hashable], columns: Sequence[Column], options: CsvOptions
) -> tuple[pd.DataFrame, int]:
    """The rows in `data` as `parse_exact` gives them, and how many were left out.

    Notes
    -----
    Rows are left out, and counted against the pass that finds record ends, only where pandas
    refuses `data` with all of them: elsewhere the count stays a check of what was read.
    """
    if not options.skips_bad_lines:
        return parse_exact(data, labels, columns, options), 0
    try:
        frame = parse_exact(data, labels, columns, replace(options, skips_bad_lines=False))
    except (TooManyFields, pd.errors.ParserError):
        kept = skip_bad_start(data, labels, options)
        frame = parse_exact(kept, labels, columns, options)
        # From 1 on: at 0 a byte order mark would be none of the data.
        rows, _ = count_rows(b"\n" + data, 1, len(data) + 1, options.dialect)
        return frame, rows - len(frame)
    return frame, 0


def skip_bad_start(data: bytes, labels: Sequence[Hashable], options: CsvOptions) -> bytes:
    """`data` from the first record on that has no more fields than there are labels.

    pandas never leaves out the first row that it is given: it makes an index of the extra fields.

    Notes
    -----
    One parse of the first record where that is good. Where it is not, about twice as many bytes are
    parsed as there are before a good one, and as many again for each halving.
    """
    ends: list[int] = []
    for grain in find_grains(data, 0, len(data), options.dialect, 1):
        ends.append(grain.stop)
        is_power = len(ends) & (len(ends) - 1) == 0
        if is_power and has_good(data[: grain.stop], labels, options):
            break
    first = bisect_left(ends, True, key=lambda end: has_good(data[:end], labels, options))
    if first == len(ends):
        return b""
    return data[ends[first - 1] :] if first else data


def has_good(records: bytes, labels: Sequence[Hashable], options: CsvOptions) -> bool:
    """Whether pandas keeps any of `records` behind a good one."""
    dialect = options.dialect
    marks = {dialect.sep, dialect.quotechar, dialect.escapechar, dialect.comment}
    text = next(character for character in "12345" if character not in marks)
    good = dialect.sep.join([text] * len(labels)).encode() + b"\n"
    try:
        frame = pd.read_csv(
            io.BytesIO(good + records),
            header=None,
            names=list(labels),
            dtype=str,
            **options.for_pandas(),
        )
    except pd.errors.ParserError:
        # An open quote: it is told of where all is parsed.
        return True
    return len(frame) > 1
