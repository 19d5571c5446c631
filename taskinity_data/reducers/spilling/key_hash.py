"""A hash of each row's keys: the same on every machine, in every process, for equal keys.

Equal is what `grouping` brings together once chunks are put one after another: integers and floats
that are the same number (integers count as the float nearest to them, for that is what they turn
into beside floats), times of any unit and zone that are the same instant, texts of any dtype, a
category as its value. It knows nothing of groups or of what their hash is for; hashes that collide
do no harm there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.reducers.spilling.plain_columns import plain_arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["hash_keys"]

_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_MIX = np.uint64(0x9E3779B97F4A7C15)
_WORD = 8


def hash_keys(keys: pd.DataFrame) -> NDArray[np.uint64]:
    """The hash of each row, none of which has a null; shape (rows,).

    Raises
    ------
    NotPlain
        A column has no form as plain arrays.
    """
    total = np.zeros(len(keys), dtype=np.uint64)
    for place in range(keys.shape[1]):
        total *= _MIX
        total += _hash_column(keys.iloc[:, place])
    return _mix(total)


def _hash_column(column: pd.Series[Any]) -> NDArray[np.uint64]:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _hash_column(pd.Series(dtype.categories))[column.cat.codes.to_numpy()]
    plain = plain_arrays(column)
    if plain.form in ("texts", "bytes"):
        return _hash_texts(*plain.arrays)
    (array,) = plain.arrays
    if plain.form == "times" or array.dtype.kind in "mM":
        unit = np.datetime_data(array.dtype)[0] if array.dtype.kind in "mM" else dtype.unit
        # Beyond 64 bits this wraps around, for equal instants alike.
        return _mix(array.view(np.uint64) * np.uint64(_NANOSECONDS[unit]))
    return _mix((array.astype(np.float64) + 0.0).view(np.uint64))


def _hash_texts(lengths: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Eight bytes of all texts at a time, so that it costs some passes and no Python object."""
    starts = np.cumsum(lengths) - lengths
    padded = np.concatenate([data, np.zeros(_WORD, dtype=np.uint8)])
    # A word at every byte: numpy gathers them without regard to alignment.
    words = np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))
    hashes = lengths.astype(np.uint64)
    rows = np.arange(len(lengths))
    place = 0
    while True:
        left = lengths[rows] - place
        rows = rows[left > 0]
        if not len(rows):
            return hashes
        left = np.minimum(left[left > 0], _WORD)
        unused = (np.uint64(_WORD) - left.astype(np.uint64)) * np.uint64(8)
        taken = (words[starts[rows] + place] << unused) >> unused
        hashes[rows] = _mix(hashes[rows] * _MIX + taken)
        place += _WORD


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit of each depends on all its bits.

    References
    ----------
    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", 2014
    (the finalizer of splitmix64).
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
