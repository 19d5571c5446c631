"""The options of `pandas.read_csv`, and checks of those that name columns or choose rows."""

from __future__ import annotations

from inspect import Parameter, signature
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SIGNATURE",
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


def parse_header(value: Any, arguments: Mapping[str, Any]) -> int | str | tuple[int, ...] | None:
    """Return the row or rows that hold the names, from 0; None where no row does.

    Parameters
    ----------
    value : the option
    arguments : mapping
        All options.

    Raises
    ------
    PlanError
        It is not a row, or beside several something that pandas does not take there.
    """
    if isinstance(value, bool) or (isinstance(value, int) and value < 0):
        raise PlanError(f"header={value!r}: must be a row number, 'infer' or None")
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str) and value == "infer":
        return None if "names" in arguments else 0
    if isinstance(value, list | tuple):
        return parse_header_rows(value, arguments)
    raise PlanError(f"header={value!r}: must be a row number, 'infer' or None")


def parse_header_rows(value: Any, arguments: Mapping[str, Any]) -> int | tuple[int, ...]:
    """Return the rows of a header of several; of one in a list, that row."""
    rows = tuple(value)
    if not rows or not all(is_position(row) and row >= 0 for row in rows):
        raise PlanError(f"header={value!r}: must be row numbers from 0")
    if any(second <= first for first, second in pairwise(rows)):
        raise PlanError(f"header={value!r}: name each row once, in the order of the file")
    index = parse_index_col(arguments.get("index_col"))
    for name in ("names", "usecols"):
        if arguments.get(name) is not None:
            raise PlanError(f"header={value!r} and {name}= don't go together in pandas; keep one")
    if any(isinstance(column, str) for column in index):
        raise PlanError(f"header={value!r}: index_col= must be positions beside a list of rows")
    if len(rows) == 1:
        return int(rows[0])
    if arguments.get("on_bad_lines", "error") != "error":
        raise PlanError(
            f"header={value!r}: beside several rows of names pandas drops no row at the beginning; "
            "leave on_bad_lines= out, or give header=None, names= and skiprows="
        )
    return tuple(map(int, rows))


def parse_names(value: Any) -> tuple[Any, ...] | None:
    """Return the names that are given beside the file, in order.

    Raises
    ------
    PlanError
        They have no order, or are not a list of distinct labels.
    """
    if isinstance(value, set | frozenset):
        raise PlanError(f"names={value!r}: a set has no order; give a list")
    return parse_labels("names", value)


def parse_usecols(value: Any, arguments: Mapping[str, Any]) -> Any:
    """Return the labels or positions of the columns that are read, or the function that takes them.

    Raises
    ------
    PlanError
        They are neither all positions nor all names, or a function of names that do not exist.
    """
    if callable(value):
        if arguments.get("header", "infer") is None and arguments.get("names") is None:
            raise PlanError(
                "usecols=: beside header=None pandas reads no row with a function; give positions"
            )
        return value
    labels = parse_labels("usecols", value)
    if labels is None:
        return None
    are_names = all(isinstance(label, str) for label in labels)
    if not are_names and not all(is_position(label) for label in labels):
        raise PlanError(
            f"usecols={list(labels)!r}: give names alone or positions alone, as pandas takes "
            "either, and no mixture"
        )
    return labels if are_names else tuple(map(int, labels))


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
                f"index_col={value!r}: the index of each chunk is made of columns, by name or by "
                "position from 0; call set_index in the chunk function for others"
            )
    if not columns:
        raise PlanError("index_col=[]: names no column; leave it out")
    return tuple(column if isinstance(column, str) else int(column) for column in columns)


def is_position(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def are_nested(name: str, labels: tuple[Any, ...]) -> bool:
    """Return whether all are tuples of texts, of one length, as `names` may be."""
    return name == "names" and all(
        isinstance(label, tuple)
        and len(label) == len(labels[0]) > 1
        and all(isinstance(level, str) for level in label)
        for label in labels
    )


def parse_labels(name: str, value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if callable(value):
        raise PlanError(f"{name}= must be a list of columns, not a function; make the list first")
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise PlanError(f"{name}={value!r}: must be a list, such as [{value!r}]")
    labels = tuple(value)
    if any(isinstance(label, tuple) for label in labels) and not are_nested(name, labels):
        raise PlanError(f"{name}={list(labels)!r}: nested columns can't be read in chunks")
    if len(set(labels)) != len(labels):
        raise PlanError(f"{name}={list(labels)!r}: has a column twice")
    return labels


def parse_nrows(value: Any, arguments: Mapping[str, Any]) -> int | None:
    """Return how many rows of each file are read, None for all.

    Raises
    ------
    PlanError
        It is not a count, or stands beside an option by which pandas counts other rows.
    """
    if value is None:
        return None
    is_whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (hasattr(value, "__index__") or is_whole) or value < 0:
        raise PlanError(f"nrows={value!r}: must be a whole number from 0 up")
    if arguments.get("on_bad_lines", "error") != "error":
        raise PlanError(
            f"nrows={value!r}: beside on_bad_lines={arguments['on_bad_lines']!r} rows that are "
            "left out do not count, which is known only where all are read; leave out one of both"
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
        # Of a negative count pandas skips nothing.
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
                f"skiprows={value!r}: beside {name}= lines can't be counted; drop these rows in "
                "the chunk function"
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
        raise PlanError(f"date_format={formats!r}: parses nothing unless parse_dates names columns")
    texts = formats.values() if isinstance(formats, dict) else [formats or ""]
    if not all(isinstance(text, str) for text in texts):
        raise PlanError(f"date_format={formats!r}: must be a format, or a dict of column to format")
    if "mixed" in texts:
        raise PlanError(
            "date_format='mixed': each value would be guessed alone; give a format, or 'ISO8601'"
        )
    if arguments.get("usecols") is not None and any(isinstance(column, int) for column in columns):
        raise PlanError(
            f"parse_dates={columns!r}: positions mean others beside usecols=; give names"
        )
    return tuple(columns), dict(formats) if isinstance(formats, dict) else formats
