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
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

__all__ = ["find_changed", "list_columns", "name_kinds"]

_ONE_KIND = ("string", "bytes", "integer", "floating", "boolean", "datetime64", "timedelta64")

_PLAIN = {str, bytes, bool, int, float, dt.date, dt.timedelta}

_MISSING, _COMPARED, _CHANGED = "missing", "compared", "changed"


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


def _is_same(values: pd.Series[Any], read: Callable[[], list[Any]]) -> bool:
    if not is_object_dtype(values.dtype) or infer_dtype(values, skipna=True) in _ONE_KIND:
        return True
    # To compare each value costs more than to write it: where all are of a kind, none is bent.
    kinds = {_name_kind(one) for one in _flatten(values)} - {_MISSING}
    if _CHANGED in kinds:
        return False
    is_of_a_kind = len(kinds) < 2 and _COMPARED not in kinds
    return is_of_a_kind or _are_same(values, read())


def _flatten(values: Iterable[Any]) -> Iterator[Any]:
    for one in values:
        if isinstance(one, (list, tuple, set, frozenset)) or _is_of_objects(one):
            yield from _flatten(one)
        else:
            yield one


def _is_of_objects(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _name_kind(value: Any) -> Any:
    """The same of two values that Arrow holds unchanged, or not at all, beside each other."""
    kind = type(value)
    if kind in _PLAIN:
        return kind
    if kind in (dt.datetime, pd.Timestamp) and not getattr(value, "nanosecond", 0):
        zone = value.tzinfo
        # Not by its hash: some zones have none.
        return id(zone) if zone is None or _name_zone(zone) else _COMPARED
    if kind is dt.time and value.tzinfo is None:
        return kind
    if kind is Decimal:
        return _CHANGED if value.is_nan() else kind
    if kind is np.ndarray:  # of no objects: Arrow takes numbers as they are, or not at all
        return kind
    return _MISSING if _is_missing(value) else _COMPARED


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
