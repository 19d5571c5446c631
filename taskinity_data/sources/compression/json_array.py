"""A JSON array of records as JSON Lines: a stream, whose elements are found without being read.

Only quotes, escapes, brackets and commas are looked at: a line may still be malformed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from taskinity_data.sources.codecs import BadText

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Offsets = npt.NDArray[np.int64]

__all__ = ["Walk", "to_lines"]

QUOTE, COMMA, BACKSLASH, SPACE, NEWLINE = (ord(mark) for mark in '",\\ \n')

BLANKS = b" \t\r\n"
"""What JSON takes for white space; other blanks are no JSON."""

BOM = b"\xef\xbb\xbf"

_IS_BLANK = np.zeros(256, np.bool_)
_IS_BLANK[list(BLANKS)] = True
_IS_MARK = np.zeros(256, np.bool_)
_IS_MARK[list(b'",[]{}')] = True
_STEP = np.zeros(256, np.int8)
_STEP[list(b"[{")] = 1
_STEP[list(b"]}")] = -1


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
        Commas after that bracket are not among them.
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
            # The backslash is at the end of the previous block.
            lengths[behind[begins == 0]] += 1
            lengths[quotes == 0] = 1
        trailing = len(data) - int(runs[-1]) if data[-1] == BACKSLASH else 0
        carried = self._is_escaped and trailing == len(data)
        self._is_escaped = bool((trailing + carried) & 1)
        return (lengths & 1).astype(np.bool_)


def to_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an array as JSON Lines: an element a line, each byte at its place.

    Raises
    ------
    BadText
        It is not an array, or not closed; data follows it, or there is nothing between two commas.

    Notes
    -----
    A newline within an element becomes a carriage return, which means the same to JSON: white
    space between values, an error within a text.
    """
    walk = Walk()
    offset = behind = 0
    is_filled = is_closed = False
    for block in _open_array(iter(blocks)):
        lines = np.frombuffer(bytearray(block.replace(b"\n", b"\r")), np.uint8)
        rest = block
        if not is_closed:
            commas, closed = walk.feed(block)
            empty = _find_empty(block, commas, is_filled=is_filled)
            if empty is not None:
                raise BadText("no element before this comma; repair it", offset + empty)
            lines[commas] = NEWLINE
            last = int(commas[-1]) + 1 if len(commas) else 0
            behind = offset + last if last else behind
            is_filled = (is_filled and not last) or bool(block[last:closed].strip(BLANKS))
            is_closed, rest = closed is not None, b""
            if closed is not None:
                if block[closed : closed + 1] != b"]":
                    raise BadText("unmatched }; repair it", offset + closed)
                lines[closed] = SPACE
                rest = block[closed + 1 :]
        offset += len(block)
        if rest.strip(BLANKS):
            raise BadText("data after the end of the array; repair it", offset - len(rest))
        yield lines.tobytes()
    if not is_closed:
        raise BadText("the array is not closed by ] after this; repair it", behind)
    if behind and not is_filled:
        raise BadText("no element follows this comma; repair it", behind - 1)


def _open_array(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield `blocks` with blanks for a byte order mark and the array's first bracket."""
    block = next(blocks, b"")
    block = block.replace(BOM, b"   ", 1) if block.startswith(BOM) else block
    offset = 0
    while block and not block.strip(BLANKS):
        yield block
        offset += len(block)
        block = next(blocks, b"")
    text = block.lstrip(BLANKS)
    if not text.startswith(b"["):
        raise BadText(_explain_start(text), offset + len(block) - len(text))
    yield block.replace(b"[", b" ", 1)
    yield from blocks


def _find_empty(block: bytes, commas: Offsets, *, is_filled: bool) -> int | None:
    """Return the first of `commas` with nothing before it.

    Before the first one something does if it `is_filled`.
    """
    data = np.frombuffer(block, np.uint8)
    begins = np.concatenate([np.zeros(min(1, len(commas)), np.int64), commas[:-1] + 1])
    for index in np.flatnonzero(_IS_BLANK[data[commas - 1]] | (begins == commas)):
        text = block[begins[index] : commas[index]]
        if not text.strip(BLANKS) and (index or not is_filled):
            return int(commas[index])
    return None


def _explain_start(text: bytes) -> str:
    """Return what is wrong with a text that does not begin with a bracket."""
    if not text.startswith(b"{"):
        return f"an array [{{...}}, {{...}}] was expected, but it begins with {text[:20]!r}"
    convert = "jq -c '.KEY[]' FILE > NEW"
    if _is_object(text.partition(b"\n")[0]):
        return (
            'this is not an array, its first line is an object; give format="jsonl" if each line '
            f"is a record. If it contains a list of records, write that: {convert}"
        )
    return "this is one object, no array of records; write the list in it as JSON Lines: " + convert


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
