"""Where a range of CSV may be cut (after records, as pandas sees them), and where data begin."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.formats.csv.records.blocks import Source, get_line_end, open_source, skip_bom
from taskinity_data.formats.csv.records.scan import BLOCK_NBYTES, Scan, scan_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from taskinity_data.formats.csv.records.blocks import ReadInto
    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = [
    "Grain",
    "end_of_record",
    "find_grains",
    "find_open_quote",
    "skip_lines",
]

WINDOW_NBYTES = 1 << 16
"""Bytes read at a time where cuts are found by seeking: few lines are longer."""

MANY_CUTS_NBYTES = 1 << 12
"""Smaller grains: all ends of a block are listed (5 ns each); else each is looked for (10 us)."""


class Grain(NamedTuple):
    """The smallest unit of which chunks are made: consecutive whole records.

    Attributes
    ----------
    start, stop : int
        Bytes.
    rows : int or None
        Rows that pandas makes of it; None if the cut was found by seeking.
    """

    start: int
    stop: int
    rows: int | None


def find_grains(
    source: Source,
    start: int,
    stop: int,
    dialect: Dialect,
    grain_nbytes: int,
    *,
    block_nbytes: int = BLOCK_NBYTES,
) -> Iterator[Grain]:
    """Yield the grains that tile a range, in order, each as soon as it is found.

    Parameters
    ----------
    source : path or bytes
        Never held in memory whole.
    start, stop : int
        Bytes; `start` is where a record begins, `stop` where one ends, or the end of the file. A
        byte order mark at 0 belongs to the first grain and is not data.
    dialect : Dialect
    grain_nbytes : int
        A grain consists of the fewest records with at least this many bytes: with 1, each record
        is a grain.
    block_nbytes : int
        Bytes that are searched at once.

    Yields
    ------
    Grain
        Blank lines and comment lines belong to the record that follows them, or to the last one. A
        range without a record is one grain of no rows; an empty range is none.

    Raises
    ------
    OSError
        The file can't be opened or read.
    SourceChanged
        It ends before `stop`.

    Notes
    -----
    One pass, with about ``4 * block_nbytes`` bytes in memory, and a grain's last block and the next
    record's end must be seen before it is yielded. Where the dialect promises
    ``newlines_in_values=False`` there is no pass: about 64 KiB are read around each cut, which then
    is the first line end from the target on (so that blank lines may end a grain or fill it), and
    rows stay unknown; `count_rows` counts them.
    """
    if grain_nbytes < 1:
        raise ValueError(f"grain_nbytes={grain_nbytes}: a grain has at least one byte")
    with open_source(source) as read:
        if dialect.newlines_in_values:
            scans = scan_range(read, start, stop, dialect, block_nbytes=block_nbytes)
            yield from _cut(scans, start, grain_nbytes)
            return
        while start < stop:
            cut = _seek(read, start + grain_nbytes, stop, dialect)
            yield Grain(start, cut, None)
            start = cut


def _cut(scans: Iterable[Scan], start: int, grain_nbytes: int) -> Iterator[Grain]:
    """Grains from record ends, each held until a record after it shows that it is not the last."""
    waiting: Grain | None = None
    offset, rows = start, 0
    for scan in scans:
        if scan.rows and waiting is not None:
            yield waiting
            waiting = None
        if not scan.rows or start + grain_nbytes > offset + scan.nbytes:
            offset += scan.nbytes
            rows += scan.rows
            continue
        find = _list_ends(scan) if grain_nbytes < MANY_CUTS_NBYTES else scan.find_first
        n_cut = 0
        while (end := find(start + grain_nbytes - offset)) is not None:
            if waiting is not None:
                yield waiting
            cut = offset + end[0]
            waiting = Grain(start, cut, rows + end[1] - n_cut)
            start, n_cut, rows = cut, end[1], 0
        offset += scan.nbytes
        rows += scan.rows - n_cut
        if start < offset and n_cut and rows and waiting is not None:
            yield waiting
            waiting = None
    if waiting is None:
        if start < offset:
            yield Grain(start, offset, rows)
    elif rows:
        yield waiting
        yield Grain(start, offset, rows)
    else:
        yield waiting._replace(stop=offset)


def _list_ends(scan: Scan) -> Callable[[int], tuple[int, int] | None]:
    """Return `Scan.find_first` in a form that is cheaper where it is called often."""
    ends = scan.find_ends().tolist()

    def find_first(offset: int) -> tuple[int, int] | None:
        index = bisect_left(ends, offset)
        return (ends[index], index + 1) if index < len(ends) else None

    return find_first


def _seek(read: ReadInto, target: int, stop: int, dialect: Dialect) -> int:
    """Return the offset after the first line end at or after `target`; `stop` where none is."""
    pattern = get_line_end(dialect)
    # From one byte before the line end's own: it may be an escape. To one after: see the pattern.
    offset = max(target - 2, 0)
    while offset + 2 < stop + 1:
        view = bytearray(min(WINDOW_NBYTES, stop - offset))
        n_read = read(memoryview(view), offset)
        match = pattern.search(view, 1 if offset or target > 1 else 0, n_read)
        if match is not None:
            return offset + match.end()
        if offset + n_read >= stop or n_read < 2:
            break
        offset += n_read - 2
    return stop


HEAD_WINDOW_NBYTES = 1 << 16
"""Bytes read at first: the top of a file is seldom longer."""


def skip_lines(source: Source, start: int, stop: int, count: int, dialect: Dialect) -> int:
    r"""Return the offset after `count` lines, counted as ``pandas.read_csv(skiprows=count)`` does.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes; the lines are those from `start` on. A byte order mark at 0 is not data.
    count : int
        Lines, blank lines and comments too; a quoted line end does not end one.
    dialect : Dialect

    Returns
    -------
    int
        `stop` where there are fewer lines.

    Notes
    -----
    Holds a line in memory. As in pandas, comments and escapes have no effect in these lines, a CR
    that begins one does not end it, and a `sep` right after a line that a lone CR ends belongs to
    that line.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> skip_lines(b'"a\nb"\n\nc\n', 0, 9, 2, Dialect())
    7
    """
    pattern = _compile_skipped(dialect)
    with open_source(source) as read:
        offset = skip_bom(read, start, stop)
        nbytes = HEAD_WINDOW_NBYTES
        while count and offset < stop:
            data = bytearray(min(nbytes, stop - offset))
            read(memoryview(data), offset)
            is_whole = offset + len(data) >= stop
            at = 0
            while count and at < len(data):
                line = pattern.match(data, at)
                if line is None or (line.end() == len(data) and not is_whole):
                    break
                at = line.end()
                count -= 1
            if at == 0 and is_whole:
                return stop
            # A line longer than the window: the window grows until it holds one.
            nbytes = HEAD_WINDOW_NBYTES if at else 2 * nbytes
            offset += at
    return offset


def end_of_record(
    source: Source, start: int, stop: int, count: int, dialect: Dialect
) -> int | None:
    r"""Return the offset after the `count`-th record from `start`, None if there are fewer.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes; `start` is where a record begins. A byte order mark at 0 is not data.
    count : int
        From 1: blank lines and comment lines that pandas passes over are not counted.
    dialect : Dialect

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> end_of_record(b"\n\na,b\n1,2\n", 0, 10, 1, Dialect())
    6
    """
    with open_source(source) as read:
        offset = start
        for scan in scan_range(read, start, stop, dialect, block_nbytes=HEAD_WINDOW_NBYTES):
            if count <= scan.rows:
                return offset + int(scan.find_ends()[count - 1])
            count -= scan.rows
            offset += scan.nbytes
    return None


def find_open_quote(data: bytes, start: int, dialect: Dialect) -> tuple[int, int] | None:
    r"""Return how many records precede the quote that is open where `data` end, and its offset.

    Parameters
    ----------
    data : bytes
    start : int
        Where a record begins.
    dialect : Dialect

    Returns
    -------
    tuple of int, or None
        None if the last record is closed.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> find_open_quote(b'a,b\n1,"2\n3,4\n', 0, Dialect())
    (1, 6)
    """
    rows, offset, end = 0, start, start
    is_open = False
    with open_source(data) as read:
        for scan in scan_range(read, start, len(data), dialect):
            is_open = scan.is_open
            if scan.nbytes and scan.rows:
                rows += scan.rows
                end = offset + int(scan.find_ends()[-1])
            offset += scan.nbytes
    if not is_open or dialect.quotechar is None:
        return None
    quote = data.find(dialect.quotechar.encode(), end)
    return None if quote < 0 else (rows, quote)


@lru_cache(maxsize=64)
def _compile_skipped(dialect: Dialect) -> re.Pattern[bytes]:
    """Return a pattern for one skipped line and its end."""
    sep = re.escape(dialect.sep_bytes)
    text = b"[^\\r\\n%b]*+" % sep
    end = b"(?:\\n|\\r[\\n%b]?|\\Z)" % sep
    if dialect.quotechar is None:
        return re.compile(b"[^\\n]?+%b(?:[%b]%b)*+%b" % (text, sep, text, end))
    quote = re.escape(dialect.quotechar.encode())
    doubled = b"|" + quote * 2 if dialect.doublequote else b""
    quoted = b"%b(?:[^%b]%b)*+%b" % (quote, quote, doubled, quote)
    first = b"(?:%b|(?!%b)[^\\n]?+)" % (quoted, quote)
    more = b"(?:[%b](?:%b|(?!%b))%b)*+" % (sep, quoted, quote, text)
    return re.compile(first + text + more + end)
