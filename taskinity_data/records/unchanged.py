"""Whether Arrow holds a frame's Python objects as they were, or the column that it would change.

It knows nothing of chunks and files. Arrow takes a column's type from its first values and bends
some later ones to it without a word: a time of the day is cut off, a zone is dropped, a text
becomes bytes. Only objects can be bent so; missing values of any kind may become null.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_object_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

__all__ = ["find_changed", "list_columns", "name_kinds"]

_ONE_KIND = ("string", "bytes", "integer", "floating", "boolean", "datetime64", "timedelta64")


def find_changed(frame: pd.DataFrame, table: pa.Table) -> tuple[Any, pd.Series[Any]] | None:
    """The first column or index level with a value that `table` holds another for, else None.

    Parameters
    ----------
    frame : pandas.DataFrame
    table : pyarrow.Table
        What `pyarrow.Table.from_pandas` made of it: its columns, then levels of its index.

    Returns
    -------
    (label, pandas.Series) or None
        The label and its objects, as `name_kinds` takes them.
    """
    for place, (label, values) in enumerate(list_columns(frame)):
        if place >= table.num_columns:  # an index that is not written
            break
        column = table.column(place)
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.cat.categories.to_series()
            for chunk in column.chunks:
                if not _is_same(values, chunk.dictionary.to_pylist):
                    return label, values
        elif not _is_same(values, column.to_pylist):
            return label, values
    return None


def name_kinds(values: pd.Series[Any]) -> str:
    """The Python types of `values`, for messages: ``date, datetime``."""
    kinds = {type(value).__name__ for value in values if not _is_missing(value)}
    return ", ".join(sorted(kinds))


def list_columns(frame: pd.DataFrame) -> Iterator[tuple[Any, pd.Series[Any]]]:
    """The columns of `frame`, then the levels of its index, each with its name."""
    for place, label in enumerate(frame.columns):
        yield label, frame.iloc[:, place]
    for place, level in enumerate(frame.index.names):
        yield level, frame.index.get_level_values(place).to_series()


def _is_same(values: pd.Series[Any], read: Any) -> bool:
    if not is_object_dtype(values.dtype):
        return True
    kind = infer_dtype(values, skipna=True)
    if kind in _ONE_KIND:
        return True
    if kind == "decimal":  # Arrow takes them as they are, or not at all
        return not any(isinstance(one, Decimal) and one.is_nan() for one in values)
    return _are_same(values, read())


def _are_same(old: Iterable[Any], new: Iterable[Any]) -> bool:
    return all(_holds(one, other) for one, other in zip(old, new, strict=True))


def _holds(old: Any, new: Any) -> bool:
    """Whether `new`, out of Arrow, is the value `old`."""
    if _is_missing(old):
        return new is None or _is_missing(new)
    if new is None:
        return False
    if isinstance(old, Mapping):
        # What others have and this one has not became null.
        if isinstance(new, Mapping):
            return all(key in new and _holds(value, new[key]) for key, value in old.items())
        return _are_same(old.items(), new)
    if isinstance(old, np.ndarray) and old.dtype != object:
        return True
    if isinstance(old, (list, tuple, set, frozenset, np.ndarray, pd.Series)):
        return isinstance(new, (list, tuple)) and len(old) == len(new) and _are_same(old, new)
    try:
        return bool(old == new) and _have_same_zone(old, new)
    except (TypeError, ValueError):
        return False


def _have_same_zone(old: Any, new: Any) -> bool:
    if not isinstance(old, (dt.datetime, dt.time)):
        return True
    if old.utcoffset() != new.utcoffset() or (old.tzinfo is None) != (new.tzinfo is None):
        return False
    names = {_name_zone(old.tzinfo), _name_zone(new.tzinfo)} - {None}
    return len(names) < 2  # an offset has no name of its own


def _name_zone(zone: Any) -> str | None:
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    return None if name is None else str(name)


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)):
        return bool(value != value)
    return False
