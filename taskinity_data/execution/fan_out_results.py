"""The outcomes of a fan-out's items: results in order, and the account of bytes and rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Outcome, Status
from taskinity_data.outcome_block import OutcomeBlock
from taskinity_data.reducers.tree import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.window import Batch
    from taskinity_data.execution.worker.job import Item, ItemColumns

__all__ = ["CATEGORIES", "Completed", "Ledger", "Results"]


CATEGORIES = ("processed", "fallback", "quarantined", "skipped", "failed", "not_run", "filtered")
"""Where what was planned can have gone."""


class Ledger:
    """Bytes and rows by where they went."""

    def __init__(self) -> None:
        self.nbytes: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()

    def enter(self, item: Item, outcome: Outcome) -> None:
        """Book the outcome of `item`."""
        category = _categorize(outcome)
        bad = outcome.bad_lines
        if bad is not None:
            self.nbytes["quarantined"] += bad.nbytes
            self.rows["quarantined"] += bad.count
        self.nbytes[category] += item.nbytes - (0 if bad is None else bad.nbytes)
        if outcome.status is Status.COMPLETED and outcome.rows is not None:
            self.rows[category] += outcome.rows
            self.rows["filtered"] += outcome.filtered or 0
        else:
            self.rows[category] += item.rows or 0

    def enter_block(self, items: ItemColumns, nbytes: int, block: OutcomeBlock) -> None:
        """Book the outcomes of `items`, which have `nbytes` and completed together."""
        self.nbytes["processed"] += nbytes
        rows, filtered = block.read_rows(items.planned_rows)
        self.rows["processed"] += rows
        self.rows["filtered"] += filtered


def _categorize(outcome: Outcome) -> str:
    if outcome.status is Status.COMPLETED:
        return "fallback" if outcome.is_fallback else "processed"
    if outcome.is_quarantined:
        return "quarantined"
    return "skipped" if outcome.status is Status.SKIPPED else "failed"


class Results:
    """The results of the items that have one."""

    def __init__(self) -> None:
        self._whole: list[Any] = []
        self._parts: dict[tuple[int, ...], Any] = {}

    def put(self, index: tuple[int, ...], result: Any) -> None:
        """Add the result of the item at `index`."""
        if len(index) > 1:
            self._parts[index] = result
            return
        missing = index[0] + 1 - len(self._whole)
        if missing > 0:
            self._whole += [ABSENT] * missing
        self._whole[index[0]] = result

    def as_list(self) -> list[Any]:
        """Return them in order."""
        if not self._parts and all(result is not ABSENT for result in self._whole):
            return list(self._whole)
        return list(self.by_index().values())

    def by_index(self) -> dict[tuple[int, ...], Any]:
        """Return them in order, by position and part."""
        results = {
            (position,): result
            for position, result in enumerate(self._whole)
            if result is not ABSENT
        } | self._parts
        return {index: results[index] for index in sorted(results)}


MAX_ITEMS = 1_024
"""So many are joined at most: their results are stored in one record."""


class Completed:
    """Items that completed and have nothing else to report, in the order in which they came.

    Parameters
    ----------
    end : callable
        Takes a batch, items of its fan-out that its strategy ran, in parts, and their outcomes.
    """

    def __init__(self, end: Callable[[Batch, list[Sequence[Item]], OutcomeBlock], None]) -> None:
        self._end = end
        self._batch: Batch | None = None
        self._parts: list[Sequence[Item]] = []
        self._block = OutcomeBlock("")

    def __len__(self) -> int:
        return len(self._block)

    def add(self, batch: Batch, items: Sequence[Item], ended: Outcome | OutcomeBlock) -> None:
        """Add `items` of `batch`: those of a block, or the one of a plain outcome."""
        before = self._batch
        is_other = before is not None and (
            before.name != batch.name or before.strategy is not batch.strategy
        )
        if is_other or len(self) + len(items) > MAX_ITEMS:
            self.end()
        if not self._parts:
            self._batch, self._block = batch, OutcomeBlock(batch.name)
        self._parts.append(items)
        if isinstance(ended, OutcomeBlock):
            self._block.add_block(ended)
        else:
            self._block.add_outcome(ended)

    def end(self) -> None:
        """Let what was added be taken in."""
        if self._batch is not None and self._parts:
            parts, block = self._parts, self._block
            self._parts, self._block = [], OutcomeBlock("")
            self._end(self._batch, parts, block)
