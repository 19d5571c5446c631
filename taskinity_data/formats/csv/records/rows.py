"""Which rows of a CSV file are data: up to `nrows` of them, without lines that `skiprows` lists."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.records.blocks import open_source
from taskinity_data.formats.csv.records.cuts import Grain, end_of_record, find_grains, skip_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "RowRange",
    "find_row_grains",
    "find_rows",
]

COUNT_NBYTES = 256 << 10
"""Grains by which rows are counted up to `nrows`; the last of them is looked at row by row."""

MAX_HOLES = 10_000
"""Separate runs of lines in `skiprows`: each is looked for by itself, in about 0.1 ms."""


class RowRange(NamedTuple):
    """Where the rows of one file end, and what between them is none.

    Attributes
    ----------
    stop : int
        Byte after the last row.
    holes : tuple of (start, stop)
        Bytes of lines that are left out, in order.
    """

    stop: int
    holes: tuple[tuple[int, int], ...] = ()

    def holes_in(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Return those between two bytes, neither of which is within one."""
        return [hole for hole in self.holes if start <= hole[0] and hole[1] <= stop]

    def blank_out(self, data: bytes, start: int, options: CsvOptions) -> bytes:
        """Return `data`, which begins at `start`, with line ends for what is not a row.

        If blank lines are rows, nothing replaces it.
        """
        holes = self.holes_in(start, start + len(data))
        if not holes:
            return data
        line_end = b"\n" if options.dialect.skip_blank_lines else b""
        parts, offset = [], start
        for begin, end in holes:
            parts += [data[offset - start : begin - start], line_end * (end - begin)]
            offset = end
        return b"".join([*parts, data[offset - start :]])


def find_rows(file: SourceFile, data_start: int, options: CsvOptions) -> RowRange | None:
    """Return the rows of `file`, None if they are all that is there.

    Raises
    ------
    PlanError
        Too many lines to look for, or one with an end that can't be cut.

    Notes
    -----
    One pass up to the last line that is listed, and up to the last row that is counted.
    """
    holes: tuple[tuple[int, int], ...] = ()
    if isinstance(options.skiprows, tuple):
        listed = find_holes(file, options.skiprows, options)
        holes = tuple(hole for hole in listed if hole[1] > data_start)
    rows = RowRange(file.nbytes, holes)
    if options.nrows is not None:
        return rows._replace(stop=find_stop(file, data_start, rows, options))
    return rows if holes else None


def find_holes(
    file: SourceFile, lines: tuple[int, ...], options: CsvOptions
) -> Iterator[tuple[int, int]]:
    """Yield the bytes of each run of `lines`."""
    breaks = [index for index, (a, b) in enumerate(pairwise(lines), 1) if b != a + 1]
    runs = [(lines[a], lines[b - 1] + 1) for a, b in pairwise([0, *breaks, len(lines)])]
    if len(runs) > MAX_HOLES:
        raise PlanError(
            f"skiprows=: lists {len(runs):,} separate lines, and at most {MAX_HOLES:,} are "
            "supported; drop the rows in the chunk function"
        )
    # Here a blank line is a line as any other.
    dialect = replace(options.dialect, skip_blank_lines=False, newlines_in_values=True)
    offset = line = 0
    stop = file.nbytes
    with open_source(file) as read:
        for first, last in runs:
            begin = offset
            if first > line:
                end = end_of_record(read, offset, stop, first - line, dialect)
                if end is None:
                    return
                begin = end
            offset, line = skip_lines(read, begin, stop, last - first, dialect), last
            if begin < offset:
                check_line_end(file, read, offset, first, options)
                yield begin, offset


def check_line_end(file: SourceFile, read: Any, stop: int, line: int, options: CsvOptions) -> None:
    r"""Refuse a line that a lone ``\r`` ends: pandas reads what follows it differently there."""
    end = bytearray(1)
    read(memoryview(end), stop - 1)
    if end == b"\r":
        raise PlanError(
            f"{file}: skiprows={list(options.skiprows)!r}: line {line} ends with \\r alone; write "
            "the file with \\n"
        )


def find_stop(file: SourceFile, start: int, rows: RowRange, options: CsvOptions) -> int:
    """Return the byte after row `options.nrows` of the rows from `start` on."""
    left = options.nrows or 0
    exact = replace(options, dialect=replace(options.dialect, newlines_in_values=True))
    stop = start
    if left == 0:
        return stop
    for grain in find_row_grains(file, start, rows.stop, exact, COUNT_NBYTES, rows):
        count = grain.rows or 0
        if count < left:
            left -= count
            stop = grain.stop
            continue
        for record in find_row_grains(file, grain.start, grain.stop, exact, 1, rows):
            left -= record.rows or 0
            stop = record.stop
            if left == 0:
                return stop
    return stop


def find_row_grains(
    file: SourceFile,
    start: int,
    stop: int,
    options: CsvOptions,
    grain_nbytes: int,
    rows: RowRange | None = None,
) -> Iterator[Grain]:
    """Yield what `find_grains` does; a line left out belongs to the grain before it."""
    holes = [] if rows is None else rows.holes_in(start, stop)
    if not holes:
        yield from find_grains(file, start, stop, options.dialect, grain_nbytes)
        return
    waiting: Grain | None = None
    offset = begin = start
    for hole_start, hole_stop in (*holes, (stop, stop)):
        for grain in find_grains(file, offset, hole_start, options.dialect, grain_nbytes):
            if waiting is not None:
                yield waiting
            waiting = grain._replace(start=begin)
            begin = grain.stop
        offset = hole_stop
        if waiting is not None:
            waiting = waiting._replace(stop=hole_stop)
            begin = hole_stop
    yield Grain(start, stop, 0) if waiting is None else waiting
