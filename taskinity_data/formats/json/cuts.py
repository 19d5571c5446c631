"""Where a run of JSON records may be cut, and the lines of JSON Lines.

Only bytes are looked at: a record that ends here may still be malformed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.compression.json_array import BLANKS, BOM
from taskinity_data.sources.read import open_file, open_unbuffered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskinity_data.sources.file import SourceFile

__all__ = [
    "JsonGrain",
    "Lines",
    "cut_records",
    "find_line_ends",
    "find_lines",
    "find_start",
]

HEAD_NBYTES = 4096
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


class Lines(NamedTuple):
    """The lines of a text that are not blank, as offsets; shape (lines,) each.

    `first` and `last` are the first and the last byte that is not white space, `ends` is after the
    newline; `begins` is where the line begins.
    """

    begins: Offsets
    first: Offsets
    last: Offsets
    ends: Offsets


def find_start(file: SourceFile) -> int:
    """Return the first byte of a file that may belong to a record: after a byte order mark.

    Raises
    ------
    PlanError
        It is an array, and was not converted as one.
    """
    if file.unpacked is not None and file.unpacked.conversion.is_array:
        return 0
    with open_file(file) as opened:
        head = opened.read(HEAD_NBYTES)
    start = len(BOM) if head.startswith(BOM) else 0
    if head[start:].lstrip(BLANKS).startswith(b"["):
        raise PlanError(
            f"{file}: this begins with [, which is not a line of JSON Lines; if it is an array of "
            'records, give format="json"'
        )
    return start


def read_blocks(
    file: SourceFile | str, start: int, stop: int, block_nbytes: int = BLOCK_NBYTES
) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of a range in blocks, each with the offset of its first byte.

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
    r"""Return the lines of `text` that are not blank; the last one may lack its newline.

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
    """Yield the offsets after each line of a range that is not blank, block after block.

    Notes
    -----
    One pass, streamed. The last line ends at `stop` at the latest.
    """
    is_open = False
    for offset, block in read_blocks(file, start, stop):
        closed = block.rfind(b"\n") + 1
        ends = find_lines(block[:closed]).ends
        if is_open and closed:
            first = block.index(b"\n") + 1
            if not len(ends) or ends[0] != first:
                ends = np.concatenate([np.array([first], np.int64), ends])
        yield ends + offset
        is_open = (is_open and not closed) or bool(block[closed:].strip(BLANKS))
    if is_open:
        yield np.array([stop], np.int64)


def cut_records(
    blocks: Iterable[Offsets], start: int, stop: int, grain_nbytes: int
) -> Iterator[JsonGrain]:
    """Yield the grains that tile a range, in order.

    Parameters
    ----------
    blocks : iterable of arrays of int64, shape (records,)
        The offsets after each record of the range, in order.
    start, stop : int
    grain_nbytes : int
        A grain ends with the first record that makes it at least this large; what no record
        follows belongs to the last one.
    """
    waiting: JsonGrain | None = None
    rows = 0
    for ends in blocks:
        before = 0
        while (index := int(np.searchsorted(ends, start + grain_nbytes))) < len(ends):
            if waiting is not None:
                yield waiting
            waiting = JsonGrain(start, int(ends[index]), rows + index + 1 - before)
            start, before, rows = waiting.stop, index + 1, 0
        rows += len(ends) - before
        if rows and waiting is not None:
            yield waiting
            waiting = None
    if waiting is not None:
        yield waiting._replace(stop=stop)
    elif start < stop:
        yield JsonGrain(start, stop, rows)
