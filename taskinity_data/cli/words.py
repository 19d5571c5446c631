"""How the options that an error names in Python's words are typed on the command line.

The message itself is left as it is: it quotes paths, values and rows that may look like options.
"""

from __future__ import annotations

import ast
import re
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["add_typed_options"]

_RUN_OPTIONS = (
    "workers",
    "memory",
    "scheduler",
    "chunk_size",
    "max_failures",
    "only",
    "output",
    "output_format",
    "partition_by",
    "if_exists",
    "only_new",
    "allow_repeated",
    "max_rows_per_file",
    "output_compression",
    "spreadsheet_safe",
)
_PLAN_OPTIONS = ("workers", "memory", "chunk_size", "sep", "columns")
_DATASET_OPTIONS = ("format", "filters", "schema", "storage_options", "newlines_in_values")

# A literal, or nothing where a message only names the option.
_VALUE = r"(\{[^{}]*\}|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\"|[A-Za-z0-9_.%+-]*[A-Za-z0-9_%])?"

# What is quoted is data, unless an option has it. An apostrophe opens nothing.
_QUOTED = r"(?<!\w)'(?:[^'\\]|\\.)*'|(?<!\w)\"(?:[^\"\\]|\\.)*\""

_MOST_OPTIONS, _MOST_READ = 6, 10_000

_WHERE_TO_GIVE = (
    "\nA flow opens its data in its functions: give reader options there, as in "
    "td.open_dataset(path, sep=';')."
)


def add_typed_options(message: str, command: str | None) -> str:
    """`message`, and below it how who typed `command` gives the options that it names.

    Examples
    --------
    >>> print(add_typed_options("it reads as 2 columns with sep=';'", "plan"))
    it reads as 2 columns with sep=';'
    On the command line: sep=';' is --sep ';'
    >>> print(add_typed_options("'set workers=2 please' is no int64", "run"))
    'set workers=2 please' is no int64
    """
    readers = _reader_options()
    if command == "plan":
        return message + _tell(_find(message, {*_PLAN_OPTIONS, *readers}), _type_for_plan)
    if command in ("run", "redrive"):
        told = _tell(_find(message, set(_RUN_OPTIONS)), _flag)
        return message + told + (_WHERE_TO_GIVE if _find(message, readers) else "")
    return message


def _tell(options: list[tuple[str, str]], to_typed: Callable[[str, str], str]) -> str:
    typed = [f"{name}={value} is {to_typed(name, value)}" for name, value in options]
    return f"\nOn the command line: {'; '.join(typed[:_MOST_OPTIONS])}" if typed else ""


def _reader_options() -> set[str]:
    # Loaded where something is wrong already, and mostly has been loaded by then.
    from taskinity_data.chunks.csv_options import SIGNATURE

    return {*SIGNATURE, *_DATASET_OPTIONS} - {"chunksize"}


def _find(message: str, names: set[str]) -> list[tuple[str, str]]:
    """The options of `names` that `message` gives, each with its value, once; none in quotes."""
    # Not within a word, a path (year=2013 is a directory), or a call.
    option = rf"(?<![\w./(-])({'|'.join(sorted(names))})={_VALUE}"
    found = re.finditer(rf"{option}|{_QUOTED}", message[:_MOST_READ])
    return list(dict.fromkeys((one[1], one[2] or "") for one in found if one[1]))


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
        return " ".join(f"{flag} {_quote(one)}" for one in _plain(value).split(","))
    return f"{flag} {_quote(_plain(value))}"


def _plain(literal: str) -> str:
    """A literal as it is typed: texts without quotes, lists of texts with commas."""
    try:
        value: Any = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return literal
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value)
    if isinstance(value, str):
        return value.replace("\t", "\\t")
    return literal


def _quote(text: str) -> str:
    """`text` for a shell, in double quotes where single ones stand in it."""
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)
