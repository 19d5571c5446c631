"""Text and tables that stay legible in a narrow terminal.

It knows nothing of what they tell. Where there is no terminal, and COLUMNS says nothing, they are
as wide as they are: a program reads them, or a file keeps them.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TYPE_CHECKING

from taskinity_data.errors import inert, inert_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["fold", "lay_out"]

# As plans and doctor have them: a name, two blanks or more, what is to be said of it.
_FACT = re.compile(r"(\s*)(\S.*?)( {2,})(\S.*)")
_STEP = 2


def fold(text: str, width: int | None = None) -> str:
    """`text` in lines of at most `width`, by default the terminal's; only long words are longer.

    What goes on stands below the text that it goes on with, where that leaves it half the width.

    >>> print(fold("  why  128 MB a chunk, so that two workers have enough to do", 30))
      why  128 MB a chunk, so that
           two workers have enough
           to do
    >>> print(fold("  distributed.worker.memory.target      0.6", 30))
      distributed.worker.memory.target
        0.6
    """
    width = _width() if width is None else width
    if not width:
        return text
    return "\n".join(part for line in text.splitlines() for part in _fold_line(line, width))


def lay_out(frame: pd.DataFrame, width: int | None = None, *, has_index: bool = False) -> str:
    """`frame` as a table where that fits, else each row as its first value and, below, the others.

    `has_index` puts the number of each row before it.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": ["r1"], "flow": ["Totals"], "status": ["FAILED"]})
    >>> print(lay_out(frame, 16))
    r1
      flow Totals,
      status FAILED
    """
    width = _width() if width is None else width
    table: str = frame.to_string(index=has_index, na_rep="")
    if not width or max(map(len, table.splitlines())) <= width:
        return inert(table)
    first, *others = frame.columns
    lines = []
    for number, row in enumerate(frame.astype("object").to_dict("records")):
        lines.append(inert_line(f"{number}  {row[first]}" if has_index else str(row[first])))
        told = [f"{name} {row[name]}" for name in others if _is_there(row[name])]
        lines += _pack(list(map(inert_line, told)), width)
    return "\n".join(lines)


def _width() -> int:
    """Letters in a line of the terminal, or of what COLUMNS says; 0 where there is neither."""
    return shutil.get_terminal_size((0, 0)).columns


def _fold_line(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    found = _FACT.fullmatch(line)
    if found is None:
        blanks = len(line) - len(line.lstrip())
        return _wrap(line.strip(), width, " " * blanks, " " * (blanks + _STEP))
    indent, name, gap, text = found.groups()
    if len(f"{indent}{name}  {text}") <= width:
        return [f"{indent}{name}  {text}"]
    below = len(indent + name + gap)
    if below <= width // 2:
        return _wrap(text, width, indent + name + gap, " " * below)
    deeper = indent + " " * _STEP
    return [indent + name, *_wrap(text, width, deeper, deeper)]


def _wrap(text: str, width: int, first: str, then: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=then,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _pack(told: list[str], width: int) -> list[str]:
    """As many of `told` in a line as fit; none is divided."""
    lines: list[str] = []
    for place, text in enumerate(told):
        text += "," if place + 1 < len(told) else ""
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(" " * _STEP + text)
    return lines


def _is_there(value: object) -> bool:
    # pandas.NA has no truth, and its name is all that it shows.
    return value is not None and str(value) not in ("", "<NA>", "nan", "NaT")
