"""What has become of a fan-out's items: their results in order, and where bytes and rows went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskinity_data.outcome import Outcome, Status
from taskinity_data.reducers.tree import ABSENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome_block import OutcomeBlock

__all__ = ["CATEGORIES", "Ledger", "Results"]


CATEGORIES = ("processed", "fallback", "quarantined", "skipped", "failed", "not_run", "filtered")
"""Where what was planned can have gone."""


@dataclass(slots=True)
class Ledger:
    """Bytes and rows by where they went."""

    nbytes: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)

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

    def enter_block(self, items: Sequence[Item], block: OutcomeBlock) -> None:
        """Book the outcomes of `items`, which completed together."""
        self.nbytes["processed"] += sum(item.nbytes for item in items)
        rows, filtered = block.read_rows(item.rows for item in items)
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

    def put(self, item: Item, result: Any) -> None:
        """Add the result of `item`."""
        if item.part:
            self._parts[item.index] = result
            return
        missing = item.position + 1 - len(self._whole)
        if missing > 0:
            self._whole += [ABSENT] * missing
        self._whole[item.position] = result

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
