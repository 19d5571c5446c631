"""Describe every column of numbers by a table of counts, moments and quartiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from taskinity_data.reducers.base import RowReducer
from taskinity_data.reducers.column_totals import (
    Columns,
    merge_columns,
    split_states,
    start_columns,
)
from taskinity_data.reducers.column_values import Answer
from taskinity_data.reducers.groups.aggregates import aggregate_of
from taskinity_data.reducers.groups.grouping import Grouping
from taskinity_data.reducers.inputs import to_columns
from taskinity_data.reducers.row_labels import as_table
from taskinity_data.reducers.sketches.quantiles import (
    Summary,
    merge_summaries,
    quantiles_of,
    summarize,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["describe"]

_DESCRIBED = ("count", "mean", "std", "min", "max")
_QUARTILES = {"~25%": 0.25, "~50%": 0.5, "~75%": 0.75}


@dataclass(frozen=True, repr=False)
class Describe(RowReducer):
    """See `describe`."""

    name: ClassVar[str] = "describe"

    def partial(self, data: Any) -> tuple[Columns, dict[Any, Summary]] | None:
        """Return states and a summary of each column of numbers."""
        columns = to_columns(as_table(data, "describe()"), None, "describe()")
        if columns is None:
            return None
        states = start_columns(columns, _DESCRIBED, _is_described)
        grouping = Grouping.of_one(columns.n_rows)
        summaries = {
            column: summarize(columns.group(column, grouping).array.astype(np.float64))
            for column in states.names
        }
        return states, summaries

    def combine(
        self, partials: Sequence[tuple[Columns, dict[Any, Summary]] | None]
    ) -> tuple[Columns, dict[Any, Summary]] | None:
        """Merge the states and summaries."""
        present = [partial for partial in partials if partial is not None]
        if not present:
            return None
        columns = merge_columns([states for states, _ in present], _DESCRIBED, "describe()")
        summaries = {
            column: merge_summaries([s[column] for _, s in present if column in s])
            for column in columns.names
        }
        return columns, summaries

    def finish(self, partial: tuple[Columns, dict[Any, Summary]] | None) -> pd.DataFrame:
        """Return the table; without columns if there were no chunks."""
        rows = ["count", "mean", "std", "min", *_QUARTILES, "max"]
        if partial is None:
            return pd.DataFrame(index=rows)
        columns, summaries = partial
        described = {}
        answer = Answer(1, None, "describe()")
        for (column,), states in split_states(columns.states).items():
            exact = {
                how: aggregate_of(how).finish(state, answer).astype(np.float64).iloc[0]
                for how, state in zip(_DESCRIBED, states, strict=True)
            }
            quartiles = quantiles_of(summaries[column], np.array(list(_QUARTILES.values())))
            exact |= dict(zip(_QUARTILES, quartiles, strict=True))
            described[column] = pd.Series(exact, dtype=np.float64).reindex(rows)
        labels = columns.empty.columns
        labels = labels[labels.isin(list(described))]
        in_order = {position: described[label] for position, label in enumerate(labels)}
        return pd.DataFrame(in_order, index=rows).set_axis(labels, axis=1)

    def dump(self, partial: tuple[Columns, dict[Any, Summary]] | None) -> Any:
        """Return the partial as plain data, to be stored."""
        if partial is None:
            return None
        columns, summaries = partial
        return tuple(columns), {column: tuple(s) for column, s in summaries.items()}

    def load(self, stored: Any) -> tuple[Columns, dict[Any, Summary]] | None:
        """Return the partial that `dump` stored."""
        if stored is None:
            return None
        columns, summaries = stored
        return Columns(*columns), {column: Summary(*s) for column, s in summaries.items()}


def describe() -> Describe:
    """Describe every column of numbers, as ``DataFrame.describe()``.

    A Series labelled by the chunk's own rows, or by labels that have a name or are not integers, is
    a frame of one column; any other is refused, see `sum`.

    Returns
    -------
    Reducer
        Its answer is a DataFrame of float64, a column for each column of numbers, with the rows
        ``count``, ``mean``, ``std``, ``min``, ``~25%``, ``~50%``, ``~75%``, ``max``.

    Notes
    -----
    The quartiles have a tilde because they are estimates once a column has more than 4,096 distinct
    values (see `approx_quantiles` for the bound); the other rows are as in pandas.
    """
    return Describe()


def _is_described(dtype: Any) -> bool:
    return is_numeric_dtype(dtype) and not is_bool_dtype(dtype)
