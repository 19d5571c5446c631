"""Where a run of JSON records may be cut, and the lines of JSON Lines.

It knows bytes, not values: a record that ends here may still be malformed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from taskinity_data.errors import ReadError
from taskinity_data.sources.read import open_unbuffered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "BLANKS",
    "BLOCK_NBYTES",
    "BOM",
    "Halves",
    "JsonGrain",
    "Lines",
    "RecordLayout",
    "cut_records",
    "find_line_ends",
    "find_lines",
    "read_blocks",
    "split_records",
]

BLANKS = b" \t\r\n"
"""What JSON takes for white space; other blanks are no JSON."""

BOM = b"\xef\xbb\xbf"
BLOCK_NBYTES = 1 << 20
NEWLINE = ord("\n")

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]

_IS_BLANK = np.zeros(256, np.bool_)
_IS_BLANK[list(BLANKS)] = True


class JsonGrain(NamedTuple):
    """A run of `rows` whole records, from byte `start` to `stop`."""

    start: int
    stop: int
    rows: int


class Halves(NamedTuple):
    """A range cut at byte `at`, and the records on either side."""

    at: int
    rows_before: int
    rows_behind: int


class Lines(NamedTuple):
    """The lines of a text that are not blank, as offsets; shape (lines,) each.

    `first` and `last` are the first and the last byte that is no white space, `ends` lies behind
    the newline; `begins` is where the line begins.
    """

    begins: Offsets
    first: Offsets
    last: Offsets
    ends: Offsets


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How records lie in files of a format.

    Attributes
    ----------
    format : str
    record : str
        What one is called where it lies in a piece: ``"line"``, ``"element"``.
    find_start : callable of file
        The first byte of a file that may belong to a record.
    find_ends : callable of file, start, stop
        As `find_line_ends`.
    to_lines : callable of piece, bytes
        A piece's bytes as JSON Lines, each at its place; may raise `BadArray`.
    is_seekable : bool
        Whether a record's beginning can be told without what stands before it.
    """

    format: str
    record: str
    find_start: Callable[[SourceFile], int]
    find_ends: Callable[[SourceFile, int, int], Iterator[Offsets]]
    to_lines: Callable[[Piece, bytes], bytes]
    is_seekable: bool


def read_blocks(
    file: SourceFile | str, start: int, stop: int, block_nbytes: int = BLOCK_NBYTES
) -> Iterator[tuple[int, bytes]]:
    """The bytes of a range in blocks, each with the offset of its first byte.

    Raises
    ------
    ReadError
        The file ends before `stop`.
    """
    with open_unbuffered(file) as opened:
        opened.seek(start)
        while start < stop:
            block = opened.read(min(block_nbytes, stop - start))
            if not block:
                raise ReadError(
                    f"{file}: the file ends before byte {stop:,}; plan again",
                    path=str(file),
                    start=start,
                )
            yield start, block
            start += len(block)


def find_lines(text: bytes) -> Lines:
    r"""The lines of `text` that are not blank; the last one may lack its newline.

    Examples
    --------
    >>> lines = find_lines(b'{}\r\n\n  {} ')
    >>> lines.first.tolist(), lines.last.tolist(), lines.ends.tolist()
    ([0, 7], [1, 8], [4, 10])
    """
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == NEWLINE) + 1
    if len(text) and (not len(ends) or ends[-1] != len(text)):
        ends = np.append(ends, len(text))
    begins = np.concatenate([np.zeros(min(1, len(ends)), np.int64), ends[:-1]])
    first = begins.copy()
    todo = np.flatnonzero(_IS_BLANK[data[first]])
    while len(todo):
        first[todo] += 1
        todo = todo[first[todo] < ends[todo]]
        todo = todo[_IS_BLANK[data[first[todo]]]]
    is_filled = first < ends
    begins, first, ends = begins[is_filled], first[is_filled], ends[is_filled]
    last = ends - 1
    todo = np.flatnonzero(_IS_BLANK[data[last]])
    while len(todo):
        last[todo] -= 1
        todo = todo[_IS_BLANK[data[last[todo]]]]
    return Lines(begins, first, last, ends)


def find_line_ends(file: SourceFile | str, start: int, stop: int) -> Iterator[Offsets]:
    """The offsets behind each line of a range that is not blank, block after block.

    Notes
    -----
    One pass, streamed. The last line ends at `stop` at the latest.
    """
    is_open = False
    for place, block in read_blocks(file, start, stop):
        closed = block.rfind(b"\n") + 1
        ends = find_lines(block[:closed]).ends
        if is_open and closed:
            first = block.index(b"\n") + 1
            if not len(ends) or ends[0] != first:
                ends = np.concatenate([np.array([first], np.int64), ends])
        yield ends + place
        is_open = (is_open and not closed) or bool(block[closed:].strip(BLANKS))
    if is_open:
        yield np.array([stop], np.int64)


def cut_records(
    blocks: Iterable[Offsets], start: int, stop: int, grain_nbytes: int
) -> Iterator[JsonGrain]:
    """The grains that tile a range, in order.

    Parameters
    ----------
    blocks : iterable of arrays of int64, shape (records,)
        The offsets behind each record of the range, in order.
    start, stop : int
    grain_nbytes : int
        A grain ends with the first record that makes it at least this large; what no record
        follows belongs to the last one.
    """
    waiting: JsonGrain | None = None
    rows = 0
    for ends in blocks:
        taken = 0
        while (index := int(np.searchsorted(ends, start + grain_nbytes))) < len(ends):
            if waiting is not None:
                yield waiting
            waiting = JsonGrain(start, int(ends[index]), rows + index + 1 - taken)
            start, taken, rows = waiting.stop, index + 1, 0
        rows += len(ends) - taken
        if rows and waiting is not None:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting._replace(stop=stop)
    elif start < stop:
        yield JsonGrain(start, stop, rows)


def split_records(blocks: Iterable[Offsets], start: int, stop: int) -> Halves | None:
    """The cut behind a record that is nearest to the middle of a range; None for one record."""
    middle = (start + stop) // 2
    candidates: list[tuple[int, int]] = []
    rows, last = 0, stop
    for ends in blocks:
        if not len(ends):
            continue
        index = int(np.searchsorted(ends, middle))
        places = [place for place in (index - 2, index - 1, index) if 0 <= place < len(ends)]
        candidates += [(int(ends[place]), rows + place + 1) for place in places]
        rows += len(ends)
        last = int(ends[-1])
        # Behind the middle only the first counts; before it one more, as the last record's end is
        # no cut.
        candidates = [one for one in candidates if one[0] < middle][-2:] + [
            one for one in candidates if one[0] >= middle
        ][:1]
    inner = [one for one in candidates if one[0] != last]
    if not inner:
        return None
    at, before = min(inner, key=lambda one: abs(one[0] - middle))
    return Halves(at, before, rows - before)
