"""Compute sums and moments of groups without overflow or loss of digits, as arrays of groups.

Rows are given as values and the code of each row's group, from 0 to ``n_groups - 1``, in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from taskinity_data.errors import ReduceError

__all__ = [
    "Moments",
    "add_floats",
    "add_integers",
    "add_moments",
    "fit_integers",
    "floats_of_integers",
    "sum_floats",
    "sum_integers",
    "sum_moments",
]

Codes = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MANTISSA_BITS = 53
_LARGEST_BITS = 63
_LOW_BITS = 32
_LOW_MASK = (1 << _LOW_BITS) - 1

_SUM_BITS = 64
"""The most bits by which a sum is longer than its largest value: there are fewer than 2**64
rows."""

_MAX_TERMS = 3072
"""How many values are added one after another at most: 3.4e-13 * sum|x|. Four times as many rows,
with 64-bit codes, have less than the 128 KiB from which on the C library maps memory each time."""

_LANES = 4
"""How many sums each of a few groups has in turn: an addition waits for the last one to the same
sum, which of four groups costs as much as all else (262,144 rows: 0.5 ms for 0.8)."""

_MAX_LANE_GROUPS = 31
"""Groups whose lanes are numbered by 8 bits."""


def sum_floats(values: Floats, codes: Codes, n_groups: int) -> tuple[Floats, Floats]:
    """Return the sum of each group as an unevaluated pair ``high + low``; `low` is 0.

    Notes
    -----
    At most 3,072 values are added one after another; their sums, and values of a single group, are
    added pairwise by NumPy. The error is below 1e-12 * sum|x|, whatever the number of rows, and the
    same rows in the same order always have the same sum.
    """
    n_blocks = max(1, -(-len(values) // _MAX_TERMS))
    with np.errstate(over="ignore", invalid="ignore"):
        if n_groups == 1:
            sums: Any = np.atleast_1d(np.add.reduce(values))
        elif n_blocks == 1 or n_groups <= _MAX_TERMS:
            sums = _sum_blocks(values, codes, n_groups)
        else:
            sums = np.bincount(codes, values, minlength=n_groups)
            large = np.bincount(codes, minlength=n_groups) > _MAX_TERMS
            if large.any():
                rows_of_large = large[codes]
                sums[large] = _sum_sorted(values[rows_of_large], codes[rows_of_large])
    return sums + 0.0, np.zeros(n_groups)


def _sum_blocks(values: Floats, codes: Codes, n_groups: int) -> Floats:
    n_lanes = _LANES if n_groups <= _MAX_LANE_GROUPS else 1
    block_rows = _MAX_TERMS * n_lanes
    lanes = np.tile(np.arange(n_lanes, dtype=np.int8), _MAX_TERMS)
    n_blocks = max(1, -(-len(values) // block_rows))
    blocks = np.empty((n_groups * n_lanes, n_blocks))
    for number in range(n_blocks):
        rows = slice(number * block_rows, (number + 1) * block_rows)
        block_codes = codes[rows]
        if n_lanes > 1:
            block_codes = block_codes.astype(np.int8) * np.int8(n_lanes) + lanes[: len(block_codes)]
        blocks[:, number] = np.bincount(block_codes, values[rows], minlength=n_groups * n_lanes)
    # Along the last axis NumPy adds pairwise.
    sums: Floats = np.add.reduce(blocks.reshape(n_groups, n_lanes * n_blocks), axis=1)
    return sums


def _sum_sorted(values: Floats, codes: Codes) -> Floats:
    """Return the sums of the groups that occur, in the order of their codes."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    totals: Floats = np.add.reduceat(values[order], starts)
    return totals


def add_floats(a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Return ``a + b`` as pairs, with the rounding of the addition kept in the low part.

    Infinities and NaN are added as usual; their low part is 0.

    References
    ----------
    D. E. Knuth, The Art of Computer Programming 2, section 4.2.2, theorem B (two-sum).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total, rounding = _two_sum(a[0], b[0])
        high, low = _two_sum(total, rounding + (a[1] + b[1]))
    is_finite = np.isfinite(total)
    if is_finite.all():
        return high, low
    return np.where(is_finite, high, total), np.where(is_finite, low, 0.0)


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def sum_integers(values: NDArray[Any], codes: Codes, n_groups: int) -> tuple[Integers, Integers]:
    """Return the exact sum of each group as ``high * 2**32 + low``, with ``0 <= low < 2**32``.

    `values` are bools or integers of any width.
    """
    if not len(values):
        none = np.zeros(n_groups, dtype=np.int64)
        return none, none
    largest = max(abs(int(values.min())), abs(int(values.max())))
    if n_groups == 1 and largest * len(values) < 1 << _LARGEST_BITS:
        total = np.atleast_1d(np.add.reduce(values, dtype=np.int64))
        return total >> _LOW_BITS, total & _LOW_MASK
    if largest * len(values) < 1 << _MANTISSA_BITS:
        # All partial sums are integers that are exact as float64, so adding weights is exact.
        total = np.bincount(codes, values, minlength=n_groups).astype(np.int64)
        return total >> _LOW_BITS, total & _LOW_MASK
    wide = values.astype(np.uint64 if values.dtype.kind == "u" else np.int64, copy=False)
    high = (wide >> wide.dtype.type(_LOW_BITS)).astype(np.int64)
    low = (wide & wide.dtype.type(_LOW_MASK)).astype(np.int64)
    sums = np.zeros((2, n_groups), dtype=np.int64)
    np.add.at(sums[0], codes, high)
    np.add.at(sums[1], codes, low)
    return _carry(sums[0], sums[1])


def add_integers(
    a: tuple[Integers, Integers], b: tuple[Integers, Integers]
) -> tuple[Integers, Integers]:
    """Return ``a + b``, exactly."""
    return _carry(a[0] + b[0], a[1] + b[1])


def _carry(high: Integers, low: Integers) -> tuple[Integers, Integers]:
    return high + (low >> _LOW_BITS), low & _LOW_MASK


def floats_of_integers(pair: tuple[Integers, Integers]) -> tuple[Floats, Floats]:
    """Return the same numbers as a pair of floats, for sums of integers and floats."""
    high = pair[0].astype(np.float64) * float(1 << _LOW_BITS)
    return _two_sum(high, pair[1].astype(np.float64))


def fit_integers(pair: tuple[Integers, Integers], dtype: np.dtype[Any], label: str) -> NDArray[Any]:
    """Return the sums as `dtype`.

    Raises
    ------
    ReduceError
        A sum does not fit; `label` is for the message.
    """
    high, low = pair
    limits = np.iinfo(dtype)
    # The limits' own high words decide for 64 bits; narrower types are compared as int64.
    is_outside = (high < limits.min >> _LOW_BITS) | (high > limits.max >> _LOW_BITS)
    if dtype.kind == "u":
        total: NDArray[Any] = high.astype(np.uint64) << np.uint64(_LOW_BITS)
        total |= low.astype(np.uint64)
    else:
        total = (high << _LOW_BITS) | low
    if dtype.itemsize < np.dtype(np.int64).itemsize:
        is_outside |= (total < limits.min) | (total > limits.max)
    if is_outside.any():
        first = int(np.flatnonzero(is_outside)[0])
        value = (int(high[first]) << _LOW_BITS) + int(low[first])
        raise ReduceError(
            f"{label} is {value}, which does not fit {dtype} ({limits.min} to {limits.max}); read "
            "the column as a wider type or as float64"
        )
    return total.astype(dtype)


class Moments(NamedTuple):
    """Count, mean (as ``mean + rest``) and sum of squared deviations of each group.

    The mean is a pair because a variance of a few units around 1e9 would otherwise inherit the
    mean's rounding each time that two are added (6e-9 relative for chunks of three rows, 1e-15 as
    a pair).
    """

    n: Floats
    mean: Floats
    rest: Floats
    squares: Floats


def sum_moments(values: NDArray[Any], codes: Codes, n_groups: int) -> Moments:
    """Return the moments of each group.

    Notes
    -----
    Two passes: deviations are from the group's mean, so that a large common offset loses no digits;
    their sum is the rounding error of that mean. The relative error of `squares` is below 1e-12,
    usually 1e-15.
    """
    numbers = values.astype(np.float64, copy=False)
    counts = np.array([len(numbers)])
    if n_groups != 1:
        counts = np.bincount(codes, minlength=n_groups)
    n = counts.astype(np.float64)
    rows = np.maximum(n, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum_floats(numbers, codes, n_groups)[0] / rows
        if not np.isfinite(mean).all():
            # The sum overflows, but the mean of finite values does not.
            small = sum_floats(np.ldexp(numbers, -_SUM_BITS), codes, n_groups)[0] / rows
            mean = np.where(np.isfinite(mean), mean, np.ldexp(small, _SUM_BITS))
        deviations = numbers - (mean if n_groups == 1 else mean[codes])
        residual = sum_floats(deviations, codes, n_groups)[0]
        squares = sum_floats(deviations * deviations, codes, n_groups)[0]
        # If squares overflow, so may the correction: inf - inf would be null.
        squares = np.where(np.isinf(squares), squares, squares - residual * residual / rows)
        return Moments(n, mean, residual / rows, np.maximum(squares, 0.0))


def add_moments(a: Moments, b: Moments) -> Moments:
    """Return the moments of both together; a group without rows (n = 0) has no effect.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1979.
    """
    n = a.n + b.n
    rows = np.maximum(n, 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        delta = (b.mean - a.mean) + (b.rest - a.rest)
        mean, rest = _two_sum(a.mean, a.rest + delta * (b.n / rows))
        squares = a.squares + b.squares + delta * delta * (a.n * b.n / rows)
        is_far = np.isinf(delta) & np.isfinite(a.mean) & np.isfinite(b.mean)
        mean = np.where(is_far, a.mean * (a.n / rows) + b.mean * (b.n / rows), mean)
        rest = np.where(is_far, 0.0, rest)
    only_a, only_b = b.n == 0, a.n == 0
    return Moments(
        n,
        np.where(only_a, a.mean, np.where(only_b, b.mean, mean)),
        np.where(only_a, a.rest, np.where(only_b, b.rest, rest)),
        np.where(only_a, a.squares, np.where(only_b, b.squares, squares)),
    )
