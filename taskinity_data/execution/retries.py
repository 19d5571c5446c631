"""Items that wait for their next attempt, the soonest first.

It knows nothing of why or how often an item is tried.
"""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.execution.process import Item
    from taskinity_data.execution.window import Batch

__all__ = ["Retries"]


class Retries:
    """A queue by time; a delay holds no worker."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Batch, Item]] = []
        self._ticket = count()

    def add(self, batch: Batch, item: Item, delay_s: float) -> None:
        """`item`, which was of `batch`, is due again in `delay_s`."""
        due = time.monotonic() + delay_s
        heapq.heappush(self._heap, (due, next(self._ticket), batch, item))

    def add_parts(self, batch: Batch, parts: Iterable[Item]) -> None:
        """`parts` of an item of `batch` are due before all else, the smallest first.

        So few parts are open at a time, and what is good is seen soon.
        """
        for part in parts:
            heapq.heappush(self._heap, (-len(part.part), next(self._ticket), batch, part))

    def take_due(self) -> tuple[Batch, Item] | None:
        """One whose time has come, taken out."""
        if not self._heap or self._heap[0][0] > time.monotonic():
            return None
        _, _, batch, item = heapq.heappop(self._heap)
        return batch, item

    def limit_wait(self, timeout_s: float) -> float:
        """`timeout_s`, or less where an item is due before."""
        if not self._heap:
            return timeout_s
        return min(timeout_s, max(0.0, self._heap[0][0] - time.monotonic()))

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()

    def __bool__(self) -> bool:
        return bool(self._heap)
