"""What group_by's words (`sum`, `mean`, `nunique`, ...) keep of a chunk and make of it.

Each word has an object with these verbs: `start` makes a state of a column of a chunk, `merge` one
state of several, `finish` the answer's column; `flatten` and `restore` are for states that are
stored in between. It knows nothing of keys or frames: groups are
numbers here.

The states here are dense: arrays with an item a group, merged group by group in chunk order. Those
of single values are in `min_max_first_last`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.column_values import NOT_A_TIME, Answer, Parts, Values, from_numbers
from taskinity_data.reducers.grouping import Grouping
from taskinity_data.reducers.min_max_first_last import (
    ApproxDistinct,
    Distinct,
    Picking,
    ask_pandas,
    finish_picked,
    rejoin,
)
from taskinity_data.reducers.sums import (
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

__all__ = ["HOWS", "How", "answer_dtype"]

Codes = Any  # NDArray[np.intp]: the merged group of each group of one state
SumState = tuple[str, Any, Any]
Spread = tuple[str, Moments]


class How(Protocol):
    """One word of group_by."""

    def start(self, values: Values) -> Any:
        """The state of one chunk."""

    def merge(self, states: Sequence[Any], codes: Sequence[Codes]) -> Any:
        """One state of several in chunk order; ``codes[i][j]``: what group j of state i becomes."""

    def finish(self, state: Any, answer: Answer) -> pd.Series[Any]:
        """The answer, one item a group."""

    def flatten(self, state: Any) -> Parts:
        """The state as columns, so that it can be split by groups and stored."""

    def restore(self, parts: Parts) -> Any:
        """The state that such columns, or some groups' items of them, are."""


def answer_dtype(column: pd.Series[Any], how: str) -> Any:
    """The dtype of pandas' own answer for a column like `column` (without rows).

    None where that depends on what a column of objects holds.

    Raises
    ------
    ReduceError
        pandas can't compute `how` of such a column.
    """
    if how == "approx_distinct":
        return np.dtype(np.int64)
    if column.dtype == object:
        # What objects are decides over the others; means of decimals are floats as objects.
        return column.dtype if how in {"mean", "var"} else None
    if how == "mean" and column.dtype == np.float32:
        return column.dtype  # pandas says float64 where there are no rows, float32 where there are
    try:
        return column.groupby(np.zeros(0, dtype=np.intp)).agg(how).dtype
    except TypeError as error:
        raise ReduceError(f"{how} of column {column.name!r} ({column.dtype}): {error}") from error


@dataclass(frozen=True)
class Counting:
    """Rows that are not null."""

    def start(self, values: Values) -> NDArray[np.int64]:
        """Counts."""
        return values.counts

    def merge(
        self, states: Sequence[NDArray[np.int64]], codes: Sequence[Codes]
    ) -> NDArray[np.int64]:
        """Their sums."""
        total = np.zeros(_count_groups(codes), dtype=np.int64)
        for state, code in zip(states, codes, strict=True):
            total[code] += state
        return total

    def finish(self, state: NDArray[np.int64], answer: Answer) -> pd.Series[Any]:
        """The counts."""
        return from_numbers(state, answer.dtype)

    def flatten(self, state: NDArray[np.int64]) -> Parts:
        """One column."""
        return Parts("", None, (state,))

    def restore(self, parts: Parts) -> NDArray[np.int64]:
        """It."""
        return parts.columns[0]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Summing:
    """Exact sums of integers, compensated sums of floats; what else can be added, pandas adds.

    The state is (kind, ...): integers and floats are pairs of arrays, objects are picked. Times are
    integers whose kind is their dtype, since what one counts depends on it.
    """

    def start(self, values: Values) -> SumState:
        """Sums."""
        if values.series.dtype.kind == "M":
            raise ReduceError(f"column {values.series.name!r}: times can't be added")
        if values.numbers is not None:
            return _sum_numbers(values)
        is_valid = values.is_valid
        if is_valid is not None:
            # What pandas takes for nulls, beside which a sum of bools would turn into an integer.
            if not is_valid.any():
                return "nothing", None, None
            codes, n_groups = values.grouping.codes[is_valid], values.grouping.n_groups
            values = Values(values.series[is_valid], Grouping(codes, n_groups))
        return ("objects", *ask_pandas(values, "sum"))

    def merge(self, states: Sequence[SumState], codes: Sequence[Codes]) -> SumState:
        """Their sums."""
        there = [i for i, (kind, _, _) in enumerate(states) if kind != "nothing"]
        if not there:
            return "nothing", None, None
        filled = [i for i in there if len(codes[i])] or there[:1]
        kinds = {states[i][0] for i in filled}
        if not kinds <= {"integers", "floats"}:
            _check_one_kind("sum", kinds)
        if "objects" in kinds:
            joined = rejoin([states[i][1:] for i in filled], [codes[i] for i in filled])
            return ("objects", *ask_pandas(joined, "sum"))
        (found, *_) = sorted(kinds)  # "floats" where there are both
        is_float = found == "floats"
        total: Any = np.zeros((2, _count_groups(codes)), np.float64 if is_float else np.int64)
        for i in filled:
            kind, high, low = states[i]
            pair: Any = (high, low)
            if is_float and kind == "integers":
                pair = floats_of_integers(pair)
            # Only the groups that this state has (it may be a thousandth of all), and the first
            # state like the others, so that a group's sum does not depend on other groups.
            here = (total[0][codes[i]], total[1][codes[i]])
            added = add_floats(here, pair) if is_float else add_integers(here, pair)
            total[0][codes[i]], total[1][codes[i]] = added
        return (found, total[0], total[1])

    def finish(self, state: SumState, answer: Answer) -> pd.Series[Any]:
        """The sums; `ReduceError` where an integer does not fit."""
        kind, high, low = state
        dtype = answer.dtype
        if kind == "nothing":
            return _sum_of_nothing(answer)
        if kind == "objects":
            sums = finish_picked((high, low), answer)
            is_missing = np.ones(answer.n_groups, dtype=np.bool_)
            is_missing[high] = False
            return sums.where(~is_missing, _sum_of_nothing(answer)) if is_missing.any() else sums
        if kind == "floats":
            with np.errstate(over="ignore"):
                return pd.Series(high + low).astype(dtype or np.float64)
        if dtype is None:
            dtype = np.dtype(np.int64)
        if _is_time(kind, dtype):
            counts = fit_integers((high, low), np.dtype(np.int64), answer.what)
            return _as_times(counts, kind, dtype)
        if dtype.kind == "f":
            return pd.Series(floats_of_integers((high, low))[0]).astype(dtype)
        fitting = np.dtype(getattr(dtype, "numpy_dtype", dtype))
        found = fit_integers((high, low), np.dtype(f"{fitting.kind}8"), answer.what)
        limits = np.iinfo(fitting)
        if ((found < limits.min) | (found > limits.max)).any():
            return from_numbers(found, _widen(dtype, found.dtype))
        return from_numbers(found.astype(fitting), dtype)

    def flatten(self, state: SumState) -> Parts:
        """Two columns, none for nulls alone; of objects those that were picked."""
        kind, high, low = state
        if kind == "nothing":
            return Parts(kind, None, ())
        return Parts(kind, high, (low,)) if kind == "objects" else Parts(kind, None, (high, low))

    def restore(self, parts: Parts) -> SumState:
        """Their triple."""
        if parts.kind == "nothing":
            return "nothing", None, None
        first = parts.columns[0]
        second = first if parts.kind == "objects" else parts.columns[1]
        return parts.kind, parts.groups if parts.kind == "objects" else first, second


def _widen(dtype: Any, wide: np.dtype[Any]) -> Any:
    """The dtype of pandas' own sums of `dtype` where one of them needs 64 bits."""
    if isinstance(dtype, pd.ArrowDtype):
        return pd.ArrowDtype(pa.from_numpy_dtype(wide))
    if isinstance(dtype, np.dtype):
        return wide
    return pd.Int64Dtype() if wide.kind == "i" else pd.UInt64Dtype()


@dataclass(frozen=True)
class Averaging:
    """Means, from sums and counts."""

    def start(self, values: Values) -> tuple[SumState, NDArray[np.int64]]:
        """Sum and count."""
        return _sum_numbers(values), values.counts

    def merge(
        self, states: Sequence[tuple[SumState, NDArray[np.int64]]], codes: Sequence[Codes]
    ) -> tuple[SumState, NDArray[np.int64]]:
        """Both added."""
        return (
            Summing().merge([sums for sums, _ in states], codes),
            Counting().merge([counts for _, counts in states], codes),
        )

    def finish(self, state: tuple[SumState, NDArray[np.int64]], answer: Answer) -> pd.Series[Any]:
        """Sum by count; null where the count is 0. Times are exact, rounded towards zero."""
        (kind, high, low), counts = state
        if _is_time(kind, answer.dtype):
            sums = zip(high.tolist(), low.tolist(), counts.tolist(), strict=True)
            exact = [_divide((h << 32) + rest, n) if n else NOT_A_TIME for h, rest, n in sums]
            return _as_times(np.array(exact, dtype=np.int64), kind, answer.dtype)
        if kind == "integers":
            high, low = floats_of_integers((high, low))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            means = (high + low) / counts
        return _as_nullable(means, counts > 0, answer.dtype)

    def flatten(self, state: tuple[SumState, NDArray[np.int64]]) -> Parts:
        """Sums, then counts."""
        kind, groups, columns = Summing().flatten(state[0])
        return Parts(kind, groups, (*columns, state[1]))

    def restore(self, parts: Parts) -> tuple[SumState, NDArray[np.int64]]:
        """The pair of both."""
        *sums, counts = parts.columns
        return Summing().restore(parts._replace(columns=tuple(sums))), counts


@dataclass(frozen=True)
class Spreading:
    """Variances, or standard deviations where `is_root` (ddof 1)."""

    is_root: bool

    def start(self, values: Values) -> Spread:
        """Kind; count, mean, squared deviations."""
        if values.series.dtype.kind == "M":
            raise ReduceError(
                f"column {values.series.name!r}: no std or var of times; subtract a time first"
            )
        moments = sum_moments(values.array, values.codes, values.grouping.n_groups)
        return _time_kind(values), moments

    def merge(self, states: Sequence[Spread], codes: Sequence[Codes]) -> Spread:
        """The moments of all."""
        filled = [kind for (kind, _), code in zip(states, codes, strict=True) if len(code)]
        kinds = set(filled or [states[0][0]])
        _check_one_kind("std or var", {kind or "numbers" for kind in kinds})
        total = Moments(*np.zeros((len(Moments._fields), _count_groups(codes))))
        for (_, state), code in zip(states, codes, strict=True):
            here = add_moments(Moments(*(part[code] for part in total)), state)
            for part, added in zip(total, here, strict=True):
                part[code] = added
        return kinds.pop(), total

    def finish(self, state: Spread, answer: Answer) -> pd.Series[Any]:
        """Null for groups of fewer than two values."""
        n, squares = state[1].n, state[1].squares
        with np.errstate(invalid="ignore", divide="ignore"):
            found = squares / (n - 1)
        if self.is_root:
            found = np.sqrt(found)
        if _is_time(state[0], answer.dtype):
            counts = np.where(n > 1, found, NOT_A_TIME).astype(np.int64)
            return _as_times(counts, state[0], answer.dtype)
        return _as_nullable(found, n > 1, answer.dtype)

    def flatten(self, state: Spread) -> Parts:
        """Four columns."""
        return Parts(state[0], None, tuple(state[1]))

    def restore(self, parts: Parts) -> Spread:
        """Their moments."""
        return parts.kind, Moments(*parts.columns)


def _sum_numbers(values: Values) -> SumState:
    kind = "floats" if values.array.dtype.kind == "f" else "integers"
    return _time_kind(values) or kind, *values.sums


def _time_kind(values: Values) -> str:
    """The dtype of times, which says what one counts; ``""`` for numbers."""
    dtype = values.series.dtype
    return str(dtype) if dtype.kind in "mM" else ""


def _divide(total: int, count: int) -> int:
    return total // count if total >= 0 else -(-total // count)


def _is_time(kind: str, dtype: Any) -> bool:
    return kind.startswith(_TIMES) or (dtype is not None and dtype.kind in "mM")


def _as_times(counts: NDArray[np.int64], kind: str, dtype: Any) -> pd.Series[Any]:
    """Times from counts of `kind`, whatever else chunks without rows have there: another unit."""
    own = pd.api.types.pandas_dtype(kind) if kind.startswith(_TIMES) else dtype
    found = from_numbers(counts, own)
    return found.astype(dtype) if dtype is not None and dtype.kind in "mM" else found


_TIMES = ("datetime", "timedelta")


def _check_one_kind(how: str, kinds: set[str]) -> None:
    if len(kinds) > 1:
        found = " in one chunk, ".join(sorted(kinds))
        raise ReduceError(
            f"{how}: a column holds {found} in another; give it one dtype in every chunk, by "
            ".astype(...) in the chunk function"
        )


def _count_groups(codes: Sequence[Codes]) -> int:
    # Every merged group comes from a group of some state.
    return 1 + max((int(code.max()) for code in codes if len(code)), default=-1)


def _sum_of_nothing(answer: Answer) -> pd.Series[Any]:
    """What pandas makes of nulls alone: 0, ``""`` for texts."""
    nulls = pd.Series([None] * answer.n_groups, dtype=answer.dtype or object)
    sums: pd.Series[Any] = nulls.groupby(np.arange(answer.n_groups)).sum()
    return sums.astype(answer.dtype or object).reset_index(drop=True)


def _as_nullable(
    numbers: NDArray[np.float64], is_valid: NDArray[np.bool_], dtype: Any
) -> pd.Series[Any]:
    return pd.Series(np.where(is_valid, numbers, np.nan)).astype(dtype or np.float64)


HOWS: dict[str, How] = {
    "sum": Summing(),
    "count": Counting(),
    "mean": Averaging(),
    "min": Picking("min"),
    "max": Picking("max"),
    "var": Spreading(is_root=False),
    "std": Spreading(is_root=True),
    "first": Picking("first"),
    "last": Picking("last"),
    "nunique": Distinct(),
    "approx_distinct": ApproxDistinct(),
}
