"""Build and merge the partials of a group-by.

A partial is a dict: ``keys`` (a frame with a row a group), ``states`` (one for each column and how,
see `aggregates`), and ``empty`` and ``empty_keys``, frames without rows that hold the dtypes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.groups.aggregates import aggregate_of
from taskinity_data.reducers.groups.grouping import Merging, group_rows, regroup
from taskinity_data.reducers.inputs import check_exact, join_empty, make_empty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.reducers.groups.codes import Codes
    from taskinity_data.reducers.inputs import ChunkColumns

__all__ = ["measure_groups", "merge_groups", "start_groups"]


def start_groups(
    columns: ChunkColumns,
    by: Sequence[Any],
    aggregates: Sequence[tuple[Any, str]],
    encoded: Mapping[Any, Codes] | None = None,
) -> dict[str, Any]:
    """Return the groups of one chunk: their keys, a state for each (column, how), and the dtypes.

    Parameters
    ----------
    columns : ChunkColumns
    by : sequence
        The keys' columns.
    aggregates : sequence of (column, how)
    encoded : mapping of name to Codes, optional
        Keys that are encoded already and not in `columns`; each of their unique values occurs.
    """
    encoded = encoded or {}
    keys = [columns.series(name) if name not in encoded else encoded[name] for name in by]
    grouping, groups = group_rows(keys, by)
    states = {}
    for name in dict.fromkeys(name for name, _ in aggregates):
        values = columns.group(name, grouping)
        for how in [how for column, how in aggregates if column == name]:
            states[name, how] = aggregate_of(how).start(values)
    dtypes = columns.dtypes | {
        name: groups.dtypes.iloc[number] for number, name in enumerate(by) if name in encoded
    }
    return {
        "keys": groups,
        "states": [states[pair] for pair in aggregates],
        "empty": columns.empty(dict.fromkeys(name for name, _ in aggregates)),
        "empty_keys": make_empty([(name, dtypes[name]) for name in by]),
    }


def merge_groups(partials: Sequence[dict[str, Any]], hows: Sequence[str]) -> dict[str, Any]:
    """Merge several partials, in chunk order."""
    keys = [partial["keys"] for partial in partials]
    empty_keys = join_empty([partial["empty_keys"] for partial in partials])
    filled = [frame for frame in keys if len(frame)]
    joined = _join_keys(filled) if filled else empty_keys
    grouping, groups = regroup(joined)
    del joined, filled
    ends = np.cumsum([len(frame) for frame in keys])
    codes = grouping.codes.astype(np.intp, copy=False)  # states count with them
    merging = Merging(np.split(codes, ends[:-1]), len(groups))
    return {
        "keys": groups,
        "states": [_merge_states(partials, index, how, merging) for index, how in enumerate(hows)],
        "empty": join_empty([partial["empty"] for partial in partials]),
        "empty_keys": empty_keys,
    }


def measure_groups(partial: dict[str, Any]) -> int:
    """Return about how many bytes a partial takes; arrays that states share count once."""
    arrays: dict[int, int] = {}
    _measure(partial["states"], arrays)
    return int(partial["keys"].memory_usage(index=False, deep=False).sum()) + sum(arrays.values())


def _measure(state: Any, arrays: dict[int, int]) -> None:
    if isinstance(state, (tuple, list)):
        for part in state:
            _measure(part, arrays)
    elif isinstance(state, (np.ndarray, pd.Series)):
        arrays[id(state)] = int(state.nbytes)


def _join_keys(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate the keys; raise `ReduceError` if two keys of a frame might become equal."""
    joined = pd.concat(frames, ignore_index=True)
    for position in range(joined.shape[1]):
        dtype = joined.dtypes.iloc[position]
        for frame in frames:
            if frame.dtypes.iloc[position] != dtype:
                column: Any = frame.iloc[:, position]
                check_exact(column, dtype, f"a key of column {column.name!r}")
    return joined


def _merge_states(
    partials: Sequence[dict[str, Any]], index: int, how: str, merging: Merging
) -> Any:
    try:
        return aggregate_of(how).merge([partial["states"][index] for partial in partials], merging)
    except ReduceError as error:
        if getattr(error, "column", None) is not None:
            raise
        dtypes = [partial["empty"].dtypes for partial in partials]
        names = dtypes[0].index
        mixed = [name for name in names if len({chunk[name] for chunk in dtypes}) > 1]
        raise ReduceError(f"group_by(): {error} (it is among {mixed!r})") from error
