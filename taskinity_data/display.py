"""Text that shows any value: it never raises, has a maximum length, and fits the output's encoding.

Used wherever a run is shown, since an answer may be any object and an output of any encoding.
"""

from __future__ import annotations

import math
import reprlib
import sys
from typing import Any

__all__ = ["encodable", "for_stdout", "safe_repr", "safe_str", "type_name"]

MAX_LENGTH = 2_000

_PLAIN = {"×": "x", "÷": "/", "…": "...", "·": "-"}
"""Replacements for our own signs in an encoding that lacks them."""


def type_name(value: Any) -> str:
    """Return the name of the type of `value`, whatever its metaclass does."""
    try:
        return _plain_text(type(value).__name__)
    except Exception:  # noqa: BLE001 - a metaclass may do anything
        return "object"


def safe_repr(value: Any, max_length: int | None = MAX_LENGTH) -> str:
    """Return ``repr(value)``, or what can be shown of it; cut after `max_length` characters.

    >>> safe_repr([1, 10**5000])
    '[1, <int of about 5,001 digits>]'
    """
    if max_length is not None and type(value) in (str, bytes, bytearray):
        text = repr(value[: max_length + 1])
    else:
        try:
            text = _plain_text(repr(value))
        except Exception:  # noqa: BLE001 - a user's __repr__ may do anything
            text = _Partial().repr(value)
    return text if max_length is None or len(text) <= max_length else text[:max_length] + "…"


def safe_str(value: Any) -> str:
    """Return ``str(value)``, or what can be shown of it."""
    try:
        return _plain_text(str(value))
    except Exception:  # noqa: BLE001 - a user's __str__ may do anything
        return _Partial().repr(value)


def _plain_text(text: str) -> str:
    # A subclass of str may have any method.
    return text if type(text) is str else str.__str__(text)


class _Partial(reprlib.Repr):
    """A `reprlib.Repr` that shows the parts of a value that can be shown."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 20
        self.maxother = self.maxstring = self.maxlong = 200

    def repr1(self, x: Any, level: int) -> str:
        try:
            return _plain_text(super().repr1(x, level))
        except Exception as error:  # noqa: BLE001 - a user's __repr__ may do anything
            return f"<{type_name(x)}: its repr raised {type_name(error)}>"

    def repr_int(self, x: int, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        digits = int(abs(x).bit_length() * math.log10(2)) + 1
        limit = sys.get_int_max_str_digits()
        return f"<int of about {digits:,} digits>" if limit and digits >= limit else repr(x)

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        return _plain_text(repr(x))


def encodable(text: str, encoding: str | None) -> str:
    r"""Return `text` with escapes for the characters that `encoding` lacks.

    >>> encodable("2 rows × 3 columns of é", "ascii")
    '2 rows x 3 columns of \\xe9'
    """
    if encoding is None or _fits(text, encoding):
        return text
    for sign, plain in _PLAIN.items():
        if sign in text and not _fits(sign, encoding):
            text = text.replace(sign, plain)
    try:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    except (LookupError, UnicodeError):  # no encoding of text, or one that can't escape
        return text.encode("ascii", "backslashreplace").decode()


def for_stdout(text: str) -> str:
    """Return `text` as ``print`` can write it to standard output."""
    encoding = getattr(sys.stdout, "encoding", None)
    return encodable(text, encoding if isinstance(encoding, str) else None)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (LookupError, UnicodeError):
        return False
    return True
