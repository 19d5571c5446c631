"""Name the kind of data by its type, and their size, without importing a data library."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "add_counts",
    "describe_kind",
    "is_dask",
    "is_in_memory",
    "kind_of",
    "measure_nbytes",
]

_TABLES = {
    "pandas": ("DataFrame", "Series"),
    "pyarrow": ("Table", "RecordBatch", "RecordBatchReader"),
    "polars": ("DataFrame", "LazyFrame", "Series"),
}


def kind_of(data: Any) -> str | None:
    """Return ``"pandas"``, ``"series"``, ``"arrow"`` or ``"polars"``; None for any other type."""
    kind = type(data)
    root = kind.__module__.partition(".")[0]
    return {
        ("pandas", "DataFrame"): "pandas",
        ("pandas", "Series"): "series",
        ("pyarrow", "Table"): "arrow",
        ("polars", "DataFrame"): "polars",
    }.get((root, kind.__name__))


def describe_kind(data: Any) -> str:
    """Return the type's qualified name, for messages."""
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")


def is_in_memory(source: Any) -> bool:
    """Return whether `source` holds rows rather than naming files."""
    kinds = [
        getattr(module, name)
        for library, names in _TABLES.items()
        if (module := sys.modules.get(library)) is not None
        for name in names
    ]
    return issubclass(type(source), tuple(kinds))


def is_dask(source: Any) -> bool:
    """Return whether it is a Dask DataFrame, without loading Dask."""
    return hasattr(source, "npartitions") and hasattr(source, "partitions")


def add_counts(counts: Iterable[int | None]) -> int | None:
    """Return the sum of `counts`, of rows for example, None if one of them is unknown."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def measure_nbytes(data: Any) -> int | None:
    """Bytes that a frame or table takes in memory, None for anything else.

    Objects in object columns count as their pointers only; measuring them would cost as much as
    many chunk functions do.
    """
    if hasattr(data, "memory_usage") and hasattr(data, "columns"):
        # A third of what memory_usage takes for few columns, and never more.
        return sum(int(column.nbytes) for _, column in data.items())
    if hasattr(data, "estimated_size"):
        return int(data.estimated_size())
    nbytes = getattr(data, "nbytes", None)
    return int(nbytes) if isinstance(nbytes, int) else None
