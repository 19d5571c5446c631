"""Items that wait for their next attempt, the soonest first.

It knows nothing of why or how often an item is tried.
"""

from __future__ import annotations

import heapq
import time
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    def take_due(self) -> Iterator[tuple[Batch, Item]]:
        """Those whose time has come, each taken out as it is given."""
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            _, _, batch, item = heapq.heappop(self._heap)
            yield batch, item

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
