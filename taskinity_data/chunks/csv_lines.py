"""Where a CSV file's data begin: behind lines that are skipped and records that are a header.

It counts lines and records, and knows nothing of what stands in them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from taskinity_data.chunks.csv_blocks import BOM, Source, open_source
from taskinity_data.chunks.csv_dialect import Facts
from taskinity_data.chunks.csv_scan import scan_range

if TYPE_CHECKING:
    from taskinity_data.chunks.csv_blocks import ReadInto
    from taskinity_data.chunks.csv_dialect import Dialect

__all__ = ["end_of_record", "find_open_record", "skip_lines"]

WINDOW_NBYTES = 1 << 16
"""Bytes read at first: the top of a file is seldom longer."""


def skip_lines(source: Source, start: int, stop: int, count: int, dialect: Dialect) -> int:
    r"""The offset behind `count` lines, counted as ``pandas.read_csv(skiprows=count)`` does.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes; the lines are those from `start` on. A byte order mark at 0 is no data.
    count : int
        Lines, blank lines and comments too; a quoted line end does not end one.
    dialect : Dialect

    Returns
    -------
    int
        `stop` where there are fewer lines.

    Notes
    -----
    Holds a line in memory. As in pandas, comments and escapes mean nothing in these lines, a CR
    that begins one does not end it, and a `sep` right after a line that a lone CR ends belongs to
    that line.

    Examples
    --------
    >>> from taskinity_data.chunks.csv_dialect import Dialect
    >>> skip_lines(b'"a\nb"\n\nc\n', 0, 9, 2, Dialect())
    7
    """
    pattern = _compile_skipped(dialect)
    with open_source(source) as read:
        place = _skip_bom(read, start, stop)
        nbytes = WINDOW_NBYTES
        while count and place < stop:
            data = bytearray(min(nbytes, stop - place))
            read(memoryview(data), place)
            is_whole = place + len(data) >= stop
            at = 0
            while count and at < len(data):
                found = pattern.match(data, at)
                if found is None or (found.end() == len(data) and not is_whole):
                    break
                at = found.end()
                count -= 1
            if at == 0 and is_whole:
                return stop
            # A line longer than the window: the window grows until it holds one.
            nbytes = WINDOW_NBYTES if at else 2 * nbytes
            place += at
    return place


def end_of_record(
    source: Source, start: int, stop: int, count: int, dialect: Dialect
) -> int | None:
    r"""The offset behind the `count`-th record from `start`, None where there are fewer.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes; `start` is where a record begins. A byte order mark at 0 is no data.
    count : int
        From 1: blank lines and comment lines that pandas passes over are not counted.
    dialect : Dialect

    Examples
    --------
    >>> from taskinity_data.chunks.csv_dialect import Dialect
    >>> end_of_record(b"\n\na,b\n1,2\n", 0, 10, 1, Dialect())
    6
    """
    with open_source(source) as read:
        place = start
        for scan in scan_range(read, start, stop, dialect, block_nbytes=WINDOW_NBYTES):
            if count <= scan.rows:
                return place + int(scan.find_ends()[count - 1])
            count -= scan.rows
            place += scan.nbytes
    return None


def find_open_record(
    source: Source, start: int, stop: int, dialect: Dialect
) -> tuple[int, int] | None:
    r"""The record that a quote leaves open at `stop`: how many come before it, and its offset.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes; `start` is where a record begins.
    dialect : Dialect

    Returns
    -------
    tuple of int, or None
        None where the last record is closed.

    Examples
    --------
    >>> from taskinity_data.chunks.csv_dialect import Dialect
    >>> find_open_record(b'a,b\n1,"2\n3,4\n', 0, 13, Dialect())
    (1, 4)
    """
    rows, place, end = 0, start, start
    facts = Facts.NONE
    with open_source(source) as read:
        for scan in scan_range(read, start, stop, dialect):
            facts |= scan.facts
            if scan.nbytes and scan.rows:
                rows += scan.rows
                end = place + int(scan.find_ends()[-1])
            place += scan.nbytes
    return (rows, end) if Facts.UNCLOSED in facts else None


def _skip_bom(read: ReadInto, start: int, stop: int) -> int:
    head = bytearray(len(BOM))
    if start == 0 and stop >= len(BOM) and read(memoryview(head), 0) == len(BOM) and head == BOM:
        return len(BOM)
    return start


@lru_cache(maxsize=64)
def _compile_skipped(dialect: Dialect) -> re.Pattern[bytes]:
    """A pattern for one skipped line and its end."""
    sep = re.escape(dialect.sep.encode())
    text = b"[^\\r\\n%b]*+" % sep
    end = b"(?:\\n|\\r[\\n%b]?|\\Z)" % sep
    if dialect.quotechar is None:
        return re.compile(b"[^\\n]?+%b(?:%b%b)*+%b" % (text, sep, text, end))
    quote = re.escape(dialect.quotechar.encode())
    doubled = b"|" + quote * 2 if dialect.doublequote else b""
    quoted = b"%b(?:[^%b]%b)*+%b" % (quote, quote, doubled, quote)
    first = b"(?:%b|(?!%b)[^\\n]?+)" % (quoted, quote)
    more = b"(?:%b(?:%b|(?!%b))%b)*+" % (sep, quoted, quote, text)
    return re.compile(first + text + more + end)
