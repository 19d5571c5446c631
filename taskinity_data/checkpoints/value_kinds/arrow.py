"""The exact forms of Arrow's and polars' data: Arrow IPC.

It knows nothing of other kinds of values.
"""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.checkpoints.value_kinds.stream import NoExactForm

if TYPE_CHECKING:
    from taskinity_data.checkpoints.value_kinds.stream import Reading, Writing

__all__ = [
    "read_array",
    "read_batch",
    "read_chunked",
    "read_polars",
    "read_table",
    "write_array",
    "write_batch",
    "write_chunked",
    "write_polars",
    "write_table",
]


_OPTIONS = pa.ipc.IpcWriteOptions()
"""The defaults: without them each stream looks for them in the environment."""


def _serialize(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as stream:
        stream.write_table(table)
    return sink.getvalue()


@cache
def _serialize_empty(dtype: pa.DataType) -> pa.Buffer:
    """A column without values: partials hold several, the same in each."""
    return _serialize(pa.table({"": pa.chunked_array([], dtype)}))


def write_table(writing: Writing, value: pa.Table) -> None:
    """An Arrow table; raises `NoExactForm` where it has rows and no column."""
    if value.num_rows and not value.num_columns:
        raise NoExactForm("a table of rows without columns")
    writing.raw(_serialize(value))


def read_table(reading: Reading) -> pa.Table:
    """An Arrow table."""
    return pa.ipc.open_stream(pa.py_buffer(bytes(reading.raw()))).read_all()


def write_batch(writing: Writing, value: pa.RecordBatch) -> None:
    """A record batch."""
    writing.raw(value.schema.serialize())
    writing.raw(value.serialize())


def read_batch(reading: Reading) -> pa.RecordBatch:
    """A record batch."""
    schema = pa.ipc.read_schema(pa.py_buffer(bytes(reading.raw())))
    return pa.ipc.read_record_batch(pa.py_buffer(bytes(reading.raw())), schema)


def write_chunked(writing: Writing, value: pa.ChunkedArray) -> None:
    """A chunked array."""
    writing.raw(_serialize(pa.table({"": value})) if len(value) else _serialize_empty(value.type))


def read_chunked(reading: Reading) -> pa.ChunkedArray:
    """A chunked array."""
    return read_table(reading).column(0)


def write_array(writing: Writing, value: pa.Array) -> None:
    """An array."""
    write_table(writing, pa.table({"": pa.chunked_array([value])}))


def read_array(reading: Reading) -> pa.Array:
    """An array."""
    column = read_table(reading).column(0)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def write_polars(writing: Writing, value: Any) -> None:
    """A polars frame or series."""
    is_series = type(value).__name__ == "Series"
    held = io.BytesIO()
    (value.to_frame() if is_series else value).write_ipc(held)
    writing.value(is_series)
    writing.raw(held.getbuffer())


def read_polars(reading: Reading) -> Any:
    """A polars frame or series."""
    import polars as pl

    is_series = reading.value()
    frame = pl.read_ipc(io.BytesIO(bytes(reading.raw())))
    return frame.to_series() if is_series else frame
