"""What a text that does not parse looks like: words for an error message, never for reading.

It is asked only where something is wrong already, looks at a few kilobytes, and knows nothing of
files. The libraries that guess are those of the extra ``suggest``; without them it names the extra.
"""

from __future__ import annotations

import codecs
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import CHARACTERS, HIGH, SINGLE
from taskinity_data.formats.csv.options import parse_options

if TYPE_CHECKING:
    from taskinity_data.formats.csv.options import CsvOptions

__all__ = ["LOOK_NBYTES", "find_wide_encoding", "hint_dialect", "hint_encoding"]

LOOK_NBYTES = 16 << 10
"""Looked at: charset-normalizer takes 10 ms for so much, clevercsv 20 to 50 ms."""

MOST_ENCODINGS = 3
"""Named at most: of short texts in Western European encodings the right one may be the second."""

SEPARATORS = ",;\t|: ^~\x1f"
"""Others are seldom meant: what was taken for one is then mostly a mark of comments or escapes."""

COMMONEST = "cp1252"
"""Named first where it is among those that were found, or the bytes are the same text in it: the
guess prefers cp1250 for short French texts."""

NAMED = [name for name in (*SINGLE, *HIGH, *CHARACTERS) if name != "ascii"]

_EXTRA = "for a guess at it: pip install 'taskinity-data[suggest]'"

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_wide_encoding(head: bytes) -> str | None:
    r"""The encoding of two or four bytes a character that a file's first bytes tell, else None.

    By its byte order mark, or by where the zero bytes of ASCII characters stand.

    Examples
    --------
    >>> find_wide_encoding(b"\xff\xfea\0,\0"), find_wide_encoding(b"\0a\0,\0b\0c")
    ('utf-16', 'utf-16-be')
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    size = len(head) // 4
    zeros = [head[place::4][:size].count(0) for place in range(4)]
    if not size or sum(zeros) < size:
        return None
    for name, first in (("utf-32-le", 1), ("utf-32-be", 0)):
        filled = 0 if first else 3
        if all(2 * zeros[place] > size for place in range(4) if place != filled):
            return name if not zeros[filled] else None
    for name, places in (("utf-16-le", (1, 3)), ("utf-16-be", (0, 2))):
        others = {0, 1, 2, 3} - set(places)
        if all(2 * zeros[place] > size for place in places) and not any(zeros[o] for o in others):
            return name
    return None


def hint_encoding(data: bytes, at: int, encoding: str) -> str:
    """What to give for ``encoding=``, as the rest of a sentence.

    Parameters
    ----------
    data : bytes
    at : int
        The offset of what is no text in it; lines of `LOOK_NBYTES` around it are looked at.
    encoding : str
        The one in which it is none.
    """
    start = data.rfind(b"\n", 0, max(0, at - LOOK_NBYTES // 2)) + 1
    stop = start + LOOK_NBYTES
    if stop < len(data):
        # A character may be cut elsewhere.
        stop = data.rfind(b"\n", start, stop) + 1 or stop
    data = data[start:stop]
    if encoding == "utf-8":
        wide = find_wide_encoding(data)
        if wide is not None:
            return f"it looks like UTF-{wide[4:6]}: give encoding={wide!r}"
        text = data.decode("utf-8", "replace")
        broken = text.count("\ufffd")
        if sum(not one.isascii() for one in text) > 3 * broken:
            return (
                "most of what stands around it is utf-8: repair the file, or give "
                "encoding_errors='replace'"
            )
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return f"it is binary, or in another encoding: give encoding=; {_EXTRA}"
    found = from_bytes(data, cp_isolation=NAMED)
    names = list(dict.fromkeys(codecs.lookup(one.encoding).name for one in found))
    if names and (COMMONEST in names or _read_alike(data, names[0], COMMONEST)):
        names = [COMMONEST, *(name for name in names if name != COMMONEST)]
    names = [name for name in names if name != encoding][:MOST_ENCODINGS]
    if not names:
        return "it is binary, or in another encoding: give encoding="
    others = f" (or {' or '.join(map(repr, names[1:]))})" if names[1:] else ""
    return f"it reads best as encoding={names[0]!r}{others}; look whether that is what is meant"


def _read_alike(data: bytes, one: str, other: str) -> bool:
    try:
        return data.decode(one) == data.decode(other)
    except UnicodeDecodeError:
        return False


def hint_dialect(text: bytes, options: CsvOptions) -> str:
    """What to give for ``sep=`` and ``quotechar=``, as the end of a sentence, or nothing.

    Parameters
    ----------
    text : bytes
        Some records, UTF-8; `LOOK_NBYTES` of them are looked at.
    options : CsvOptions
        Those with which they do not parse.
    """
    sample = text[:LOOK_NBYTES]
    if len(text) > LOOK_NBYTES:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    try:
        from clevercsv import Sniffer
    except ImportError:
        return f" ({_EXTRA})"
    try:
        found = Sniffer().sniff(sample.decode("utf-8", "replace"))
    except Exception:  # noqa: BLE001 - whatever it stumbles over, there is no hint then
        return ""
    if found is None:
        return ""
    dialect = options.dialect
    marks = {"sep": found.delimiter, "quotechar": found.quotechar, "escapechar": found.escapechar}
    given = {name: mark for name, mark in marks.items() if mark}
    other = {name: mark for name, mark in given.items() if mark != getattr(dialect, name)}
    columns = _count_columns(sample, other, options)
    is_likely = found.delimiter is not None and found.delimiter in SEPARATORS
    if not other or columns < 2 or not is_likely:
        return ""
    told = ", ".join(f"{name}={mark!r}" for name, mark in other.items())
    return f"; it reads as {columns} columns with {told}"


def _count_columns(sample: bytes, marks: dict[str, Any], options: CsvOptions) -> int:
    """The columns of `sample` read with `marks`, 0 where it does not parse or they can't be."""
    try:
        checked = parse_options(marks).dialect
        dialect = replace(options.dialect, **{name: getattr(checked, name) for name in marks})
        keywords = replace(options, dialect=dialect, skips_bad_lines=False).for_pandas()
        frame = pd.read_csv(
            io.BytesIO(sample), header=None, dtype=str, skiprows=options.skiprows, **keywords
        )
    except (PlanError, ValueError):
        return 0
    return len(frame.columns)
