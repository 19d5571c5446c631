"""How an item is protected from taking too long or too much, and what it can be split into."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.execution.schedulers.base import check_timeouts
from taskinity_data.execution.worker.job import Guard, ItemColumns
from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.deadline import Deadline
    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.outcome import Failure, Outcome

__all__ = [
    "SizeCap",
    "SplitChunks",
    "guard_items",
    "is_too_large",
    "make_guard",
]

_MIN_NBYTES = 256 << 20
"""What a child process may hold in any case: Python with pandas and pyarrow has 130 MiB."""


def guard_items(
    batches: Sequence[Sequence[Item]], job: Job, strategy: Strategy, deadline: Deadline | None
) -> Sequence[Sequence[Item]]:
    """Return `batches` with guards on the items that may have to be stopped, without elsewhere.

    That is where a step has a time limit, where a worker died under it, and where the run has an
    end, `deadline`, and `strategy` can't end its workers.

    Raises
    ------
    PlanError
        `job` has a time limit that `strategy` can't keep.
    """
    check_timeouts(job, strategy)
    needs_all = job.is_timed or (
        deadline is not None and not strategy.can_abort and strategy.can_send(job)
    )
    if not needs_all and not any(
        item.is_suspect or item.guard is not None
        for items in batches
        if not isinstance(items, ItemColumns)
        for item in items
    ):
        return batches
    guard = make_guard(strategy.memory_nbytes, deadline) if strategy.can_end else None
    return [
        [replace(item, guard=guard if needs_all or item.is_suspect else None) for item in items]
        for items in batches
    ]


def make_guard(memory_nbytes: int | None, deadline: Deadline | None = None) -> Guard:
    """Return the guard of an item whose worker may use `memory_nbytes`."""
    return Guard(None if memory_nbytes is None else max(memory_nbytes, _MIN_NBYTES), deadline)


def is_too_large(failure: Failure) -> bool:
    """Return whether an item failed for want of memory: NumPy's and Arrow's errors are such too."""
    return failure.is_a(MemoryError)


_RARE = 16
"""One that does not fit to so many that do is a matter of its own data: halving all others for each
of these would end at single rows."""


class SizeCap:
    """The most bytes that an item may have.

    The first item that does not fit halves the size of all. After that, items do so that are more
    than rare among those of the size that is left, and two halves of one item neither of which
    fits. A half whose sibling fits says that something in it is large, and nothing of the others.

    Attributes
    ----------
    max_nbytes : int or None
        None: no item was too large.

    Examples
    --------
    >>> cap = SizeCap()
    >>> cap.refuse((7,), 2, 500)
    True
    >>> cap.refuse((7, 0), 2, 250), cap.refuse((7, 0, 1), 2, 125), cap.max_nbytes
    (False, False, 500)
    >>> cap.refuse((7, 1), 2, 250), cap.max_nbytes
    (True, 250)
    """

    def __init__(self) -> None:
        self.max_nbytes: int | None = None
        self._parts: dict[tuple[int, ...], int] = {}
        self._refused = 0
        self._accepted = 0

    def fits(self, nbytes: int) -> bool:
        """Return whether an item of that size may be tried, for all that is known."""
        return self.max_nbytes is None or nbytes <= self.max_nbytes

    def take(self, nbytes: int) -> None:
        """Count an item of that size that has come through."""
        if self.max_nbytes is not None and 2 * nbytes > self.max_nbytes:
            self._accepted += 1

    def refuse(self, index: tuple[int, ...], parts: int, nbytes: int) -> bool:
        """Note that the item at `index` did not fit: it is now `parts` of at most `nbytes` each.

        Returns
        -------
        bool
            Whether the others become smaller for it.
        """
        self._parts[index] = parts
        of = index[:-1]
        siblings = self._parts.get(of)
        if siblings is None:
            self._refused += 1
            is_size = self.max_nbytes is None or self._refused * _RARE > self._accepted
        else:
            is_size = all((*of, number) in self._parts for number in range(siblings))
        if not is_size or (self.max_nbytes is not None and nbytes >= self.max_nbytes):
            return False
        self.max_nbytes = max(1, nbytes)
        self._refused = self._accepted = 0
        return True


class _Parts:
    """What is known of a chunk that was split."""

    open = 0
    has_result = is_lost = False


class SplitChunks:
    """The chunks of a fan-out that were split, by position: each counts as one that was lost."""

    def __init__(self) -> None:
        self._parts: defaultdict[int, _Parts] = defaultdict(_Parts)
        self._chunks: dict[tuple[int, ...], Chunk] = {}

    def add(self, item: Item, parts: Sequence[Item]) -> None:
        """Replace `item`, a chunk or a part of one, by its open `parts`."""
        self._parts[item.position].open += len(parts) - bool(item.part)
        self._chunks.pop(item.index, None)
        self._chunks |= {part.index: part.data for part in parts}

    def among(self, chunks: CutColumns) -> CutColumns:
        """Return `chunks`, all of the fan-out, with the parts in place of those that were split."""
        if not self._chunks:
            return chunks
        together, left = CutColumns(), sorted(self._chunks.items(), reverse=True)
        for position, chunk in enumerate(chunks):
            if position not in self._parts:
                together.append(chunk)
            while left and left[-1][0][0] == position:
                together.append(left.pop()[1])
        return together

    def loses(self, position: int, outcome: Outcome) -> bool:
        """Return whether with `outcome` a chunk has ended without a result.

        One of which only rows were quarantined has a result.
        """
        is_lost = outcome.status is not Status.COMPLETED
        if position not in self._parts:
            return is_lost
        parts = self._parts[position]
        parts.open -= 1
        parts.has_result |= not is_lost
        if parts.is_lost:
            return False
        is_whole = not parts.open and not parts.has_result
        parts.is_lost = is_whole or (is_lost and not outcome.is_quarantined)
        return parts.is_lost
