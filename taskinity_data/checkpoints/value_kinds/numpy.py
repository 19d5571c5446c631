"""The exact forms of numpy's scalars and arrays: dtype, shape, order in memory, bytes.

It knows nothing of other kinds of values; the items of arrays of objects are written as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from taskinity_data.checkpoints.value_kinds.stream import NoExactForm

if TYPE_CHECKING:
    from taskinity_data.checkpoints.value_kinds.stream import Reading, Writing

__all__ = ["read_array", "read_scalar", "write_array", "write_scalar"]


def write_scalar(writing: Writing, value: np.generic) -> None:
    """A scalar; raises `NoExactForm` where its dtype has none."""
    if type(value) is not value.dtype.type or value.dtype.hasobject:
        raise NoExactForm(f"numpy {value.dtype!r}")
    _write_dtype(writing, value.dtype)
    writing.raw(value.tobytes())


def read_scalar(reading: Reading) -> Any:
    """A scalar."""
    dtype = _read_dtype(reading)
    return np.frombuffer(bytes(reading.raw()), dtype)[0] if dtype.itemsize else dtype.type()


def _write_dtype(writing: Writing, dtype: np.dtype[Any]) -> None:
    if dtype.metadata is not None or (dtype.kind == "V" and dtype.fields is None):
        raise NoExactForm(f"numpy {dtype!r}")
    if dtype.fields is None and np.dtype(dtype.str) != dtype:
        raise NoExactForm(f"numpy {dtype!r}")  # StringDType
    writing.value(dtype.str if dtype.fields is None else _listed(npy.dtype_to_descr(dtype)))


def _listed(described: Any) -> Any:
    return described if isinstance(described, list) else [described]


def _read_dtype(reading: Reading) -> np.dtype[Any]:
    return np.dtype(npy.descr_to_dtype(reading.value()))


def write_array(writing: Writing, value: np.ndarray[Any, Any]) -> None:
    """An array; raises `NoExactForm` where its dtype has none."""
    if value.dtype == object:
        writing.value("O")
        writing.value(value.shape)
        writing.value(bool(value.flags.f_contiguous and not value.flags.c_contiguous))
        order: Any = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
        writing.values(value.ravel(order), value.size)
        return
    if value.dtype.hasobject:
        raise NoExactForm(f"an array of {value.dtype!r}")
    _write_dtype(writing, value.dtype)
    is_turned = bool(value.flags.f_contiguous and not value.flags.c_contiguous)
    writing.value(value.shape)
    writing.value(is_turned)
    flat = value.T if is_turned else value
    writing.raw(np.ascontiguousarray(flat).reshape(-1).view(np.uint8) if value.nbytes else b"")


def read_array(reading: Reading) -> np.ndarray[Any, Any]:
    """An array, writeable."""
    described = reading.value()
    shape, is_turned = reading.value(), reading.value()
    order: Any = "F" if is_turned else "C"
    array: np.ndarray[Any, Any]
    if described == "O":
        items = reading.values()
        array = np.empty(len(items), dtype=object)
        for place, item in enumerate(items):
            array[place] = item
    else:
        array = np.frombuffer(bytearray(reading.raw()), np.dtype(npy.descr_to_dtype(described)))
        if not array.size:
            array = np.empty(shape, array.dtype)
    return array.reshape(shape, order=order)
