"""The states of every column of numbers, for `totals` and `description`.

The columns of one dtype are the groups of one state, so that many columns cost as little as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_object_dtype

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.groups.aggregates import aggregate_of
from taskinity_data.reducers.groups.grouping import Grouping, Merging
from taskinity_data.reducers.inputs import join_empty, make_empty

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.reducers.column_values import Values
    from taskinity_data.reducers.inputs import ChunkColumns

__all__ = ["Columns", "merge_columns", "split_states", "start_columns"]

Names = tuple[Any, ...]


class Columns(NamedTuple):
    """The states of every column of numbers: ``states[names]``, one for each how.

    Column ``names[i]`` is group `i` of these states. `empty` has all columns, without rows. Columns
    in `void` hold only nulls of dtype object, so that their dtype in other chunks is unknown.
    """

    states: dict[Names, list[Any]]
    empty: pd.DataFrame
    n_rows: int
    void: frozenset[Any] = frozenset()

    @property
    def names(self) -> dict[Any, None]:
        """The columns of numbers, as keys."""
        return dict.fromkeys(name for names in self.states for name in names)


def start_columns(
    columns: ChunkColumns,
    hows: Sequence[str],
    has_numbers: Callable[[Any], bool] = is_numeric_dtype,
) -> Columns:
    """Return the states of the columns of a chunk of whose dtype `has_numbers` is true."""
    grouping = Grouping.of_one(columns.n_rows)
    families: dict[Any, dict[Any, Values]] = {}
    void = []
    for name in columns.values:
        values = columns.group(name, grouping)
        if has_numbers(values.dtype):
            key = values.dtype, columns.dtypes[name]
            families.setdefault(key, {})[name] = values
        if is_object_dtype(values.dtype) and values.series.isna().all():
            void.append(name)
    states: dict[Names, list[Any]] = {}
    for family in families.values():
        started = [[aggregate_of(how).start(values) for values in family.values()] for how in hows]
        if next(iter(family.values())).numbers is None:  # states of decimals may differ in kind
            states |= {
                (name,): [state[index] for state in started] for index, name in enumerate(family)
            }
        else:
            states[tuple(family)] = [_join_groups(state) for state in started]
    empty = columns.empty(columns.values)
    if columns.labels is not None:
        empty = empty.set_axis(columns.labels, axis=1)
    return Columns(states, empty, columns.n_rows, frozenset(void))


def merge_columns(partials: Sequence[Columns], hows: Sequence[str], label: str) -> Columns:
    """Merge the states; raise `ReduceError` if a column is not numeric in every chunk."""
    first = partials[0]
    n_rows = sum(partial.n_rows for partial in partials)
    if all(_is_like(partial, first) for partial in partials[1:]):
        merged = _merge_states([partial.states for partial in partials], hows)
        return Columns(merged, first.empty, n_rows, first.void)
    names_of = [partial.names for partial in partials]
    numbers = {name: None for names in names_of for name in names}
    dtypes = [dict(partial.empty.dtypes.items()) for partial in partials]
    filled = [_Filled(*of) for of in zip(partials, dtypes, names_of, strict=True) if of[0].n_rows]
    for column in numbers:
        _check_alike(column, filled, label)
    states = [split_states(partial.states) for partial in partials]
    merged = {}
    for name in numbers:
        key = (name,)
        merged |= _merge_states([{key: c[key]} for c in states if key in c], hows)
    # Nulls without a dtype count as those of floats, with which numbers stay numbers.
    empties = [
        make_empty(
            [(n, dtype if n in names or n not in numbers else _FLOAT) for n, dtype in of.items()]
        ).set_axis(partial.empty.columns, axis=1)
        for partial, of, names in zip(partials, dtypes, names_of, strict=True)
    ]
    void = {column for p in partials for column in p.void}
    typed = {column for p in partials if p.n_rows for column in p.empty if column not in p.void}
    return Columns(merged, join_empty(empties), n_rows, frozenset(void - typed - numbers.keys()))


class _Filled(NamedTuple):
    """The partial of a chunk with rows, the dtypes of its columns, and those of numbers."""

    partial: Columns
    dtypes: dict[Any, Any]
    names: dict[Any, None]

    def knows(self, column: Any) -> bool:
        """Return whether it tells the dtype of `column`."""
        return column in self.dtypes and column not in self.partial.void


def _is_like(partial: Columns, first: Columns) -> bool:
    """Return whether both have the same columns of the same dtypes."""
    return (
        (partial.empty is first.empty or partial.empty.dtypes.equals(first.empty.dtypes))
        and partial.states.keys() == first.states.keys()
        and partial.void == first.void
    )


def _merge_states(
    states: Sequence[dict[Names, list[Any]]], hows: Sequence[str]
) -> dict[Names, list[Any]]:
    """Merge states of the same columns."""
    merged = {}
    for names in states[0]:
        merging = Merging([np.arange(len(names))] * len(states), len(names))
        merged[names] = [
            aggregate_of(how).merge([of_chunk[names][index] for of_chunk in states], merging)
            for index, how in enumerate(hows)
        ]
    return merged


def _join_groups(states: Sequence[Any]) -> Any:
    """Return states of one group each, of columns of the same dtype, as one state."""
    first = states[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(states)
    if not isinstance(first, tuple):
        return first
    if not isinstance(first[-1], pd.Series):
        return tuple(map(_join_groups, zip(*states, strict=True)))
    filled = np.flatnonzero([groups is None or len(groups) for groups, _ in states])
    picked = pd.concat([picked for _, picked in states], ignore_index=True)
    return None if len(filled) == len(states) else filled, picked


def split_states(states: dict[Names, list[Any]]) -> dict[Names, list[Any]]:
    """Return each column's states by itself."""
    return {
        (name,): [_take_group(state, group) for state in of_names]
        for names, of_names in states.items()
        for group, name in enumerate(names)
    }


def _take_group(state: Any, group: int) -> Any:
    if isinstance(state, np.ndarray):
        return state[group : group + 1]
    if not isinstance(state, tuple):
        return state
    if not isinstance(state[-1], pd.Series):
        return tuple(_take_group(part, group) for part in state)
    *kind, groups, picked = state
    if groups is None:
        return *kind, None, picked.iloc[group : group + 1].reset_index(drop=True)
    at = np.flatnonzero(groups == group)
    return *kind, np.zeros(len(at), dtype=np.intp), picked.take(at).reset_index(drop=True)


_FLOAT = np.dtype(np.float64)


def _check_alike(column: Any, filled: Sequence[_Filled], label: str) -> None:
    """Raise `ReduceError` if `column` has numbers in some chunks that pandas would not add."""
    dtypes = {chunk.dtypes[column]: chunk for chunk in filled if chunk.knows(column)}
    has_gap = any(not chunk.knows(column) for chunk in filled)
    are_numbers = all(column in chunk.names for chunk in dtypes.values())
    are_alike = len({dtype.kind == "b" for dtype in dtypes}) <= 1
    # With a null, bools are objects in pandas; integers are floats.
    has_room = not has_gap or np.dtype(np.bool_) not in dtypes
    if are_numbers and are_alike and has_room:
        return
    dtype_names = [*map(str, dtypes), *(["null or missing"] if has_gap else [])]
    raise ReduceError(
        f"{label}: column {column!r} is {' in some chunks and '.join(dtype_names)} in others, so "
        "the answer would depend on the cuts; give it one dtype in every chunk, for example with "
        '.astype("float64") or .astype("boolean") in the chunk function, or leave it out',
        column=column,
    )
