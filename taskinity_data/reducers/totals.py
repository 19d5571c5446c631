"""Reduce all rows to totals: sum, mean, min, max of every column of numbers.

They are group-bys with a single group, or, for Series with labels, a group a label. Their states
are in `groups.aggregates`.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_list_like, is_numeric_dtype

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import ReduceError
from taskinity_data.reducers.base import RowReducer
from taskinity_data.reducers.column_totals import (
    Columns,
    merge_columns,
    split_states,
    start_columns,
)
from taskinity_data.reducers.column_values import Answer, Values
from taskinity_data.reducers.groups.aggregates import aggregate_of, answer_dtype
from taskinity_data.reducers.groups.group_states import merge_groups, start_groups
from taskinity_data.reducers.groups.grouping import Grouping, Merging, order_groups
from taskinity_data.reducers.inputs import (
    ChunkColumns,
    check_unique,
    join_empty,
    to_columns,
)
from taskinity_data.reducers.row_labels import SeriesRows, read_result

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Labelled", "SeriesState", "Single", "max", "mean", "min", "sum",
]  # fmt: skip

_SCALARS = numbers.Number, np.generic, datetime, timedelta  # those of pandas are of these classes


class Labelled(NamedTuple):
    """The groups of Series whose labels are the keys; `levels` are the names of the index, `name`
    is that of the Series: each None if chunks differ, as in `pandas.concat`.
    """

    groups: dict[str, Any]
    levels: tuple[Any, ...]
    name: Any = None


class SeriesState(NamedTuple):
    """The states of a Series of rows: those of its single column."""

    columns: Columns


class Single(NamedTuple):
    """The state of numbers that chunk functions returned."""

    state: Any
    empty: pd.Series[Any]


Partial = Columns | SeriesState | Labelled | Single


@dataclass(frozen=True, repr=False)
class Total(RowReducer):
    """See `sum`, `mean`, `min`, `max`."""

    how: str
    columns_: tuple[str, ...] | None = None
    is_single: bool = False

    @property
    def name(self) -> str:
        """`how`."""
        return self.how

    def columns(self) -> tuple[str, ...] | None:
        """Return the columns that were named; None: all."""
        return self.columns_

    def partial(self, data: Any) -> Partial | None:
        """Return the states of columns, of one column, of labels, or of a number."""
        data = read_result(data, f"{self.how}()")
        if self.columns_ is not None:
            return self._start_named(data, list(self.columns_))
        if isinstance(data, SeriesRows):
            rows = to_columns(data.to_table(_COLUMN), None, f"{self.how}()")
            assert rows is not None
            return SeriesState(start_columns(rows, [self.how], lambda _: True))
        kind = kind_of(data)
        if kind == "series":
            labels = data.index.to_frame(index=False).set_axis(range(data.index.nlevels), axis=1)
            # As a Series: of an array of objects pandas would make texts.
            items = data.set_axis(labels.index)
            columns = ChunkColumns.of_frame(labels.assign(**{_COLUMN: items}))
            groups = start_groups(columns, labels.columns, [(_COLUMN, self.how)])
            return Labelled(groups, tuple(data.index.names), data.name)
        if kind is not None:
            whole = to_columns(data, None, f"{self.how}()")
            return None if whole is None else start_columns(whole, [self.how])
        if data is None or data is pd.NA or data is pd.NaT:
            return None
        if not isinstance(data, _SCALARS) and not hasattr(data, "as_tuple"):
            raise ReduceError(
                f"{self.how}() takes frames, tables, Series, numbers and times, but a chunk "
                f"returned {describe_kind(data)}; reduce with your own reducer()"
            )
        number = pd.Series([data])
        state = aggregate_of(self.how).start(Values(number, Grouping.of_one(1)))
        return Single(state, number.iloc[:0])

    def _start_named(self, data: Any, names: list[str]) -> Partial | None:
        """Return the states of the named columns: as of a Series where it is one alone."""
        rows = to_columns(data, names, f"{self.how}()")
        if rows is None:
            return None
        if self.is_single:
            return SeriesState(start_columns(rows, [self.how], lambda _: True))
        states = start_columns(rows, [self.how])
        if texts := [name for name in names if name not in states.names]:
            raise ReduceError(
                f"{self.how}(): column {texts[0]!r} does not hold numbers; leave it out"
            )
        return states

    def notice(self, partial: Partial | None) -> str | None:
        """Return a notice for the user about `partial`, if there is one."""
        if self.how != "mean" or not isinstance(partial, (Single, Labelled)):
            return None
        return (
            "returned numbers to mean(), which counts each once, whatever the number of its rows: "
            "a mean of means, if they are means. For the mean of all rows return the rows: "
            'chunk["x"], or a frame'
        )

    def combine(self, partials: Sequence[Partial | None]) -> Partial | None:
        """Merge the states; raise `ReduceError` if chunks returned different types of results."""
        present = [partial for partial in partials if partial is not None]
        if not present:
            return None
        kinds = {type(partial) for partial in present}
        if kinds == {SeriesState, Labelled}:
            # A Series without items may be either.
            present = [partial for partial in present if not _is_empty(partial)] or present[:1]
            kinds = {type(partial) for partial in present}
        if len(kinds) > 1:
            names = sorted(_KIND_NAMES[kind] for kind in kinds)
            raise ReduceError(
                f"{self.how}(): chunks returned different types: {' and '.join(names)}"
            )
        if isinstance(present[0], Columns):
            columns = [p for p in present if isinstance(p, Columns)]
            return merge_columns(columns, [self.how], f"{self.how}()")
        if isinstance(present[0], SeriesState):
            rows = [p.columns for p in present if isinstance(p, SeriesState)]
            return SeriesState(merge_columns(rows, [self.how], f"{self.how}()"))
        if isinstance(present[0], Labelled):
            labelled = [p for p in present if isinstance(p, Labelled)]
            groups = merge_groups([p.groups for p in labelled], [self.how])
            levels = map(_common_name, zip(*(p.levels for p in labelled), strict=False))
            return Labelled(groups, tuple(levels), _common_name([p.name for p in labelled]))
        singles = [p for p in present if isinstance(p, Single)]
        state = aggregate_of(self.how).merge(
            [p.state for p in singles], Merging.of_one(len(singles))
        )
        return Single(state, join_empty([p.empty.to_frame() for p in singles])[0])

    def finish(self, partial: Partial | None) -> Any:
        """Return a Series of columns or labels, or a scalar."""
        if partial is None:
            nothing = pd.Series(dtype=np.float64) if self.is_single else pd.DataFrame()
            return self._of_frame(nothing)
        label = f"{self.how}()"
        if isinstance(partial, Labelled):
            groups = partial.groups
            keys = groups["keys"] if len(groups["keys"]) else groups["empty_keys"]
            order, index = order_groups(keys)
            column = groups["empty"][_COLUMN]
            dtype = answer_dtype(column, self.how)
            answer = aggregate_of(self.how).finish(
                groups["states"][0], Answer(len(groups["keys"]), dtype, label)
            )
            labels = index.set_names(list(partial.levels))
            return answer.take(order).set_axis(labels).rename(partial.name)
        if isinstance(partial, SeriesState):
            return self._finish_column(partial.columns)
        if isinstance(partial, Single):
            dtype = self._dtype_of_one(partial.empty)
            return aggregate_of(self.how).finish(partial.state, Answer(1, dtype, label)).iloc[0]
        if not partial.n_rows:
            return self._of_frame(partial.empty)
        return self._finish_columns(partial)

    def dump(self, partial: Partial | None) -> Any:
        """Return the partial as plain data, to be stored."""
        if partial is None:
            return None
        fields = tuple(partial.columns if isinstance(partial, SeriesState) else partial)
        return _KIND_NAMES[type(partial)], fields

    def load(self, stored: Any) -> Partial | None:
        """Return the partial that `dump` stored."""
        if stored is None:
            return None
        name, fields = stored
        if name == _KIND_NAMES[SeriesState]:
            return SeriesState(Columns(*fields))
        kinds: Any = {text: kind for kind, text in _KIND_NAMES.items()}
        return kinds[name](*fields)  # type: ignore[no-any-return]

    def _finish_column(self, partial: Columns) -> Any:
        column = partial.empty.iloc[:, 0]
        dtype = self._dtype_of_one(column)
        if not partial.n_rows:
            return getattr(column, self.how)()
        ((state,),) = partial.states.values()
        label = f"{self.how}()"
        return aggregate_of(self.how).finish(state, Answer(1, dtype, label)).iloc[0]

    def _dtype_of_one(self, column: pd.Series[Any]) -> Any:
        if is_numeric_dtype(column.dtype):
            return self._of_frame(_make_row(column.dtype)).dtype
        return answer_dtype(column, self.how)

    def _finish_columns(self, partial: Columns) -> pd.Series[Any]:
        empty = partial.empty.loc[:, partial.empty.columns.isin(list(partial.names))]
        column_dtypes = dict(empty.dtypes.items())
        # pandas' totals of a row of ones have the dtype of each answer and of all together.
        rows = {dtype: _make_row(dtype) for dtype in column_dtypes.values()}
        dtypes = {dtype: self._of_frame(row).dtype for dtype, row in rows.items()}
        answers: dict[Any, Any] = {}
        for names, (state,) in partial.states.items():
            dtype = dtypes[column_dtypes[names[0]]]
            answers |= zip(names, self._finish_states(names, state, dtype), strict=True)
        items = [answers[name] for name in empty]
        together = self._of_frame(pd.concat(rows.values(), axis=1) if rows else empty)
        try:
            total: pd.Series[Any] = pd.Series(items, index=empty.columns, dtype=together.dtype)
        except ValueError as error:  # Arrow's, which rounds nothing
            raise ReduceError(
                f"{self.how}(): one Series can't hold all answers ({error}); name a column, such "
                f"as {self.how}({empty.columns[0]!r})"
            ) from error
        return total

    def _of_frame(self, frame: pd.DataFrame | pd.Series[Any]) -> Any:
        return getattr(frame, self.how)(numeric_only=True)

    def _finish_states(self, names: tuple[Any, ...], state: Any, dtype: Any) -> pd.Series[Any]:
        label = f"{self.how}() of column {names[0]!r}"
        try:
            return aggregate_of(self.how).finish(state, Answer(len(names), dtype, label))
        except ReduceError:
            if len(names) > 1:  # to name the column
                for name, (of_name,) in split_states({names: [state]}).items():
                    self._finish_states(name, of_name, dtype)
            raise

    def __repr__(self) -> str:
        if self.columns_ is None:
            return f"{self.how}()"
        shown = self.columns_[0] if self.is_single else list(self.columns_)
        return f"{self.how}({shown!r})"


def _total(how: str, columns: Any) -> Total:
    if columns is None:
        return Total(how)
    if not is_list_like(columns):
        return Total(how, (columns,), is_single=True)
    names = tuple(columns)
    check_unique(pd.Index(names), f"{how}()")
    return Total(how, names)


def _make_row(dtype: Any) -> pd.DataFrame:
    return pd.DataFrame({0: pd.Series([1], dtype=dtype)})


def _common_name(names: Sequence[Any]) -> Any:
    return names[0] if all(name == names[0] for name in names[1:]) else None


_COLUMN = "values"
_KIND_NAMES = {
    Columns: "frames",
    SeriesState: "Series of rows",
    Labelled: "labelled Series",
    Single: "numbers",
}


def _is_empty(partial: Partial) -> bool:
    if isinstance(partial, Labelled):
        return not len(partial.groups["keys"])
    return isinstance(partial, SeriesState) and not partial.columns.n_rows


def sum(columns: str | Sequence[str] | None = None) -> Total:  # noqa: A001 - as pandas names it
    """Add up all rows, as ``DataFrame.sum(numeric_only=True)``.

    Chunks may return frames and tables (the answer is a Series, one item for each column of
    numbers), Series, columns of Arrow and polars, or numbers (the answer is a number); `min`, `max`
    and `mean` take times, too, and all take differences of times. None and NaT are ignored.

    A Series with labels from the chunk's index, in order (``chunk["x"]``, filtered or not), is
    rows: the answer is the scalar that ``frame["x"].sum()`` returns over all rows. Labels that have
    a name or are not integers (a group-by's result, ``frame.sum()``) are added label by label, as
    by ``pandas.concat(chunks).groupby(level=0).sum()``. Any other integers without a name
    (``pd.Series(np.bincount(...))``, after ``reset_index``) raise a `ReduceError`, which shows the
    line for either case.

    Parameters
    ----------
    columns : str or sequence of str, optional
        The column whose sum is the answer, a scalar, or the columns of the Series that is. No other
        column is read. Default: all columns of numbers.

    Returns
    -------
    Reducer

    Notes
    -----
    Integers are exact: a sum that its type can't hold raises a `ReduceError`. The error of floats
    is below 1e-12 * sum|x|. Nulls are ignored. Without any chunk the answer is an empty Series.

    Examples
    --------
    >>> import pandas as pd
    >>> total = sum()
    >>> parts = [total.partial(pd.Series({"UA": 1, "AA": 2})), total.partial(pd.Series({"UA": 3}))]
    >>> total.finish(total.combine(parts)).to_dict()
    {'AA': 2, 'UA': 4}
    """
    return _total("sum", columns)


def mean(columns: str | Sequence[str] | None = None) -> Total:
    """Average all rows, as ``DataFrame.mean(numeric_only=True)``.

    A Series labelled by the chunk's own rows is rows; one whose labels have a name or are no
    integers is averaged label by label; any other is refused. See `sum`, for `columns` too.

    Returns
    -------
    Reducer

    Notes
    -----
    For numbers that chunks returned, labelled or not, it is the mean of those, and each counts once
    whatever the size of its chunk: a mean of means, if they are means, which a run reports once.
    """
    return _total("mean", columns)


def min(columns: str | Sequence[str] | None = None) -> Total:  # noqa: A001 - as pandas names it
    """Find the smallest of all rows, as ``DataFrame.min(numeric_only=True)``.

    A Series labelled by the chunk's own rows is rows; one whose labels have a name or are no
    integers is compared label by label; any other is refused. See `sum`, for `columns` too.

    Returns
    -------
    Reducer
    """
    return _total("min", columns)


def max(columns: str | Sequence[str] | None = None) -> Total:  # noqa: A001 - as pandas names it
    """Find the largest of all rows, as ``DataFrame.max(numeric_only=True)``.

    A Series labelled by the chunk's own rows is rows; one whose labels have a name or are no
    integers is compared label by label; any other is refused. See `sum`, for `columns` too.

    Returns
    -------
    Reducer
    """
    return _total("max", columns)
