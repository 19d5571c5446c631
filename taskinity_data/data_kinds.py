"""Name the kind of data of a chunk's result by its type, without importing a data library."""

from __future__ import annotations

from typing import Any

__all__ = ["describe_kind", "kind_of"]


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
