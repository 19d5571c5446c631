"""Format numbers, names and fields for people: bytes, seconds, counts, close names."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from taskinity_data.display import for_stdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "format_count",
    "format_nbytes",
    "format_number",
    "format_seconds",
    "inert",
    "inert_line",
    "suggest",
    "to_html",
    "to_text",
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
