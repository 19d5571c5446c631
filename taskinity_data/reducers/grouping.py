"""Assign rows to groups: keys to codes, and groups to the order in which pandas lists them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from taskinity_data.reducers.sums import cells_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Grouping", "Merging", "group_rows", "order_groups", "regroup"]


class Grouping:
    """A code from 0 to ``n_groups - 1`` for every row, -1 for a row of no group."""

    def __init__(self, codes: NDArray[np.intp], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups

    @classmethod
    def of_one(cls, n_rows: int) -> Grouping:
        """Return a grouping of all rows in a single group."""
        return cls(np.zeros(n_rows, dtype=np.intp), 1)

    @cached_property
    def is_grouped(self) -> NDArray[np.bool_] | None:
        """Which rows have a group; None: all of them."""
        is_grouped = self.codes >= 0
        return None if is_grouped.all() else is_grouped

    @cached_property
    def grouped_codes(self) -> NDArray[np.intp]:
        """The codes of the rows that have a group."""
        return self.codes if self.is_grouped is None else self.codes[self.is_grouped]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each group."""
        return np.bincount(self.grouped_codes, minlength=self.n_groups)

    @cached_property
    def cells(self) -> NDArray[np.intp] | None:
        """The cells of the rows that have a group, see `sums.cells_of`."""
        return cells_of(self.grouped_codes, self.n_groups)


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


Codes = tuple["NDArray[np.integer[Any]]", Any]
"""For each row the position of its key among the unique ones (-1: null), and these."""


def group_rows(
    keys: pd.DataFrame, encoded: Mapping[Any, Codes] | None = None, names: Sequence[Any] = ()
) -> tuple[Grouping, pd.DataFrame]:
    """Group rows by equal keys, as ``pandas.DataFrame.groupby(..., dropna=True, observed=True)``.

    Parameters
    ----------
    keys : pandas.DataFrame
    encoded : mapping of name to Codes, optional
        Keys that are encoded already, each of whose unique values occurs; not in `keys`.
    names : sequence
        All keys, in order, where some are encoded.

    Returns
    -------
    grouping : Grouping
        Rows with a null among their keys have no group.
    groups : pandas.DataFrame
        The keys of each group, with the dtypes of `keys`; sorted if it is one column of numbers.
    """
    if encoded:
        encoded_keys = [encoded[name] if name in encoded else _encode(keys[name]) for name in names]
        labels: Any = pd.Index(list(names))
    elif keys.shape[1] == 1 and _is_plain(keys.dtypes.iloc[0]):
        column = keys.iloc[:, 0]
        codes, uniques = _sort_codes(*_encode(column))
        return Grouping(codes, len(uniques)), _frame([uniques], keys.columns)
    else:
        encoded_keys = [_encode(keys.iloc[:, position]) for position in range(keys.shape[1])]
        labels = keys.columns
    codes, rows_of_columns = _join_codes(encoded_keys)
    selected = [
        uniques.take(rows) for (_, uniques), rows in zip(encoded_keys, rows_of_columns, strict=True)
    ]
    return Grouping(codes, len(rows_of_columns[0])), _frame(selected, labels)


def _join_codes(
    encoded_keys: Sequence[Codes],
) -> tuple[NDArray[np.intp], list[NDArray[np.intp]]]:
    """Return the group of each row, and of each group the position of its key in each column."""
    first, uniques = encoded_keys[0]
    codes: NDArray[np.intp] = np.asarray(first, dtype=np.intp)
    rows_of_columns: list[NDArray[np.intp]] = [np.arange(len(uniques))]
    if len(encoded_keys) == 1:
        return codes, rows_of_columns
    for more, more_uniques in encoded_keys[1:]:
        # Codes are made dense after each column, so that their product can't outgrow 64 bits.
        width = max(len(more_uniques), 1)
        joint = codes * width + more
        is_null = (codes < 0) | (more < 0)
        if is_null.any():
            joint[is_null] = -1
        codes, pairs = _dense(joint, len(rows_of_columns[0]) * width)
        rows_of_columns = [rows[pairs // width] for rows in rows_of_columns]
        rows_of_columns.append(pairs % width)
    return codes, rows_of_columns


def _dense(joint: NDArray[np.intp], n_values: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return codes without gaps for numbers below `n_values` (-1 stays), and the numbers."""
    if n_values <= max(len(joint), _MIN_TABLE):
        # A table of all values: 4 ns a row; hashing takes 20 to 100.
        numbers = np.flatnonzero(np.bincount(joint + 1, minlength=n_values + 1)[1:])
        if len(numbers) == n_values:
            return joint, numbers
        new_codes = np.full(n_values + 1, -1, dtype=np.intp)  # of -1 too, which is the last
        new_codes[numbers] = np.arange(len(numbers))
        return new_codes[joint], numbers
    codes, uniques = pd.factorize(joint)
    null = np.flatnonzero(uniques < 0)
    if len(null):
        codes = np.where(codes == null[0], -1, codes - (codes > null[0]))
        uniques = np.delete(uniques, null)
    return np.asarray(codes, dtype=np.intp), uniques


_MIN_TABLE = 1 << 12


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf"


def _sort_codes(
    codes: NDArray[np.integer[Any]], uniques: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return codes in the order of the unique values, and these sorted."""
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
    if joined.shape[1] > 1 or not _is_plain(joined.dtypes.iloc[0]):
        return group_rows(joined)
    values = joined.iloc[:, 0].to_numpy()
    order = np.argsort(values, kind="stable")
    values = values[order]
    is_first = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    codes = np.empty(len(values), dtype=np.intp)
    codes[order] = np.cumsum(is_first) - 1
    uniques = values[is_first]
    return Grouping(codes, len(uniques)), _frame([uniques], joined.columns)


def _encode(column: pd.Series[Any]) -> Codes:
    if isinstance(column.dtype, pd.CategoricalDtype):
        categorical: Any = column.array
        codes = categorical.codes.astype(np.intp)
        codes, occurring = _dense(codes, len(categorical.categories))
        return codes, pd.Categorical.from_codes(occurring, dtype=column.dtype)
    codes, uniques = pd.factorize(column)
    if getattr(uniques.dtype, "kind", "O") == "f":
        # -0.0 and 0.0 are one key; which of them is first would be chance.
        uniques = uniques + 0.0
    return codes, uniques


def _frame(columns: Sequence[Any], names: pd.Index[Any]) -> pd.DataFrame:
    frame = pd.DataFrame({position: pd.Series(column) for position, column in enumerate(columns)})
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
    first = positions.groupby(by, sort=True, dropna=True, observed=True).first()
    return first.to_numpy(dtype=np.intp), first.index
