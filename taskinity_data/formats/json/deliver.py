"""Tables of JSON records as what a function asked for, exactly, and alike in every chunk.

It knows nothing of files or parsers.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.errors import SchemaError
from taskinity_data.formats.deliver import deliver

if TYPE_CHECKING:
    from taskinity_data.formats.json.sample import JsonSchema

__all__ = ["deliver_records"]

FLOAT_EXACT = 1 << 53


def deliver_records(table: pa.Table, schema: JsonSchema, as_: str, path: str, start: int) -> Any:
    """`table` as a pandas DataFrame, an Arrow table or a polars DataFrame.

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
    names = table.schema.names
    if as_ == "arrow":
        return table
    if as_ == "polars":
        frame = deliver(table, as_)
        # Polars gives the key "" another name.
        frame.columns = names
        return frame
    for name in names:
        if name in schema.with_nulls and pat.is_integer(table[name].type):
            check_exact(table, name, path, start)
    nested = [name for name in names if pat.is_nested(table[name].type)]
    flat = table.drop_columns(nested)
    values = {name: pd.Series(table[name].to_pylist(), dtype=object) for name in nested}
    if not flat.num_columns:
        return pd.DataFrame(values)
    metadata = pandas_metadata(flat.schema, dict(schema.dtypes))
    frame = deliver(flat.replace_schema_metadata(metadata), "pandas", schema.with_nulls)
    for name, series in values.items():
        frame.insert(names.index(name), name, series)
    return frame


def check_exact(table: pa.Table, name: str, path: str, start: int) -> None:
    column = table[name]
    inside = pc.less_equal(column, pa.scalar(FLOAT_EXACT, column.type))
    if pat.is_signed_integer(column.type):
        above = pc.greater_equal(column, pa.scalar(-FLOAT_EXACT, column.type))
        inside = pc.and_(inside, above)
    row = pc.index(inside, pa.scalar(value=False)).as_py()
    if row >= 0:
        value = column[row].as_py()
        raise SchemaError(
            f"{path} [bytes from {start:,}]: column {name!r}: {value} has no exact float64, as "
            "which pandas holds integers beside missing values; give "
            f"schema={{{name!r}: 'Int64'}}, or annotate the chunk as pyarrow.Table",
            path=path,
            start=start,
            row=row,
            column=name,
            value=value,
        )


def pandas_metadata(schema: pa.Schema, dtypes: dict[str, str]) -> dict[str, str] | None:
    """The metadata by which Arrow makes pandas' dtypes with missing values, None for none."""
    columns = [
        {
            "name": name,
            "field_name": name,
            "pandas_type": str(schema.field(name).type),
            "numpy_type": dtypes[name],
            "metadata": None,
        }
        for name in schema.names
        if name in dtypes
    ]
    if not columns:
        return None
    return {"pandas": json.dumps({"index_columns": [], "column_indexes": [], "columns": columns})}
