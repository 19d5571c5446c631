"""Frames and Arrow tables of a frozen schema turned into each other.

It knows columns and their types, not where the rows came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.chunks.schema import is_nullable_integer
from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskinity_data.chunks.schema import Column

__all__ = ["concat_tables", "deliver", "fill", "to_frame", "to_table", "with_index"]


def fill(part: pd.DataFrame | pa.Table, columns: Sequence[Column]) -> pd.DataFrame | pa.Table:
    """The rows of `part` with `columns` alone, missing values in those that it lacks."""
    if isinstance(part, pa.Table):
        for column in columns:
            if column.name not in part.schema.names:
                nulls = pa.nulls(len(part), column.arrow_type)
                part = part.append_column(column.name, nulls)
        return part.select([column.name for column in columns])
    series = {
        column.label: part[column.label]
        if column.label in part.columns
        else pd.Series(np.nan, part.index, column.dtype)
        for column in columns
    }
    frame = pd.DataFrame(series, index=part.index, copy=False)
    frame.columns = pd.Index([column.label for column in columns])
    return frame


def concat_tables(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """The rows of `tables`, one after another; an empty table where there are none."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def to_table(frame: pd.DataFrame, columns: Sequence[Column]) -> pa.Table:
    """`frame` as a table of the Arrow types of `columns`; missing values become nulls."""
    arrays = {}
    for column in columns:
        values = pa.array(frame[column.label], from_pandas=True)
        arrays[column.name] = values.cast(column.arrow_type)
    return pa.table(arrays)


def to_frame(table: pa.Table, columns: Sequence[Column]) -> pd.DataFrame:
    """`table` as a frame of the pandas types of `columns`, as `pandas.read_csv` gives them."""
    frame: pd.DataFrame = table.to_pandas()
    frame.columns = pd.Index([column.label for column in columns])
    for column in columns:
        label = column.label
        if column.kind == "maybe_bool":
            values = table.column(column.name).to_pandas().astype(object)
            frame[label] = values.where(values.notna(), np.nan)
        elif is_nullable_integer(column.dtype):
            # By way of Python's integers, since floats can't hold large ones beside missing values.
            frame[label] = pd.array(table.column(column.name).to_pylist(), dtype=column.dtype)
        elif frame[label].dtype != column.dtype:
            frame[label] = frame[label].astype(column.dtype)
    return frame


def with_index(
    frame: pd.DataFrame,
    index: Sequence[Column],
    names: Sequence[Hashable],
    level_names: Sequence[Hashable] = (),
) -> pd.DataFrame:
    """`frame` with the columns `index` as its index, whose levels are called `names`.

    Those of nested columns are called `level_names`.
    """
    if not index:
        return frame
    # Of bools with missing values pandas makes floats in an index.
    floats = [one.label for one in index if one.kind == "maybe_bool" and not one.is_given]
    frame = frame.astype(dict.fromkeys(floats, "float64"))
    indexed = frame.set_index([column.label for column in index])
    if any(column.is_given for column in index):
        # Of objects that are texts an index would be one of str.
        values = [frame[column.label] for column in index]
        levels = [pd.Index(one.array, dtype=one.dtype) for one in values]
        indexed.index = levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    indexed.index.names = list(names)
    if not len(indexed.columns):
        indexed.columns = pd.Index([])
    elif level_names:
        indexed.columns = indexed.columns.set_names(list(level_names))
    return indexed


def deliver(table: pa.Table, columns: Sequence[Column], as_: str) -> Any:
    """`table` as what a function asked for: ``"arrow"``, ``"pandas"`` or ``"polars"``."""
    if as_ == "arrow":
        return table
    if as_ == "pandas":
        return to_frame(table, columns)
    try:
        import polars as pl
    except ImportError as error:
        raise PlanError("polars is not installed; pip install polars, or ask for Arrow") from error
    return pl.from_arrow(table)
