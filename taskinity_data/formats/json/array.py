"""The elements of a JSON array of records, found without reading their values.

Only quotes, escapes, brackets and commas are looked at: an element that ends here may still be
malformed. A range of elements is rewritten as JSON Lines, byte for byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from taskinity_data.formats.json.cuts import BLANKS, BLOCK_NBYTES, find_lines, read_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.formats.json.cuts import Offsets
    from taskinity_data.sources.file import SourceFile

__all__ = ["BadArray", "Walk", "find_element_ends", "to_lines"]

QUOTE, COMMA, BACKSLASH, SPACE, NEWLINE = (ord(mark) for mark in '",\\ \n')

_IS_MARK = np.zeros(256, np.bool_)
_IS_MARK[list(b'",[]{}')] = True
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


class BadArray(ValueError):  # noqa: N818 - it becomes a ReadError where the file is known
    """Something is wrong between elements, at `offset`."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(offset, why)  # both, so that it can be pickled
        self.offset, self.why = offset, why

    def __str__(self) -> str:
        return self.why


class Walk:
    """Goes over elements, block after block, beginning in front of one.

    Attributes
    ----------
    deepest : int
        The most brackets that were open at a time.
    """

    def __init__(self) -> None:
        self.deepest = 0
        self._depth = 0
        self._is_quoted = False
        self._is_escaped = False

    def feed(self, block: bytes) -> tuple[Offsets, int | None]:
        """Return the commas between elements, and the bracket that closes the array, as offsets.

        Notes
        -----
        Commas behind that bracket are not among them.
        """
        data = np.frombuffer(block, np.uint8)
        marks = np.flatnonzero(_IS_MARK[data])
        kinds = data[marks]
        is_quote = kinds == QUOTE
        if self._is_escaped or b"\\" in block:
            quotes = np.flatnonzero(is_quote)
            is_quote[quotes[self._are_escaped(data, marks[quotes])]] = False
        is_outside = (np.cumsum(is_quote) + self._is_quoted) & 1 == 0
        depths = self._depth + np.cumsum(_STEP[kinds] * is_outside, dtype=np.int64)
        is_comma = (kinds == COMMA) & is_outside & (depths == 0)
        if len(marks):
            self._depth = int(depths[-1])
            self._is_quoted = not is_outside[-1]
            self.deepest = max(self.deepest, int(depths.max()))
        closed = np.flatnonzero(depths < 0)
        if len(closed):
            return marks[: closed[0]][is_comma[: closed[0]]], int(marks[closed[0]])
        return marks[is_comma], None

    def _are_escaped(self, data: npt.NDArray[np.uint8], quotes: Offsets) -> npt.NDArray[np.bool_]:
        """Return which of `quotes` follow an odd number of backslashes."""
        slashes = np.flatnonzero(data == BACKSLASH)
        runs = slashes[np.diff(slashes, prepend=-2) > 1]
        lengths = np.zeros(len(quotes), np.int64)
        behind = np.flatnonzero((quotes > 0) & (data[quotes - 1] == BACKSLASH))
        begins = runs[np.searchsorted(runs, quotes[behind], side="right") - 1]
        lengths[behind] = quotes[behind] - begins
        if self._is_escaped:
            # The backslash stands at the end of the block before.
            lengths[behind[begins == 0]] += 1
            lengths[quotes == 0] = 1
        trailing = len(data) - int(runs[-1]) if data[-1] == BACKSLASH else 0
        carried = self._is_escaped and trailing == len(data)
        self._is_escaped = bool((trailing + carried) & 1)
        return (lengths & 1).astype(np.bool_)


def find_element_ends(file: SourceFile, start: int, stop: int) -> Iterator[Offsets]:
    """Yield the offsets behind each element of a range and its comma, block after block.

    Parameters
    ----------
    file : SourceFile
    start : int
        In front of an element, behind the array's first bracket.
    stop : int
        Behind an element's comma, or the file's end: the last element ends there.

    Notes
    -----
    One pass, streamed.
    """
    walk = Walk()
    is_open = False
    for offset, block in read_blocks(file, start, stop):
        commas, closed = walk.feed(block)
        yield commas + (offset + 1)
        behind = int(commas[-1]) + 1 if len(commas) else 0
        is_open = (is_open and not len(commas)) or bool(block[behind:closed].strip(BLANKS))
        if closed is not None:
            break
    if is_open:
        yield np.array([stop], np.int64)


def to_lines(text: bytes, *, is_last: bool) -> bytes:
    """Return a range of elements as JSON Lines: an element a line, each byte at its place.

    Parameters
    ----------
    text : bytes
        Elements with a comma behind each, or the array's last ones with its closing bracket.
    is_last : bool
        The file ends here, so that the bracket must be there.

    Raises
    ------
    BadArray
        The array is not closed, something stands behind it, or nothing between two commas.

    Notes
    -----
    A newline within an element becomes a carriage return, which means the same to JSON: white
    space between values, an error within a text.
    """
    if not text:
        return text
    lines = np.frombuffer(bytearray(text.replace(b"\n", b"\r")), np.uint8)
    walk = Walk()
    count, behind, closed = 0, 0, None
    for offset in range(0, len(text), BLOCK_NBYTES):
        commas, closed = walk.feed(text[offset : offset + BLOCK_NBYTES])
        lines[commas + offset] = NEWLINE
        count += len(commas)
        behind = int(commas[-1]) + offset + 1 if len(commas) else behind
        if closed is not None:
            closed += offset
            break
    if closed is None:
        if is_last or behind < len(text):
            raise BadArray(behind, "the array is not closed by ] behind this")
    else:
        if text[closed : closed + 1] != b"]":
            raise BadArray(closed, "} closes nothing that is open")
        if text[closed + 1 :].strip(BLANKS):
            raise BadArray(closed + 1, "something stands behind the array's end")
        lines[closed] = SPACE
        is_filled = bool(text[behind:closed].strip(BLANKS))
        if count and not is_filled:
            raise BadArray(behind - 1, "no element follows this comma")
        count += is_filled
    rewritten = lines.tobytes()
    filled = find_lines(rewritten).ends
    if len(filled) < count:
        empty = np.setdiff1d(np.flatnonzero(lines == NEWLINE) + 1, filled)
        raise BadArray(int(empty[0]) - 1, "no element stands before this comma")
    return rewritten
