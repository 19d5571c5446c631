"""Messages with the names of options as the command line has them, and tables for a terminal."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from taskinity_data.run.options import typed_options
from taskinity_data.wording import inert

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "add_typed_options",
    "lay_out",
]

_PLAN_OPTIONS = ("workers", "memory", "chunk_size", "sep", "columns")
_NOT_NAMED = {"resume", "storage_options"}
_DATASET_OPTIONS = ("format", "filters", "schema", "newlines_in_values")

# Not within a word, a path (year=2013 is a directory), or a call.
_OPTION = re.compile(r"(?<![\w./(-])([a-z_]+)=")

# What is quoted is data. An apostrophe opens nothing.
_QUOTED = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*'|(?<!\w)\"(?:[^\"\\]|\\.)*\"")

_MAX_OPTIONS, _MAX_READ = 6, 10_000

_WHERE_TO_GIVE = (
    "\nA flow opens its data in its functions: give reader options there, as in "
    "td.open_dataset(path, sep=';')."
)


def add_typed_options(message: str, command: str | None) -> str:
    """Return `message`, and below it how the options that it names are called on the command line.

    Examples
    --------
    >>> print(add_typed_options("it reads as 2 columns with sep=';'", "plan"))
    it reads as 2 columns with sep=';'
    On the command line: sep= is --sep
    >>> print(add_typed_options("'set workers=2 please' is not a valid int64", "run"))
    'set workers=2 please' is not a valid int64
    """
    if command not in ("plan", "run", "redrive"):
        return message
    # Loaded where something is wrong already, and mostly has been loaded by then.
    from taskinity_data.formats.csv.label_options import SIGNATURE

    readers = {*SIGNATURE, *_DATASET_OPTIONS} - {"chunksize"}
    names = dict.fromkeys(_OPTION.findall(_QUOTED.sub("''", message[:_MAX_READ])))
    if command == "plan":
        flags = {name: f"--option {name}=VALUE" for name in readers}
        flags |= {name: _flag(name) for name in _PLAN_OPTIONS}
    else:
        flags = {name: _flag(name) for name in typed_options() if name not in _NOT_NAMED}
    typed = [f"{name}= is {flags[name]}" for name in names if name in flags]
    if typed:
        message += f"\nOn the command line: {'; '.join(typed[:_MAX_OPTIONS])}"
    return message + (_WHERE_TO_GIVE if command != "plan" and readers & names.keys() else "")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def lay_out(frame: pd.DataFrame, *, has_index: bool = False) -> str:
    """Format `frame` as a table; columns that the terminal has no room for follow below.

    `has_index` puts the number of each row before it.
    """
    width = shutil.get_terminal_size((0, 0)).columns or None
    return inert(frame.to_string(index=has_index, na_rep="", line_width=width))
