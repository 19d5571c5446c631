"""Frames, series, indexes, tables and arrays as JSON and bytes, and back; see `values`.

NumPy's arrays are written as they are in memory, everything else as Arrow IPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.checkpoints.value_kinds.codec import NoExactForm
from taskinity_data.checkpoints.value_kinds.records import pair
from taskinity_data.data_kinds import describe_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskinity_data.checkpoints.value_kinds.codec import ValueReader, ValueWriter

__all__ = ["READERS", "write"]

_OPTIONS = pa.ipc.IpcWriteOptions()
"""The defaults: without them each stream looks for them in the environment."""


def write(writer: ValueWriter, value: Any) -> Any:
    """Return `value` as JSON.

    Raises
    ------
    NoExactForm
        It is of no kind that is here, or something in it would not read back as it is.
    """
    kind = type(value)
    if kind is np.ndarray:
        return _write_array(writer, value)
    if isinstance(value, np.generic) and kind is value.dtype.type:
        return ["scalar", _write_array(writer, np.asarray(value))]
    if kind is pd.DataFrame:
        return _write_frame(writer, value)
    if kind is pd.Series:
        _check_flags(value)
        index, attrs = writer.value(value.index), writer.value(dict(value.attrs))
        return ["series", index, writer.value(value.name), attrs, _write_column(writer, value)]
    if isinstance(value, pd.Index):
        return _write_index(writer, value)
    if kind in (pd.Timestamp, pd.Timedelta):
        return ["time", writer.value(pd.Index([value]))]
    if value is pd.NaT or value is pd.NA:
        return [str(value)]
    if kind is pa.Table:
        if value.num_rows and not value.num_columns:
            raise NoExactForm("a table of rows without columns")
        return ["table", _write_ipc(writer, value)]
    if kind is pa.Schema:
        return ["schema", writer.blob(value.serialize())]
    if kind.__module__ == "taskinity_data.output.parts":
        return pair(kind)[0](writer, value)
    if kind.__module__.partition(".")[0] == "polars" and kind.__name__ == "DataFrame":
        return ["polars", writer.blob(value.write_ipc(None).getbuffer())]
    raise NoExactForm(describe_kind(value))


def _read_output(name: str) -> Callable[[ValueReader, list[Any]], Any]:
    def read(reader: ValueReader, parts: list[Any]) -> Any:
        from taskinity_data.output import parts as module

        return pair(getattr(module, name))[1](reader, parts)

    return read


def _read_schema(reader: ValueReader, parts: list[Any]) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(bytes(reader.blobs[parts[0]])))


# -- arrays ----------------------------------------------------------------------------------------


def _write_array(writer: ValueWriter, array: np.ndarray[Any, Any]) -> Any:
    dtype = array.dtype
    if dtype.kind == "O":
        return ["objects", array.shape, *writer.values(array.ravel().tolist())]
    if dtype.hasobject or dtype.names is not None:
        raise NoExactForm(f"an array of {dtype}")
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    memory = np.ascontiguousarray(array.T if order == "F" else array)
    blob = writer.blob(memory.reshape(-1).view(np.uint8) if memory.size else b"")
    return ["array", dtype.str, array.shape, order, blob]


def _read_array(reader: ValueReader, parts: list[Any]) -> Any:
    dtype, shape, order, blob = parts
    # A copy, so that the array can be written to.
    array = np.frombuffer(bytearray(reader.blobs[blob]), dtype=np.dtype(dtype))
    return array.reshape(shape, order=order)


def _read_objects(reader: ValueReader, parts: list[Any]) -> Any:
    shape, *items = parts
    array = np.empty(len(items), dtype=object)
    for number, item in enumerate(items):  # at once, lists would become rows
        array[number] = reader.value(item)
    return array.reshape(shape)


def _write_ipc(writer: ValueWriter, table: pa.Table) -> int:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_OPTIONS) as stream:
        stream.write_table(table)
    return writer.blob(sink.getvalue())


def _read_ipc(reader: ValueReader, blob: int) -> pa.Table:
    return pa.ipc.open_stream(pa.py_buffer(bytes(reader.blobs[blob]))).read_all()


# -- pandas ----------------------------------------------------------------------------------------


def _write_column(writer: ValueWriter, column: Any) -> Any:
    """Return the values of a Series or an index."""
    dtype = column.dtype
    if isinstance(dtype, np.dtype):
        return _write_array(writer, column.to_numpy())
    if isinstance(dtype, pd.CategoricalDtype):
        codes = column.cat.codes if isinstance(column, pd.Series) else pd.Series(column.codes)
        categories = writer.value(dtype.categories)
        return ["category", dtype.ordered, categories, _write_array(writer, codes.to_numpy())]
    spec = _spell_dtype(dtype)
    try:
        items = pa.array(column.array, from_pandas=False if spec[0] == "arrow" else None)
    except (pa.ArrowException, UnicodeEncodeError, TypeError) as error:
        raise NoExactForm(f"a column of {dtype}") from error
    if isinstance(items, pa.Array):
        items = pa.chunked_array([items])
    return ["column", spec, _write_ipc(writer, pa.table({"": items}))]


def _spell_dtype(dtype: Any) -> list[Any]:
    """Return a dtype as JSON.

    Raises
    ------
    NoExactForm
        Arrow does not hold its values, or its name does not say what it is.
    """
    if isinstance(dtype, pd.StringDtype):
        return ["string", dtype.storage, dtype.na_value is pd.NA]
    if isinstance(dtype, pd.ArrowDtype):
        return ["arrow"]
    name = str(dtype)
    try:
        is_named = pd.api.types.pandas_dtype(name) == dtype and hasattr(dtype, "__from_arrow__")
    except TypeError:
        is_named = False
    if not is_named:
        raise NoExactForm(f"a column of {dtype}")
    return ["named", name]


def _read_column(reader: ValueReader, parts: list[Any]) -> Any:
    (kind, *spec), blob = parts
    items = _read_ipc(reader, blob).column(0)
    if kind == "arrow":
        return pd.arrays.ArrowExtensionArray(items)
    dtype: Any
    if kind == "string":
        storage, is_na = spec
        dtype = pd.StringDtype(storage, na_value=pd.NA if is_na else np.nan)
    else:
        dtype = pd.api.types.pandas_dtype(spec[0])
    return dtype.__from_arrow__(items)


def _read_category(reader: ValueReader, parts: list[Any]) -> Any:
    is_ordered, categories, codes = parts
    dtype: Any = pd.CategoricalDtype(reader.value(categories), is_ordered)
    return pd.Categorical.from_codes(reader.value(codes), dtype=dtype)


def _write_index(writer: ValueWriter, value: pd.Index[Any]) -> Any:
    names = writer.values(value.names)
    if type(value) is pd.RangeIndex:
        return ["range", value.start, value.stop, value.step, names]
    if isinstance(value, pd.MultiIndex):
        codes = writer.values(map(np.asarray, value.codes))
        return ["multi", writer.values(value.levels), codes, names]
    freq = getattr(value, "freq", None) if not isinstance(value, pd.PeriodIndex) else None
    return ["index", _write_column(writer, value), None if freq is None else freq.freqstr, names]


def _read_index(reader: ValueReader, parts: list[Any]) -> Any:
    column, freq, names = parts
    values = reader.value(column)
    index: Any = pd.Index(values, dtype=values.dtype, copy=False)
    if freq is not None:
        index.freq = freq
    index.names = reader.values(names)
    return index


def _read_range(reader: ValueReader, parts: list[Any]) -> Any:
    start, stop, step, names = parts
    return pd.RangeIndex(start, stop, step, name=reader.value(names[0]))


def _read_multi(reader: ValueReader, parts: list[Any]) -> Any:
    levels, codes, names = map(reader.values, parts)
    return pd.MultiIndex(levels, codes, names=names, verify_integrity=False)


def _read_series(reader: ValueReader, parts: list[Any]) -> Any:
    index, name, attrs, column = reader.values(parts)
    series: Any = pd.Series(column, index=index, name=name, dtype=column.dtype, copy=False)
    series.attrs = attrs
    return series


def _write_frame(writer: ValueWriter, frame: pd.DataFrame) -> Any:
    _check_flags(frame)
    index, labels = writer.value(frame.index), writer.value(frame.columns)
    attrs = writer.value(dict(frame.attrs))
    if len(frame):
        columns = [_write_column(writer, column) for _, column in frame.items()]
        return ["frame", index, labels, attrs, *columns]
    # Partials have such frames for their dtypes: each is written once.
    dtypes = frame.dtypes.tolist()
    distinct = {id(dtype): dtype for dtype in dtypes}
    numbers = {key: number for number, key in enumerate(distinct)}
    columns = [_write_column(writer, pd.Series([], dtype=dtype)) for dtype in distinct.values()]
    positions = writer.value([numbers[id(dtype)] for dtype in dtypes])
    return ["dtypes", index, labels, attrs, positions, *columns]


def _read_frame(reader: ValueReader, parts: list[Any]) -> Any:
    index, labels, attrs, *columns = reader.values(parts)
    return _make_frame(index, labels, attrs, columns)


def _read_dtypes(reader: ValueReader, parts: list[Any]) -> Any:
    index, labels, attrs, positions, *columns = reader.values(parts)
    return _make_frame(index, labels, attrs, [columns[at] for at in positions])


def _make_frame(index: Any, labels: Any, attrs: Any, columns: list[Any]) -> Any:
    series = {
        number: pd.Series(column, index=index, dtype=column.dtype, copy=False)
        for number, column in enumerate(columns)
    }
    frame: Any = pd.DataFrame(series, index=index)
    frame.columns = labels
    frame.attrs = attrs
    return frame


def _check_flags(value: Any) -> None:
    if not value.flags.allows_duplicate_labels:
        raise NoExactForm("a frame that allows no duplicate labels")


def _read_polars(reader: ValueReader, parts: list[Any]) -> Any:
    import polars as pl

    return pl.read_ipc(bytes(reader.blobs[parts[0]]))


READERS: dict[str, Callable[[ValueReader, list[Any]], Any]] = {
    "array": _read_array,
    "objects": _read_objects,
    "scalar": lambda reader, parts: reader.value(parts[0])[()],
    "column": _read_column,
    "category": _read_category,
    "index": _read_index,
    "range": _read_range,
    "multi": _read_multi,
    "series": _read_series,
    "frame": _read_frame,
    "dtypes": _read_dtypes,
    "time": lambda reader, parts: reader.value(parts[0])[0],
    "NaT": lambda _reader, _parts: pd.NaT,
    "<NA>": lambda _reader, _parts: pd.NA,
    "table": lambda reader, parts: _read_ipc(reader, parts[0]),
    "polars": _read_polars,
    "schema": _read_schema,
    "Part": _read_output("Part"),
    "StagedFile": _read_output("StagedFile"),
}
