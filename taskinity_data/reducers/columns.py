"""Reducers of single columns: largest rows, histogram, approximate distinct count and quantiles.

They know nothing of groups; each reads only the columns that it names, `top_k` all.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReduceError
from taskinity_data.reducers.column_values import Values
from taskinity_data.reducers.grouping import Grouping
from taskinity_data.reducers.hyperloglog import (
    COLUMN_PRECISION,
    estimate_distinct,
    hash_values,
    merge_registers,
    rank_hashes,
)
from taskinity_data.reducers.inputs import as_dtype, check_columns, exact_rows, to_arrow, to_frame
from taskinity_data.reducers.quantiles import Summary, merge_summaries, quantiles_of, summarize
from taskinity_data.reducers.row_labels import as_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

__all__ = ["approx_distinct", "approx_quantiles", "histogram", "top_k"]


class OfColumn:
    """What reducers share that look at one column."""

    column: Any

    is_reducer: ClassVar[bool] = True
    wants: ClassVar[str] = "arrow"
    releases_gil: ClassVar[bool] = True
    reads_series: ClassVar[bool] = True
    name: ClassVar[str]

    def columns(self) -> tuple[str, ...] | None:
        """That column."""
        return (self.column,)

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` where the column is not among `names`."""
        check_columns([self.column], names, f"{self.name}()")

    def _read(self, data: Any) -> pd.Series[Any]:
        frame = to_frame(data, [self.column], f"{self.name}()")
        if frame is None:
            return pd.Series([], name=self.column, dtype=np.float64)
        column: pd.Series[Any] = frame[self.column]
        return column

    def _read_floats(self, data: Any) -> NDArray[np.float64]:
        column = self._read(data)
        values = Values(column, Grouping.of_one(len(column)))
        if values.numbers is not None and column.dtype.kind in "mM":
            raise ReduceError(f"{self.name}(): column {self.column!r} holds times, not numbers")
        return values.array.astype(np.float64, copy=False)


_FLOAT = np.dtype(np.float64)


class Best(NamedTuple):
    """Of how many rows `rows` are the largest; `floats` are columns of integers that pandas holds
    as floats, since some row has a null there.
    """

    n_rows: int
    rows: pd.DataFrame | None
    floats: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class TopK:
    """See `top_k`."""

    k: int
    by: tuple[Any, ...]

    is_reducer: ClassVar[bool] = True
    name: ClassVar[str] = "top_k"
    wants: ClassVar[str] = "arrow"
    releases_gil: ClassVar[bool] = False
    reads_series: ClassVar[bool] = True

    def columns(self) -> tuple[str, ...] | None:
        """None: whole rows are kept."""
        return None

    def check(self, names: Iterable[str]) -> None:
        """Raise `PlanError` where a column of `by` is not among `names`."""
        check_columns(self.by, names, "top_k()")

    def partial(self, data: Any) -> Best:
        """The largest rows, exactly, labelled with their place among all of them."""
        data = as_table(data, "top_k()")
        table = to_arrow(data) if kind_of(data) == "polars" else data
        ranked = to_frame(table, self.by, "top_k()", is_exact=True)
        if ranked is None:
            return Best(0, None)
        places = self._largest(ranked).index
        if kind_of(table) == "arrow":
            taken = table.take(places.to_numpy())
            rows, floats = exact_rows(taken, table, "top_k()")
            return Best(len(ranked), rows.set_axis(places), floats)
        whole = to_frame(data, None, "top_k()")
        rows = ranked.iloc[:0] if whole is None else whole.take(places.to_numpy())
        return Best(len(ranked), rows.set_axis(places))

    def combine(self, partials: Sequence[Best]) -> Best:
        """The largest of the largest."""
        n_rows = 0
        frames = []
        for one in partials:
            if one.rows is not None:
                frames.append(one.rows.set_axis(one.rows.index + n_rows))
            n_rows += one.n_rows
        if not frames:
            return Best(n_rows, None)
        floats = tuple(dict.fromkeys(name for one in partials for name in one.floats))
        # Among equals the first counts, so rows go back to their places before they are ranked.
        return Best(n_rows, self._largest(pd.concat(frames).sort_index()), floats)

    def _largest(self, frame: pd.DataFrame) -> pd.DataFrame:
        try:
            return frame.nlargest(self.k, list(self.by))
        except TypeError as error:
            raise ReduceError(f"{self!r}: {error}") from error

    def finish(self, partial: Best | None) -> pd.DataFrame:
        """The rows, largest first."""
        if partial is None or partial.rows is None:
            return pd.DataFrame()
        frame = partial.rows.copy(deep=False)
        for name in partial.floats:
            if frame[name].dtype.kind in "iu":
                frame[name] = as_dtype(frame[name], _FLOAT, f"top_k(): a value of column {name!r}")
        return frame

    def __repr__(self) -> str:
        by = self.by[0] if len(self.by) == 1 else list(self.by)
        return f"top_k({self.k}, {by!r})"


def top_k(k: int, by: Any) -> TopK:
    """Keep the `k` rows with the largest values of `by`, as ``frame.nlargest(k, by)`` of all rows.

    A Series labelled by the chunk's own rows, or by labels that have a name or are no integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    k : int
        From 1 up.
    by : str or list of str
        Columns with numbers or times; later ones decide between equals, then the earlier row.

    Returns
    -------
    Reducer
        Its answer is a DataFrame, largest first, labelled with the rows' places among all rows (of
        the chunk function's results, where there is one).

    Raises
    ------
    ReduceError
        `k` is no positive integer, or there is no column.
    """
    if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
        raise ReduceError(f"top_k({k!r}, ...): how many rows? An integer from 1 up")
    columns = tuple(by) if isinstance(by, (list, tuple)) else (by,)
    if not columns:
        raise ReduceError("top_k(): by which column?")
    return TopK(int(k), columns)


@dataclass(frozen=True, repr=False)
class Histogram(OfColumn):
    """See `histogram`."""

    column: Any
    edges: tuple[float, ...]

    name: ClassVar[str] = "histogram"

    def partial(self, data: Any) -> NDArray[np.int64]:
        """Counts."""
        numbers_ = self._read_floats(data)
        return np.histogram(numbers_, np.array(self.edges))[0].astype(np.int64)

    def combine(self, partials: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Their sums."""
        return np.sum(partials, axis=0, dtype=np.int64)  # type: ignore[no-any-return]  # stubs

    def finish(
        self, partial: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts and edges."""
        edges = np.array(self.edges)
        return (np.zeros(len(edges) - 1, dtype=np.int64) if partial is None else partial), edges

    def __repr__(self) -> str:
        return f"histogram({self.column!r}, {list(self.edges)!r})"


def histogram(column: Any, bins: ArrayLike) -> Histogram:
    """Count a column's values between fixed edges, as ``numpy.histogram(values, bins)``.

    A Series labelled by the chunk's own rows, or by labels that have a name or are no integers, is
    a frame of one column; any other is refused, see `sum`.

    Parameters
    ----------
    column : str
        A column of numbers; nulls are left out.
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
        `bins` is no increasing sequence of at least two numbers.
    """
    if isinstance(bins, (int, str)) or np.ndim(bins) != 1:
        raise ReduceError(
            f"histogram({column!r}, {bins!r}): give the edges, for example "
            "numpy.linspace(low, high, 21)"
        )
    edges = np.asarray(bins, dtype=np.float64)
    if len(edges) < len(("left", "right")) or not (edges[1:] > edges[:-1]).all():
        raise ReduceError(f"histogram({column!r}): two edges or more, each larger than the last")
    return Histogram(column, tuple(edges.tolist()))


@dataclass(frozen=True, repr=False)
class ApproxDistinctReducer(OfColumn):
    """See `approx_distinct`."""

    column: Any

    name: ClassVar[str] = "approx_distinct"

    def partial(self, data: Any) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Registers and their ranks."""
        column = self._read(data)
        uniques = pd.Series(pd.factorize(column)[1])
        return merge_registers(*rank_hashes(hash_values(uniques), COLUMN_PRECISION))

    def combine(
        self, partials: Sequence[tuple[NDArray[np.int64], NDArray[np.uint8]]]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The largest rank of each register."""
        registers = np.concatenate([registers for registers, _ in partials])
        return merge_registers(registers, np.concatenate([ranks for _, ranks in partials]))

    def finish(self, partial: tuple[NDArray[np.int64], NDArray[np.uint8]] | None) -> int:
        """The estimate."""
        if partial is None:
            return 0
        return int(estimate_distinct(*partial, 1, COLUMN_PRECISION)[0])

    def __repr__(self) -> str:
        return f"approx_distinct({self.column!r})"


def approx_distinct(column: Any) -> ApproxDistinctReducer:
    """Estimate how many different values a column has, nulls left out.

    A Series labelled by the chunk's own rows, or by labels that have a name or are no integers, is
    a frame of one column; any other is refused, see `sum`.

    Returns
    -------
    Reducer
        Its answer is an int with a standard error of 0.8 %, the same for the same set of values
        however they are cut, on every machine.

    Notes
    -----
    HyperLogLog, at most 144 KiB a partial; see `hyperloglog`.
    """
    return ApproxDistinctReducer(column)


@dataclass(frozen=True, repr=False)
class ApproxQuantiles(OfColumn):
    """See `approx_quantiles`."""

    column: Any
    q: float | tuple[float, ...]

    name: ClassVar[str] = "approx_quantiles"

    def partial(self, data: Any) -> Summary:
        """A summary."""
        return summarize(self._read_floats(data))

    def combine(self, partials: Sequence[Summary]) -> Summary:
        """The summary of all."""
        return merge_summaries(partials)

    def finish(self, partial: Summary | None) -> Any:
        """The quantiles."""
        summary = summarize(np.zeros(0)) if partial is None else partial
        answer = quantiles_of(summary, np.atleast_1d(np.array(self.q, dtype=np.float64)))
        if isinstance(self.q, tuple):
            return pd.Series(answer, index=pd.Index(self.q, dtype=np.float64), name=self.column)
        return float(answer[0])

    def __repr__(self) -> str:
        return f"approx_quantiles({self.column!r}, {self.q!r})"


def approx_quantiles(column: Any, q: float | Sequence[float]) -> ApproxQuantiles:
    """Estimate quantiles of a column of numbers, as ``frame[column].quantile(q)``, nulls left out.

    A Series labelled by the chunk's own rows, or by labels that have a name or are no integers, is
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
    Exact while there are at most 4,096 different values. Beyond that the value given stands, in the
    order of all rows, at most ``d / 4096`` of all rows away from where it should, where `d` is the
    number of times that summaries are thinned on the way of a row: 1 for its chunk and 1 for each
    level of the tree (at most 5 / 4096 = 0.12 % for 65,536 chunks; usually a tenth of that).
    Deterministic. See `quantiles`.
    """
    is_one = isinstance(q, numbers.Real)
    asked = [float(x) for x in np.atleast_1d(np.asarray(q, dtype=np.float64))]
    if not asked or not all(0 <= x <= 1 for x in asked):
        raise ReduceError(f"approx_quantiles({column!r}, {q!r}): quantiles lie between 0 and 1")
    return ApproxQuantiles(column, asked[0] if is_one else tuple(asked))
