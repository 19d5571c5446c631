"""The exact forms of pandas' frames, series, indexes and scalars, and the table of all such forms.

Frames keep their blocks, so that sums over them are the same to the last bit. It knows nothing of
plain values (see `values`), nor of how others are written (see `numpy`, `arrow`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.internals import (  # type: ignore[import-not-found]  # no stubs
    create_dataframe_from_blocks,
)

from taskinity_data.checkpoints.value_kinds import arrow as exact_arrow
from taskinity_data.checkpoints.value_kinds import numpy as exact_numpy
from taskinity_data.checkpoints.value_kinds.plain import describe_zone, zone_of_plain
from taskinity_data.checkpoints.value_kinds.stream import NoExactForm
from taskinity_data.reducers import totals
from taskinity_data.reducers.columns import TopRows
from taskinity_data.reducers.quantiles import Summary
from taskinity_data.reducers.sums import Moments

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskinity_data.checkpoints.value_kinds.stream import Reading, Writing

__all__ = ["read", "write"]


def write(writing: Writing, value: Any) -> bool:
    """Write `value`, if it is of a kind that stands here; whether it was.

    Raises
    ------
    NoExactForm
        Something in it has none.
    """
    kind = type(value)
    found = _WRITERS.get(kind)
    if found is None:
        found = _find(value)
        if found is None:
            return False
    tag, writer = found
    writing.tag(tag)
    writer(writing, value)
    return True


def read(reading: Reading, tag: bytes) -> Any:
    """The value behind `tag`; raises `KeyError` where that is none of these."""
    return _READERS[tag](reading)


def _find(value: Any) -> tuple[bytes, Callable[[Writing, Any], None]] | None:
    kind = type(value)
    if isinstance(value, np.generic):
        return b"g", exact_numpy.write_scalar
    if kind in _NAMED.values():
        return b"P", _write_named
    root = kind.__module__.partition(".")[0]
    if root == "pandas" and isinstance(value, pd.Index):
        return b"I", _write_index
    if root == "pandas" and isinstance(value, pd.api.extensions.ExtensionArray):
        return b"X", _write_extension
    if root == "pyarrow" and isinstance(value, pa.Array):
        return b"y", exact_arrow.write_array
    if root == "polars" and kind.__name__ in ("DataFrame", "Series"):
        return b"p", exact_arrow.write_polars
    return None


# -- pandas ----------------------------------------------------------------------------------------


def _write_timestamp(writing: Writing, value: Any) -> None:
    writing.value(describe_zone(value.tzinfo))
    writing.value(value.unit)
    naive = value if value.tzinfo is None else value.tz_convert("UTC").tz_localize(None)
    writing.value(int(naive.asm8.view(np.int64)))


def _read_timestamp(reading: Reading) -> Any:
    zone = reading.value()
    unit, count = reading.value(), reading.value()
    found = pd.Timestamp(np.datetime64(count, unit))
    return found if zone is None else found.tz_localize("UTC").tz_convert(zone_of_plain(zone))


def _write_timedelta(writing: Writing, value: Any) -> None:
    writing.value(value.unit)
    writing.value(int(value.asm8.view(np.int64)))


def _read_timedelta(reading: Reading) -> Any:
    unit = reading.value()
    return pd.Timedelta(np.timedelta64(reading.value(), unit))


def _write_values(writing: Writing, values: Any) -> None:
    """An array of pandas: numpy's, or an extension's."""
    if isinstance(values, np.ndarray):
        writing.tag(b"n")
        exact_numpy.write_array(writing, values)
    else:
        writing.value(values)


def _write_extension(writing: Writing, value: Any) -> None:
    dtype = value.dtype
    held: Any = value
    if isinstance(value, pd.Categorical):
        writing.value("category")
        writing.value(value.categories)
        writing.value(value.ordered)
        writing.value(value.codes)
    elif isinstance(dtype, pd.StringDtype):
        writing.value("string")
        writing.value(dtype.storage)
        writing.value(dtype.na_value is pd.NA)
        if dtype.storage == "pyarrow":
            writing.value(pa.chunked_array(value.__arrow_array__()))
        else:
            writing.value(value.to_numpy(dtype=object))
    elif isinstance(dtype, pd.ArrowDtype):
        writing.value("arrow")
        found = value.__arrow_array__()
        writing.value(found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found]))
    elif isinstance(value, pd.arrays.DatetimeArray | pd.arrays.TimedeltaArray):
        writing.value("times")
        writing.value(value.dtype.str if isinstance(value.dtype, np.dtype) else value.dtype.unit)
        zone = getattr(value, "tz", None)
        writing.value(describe_zone(zone))
        writing.value(np.asarray(value.view("i8")))
    elif isinstance(value, pd.arrays.PeriodArray):
        writing.value("period")
        writing.value(value.freqstr)
        writing.value(held.asi8)
    elif isinstance(value, pd.arrays.IntervalArray):
        writing.value("interval")
        writing.value(value.closed)
        writing.value(value.left)
        writing.value(value.right)
    elif isinstance(
        value, pd.arrays.IntegerArray | pd.arrays.FloatingArray | pd.arrays.BooleanArray
    ):
        writing.value("masked")
        writing.value(str(dtype))
        writing.value(held._data)  # noqa: SLF001 - also what stands behind the mask
        writing.value(held._mask)  # noqa: SLF001
    elif isinstance(value, pd.arrays.NumpyExtensionArray):
        writing.value("numpy")
        writing.value(value.to_numpy())
    else:
        raise NoExactForm(f"a column of {dtype}")


def _read_extension(reading: Reading) -> Any:
    return _EXTENSIONS[reading.value()](reading)


def _read_category(reading: Reading) -> Any:
    categories, ordered = reading.value(), reading.value()
    dtype: Any = pd.CategoricalDtype(categories, ordered)
    return pd.Categorical.from_codes(reading.value(), dtype=dtype)


def _read_string(reading: Reading) -> Any:
    storage, is_na = reading.value(), reading.value()
    dtype: Any = pd.StringDtype(storage, na_value=pd.NA if is_na else np.nan)
    values = reading.value()
    if storage == "pyarrow":
        return dtype.__from_arrow__(values)
    return pd.array(values, dtype=dtype)


def _read_arrow(reading: Reading) -> Any:
    return pd.arrays.ArrowExtensionArray(reading.value())


def _read_times(reading: Reading) -> Any:
    described, zone = reading.value(), reading.value()
    counts = reading.value()
    flat = counts.reshape(-1)
    made: Any
    if zone is not None:
        made = pd.DatetimeIndex(flat.view(f"M8[{described}]")).tz_localize("UTC")
        made = made.tz_convert(zone_of_plain(zone))
    else:
        values = flat.view(described)
        made = (pd.DatetimeIndex if values.dtype.kind == "M" else pd.TimedeltaIndex)(values)
    return made.array if counts.ndim == 1 else made.array.reshape(counts.shape)


def _read_period(reading: Reading) -> Any:
    dtype: Any = pd.PeriodDtype(reading.value())
    return pd.arrays.PeriodArray(reading.value(), dtype=dtype)


def _read_interval(reading: Reading) -> Any:
    closed, left, right = reading.value(), reading.value(), reading.value()
    return pd.arrays.IntervalArray.from_arrays(left, right, closed=closed)


_MASKED: dict[str, Any] = (
    {"boolean": pd.arrays.BooleanArray}
    | {f"{sign}Int{bits}": pd.arrays.IntegerArray for sign in ("", "U") for bits in (8, 16, 32, 64)}
    | {f"Float{bits}": pd.arrays.FloatingArray for bits in (32, 64)}
)


def _read_masked(reading: Reading) -> Any:
    return _MASKED[reading.value()](reading.value(), reading.value())


_EXTENSIONS: dict[str, Callable[[Reading], Any]] = {
    "category": _read_category,
    "string": _read_string,
    "arrow": _read_arrow,
    "times": _read_times,
    "period": _read_period,
    "interval": _read_interval,
    "masked": _read_masked,
    "numpy": lambda reading: pd.arrays.NumpyExtensionArray(reading.value()),
}


def _write_index(writing: Writing, value: Any) -> None:
    kind = type(value)
    if kind is pd.RangeIndex:
        writing.value("range")
        writing.value((value.start, value.stop, value.step))
    elif kind is pd.MultiIndex:
        writing.value("multi")
        writing.value(list(value.levels))
        writing.value(list(value.codes))
        writing.value(value.sortorder)
    else:
        writing.value("values")
        freq = getattr(value, "freq", None) if kind is not pd.PeriodIndex else None
        writing.value(None if freq is None else freq.freqstr)
        _write_values(writing, value._values)  # noqa: SLF001
    writing.value(list(value.names))


def _read_index(reading: Reading) -> Any:
    kind = reading.value()
    if kind == "range":
        bounds = reading.value()
        made: Any = pd.RangeIndex(*bounds)
        made.name = reading.value()[0]
        return made
    if kind == "multi":
        levels, codes, order = reading.value(), reading.value(), reading.value()
        return pd.MultiIndex(levels, codes, order, names=reading.value(), verify_integrity=False)
    freq, values, names = reading.value(), reading.value(), reading.value()
    made = pd.Index(values, dtype=values.dtype, copy=False)
    if freq is not None:
        made.freq = freq
    made.name = names[0]
    return made


def _write_series(writing: Writing, value: Any) -> None:
    _check_flags(value)
    writing.value(value.index)
    writing.value(value.name)
    writing.value(dict(value.attrs))
    _write_values(writing, value._values)  # noqa: SLF001 - without a copy


def _read_series(reading: Reading) -> Any:
    index, name, attrs = reading.value(), reading.value(), reading.value()
    made: Any = pd.Series(reading.value(), index=index, name=name, copy=False)
    made.attrs = attrs
    return made


def _write_frame(writing: Writing, value: Any) -> None:
    _check_flags(value)
    writing.value(value.index)
    writing.value(value.columns)
    writing.value(dict(value.attrs))
    blocks = value._mgr.blocks  # noqa: SLF001 - create_dataframe_from_blocks' counterpart
    writing.number(len(blocks))
    for block in blocks:
        writing.value(np.asarray(block.mgr_locs.as_array))
        _write_values(writing, block.values)


def _read_frame(reading: Reading) -> Any:
    index, columns, attrs = reading.value(), reading.value(), reading.value()
    blocks = []
    for _ in range(reading.number()):
        places = reading.value()
        blocks.append((reading.value(), places))
    made = create_dataframe_from_blocks(blocks, index, columns)
    made.attrs = attrs
    return made


def _check_flags(value: Any) -> None:
    if not value.flags.allows_duplicate_labels:
        raise NoExactForm("a frame that allows no duplicate labels")


# -- named tuples of this library ------------------------------------------------------------------

_NAMED: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        totals.Columns,
        totals.SeriesState,
        totals.Labelled,
        totals.Single,
        TopRows,
        Summary,
        Moments,
    )
}
"""The partials of built-in reducers that are named tuples."""


def _write_named(writing: Writing, value: Any) -> None:
    writing.text(type(value).__name__)
    writing.values(value, len(value))


def _read_named(reading: Reading) -> Any:
    return _NAMED[reading.text()](*reading.values())


_READERS: dict[bytes, Callable[[Reading], Any]] = {
    b"n": exact_numpy.read_array,
    b"g": exact_numpy.read_scalar,
    b"M": _read_timestamp,
    b"k": _read_timedelta,
    b"T": lambda _: pd.NaT,
    b"A": lambda _: pd.NA,
    b"X": _read_extension,
    b"I": _read_index,
    b"R": _read_series,
    b"W": _read_frame,
    b"P": _read_named,
    b"j": exact_arrow.read_table,
    b"x": exact_arrow.read_batch,
    b"K": exact_arrow.read_chunked,
    b"y": exact_arrow.read_array,
    b"p": exact_arrow.read_polars,
}


def _write_nothing(writing: Writing, value: Any) -> None:
    """What the tag says is all."""


_WRITERS: dict[Any, tuple[bytes, Callable[[Writing, Any], None]]] = {
    np.ndarray: (b"n", exact_numpy.write_array),
    pd.Timestamp: (b"M", _write_timestamp),
    pd.Timedelta: (b"k", _write_timedelta),
    type(pd.NaT): (b"T", _write_nothing),
    type(pd.NA): (b"A", _write_nothing),
    pd.Series: (b"R", _write_series),
    pd.DataFrame: (b"W", _write_frame),
    pa.Table: (b"j", exact_arrow.write_table),
    pa.RecordBatch: (b"x", exact_arrow.write_batch),
    pa.ChunkedArray: (b"K", exact_arrow.write_chunked),
}
