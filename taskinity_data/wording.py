"""Format values, numbers and names for people: bytes, seconds, counts, close names.

Text of a value never raises, has a maximum length, and fits the output's encoding: an answer may be
any object, and an output may have any encoding.
"""

from __future__ import annotations

import math
import re
import reprlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "encodable",
    "for_stdout",
    "format_count",
    "format_nbytes",
    "format_number",
    "format_seconds",
    "inert",
    "inert_line",
    "safe_repr",
    "safe_str",
    "suggest",
    "to_html",
    "to_text",
    "type_name",
    "without_numbers",
]


def format_seconds(seconds: float) -> str:
    """Return `seconds` as a short text.

    >>> [format_seconds(seconds) for seconds in (0.0213, 3.21, 75, 7_260)]
    ['21 ms', '3.2 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def format_number(number: float) -> str:
    """Return a rate or an amount with two or three digits.

    >>> format_number(1_234_567), format_number(45_600), format_number(3.21)
    ('1.23 M', '45.6 k', '3.21')
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def format_count(count: int, noun: str) -> str:
    """Return ``"1 chunk"``, ``"3 chunks"``; the plural of `noun` adds an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def to_text(title: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return `title`, and below it a line for each (name, text)."""
    width = max(len(name) for name, _ in fields)
    lines = [title, *(f"  {name:<{width}}  {text}" for name, text in fields)]
    return for_stdout("\n".join(map(inert_line, lines)))


def to_html(title: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return `title` and a table of (name, text); both may hold any characters."""
    from html import escape

    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(inert_line(name))}</th>"
        f"<td style='text-align:left'>{escape(inert_line(text))}</td></tr>"
        for name, text in fields
    )
    return f"<div><b>{escape(title)}</b><table>{rows}</table></div>"


def format_nbytes(nbytes: float) -> str:
    """Return `nbytes` with a unit, in powers of 1000.

    >>> format_nbytes(999), format_nbytes(31_234_567)
    ('999 B', '31.2 MB')
    """
    if nbytes < 1000:
        return f"{nbytes:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        nbytes /= 1000
        if nbytes < 999.95 or unit == "TB":
            break
    return f"{nbytes:,.1f} {unit}"


_MAX_NAME = 100
"""Longer names are not compared: the time grows with the square of their length."""


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for those of `names` that are close to `name`, else ``""``.

    >>> suggest("retires", ["retries", "timeout"])
    " Did you mean 'retries'?"
    """
    if len(name) > _MAX_NAME:
        return ""
    # Imported only after an error: it would add 10 ms to every start.
    from difflib import get_close_matches

    close = get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def inert(text: str) -> str:
    r"""Return `text` with control and invisible characters escaped, except line ends and tabs.

    >>> inert("\x1b[31mred")
    '\\x1b[31mred'
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def inert_line(text: str) -> str:
    r"""Return `text` as `inert` does, on one line: for names, which must not start lines of their
    own.

    >>> inert_line("a.csv\nERROR forged")
    'a.csv\\nERROR forged'
    """
    return inert(text).replace("\n", "\\n").replace("\t", "\\t")


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


def without_numbers(message: str) -> str:
    """Return `message` with each number as ``#``: alike for errors that differ in numbers alone.

    >>> without_numbers("ValueError: row 17 is 3.5 hours late")
    'ValueError: row # is # hours late'
    """
    return _NUMBER.sub("#", message)


_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
