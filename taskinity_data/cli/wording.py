"""Messages with the options as typed on the command line, legible in a narrow terminal."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

from taskinity_data.run.options import typed_options
from taskinity_data.wording import inert, inert_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

__all__ = [
    "add_typed_options",
    "fold",
    "lay_out",
]

_PLAN_OPTIONS = ("workers", "memory", "chunk_size", "sep", "columns")
_NOT_NAMED = {"resume", "storage_options"}
_DATASET_OPTIONS = ("format", "filters", "schema", "storage_options", "newlines_in_values")

# A literal, or nothing where a message only names the option.
_VALUE = r"(\{[^{}]*\}|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\"|[A-Za-z0-9_.%+-]*[A-Za-z0-9_%])?"

# What is quoted is data, unless an option has it. An apostrophe opens nothing.
_QUOTED = r"(?<!\w)'(?:[^'\\]|\\.)*'|(?<!\w)\"(?:[^\"\\]|\\.)*\""

_MAX_OPTIONS, _MAX_READ = 6, 10_000

_WHERE_TO_GIVE = (
    "\nA flow opens its data in its functions: give reader options there, as in "
    "td.open_dataset(path, sep=';')."
)


def add_typed_options(message: str, command: str | None) -> str:
    """Return `message`, and below it how to write the options that it names on the command line.

    Examples
    --------
    >>> print(add_typed_options("it reads as 2 columns with sep=';'", "plan"))
    it reads as 2 columns with sep=';'
    On the command line: sep=';' is --sep ';'
    >>> print(add_typed_options("'set workers=2 please' is not a valid int64", "run"))
    'set workers=2 please' is not a valid int64
    """
    readers = _reader_options()
    if command == "plan":
        return message + _tell(_find(message, {*_PLAN_OPTIONS, *readers}), _type_for_plan)
    if command in ("run", "redrive"):
        typed = _tell(_find(message, set(typed_options()) - _NOT_NAMED), _flag)
        return message + typed + (_WHERE_TO_GIVE if _find(message, readers) else "")
    return message


def _tell(options: list[tuple[str, str]], to_typed: Callable[[str, str], str]) -> str:
    typed = [f"{name}={value} is {to_typed(name, value)}" for name, value in options]
    return f"\nOn the command line: {'; '.join(typed[:_MAX_OPTIONS])}" if typed else ""


def _reader_options() -> set[str]:
    # Loaded where something is wrong already, and mostly has been loaded by then.
    from taskinity_data.formats.csv.options import SIGNATURE

    return {*SIGNATURE, *_DATASET_OPTIONS} - {"chunksize"}


def _find(message: str, names: set[str]) -> list[tuple[str, str]]:
    """Return the options of `names` in `message`, each with its value, once; none in quotes."""
    # Not within a word, a path (year=2013 is a directory), or a call.
    option = rf"(?<![\w./(-])({'|'.join(sorted(names))})={_VALUE}"
    matches = re.finditer(rf"{option}|{_QUOTED}", message[:_MAX_READ])
    return list(dict.fromkeys((match[1], match[2] or "") for match in matches if match[1]))


def _type_for_plan(name: str, value: str) -> str:
    if name in _PLAN_OPTIONS:
        return _flag(name, value)
    if not value:
        return f"--option {name}=…"
    return f"--option {_quote(f'{name}={_plain(value)}')}"


def _flag(name: str, value: str) -> str:
    flag = f"--{name.replace('_', '-')}"
    if value in ("", "True"):
        return flag
    if name == "partition_by":
        # Of these each name is an option of its own.
        return " ".join(f"{flag} {_quote(part)}" for part in _plain(value).split(","))
    return f"{flag} {_quote(_plain(value))}"


def _plain(literal: str) -> str:
    """Return a literal as it is typed: texts without quotes, lists of texts with commas."""
    try:
        value: Any = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ",".join(value)
    if isinstance(value, str):
        return value.replace("\t", "\\t")
    return literal


def _quote(text: str) -> str:
    """Quote `text` for a shell, in double quotes if it contains single ones."""
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)


# The lines of plans and doctor: a name, two blanks or more, a text.
_FIELD = re.compile(r"\s*\S.*? {2,}")
_STEP = 2


def fold(text: str, width: int | None = None) -> str:
    """Wrap `text` to lines of at most `width`, by default the terminal's; only long words are
    longer.

    Continuation lines are indented to the text of the first line, if that leaves half the width.

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


def _fold_line(line: str, width: int) -> list[str]:
    field = _FIELD.match(line)
    below = field.end() if field else 0
    if not 0 < below <= width // 2:
        below = len(line) - len(line.lstrip()) + _STEP
    return textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * below,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def lay_out(frame: pd.DataFrame, width: int | None = None, *, has_index: bool = False) -> str:
    """Format `frame` as a table if it fits, else each row as its first value and, below, the
    others.

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
        texts = [f"{name} {row[name]}" for name in others if _is_there(row[name])]
        lines += _pack(list(map(inert_line, texts)), width)
    return "\n".join(lines)


def _width() -> int:
    """Return the characters in a line of the terminal, or COLUMNS; 0 if there is neither."""
    return shutil.get_terminal_size((0, 0)).columns


def _pack(texts: list[str], width: int) -> list[str]:
    """Join as many of `texts` to a line as fit; none is divided."""
    lines: list[str] = []
    for index, text in enumerate(texts):
        text += "," if index + 1 < len(texts) else ""
        if lines and len(lines[-1]) + 1 + len(text) <= width:
            lines[-1] += f" {text}"
        else:
            lines.append(" " * _STEP + text)
    return lines


def _is_there(value: object) -> bool:
    # pandas.NA has no truth, and its name is all that it shows.
    return value is not None and str(value) not in ("", "<NA>", "nan", "NaT")
