"""Tables of JSON records as what a function reads, exactly, and alike in every chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.errors import SchemaError
from taskinity_data.formats.deliver import deliver, drop_pandas_index

if TYPE_CHECKING:
    from taskinity_data.formats.json.sample import JsonSchema

__all__ = ["deliver_records"]

FLOAT_EXACT = 1 << 53


def deliver_records(table: pa.Table, schema: JsonSchema, as_: str, path: str, start: int) -> Any:
    """Return `table` as a pandas DataFrame, an Arrow table or a polars DataFrame.

    Parameters
    ----------
    table : pyarrow.Table
    schema : JsonSchema
    as_ : {"pandas", "arrow", "polars"}
    path, start
        Where the rows are from, for messages.

    Raises
    ------
    SchemaError
        pandas would hold an integer as another float, since its column has nulls.

    Notes
    -----
    pandas gets lists and objects as `json.loads` makes them. Arrow's own arrays of integers turn
    into floats where any list or object of the chunk holds a null.
    """
    if as_ != "pandas":
        return deliver(table, as_)
    nested, flat = [], table
    for position, field in enumerate(table.schema):
        if pat.is_nested(field.type):
            nested.append(field.name)
            flat = flat.set_column(position, field.name, pa.nulls(len(table)))
        elif field.name in schema.with_nulls and pat.is_integer(field.type):
            check_exact(table, field.name, path, start)
    dtypes = {name: dtype for name, dtype in schema.dtypes if name in table.schema.names}
    flat = flat.replace_schema_metadata(drop_pandas_index(None, dtypes=dtypes))
    frame = deliver(flat, as_, schema.with_nulls)
    for name in nested:
        frame[name] = pd.Series(table[name].to_pylist(), dtype=object)
    return frame


def check_exact(table: pa.Table, name: str, path: str, start: int) -> None:
    column = table[name]
    is_exact = pc.less_equal(column, pa.scalar(FLOAT_EXACT, column.type))
    if pat.is_signed_integer(column.type):
        is_above = pc.greater_equal(column, pa.scalar(-FLOAT_EXACT, column.type))
        is_exact = pc.and_(is_exact, is_above)
    row = pc.index(is_exact, pa.scalar(value=False)).as_py()
    if row >= 0:
        value = column[row].as_py()
        raise SchemaError(
            f"{path} [bytes from {start:,}]: column {name!r}: {value} has no exact float64, the "
            f"dtype of integers with missing values in pandas; give schema={{{name!r}: 'Int64'}}, "
            "or annotate the chunk as pyarrow.Table",
            path=path,
            start=start,
            row=row,
            column=name,
            value=value,
        )
