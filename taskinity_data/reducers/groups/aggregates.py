"""Compute the aggregates of group_by (`sum`, `mean`, `nunique`, ...) from the states of chunks.

Each aggregate has an object with these methods: `start` makes the state of a column of a chunk,
`merge` one state of several, `finish` the answer's column. Groups are numbers here. Merging the
first states and then the rest gives the same bits as merging all of them.

The states here are dense: arrays with an item a group, merged group by group in chunk order. Those
of single values are in `min_max_first_last`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.column_values import (
    DECIMAL_DIGITS,
    NOT_A_TIME,
    Answer,
    Values,
    from_numbers,
)
from taskinity_data.reducers.groups.codes import blocks
from taskinity_data.reducers.groups.grouping import Grouping, Merging
from taskinity_data.reducers.groups.sums import (
    Moments,
    add_floats,
    add_integers,
    add_moments,
    fit_integers,
    floats_of_integers,
    sum_moments,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["HOWS", "How", "aggregate_of", "answer_dtype"]

HOWS = (
    "sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique",
    "approx_distinct",
)  # fmt: skip

SumState = tuple[str, Any, Any]
Spread = tuple[str, tuple[Any, ...]]  # the fields of Moments


class How(Protocol):
    """An aggregate of group_by."""

    def start(self, values: Values) -> Any:
        """Return the state of one chunk."""

    def merge(self, states: Sequence[Any], merging: Merging) -> Any:
        """Merge states, in chunk order."""

    def finish(self, state: Any, answer: Answer) -> pd.Series[Any]:
        """Return the answer, one item a group."""


def answer_dtype(column: pd.Series[Any], how: str) -> Any:
    """Return the dtype of pandas' answer for a column like `column` (without rows).

    None if that depends on the values of a column of objects.

    Raises
    ------
    ReduceError
        pandas can't compute `how` of such a column.
    """
    if how == "approx_distinct":
        return np.dtype(np.int64)
    if column.dtype == object:
        # The type of the objects decides over the others; means of decimals are floats as objects.
        return column.dtype if how in {"mean", "var"} else None
    if how in _DENSE and column.dtype in (np.float16, np.float32) and how != "count":
        return np.dtype(np.float32)  # without rows, pandas has other dtypes for some of them
    try:
        return column.groupby(np.zeros(0, dtype=np.intp)).agg(how).dtype
    except TypeError as error:
        raise ReduceError(f"{how} of column {column.name!r} ({column.dtype}): {error}") from error


class Counting:
    """Counts of rows that are not null."""

    def start(self, values: Values) -> NDArray[np.int64]:
        """Return the counts."""
        return values.counts

    def merge(self, states: Sequence[NDArray[np.int64]], merging: Merging) -> NDArray[np.int64]:
        """Add the counts."""

        def add() -> NDArray[np.int64]:
            total = np.zeros(merging.n_groups, dtype=np.int64)
            for state, code in zip(states, merging.codes, strict=True):
                total[code] += state
            return total

        return merging.once(states, add)  # type: ignore[no-any-return]

    def finish(self, state: NDArray[np.int64], answer: Answer) -> pd.Series[Any]:
        """Return the counts."""
        return from_numbers(state, answer.dtype)


class Summing:
    """Exact sums of integers, compensated sums of floats; pandas adds other types.

    The state is (kind, ...): integers and floats are pairs of arrays, objects are single values.
    Times are integers whose kind is their dtype, since their unit depends on it.
    """

    def start(self, values: Values) -> SumState:
        """Return the sums."""
        if values.dtype.kind == "M":
            name = values.series.name
            where = "" if name is None else f"column {name!r}: "
            raise ReduceError(f"{where}times can't be added")
        if values.numbers is not None:
            return _sum_numbers(values)
        is_valid = values.is_valid
        if is_valid is not None:
            # Without the nulls, with which pandas' sum of bools would become an integer.
            codes, n_groups = values.grouping.codes[is_valid], values.grouping.n_groups
            values = Values(values.series[is_valid], Grouping(codes, n_groups))
        if values.series.empty:
            return "nothing", None, None
        if str(values.dtype).startswith("decimal"):  # whose sums Arrow lets wrap around
            wide = pd.ArrowDtype(pa.decimal256(76, values.dtype.pyarrow_dtype.scale))
            values = Values(values.series.astype(wide), values.grouping)
        from taskinity_data.reducers.groups.min_max_first_last import aggregate_with_pandas

        return ("objects", *aggregate_with_pandas(values, "sum"))

    def merge(self, states: Sequence[SumState], merging: Merging) -> SumState:
        """Add the sums."""
        codes = merging.codes
        present = [i for i, (kind, _, _) in enumerate(states) if kind != "nothing"]
        if not present:
            return "nothing", None, None
        filled = [i for i in present if len(codes[i])] or present[:1]
        kinds = {states[i][0] for i in filled}
        if not kinds <= {"integers", "floats"}:
            _check_one_kind("sum", kinds)
        if "objects" in kinds:
            from taskinity_data.reducers.groups.min_max_first_last import (
                aggregate_with_pandas,
                rejoin,
            )

            picked = [states[i][1:] for i in filled]
            joined = rejoin(picked, [codes[i] for i in filled], merging.n_groups)
            return ("objects", *aggregate_with_pandas(joined, "sum"))
        (kind_of_sum, *_) = sorted(kinds)  # "floats" where there are both
        sums = merging.once(
            [states[i][1] for i in filled],
            lambda: _add_sums([states[i] for i in filled], [codes[i] for i in filled], merging),
        )
        return (kind_of_sum, *sums)

    def finish(self, state: SumState, answer: Answer) -> pd.Series[Any]:
        """Return the sums; raise `ReduceError` if an integer does not fit."""
        kind, high, low = state
        dtype = answer.dtype
        if kind == "nothing":
            return _sum_of_nothing(answer)
        if kind == "objects":
            from taskinity_data.reducers.groups.min_max_first_last import finish_picked

            try:
                sums = finish_picked((high, low), answer)
            except pa.ArrowInvalid as error:
                raise ReduceError(
                    f"{answer.label}: it does not fit {answer.dtype}: {error}"
                ) from error
            is_missing = np.ones(answer.n_groups, dtype=np.bool_)
            is_missing[slice(None) if high is None else high] = False
            return sums.where(~is_missing, _sum_of_nothing(answer)) if is_missing.any() else sums
        if kind == "floats":
            with np.errstate(over="ignore"):
                return pd.Series(high + low).astype(dtype or np.float64)
        if dtype is None:
            dtype = np.dtype(np.int64)
        if _is_time(kind, dtype):
            counts = fit_integers((high, low), np.dtype(np.int64), answer.label)
            return _as_times(counts, kind, dtype)
        if dtype.kind == "f":
            return pd.Series(floats_of_integers((high, low))[0]).astype(dtype)
        fitting = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        wide = fit_integers((high, low), np.dtype(f"{fitting.kind}8"), answer.label)
        limits = np.iinfo(fitting)
        if ((wide < limits.min) | (wide > limits.max)).any():
            return from_numbers(wide, _widen(dtype, wide.dtype))
        return from_numbers(wide.astype(fitting), dtype)


def _widen(dtype: Any, wide: np.dtype[Any]) -> Any:
    """Return the dtype of pandas' sums of `dtype` if one of them needs 64 bits."""
    if isinstance(dtype, pd.ArrowDtype):
        return pd.ArrowDtype(pa.from_numpy_dtype(wide))
    if isinstance(dtype, np.dtype):
        return wide
    return pd.Int64Dtype() if wide.kind == "i" else pd.UInt64Dtype()


class Averaging:
    """Means, from sums and counts."""

    def start(self, values: Values) -> tuple[SumState, NDArray[np.int64]]:
        """Return sum and count."""
        is_decimal = str(values.dtype).startswith("decimal")
        return (Summing().start if is_decimal else _sum_numbers)(values), values.counts

    def merge(
        self, states: Sequence[tuple[SumState, NDArray[np.int64]]], merging: Merging
    ) -> tuple[SumState, NDArray[np.int64]]:
        """Add both."""
        return (
            Summing().merge([sums for sums, _ in states], merging),
            Counting().merge([counts for _, counts in states], merging),
        )

    def finish(self, state: tuple[SumState, NDArray[np.int64]], answer: Answer) -> pd.Series[Any]:
        """Return sum / count; null where the count is 0.

        Times are exact, rounded towards zero; Arrow's decimals too, rounded half away from it.
        """
        (kind, high, low), counts = state
        if kind in {"objects", "nothing"}:
            totals = Summing().finish(state[0], answer._replace(dtype=None))
            return _divide_decimals(totals, counts, answer.dtype)
        if _is_time(kind, answer.dtype):
            sums = zip(high.tolist(), low.tolist(), counts.tolist(), strict=True)
            exact = [_divide((h << 32) + rest, n) if n else NOT_A_TIME for h, rest, n in sums]
            return _as_times(np.array(exact, dtype=np.int64), kind, answer.dtype)
        if kind == "integers":
            high, low = floats_of_integers((high, low))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            means = (high + low) / counts
        return _as_nullable(means, counts > 0, answer.dtype)


class Spreading(NamedTuple):
    """Variances, or standard deviations if `is_root` (ddof 1)."""

    is_root: bool

    def start(self, values: Values) -> Spread:
        """Return the kind, and the moments: count, mean, squared deviations."""
        if values.dtype.kind == "M":
            raise ReduceError(
                f"column {values.series.name!r}: std and var of times are not supported; subtract "
                "a time first"
            )
        moments = sum_moments(values.array, values.codes, values.grouping.n_groups)
        return _time_kind(values), tuple(moments)

    def merge(self, states: Sequence[Spread], merging: Merging) -> Spread:
        """Add the moments."""
        codes = merging.codes
        filled = [kind for (kind, _), code in zip(states, codes, strict=True) if len(code)]
        kinds = set(filled or [states[0][0]])
        _check_one_kind("std or var", {kind or "numbers" for kind in kinds})
        total = Moments(*np.zeros((len(Moments._fields), merging.n_groups)))
        for (_, state), code in zip(states, codes, strict=True):
            current = add_moments(Moments(*(part[code] for part in total)), Moments(*state))
            for part, added in zip(total, current, strict=True):
                part[code] = added
        return kinds.pop(), tuple(total)

    def finish(self, state: Spread, answer: Answer) -> pd.Series[Any]:
        """Return the spreads; null for groups of fewer than two values."""
        n, _, _, squares = state[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            spreads = squares / (n - 1)
        if self.is_root:
            spreads = np.sqrt(spreads)
        if _is_time(state[0], answer.dtype):
            counts = np.where(n > 1, spreads, NOT_A_TIME).astype(np.int64)
            return _as_times(counts, state[0], answer.dtype)
        return _as_nullable(spreads, n > 1, answer.dtype)


def _sum_numbers(values: Values) -> SumState:
    kind = "floats" if values.array.dtype.kind == "f" else "integers"
    return _time_kind(values) or kind, *values.sums


def _time_kind(values: Values) -> str:
    """Return the dtype of times, which has their unit; ``""`` for numbers."""
    dtype = values.dtype
    return str(dtype) if dtype.kind in "mM" else ""


def _divide(total: int, count: int) -> int:
    return total // count if total >= 0 else -(-total // count)


def _divide_decimals(sums: pd.Series[Any], counts: NDArray[np.int64], dtype: Any) -> pd.Series[Any]:
    with localcontext(prec=DECIMAL_DIGITS):
        means = [total / n if n else None for total, n in zip(sums, counts.tolist(), strict=True)]
        if not isinstance(dtype, pd.ArrowDtype):
            return pd.Series(means, dtype=np.float64).astype(dtype or np.float64)
        digit = Decimal(1).scaleb(-dtype.pyarrow_dtype.scale)
        means = [mean and mean.quantize(digit, ROUND_HALF_UP) for mean in means]
    return pd.Series(means, dtype=dtype)


def _is_time(kind: str, dtype: Any) -> bool:
    return kind.startswith(_TIMES) or (dtype is not None and dtype.kind in "mM")


def _as_times(counts: NDArray[np.int64], kind: str, dtype: Any) -> pd.Series[Any]:
    """Return times from counts of `kind`; chunks without rows may have another unit."""
    time_dtype = pd.api.types.pandas_dtype(kind) if kind.startswith(_TIMES) else dtype
    times = from_numbers(counts, time_dtype)
    return times.astype(dtype) if dtype is not None and dtype.kind in "mM" else times


_TIMES = ("datetime", "timedelta", "timestamp", "duration")


def _check_one_kind(how: str, kinds: set[str]) -> None:
    if len(kinds) > 1:
        text = " in one chunk, ".join(sorted(kinds))
        raise ReduceError(
            f"{how}: a column has {text} in another; give it one dtype in every chunk, with "
            ".astype(...) in the chunk function"
        )


def _add_sums(
    states: Sequence[SumState], codes: Sequence[NDArray[np.intp]], merging: Merging
) -> tuple[Any, Any]:
    is_float = any(kind == "floats" for kind, _, _ in states)
    total: Any = np.zeros((2, merging.n_groups), np.float64 if is_float else np.int64)
    for number, ((kind, high, low), code) in enumerate(zip(states, codes, strict=True)):
        pair: Any = (high, low)
        if is_float and kind == "integers":
            pair = floats_of_integers(pair)
        if number == 0:
            total[0][code], total[1][code] = pair
            continue
        # Only the groups of this state: it may have a thousandth of all.
        for rows in blocks(len(code)):
            groups, more = code[rows], (pair[0][rows], pair[1][rows])
            current = (total[0][groups], total[1][groups])
            added = add_floats(current, more) if is_float else add_integers(current, more)
            total[0][groups], total[1][groups] = added
    return total[0], total[1]


def _sum_of_nothing(answer: Answer) -> pd.Series[Any]:
    """Return pandas' sums of nulls only: 0, or ``""`` for texts."""
    nulls = pd.Series([None] * answer.n_groups, dtype=answer.dtype or object)
    try:
        return nulls.groupby(np.arange(answer.n_groups)).sum().reset_index(drop=True)
    except TypeError as error:
        raise ReduceError(f"{answer.label}: {error}") from error


def _as_nullable(
    numbers: NDArray[np.float64], is_valid: NDArray[np.bool_], dtype: Any
) -> pd.Series[Any]:
    return pd.Series(np.where(is_valid, numbers, np.nan)).astype(dtype or np.float64)


_DENSE: dict[str, How] = {
    "sum": Summing(),
    "count": Counting(),
    "mean": Averaging(),
    "var": Spreading(is_root=False),
    "std": Spreading(is_root=True),
}


def aggregate_of(how: str) -> How:
    """Return the aggregate `how`, of `HOWS`."""
    if how in _DENSE:
        return _DENSE[how]
    from taskinity_data.reducers.groups.min_max_first_last import PICKED

    aggregate: How = PICKED[how]
    return aggregate
