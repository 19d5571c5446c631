"""A small, mergeable, deterministic summary of numbers that knows its own error in rank.

A summary is the different values, sorted, each with the number of rows that it stands for. It is
exact while there are at most `MAX_VALUES` different values; beyond that it keeps evenly spaced
ones. It knows nothing of columns or of what asks for quantiles.

References
----------
G. S. Manku, S. Rajagopalan, B. G. Lindsay, "Approximate medians and other quantiles in one pass and
with limited memory", 1998: merging weighted, sorted buffers and keeping equally spaced elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_VALUES", "Summary", "merge_summaries", "quantiles_of", "summarize"]

MAX_VALUES = 4096
"""64 KiB a column. A thinning of n rows moves a rank by at most n / 4096 (and one); a run of 65,536
chunks, combined by sixteens, thins a row's summary five times: at most 0.12 % of all rows."""


class Summary(NamedTuple):
    """Sorted different `values` (floats), the rows that each stands for, and the error in rows."""

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    rank_error: int


def summarize(numbers: NDArray[np.float64]) -> Summary:
    """The summary of numbers (none of them NaN)."""
    values, rows = np.unique(numbers, return_counts=True)
    return _thin(Summary(values, rows.astype(np.int64), 0))


def merge_summaries(summaries: Sequence[Summary]) -> Summary:
    """The summary of all; errors add up, and one more thinning where it has become too long."""
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
    # Slot i stands for ranks [bounds[i], bounds[i + 1]); the value at its middle is kept, so
    # that no rank moves by more than half a slot. The ends of the range stay exact.
    bounds = np.arange(MAX_VALUES + 1, dtype=np.int64) * (n_rows // MAX_VALUES)
    bounds += np.arange(MAX_VALUES + 1) * (n_rows % MAX_VALUES) // MAX_VALUES
    middles = (bounds[:-1] + bounds[1:] - 1) // 2
    kept = np.searchsorted(ends, middles, side="right")
    kept_values, weights = values[kept], np.diff(bounds)
    kept_values[0], kept_values[-1] = values[0], values[-1]
    unique, inverse = np.unique(kept_values, return_inverse=True)
    merged = np.zeros(len(unique), dtype=np.int64)
    np.add.at(merged, inverse, weights)
    half_slot = int(weights.max()) // 2 + 1
    # The first and last slot show their outer end instead of their middle: a whole slot there.
    return Summary(unique, merged, rank_error + 2 * half_slot)


def quantiles_of(summary: Summary, q: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quantiles, between neighbours as ``numpy.quantile`` does; NaN where there is no value."""
    if not len(summary.values):
        return np.full(q.shape, np.nan)
    ends = np.cumsum(summary.rows)
    place = q * (int(ends[-1]) - 1)
    below = np.floor(place)
    low = summary.values[np.searchsorted(ends, below, side="right")]
    above = np.minimum(below + 1, int(ends[-1]) - 1)
    high = summary.values[np.searchsorted(ends, above, side="right")]
    with np.errstate(invalid="ignore"):
        between = low + (high - low) * (place - below)
    return np.where((low == high) | (place == below), low, between)
