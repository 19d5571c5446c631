"""Pick the smallest, largest, first or last value of each group, and its distinct values.

A state is (groups, values): one value for each group, or for each of `groups`. States are merged by
concatenating them and picking again, so that picking from a chunk and merging are the same
operation. Groups are numbers here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import localcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.column_values import DECIMAL_DIGITS, Answer, Values, from_numbers
from taskinity_data.reducers.groups.codes import factorize
from taskinity_data.reducers.groups.grouping import Grouping
from taskinity_data.reducers.inputs import as_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from taskinity_data.reducers.groups.grouping import Merging

__all__ = [
    "PICKED",
    "aggregate_with_pandas",
    "finish_picked",
    "rejoin",
]

Picked = tuple[Any, "pd.Series[Any]"]
Codes = Any  # NDArray[np.intp]: the merged group of each group of one state


@dataclass(frozen=True)
class Picking:
    """The smallest, largest, first or last value of each group."""

    how: str

    def start(self, values: Values) -> Picked:
        """Return the groups that have a value, and the values."""
        if self.how in {"first", "last"}:
            return _pick_row(values, is_last=self.how == "last")
        if values.numbers is None:
            return aggregate_with_pandas(values, self.how)
        if isinstance(values.dtype, pd.ArrowDtype) and values.dtype.kind == "f":
            # They may hold NaN beside nulls, which pandas ignores here.
            is_nan = np.isnan(values.numbers.array)
            values = Values(values.series.mask(is_nan), values.grouping)
        picked = _pick_number(values, is_largest=self.how == "max")
        groups = values.filled
        if groups is not None:
            picked = picked[groups]
        return groups, from_numbers(picked, values.dtype)

    def merge(self, states: Sequence[Picked], merging: Merging) -> Picked:
        """Pick again from the picked values."""
        arrays = [series.to_numpy() for groups, series in states if groups is None]
        dtypes = {series.dtype for _, series in states}
        is_compared = self.how in {"min", "max"} and arrays and arrays[0].dtype.kind in "iuf"
        if is_compared and len(arrays) == len(states) and dtypes == {arrays[0].dtype}:
            largest = self.how == "max"
            picked = _start_picking(arrays[0].dtype, merging.n_groups, is_largest=largest)
            pick = np.maximum if largest else np.minimum
            for array, code in zip(arrays, merging.codes, strict=True):
                picked[code] = pick(picked[code], array)
            return None, pd.Series(picked)
        if self.how in {"min", "max"}:
            _check_order(self.how, {series.dtype for _, series in states if len(series)})
        return self.start(rejoin(states, merging.codes, merging.n_groups))

    def finish(self, state: Picked, answer: Answer) -> pd.Series[Any]:
        """Return the values; null for groups without one."""
        missing = None if self.how in {"first", "last"} else np.nan
        return finish_picked(state, answer, missing)


def _check_order(how: str, dtypes: set[Any]) -> None:
    """Raise `ReduceError` if some chunks order their categories unlike the values themselves."""
    ordered = [dtype.categories for dtype in dtypes if getattr(dtype, "ordered", False)]
    if len(dtypes) > 1 and not all(categories.is_monotonic_increasing for categories in ordered):
        raise ReduceError(
            f"{how}: the order of categories is not the same in every chunk; give all chunks the "
            "same ones, by .cat.set_categories(...) in the chunk function"
        )


def _pick_row(values: Values, *, is_last: bool) -> Picked:
    n_rows = len(values.series)
    rows = np.arange(n_rows) if values.rows is None else np.flatnonzero(values.rows)
    positions = np.full(values.grouping.n_groups, -1 if is_last else n_rows, dtype=np.intp)
    codes = values.codes.astype(np.intp, copy=False)
    (np.maximum if is_last else np.minimum).at(positions, codes, rows)
    groups = values.filled
    if groups is not None:
        positions = positions[groups]
    return groups, values.series.take(positions).reset_index(drop=True)


def _pick_number(values: Values, *, is_largest: bool) -> NDArray[Any]:
    dtype = values.array.dtype
    picked = _start_picking(dtype, values.grouping.n_groups, is_largest=is_largest)
    pick = np.maximum if is_largest else np.minimum
    if len(picked) == 1:
        picked[0] = pick.reduce(values.array, initial=picked[0])
    else:
        pick.at(picked, values.codes.astype(np.intp, copy=False), values.array)
    # -0.0 and 0.0 are equal, so which of them is picked would be chance.
    return picked + dtype.type(0) if dtype.kind == "f" else picked


def _start_picking(dtype: np.dtype[Any], n_groups: int, *, is_largest: bool) -> NDArray[Any]:
    if dtype.kind == "b":
        ends: tuple[Any, Any] = (True, False)
    elif dtype.kind == "f":
        ends = (np.inf, -np.inf)
    else:
        ends = (np.iinfo(dtype).max, np.iinfo(dtype).min)
    return np.full(n_groups, ends[is_largest], dtype=dtype)


@dataclass(frozen=True)
class Distinct:
    """The number of distinct values; the state holds each of them once a group."""

    def start(self, values: Values) -> Picked:
        """Return groups and their distinct values."""
        pairs, width, uniques = _pair_uniques(values)
        return pairs // width, pd.Series(uniques.take(pairs % width))

    def merge(self, states: Sequence[Picked], merging: Merging) -> Picked:
        """Return the distinct values of all."""
        return self.start(rejoin(states, merging.codes, merging.n_groups))

    def finish(self, state: Picked, answer: Answer) -> pd.Series[Any]:
        """Return the numbers of values."""
        counts = np.bincount(state[0], minlength=answer.n_groups)
        return from_numbers(counts, answer.dtype)


@dataclass(frozen=True)
class ApproxDistinct:
    """An estimate of the number of distinct values, from registers: see `hyperloglog`."""

    def start(self, values: Values) -> tuple[Any, Any]:
        """Return registers (``group * 2**precision + register``) and their ranks."""
        from taskinity_data.reducers.sketches.hyperloglog import (
            GROUP_PRECISION,
            hash_values,
            merge_registers,
            rank_hashes,
        )

        pairs, width, uniques = _pair_uniques(values)
        hashes = hash_values(pd.Series(uniques))
        registers, ranks = rank_hashes(hashes[pairs % width], GROUP_PRECISION)
        return merge_registers(((pairs // width) << GROUP_PRECISION) + registers, ranks)

    def merge(self, states: Sequence[tuple[Any, Any]], merging: Merging) -> tuple[Any, Any]:
        """Return the largest rank of each register."""
        from taskinity_data.reducers.sketches.hyperloglog import GROUP_PRECISION, merge_registers

        mask = (1 << GROUP_PRECISION) - 1
        keys = [
            (code[state[0] >> GROUP_PRECISION] << GROUP_PRECISION) + (state[0] & mask)
            for state, code in zip(states, merging.codes, strict=True)
        ]
        return merge_registers(np.concatenate(keys), np.concatenate([s[1] for s in states]))

    def finish(self, state: tuple[Any, Any], answer: Answer) -> pd.Series[Any]:
        """Return the estimates, rounded."""
        from taskinity_data.reducers.sketches.hyperloglog import GROUP_PRECISION, estimate_distinct

        estimates = estimate_distinct(*state, answer.n_groups, GROUP_PRECISION)
        return from_numbers(estimates, answer.dtype)


def _pair_uniques(values: Values) -> tuple[NDArray[np.intp], int, Any]:
    """Return ``group * width + position in uniques``, each pair once, with width and uniques."""
    codes, uniques = factorize(values.series)
    groups = values.grouping.codes.astype(np.intp, copy=False)
    is_kept = (codes >= 0) & (groups >= 0)
    if not is_kept.all():
        codes, groups = codes[is_kept], groups[is_kept]
    width = max(len(uniques), 1)
    return pd.unique(groups * width + codes), width, uniques


def rejoin(states: Sequence[Picked], codes: Sequence[Codes], n_groups: int) -> Values:
    """Concatenate the picked values of several states, in order, with their groups."""
    groups = np.concatenate(
        [
            code if state[0] is None else code[state[0]]
            for state, code in zip(states, codes, strict=True)
        ]
    )
    # States without a value may have any dtype, so they don't count if others have some.
    filled = [series for _, series in states if len(series)] or [states[0][1]]
    joined = filled[0] if len(filled) == 1 else pd.concat(filled, ignore_index=True)
    return Values(joined, Grouping(groups.astype(np.intp, copy=False), n_groups))


def aggregate_with_pandas(values: Values, how: str) -> Picked:
    """Aggregate values that are not numbers with pandas, group by group."""
    is_grouped = values.grouping.is_grouped
    series, codes = values.series, values.grouping.codes
    if is_grouped is not None:
        series, codes = series[is_grouped], codes[is_grouped]
    if not len(series):
        return np.zeros(0, dtype=np.intp), series.reset_index(drop=True)
    try:
        with localcontext(prec=DECIMAL_DIGITS):
            result: pd.Series[Any] = series.groupby(codes).agg(how)
    except (TypeError, ValueError) as error:
        raise ReduceError(
            f"{how} of column {series.name!r} ({series.dtype}): {error}", column=series.name
        ) from error
    return result.index.to_numpy(dtype=np.intp), result.reset_index(drop=True)


def finish_picked(state: Picked, answer: Answer, missing: Any = np.nan) -> pd.Series[Any]:
    """Return one item a group; `missing` (for objects) or null if nothing was picked."""
    groups, series = state
    result: pd.Series[Any]
    if groups is None:
        return series if answer.dtype is None else as_dtype(series, answer.dtype, answer.label)
    positions = np.full(answer.n_groups, -1, dtype=np.intp)
    positions[groups] = np.arange(len(groups))
    if (positions >= 0).all():
        result = series.take(positions).reset_index(drop=True)
    elif series.dtype == object:
        picked = series.to_numpy(dtype=object)
        result = pd.Series([picked[p] if p >= 0 else missing for p in positions], dtype=object)
    else:
        result = series.reindex(positions).reset_index(drop=True)  # -1 is not a label: a null
    return result if answer.dtype is None else as_dtype(result, answer.dtype, answer.label)


PICKED: dict[str, Any] = {
    "min": Picking("min"),
    "max": Picking("max"),
    "first": Picking("first"),
    "last": Picking("last"),
    "nunique": Distinct(),
    "approx_distinct": ApproxDistinct(),
}
