"""How numbers, names and facts are written for a person: bytes, seconds, counts, close names."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from taskinity_data.display import for_stdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "format_nbytes",
    "inert",
    "inert_line",
    "suggest",
    "tell_count",
    "tell_nbytes",
    "tell_number",
    "tell_seconds",
    "to_html",
    "to_text",
]


def tell_nbytes(nbytes: float) -> str:
    """`nbytes` in the unit that keeps it short, in powers of 1000 as plans tell it.

    >>> tell_nbytes(1_572_864), tell_nbytes(17)
    ('1.6 MB', '17 B')
    """
    if nbytes < 1000:
        return f"{nbytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        nbytes /= 1000
        if nbytes < 999.95:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1000:,.1f} TB"


def tell_seconds(seconds: float) -> str:
    """`seconds` as a person would say it.

    >>> tell_seconds(0.0213), tell_seconds(3.21), tell_seconds(75), tell_seconds(7_260)
    ('21 ms', '3.2 s', '1 min 15 s', '2 h 1 min')
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


def tell_number(number: float) -> str:
    """A rate or an amount with two or three digits.

    >>> tell_number(1_234_567), tell_number(45_600), tell_number(3.21)
    ('1.23 M', '45.6 k', '3.21')
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def tell_count(count: int, noun: str) -> str:
    """``"1 chunk"``, ``"3 chunks"``; `noun` takes an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def to_text(title: str, facts: Sequence[tuple[str, str]]) -> str:
    """`title`, and below it a line for each (name, text)."""
    width = max(len(name) for name, _ in facts)
    lines = [title, *(f"  {name:<{width}}  {text}" for name, text in facts)]
    return for_stdout("\n".join(map(inert_line, lines)))


def to_html(title: str, facts: Sequence[tuple[str, str]]) -> str:
    """The same as a table; names and texts may hold anything."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(inert_line(name))}</th>"
        f"<td style='text-align:left'>{escape(inert_line(text))}</td></tr>"
        for name, text in facts
    )
    return f"<div><b>{escape(title)}</b><table>{rows}</table></div>"


def format_nbytes(nbytes: float) -> str:
    """`nbytes` as a person reads it, in powers of 1000.

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
"""Nobody has misspelt a longer one, and to compare it takes time with the square of its length."""


def suggest(name: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the names of `known` that are close to `name`, else ``""``.

    >>> suggest("retires", ["retries", "timeout"])
    " Did you mean 'retries'?"
    """
    if len(name) > _MAX_NAME:
        return ""
    # Loaded when something is wrong already: it takes 10 ms of every start.
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def inert(text: str) -> str:
    r"""`text` with what could steer a terminal, or hide in it, escaped; not line ends and tabs.

    >>> inert("\x1b[31mred")
    '\\x1b[31mred'
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in text
    )


def inert_line(text: str) -> str:
    r"""`text` as `inert` gives it, in one line: of a name, which must not begin lines of its own.

    >>> inert_line("a.csv\nERROR forged")
    'a.csv\\nERROR forged'
    """
    return inert(text).replace("\n", "\\n").replace("\t", "\\t")
