"""Where the data of a CSV file begin and what its columns are called, as pandas has it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import find_wide_encoding, hint_encoding, to_utf8
from taskinity_data.formats.csv.head_labels import (
    PARSE_ERRORS,
    bom_nbytes,
    check_first_row,
    check_labels,
    check_levels,
    check_width,
    count_with_probe,
    find_index,
    find_repeated,
    is_header_only,
    no_head,
    parse,
    parse_head,
    plain_header,
)
from taskinity_data.formats.csv.records.cuts import find_grains, find_open_quote
from taskinity_data.formats.csv.records.dialect import WHITESPACE
from taskinity_data.formats.csv.records.rows import find_row_grains
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.rows import RowRange
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "Head",
    "has_rows",
    "read_head",
]

# A header and a record fit in 64 KiB nearly always; reading that from a local disk takes 0.1 ms.
HEAD_NBYTES = 1 << 16

# Bytes that looking for the head takes for each byte of it: a first row of 300 MB took 2,075 MB.
HEAD_GROWTH = 8

# For files with the same header: each of thousands of small ones took 2.4 ms, mostly in pandas.
_CACHED: Cache[Head] = Cache(64)

# Each line end that could close the header costs one parse of 0.2 ms.
MAX_TRIES = 2_000


class Head(NamedTuple):
    """The beginning of one file.

    Attributes
    ----------
    data_start : int
        Byte after the header (and a byte order mark, and skipped rows).
    labels : tuple
        Column labels as pandas makes them: texts, or positions where there is no header.
    index_names : tuple of labels or None
        What the levels of the index are called that `index_col` makes: a column without a name
        makes one without.
    level_names : tuple of labels or None
        What the levels of the columns are called, where a header of several rows names them.
    repeated : tuple of (label, label)
        Columns of the header with a name that occurs before, and that name.
    rows : RowRange or None
        Which rows are read, where they are not all; `find_rows` tells.
    """

    data_start: int
    labels: tuple[Hashable, ...]
    index_names: tuple[Hashable, ...] = ()
    level_names: tuple[Hashable, ...] = ()
    repeated: tuple[tuple[Hashable, Hashable], ...] = ()
    rows: RowRange | None = None


def read_head(file: SourceFile, options: CsvOptions) -> Head:
    """Return the head of `file`.

    Raises
    ------
    PlanError
        The file is empty, binary, in another encoding, has no such header, or its first row has
        more fields than the header.

    Notes
    -----
    The header ends at the first line end after which a record that is added would be the first
    row. pandas parses it, so that its rules for blank lines, comments and quotes hold.
    """
    nbytes = HEAD_NBYTES
    while True:
        with open_file(file) as opened:
            data = opened.read(nbytes)
            is_whole = not opened.read(1)
        if not data:
            raise PlanError(f"{file}: the file is empty (0 bytes): there are not even column names")
        header = plain_header(data, options)
        cached = None if header is None else _CACHED.get((options.identity, header))
        check_text(file, data, options, is_whole=is_whole)
        if cached is not None:
            return cached
        head = find_head(file, data, options, is_whole=is_whole)
        if head is not None:
            if header is not None and head.data_start == len(header):
                _CACHED.put((options.identity, header), head)
            return head
        nbytes = min(8 * nbytes, share_memory(count_cores()) // HEAD_GROWTH)
        if nbytes <= len(data):
            opens = find_head_quote(data, bom_nbytes(data, options), options)
            quote = "" if opens is None else f" (a quote opens at byte {opens:,})"
            raise PlanError(
                f"{file}: header and first row have more than {len(data):,} bytes, too many for a "
                f"worker's memory{quote}: if a quote is never closed, give quoting=3; if line ends "
                "are missing, repair the file",
                path=file.path,
                start=0,
            )


def check_text(file: SourceFile, data: bytes, options: CsvOptions, *, is_whole: bool) -> None:
    wide = find_wide_encoding(data[:HEAD_NBYTES])
    if wide is not None:
        raise PlanError(f"{file}: this is UTF-{wide[4:6]} text; give encoding={wide!r}")
    # A character may be cut by the end of what was read.
    stop = len(data) if is_whole else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    try:
        to_utf8(data[:stop], options.encoding, options.encoding_errors)
    except UnicodeDecodeError as error:
        raise no_text(file, data, error.start, options) from error


def no_text(file: SourceFile, data: bytes, at: int, options: CsvOptions) -> PlanError:
    hint = hint_encoding(data, at, options.encoding)
    return PlanError(f"{file}: byte {at} is not valid {options.encoding} text; {hint}")


def find_head(file: SourceFile, data: bytes, options: CsvOptions, *, is_whole: bool) -> Head | None:
    """Return the head, or None if `data` is too short to tell."""
    start = bom_nbytes(data, options)
    opens = find_head_quote(data, start, options)
    if opens is not None:
        if not is_whole:
            return None
        raise PlanError(
            f"{file}: a quote opens at byte {opens:,}, in the header or the first row, and is "
            "never closed; close it, or give quoting=3 if quotes have no special meaning",
            path=file.path,
            start=opens,
        )
    # Data begin after the last row of several, and pandas warns of a probe for another row.
    flat = options
    if isinstance(options.header, tuple):
        flat = replace(options, header=last_header_row(options))
    data_start, reason = find_data_start(data, start, flat, is_whole=is_whole)
    if data_start is None:
        if is_whole:
            raise no_head(file, data, options, reason)
        return None
    check_first_separator(file, data, data_start, options)
    for end in candidates(data, data_start, options, is_whole=is_whole):
        try:
            frame = parse(data[:end], flat)
            # A record that an escaped line end goes on after is not the whole of it.
            is_complete = len(frame) > 0 and (
                end == len(data) or count_with_probe(data[:end], flat) == len(frame) + 1
            )
        except PARSE_ERRORS as error:
            reason = error
            continue
        if is_complete:
            if flat is not options:
                check_first_row(file, data[data_start:end], frame.shape[1], options)
                frame = parse_head(file, data[:end], options)
            labels = check_labels(file, data, frame, options)
            check_width(file, data[:end], data_start, labels, options)
            return make_head(file, data_start, labels, data[:end], options)
    if not is_whole:
        return None
    if reason is not None and not is_header_only(data, options):
        raise no_head(file, data, options, reason)
    labels = check_labels(file, data, parse_head(file, data, options), options)
    return make_head(file, data_start, labels, data, options)


def find_data_start(
    data: bytes, start: int, options: CsvOptions, *, is_whole: bool
) -> tuple[int | None, Exception | None]:
    """Return the byte after the header, and why pandas refused the last end that was none."""
    reason: Exception | None = None
    if options.header is None and options.skiprows == 0:
        return start, None
    for end in candidates(data, start, options, is_whole=is_whole):
        try:
            # Is a record that is put after this the first row?
            if count_with_probe(data[:end], options) == 1:
                return end, reason
        except PARSE_ERRORS as error:
            reason = error
    return None, reason


def last_header_row(options: CsvOptions) -> int:
    """Return the row after which the data begin; -1 where there is no header."""
    header = options.header
    last = header[-1] if isinstance(header, tuple) else header
    return last if isinstance(last, int) else -1


def find_head_quote(data: bytes, start: int, options: CsvOptions) -> int | None:
    """Return the byte of the first quote of a header or first row that is open where `data` end."""
    dialect = replace(options.dialect, newlines_in_values=True)
    quotechar = dialect.quotechar
    if quotechar is None or quotechar.encode() not in data or options.skiprows:
        return None
    quote = find_open_quote(data, start, dialect)
    return None if quote is None or quote[0] >= last_header_row(options) + 2 else quote[1]


def check_first_separator(file: SourceFile, data: bytes, start: int, options: CsvOptions) -> None:
    r"""Refuse a first row whose first separator pandas takes otherwise than a chunk does.

    After a skipped line that a lone ``\r`` ends it is lost; after a header that one ends, a space
    separates that `skipinitialspace` or ``sep=r"\s+"`` else drops.
    """
    dialect = options.dialect
    drops_blanks = dialect.sep == WHITESPACE or (dialect.sep == " " and dialect.skipinitialspace)
    is_first = start < len(data) and data[start] in dialect.sep_bytes
    if (options.skiprows or drops_blanks) and data[:start].endswith(b"\r") and is_first:
        raise PlanError(
            f"{file}: the line before byte {start} ends with \\r alone, and the first row begins "
            "with a separator, which pandas reads differently there; write the file with \\n"
        )


def candidates(data: bytes, start: int, options: CsvOptions, *, is_whole: bool) -> Iterator[int]:
    """Yield where the record that is looked for may end: likely places first, then every line end.

    pandas judges them, so a wrong one costs a parse and no more. Without the likely ones, a first
    field of many lines would cost a parse for each.
    """
    header = max(last_header_row(options), 0)
    skipped = options.skiprows if isinstance(options.skiprows, int) else len(options.skiprows)
    if isinstance(options.skiprows, tuple) and options.header is None:
        yield start
    grains = find_grains(data, start, len(data), options.dialect, 1)
    yield from (grain.stop for grain in islice(grains, skipped + header + 2))
    yield from line_ends(data, start, is_whole=is_whole)
    if is_whole:
        yield len(data)


def line_ends(data: bytes, start: int, *, is_whole: bool) -> Iterator[int]:
    r"""Offsets after each ``\n``, ``\r\n`` and lone ``\r``, and the end of a whole file."""
    at = start
    for _ in range(MAX_TRIES):
        feed, back = data.find(b"\n", at), data.find(b"\r", at)
        ends = [end for end in (feed, back) if end >= 0]
        if not ends:
            break
        at = min(ends) + 1
        if data[at - 1] == ord("\r"):
            if at == len(data) and not is_whole:
                break
            at += data[at : at + 1] == b"\n"
        yield at
    else:
        return
    if is_whole and at < len(data):
        yield len(data)


def make_head(
    file: SourceFile,
    data_start: int,
    labels: tuple[Hashable, ...],
    data: bytes,
    options: CsvOptions,
) -> Head:
    """Return the head of `file`, of which `data` ends after the first row."""
    repeated = find_repeated(data, labels, options)
    if not options.index_col:
        return Head(data_start, labels, repeated=repeated)
    frame = find_index(data, options)
    level_names: tuple[Hashable, ...] = ()
    if isinstance(options.header, tuple):
        check_levels(file, frame, labels, options)
        level_names = tuple(frame.columns.names)
    if isinstance(options.header, tuple) and len(frame) < len(parse(data, options)):
        # What looked like the first row names the levels of the index.
        data_start = len(data)
        check_first_separator(file, data, data_start, options)
    return Head(data_start, labels, tuple(frame.index.names), level_names, repeated)


def has_rows(file: SourceFile, head: Head, options: CsvOptions) -> bool:
    """Return whether there is a row, even one that `nrows` leaves out."""
    exact = replace(options, dialect=replace(options.dialect, newlines_in_values=True))
    grains = find_row_grains(file, head.data_start, file.nbytes, exact, 1, head.rows)
    return any(grain.rows for grain in grains)
