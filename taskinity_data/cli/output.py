"""Write the result of a command: text for people, one JSON object for programs."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import sys
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import click

from taskinity_data.disk import replace_file
from taskinity_data.errors import TaskinityDataError, shorten
from taskinity_data.wording import inert, safe_repr, safe_str

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

__all__ = [
    "JsonAnswer",
    "answering",
    "is_output_lost",
    "lay_out",
    "print_error",
    "to_plain",
    "write_whole",
]


MAX_ERROR = 20_000
"""Characters of an error: what a command was given may be quoted in it."""


class JsonAnswer(dict[str, Any]):
    """What becomes the JSON object; a command fills it in while it goes. `text` is for a person.

    `peak_nbytes` is the most memory that one process of a run held, where that is known.
    """

    text: str | None = None
    peak_nbytes: int | None = None


@contextmanager
def answering(as_json: bool) -> Iterator[JsonAnswer]:
    """Reserve standard output for one JSON object, which is written when the block ends.

    Meanwhile all that is printed goes to standard error: by this process, by extensions that write
    to the file descriptor, and by worker processes, which inherit it. Our own errors are in the
    object as ``error``, with ``type`` and ``message``. Where `as_json` is False nothing changes.
    """
    answer = JsonAnswer()
    if not as_json:
        yield answer
        return
    try:
        with _stdout_to_stderr():
            yield answer
    except TaskinityDataError as error:
        answer.setdefault("error", {"type": type(error).__name__, "message": str(error)})
        raise
    except KeyboardInterrupt:
        answer.setdefault("status", "INTERRUPTED")
        raise
    finally:
        click.echo(_inert(json.dumps(to_plain(answer), allow_nan=False, ensure_ascii=False)))


def _inert(text: str) -> str:
    """Return JSON with control characters as JSON escapes, which does not change its value."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def print_error(text: str) -> None:
    """Print an error; indent further lines of `text`, so that they can't imitate our lines."""
    message = inert(shorten(text, MAX_ERROR)).replace("\n", "\n  ")
    click.echo(f"Error: {message}", err=True)


def lay_out(frame: pd.DataFrame, *, has_index: bool = False) -> str:
    """Format `frame` as a table; columns that the terminal has no room for follow below.

    `has_index` puts the number of each row before it.
    """
    width = shutil.get_terminal_size((0, 0)).columns or None
    return inert(frame.to_string(index=has_index, na_rep="", line_width=width))


def is_output_lost(error: OSError | None = None) -> bool:
    """Return whether standard output can't be written, for example on a full disk, and report it
    once.

    With `error`, whether that is its cause. A closed pipe does not count: its reader has what it
    needs.
    """
    try:
        sys.stdout.flush()
        if error is not None:
            # If nothing is buffered, flush does not fail again.
            os.write(sys.stdout.fileno(), b"\n")
    except OSError as flush_error:
        if flush_error.errno == errno.EPIPE:
            return False
        # Python would try again when it ends, and end with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_error(f"standard output can't be written: {flush_error.strerror}")
        return True
    return False


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    sys.stdout.flush()
    copy = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(copy, 1)
        os.close(copy)


_MAX_DEPTH = 60
_MAX_JSON_BITS = 14_000
"""An integer of more bits may have more digits than Python's own JSON reader takes (4,300)."""


def to_plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON has it: tables as lists of records, dates as ISO texts, NaN as null.

    What JSON can't say becomes its `repr`, an integer of more than about 4,200 digits the text
    that `hex` gives. Never fails.
    """
    try:
        return safe_repr(value) if depth > _MAX_DEPTH else _to_plain(value, depth + 1)
    except Exception:  # noqa: BLE001 - an answer may be any object
        return safe_repr(value)


def _to_plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return str(value) if isinstance(value, Enum) else value
    if isinstance(value, int):
        return hex(value) if value.bit_length() > _MAX_JSON_BITS else int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, (date, time)):
        # pandas.NaT is a date, and not equal to itself.
        return value.isoformat() if value == value else None
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, dict):
        return {safe_str(key): to_plain(item, depth) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(item, depth) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name), depth) for field in fields(value)}
    return _table_to_plain(value, depth)


def _table_to_plain(value: Any, depth: int) -> Any:
    """Convert frames, series, tables and arrays by their own methods, so that none is imported
    here.
    """
    if hasattr(value, "to_pylist"):
        return to_plain(value.to_pylist(), depth)
    if hasattr(value, "to_dicts"):
        return to_plain(value.to_dicts(), depth)
    if hasattr(value, "reset_index") and hasattr(value, "to_frame"):
        value = value.to_frame()
    if hasattr(value, "reset_index"):
        has_names = any(name is not None for name in value.index.names)
        frame = value.reset_index() if has_names else value
        columns = [safe_str(column) for column in frame.columns]
        return [
            dict(zip(columns, (_cell(cell, depth) for cell in row), strict=True))
            for row in frame.itertuples(index=False, name=None)
        ]
    if hasattr(value, "tolist"):
        return to_plain(value.tolist(), depth)
    return _cell(value, depth)


def _cell(value: Any, depth: int) -> Any:
    # pandas.NA is neither a number nor equal to anything; its name is all that it shows.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "item") and not hasattr(value, "reset_index"):
        return to_plain(value.item(), depth)
    if type(value).__module__ == "builtins" or isinstance(value, (date, timedelta)):
        return to_plain(value, depth) if not isinstance(value, (bytes, complex)) else repr(value)
    return safe_repr(value, None)


def write_whole(path: str, text: str) -> None:
    """Write `path` as a whole; if that fails, it is as it was before.

    Raises
    ------
    click.UsageError
        The file can't be written there.
    """
    try:
        replace_file(Path(path), text.encode())
    except OSError as error:
        raise click.UsageError(f"{path} can't be written: {error.strerror}") from error
