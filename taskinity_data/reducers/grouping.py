"""Assign rows to groups: keys to codes, and groups to the order in which pandas lists them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Grouping", "group_rows", "order_groups"]


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
        The keys of each group, with the dtypes of `keys`: in order of first appearance, or of the
        encoded ones' unique values.
    """
    if encoded:
        encoded_keys = [encoded[name] if name in encoded else _encode(keys[name]) for name in names]
        labels: Any = pd.Index(list(names))
    else:
        encoded_keys = [_encode(keys.iloc[:, position]) for position in range(keys.shape[1])]
        labels = keys.columns
    first, uniques = encoded_keys[0]
    codes: NDArray[np.intp] = np.asarray(first, dtype=np.intp)
    if len(encoded_keys) == 1:
        return Grouping(codes, len(uniques)), _frame([uniques], labels)
    columns = [uniques]
    rows_of_columns = [np.arange(len(uniques))]
    for more, more_uniques in encoded_keys[1:]:
        # Codes are made dense after each column, so that their product can't outgrow 64 bits.
        width = max(len(more_uniques), 1)
        joint = np.where((codes < 0) | (more < 0), -1, codes * width + more)
        dense, pairs = pd.factorize(np.where(joint < 0, -1, joint))
        codes = np.asarray(dense, dtype=np.intp)
        is_null = pairs < 0
        if is_null.any():
            null_code = int(np.flatnonzero(is_null)[0])
            codes = np.where(codes == null_code, -1, codes - (codes > null_code))
            pairs = pairs[~is_null]
        rows_of_columns = [rows[pairs // width] for rows in rows_of_columns]
        rows_of_columns.append(pairs % width)
        columns.append(more_uniques)
    selected = [column.take(rows) for column, rows in zip(columns, rows_of_columns, strict=True)]
    return Grouping(codes, len(rows_of_columns[0])), _frame(selected, labels)


def _encode(column: pd.Series[Any]) -> Codes:
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
