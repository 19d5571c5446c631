"""Holds the partials of a group-by in bounded memory: what is too much goes to temporary files.

Partials are combined whole while they are small, and bucket by bucket where they, together, are
not (see `spilled`). What becomes of a group depends on its own states and their order alone, so
both give the same to the last bit. It knows nothing of trees: its `combine` is called by one.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_object_dtype

from taskinity_data.reducers.aggregates import HOWS
from taskinity_data.reducers.column_values import Parts
from taskinity_data.reducers.group_states import merge_groups
from taskinity_data.reducers.spilling.scratch import SpillFile
from taskinity_data.reducers.spilling.spilled import N_BUCKETS, Stored, find_common, write_block

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["BUDGET_NBYTES", "GroupHolder"]

BUDGET_NBYTES = 256 << 20
"""How much of what waits is kept in memory. A level of the tree holds up to 15 partials, so up to
some 100,000 groups (10 MB with five aggregates) next to nothing is ever written."""

_STEPS = 8
"""Buckets are combined by so small a share of the budget at a time: what is read, concatenated and
merged is there several times over."""

_OBJECT_NBYTES = 56
"""About what a short text or a date takes as an object."""


class Held:
    """A partial, or where it is stored; both None where a chunk had neither rows nor columns."""

    def __init__(self, partial: dict[str, Any] | None, stored: Stored | None, nbytes: int) -> None:
        self.partial = partial
        self.stored = stored
        self.nbytes = nbytes
        self.can_spill = partial is not None


class GroupHolder:
    """See `holding.Holder`.

    Parameters
    ----------
    hows : sequence of str
        What each state of a partial is of.
    finish : callable
        Gets a whole partial or None, returns the answer.
    assemble : callable
        Gets all keys, the dtypes, and what gives the state of a place; returns the same answer.
    """

    def __init__(
        self,
        hows: Sequence[str],
        finish: Callable[[dict[str, Any] | None], pd.DataFrame],
        assemble: Callable[[pd.DataFrame, dict[str, Any], Callable[[int], Any]], pd.DataFrame],
    ) -> None:
        self._hows = hows
        self._finish = finish
        self._assemble = assemble
        self._budget_nbytes = BUDGET_NBYTES
        self._held: list[Held] = []

    def take(self, partial: dict[str, Any] | None) -> Held:
        """What stands for it; it or others may go to a file."""
        return self._keep(Held(partial, None, _measure(partial)))

    def combine(self, siblings: Sequence[Held]) -> Held:
        """What stands for all of them."""
        combined = None
        if sum(held.nbytes for held in siblings) > self._budget_nbytes // 2:
            for held in siblings:
                self._spill(held)
            combined = self._combine_buckets(siblings)
        if combined is None:
            combined = self._combine_whole(siblings)
        for held in siblings:
            self._drop(held)
        return self._keep(combined)

    def finish(self, held: Held | None) -> pd.DataFrame:
        """The answer; of what is stored, one column is made after another."""
        if held is None or held.stored is None:
            return self._finish(None if held is None else held.partial)
        hows = self._hows
        blocks = [one for one in held.stored.blocks if one.starts[-1]] or held.stored.blocks[:1]
        like = find_common(blocks)
        if like is None:
            return self._finish(self._load(held))
        parts = [block.read_keys(like) for block in blocks]
        keys = pd.concat(parts, ignore_index=True)
        starts = np.cumsum([0, *map(len, parts[:-1])])
        del parts

        def state_of(place: int) -> Any:
            found = [block.read_parts(place, like) for block in blocks]
            return HOWS[hows[place]].restore(_chain(found, starts))

        return self._assemble(keys, like.dtypes, state_of)

    def close(self) -> None:
        """Let go of partials and files."""
        for held in list(self._held):
            self._drop(held)

    def _keep(self, held: Held) -> Held:
        self._held.append(held)
        while True:
            waiting = [one for one in self._held if one.partial is not None]
            if sum(one.nbytes for one in waiting) <= self._budget_nbytes:
                return held
            movable = [one for one in waiting if one.can_spill]
            if not movable:
                return held
            self._spill(max(movable, key=lambda one: one.nbytes))

    def _drop(self, held: Held) -> None:
        self._held.remove(held)
        if held.stored is not None:
            held.stored.scratch.close()
        held.partial = held.stored = None

    def _spill(self, held: Held) -> None:
        if held.partial is None or not held.can_spill:
            return
        with ExitStack() as stack:
            scratch = stack.enter_context(SpillFile())
            block = write_block(scratch, held.partial, self._hows, 0, N_BUCKETS)
            if block is None:
                held.can_spill = False
                return
            held.partial, held.stored = None, Stored(scratch, (block,))
            stack.pop_all()

    def _load(self, held: Held) -> dict[str, Any] | None:
        if held.stored is None:
            return held.partial
        parts = []
        for block in held.stored.blocks:
            like = find_common([block])
            assert like is not None
            parts.append(block.read(0, N_BUCKETS, like, self._hows))
        return merge_groups(parts, self._hows) if len(parts) > 1 else parts[0]

    def _combine_whole(self, siblings: Sequence[Held]) -> Held:
        loaded = [self._load(held) for held in siblings]
        present = [partial for partial in loaded if partial is not None]
        merged = merge_groups(present, self._hows) if present else None
        return Held(merged, None, _measure(merged))

    def _combine_buckets(self, siblings: Sequence[Held]) -> Held | None:
        """None where that can't be: something is not stored, or what comes of it can't be."""
        if any(held.partial is not None for held in siblings):
            return None
        present = [(held.stored, held.nbytes) for held in siblings if held.stored is not None]
        blocks = [block for stored, _ in present for block in stored.blocks]
        like = find_common(blocks)
        if like is None:
            return None
        found, nbytes = [], 0
        with ExitStack() as stack:
            scratch = stack.enter_context(SpillFile())
            for first, end in _cut(present, max(1, self._budget_nbytes // _STEPS)):
                merged = merge_groups(
                    [
                        block.read(first, end, like, self._hows)
                        for block in blocks
                        if block.first < end and block.end > first
                    ],
                    self._hows,
                )
                nbytes += _measure(merged)
                block = write_block(scratch, merged, self._hows, first, end)
                if block is None:
                    return None
                found.append(block)
            stack.pop_all()
        return Held(None, Stored(scratch, tuple(found)), nbytes)


def _chain(found: list[Parts], starts: NDArray[np.intp]) -> Parts:
    """The parts of blocks, whose first groups are `starts`, one after another; `found` is used up.

    They are of one kind, as each of the blocks has groups; see `find_common`.
    """
    kind, n_columns, has_groups = found[0].kind, len(found[0].columns), found[0].groups is not None
    groups = None
    if has_groups:
        groups = np.concatenate([p.groups + at for p, at in zip(found, starts, strict=True)])
    columns = [
        pd.concat(column, ignore_index=True)
        if isinstance(column[0], pd.Series)
        else np.concatenate(column)
        for column in ([parts.columns[place] for parts in found] for place in range(n_columns))
    ]
    return Parts(kind, groups, tuple(columns))


def _cut(present: Sequence[tuple[Stored, int]], step_nbytes: int) -> list[tuple[int, int]]:
    """Ranges of buckets that follow each other, each of about `step_nbytes` in all siblings."""
    weights = np.zeros(N_BUCKETS)
    for stored, nbytes in present:
        counts = stored.count_groups()
        weights += counts * (nbytes / max(1, int(counts.sum())))
    ends = np.cumsum(weights)
    steps = np.ceil(ends / step_nbytes).astype(np.int64)
    # A range ends where the next bucket would begin another step.
    last = np.flatnonzero(np.diff(steps, append=steps[-1] + 1)) + 1
    return list(zip([0, *last[:-1].tolist()], last.tolist(), strict=True))


def _measure(partial: dict[str, Any] | None) -> int:
    """About how many bytes a partial takes."""
    if partial is None:
        return 0
    keys = sum(_measure_state(column) for _, column in partial["keys"].items())
    return keys + sum(map(_measure_state, partial["states"]))


def _measure_state(state: Any) -> int:
    if isinstance(state, np.ndarray):
        return state.nbytes
    if isinstance(state, tuple):
        return sum(map(_measure_state, state))
    if isinstance(state, pd.Series):
        n_objects = len(state) if is_object_dtype(state.dtype) else 0
        return int(state.array.nbytes) + n_objects * _OBJECT_NBYTES
    return 0
