"""The states of every column of numbers, for `totals` and `description`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pandas.api.types import is_object_dtype

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.aggregates import HOWS
from taskinity_data.reducers.column_values import Values
from taskinity_data.reducers.grouping import Grouping, Merging
from taskinity_data.reducers.inputs import empty_of, join_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["Columns", "merge_columns", "start_columns"]


class Columns(NamedTuple):
    """The states of every column of numbers: ``states[column]``, one for each how.

    `empty` has all columns, without rows. Columns in `void` hold only nulls of dtype object, so
    that their dtype in other chunks is unknown.
    """

    states: dict[Any, list[Any]]
    empty: pd.DataFrame
    n_rows: int
    void: frozenset[Any] = frozenset()


def start_columns(frame: pd.DataFrame, hows: Sequence[str], names: pd.Index[Any]) -> Columns:
    """Return the states of the columns `names` of one chunk, one for each how."""
    grouping = Grouping.of_one(len(frame))
    states = {}
    for column in names:
        values = Values(frame[column], grouping)
        states[column] = [HOWS[how].start(values) for how in hows]
    is_object = [column for column, dtype in frame.dtypes.items() if is_object_dtype(dtype)]
    void = frozenset(column for column in is_object if frame[column].isna().all())
    return Columns(states, empty_of(frame), len(frame), void)


def merge_columns(partials: Sequence[Columns], hows: Sequence[str], label: str) -> Columns:
    """Merge the states; raise `ReduceError` if a column is not numeric in every chunk."""
    columns = dict.fromkeys(column for partial in partials for column in partial.states)
    dtypes = [dict(partial.empty.dtypes.items()) for partial in partials]
    filled = [pair for pair in zip(partials, dtypes, strict=True) if pair[0].n_rows]
    merged = {}
    for column in columns:
        _check_alike(column, filled, label)
        states = [p.states[column] for p in partials if column in p.states]
        merged[column] = [
            HOWS[how].merge([state[index] for state in states], Merging.of_one(len(states)))
            for index, how in enumerate(hows)
        ]
    # Nulls without a dtype count as those of floats, with which numbers stay numbers.
    empties = [
        _as_floats(p.empty, [n for n in p.empty if n in columns and n not in p.states])
        for p in partials
    ]
    void = {column for p in partials for column in p.void}
    typed = {column for p in partials if p.n_rows for column in p.empty if column not in p.void}
    return Columns(
        merged,
        join_empty(empties),
        sum(partial.n_rows for partial in partials),
        frozenset(void - typed - columns.keys()),
    )


def _as_floats(empty: pd.DataFrame, names: Sequence[Any]) -> pd.DataFrame:
    return empty.astype(dict.fromkeys(names, np.float64)) if names else empty


def _check_alike(column: Any, filled: Sequence[tuple[Columns, dict[Any, Any]]], label: str) -> None:
    """Raise `ReduceError` if `column` has numbers in some chunks that pandas would not add.

    `filled` are the chunks with rows, and the dtypes of their columns.
    """
    dtypes = {
        of_chunk[column]: p for p, of_chunk in filled if column in of_chunk and column not in p.void
    }
    has_gap = any(column not in of_chunk or column in p.void for p, of_chunk in filled)
    are_numbers = all(column in p.states for p in dtypes.values())
    are_alike = len({dtype.kind == "b" for dtype in dtypes}) <= 1
    # With a null, bools are objects in pandas; integers are floats.
    has_room = not has_gap or np.dtype(np.bool_) not in dtypes
    if are_numbers and are_alike and has_room:
        return
    dtype_names = [*map(str, dtypes), *(["null or missing"] if has_gap else [])]
    raise ReduceError(
        f"{label}: column {column!r} is {' in some chunks and '.join(dtype_names)} in others, so "
        "that the answer would depend on the cuts; give it one dtype in every chunk, for example "
        'by .astype("float64") or .astype("boolean") in the chunk function, or leave it out there',
        column=column,
    )
