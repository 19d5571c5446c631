"""Join what has just completed, batch after batch, so that it is taken in at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.window import Batch
    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import Outcome

__all__ = ["Completed"]

MAX_ITEMS = 1_024
"""So many are joined at most: their results are stored in one record."""


class Completed:
    """Items that completed and have nothing else to report, in the order in which they came.

    Parameters
    ----------
    end : callable
        Takes a batch, items of its fan-out that its strategy ran, and their outcomes.
    """

    def __init__(self, end: Callable[[Batch, list[Item], OutcomeBlock], None]) -> None:
        self._end = end
        self._batch: Batch | None = None
        self._items: list[Item] = []
        self._block = OutcomeBlock("")

    def __len__(self) -> int:
        return len(self._items)

    def add(self, batch: Batch, items: Sequence[Item], ended: Outcome | OutcomeBlock) -> None:
        """Add `items` of `batch`: those of a block, or the one of a plain outcome."""
        before = self._batch
        is_other = before is not None and (
            before.name != batch.name or before.strategy is not batch.strategy
        )
        if is_other or len(self) + len(items) > MAX_ITEMS:
            self.end()
        if not self._items:
            self._batch, self._block = batch, OutcomeBlock(batch.name)
        self._items += items
        if isinstance(ended, OutcomeBlock):
            self._block.add_block(ended)
        else:
            self._block.add_outcome(ended)

    def end(self) -> None:
        """Let what was added be taken in."""
        if self._batch is not None and self._items:
            items, self._items = self._items, []
            self._end(self._batch, items, self._block)
