"""JSON Lines by Arrow's parser, where it reads them exactly as Python's json module does.

What it leaves is for `exact`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.json as paj
import pyarrow.types as pat

from taskinity_data.formats.json.cuts import find_lines
from taskinity_data.formats.json.types import MAX_DEPTH
from taskinity_data.sources.compression.json_array import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["infer_fast", "parse_fast"]

MAX_NBYTES = 1 << 30
"""Arrow counts the bytes of a block in 32 bits; only a line as long as this makes such a text."""

OPEN, CLOSE = ord("{"), ord("}")

# Integers of which float64 may hold another value. A match within a text only costs time.
_LONG_INTEGER = re.compile(rb"[:,\[\s]-?[0-9]{16,}\s*[,\]}]")
# Python's -0 is the integer 0.
_MINUS_NOUGHT = re.compile(rb"-0\s*[,\]}]")
# Arrow takes these for numbers, Python does not.
_SHORT_INFINITY = re.compile(rb"Inf(?!inity)")
_MINUS_NAN = b"-NaN"


def parse_fast(text: bytes, schema: pa.Schema, *, is_open: bool) -> pa.Table | None:
    """Return the lines of `text` as a table of `schema`, None if Arrow may err.

    Parameters
    ----------
    text : bytes
    schema : pyarrow.Schema
    is_open : bool
        Keys that `schema` lacks are passed over, those of nested objects too.

    Notes
    -----
    One thread, one block: Arrow ends at lines longer than its block.
    """
    behavior = "ignore" if is_open else "error"
    return _parse(
        text, paj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=behavior)
    )


def infer_fast(text: bytes) -> pa.Table | None:
    """Return the lines of `text` with the types that Arrow infers, None if it may err.

    Texts that look like times have a type of times: only the types count.
    """
    return _parse(text, paj.ParseOptions(), infers=True)


def _is_deep(text: bytes, data: NDArray[np.uint8], lines: int) -> bool:
    """Return whether more than `MAX_DEPTH` brackets are open somewhere; a { begins each line."""
    if np.count_nonzero(data == OPEN) + text.count(b"[") < lines + MAX_DEPTH:
        return False  # too few, not counting the one that begins a line
    walk = Walk()
    walk.feed(text)
    return walk.deepest > MAX_DEPTH


def _parse(text: bytes, options: Any, *, infers: bool = False) -> pa.Table | None:
    if len(text) > MAX_NBYTES:
        return None
    lines = find_lines(text)
    count = len(lines.first)
    data = np.frombuffer(text, np.uint8)
    # Between a line's last } and the next line's first { a record ends, whatever precedes it. Arrow
    # takes several records on a line, or null for one (and crashes, where it is the first).
    if not count or (data[lines.first] != OPEN).any() or (data[lines.last] != CLOSE).any():
        return None
    # Arrow's types are built by recursion.
    if infers and _is_deep(text, data, count):
        return None
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return None
    reading = paj.ReadOptions(use_threads=False, block_size=len(text) + 1)
    try:
        table = paj.read_json(pa.BufferReader(text), reading, options)
        # Lists of nothing but nulls may come with fewer values than the list says.
        table.validate()
    except pa.ArrowException:
        return None
    if table.num_rows != count or any(_may_differ(column, text) for column in table.columns):
        return None
    return table


def _may_differ(column: pa.ChunkedArray, text: bytes) -> bool:
    """Return whether a float of `column` may be another than Python's."""
    for chunk in column.chunks:
        for values in _floats(chunk):
            if (np.abs(values) >= 2.0**53).any() and _LONG_INTEGER.search(text):
                return True
            if ((values == 0) & np.signbit(values)).any() and _MINUS_NOUGHT.search(text):
                return True
            if np.isinf(values).any() and _SHORT_INFINITY.search(text):
                return True
            if np.isnan(values).any() and _MINUS_NAN in text:
                return True
    return False


def _floats(array: pa.Array) -> Iterator[Any]:
    if pat.is_floating(array.type):
        yield array.to_numpy(zero_copy_only=False)
    elif pat.is_list(array.type):
        yield from _floats(array.flatten())
    elif pat.is_struct(array.type):
        for child in array.flatten():
            yield from _floats(child)
