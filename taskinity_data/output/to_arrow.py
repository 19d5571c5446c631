"""Turn what a chunk function returned into an Arrow table that holds the same values."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype, is_object_dtype

from taskinity_data.errors import PlanError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "find_changed",
    "keep_own_metadata",
    "list_columns",
    "name_kinds",
    "plain_type",
    "to_table",
]

_ONE_KIND = ("string", "bytes", "integer", "floating", "boolean", "datetime64", "timedelta64")


def find_changed(frame: pd.DataFrame, table: pa.Table) -> tuple[Any, pd.Series[Any]] | None:
    """Return the first column or index level with a value that `table` has another for, or None.

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
    for index, (label, values) in enumerate(list_columns(frame)):
        if index >= table.num_columns:  # an index that is not written
            break
        column = table.column(index)
        if isinstance(values.dtype, pd.CategoricalDtype):
            values = values.cat.categories.to_series()
            for chunk in column.chunks:
                if not _is_same(values, chunk.dictionary.to_pylist):
                    return label, values
        elif not _is_same(values, column.to_pylist):
            return label, values
    return None


def name_kinds(values: pd.Series[Any]) -> str:
    """Return the Python types of `values`, for messages: ``date, datetime``."""
    kinds = {type(value).__name__ for value in values if not _is_missing(value)}
    return ", ".join(sorted(kinds))


def list_columns(frame: pd.DataFrame) -> Iterator[tuple[Any, pd.Series[Any]]]:
    """Yield the columns of `frame`, then the levels of its index, each with its name."""
    for index, label in enumerate(frame.columns):
        yield label, frame.iloc[:, index]
    for index, level in enumerate(frame.index.names):
        yield level, frame.index.get_level_values(index).to_series()


def _is_same(values: pd.Series[Any], read: Callable[[], list[Any]]) -> bool:
    if not is_object_dtype(values.dtype) or infer_dtype(values, skipna=True) in _ONE_KIND:
        return True
    return _are_same(values, read())


def _are_same(old: Iterable[Any], new: Iterable[Any]) -> bool:
    return all(_holds(value, new_value) for value, new_value in zip(old, new, strict=True))


def _holds(old: Any, new: Any) -> bool:
    """Return whether `new`, out of Arrow, is the value `old`."""
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


def to_table(data: Any, label: str) -> pa.Table | None:
    """Return `data` as a table of plain types, None if it has neither rows nor columns.

    Parameters
    ----------
    data : pandas.DataFrame or Series, pyarrow.Table or RecordBatch, polars.DataFrame, or None
        A Series needs a name, which becomes the column's.
    label : str
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
    table = _convert(data, label)
    if table is None or not (len(data) or table.num_columns):
        return None
    if not table.num_columns:
        raise PlanError(
            f"{label}: {len(data):,} rows without columns can't be written; return a frame with "
            "columns, or None"
        )
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise PlanError(
            f"{label}: there are several columns {twice!r}; rename them in the function"
        )
    metadata = _metadata_of_pandas(table.schema)
    for index, column in enumerate(table.columns):
        if _has_no_category(column):
            table = table.set_column(index, names[index], pa.nulls(table.num_rows))
    fields = [pa.field(field.name, plain_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(fields)).replace_schema_metadata(metadata)


def keep_own_metadata(table: pa.Table) -> pa.Table:
    """Return `table` with the pandas metadata of its own columns alone.

    Dask takes the dtype of a column that directories are named by from there, and then has no
    value of it.
    """
    metadata = table.schema.pandas_metadata
    if not metadata:
        return table
    names = table.column_names
    columns = metadata.get("columns", [])
    metadata["columns"] = [
        column for column in columns if column.get("field_name", column.get("name")) in names
    ]
    metadata["index_columns"] = [
        column for column in metadata.get("index_columns", []) if column in names
    ]
    return table.replace_schema_metadata(
        table.schema.metadata | {b"pandas": json.dumps(metadata).encode()}
    )


def plain_type(type_: pa.DataType) -> pa.DataType:
    """Return the type for `type_` that does not depend on the chunk's rows.

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
        return pa.struct([field.with_type(plain_type(field.type)) for field in type_])
    return type_


def _convert(data: Any, label: str) -> pa.Table | None:
    if data is None or isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pd.Series):
        if data.name is None:
            raise PlanError(
                f"{label} returned a Series without a name, which can't be a column; name it: "
                "series.rename('NAME')"
            )
        data = data.to_frame()
    if isinstance(data, pd.DataFrame):
        return _from_pandas(data, label)
    kind = f"{type(data).__module__}.{type(data).__qualname__}".removeprefix("builtins.")
    if kind.startswith("polars.") and type(data).__name__ == "DataFrame":
        return data.to_arrow()
    hint = "; call .collect() on it" if type(data).__name__ == "LazyFrame" else ""
    raise PlanError(
        f"{label} returned {kind}, which is not a table{hint}; with output=, the function must "
        "return a pandas DataFrame or named Series, an Arrow table, a polars DataFrame, or None "
        "for no rows"
    )


def _from_pandas(frame: pd.DataFrame, label: str) -> pa.Table:
    index = frame.index
    is_label = index.nlevels > 1 or index.name is not None
    is_label = is_label or not pd.api.types.is_integer_dtype(index.dtype)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=is_label, nthreads=1)
    except ValueError as error:  # among them ArrowInvalid
        if isinstance(error, pa.ArrowException):
            raise _unfit(frame, label, error) from error
        raise PlanError(f"{label}: the frame is not a table: {error}") from error
    except (pa.ArrowException, TypeError, OverflowError) as error:
        raise _unfit(frame, label, error) from error
    changed = find_changed(frame, table)
    if changed is not None:
        name, values = changed
        raise _refuse(
            label,
            name,
            f"holds Python objects ({name_kinds(values)}) that Arrow can't hold unchanged; "
            "convert it in the function, e.g. .astype(str)",
        )
    return table


def _unfit(frame: pd.DataFrame, label: str, error: Exception) -> SchemaError:
    for name, values in list_columns(frame):
        try:
            pa.Array.from_pandas(values)
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as cause:
            return _refuse(label, name, f"({values.dtype}) {_describe_misfit(values, cause)}")
    return SchemaError(f"{label}: Arrow can't hold the frame: {error}")


def _refuse(label: str, name: Any, why: str) -> SchemaError:
    if name is None:
        return SchemaError(f"{label}: the index {why}")
    return SchemaError(f"{label}: column {name!r} {why}", column=str(name))


def _describe_misfit(values: pd.Series[Any], error: Exception) -> str:
    """Describe what Arrow has no form for in `values`, and what to do."""
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
    if any(isinstance(value, Decimal) and value.is_infinite() for value in values):
        return f"holds an infinite decimal, which Arrow has not; {change}"
    return f"holds values that Arrow has no type for together: {error}; {change}"


def _has_no_category(column: pa.ChunkedArray) -> bool:
    # pandas gives the categories of no value whatever type comes first.
    is_empty = pa.types.is_dictionary(column.type) and 0 < len(column) == column.null_count
    return is_empty and not any(len(chunk.dictionary) for chunk in column.chunks)


def _metadata_of_pandas(schema: pa.Schema) -> dict[bytes, bytes] | None:
    metadata = schema.pandas_metadata
    if not metadata:
        return None
    # A range is that of one chunk's rows, and of none once files are read together.
    metadata["index_columns"] = [
        column for column in metadata["index_columns"] if column in schema.names
    ]
    metadata["columns"] = [
        column for column in metadata["columns"] if _is_known(column["numpy_type"])
    ]
    return {b"pandas": json.dumps(metadata).encode()}


def _is_known(dtype: str) -> bool:
    """Return whether pandas has a dtype of this name, without which it could read no file."""
    try:
        pd.api.types.pandas_dtype(dtype)
    except (TypeError, ValueError, NotImplementedError):
        return False
    return True
