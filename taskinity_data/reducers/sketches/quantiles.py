"""Summarize numbers in a small, mergeable, deterministic form with a known error in rank.

A summary is the distinct values, sorted, each with the number of rows that it represents. It is
exact while there are at most `MAX_VALUES` distinct values; beyond that it keeps evenly spaced ones.

References
----------
G. S. Manku, S. Rajagopalan, B. G. Lindsay, "Approximate medians and other quantiles in one pass and
with limited memory", 1998: merging weighted, sorted buffers and keeping equally spaced elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_VALUES", "Summary", "merge_summaries", "quantiles_of", "summarize"]

MAX_VALUES = 4096
"""64 KiB per column. Thinning n rows moves a rank by at most n / 4096 + 1; a run of 65,536 chunks,
combined 16 at a time, thins a row's summary five times: at most 0.12 % of all rows."""

_PEEK_ROWS = 4096
"""The first rows show whether a column has few distinct values."""


class Summary(NamedTuple):
    """Sorted distinct `values` (floats), the rows that each represents, and the error in rows."""

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    rank_error: int


def summarize(numbers: NDArray[np.float64]) -> Summary:
    """Return the summary of numbers, without NaN, which Arrow's floats hold beside nulls."""
    numbers = numbers[~np.isnan(numbers)]
    n_rows = len(numbers)
    if n_rows > _PEEK_ROWS and len(np.unique(numbers[:_PEEK_ROWS])) < _PEEK_ROWS // 4:
        # Few values, which a table counts in 7 ns a row; sorting takes 30 to 60.
        counted = pc.value_counts(pa.array(numbers))
        values, positions = np.unique(counted.field("values").to_numpy(), return_inverse=True)
        rows = np.bincount(positions, counted.field("counts").to_numpy()).astype(np.int64)
        return _thin(Summary(values, rows, 0))
    ordered = np.sort(numbers)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[:n_rows])
    if len(starts) > MAX_VALUES:
        return _thin(Summary(ordered, np.ones(n_rows, np.int64), 0))
    return Summary(ordered[starts], np.diff(starts, append=n_rows), 0)


def merge_summaries(summaries: Sequence[Summary]) -> Summary:
    """Merge summaries; their errors add up, plus one more thinning if the result is too long."""
    joined = np.concatenate([summary.values for summary in summaries])
    rows = np.concatenate([summary.rows for summary in summaries])
    order = np.argsort(joined, kind="stable")
    joined, rows = joined[order], rows[order]
    starts = np.flatnonzero(np.concatenate([[True], joined[1:] != joined[:-1]])[: len(joined)])
    if len(joined):
        joined, rows = joined[starts], np.add.reduceat(rows, starts)
    return _thin(Summary(joined, rows, sum(summary.rank_error for summary in summaries)))


def _thin(summary: Summary) -> Summary:
    values, rows, rank_error = summary
    if len(values) <= MAX_VALUES:
        return summary
    ends = np.cumsum(rows)
    n_rows = int(ends[-1])
    # Slot i represents ranks [bounds[i], bounds[i + 1]); the value at its middle is kept, so
    # that no rank moves by more than half a slot. The ends of the range stay exact.
    bounds = np.arange(MAX_VALUES + 1, dtype=np.int64) * (n_rows // MAX_VALUES)
    bounds += np.arange(MAX_VALUES + 1) * (n_rows % MAX_VALUES) // MAX_VALUES
    middles = (bounds[:-1] + bounds[1:] - 1) // 2
    selected = np.searchsorted(ends, middles, side="right")
    selected_values, weights = values[selected], np.diff(bounds)
    selected_values[0], selected_values[-1] = values[0], values[-1]
    unique, inverse = np.unique(selected_values, return_inverse=True)
    merged = np.zeros(len(unique), dtype=np.int64)
    np.add.at(merged, inverse, weights)
    half_slot = int(weights.max()) // 2 + 1
    # The first and last slot have their outer end instead of their middle: a whole slot there.
    return Summary(unique, merged, rank_error + 2 * half_slot)


def quantiles_of(summary: Summary, q: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the quantiles, interpolated as by ``numpy.quantile``; NaN if there is no value."""
    if not len(summary.values):
        return np.full(q.shape, np.nan)
    ends = np.cumsum(summary.rows)
    position = q * (int(ends[-1]) - 1)
    below = np.floor(position)
    low = summary.values[np.searchsorted(ends, below, side="right")]
    above = np.minimum(below + 1, int(ends[-1]) - 1)
    high = summary.values[np.searchsorted(ends, above, side="right")]
    share = position - below
    with np.errstate(invalid="ignore"):
        between = low * (1 - share) + high * share
    return np.where((low == high) | (position == below), low, between)
