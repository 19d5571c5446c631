"""Define which encodings CSV files may have, and the bytes that mark fields and lines in each."""

from __future__ import annotations

import codecs
import re
from typing import Any

import numpy as np

from taskinity_data.errors import PlanError
from taskinity_data.wording import suggest

__all__ = [
    "ENCODINGS",
    "characters_of",
    "find_codec",
    "find_wide_encoding",
    "mark_units",
    "needs_mark",
    "parse_encoding",
    "parse_encoding_errors",
    "to_utf8",
    "unit_nbytes",
]

SINGLE = (
    "ascii",
    "cp437",
    "cp720",
    "cp737",
    "cp775",
    "cp850",
    "cp852",
    "cp855",
    "cp857",
    "cp858",
    "cp860",
    "cp861",
    "cp862",
    "cp863",
    "cp865",
    "cp866",
    "cp869",
    "cp874",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "iso8859-1",
    "iso8859-2",
    "iso8859-3",
    "iso8859-4",
    "iso8859-5",
    "iso8859-6",
    "iso8859-7",
    "iso8859-8",
    "iso8859-9",
    "iso8859-10",
    "iso8859-11",
    "iso8859-13",
    "iso8859-14",
    "iso8859-15",
    "iso8859-16",
    "koi8-r",
    "koi8-t",
    "koi8-u",
    "mac-cyrillic",
    "mac-greek",
    "mac-iceland",
    "mac-latin2",
    "mac-roman",
    "mac-turkish",
    "tis-620",
)
"""A byte a character, and those below 128 are ASCII."""

HIGH = ("euc_jp", "euc_kr", "gb2312")
"""Characters of several bytes, all of them above 127."""

CHARACTERS = {
    "cp932": rb"[\x81-\x9f\xe0-\xfc][\x40-\xfc]",
    "shift_jis": rb"[\x81-\x9f\xe0-\xfc][\x40-\xfc]",
    "gbk": rb"[\x81-\xfe][\x40-\xfe]",
    "gb18030": rb"[\x81-\xfe](?:[0-9][\x81-\xfe][0-9]|[\x40-\xfe])",
    "cp949": rb"[\x81-\xfe][\x41-\xfe]",
    "johab": rb"[\x84-\xf9][\x31-\xfe]",
    "big5": rb"[\x81-\xfe][\x40-\xfe]",
    "big5hkscs": rb"[\x81-\xfe][\x40-\xfe]",
    "cp950": rb"[\x81-\xfe][\x40-\xfe]",
}
"""Characters of several bytes, the last of which may look like an ASCII character from 0 on; never
like a line end, a blank, a quote or a comma."""

FIRST_SHARED = 0x30
"""No byte below is ever part of a longer character, so that one begins behind it."""

UNITS = {
    "utf-16": 2,
    "utf-16-le": 2,
    "utf-16-be": 2,
    "utf-32": 4,
    "utf-32-le": 4,
    "utf-32-be": 4,
}
"""Numbers of so many bytes, of which those below 128 are ASCII."""

MARKED = {
    "utf-16": {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"},
    "utf-32": {codecs.BOM_UTF32_LE: "utf-32-le", codecs.BOM_UTF32_BE: "utf-32-be"},
}
"""Encodings whose byte order the file's first bytes tell."""

ENCODINGS = ("utf-8", "utf-8-sig", *SINGLE, *HIGH, *CHARACTERS, *UNITS)

STATEFUL = ("iso2022", "utf-7", "hz")

# A handler must give the same text for a record whatever stands around it.
ENCODING_ERRORS = ("strict", "ignore", "replace", "backslashreplace")

OTHER = 0xFF
"""What stands for anything but an ASCII character among marks."""


def parse_encoding(value: Any) -> str:
    """Return the encoding of that name, as Python's codecs call it.

    Raises
    ------
    PlanError
        An unknown one, or one whose texts can't be cut.
    """
    if value is None:
        return "utf-8"
    try:
        name = codecs.lookup(str(value)).name
    except LookupError:
        requested = str(value).lower().replace("_", "-")
        raise PlanError(
            f"encoding={value!r}: unknown encoding.{suggest(requested, ENCODINGS)}"
        ) from None
    if name.startswith(STATEFUL):
        raise PlanError(
            f"encoding={value!r}: what a byte means here depends on all bytes before it, so that "
            "files can't be cut; convert the file to utf-8"
        )
    if name not in ENCODINGS:
        raise PlanError(
            f"encoding={value!r}: not among those in which marks are found safely "
            f"({', '.join(ENCODINGS)}); convert the file to utf-8"
        )
    return name


def parse_encoding_errors(value: Any, encoding: str) -> str:
    """Return the name of what is done with bytes that are no text in `encoding`."""
    if value is None or value == "strict":
        return "strict"
    if value not in ENCODING_ERRORS:
        raise PlanError(
            f"encoding_errors={value!r}: use one of {', '.join(ENCODING_ERRORS)}."
            f"{suggest(str(value), ENCODING_ERRORS)}"
        )
    if encoding in HIGH or encoding in CHARACTERS:
        raise PlanError(
            f"encoding_errors={value!r}: which bytes are replaced in {encoding} depends on what "
            "follows them, chunk by chunk; convert the file to utf-8, or leave it out"
        )
    if encoding == "utf-8" and value == "ignore":
        raise PlanError(
            "encoding_errors='ignore': of a utf-8 field in which nothing is left pandas makes an "
            "empty text, not a missing value, which is not done here; use 'replace'"
        )
    return str(value)


def unit_nbytes(encoding: str) -> int:
    """Return how many bytes an ASCII character takes."""
    return UNITS.get(encoding, 1)


def characters_of(encoding: str, marks: str) -> re.Pattern[bytes] | None:
    """Return a pattern for runs of longer characters, where a byte of one may look like a mark.

    Parameters
    ----------
    encoding : str
    marks : str
        The ASCII characters that mean something.

    Returns
    -------
    pattern or None
        None where every byte that looks like a mark is one.
    """
    if encoding not in CHARACTERS or all(ord(mark) < FIRST_SHARED for mark in marks):
        return None
    return re.compile(rb"(?:%b)+" % CHARACTERS[encoding])


def find_codec(encoding: str, head: bytes) -> tuple[str, int] | None:
    """Return the codec for any part of a file, and the bytes of its byte order mark.

    Parameters
    ----------
    encoding : str
    head : bytes
        The file's first 4 bytes.

    Returns
    -------
    (str, int), or None where the encoding wants a byte order mark and there is none
    """
    if encoding not in MARKED:
        return encoding, 0
    for mark, codec in MARKED[encoding].items():
        if head.startswith(mark):
            return codec, len(mark)
    return None


def needs_mark(encoding: str) -> bool:
    """Return whether a file's first bytes tell its byte order."""
    return encoding in MARKED


def mark_units(data: bytes | bytearray, codec: str) -> np.ndarray[Any, Any]:
    """Return a byte for each code unit: itself where it is ASCII, else `OTHER`; shape (units,).

    A last unit that is cut short counts as one.
    """
    nbytes = unit_nbytes(codec)
    whole = len(data) // nbytes
    order = ">" if codec.endswith("be") else "<"
    values = np.frombuffer(data, f"{order}u{nbytes}", whole)
    marks = np.full(-(-len(data) // nbytes), OTHER, np.uint8)
    marks[:whole] = np.where(values < 128, values, OTHER)
    return marks


def to_utf8(data: bytes, codec: str, errors: str) -> bytes:
    """Return `data` as UTF-8, exactly as pandas transcodes a file before it parses it.

    Raises
    ------
    UnicodeDecodeError
        Bytes that are no text in the given encoding.
    """
    if data.isascii() and unit_nbytes(codec) == 1:
        return data
    if codec in {"utf-8", "utf-8-sig"}:
        text = data.decode("utf-8", errors)
        return data if errors == "strict" else text.encode()
    return data.decode(codec, errors).encode()


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_wide_encoding(head: bytes) -> str | None:
    r"""Return the encoding of two or four bytes a character that the first bytes show, else None.

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
    zeros = [head[offset::4][:size].count(0) for offset in range(4)]
    if not size or sum(zeros) < size:
        return None
    for name, first in (("utf-32-le", 1), ("utf-32-be", 0)):
        filled = 0 if first else 3
        if all(2 * zeros[offset] > size for offset in range(4) if offset != filled):
            return name if not zeros[filled] else None
    for name, offsets in (("utf-16-le", (1, 3)), ("utf-16-be", (0, 2))):
        others = {0, 1, 2, 3} - set(offsets)
        is_half = all(2 * zeros[offset] > size for offset in offsets)
        if is_half and not any(zeros[other] for other in others):
            return name
    return None
