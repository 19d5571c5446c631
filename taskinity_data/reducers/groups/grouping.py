"""Assign rows to groups: keys to codes, and groups to the order in which pandas lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.cached_property import cached_property
from taskinity_data.reducers.groups.codes import (
    count_codes,
    encode,
    encode_near_integers,
    is_plain,
    make_dense,
    narrow_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from taskinity_data.reducers.groups.codes import Codes

__all__ = ["Grouping", "Merging", "group_rows", "order_groups", "regroup"]


class Grouping:
    """A code from 0 to ``n_groups - 1`` for every row, -1 for a row of no group."""

    def __init__(self, codes: NDArray[np.integer[Any]], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups

    @classmethod
    def of_one(cls, n_rows: int) -> Grouping:
        """Return a grouping of all rows in a single group."""
        grouping = cls(np.zeros(n_rows, dtype=np.int8), 1)
        grouping.is_grouped, grouping.counts = None, np.array([n_rows])
        return grouping

    @cached_property
    def is_grouped(self) -> NDArray[np.bool_] | None:
        """Which rows have a group; None: all of them."""
        is_grouped = self.codes >= 0
        return None if is_grouped.all() else is_grouped

    @cached_property
    def grouped_codes(self) -> NDArray[np.integer[Any]]:
        """The codes of the rows that have a group."""
        return self.codes if self.is_grouped is None else self.codes[self.is_grouped]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each group."""
        return count_codes(self.grouped_codes, self.n_groups)


class Merging:
    """The merged groups of the groups of several states, in chunk order.

    Group j of state i becomes group ``codes[i][j]`` of `n_groups`.
    """

    def __init__(self, codes: Sequence[NDArray[np.intp]], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups
        self._merged: dict[tuple[int, ...], Any] = {}

    @classmethod
    def of_one(cls, n_states: int) -> Merging:
        """Return a merging of states of a single group."""
        return cls([np.zeros(1, dtype=np.intp)] * n_states, 1)

    def once(self, arrays: Sequence[NDArray[Any]], merge: Callable[[], Any]) -> Any:
        """Return what `merge` returns; it is called once for the same arrays.

        ``"sum"`` and ``"mean"`` of a column share their sums, and all columns without nulls their
        counts.
        """
        key = tuple(map(id, arrays))
        if key not in self._merged:
            self._merged[key] = merge()
        return self._merged[key]


def group_rows(
    keys: Sequence[pd.Series[Any] | Codes], names: Sequence[Any]
) -> tuple[Grouping, pd.DataFrame]:
    """Group rows by equal keys, as ``pandas.DataFrame.groupby(..., dropna=True, observed=True)``.

    Parameters
    ----------
    keys : sequence of Series or Codes
        Of encoded keys each unique value occurs.
    names : sequence
        Of the keys.

    Returns
    -------
    grouping : Grouping
        Rows with a null among their keys have no group.
    groups : pandas.DataFrame
        The keys of each group, with the dtypes of `keys`; sorted if it is one column of numbers.
    """
    labels: Any = pd.Index(list(names))
    encoded_keys = [key if isinstance(key, tuple) else encode(key) for key in keys]
    only = keys[0] if len(keys) == 1 else None
    if isinstance(only, pd.Series) and is_plain(only.dtype):
        codes, uniques = _sort_codes(*encoded_keys[0])
        return Grouping(codes, len(uniques)), _frame([uniques], labels)
    joint, rows_of_columns = _join_codes(encoded_keys)
    selected = [
        uniques.take(rows) for (_, uniques), rows in zip(encoded_keys, rows_of_columns, strict=True)
    ]
    return Grouping(joint, len(rows_of_columns[0])), _frame(selected, labels)


def _join_codes(
    encoded_keys: Sequence[Codes],
) -> tuple[NDArray[np.integer[Any]], list[NDArray[np.intp]]]:
    """Return the group of each row, and of each group the position of its key in each column."""
    codes, uniques = encoded_keys[0]
    if len(encoded_keys) == 1:
        if not isinstance(uniques, pd.Categorical):  # then every value occurs
            return codes, [np.arange(len(uniques))]
        codes, numbers = make_dense(codes, len(uniques))
        return codes, [numbers]
    rows_of_columns: list[NDArray[np.intp]] = [np.arange(len(uniques))]
    for more, more_uniques in encoded_keys[1:]:
        # Codes are made dense after each column, so that their product can't outgrow 64 bits.
        width = max(len(more_uniques), 1)
        n_values = max(len(rows_of_columns[0]), 1) * width
        joint = codes.astype(narrow_dtype(n_values))
        joint *= width
        joint += more.astype(joint.dtype, copy=False)
        if len(codes) and (codes.min() < 0 or more.min() < 0):
            joint[(codes < 0) | (more < 0)] = -1
        codes, pairs = make_dense(joint, n_values)
        rows_of_columns = [rows[pairs // width] for rows in rows_of_columns]
        rows_of_columns.append(pairs % width)
    return codes, rows_of_columns


def _sort_codes(
    codes: NDArray[np.integer[Any]], uniques: NDArray[Any]
) -> tuple[NDArray[np.integer[Any]], NDArray[Any]]:
    """Return codes in the order of the unique values, and these sorted."""
    if (uniques[1:] >= uniques[:-1]).all():
        return codes, uniques
    order = np.argsort(uniques)
    new_codes = np.empty(len(order) + 1, dtype=np.intp)
    new_codes[order] = np.arange(len(order))
    new_codes[-1] = -1
    return new_codes[codes], uniques[order]


def regroup(joined: pd.DataFrame) -> tuple[Grouping, pd.DataFrame]:
    """Group keys that were concatenated from several groupings, as `group_rows` does.

    A single key of numbers is sorted in each of them, and merging them takes a fifth of the time of
    hashing.
    """
    if joined.shape[1] > 1 or not is_plain(joined.dtypes.iloc[0]):
        keys = [joined.iloc[:, position] for position in range(joined.shape[1])]
        return group_rows(keys, list(joined.columns))
    values = joined.iloc[:, 0].to_numpy()
    near = encode_near_integers(values)
    if near is not None:
        return Grouping(near[0], len(near[1])), _frame([near[1]], joined.columns)
    order = np.argsort(values, kind="stable")
    values = values[order]
    is_first = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    codes = np.empty(len(values), dtype=np.intp)
    codes[order] = np.cumsum(is_first) - 1
    uniques = values[is_first]
    return Grouping(codes, len(uniques)), _frame([uniques], joined.columns)


def _frame(columns: Sequence[Any], names: pd.Index[Any]) -> pd.DataFrame:
    series = {i: pd.Series(column, copy=False) for i, column in enumerate(columns)}
    frame = pd.DataFrame(series, copy=False)
    frame.columns = names
    return frame


def order_groups(groups: pd.DataFrame) -> tuple[NDArray[np.intp], pd.Index[Any]]:
    """Return the order in which pandas lists these groups, and their index.

    This calls pandas with one row a group, so that sorting, categories, time zones and names are
    the same. (A single key of plain numbers or texts is sorted directly: for many millions of
    them, pandas' hash table would need several times the memory of the answer.)
    """
    only = groups.iloc[:, 0]
    order: NDArray[np.intp] | None = None
    if groups.shape[1] > 1:
        pass
    elif only.dtype in (np.int64, np.int32, np.float64):
        order = np.argsort(only.to_numpy(), kind="stable")
    elif getattr(only.dtype, "storage", None) == "pyarrow":
        # By UTF-8's bytes, which is by code points, as Python compares texts.
        order = pc.sort_indices(pa.array(only)).to_numpy().astype(np.intp)
    if order is not None:
        return order, pd.Index(only.take(order), name=groups.columns[0])
    keys = [groups.iloc[:, position] for position in range(groups.shape[1])]
    positions = pd.Series(np.arange(len(groups)))
    by: Any = keys if len(keys) > 1 else keys[0]
    try:
        first = positions.groupby(by, sort=True, dropna=True, observed=True).first()
    except TypeError as error:
        names = ", ".join(map(repr, groups.columns))
        raise ReduceError(
            f"keys of different types can't be sorted: {error}; give {names} one dtype in every "
            "chunk, for example with .astype(str) in the chunk function"
        ) from error
    return first.to_numpy(dtype=np.intp), first.index
