"""What kind of data a chunk's result is, by the name of its type: imports no data library."""

from __future__ import annotations

from typing import Any

__all__ = ["describe_kind", "kind_of"]


def kind_of(data: Any) -> str | None:
    """``"pandas"``, ``"series"``, ``"arrow"``, ``"polars"``, told without an import; or None."""
    kind = type(data)
    root = kind.__module__.partition(".")[0]
    return {
        ("pandas", "DataFrame"): "pandas",
        ("pandas", "Series"): "series",
        ("pyarrow", "Table"): "arrow",
        ("polars", "DataFrame"): "polars",
    }.get((root, kind.__name__))


def describe_kind(data: Any) -> str:
    """The type's name, for messages."""
    return f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
