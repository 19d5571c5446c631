"""Which encodings CSV files may have, and which of them are read without being converted first."""

from __future__ import annotations

import codecs
from contextlib import suppress
from encodings.aliases import aliases
from functools import cache
from typing import Any

from taskinity_data.errors import PlanError
from taskinity_data.wording import suggest

__all__ = [
    "LOOK_NBYTES",
    "find_wide_encoding",
    "hint_encoding",
    "is_utf8",
    "needs_conversion",
    "parse_encoding",
    "parse_encoding_errors",
    "to_utf8",
]

# A handler must give the same text for a record whatever surrounds it.
ENCODING_ERRORS = ("strict", "ignore", "replace", "backslashreplace")


def parse_encoding(value: Any) -> str:
    """Return the encoding of that name, as Python's codecs call it.

    Raises
    ------
    PlanError
        An unknown one, or none of texts.
    """
    if value is None:
        return "utf-8"
    try:
        name = codecs.lookup(str(value)).name
        with suppress(UnicodeError):
            b"a".decode(name)
    except (LookupError, ValueError):
        names = {name.replace("_", "-") for name in aliases.values()}
        raise PlanError(
            f"encoding={value!r}: unknown encoding."
            f"{suggest(str(value).lower().replace('_', '-'), names)}"
        ) from None
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
    if encoding == "utf-8" and value == "ignore":
        raise PlanError(
            "encoding_errors='ignore': not supported for utf-8, where pandas reads a field of "
            "invalid bytes alone as '' instead of missing; use 'replace'"
        )
    return str(value)


def is_utf8(encoding: str) -> bool:
    """Return whether it is UTF-8, with a byte order mark or without."""
    return encoding in {"utf-8", "utf-8-sig"}


@cache
def needs_conversion(encoding: str) -> bool:
    """Return whether a byte may mean something else than an ASCII character of its value does.

    That is neither in UTF-8 nor where each byte is a character and those below 128 are ASCII.

    Examples
    --------
    >>> [needs_conversion(name) for name in ("utf-8", "cp1252", "cp037", "utf-16", "gbk")]
    [False, False, True, True, True]
    """
    if is_utf8(encoding):
        return False
    # The escapes after them mean something else in some.
    marks = bytes(range(128)).replace(b"\\", b"") + b"\\u0041~{\x1b$B!!\x1b(B"
    try:
        text = (marks + bytes(range(128, 256))).decode(encoding, "replace")
    except UnicodeError:
        return True
    others = text[len(marks) :]
    is_plain = text[: len(marks)] == marks.decode() and len(others) == 128
    return not is_plain or any(each.isascii() or each == "\ufeff" for each in others)


def to_utf8(data: bytes, encoding: str, errors: str) -> bytes:
    """Return `data` as UTF-8, exactly as pandas transcodes a file before it parses it.

    Raises
    ------
    UnicodeDecodeError
        Bytes that are no text in the given encoding.
    """
    if data.isascii():
        return data
    if is_utf8(encoding):
        text = data.decode("utf-8", errors)
        return data if errors == "strict" else text.encode()
    return data.decode(encoding, errors).encode()


_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def find_wide_encoding(head: bytes) -> str | None:
    r"""Return the encoding of two or four bytes a character that the first bytes show, else None.

    By its byte order mark, or by the positions of zero bytes in ASCII characters.

    Examples
    --------
    >>> find_wide_encoding(b"\xff\xfea\0,\0"), find_wide_encoding(b"\0a\0,\0b\0c")
    ('utf-16', 'utf-16-be')
    """
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    size = len(head) // 4
    if not size or head.count(0) < size:
        return None
    zeros = [head[offset::4][:size].count(0) for offset in range(4)]
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


LOOK_NBYTES = 16 << 10
"""Looked at for a hint: pandas takes 1 to 2 ms for each way to read so much."""


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
    text = data[start : start + LOOK_NBYTES].decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if encoding == "utf-8" and sum(not each.isascii() for each in text) > 3 * broken:
        return (
            "most of the surrounding text is utf-8: repair the file, or give "
            "encoding_errors='replace'"
        )
    return (
        "it is binary, or in another encoding: give encoding=, which is often 'cp1252' for text of "
        "Western Europe, 'cp1251' for Cyrillic, 'cp932' for Japanese and 'gb18030' for Chinese text"
    )
