"""What the items of a fan-out cost, and how large the next ones are for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.chunks.size import make_size
from taskinity_data.chunks.sizing import FLOOR_NBYTES, WINDOW, Learner, Observation, Size
from taskinity_data.execution.split_chunks import SizeCap
from taskinity_data.outcome import Status
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import Outcome
    from taskinity_data.outcome_block import OutcomeBlock

__all__ = ["ItemCosts", "weigh"]


class ItemCosts:
    """The time and memory that items took, by weight: the bytes of a chunk, 1 for another item.

    Parameters
    ----------
    learner : Learner
    first_parts : int
        As in `RunningFanOut`.

    Attributes
    ----------
    sizes : list of (int, Size)
        The size of chunks from each position on, where it changed.
    """

    def __init__(self, learner: Learner, first_parts: int = 1) -> None:
        self.sizes: list[tuple[int, Size]] = []
        self._learner = learner
        self._first_parts = first_parts
        self._cap = SizeCap()
        self._too_large: int | None = None
        self._work_s = self._cpu_s = 0.0
        self._ended_weight = 0

    def end(self, item: Item, outcome: Outcome, shares_process: bool) -> None:
        """Take the final outcome of `item`; see `RunningFanOut.end`."""
        self._work_s += sum(attempt.work_s for attempt in outcome.attempts)
        self._cpu_s += sum(attempt.cpu_s or 0.0 for attempt in outcome.attempts)
        self._ended_weight += weigh(item)
        if outcome.status is Status.COMPLETED:
            self._cap.take(item.nbytes)
            attempt = outcome.attempts[-1]
            memory = attempt.memory_nbytes if shares_process else attempt.peak_nbytes
            self._learner = self._learner.observe(
                Observation(weigh(item), attempt.work_s, memory if item.nbytes else None)
            )

    def end_block(self, sizes: Sequence[int], block: OutcomeBlock, shares_process: bool) -> None:
        """Take the outcomes of items with so many bytes, which completed together."""
        works_s = block.works_s
        self._work_s += sum(works_s)
        self._cpu_s += block.cpu_s
        self._ended_weight += sum(nbytes or 1 for nbytes in sizes)
        for nbytes in sizes if self._cap.max_nbytes is not None else ():
            self._cap.take(nbytes)
        memory = block.memory_nbytes if shares_process else block.peaks_of_items()
        last = zip(sizes[-WINDOW:], works_s[-WINDOW:], memory[-WINDOW:], strict=True)
        observed = [
            Observation(size or 1, work_s, peak if size else None) for size, work_s, peak in last
        ]
        self._learner = self._learner.observe_all(observed, len(sizes))

    def aim_at(self, target_s: float) -> None:
        """Let a chunk take `target_s` from now on, where nothing speaks against it."""
        if target_s != self._learner.target_s:
            self._learner = replace(self._learner, target_s=target_s)

    def batch_size(self, weight: int, remaining: int | None, workers: int) -> int:
        """Return how many items of that weight travel together, of those that remain."""
        if not self._learner.count:
            return 1
        return self._learner.batch_size(weight, remaining, workers)

    def next_size(self, position: int, remaining: int, workers: int, in_flight: int) -> Size:
        """Return the size of the chunk at `position`, as far as is known by now."""
        learner = self._learner
        size = learner.next_size(remaining, workers, in_flight)
        if not (learner.count or learner.group_nbytes):
            nbytes = max(size.target_nbytes / self._first_parts, FLOOR_NBYTES)
            if nbytes < size.target_nbytes:
                first = format_nbytes(size.target_nbytes)
                size = make_size(
                    nbytes, f"a part of the first size, {first}, until a chunk has ended"
                )
        if self._cap.max_nbytes is not None:
            return min(size, self.sizes[-1][1], key=lambda candidate: candidate.target_nbytes)
        if not self.sizes or self.sizes[-1][1].target_nbytes != size.target_nbytes:
            self.sizes.append((position, size))
        return size

    def fits(self, nbytes: int) -> bool:
        """Return whether no chunk was too large that had no more bytes."""
        return self._cap.fits(nbytes)

    def shrink(self, item: Item, parts: Sequence[Item], position: int) -> bool:
        """Limit chunks from `position` on after `item` was too large and split.

        Returns
        -------
        bool
            Whether the limit is lower for it.
        """
        if not self._cap.refuse(item.index, len(parts), max(part.nbytes for part in parts)):
            return False
        max_nbytes = self._cap.max_nbytes
        assert max_nbytes is not None
        if self._too_large is None:
            self._too_large = item.nbytes
        else:
            self.sizes.pop()  # one reason for all reductions
        before, size = format_nbytes(self._too_large), format_nbytes(max_nbytes)
        reason = (
            f"{before} chunks were too large for this function: {size} from chunk {position} on"
        )
        self.sizes.append((position, Size(max_nbytes, reason)))
        return True

    def estimate_s(self, weight: int, handed_out: int, workers: int, used_s: float) -> float | None:
        """Return the seconds that are left of `weight` for threads that share a lock.

        Before anything has ended, it is the least that is left by the CPU time that they `used_s`
        for what is handed out.
        """
        if not weight or not handed_out:
            return None
        if not self._ended_weight:
            return used_s / handed_out * max(0, weight - handed_out)
        cost_s = max(self._work_s / workers, self._cpu_s) / self._ended_weight
        last = self._learner.recent[-4:]  # the cost may rise along a file
        last_s = sum(each.duration_s for each in last) / workers
        cost_s = max(cost_s, last_s / max(1, sum(each.nbytes for each in last)))
        return cost_s * max(0, weight - self._ended_weight)


def weigh(item: Item) -> int:
    """Return the weight of an item: its bytes, or 1."""
    return item.nbytes or 1
