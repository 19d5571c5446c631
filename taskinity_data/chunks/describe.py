"""Facts as a person reads them: text for a terminal, HTML for a notebook, bytes in short.

It knows nothing of datasets or plans.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from taskinity_data.display import for_stdout
from taskinity_data.errors import inert_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from taskinity_data.chunks.source_file import SourceFile

__all__ = ["describe_files", "format_nbytes", "tell_unpacked", "to_html", "to_text"]

MAX_COLUMNS = 50
"""Columns that are named where a dataset shows itself."""


def describe_files(
    files: Sequence[SourceFile], schema: pa.Schema, nbytes: int, rows: int | None
) -> list[tuple[str, str]]:
    """The facts of a dataset."""
    first, *others = (file.path for file in files)
    shown = first if not others else f"{first} … {others[-1]}"
    facts = [("files", f"{len(files):,}  {shown}")]
    failures = [file.failure for file in files if file.failure is not None]
    if failures:
        facts.append(("unreadable", f"{len(failures):,}  {failures[0]}"))
    names = [f"{field.name}: {field.type}" for field in list(schema)[:MAX_COLUMNS]]
    more = len(schema) - len(names)
    columns = ", ".join([*names, *([f"and {more:,} more"] if more else [])])
    return [
        *facts,
        ("bytes", format_nbytes(nbytes) + tell_unpacked(files)),
        ("rows", "unknown before reading" if rows is None else f"{rows:,}"),
        ("columns", f"{len(schema)}  {columns}"),
    ]


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


def tell_unpacked(files: Sequence[SourceFile]) -> str:
    """What to say behind the bytes of `files`: that, and from how much, they are unpacked."""
    packed = {file: file.unpacked.codec for file in files if file.unpacked is not None}
    if not packed:
        return ""
    nbytes = sum(file.fingerprint.nbytes for file in packed)
    codecs = ", ".join(sorted(set(packed.values())))
    return f", unpacked from {format_nbytes(nbytes)} of {codecs}; places count unpacked bytes"
