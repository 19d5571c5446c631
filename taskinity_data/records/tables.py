"""What a chunk function returned, as an Arrow table with plain types.

It knows nothing of files.

Notes
-----
Plain types are those that do not depend on which rows stand in a chunk: codes of categories are
int32 however many categories a chunk has, texts and bytes are the large kinds. A row label without
a name and of whole numbers is what is left of the chunk's own `RangeIndex` by filtering and
sorting; it counts from 0 in every chunk, so that it would be noise in a dataset, and is dropped.
Any other index becomes columns, as `pandas.DataFrame.to_parquet` has it.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError, SchemaError
from taskinity_data.records.unchanged import find_changed, list_columns, name_kinds

__all__ = ["plain_type", "tell_of_own", "to_table"]


def to_table(data: Any, who: str) -> pa.Table | None:
    """`data` as a table of plain types, None where it has neither rows nor columns.

    Parameters
    ----------
    data : pandas.DataFrame or Series, pyarrow.Table or RecordBatch, polars.DataFrame, or None
        A Series needs a name, which becomes the column's.
    who : str
        The chunk, for messages.

    Returns
    -------
    pyarrow.Table or None
        Of the pandas metadata only what is true of any chunk is left.

    Raises
    ------
    PlanError
        Another kind of value, two columns of one name, a Series without a name.
    SchemaError
        A column that Arrow has no type for, or would change: of mixed values, or of objects.
    """
    table = _convert(data, who)
    if table is None or not (len(data) or table.num_columns):
        return None
    if not table.num_columns:
        raise PlanError(
            f"{who}: there are {len(data):,} rows without any column, which no file can hold; "
            "return a frame with columns, or None"
        )
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(f"{who}: there are several columns {twice!r}; rename them in the function")
    told = _told_by_pandas(table.schema)
    for place, column in enumerate(table.columns):
        if _has_no_category(column):
            table = table.set_column(place, names[place], pa.nulls(table.num_rows))
    fields = [pa.field(one.name, plain_type(one.type)) for one in table.schema]
    return table.cast(pa.schema(fields)).replace_schema_metadata(told)


def tell_of_own(table: pa.Table) -> pa.Table:
    """`table`, whose pandas metadata tell of its own columns and no longer of others.

    Dask takes the dtype of a column that directories are named by from there, and then has no
    value of it.
    """
    told = table.schema.pandas_metadata
    if not told:
        return table
    names = table.column_names
    columns = told.get("columns", [])
    told["columns"] = [one for one in columns if one.get("field_name", one.get("name")) in names]
    told["index_columns"] = [one for one in told.get("index_columns", []) if one in names]
    return table.replace_schema_metadata(
        table.schema.metadata | {b"pandas": json.dumps(told).encode()}
    )


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type that stands for `type_` whatever the chunk's rows are.

    >>> import pyarrow as pa
    >>> plain_type(pa.dictionary(pa.int8(), pa.string()))
    DictionaryType(dictionary<values=large_string, indices=int32, ordered=0>)
    """
    if pa.types.is_dictionary(type_):
        return pa.dictionary(pa.int32(), plain_type(type_.value_type), type_.ordered)
    if pa.types.is_string(type_) or pa.types.is_string_view(type_):
        return pa.large_string()
    if pa.types.is_binary(type_) or pa.types.is_binary_view(type_):
        return pa.large_binary()
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.large_list(plain_type(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([one.with_type(plain_type(one.type)) for one in type_])
    return type_


def _convert(data: Any, who: str) -> pa.Table | None:
    if data is None or isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pd.Series):
        if data.name is None:
            raise PlanError(
                f"{who} gave a Series without a name, which can't be a column; name it: "
                "series.rename('NAME')"
            )
        data = data.to_frame()
    if isinstance(data, pd.DataFrame):
        return _from_pandas(data, who)
    kind = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
    if kind.startswith("polars.") and type(data).__name__ == "DataFrame":
        return data.to_arrow()
    hint = "; call .collect() on it" if type(data).__name__ == "LazyFrame" else ""
    raise PlanError(
        f"{who} gave {kind}, which is no table{hint}; with output=, the function has to return a "
        "pandas DataFrame or named Series, an Arrow table, a polars DataFrame, or None for no rows"
    )


def _from_pandas(frame: pd.DataFrame, who: str) -> pa.Table:
    index = frame.index
    is_label = index.nlevels > 1 or index.name is not None
    is_label = is_label or not pd.api.types.is_integer_dtype(index.dtype)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=is_label, nthreads=1)
    except ValueError as error:  # among them ArrowInvalid
        if isinstance(error, pa.ArrowException):
            raise _unfit(frame, who, error) from error
        raise PlanError(f"{who}: the frame is no table: {error}") from error
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise _unfit(frame, who, error) from error
    changed = find_changed(frame, table)
    if changed is not None:
        name, values = changed
        raise _refuse(
            who,
            name,
            f"holds Python objects ({name_kinds(values)}) that Arrow can't hold unchanged; "
            "convert it in the function, e.g. .astype(str)",
        )
    return table


def _unfit(frame: pd.DataFrame, who: str, error: Exception) -> SchemaError:
    for name, values in list_columns(frame):
        try:
            pa.Array.from_pandas(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
            return _refuse(who, name, f"({values.dtype}) {_tell_why(values, cause)}")
    return SchemaError(f"{who}: Arrow can't hold the frame: {error}")


def _refuse(who: str, name: Any, why: str) -> SchemaError:
    if name is None:
        return SchemaError(f"{who}: the index {why}")
    return SchemaError(f"{who}: column {name!r} {why}", column=str(name))


def _tell_why(values: pd.Series[Any], error: Exception) -> str:
    """What Arrow has no form for in `values`, and what to do."""
    if values.dtype.kind == "c":
        return (
            "holds complex numbers, which Arrow has not; return real and imaginary parts as two "
            "columns"
        )
    if isinstance(values.dtype, pd.SparseDtype):
        return "is sparse, which no file is; make it dense in the function: .sparse.to_dense()"
    change = "convert it in the function, e.g. .astype(str)"
    if isinstance(error, OverflowError):
        return f"holds an integer beyond 64 bits, which Arrow has no type for; {change}"
    if any(isinstance(one, Decimal) and one.is_infinite() for one in values):
        return f"holds an infinite decimal, which Arrow has not; {change}"
    return f"holds values that Arrow has no type for together: {error}; {change}"


def _has_no_category(column: pa.ChunkedArray) -> bool:
    # pandas gives the categories of no value whatever type comes first.
    is_empty = pa.types.is_dictionary(column.type) and 0 < len(column) == column.null_count
    return is_empty and not any(len(chunk.dictionary) for chunk in column.chunks)


def _told_by_pandas(schema: pa.Schema) -> dict[bytes, bytes] | None:
    told = schema.pandas_metadata
    if not told:
        return None
    # A range is that of one chunk's rows, and of none once files are read together.
    told["index_columns"] = [one for one in told["index_columns"] if one in schema.names]
    told["columns"] = [one for one in told["columns"] if _is_known(one["numpy_type"])]
    return {b"pandas": json.dumps(told).encode()}


def _is_known(dtype: str) -> bool:
    """Whether pandas knows the dtype by the name that it gave it; else it could read no file."""
    try:
        pd.api.types.pandas_dtype(dtype)
    except (TypeError, ValueError, NotImplementedError):
        return False
    return True
