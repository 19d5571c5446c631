"""Hold the results of a fan-out's items, in order of the items and not as they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.reducers.tree import ABSENT

if TYPE_CHECKING:
    from taskinity_data.execution.worker.job import Item

__all__ = ["Results"]


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
