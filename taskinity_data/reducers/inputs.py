"""Chunk results as pandas frames, without decoding what is not looked at.

It knows nothing of what is computed from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import PlanError, ReduceError
from taskinity_data.reducers.row_labels import as_table
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "as_dtype", "check_columns", "check_exact", "check_unique", "empty_of", "exact_rows",
    "join_empty", "take_codes", "to_arrow", "to_frame", "without_rows",
]  # fmt: skip


def check_columns(needed: Iterable[str], names: Iterable[str], who: str) -> None:
    """Raise `PlanError` where a needed column is not among `names`."""
    known = list(names)
    for column in needed:
        if column not in known:
            raise PlanError(_missing(column, known, who), column=column)


def to_frame(
    data: Any, columns: Sequence[str] | None, who: str, *, is_exact: bool = False
) -> pd.DataFrame | None:
    """`columns` of a frame, table or Series (None: all of them) as a frame with a fresh index.

    Arrow numbers without nulls and texts are not copied. Levels of an index that carry a needed
    name are columns too, as ``pandas.DataFrame.groupby`` takes them. None for None, and for a frame
    without any rows and columns, which say nothing.

    Integers beside nulls in an Arrow table are floats, as pandas has them; where `is_exact`, they
    are kept as they are, and only `empty_of` the frame has floats.

    Raises
    ------
    ReduceError
        `data` is no frame, or a column is missing, or `read_result` refuses it.
    """
    if data is None:
        return None
    data = as_table(data, who)
    kind = kind_of(data)
    if kind == "polars":
        data, kind = to_arrow(data), "arrow"
    if kind == "arrow":
        return _from_arrow(data, columns, who, is_exact=is_exact)
    if kind != "pandas":
        raise ReduceError(
            f"{who} reduces frames and tables, but a chunk gave {describe_kind(data)}; return a "
            "DataFrame or an Arrow table, or reduce with collect() or a reducer() of your own"
        )
    frame: pd.DataFrame = data
    if not frame.shape[0] and not frame.shape[1]:
        return None
    if columns is None:
        return frame.reset_index(drop=True)
    levels = [name for name in frame.index.names if name in columns and name not in frame.columns]
    if levels:
        frame = frame.reset_index(level=levels)
    for column in columns:
        if column not in frame.columns:
            raise ReduceError(_missing(column, list(frame.columns), who), column=column)
    found = frame[list(columns)].reset_index(drop=True)
    check_unique(found.columns, who)
    return found


def check_unique(names: pd.Index[Any], who: str) -> None:
    """Raise `ReduceError` where two columns have one name."""
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        raise ReduceError(
            f"{who}: there are several columns {twice!r}; rename them in the function", column=twice
        )


def to_arrow(data: Any) -> pa.Table:
    """A polars frame as a table, its categories as texts.

    Which categories such a column has, and in which order, is not of the frame, but of all that
    the process has seen.
    """
    import polars as pl

    return data.with_columns(pl.col(pl.Categorical).cast(pl.String)).to_arrow()


def _from_arrow(
    table: Any, columns: Sequence[str] | None, who: str, *, is_exact: bool
) -> pd.DataFrame | None:
    if not table.num_rows and not table.num_columns:
        return None
    if columns is not None:
        for column in columns:
            if column not in table.column_names:
                raise ReduceError(_missing(column, table.column_names, who), column=column)
        table = table.select(list(columns))
    table = table.combine_chunks()
    frame: pd.DataFrame = table.to_pandas(split_blocks=True).reset_index(drop=True)
    if is_exact:
        kept = [one.name for one in table.schema if _is_rounded(table[one.name], frame, one.name)]
        for name in kept:
            dtype: Any = (
                pd.UInt64Dtype() if pa.types.is_uint64(table[name].type) else pd.Int64Dtype()
            )
            frame[name] = dtype.__from_arrow__(table[name].cast(str(dtype).lower()))
        frame.attrs = {_KEPT: kept} if kept else {}
    return frame


_KEPT = "integers kept beside nulls"


def exact_rows(taken: pa.Table, table: pa.Table, who: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """`taken`, some rows of `table`, as a frame, integers as they are, and the names of those that
    are floats to pandas, since `table` has nulls there.
    """
    frame = to_frame(taken, None, who, is_exact=True)
    assert frame is not None
    kept = frame.attrs.pop(_KEPT, [])
    floats = [
        one.name
        for one in table.schema
        if pa.types.is_integer(one.type)
        and table[one.name].null_count
        and (one.name in kept or isinstance(frame[one.name].dtype, np.dtype))
    ]
    return frame, tuple(floats)


def _is_rounded(column: Any, frame: pd.DataFrame, name: str) -> bool:
    is_null = column.null_count and pa.types.is_integer(column.type)
    return bool(is_null) and frame[name].dtype == np.float64


def empty_of(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` without rows, with the dtypes that pandas has for its columns."""
    empty = without_rows(frame)
    kept = [name for name in frame.attrs.get(_KEPT, ()) if name in frame]
    return empty.astype(dict.fromkeys(kept, np.float64)) if kept else empty


def as_dtype(column: pd.Series[Any], dtype: Any, what: str) -> pd.Series[Any]:
    """`column` as `dtype`.

    Raises
    ------
    ReduceError
        An integer has no such float; `what` names it.
    """
    check_exact(column, dtype, what)
    return column if column.dtype == dtype else column.astype(dtype)


def check_exact(column: pd.Series[Any], dtype: Any, what: str) -> None:
    """Raise `ReduceError`, which names `what`, where `column` holds an integer that would be
    another number as a float of `dtype`.
    """
    values = getattr(column.dtype, "categories", column).dtype
    if values.kind not in "iu" or dtype.kind != "f":
        return
    found = column.dropna().astype(values)
    for value in found[(found > _FLOAT_EXACT) | (found < -_FLOAT_EXACT)].tolist():
        if int(float(value)) != value:
            raise ReduceError(
                f"{what} is {value}, which has no exact float64, as which pandas holds "
                "integers beside nulls and floats; fill the nulls, or give chunks that are pandas "
                "frames with dtype 'Int64'"
            )


_FLOAT_EXACT = 1 << 53


def take_codes(data: Any) -> dict[str, tuple[Any, Any]]:
    """The text columns that a reader's table holds as codes, as its metadata say: codes, texts."""
    metadata = getattr(getattr(data, "schema", None), "metadata", None) or {}
    names = metadata.get(b"encoded_columns")
    if names is None:
        return {}
    table = data.unify_dictionaries()
    found = {}
    for name in names.decode().split("\0"):
        column = table.column(name).combine_chunks()
        codes = column.indices.cast(pa.int64())
        if codes.null_count:
            codes = codes.fill_null(-1)
        found[name] = (codes.to_numpy(), pd.Index(column.dictionary.to_pandas()))
    return found


def join_empty(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One frame without rows whose dtypes are those of all chunks' rows put together."""
    first = frames[0]
    if all(frame is first or frame.dtypes.equals(first.dtypes) for frame in frames[1:]):
        return first
    return pd.concat(frames, ignore_index=True)


def without_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns and dtypes of `frame`, without rows.

    A slice would hold on to the memory of all rows for as long as the partial waits.
    """
    return frame.take(np.empty(0, np.intp)).reset_index(drop=True)


def _missing(column: object, known: Sequence[Any], who: str) -> str:
    texts = [str(name) for name in known]
    hint = suggest(str(column), texts) or f" There are: {', '.join(map(repr, texts[:20]))}"
    return f"{who}: there is no column {column!r}.{hint}"
