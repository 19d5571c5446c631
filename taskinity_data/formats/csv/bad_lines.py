"""CSV records with too many fields: left out as pandas leaves them out, counted, or quarantined."""

from __future__ import annotations

import io
import re
from bisect import bisect_left
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from taskinity_data.errors import ReadError
from taskinity_data.formats.csv.encodings import is_utf8
from taskinity_data.formats.csv.exact import parse_exact
from taskinity_data.formats.csv.pandas_parser import TooManyFields
from taskinity_data.formats.csv.records.blocks import open_source
from taskinity_data.formats.csv.records.cuts import find_grains
from taskinity_data.formats.csv.records.scan import count_rows, scan_range
from taskinity_data.formats.csv.records.state_machine import get_walker
from taskinity_data.outcome import MAX_LINE_NBYTES, MAX_LINES, BadLine, BadLines, take_first
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import numpy.typing as npt

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.blocks import ReadInto
    from taskinity_data.formats.csv.records.dialect import Dialect
    from taskinity_data.formats.schema import Column
    from taskinity_data.sources.file import Piece

__all__ = [
    "find_bad_lines",
    "parse_with_bad_lines",
    "skip_bad_start",
]


def parse_with_bad_lines(
    data: bytes, labels: Sequence[Hashable], columns: Sequence[Column], options: CsvOptions
) -> tuple[pd.DataFrame, int]:
    """Return the rows in `data` as `parse_exact` gives them, and how many were left out.

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
        remaining = skip_bad_start(data, labels, options)
        frame = parse_exact(remaining, labels, columns, options)
        # From 1 on: at 0 a byte order mark would be none of the data.
        rows = count_rows(b"\n" + data, 1, len(data) + 1, options.dialect)
        return frame, rows - len(frame)
    return frame, 0


def skip_bad_start(data: bytes, labels: Sequence[Hashable], options: CsvOptions) -> bytes:
    """Return `data` from the first record on that has no more fields than there are labels.

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
    """Return whether pandas keeps any of `records` after a good one."""
    good = options.dialect.make_record(len(labels))
    try:
        frame = pd.read_csv(
            io.BytesIO(good + records),
            header=None,
            names=list(labels),
            dtype=str,
            **options.for_pandas(),
        )
    except pd.errors.ParserError:
        # An open quote: reported where all is parsed.
        return True
    return len(frame) > 1


def find_bad_lines(
    piece: Piece, data: bytes, labels: Sequence[Hashable], options: CsvOptions, count: int
) -> BadLines:
    """Return the records of `piece` that pandas has left out.

    Parameters
    ----------
    piece : Piece
    data : bytes
        Its text as UTF-8.
    labels : sequence
        All columns of the file.
    options : CsvOptions
    count : int
        How many it has left out.

    Raises
    ------
    ReadError
        They can't be distinguished from the others.

    Notes
    -----
    A record with fewer separators than columns is good; of the others fields are counted, about a
    microsecond each.
    """
    exact = replace(options, dialect=replace(options.dialect, newlines_in_values=True))
    # From 1 on: at 0 a byte order mark would be none of the data.
    text = b"\n" + data
    with open_source(text) as read:
        stops = find_record_ends(read, 1, len(text), exact.dialect)
    starts = [1, *stops[:-1]]
    offsets, walker = places_in_file(piece, data, stops, exact), get_walker(exact.dialect)
    is_suspect = count_separators(text, starts, stops, exact.dialect.sep_bytes) >= len(labels)
    suspects = np.flatnonzero(is_suspect).tolist()
    widths = {row: walker.count_fields(text[starts[row] : stops[row]]) for row in suspects}
    bad = [row for row in suspects if widths[row] > len(labels)]
    if len(bad) != count:
        # pandas has the last word.
        bad = [
            row for row in suspects if not has_good(text[starts[row] : stops[row]], labels, exact)
        ]
    if len(bad) != count or len(offsets) != len(stops) + 1:
        raise ReadError(
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: {count} rows have too many "
            f"fields, but {len(bad)} were found; use on_bad_lines='skip', and please report this "
            "file as a bug",
            path=piece.path,
            start=piece.start,
        )
    raw = read_range(piece.file, piece.start, piece.stop)
    lines: list[BadLine] = []
    nbytes = 0
    for row in bad:
        start, stop = offsets[row] - piece.start, offsets[row + 1] - piece.start
        skipped = find_skipped(exact.dialect).match(text, starts[row], stops[row])
        if skipped is not None and skipped.end() > skipped.start():
            start += behind_line_ends(raw[start:stop], len(LINE_END.findall(skipped[0])))
        nbytes += stop - start
        if len(lines) < MAX_LINES:
            line = BadLine(
                path=piece.path,
                start=piece.start + start,
                stop=piece.start + stop,
                row=row,
                raw=raw[start : min(stop, start + MAX_LINE_NBYTES)],
                encoding=options.encoding,
                reason=f"expected {len(labels)} fields, saw {widths[row]}",
            )
            lines.append(line)
    return BadLines(len(bad), nbytes, take_first(lines))


def count_separators(
    text: bytes, starts: Sequence[int], stops: Sequence[int], seps: bytes
) -> npt.NDArray[np.int64]:
    """Return how often the separator occurs in each record, within quotes too; shape (records,)."""
    positions = np.flatnonzero(np.isin(np.frombuffer(text, np.uint8), list(seps)))
    return np.asarray(np.searchsorted(positions, stops) - np.searchsorted(positions, starts))


def places_in_file(
    piece: Piece, data: bytes, stops: Sequence[int], options: CsvOptions
) -> list[int]:
    """Return where records begin in the file, and where the last one ends."""
    is_alike = is_utf8(options.encoding) or data.isascii()
    if is_alike and options.encoding_errors == "strict":
        return [piece.start, *(piece.start + stop - 1 for stop in stops)]
    with open_source(piece.file) as read:
        ends = find_record_ends(read, piece.start, piece.stop, options.dialect)
    return [piece.start, *ends]


def find_record_ends(read: ReadInto, start: int, stop: int, dialect: Dialect) -> list[int]:
    """Return the offsets after each record of a range, without the blank lines that follow it."""
    ends: list[int] = []
    for scan in scan_range(read, start, stop, dialect):
        ends += (scan.find_ends() + start).tolist()
        start += scan.nbytes
    return ends


LINE_END = re.compile(rb"[\r\n]")


@lru_cache(maxsize=64)
def find_skipped(dialect: Dialect) -> re.Pattern[bytes]:
    """Return a pattern for the blank lines and comment lines before a record."""
    skipped = [b"[%b]*" % dialect.blank_bytes if dialect.blank_bytes else b""]
    skipped = skipped if dialect.skip_blank_lines else []
    if dialect.comment is not None:
        skipped.append(re.escape(dialect.comment.encode()) + rb"[^\r\n]*")
    return re.compile(rb"(?:(?:%b)(?:\r\n|[\r\n]))*" % b"|".join(skipped) if skipped else b"")


def behind_line_ends(raw: bytes, count: int) -> int:
    r"""Return the offset after so many ``\r`` and ``\n`` of `raw`."""
    return [line_end.end() for line_end in LINE_END.finditer(raw)][count - 1]
