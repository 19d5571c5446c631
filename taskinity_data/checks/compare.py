"""Find where two answers first differ, by dtypes, nulls and order; floats up to rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from taskinity_data.data_kinds import describe_kind, kind_of

__all__ = ["differ"]

_RTOL = 1e-9
"""Sums over other cuts differ by rounding: 1e-16 per addition, so this allows for millions."""


def differ(a: Any, b: Any) -> str | None:
    """Describe where two answers first differ, None if they are equal up to rounding of floats."""
    kinds = kind_of(a), kind_of(b)
    if kinds[0] != kinds[1] or (kinds[0] is None and _family(a) is not _family(b)):
        return f"{describe_kind(a)} here, {describe_kind(b)} there"
    if kinds[0] in ("arrow", "polars"):
        if a.schema != b.schema:
            return f"columns {a.schema} here, {b.schema} there"
        return differ(a.to_pandas(), b.to_pandas())
    if isinstance(a, pd.DataFrame):
        return _differ_in_frames(a, b)
    if isinstance(a, (pd.Series, pd.Index, np.ndarray)):
        return _differ_in_arrays(a, b)
    if isinstance(a, dict):
        if list(a) != list(b):
            return f"keys {list(a)!r} here, {list(b)!r} there"
        differences = ((f"{key!r}: ", differ(a[key], b[key])) for key in a)
    elif isinstance(a, (list, tuple)):
        if len(a) != len(b):
            return f"{len(a)} items here, {len(b)} there"
        differences = (
            (f"item {index}: ", differ(x, y)) for index, (x, y) in enumerate(zip(a, b, strict=True))
        )
    elif isinstance(a, (float, complex)):
        is_same = np.isclose(a, b, rtol=_RTOL, atol=0, equal_nan=True)
        return None if is_same else f"{a!r} here, {b!r} there"
    else:
        is_same = a is b or bool(np.all(a == b))
        return None if is_same else f"{a!r} here, {b!r} there"
    return next((where + difference for where, difference in differences if difference), None)


def _family(data: Any) -> type:
    """Return the type, with NumPy scalars counted as Python's."""
    return type(data.item()) if isinstance(data, np.generic) else type(data)


def _differ_in_frames(a: pd.DataFrame, b: pd.DataFrame) -> str | None:
    if not a.columns.equals(b.columns):
        return f"columns {list(a.columns)} here, {list(b.columns)} there"
    columns: dict[str, tuple[Any, Any]] = {"index": (a.index, b.index)}
    columns |= {
        f"column {a.columns[position]!r}": (a.iloc[:, position], b.iloc[:, position])
        for position in range(a.shape[1])
    }
    if len(a) == len(b):
        for name, (x, y) in columns.items():
            if x.dtype != y.dtype:
                return f"{name}: dtype {x.dtype} here, {y.dtype} there"
    rows = {}
    n_rows = min(len(a), len(b))
    for name, (x, y) in columns.items():
        first = _first_difference(x[:n_rows], y[:n_rows])
        if first is not None:
            rows[name] = first
    if rows:
        name = min(rows, key=lambda name: rows[name])
        x, y = columns[name]
        row = rows[name]
        return f"row {row}, {name}: {_item(x, row)} here, {_item(y, row)} there"
    return None if len(a) == len(b) else f"row {n_rows}: {len(a)} rows here, {len(b)} there"


def _differ_in_arrays(a: Any, b: Any) -> str | None:
    if isinstance(a, pd.Series) and not a.index.equals(b.index):
        difference = _differ_in_arrays(a.index, b.index)
        if difference:
            return f"index: {difference}"
    if a.shape == b.shape and a.dtype != b.dtype:
        return f"dtype {a.dtype} here, {b.dtype} there"
    if a.ndim > 1:
        is_same = a.shape == b.shape and _first_difference(a.ravel(), b.ravel()) is None
        return None if is_same else f"{a!r} here, {b!r} there"
    n_rows = min(len(a), len(b))
    row = _first_difference(a[:n_rows], b[:n_rows])
    if row is not None:
        return f"row {row}: {_item(a, row)} here, {_item(b, row)} there"
    return None if len(a) == len(b) else f"row {n_rows}: {len(a)} rows here, {len(b)} there"


def _item(column: Any, row: int) -> str:
    value = column.iloc[row] if isinstance(column, pd.Series) else column[row]
    is_number = isinstance(value, np.generic) and value.dtype.kind in "biuf"
    return repr(value.item() if is_number else value)


def _first_difference(a: Any, b: Any) -> int | None:
    """Return the first row where two columns of equal length differ; equal nulls do not."""
    if isinstance(a, pd.MultiIndex) or isinstance(b, pd.MultiIndex):
        is_same = np.array([x == y for x, y in zip(a, b, strict=True)], dtype=bool)
        return None if is_same.all() else int(np.argmin(is_same))
    a, b = pd.Series(np.asarray(a, dtype=object) if a.dtype == object else a), pd.Series(b)
    nulls = a.isna().to_numpy(), b.isna().to_numpy()
    if pd.api.types.is_float_dtype(a.dtype) and pd.api.types.is_float_dtype(b.dtype):
        x, y = (column.to_numpy(dtype=np.float64, na_value=np.nan) for column in (a, b))
        finite = np.abs(x[np.isfinite(x)])
        scale = float(finite.max()) if len(finite) else 0.0
        is_equal = np.isclose(x, y, rtol=_RTOL, atol=_RTOL * scale)
    else:
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        is_equal = np.array([differ(x, y) is None for x, y in pairs], dtype=bool)
    is_same = np.where(nulls[0] | nulls[1], nulls[0] == nulls[1], is_equal)
    return None if is_same.all() else int(np.argmin(is_same))
