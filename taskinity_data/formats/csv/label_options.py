"""The options of `pandas.read_csv`, and checks of those that name columns or choose rows."""

from __future__ import annotations

import io
from inspect import Parameter, signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SIGNATURE",
    "check_with_pandas",
    "parse_date_options",
    "parse_header",
    "parse_index_col",
    "parse_names",
    "parse_nrows",
    "parse_skiprows",
    "parse_usecols",
]

SIGNATURE = {
    name: parameter.default
    for name, parameter in signature(pd.read_csv).parameters.items()
    if name != "filepath_or_buffer" and parameter.kind is not Parameter.VAR_KEYWORD
}
"""The options of `pandas.read_csv` with their defaults."""


CHECKED = (
    "cache_dates",
    "dayfirst",
    "doublequote",
    "dtype_backend",
    "header",
    "memory_map",
    "names",
    "skip_blank_lines",
    "skipinitialspace",
    "usecols",
)
"""Options whose values pandas checks before it reads anything."""


def check_with_pandas(arguments: Mapping[str, Any]) -> None:
    """Raise `PlanError` for an option whose value `pandas.read_csv` refuses, with its words."""
    for name in CHECKED:
        value = arguments.get(name)
        if name not in arguments or (name == "memory_map" and value is True):
            continue  # that can't be had of no file
        listed: Any = list(value) if isinstance(value, tuple) else value
        try:
            pd.read_csv(io.StringIO(), engine="c", **{name: listed})
        except pd.errors.EmptyDataError:
            continue
        except (ValueError, TypeError, IndexError) as error:
            raise PlanError(f"{name}={value!r}: {error}") from error


def parse_header(value: Any, arguments: Mapping[str, Any]) -> int | tuple[int, ...] | None:
    """Return the row or rows that hold the names, from 0; None if no row does.

    Parameters
    ----------
    value : the option
    arguments : mapping
        All options.

    Raises
    ------
    PlanError
        Rows are not in order, or another option does not fit them in pandas.
    """
    if value is None or (isinstance(value, str) and "names" in arguments):
        return None
    if isinstance(value, str):
        return 0
    if is_position(value):
        return int(value)
    rows = tuple(map(int, value))
    if any(second <= first for first, second in pairwise(rows)):
        raise PlanError(f"header={value!r}: name each row once, in the order of the file")
    index = parse_index_col(arguments.get("index_col"))
    for name in ("names", "usecols"):
        if arguments.get(name) is not None:
            raise PlanError(f"header={value!r} and {name}= don't go together in pandas; keep one")
    if any(isinstance(column, str) for column in index):
        raise PlanError(f"header={value!r}: with a list of rows, index_col= must be positions")
    if len(rows) == 1:
        return rows[0]
    if arguments.get("on_bad_lines", "error") != "error":
        raise PlanError(
            f"header={value!r}: with several header rows, pandas drops no row at the beginning; "
            "leave on_bad_lines= out, or give header=None, names= and skiprows="
        )
    return rows


def parse_names(value: Any) -> tuple[Any, ...] | None:
    """Return the names passed by the user, in order: labels, or tuples of strings.

    Raises
    ------
    PlanError
        Some are tuples, and not all, of one length.
    """
    if value is None:
        return None
    names = tuple(value)
    if any(isinstance(name, tuple) for name in names) and not all(
        isinstance(name, tuple)
        and len(name) == len(names[0]) > 1
        and all(isinstance(level, str) for level in name)
        for name in names
    ):
        raise PlanError(f"names={list(names)!r}: nested columns can't be read in chunks")
    return names


def parse_usecols(value: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the labels or positions of the columns that are read, or the function that takes them.

    Raises
    ------
    PlanError
        A function of names that do not exist.
    """
    if value is None:
        return None
    if callable(value):
        if arguments.get("header", "infer") is None and arguments.get("names") is None:
            raise PlanError(
                "usecols=: with header=None and a function, pandas reads no rows; give positions"
            )
        return value
    return tuple(column if isinstance(column, str) else int(column) for column in value)


def parse_index_col(value: Any) -> tuple[Any, ...]:
    """Return the columns that become the index, by name or position.

    Raises
    ------
    PlanError
        A column twice, or what names none.
    """
    if value is None or value is False:
        return ()
    columns = tuple(value) if isinstance(value, list | tuple) else (value,)
    for column in columns:
        if not isinstance(column, str) and not (is_position(column) and column >= 0):
            raise PlanError(
                f"index_col={value!r}: must be columns, by name or by position from 0; for another "
                "index, call set_index in the chunk function"
            )
    if not columns:
        raise PlanError("index_col=[]: has no column; leave it out")
    return tuple(column if isinstance(column, str) else int(column) for column in columns)


def is_position(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def parse_nrows(value: Any, arguments: Mapping[str, Any]) -> int | None:
    """Return how many rows of each file are read, None for all.

    Raises
    ------
    PlanError
        It is not a count, or another option makes pandas count other rows.
    """
    if value is None:
        return None
    is_whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (hasattr(value, "__index__") or is_whole) or value < 0:
        raise PlanError(f"nrows={value!r}: must be a whole number from 0 up")
    if arguments.get("on_bad_lines", "error") != "error":
        raise PlanError(
            f"nrows={value!r}: with on_bad_lines={arguments['on_bad_lines']!r}, dropped rows do "
            "not count, so all rows would have to be read; leave one of them out"
        )
    return int(value)


def parse_skiprows(value: Any, arguments: Mapping[str, Any]) -> Any:
    """Return how many lines before the header are left out, or which lines, from 0, in order.

    Raises
    ------
    PlanError
        It is neither, as a function is not, or lists lines of a dialect in which lines can't be
        counted.
    """
    if value is None:
        return 0
    if isinstance(value, bool | str) or callable(value):
        raise PlanError(
            f"skiprows={value!r} can't be honoured chunk by chunk: only a count of lines before "
            "the header or a list of lines can; drop other rows in the chunk function"
        )
    if hasattr(value, "__index__") and not hasattr(value, "__iter__"):
        # pandas skips nothing for a negative count.
        return max(int(value), 0)
    if not hasattr(value, "__iter__"):
        raise PlanError(f"skiprows={value!r}: must be a count or a list of lines")
    numbers = set(value)
    if not all(hasattr(number, "__index__") and number >= 0 for number in numbers):
        raise PlanError(f"skiprows={value!r}: lines are numbered from 0")
    lines = tuple(sorted(map(int, numbers)))
    if lines == tuple(range(len(lines))):
        return len(lines)
    for name in ("comment", "escapechar"):
        if arguments.get(name) is not None:
            raise PlanError(
                f"skiprows={value!r}: lines can't be counted with {name}=; drop these rows in the "
                "chunk function"
            )
    return lines


def parse_date_options(arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """Return the names or positions of columns of dates, and their formats.

    Raises
    ------
    PlanError
        What is not a list of columns, or a format without columns.
    """
    columns, formats = arguments.get("parse_dates"), arguments.get("date_format")
    if columns is True:
        columns = list(parse_index_col(arguments.get("index_col")))
    if columns is None or columns is False:
        columns = []
    if not isinstance(columns, list) or not all(
        isinstance(column, str) or (isinstance(column, int) and not isinstance(column, bool))
        for column in columns
    ):
        raise PlanError(f"parse_dates={columns!r}: must be a list of column names or positions")
    if formats is not None and not columns:
        raise PlanError(f"date_format={formats!r}: has no effect without parse_dates")
    texts = formats.values() if isinstance(formats, dict) else [formats or ""]
    if not all(isinstance(text, str) for text in texts):
        raise PlanError(f"date_format={formats!r}: must be a format, or a dict of column to format")
    if "mixed" in texts:
        raise PlanError(
            "date_format='mixed': the format of each value would be inferred individually; give a "
            "format, or 'ISO8601'"
        )
    if arguments.get("usecols") is not None and any(isinstance(column, int) for column in columns):
        raise PlanError(
            f"parse_dates={columns!r}: with usecols=, positions are ambiguous; give names"
        )
    return tuple(columns), dict(formats) if isinstance(formats, dict) else formats
