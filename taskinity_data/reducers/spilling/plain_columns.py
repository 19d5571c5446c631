"""Columns as plain arrays and back, to the last bit: what can be written to a file without pickle.

It knows nothing of files. Objects other than texts, bytes and dates have no such form, nor have
nulls where a column of numbers, times or objects has another array to say so.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import is_object_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["NotPlain", "Plain", "ends_of", "plain_arrays", "rebuild_column"]


class NotPlain(Exception):  # noqa: N818 - never an error: its catcher has another way
    """A column that has no exact form as plain arrays."""


class Plain(NamedTuple):
    """A column's values.

    `form` is "numbers", "times" (counts since 1970 of a zone's times), "codes" (of categories),
    "dates" (days), "texts" or "bytes"; these two have an array of lengths in bytes (-1: null), and
    one of bytes; the others one array with an item a row.
    """

    form: str
    arrays: tuple[NDArray[Any], ...]


def plain_arrays(column: pd.Series[Any] | NDArray[Any]) -> Plain:
    """`column` as plain arrays; `NotPlain` where it has no exact form as such."""
    dtype: Any = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iubfmM":
        return Plain("numbers", (np.ascontiguousarray(column),))
    if isinstance(dtype, pd.StringDtype) and isinstance(column, pd.Series):
        return _of_texts(column.array)
    if isinstance(column, np.ndarray) or column.hasnans:
        raise NotPlain
    if isinstance(dtype, pd.DatetimeTZDtype):
        counts: Any = column.array
        return Plain("times", (np.asarray(counts.view("i8")),))
    if isinstance(dtype, pd.CategoricalDtype):
        return Plain("codes", (column.cat.codes.to_numpy(),))
    numbers = getattr(dtype, "numpy_dtype", None)
    if isinstance(numbers, np.dtype) and numbers.kind in "iubf":
        return Plain("numbers", (column.to_numpy(dtype=numbers),))
    if is_object_dtype(dtype):
        return _of_objects(column.to_numpy())
    raise NotPlain


def _of_objects(values: NDArray[Any]) -> Plain:
    kinds = set(map(type, values.tolist()))
    if kinds <= {str}:
        try:
            return _of_texts(values)
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise NotPlain from error
    if kinds == {bytes}:
        return _of_lengths("bytes", pa.array(values, type=pa.large_binary()))
    if kinds == {dt.date}:
        return Plain("dates", (np.array(values, dtype="M8[D]").view(np.int64),))
    raise NotPlain


def _of_texts(values: Any) -> Plain:
    return _of_lengths("texts", pa.array(values, type=pa.large_string()))


def _of_lengths(form: str, found: Any) -> Plain:
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    _, offsets_buffer, data = found.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)
    offsets = offsets[found.offset : found.offset + len(found) + 1]
    first, end = (int(offsets[0]), int(offsets[-1])) if len(found) else (0, 0)
    bytes_ = np.frombuffer(data, dtype=np.uint8)[first:end] if end else np.zeros(0, np.uint8)
    lengths = np.diff(offsets)
    if found.null_count:
        lengths = np.where(found.is_null().to_numpy(zero_copy_only=False), -1, lengths)
    return Plain(form, (lengths, bytes_))


def ends_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """At which byte each text begins, and after them all where the last ends; shape (rows + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.maximum(lengths, 0))])


def rebuild_column(
    empty: pd.Series[Any] | NDArray[Any], form: str, arrays: Sequence[NDArray[Any]]
) -> Any:
    """The column whose values are `arrays`, like `empty`, which is one without rows."""
    array = arrays[0]
    if isinstance(empty, np.ndarray):
        return array
    dtype: Any = empty.dtype
    found: Any = array
    if form == "times":
        return _with_zone(array, dtype)
    if form == "codes":
        found = pd.Categorical.from_codes(array, dtype=dtype)
    elif form == "dates":
        found = _as_objects(array.view("M8[D]").tolist())
    elif form in ("texts", "bytes"):
        kind = pa.large_string() if form == "texts" else pa.large_binary()
        is_valid = array >= 0
        bitmap = None if is_valid.all() else pa.array(is_valid).buffers()[1]
        buffers = [bitmap, pa.py_buffer(ends_of(array)), pa.py_buffer(arrays[1])]
        texts = pa.Array.from_buffers(kind, len(array), buffers)
        is_object = is_object_dtype(dtype)
        found = _as_objects(texts.to_pylist()) if is_object else dtype.__from_arrow__(texts)
    return pd.Series(found, dtype=dtype, copy=False)


def _with_zone(counts: NDArray[np.int64], dtype: Any) -> pd.Series[Any]:
    times = pd.Series(counts.view(f"M8[{dtype.unit}]"))
    return times.dt.tz_localize("UTC").dt.tz_convert(dtype.tz)


def _as_objects(values: list[Any]) -> NDArray[Any]:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
