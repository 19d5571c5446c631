"""Frames as Arrow tables that give back the same frames, or an error that names the column."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from pandas.api.types import is_object_dtype

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "find_rounded",
    "restore_objects",
    "to_table",
]


def to_table(source: Any) -> tuple[pa.Table, pd.DataFrame | None]:
    """Return `source` as a table, and, if it came from pandas, the frame without its index."""
    if isinstance(source, pd.DataFrame):
        return _from_pandas(source)
    if isinstance(source, pa.Table):
        return source, None
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source]), None
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(source, polars.DataFrame):
        return source.to_arrow(), None
    hints = {
        "Series": "call .to_frame() first",
        "LazyFrame": "call .collect() first, or give the files it scans",
        "RecordBatchReader": "it is read once: give it to process() or run_flow(), or read_all()",
    }
    kind = type(source).__name__
    raise PlanError(f"source: a {kind} can't be cut into chunks; {hints.get(kind, 'give a table')}")


def _from_pandas(frame: pd.DataFrame) -> tuple[pa.Table, pd.DataFrame]:
    named = [name for name in frame.index.names if name is not None]
    dropped = [level for level, name in enumerate(frame.index.names) if name is None]
    if named and dropped:
        frame = frame.reset_index(level=dropped, drop=True)
    both = [name for name in named if name in frame.columns]
    if both:
        raise PlanError(
            f"source: {both[0]!r} is a column and a level of the index; rename one, or drop the "
            "index: frame.reset_index(drop=True)"
        )
    frame = frame.reset_index(drop=not named)
    if len(frame) and not len(frame.columns):
        raise PlanError(
            f"source: a frame of {len(frame):,} rows has no column, so Arrow can't hold its rows; "
            "make its index a column: frame.reset_index()"
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise PlanError(f"source: there are several columns {twice!r}; rename them first")
    for index, label in enumerate(frame.columns):
        column = frame.iloc[:, index]
        if is_object_dtype(column.dtype) and not _is_plain(column):
            kinds = sorted({type(value).__name__ for value in column.dropna().head(1000)})
            raise PlanError(
                f"source: column {label!r} holds Python objects ({', '.join(kinds)}) that Arrow "
                "can't hold unchanged; convert it, e.g. by .astype(str), or leave it out"
            )
        try:
            pa.Array.from_pandas(column.head(0))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise _unfit(label, column, error) from error
    try:
        return pa.Table.from_pandas(frame, preserve_index=False), frame
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        for index, label in enumerate(frame.columns):
            try:
                pa.Array.from_pandas(frame.iloc[:, index])
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
                raise _unfit(label, frame.iloc[:, index], cause) from cause
        raise PlanError(f"source: Arrow can't hold the frame: {error}") from error


def _unfit(label: Any, column: pd.Series[Any], error: Exception) -> PlanError:
    return PlanError(
        f"source: Arrow can't hold column {label!r} of dtype {column.dtype}: {error}; convert it "
        "by .astype(...), or leave it out"
    )


_PLAIN = (
    "string", "bytes", "integer", "floating", "boolean", "decimal", "datetime64", "timedelta64",
    "empty",
)  # fmt: skip
_TIMES = ("date", "time", "datetime", "timedelta")


def _is_plain(column: pd.Series[Any]) -> bool:
    """Return whether Arrow gives the objects of `column` back as they were."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _TIMES:
        return _come_back(column.dropna())
    if kind in _PLAIN:
        return True
    return all(isinstance(value, np.ndarray) for value in column.dropna())


def _come_back(values: pd.Series[Any]) -> bool:
    """Return whether `values`, times without nulls, keep their zones and digits in Arrow."""
    try:
        column = pa.chunked_array([pa.Array.from_pandas(values)])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    return all(
        old == new and str(getattr(old, "tzinfo", None)) == str(getattr(new, "tzinfo", None))
        for old, new in zip(values, restore_objects(column, column.to_pandas()), strict=True)
    )


def restore_objects(column: pa.ChunkedArray, series: pd.Series[Any]) -> pd.Series[Any]:
    """Return the values of `column` as the Python objects that they were; missing ones are None.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
    series : pandas.Series
        What Arrow made of `column` by itself.
    """
    type_ = column.type
    if pat.is_timestamp(type_) or pat.is_duration(type_):
        objects = series.astype(object)
        return objects.where(series.notna(), None)
    if pat.is_nested(type_):
        return series
    return pd.Series(column.to_pylist(), dtype=object)


FLOAT_EXACT = 1 << 53


def find_rounded(table: pa.Table) -> str | None:
    """Return the first nested column of `table` in which pandas would hold another integer.

    Notes
    -----
    Looks at the values of 64-bit integers in lists, structs and maps that hold nulls, about 1 ns
    each; at nothing else.
    """
    for name, column in zip(table.schema.names, table.columns, strict=True):
        if pat.is_nested(column.type) and _is_rounded(column.chunks):
            return str(name)
    return None


def _is_rounded(arrays: Sequence[Any]) -> bool:
    """Return whether one of `arrays`, which are converted together, holds what would change."""
    arrays = [array for array in arrays if len(array)]
    if not arrays:
        return False
    type_ = arrays[0].type
    if isinstance(type_, pa.BaseExtensionType):
        return _is_rounded([array.storage for array in arrays])
    if pat.is_struct(type_):
        children = range(type_.num_fields)
        return any(_is_rounded([array.field(child)]) for array in arrays for child in children)
    if pat.is_map(type_):
        spans = [(array.offsets[0].as_py(), array.offsets[-1].as_py()) for array in arrays]
        pairs = list(zip(arrays, spans, strict=True))
        return any(
            _is_rounded(
                [getattr(array, part).slice(first, last - first) for array, (first, last) in pairs]
            )
            for part in ("keys", "items")
        )
    if pat.is_list(type_) or pat.is_large_list(type_):
        spans = [(array.offsets[0].as_py(), array.offsets[-1].as_py()) for array in arrays]
        return _is_rounded(
            [
                # The values of a null list are converted with the others.
                array.values.slice(first, last - first)
                for array, (first, last) in zip(arrays, spans, strict=True)
            ]
        )
    if pat.is_fixed_size_list(type_):
        size = type_.list_size
        return _is_rounded(
            [array.values.slice(array.offset * size, len(array) * size) for array in arrays]
        )
    if pat.is_list_view(type_) or pat.is_large_list_view(type_):
        return _is_rounded([array.flatten() for array in arrays])
    is_long = pat.is_int64(type_) or pat.is_uint64(type_)
    return is_long and any(array.null_count for array in arrays) and any(map(_is_beyond, arrays))


def _is_beyond(array: pa.Array) -> bool:
    ends = pc.min_max(array).as_py()
    return any(end is not None and abs(end) > FLOAT_EXACT for end in ends.values())
