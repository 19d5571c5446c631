"""Errors in the words of the command line: options as they are typed there, not as in Python.

It knows the names of options, and nothing of commands or of what was wrong.
"""

from __future__ import annotations

import ast
import re
import shlex
from typing import Any

__all__ = ["in_typed_words"]

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
    "max_rows_per_file",
    "output_compression",
    "spreadsheet_safe",
)
_PLAN_OPTIONS = ("workers", "memory", "chunk_size", "sep", "columns")
_DATASET_OPTIONS = ("format", "filters", "schema", "storage_options", "newlines_in_values")

# A literal, or nothing where a message only names the option.
_VALUE = r"(\{[^{}]*\}|\[[^\[\]]*\]|'[^']*'|\"[^\"]*\"|[A-Za-z0-9_.%+-]*[A-Za-z0-9_%])?"

_WHERE_TO_GIVE = (
    "\nA flow opens its data in its functions: give reader options there, as in "
    "td.open_dataset(path, sep=';')."
)


def in_typed_words(message: str, command: str | None) -> str:
    """`message` as who typed `command` would write the options that it names.

    Examples
    --------
    >>> in_typed_words("chunk_size='x': write bytes", "run")
    '--chunk-size x: write bytes'
    >>> in_typed_words("it reads as 2 columns with sep=';'", "plan")
    "it reads as 2 columns with --sep ';'"
    """
    if command == "plan":
        readers = _reader_options()
        return _pattern({*_PLAN_OPTIONS, *readers}).sub(_type_for_plan, message)
    if command in ("run", "redrive"):
        if _pattern(_reader_options()).search(message):
            message += _WHERE_TO_GIVE
        return _pattern(set(_RUN_OPTIONS)).sub(lambda found: _flag(found[1], found[2]), message)
    return message


def _reader_options() -> set[str]:
    # Loaded where something is wrong already, and mostly has been loaded by then.
    from taskinity_data.chunks.csv_options import SIGNATURE

    return {*SIGNATURE, *_DATASET_OPTIONS} - {"chunksize"}


def _pattern(names: set[str]) -> re.Pattern[str]:
    # Not within a word, a path (year=2013 is a directory), or a call.
    return re.compile(rf"(?<![\w./(-])({'|'.join(sorted(names))})={_VALUE}")


def _type_for_plan(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    if name in _PLAN_OPTIONS:
        return _flag(name, value)
    if value is None:
        return f"--option {name}=…"
    return f"--option {_quote(f'{name}={_plain(value)}')}"


def _flag(name: str, value: str | None) -> str:
    flag = f"--{name.replace('_', '-')}"
    if value is None or value == "True":
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
