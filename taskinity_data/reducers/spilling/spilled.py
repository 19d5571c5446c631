"""Partials of a group-by in a temporary file, from which the groups of some buckets can be read.

A group's bucket is the beginning of its keys' hash, so that equal keys of any chunk are in the same
one. A partial lies in the file sorted by bucket, column after column; what each column is and where
its buckets begin is kept in memory. It knows nothing of when partials are stored or combined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.aggregates import HOWS
from taskinity_data.reducers.column_values import Parts
from taskinity_data.reducers.inputs import as_dtype, join_empty
from taskinity_data.reducers.spilling.key_hash import hash_keys
from taskinity_data.reducers.spilling.plain_columns import (
    NotPlain,
    ends_of,
    plain_arrays,
    rebuild_column,
)
from taskinity_data.reducers.sums import floats_of_integers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from taskinity_data.reducers.spilling.scratch import SpillFile

__all__ = ["N_BUCKETS", "SpilledBlock", "Stored", "find_common", "write_block"]

_BUCKET_BITS = 10
N_BUCKETS = 1 << _BUCKET_BITS
"""As finely as a partial can be read: a thousandth of the answer, from 16 siblings at once."""


@dataclass(frozen=True)
class SpilledColumn:
    """One column in the file.

    `empty` is like it, without rows. Each of `arrays` is (dtype, where it begins, at which item
    each bucket begins).
    """

    empty: Any
    form: str
    arrays: tuple[tuple[np.dtype[Any], int, NDArray[np.int64]], ...]

    @property
    def is_void(self) -> bool:
        """Whether it has no item in any bucket, and so nothing to say of dtypes."""
        return bool(self.arrays[0][2][-1] == 0)

    def read(self, scratch: SpillFile, start: int, stop: int) -> Any:
        """The items of the buckets from `start` to `stop`."""
        arrays = []
        for dtype, at, starts in self.arrays:
            first, end = int(starts[start]), int(starts[stop])
            arrays.append(scratch.read(dtype, at + first * dtype.itemsize, end - first))
        return rebuild_column(self.empty, self.form, arrays)


@dataclass(frozen=True)
class SpilledState:
    """The state of one (column, how); see `Parts`. `groups` is None where each group has an item.

    `has_groups` says whether its parts have groups all the same.
    """

    kind: str
    has_groups: bool
    groups: SpilledColumn | None
    columns: tuple[SpilledColumn, ...]


@dataclass(frozen=True)
class SpilledBlock:
    """The groups of the buckets from `first` to `end`, those of one partial or of some of it."""

    scratch: SpillFile
    first: int
    end: int
    starts: NDArray[np.int64]
    labels: pd.Index[Any]
    keys: tuple[SpilledColumn, ...]
    states: tuple[SpilledState, ...]
    dtypes: dict[str, pd.DataFrame]

    def _within(self, start: int, stop: int) -> tuple[int, int]:
        start = min(max(start, self.first), self.end)
        return start - self.first, min(max(stop, start), self.end) - self.first

    def read(self, start: int, stop: int, like: Like, hows: Sequence[str]) -> dict[str, Any]:
        """The partial of the groups of these buckets, with dtypes as `find_common` says."""
        states = [
            HOWS[how].restore(self._read_state(place, start, stop, like))
            for place, how in enumerate(hows)
        ]
        return {"keys": self._read_keys(start, stop, like), "states": states, **like.dtypes}

    def read_keys(self, like: Like) -> pd.DataFrame:
        """The keys of all its groups."""
        return self._read_keys(self.first, self.end, like)

    def read_parts(self, place: int, like: Like) -> Parts:
        """One state of all its groups, as columns."""
        return self._read_state(place, self.first, self.end, like)

    def _read_keys(self, start: int, stop: int, like: Like) -> pd.DataFrame:
        start, stop = self._within(start, stop)
        columns = [
            as_dtype(
                column.read(self.scratch, start, stop), empty.dtype, f"a key of column {name!r}"
            )
            for column, empty, name in zip(self.keys, like.keys, self.labels, strict=True)
        ]
        frame = pd.DataFrame(dict(enumerate(columns)))
        frame.columns = self.labels
        return frame

    def _read_state(self, place: int, start: int, stop: int, like: Like) -> Parts:
        state = self.states[place]
        start, stop = self._within(start, stop)
        before = int(self.starts[start])
        groups = None
        if state.groups is not None:
            groups = state.groups.read(self.scratch, start, stop) - before
        elif state.has_groups:
            groups = np.arange(int(self.starts[stop]) - before)
        columns = [column.read(self.scratch, start, stop) for column in state.columns]
        kind = state.kind
        if (kind, like.kinds[place]) == ("integers", "floats"):
            kind, columns[:2] = "floats", floats_of_integers((columns[0], columns[1]))
        return Parts(kind, groups, tuple(_cast(column, like.states[place]) for column in columns))


@dataclass(frozen=True)
class Stored:
    """A partial in a temporary file of its own: blocks whose buckets go from 0 to `N_BUCKETS`."""

    scratch: SpillFile
    blocks: tuple[SpilledBlock, ...]

    def count_groups(self) -> NDArray[np.int64]:
        """How many groups each bucket has; shape (N_BUCKETS,)."""
        return np.concatenate([np.diff(block.starts) for block in self.blocks])


class Like(NamedTuple):
    """Empty columns of the dtypes that keys and picked values (None: arrays) are to have.

    `kinds` are those of the states: what they are depends on no range of buckets. `dtypes` holds
    the frames without rows that a partial has.
    """

    keys: tuple[pd.Series[Any], ...]
    states: tuple[pd.Series[Any] | None, ...]
    kinds: tuple[str, ...]
    dtypes: dict[str, pd.DataFrame]


def find_common(blocks: Sequence[SpilledBlock]) -> Like | None:
    """The dtypes that the columns of all `blocks` have once they are put one after another.

    None where these are objects which no block holds as such, or where states don't go together.
    """
    keys = [_join(columns) for columns in zip(*(block.keys for block in blocks), strict=True)]
    states = []
    for same in zip(*(block.states for block in blocks), strict=True):
        columns = [column for state in same for column in state.columns]
        picked = [column for column in columns if isinstance(column.empty, pd.Series)]
        states.append(_join(picked) if picked else None)
    known = [empty for empty in (*keys, *states) if empty is not None]
    if any(empty is _OBJECTS for empty in known):
        return None
    filled = [block for block in blocks if block.starts[-1]] or blocks[:1]
    kinds = [_join_kinds(same) for same in zip(*(block.states for block in filled), strict=True)]
    if None in kinds:
        return None
    dtypes = {name: join_empty([block.dtypes[name] for block in blocks]) for name in _DTYPES}
    return Like(tuple(keys), tuple(states), tuple(kind or "" for kind in kinds), dtypes)


_DTYPES = ("empty", "empty_keys")
_OBJECTS: pd.Series[Any] = pd.Series([], dtype=object)


def _join_kinds(states: Sequence[SpilledState]) -> str | None:
    kinds = {state.kind for state in states} - {"nothing"} or {"nothing"}
    return "floats" if kinds == {"integers", "floats"} else kinds.pop() if len(kinds) == 1 else None


def _join(columns: Sequence[SpilledColumn]) -> pd.Series[Any]:
    filled = [column.empty for column in columns if not column.is_void]
    first: pd.Series[Any] = (filled or [columns[0].empty])[0]
    if all(empty.dtype == first.dtype for empty in filled):
        return first
    # What pandas makes of dtypes does not depend on rows.
    joined: pd.Series[Any] = pd.concat(filled, ignore_index=True)
    return _OBJECTS if is_object_dtype(joined.dtype) else joined


def _cast(column: Any, empty: pd.Series[Any] | None) -> Any:
    if empty is None or column.dtype == empty.dtype:
        return column
    return column.astype(empty.dtype)


def write_block(
    scratch: SpillFile, partial: dict[str, Any], hows: Sequence[str], first: int, end: int
) -> SpilledBlock | None:
    """`partial`, whose groups are of the buckets from `first` to `end`, in the file.

    None where something of it has no exact form as plain arrays; what was written by then stays.
    """
    keys: pd.DataFrame = partial["keys"]
    columns = [keys.iloc[:, place] for place in range(keys.shape[1])]
    try:
        buckets = (hash_keys(keys) >> np.uint64(64 - _BUCKET_BITS)).astype(np.uint16)
        order = np.argsort(buckets, kind="stable")  # a radix sort for 16 bits
        edges = np.arange(first, end + 1).astype(np.uint16)
        starts = np.searchsorted(buckets[order], edges).astype(np.int64)
        if starts[0] or starts[-1] < len(keys):
            raise ReduceError("group_by(): equal keys have different hashes; this is a bug")
        new_places = np.empty(len(keys), dtype=np.intp)
        new_places[order] = np.arange(len(keys))
        return SpilledBlock(
            scratch,
            first,
            end,
            starts,
            keys.columns,
            tuple(_write_column(scratch, column.take(order), starts) for column in columns),
            tuple(
                _write_state(scratch, HOWS[how].flatten(state), order, new_places, starts)
                for state, how in zip(partial["states"], hows, strict=True)
            ),
            {name: partial[name] for name in _DTYPES},
        )
    except NotPlain:
        return None


def _write_state(
    scratch: SpillFile,
    parts: Parts,
    order: NDArray[np.intp],
    new_places: NDArray[np.intp],
    starts: NDArray[np.int64],
) -> SpilledState:
    kind, groups, columns = parts
    stored_groups = None
    if groups is not None and not _is_each_once(groups, len(order)):
        groups = new_places[groups]
        order = np.argsort(groups, kind="stable")
        groups = groups[order]
        starts = np.searchsorted(groups, starts).astype(np.int64)
        stored_groups = _write_column(scratch, groups, starts)
    found = tuple(_write_column(scratch, column.take(order), starts) for column in columns)
    return SpilledState(kind, groups is not None, stored_groups, found)


def _is_each_once(groups: NDArray[np.intp], n_groups: int) -> bool:
    return len(groups) == n_groups and bool((np.diff(groups, prepend=-1) == 1).all())


def _write_column(scratch: SpillFile, column: Any, starts: NDArray[np.int64]) -> SpilledColumn:
    plain = plain_arrays(column)
    items = [starts]
    if plain.form in ("texts", "bytes"):
        items.append(ends_of(plain.arrays[0])[starts])
    arrays = [
        (array.dtype, scratch.write(array), at)
        for array, at in zip(plain.arrays, items, strict=True)
    ]
    empty = column[:0] if isinstance(column, np.ndarray) else column.iloc[:0]
    return SpilledColumn(empty.copy(), plain.form, tuple(arrays))
