"""Estimate the number of distinct values with HyperLogLog, in a few bytes a group.

Registers are sparse, as (group and register, rank) for those that are not empty, so that the cost
of a million small groups is that of their values.

References
----------
P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm",
2007. O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284,
2017, section 4 (the estimator, which needs no correction for small or medium counts).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "COLUMN_PRECISION",
    "GROUP_PRECISION",
    "estimate_distinct",
    "find_registers",
    "hash_values",
    "merge_registers",
    "rank_hashes",
]

GROUP_PRECISION = 12
"""4,096 registers: a standard error of 1.04 / sqrt(4096) = 1.6 %, at most 36 KiB a group."""

COLUMN_PRECISION = 14
"""16,384 registers: a standard error of 0.8 %, at most 144 KiB."""

_HASH_BITS = 64
_EXACT_IN_FLOAT = 1 << 53


def hash_values(series: pd.Series[Any]) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each value, the same on every machine and in every process.

    Equal numbers have equal hashes, whatever their type, and equal times; there must be no nulls.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.dtype.categories.dtype)
    if series.dtype == object:
        is_number = np.array([pd.api.types.is_number(value) for value in series], dtype=np.bool_)
        if is_number.any():
            hashes = np.empty(len(series), dtype=np.uint64)
            converted: Any = pd.to_numeric(series[is_number])
            if converted.dtype == object:  # integers that need more than 64 bits
                converted = converted.astype(np.float64)
            hashes[is_number] = hash_values(converted)
            hashes[~is_number] = hash_values(series[~is_number])
            return hashes
    dtype: Any = series.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        numpy_dtype = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        numbers = series.to_numpy(dtype=numpy_dtype)
        if numpy_dtype.kind in "iubf":
            floats = numbers.astype(np.float64) + 0.0  # -0.0 becomes 0.0
            hashes = pd.util.hash_array(floats)
            if numpy_dtype.kind in "iu" and numpy_dtype.itemsize == _HASH_BITS // 8:
                is_long = np.abs(floats) >= _EXACT_IN_FLOAT
                hashes[is_long] = pd.util.hash_array(numbers[is_long])
            return hashes
    if dtype.kind in "mM" and not pa.types.is_date(getattr(dtype, "pyarrow_dtype", pa.null())):
        return _hash_times(pa.array(series))
    is_numpy = isinstance(series.dtype, np.dtype)
    values: Any = series.to_numpy() if is_numpy else series.to_numpy(dtype=object)
    return pd.util.hash_array(values, categorize=False)


def _hash_times(times: Any) -> NDArray[np.uint64]:
    """Return the hashes of an Arrow array of times, the same whatever their unit."""
    per_second = 1000 ** ("s", "ms", "us", "ns").index(times.type.unit)
    counts = times.cast(pa.int64()).to_numpy(zero_copy_only=False)
    seconds, rest = np.divmod(counts, per_second)
    # Times an odd number, since seconds and nanoseconds may be each other's.
    hashes = pd.util.hash_array(seconds) * np.uint64(3)
    hashes ^= pd.util.hash_array(rest * (_PER_SECOND // per_second))
    return hashes


_PER_SECOND = 10**9


def find_registers(
    hashes: NDArray[np.uint64], precision: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the registers of one group that are not empty, sorted, and their largest ranks.

    The rank of the smallest hash of a register is its largest.
    """
    smallest = np.full(1 << precision, np.iinfo(np.uint64).max, dtype=np.uint64)
    registers = (hashes >> np.uint64(_HASH_BITS - precision)).view(np.int64)
    np.minimum.at(smallest, registers, hashes)
    filled = np.zeros(1 << precision, dtype=np.bool_)
    filled[registers] = True
    return rank_hashes(smallest[filled], precision)


def rank_hashes(
    hashes: NDArray[np.uint64], precision: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return each hash's register (its first bits) and rank (the number of zeros after, plus 1)."""
    registers = (hashes >> np.uint64(_HASH_BITS - precision)).astype(np.int64)
    rest = hashes << np.uint64(precision)
    # Two halves, because float64 holds 53 bits only and would round a run of ones up.
    high = (rest >> np.uint64(32)).astype(np.float64)
    low = (rest & np.uint64(0xFFFFFFFF)).astype(np.float64)
    bits = np.where(high > 0, 32 + np.frexp(high)[1], np.frexp(low)[1])
    ranks = np.minimum(_HASH_BITS - bits, _HASH_BITS - precision) + 1
    return registers, ranks.astype(np.uint8)


def merge_registers(
    keys: NDArray[np.int64], ranks: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return the unique keys, sorted, with their largest ranks."""
    if not len(keys):
        return keys, ranks
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    return keys[starts], np.maximum.reduceat(ranks[order], starts)


def estimate_distinct(
    keys: NDArray[np.int64], ranks: NDArray[np.uint8], n_groups: int, precision: int
) -> NDArray[np.int64]:
    """Return the estimate of each group, rounded; shape (n_groups,)."""
    n_ranks = _HASH_BITS - precision + 2
    n_registers = 1 << precision
    cells = (keys >> precision) * n_ranks + ranks
    histogram = np.bincount(cells, minlength=n_groups * n_ranks).reshape(n_groups, n_ranks)
    histogram[:, 0] = n_registers - histogram[:, 1:].sum(axis=1)
    estimates = [_estimate(counts, n_registers) for counts in histogram.tolist()]
    return np.rint(np.array(estimates, dtype=np.float64)).astype(np.int64)


def _estimate(counts: list[int], n_registers: int) -> float:
    if counts[0] == n_registers:
        return 0.0
    total = n_registers * _tau(1 - counts[-1] / n_registers)
    for count in counts[-2:0:-1]:
        total = 0.5 * (total + count)
    total += n_registers * _sigma(counts[0] / n_registers)
    return n_registers * n_registers / (2 * math.log(2) * total)


def _sigma(x: float) -> float:
    """Return Ertl's sigma(x), the correction for empty registers; x is a share from 0 to 1."""
    total, power = x, 1.0
    while True:
        x *= x
        before = total
        total += x * power
        power += power
        if total == before:
            return total


def _tau(x: float) -> float:
    """Return Ertl's tau(x), the correction for saturated registers; x is a share from 0 to 1."""
    if x in {0.0, 1.0}:
        return 0.0
    total, power = 1 - x, 1.0
    while True:
        x = math.sqrt(x)
        before = total
        power *= 0.5
        total -= (1 - x) ** 2 * power
        if total == before:
            return total / 3
