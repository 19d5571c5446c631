"""Reduce single columns: largest rows, histogram, approximate distinct count and quantiles.

Each reducer reads only the columns that it names, `top_k` all.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReduceError, hides_frames
from taskinity_data.reducers.base import RowReducer
from taskinity_data.reducers.column_values import Values
from taskinity_data.reducers.groups.codes import factorize, unique_near_integers
from taskinity_data.reducers.groups.grouping import Grouping
from taskinity_data.reducers.inputs import as_dtype, check_columns, exact_rows, to_arrow, to_frame
from taskinity_data.reducers.row_labels import as_table
from taskinity_data.reducers.sketches.hyperloglog import (
    COLUMN_PRECISION,
    estimate_distinct,
    find_registers,
    hash_values,
    merge_registers,
)
from taskinity_data.reducers.sketches.quantiles import (
    Summary,
    merge_summaries,
    quantiles_of,
    summarize,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["approx_distinct", "approx_quantiles", "histogram", "top_k"]


class ColumnReducer(RowReducer):
    """Base of reducers of one column."""

    column: Any

    def columns(self) -> tuple[str, ...] | None:
        """Return the column."""
        return (self.column,)

    def _read(self, data: Any) -> pd.Series[Any]:
        frame = to_frame(data, [self.column], f"{self.name}()")
        if frame is None:
            return pd.Series([], name=self.column, dtype=np.float64)
        column: pd.Series[Any] = frame[self.column]
        return column

    def _read_floats(self, data: Any) -> NDArray[np.float64]:
        column = self._read(data)
        values = Values(column, Grouping.of_one(len(column)))
        if column.dtype.kind in "mM":
            raise ReduceError(f"{self.name}(): column {self.column!r} holds times, not numbers")
        return values.array.astype(np.float64, copy=False)


class TopRows(NamedTuple):
    """The largest `rows` of `n_rows` rows; `floats` are columns of integers that pandas holds as
    floats, since some row has a null there.
    """

    n_rows: int
    rows: pd.DataFrame | None
    floats: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class TopK(RowReducer):
    """See `top_k`. Whole rows are kept."""

    k: int
    by: tuple[Any, ...]

    name: ClassVar[str] = "top_k"

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` if a column of `by` is not among `names`."""
        check_columns(self.by, names, "top_k()")

    def partial(self, data: Any) -> TopRows:
        """Return the largest rows, labelled with their position among all rows."""
        data = as_table(data, "top_k()")
        table = to_arrow(data) if kind_of(data) == "polars" else data
        ranked = to_frame(table, self.by, "top_k()", is_exact=True)
        if ranked is None:
            return TopRows(0, None)
        positions = self._largest(ranked).index
        if kind_of(table) == "arrow":
            selected = table.take(positions.to_numpy())
            rows, floats = exact_rows(selected, table, "top_k()")
            return TopRows(len(ranked), rows.set_axis(positions), floats)
        whole = to_frame(data, None, "top_k()")
        rows = ranked.iloc[:0] if whole is None else whole.take(positions.to_numpy())
        return TopRows(len(ranked), rows.set_axis(positions))

    def combine(self, partials: Sequence[TopRows]) -> TopRows:
        """Return the largest of the largest rows."""
        n_rows = 0
        frames = []
        for partial in partials:
            if partial.rows is not None:
                frames.append(partial.rows.set_axis(partial.rows.index + n_rows))
            n_rows += partial.n_rows
        if not frames:
            return TopRows(n_rows, None)
        floats = tuple(dict.fromkeys(name for partial in partials for name in partial.floats))
        # The first of equal rows counts, so rows are sorted by position before they are ranked.
        return TopRows(n_rows, self._largest(pd.concat(frames).sort_index()), floats)

    def _largest(self, frame: pd.DataFrame) -> pd.DataFrame:
        by = list(self.by)
        try:
            frame.iloc[:0].nlargest(1, by)  # refuses dtypes; beside nulls it may miss rows
        except TypeError as error:
            raise ReduceError(f"{self!r}: {error}") from error
        high = _drop_lower(frame, by[0], self.k)
        ranked: pd.DataFrame = high.sort_values(by, ascending=False, kind="stable", key=_with_nan)
        return ranked.head(self.k)

    def finish(self, partial: TopRows | None) -> pd.DataFrame:
        """Return the rows, largest first."""
        if partial is None or partial.rows is None:
            return pd.DataFrame()
        frame = partial.rows.copy(deep=False)
        for name in partial.floats:
            if frame[name].dtype.kind in "iu":
                label = f"top_k(): a value of column {name!r}"
                frame[name] = as_dtype(frame[name], np.dtype(np.float64), label)
        return frame

    def dump(self, partial: TopRows) -> Any:
        """Return the partial as plain data, to be stored."""
        return tuple(partial)

    def load(self, stored: Any) -> TopRows:
        """Return the partial that `dump` stored."""
        return TopRows(*stored)

    def __repr__(self) -> str:
        by = self.by[0] if len(self.by) == 1 else list(self.by)
        return f"top_k({self.k}, {by!r})"


def _drop_lower(frame: pd.DataFrame, name: Any, k: int) -> pd.DataFrame:
    """Return the rows of `frame` that have one of the `k` highest numbers of column `name`."""
    values = Values(_with_nan(frame[name]), Grouping.of_one(len(frame)))
    if values.numbers is None or len(values.array) <= k:
        return frame
    is_high: NDArray[np.bool_] = values.numbers.array >= np.partition(values.array, -k)[-k]
    if values.is_valid is not None:
        is_high &= values.is_valid
    return frame[is_high]


def _with_nan(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return Arrow's floats as NumPy's: NaN beside their nulls would be the highest of all."""
    is_arrow_float = isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind == "f"
    return column.astype(np.float64) if is_arrow_float else column


@hides_frames
def top_k(k: int, by: Any) -> TopK:
    """Keep the `k` rows with the largest values of `by`, as ``frame.nlargest(k, by)`` of all rows.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    k : int
        From 1 up.
    by : str or list of str
        Columns with numbers or times; later ones break ties, then the earlier row. Nulls come last.

    Returns
    -------
    Reducer
        Its answer is a DataFrame, largest first, labelled with the rows' positions among all rows
        (of the chunk function's results, if there is one).

    Raises
    ------
    ReduceError
        `k` is not a positive integer, or there is no column.
    """
    if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
        raise ReduceError(f"top_k({k!r}, ...): k must be an integer from 1 up")
    columns = tuple(dict.fromkeys(by)) if isinstance(by, (list, tuple)) else (by,)
    if not columns:
        raise ReduceError("top_k() needs a column")
    return TopK(int(k), columns)


@dataclass(frozen=True, repr=False)
class Histogram(ColumnReducer):
    """See `histogram`."""

    column: Any
    edges: tuple[float, ...]

    name: ClassVar[str] = "histogram"

    def partial(self, data: Any) -> NDArray[np.int64]:
        """Return the counts."""
        numbers_ = self._read_floats(data)
        return np.histogram(numbers_, np.array(self.edges))[0].astype(np.int64)

    def combine(self, partials: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Add the counts."""
        return np.sum(partials, axis=0, dtype=np.int64)  # type: ignore[no-any-return]  # stubs

    def finish(
        self, partial: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return counts and edges."""
        edges = np.array(self.edges)
        return (np.zeros(len(edges) - 1, dtype=np.int64) if partial is None else partial), edges

    def __repr__(self) -> str:
        return f"histogram({self.column!r}, {list(self.edges)!r})"


@hides_frames
def histogram(column: Any, bins: ArrayLike) -> Histogram:
    """Count a column's values between fixed edges, as ``numpy.histogram(values, bins)``.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    column : str
        A column of numbers; nulls are ignored.
    bins : sequence of float
        Edges, increasing. Bins are closed on the left, the last one on both sides. A number of bins
        is refused: their edges would need a first pass over all data.

    Returns
    -------
    Reducer
        Its answer is ``(counts, edges)``: int64 of shape (n,), float64 of shape (n + 1,).

    Raises
    ------
    ReduceError
        `bins` is not an increasing sequence of at least two numbers.
    """
    if isinstance(bins, (int, str)) or np.ndim(bins) != 1:
        raise ReduceError(
            f"histogram({column!r}, {bins!r}): give the edges, for example "
            "numpy.linspace(low, high, 21)"
        )
    edges = pd.to_numeric(np.ravel(bins), errors="coerce").astype(np.float64)
    if len(edges) < len(("left", "right")) or not (edges[1:] > edges[:-1]).all():
        raise ReduceError(f"histogram({column!r}): give at least two edges, in increasing order")
    return Histogram(column, tuple(edges.tolist()))


@dataclass(frozen=True, repr=False)
class ApproxDistinctReducer(ColumnReducer):
    """See `approx_distinct`."""

    column: Any

    name: ClassVar[str] = "approx_distinct"

    def partial(self, data: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the registers and their ranks."""
        column = self._read(data)
        values = Values(column, Grouping.of_one(len(column)))
        near = unique_near_integers(values.array) if column.dtype.kind in "iu" else None
        if near is not None:
            column = pd.Series(near)
        elif values.numbers is None:  # hashing objects takes longer than finding equal ones
            column = pd.Series(factorize(column)[1])
        elif values.is_valid is not None:
            column = column[values.is_valid]
        return find_registers(hash_values(column), COLUMN_PRECISION)

    def combine(
        self, partials: Sequence[tuple[NDArray[np.int64], NDArray[np.uint8]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Return the largest rank of each register."""
        registers = np.concatenate([registers for registers, _ in partials])
        return merge_registers(registers, np.concatenate([ranks for _, ranks in partials]))

    def finish(self, partial: tuple[NDArray[np.int64], NDArray[np.uint8]] | None) -> int:
        """Return the estimate."""
        if partial is None:
            return 0
        return int(estimate_distinct(*partial, 1, COLUMN_PRECISION)[0])

    def __repr__(self) -> str:
        return f"approx_distinct({self.column!r})"


def approx_distinct(column: Any) -> ApproxDistinctReducer:
    """Estimate the number of distinct values of a column, without nulls.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Returns
    -------
    Reducer
        Its answer is an int with a standard error of 0.8 %. It depends only on the set of values,
        not on the cuts or the machine.

    Notes
    -----
    HyperLogLog, at most 144 KiB per partial; see `hyperloglog`.
    """
    return ApproxDistinctReducer(column)


@dataclass(frozen=True, repr=False)
class ApproxQuantiles(ColumnReducer):
    """See `approx_quantiles`."""

    column: Any
    q: float | tuple[float, ...]

    name: ClassVar[str] = "approx_quantiles"

    def partial(self, data: Any) -> Summary:
        """Return a summary."""
        return summarize(self._read_floats(data))

    def combine(self, partials: Sequence[Summary]) -> Summary:
        """Merge the summaries."""
        return merge_summaries(partials)

    def finish(self, partial: Summary | None) -> Any:
        """Return the quantiles."""
        summary = summarize(np.zeros(0)) if partial is None else partial
        answer = quantiles_of(summary, np.atleast_1d(np.array(self.q, dtype=np.float64)))
        if isinstance(self.q, tuple):
            return pd.Series(answer, index=pd.Index(self.q, dtype=np.float64), name=self.column)
        return float(answer[0])

    def dump(self, partial: Summary) -> Any:
        """Return the partial as plain data, to be stored."""
        return tuple(partial)

    def load(self, stored: Any) -> Summary:
        """Return the partial that `dump` stored."""
        return Summary(*stored)

    def __repr__(self) -> str:
        return f"approx_quantiles({self.column!r}, {self.q!r})"


@hides_frames
def approx_quantiles(column: Any, q: float | Sequence[float]) -> ApproxQuantiles:
    """Estimate quantiles of a column of numbers, as ``frame[column].quantile(q)``, without nulls.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    column : str
    q : float or sequence of float
        From 0 to 1.

    Returns
    -------
    Reducer
        Its answer is a float, or for a sequence a Series labelled by `q`.

    Raises
    ------
    ReduceError
        A `q` outside 0 to 1.

    Notes
    -----
    Exact while there are at most 4,096 distinct values. Beyond that, the rank of the value returned
    is wrong by at most ``d / 4096`` of all rows, where `d` is the number of times that a row's
    summary is thinned: once for its chunk and once for each level of the tree (at most 5 / 4096 =
    0.12 % for 65,536 chunks; usually a tenth of that).
    Deterministic. See `quantiles`.
    """
    is_one = isinstance(q, numbers.Real)
    quantiles = [float(x) for x in pd.to_numeric(np.ravel(q), errors="coerce")]
    if not quantiles or not all(0 <= x <= 1 for x in quantiles):
        raise ReduceError(f"approx_quantiles({column!r}, {q!r}): quantiles are between 0 and 1")
    return ApproxQuantiles(column, quantiles[0] if is_one else tuple(quantiles))
