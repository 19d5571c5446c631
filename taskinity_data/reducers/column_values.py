"""Convert a column of a chunk to numbers and groups; each form is computed once, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.cached_property import cached_property
from taskinity_data.reducers.groups.codes import count_codes
from taskinity_data.reducers.groups.sums import sum_floats, sum_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from taskinity_data.reducers.groups.grouping import Grouping

__all__ = ["DECIMAL_DIGITS", "NOT_A_TIME", "Answer", "Numbers", "Values", "from_numbers"]

NOT_A_TIME = int(np.iinfo(np.int64).min)
"""The integer that pandas uses for NaT."""

DECIMAL_DIGITS = 100
"""Arrow's widest decimals have 76 digits; Python's default of 28 would round their sums."""


class Numbers(NamedTuple):
    """A column as numbers: integers, floats, bools, or the 64-bit counts behind times.

    `is_valid` is None if no row is null; the number at a null is arbitrary.
    """

    array: NDArray[Any]
    is_valid: NDArray[np.bool_] | None


class Answer(NamedTuple):
    """A requested answer: one item a group, as `dtype` (None: any); `label` is for messages."""

    n_groups: int
    dtype: Any
    label: str


class Values:
    """A column of a chunk and the groups of its rows."""

    def __init__(
        self, column: pd.Series[Any] | NDArray[Any], grouping: Grouping, name: Any = None
    ) -> None:
        self._column, self._name = column, name
        self.dtype: Any = column.dtype
        self.grouping = grouping

    @cached_property
    def series(self) -> pd.Series[Any]:
        """The column as a Series."""
        column = self._column
        if isinstance(column, pd.Series):
            return column
        return pd.Series(column, name=self._name, copy=False)

    @cached_property
    def numbers(self) -> Numbers | None:
        """The column as numbers, None for other types: texts, categories, objects, decimals."""
        dtype = self.dtype
        if isinstance(dtype, np.dtype):
            if dtype.kind in "iub":
                return Numbers(np.asarray(self._column), None)
            if dtype.kind == "f":
                return _with_validity(np.asarray(self._column), np.isnan)
            if dtype.kind in "mM":
                return _with_validity(self._counts, _is_not_a_time)
            return None
        if isinstance(dtype, pd.DatetimeTZDtype):
            return _with_validity(self._counts, _is_not_a_time)
        if dtype.kind in "iubf" and hasattr(dtype, "numpy_dtype"):
            # Arrow's booleans don't accept 0 for a null.
            filler = False if dtype.kind == "b" else 0
            array = self.series.to_numpy(dtype=dtype.numpy_dtype, na_value=filler)
            is_null = self.series.isna().to_numpy()
            return Numbers(array, ~is_null if is_null.any() else None)
        return None

    @property
    def _counts(self) -> NDArray[np.int64]:
        array: Any = self.series.array
        return np.asarray(array.view("i8"))

    @cached_property
    def floats(self) -> Numbers:
        """The column as floats, also of objects that are numbers (`decimal.Decimal`).

        Times of Arrow are counts, as those of numpy in `numbers`.

        Raises
        ------
        ReduceError
            It holds a value that is not a number.
        """
        if self.numbers is not None:
            return self.numbers
        if _holds_arrow_times(self.dtype):
            counts = pa.array(self.series).cast(pa.int64()).fill_null(NOT_A_TIME)
            return _with_validity(counts.to_numpy(zero_copy_only=False), _is_not_a_time)
        kind = pd.api.types.infer_dtype(self.series, skipna=True)
        is_arrow_decimal = str(self.series.dtype).startswith("decimal")
        if not is_arrow_decimal and kind not in _KINDS_OF_NUMBERS:
            content = "no numbers" if kind == "unknown-array" else f"{kind}, not numbers"
            named = f"column {self.series.name!r} ({self.series.dtype}) holds {content}"
            dtype = "boolean" if kind == "boolean" else "float64"
            raise ReduceError(
                f'{named}; convert it in the chunk function, for example by .astype("{dtype}")',
                column=self.series.name,
            )
        is_null = self.series.isna().to_numpy()
        array = self.series.where(~is_null, 0).to_numpy().astype(np.float64)
        return Numbers(array, ~is_null)

    @cached_property
    def is_valid(self) -> NDArray[np.bool_] | None:
        """Which rows are not null; None: all of them."""
        if self.numbers is not None:
            return self.numbers.is_valid
        is_null = self.series.isna().to_numpy()
        return ~is_null if is_null.any() else None

    @cached_property
    def rows(self) -> NDArray[np.bool_] | None:
        """Which rows have a group and are not null; None: all of them."""
        masks = [mask for mask in (self.is_valid, self.grouping.is_grouped) if mask is not None]
        return np.logical_and.reduce(masks) if masks else None

    @cached_property
    def codes(self) -> NDArray[np.integer[Any]]:
        """The groups of `rows`."""
        if self.is_valid is None:
            return self.grouping.grouped_codes
        if self.rows is None:
            return self.grouping.codes
        if self.grouping.n_groups == 1:  # pages of zeros that nobody reads are free
            return np.zeros(np.count_nonzero(self.rows), dtype=np.intp)
        return self.grouping.codes[self.rows]

    @cached_property
    def array(self) -> NDArray[Any]:
        """The numbers of `rows`; see `floats` for errors."""
        array = self.floats.array
        return array if self.rows is None else array[self.rows]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of such rows of each group; of columns without nulls the same array."""
        if self.is_valid is None:
            return self.grouping.counts
        if self.grouping.n_groups == 1:
            return np.array([len(self.codes)])
        return count_codes(self.codes, self.grouping.n_groups)

    @property
    def filled(self) -> NDArray[np.intp] | None:
        """The groups that have such rows; None: all of them."""
        groups = np.flatnonzero(self.counts)
        return None if len(groups) == self.grouping.n_groups else groups

    @cached_property
    def sums(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The sum of each group, as returned by `sum_floats` or `sum_integers`."""
        array, n_groups = self.array, self.grouping.n_groups
        if array.dtype.kind == "f":
            return sum_floats(array.astype(np.float64, copy=False), self.codes, n_groups)
        return sum_integers(array, self.codes, n_groups)


_KINDS_OF_NUMBERS = frozenset({"decimal", "integer", "floating", "mixed-integer-float", "empty"})


def _with_validity(array: NDArray[Any], is_null_of: Any) -> Numbers:
    is_null = is_null_of(array)
    return Numbers(array, ~is_null if is_null.any() else None)


def _is_not_a_time(array: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.equal(array, NOT_A_TIME)


def _holds_arrow_times(dtype: Any) -> bool:
    type_ = getattr(dtype, "pyarrow_dtype", None)
    return type_ is not None and bool(pat.is_timestamp(type_) or pat.is_duration(type_))


def from_numbers(array: NDArray[Any], dtype: Any) -> pd.Series[Any]:
    """Return a column of `dtype` from numbers as in `Values.numbers`, all of them valid."""
    if isinstance(dtype, pd.DatetimeTZDtype):
        times = pd.Series(array.view(f"M8[{dtype.unit}]"))
        return times.dt.tz_localize("UTC").dt.tz_convert(dtype.tz)
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return pd.Series(array.view(dtype))
    values: Any = array
    if _holds_arrow_times(dtype):
        values = pa.array(array, mask=_is_not_a_time(array)).cast(dtype.pyarrow_dtype)
    column: pd.Series[Any] = pd.Series(values, dtype=dtype)
    return column
