"""What a text that does not parse looks like: words for an error message, never for reading.

It looks at a few kilobytes, and only where something is wrong already. The libraries that guess are
those of the extra ``suggest``; without them it names the extra.
"""

from __future__ import annotations

import codecs
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import CHARACTERS, HIGH, SINGLE, find_wide_encoding
from taskinity_data.formats.csv.options import parse_options

if TYPE_CHECKING:
    from taskinity_data.formats.csv.options import CsvOptions

__all__ = ["LOOK_NBYTES", "hint_dialect", "hint_encoding"]

LOOK_NBYTES = 16 << 10
"""Looked at: charset-normalizer takes 10 ms for so much, clevercsv 20 to 50 ms."""

MAX_ENCODINGS = 3
"""Named at most: of short texts in Western European encodings the right one may be the second."""

SEPARATORS = ",;\t|: ^~\x1f"
"""Others are seldom meant: what was taken for one is then mostly a mark of comments or escapes."""

COMMONEST = "cp1252"
"""Named first where it is among those that were found, or the bytes are the same text in it: the
guess prefers cp1250 for short French texts."""

NAMED = [name for name in (*SINGLE, *HIGH, *CHARACTERS) if name != "ascii"]

_EXTRA = "for a guess at it: pip install 'taskinity-data[suggest]'"


def hint_encoding(data: bytes, at: int, encoding: str) -> str:
    """Return what to give for ``encoding=``, as the rest of a sentence.

    Parameters
    ----------
    data : bytes
    at : int
        The offset of what is not text in it; lines of `LOOK_NBYTES` around it are looked at.
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
        if sum(not character.isascii() for character in text) > 3 * broken:
            return (
                "most of what stands around it is utf-8: repair the file, or give "
                "encoding_errors='replace'"
            )
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        return f"it is binary, or in another encoding: give encoding=; {_EXTRA}"
    guesses = from_bytes(data, cp_isolation=NAMED)
    names = list(dict.fromkeys(codecs.lookup(guess.encoding).name for guess in guesses))
    if names and (COMMONEST in names or _read_alike(data, names[0], COMMONEST)):
        names = [COMMONEST, *(name for name in names if name != COMMONEST)]
    names = [name for name in names if name != encoding][:MAX_ENCODINGS]
    if not names:
        return "it is binary, or in another encoding: give encoding="
    others = f" (or {' or '.join(map(repr, names[1:]))})" if names[1:] else ""
    return f"it reads best as encoding={names[0]!r}{others}; look whether that is what is meant"


def _read_alike(data: bytes, first: str, second: str) -> bool:
    try:
        return data.decode(first) == data.decode(second)
    except UnicodeDecodeError:
        return False


def hint_dialect(text: bytes, options: CsvOptions) -> str:
    """Return what to give for ``sep=`` and ``quotechar=``, as the end of a sentence, or nothing.

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
        guess = Sniffer().sniff(sample.decode("utf-8", "replace"))
    except Exception:  # noqa: BLE001 - whatever it stumbles over, there is no hint then
        return ""
    if guess is None:
        return ""
    dialect = options.dialect
    marks = {"sep": guess.delimiter, "quotechar": guess.quotechar, "escapechar": guess.escapechar}
    detected = {name: mark for name, mark in marks.items() if mark}
    other = {name: mark for name, mark in detected.items() if mark != getattr(dialect, name)}
    columns = _count_columns(sample, other, options)
    is_likely = guess.delimiter is not None and guess.delimiter in SEPARATORS
    if not other or columns < 2 or not is_likely:
        return ""
    suggestion = ", ".join(f"{name}={mark!r}" for name, mark in other.items())
    return f"; it reads as {columns} columns with {suggestion}"


def _count_columns(sample: bytes, marks: dict[str, Any], options: CsvOptions) -> int:
    """Return how many columns `sample` has with `marks`, 0 where it does not parse."""
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
