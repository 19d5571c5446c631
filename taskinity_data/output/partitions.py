"""Rows parted by columns' values into hive directories (``year=2013/month=1``).

Values are percent-encoded, so that no text can leave the directory or be taken for another; what
readers would not read back is reported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "NULL",
    "check_columns",
    "check_partition_by",
    "empty_directory",
    "split_rows",
]

NULL = "__HIVE_DEFAULT_PARTITION__"

_NAME_NBYTES = 255
"""The longest name of a directory on Linux's and macOS's file systems."""

_BAD_NAME = re.compile(r"[_.].*|.*[/=%\\\x00-\x1f\x7f].*|", re.DOTALL)
_GROUP = "group of the row"


def check_partition_by(columns: Any) -> tuple[str, ...]:
    """Return the names of the columns that rows are parted by.

    Parameters
    ----------
    columns : str, or sequence of str

    Raises
    ------
    PlanError
        A name twice, or one that readers leave out or can't read as a directory's.
    """
    names = (columns,) if isinstance(columns, str) else tuple(columns or ())
    for name in names:
        if not isinstance(name, str) or _BAD_NAME.fullmatch(name):
            raise PlanError(
                f"partition_by: {name!r} is not a valid directory name: readers skip names that "
                "begin with _ or . and misread those with / = % \\ or control characters; rename "
                "the column in the function"
            )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(f"partition_by names {twice!r} twice; name each column once")
    return names


def split_rows(
    table: pa.Table, partition_by: Sequence[str], label: str
) -> list[tuple[str, pa.Table]]:
    """Return the rows of each directory, in their order, without the columns that name it.

    Parameters
    ----------
    table : pyarrow.Table
        With at least one row.
    partition_by : sequence of str
        Columns that pass `check_columns`.
    label : str
        The chunk, for messages.

    Returns
    -------
    list of (str, pyarrow.Table)
        Directories as they come first; ``""`` if nothing is parted.

    Raises
    ------
    SchemaError
        A column is of another type than int, text or date; a text that no directory can be named
        by.
    """
    if not partition_by:
        return [("", table)]
    for name in partition_by:
        _check_type(table, name, label)
    keys = [_decode(table[name]) for name in partition_by]
    names = [f"key {index}" for index in range(len(keys))]
    numbered = pa.Table.from_arrays([*keys, pa.array(range(table.num_rows))], [*names, _GROUP])
    groups = numbered.group_by(names, use_threads=False).aggregate([(_GROUP, "list")])
    rest = table.drop_columns(list(partition_by))
    directories = []
    for row in groups.to_pylist():
        values = [row[name] for name in names]
        parts = [
            _segment(column, value, label)
            for column, value in zip(partition_by, values, strict=True)
        ]
        directories.append(("/".join(parts), rest.take(pa.array(row[f"{_GROUP}_list"]))))
    return directories


def empty_directory(schema: pa.Schema, partition_by: Sequence[str]) -> str:
    """Return the path of a file without rows, which shows readers the columns and their types."""
    kinds = [_value_type(schema.field(name).type) for name in partition_by]
    texts = [
        "0" if pa.types.is_integer(kind) else "1970-01-01" if pa.types.is_date(kind) else "none"
        for kind in kinds
    ]
    return "/".join(f"{name}={text}" for name, text in zip(partition_by, texts, strict=True))


def check_columns(partition_by: Sequence[str], names: Sequence[str], label: str) -> None:
    """Raise `SchemaError` if rows can't be parted because of the names of the columns.

    Every other chunk would fail by the same: it has a true `ends_run`.
    """
    for name in partition_by:
        if name not in names:
            there = suggest(name, names) or f" There are: {', '.join(map(repr, names[:20]))}."
            raise SchemaError(
                f"{label}: there is no column {name!r} to partition by.{there}",
                column=name,
                ends_run=True,
            )
    if partition_by and len(partition_by) == len(names):
        raise SchemaError(
            f"{label}: partition_by uses all columns, which leaves none for the files; keep at "
            "least one",
            column=partition_by[0],
            ends_run=True,
        )


def _check_type(table: pa.Table, name: str, label: str) -> None:
    kind = _value_type(table.schema.field(name).type)
    tests = (pa.types.is_integer, pa.types.is_large_string, pa.types.is_date, pa.types.is_null)
    if not any(test(kind) for test in tests):
        raise SchemaError(
            f"{label}: column {name!r} is {kind}, but partitions must be integers, strings or "
            "dates; convert it in the function, e.g. .dt.date or .astype(str)",
            column=name,
            ends_run=True,
        )


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _decode(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _value_type(column.type)
    # Nulls have no type to group by.
    return column.cast(pa.large_string() if pa.types.is_null(kind) else kind)


def _segment(name: str, value: Any, label: str) -> str:
    if value is None:
        return f"{name}={NULL}"
    text = str(value)
    if text == NULL:
        raise SchemaError(
            f"{label}: column {name!r} contains {NULL}, which readers treat as null; replace it in "
            "the function",
            column=name,
        )
    segment = f"{name}={quote(text, safe='')}"
    nbytes = len(segment.encode())
    if nbytes > _NAME_NBYTES:
        raise SchemaError(
            f"{label}: column {name!r} has a value of {len(text):,} characters ({text[:40]!r}…); "
            f"the directory name would have {nbytes:,} bytes, more than the limit of "
            f"{_NAME_NBYTES}; shorten it in the function, or partition by another column",
            column=name,
        )
    return segment
