"""The state of one fan-out: which items are still to be handed out, what came back, the account.

The driver takes items from it and gives it their outcomes.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk, CutColumns
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.chunks.sizing import TARGET_S, WINDOW, Learner, Observation, Size
from taskinity_data.errors import LedgerError
from taskinity_data.execution.fan_out_results import CATEGORIES, Ledger, Results
from taskinity_data.execution.split_chunks import SizeCap, SplitChunks
from taskinity_data.execution.worker.job import add_counts
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.outcome import Outcome, Status
from taskinity_data.reducers.tree import ABSENT, OrderedTree
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.outcome_block import OutcomeBlock
    from taskinity_data.sources.file import Piece

__all__ = ["RunningFanOut"]

HAND_OUT_S = 0.002
"""For how long batches are cut before the first of them is handed out."""


class RunningFanOut:
    """One fan-out while it runs.

    Parameters
    ----------
    job : Job
    items : iterator of Item
        Pulled one by one, so that a plan can be streamed and sizes can change on the way.
    extents : sequence of Piece
        All data of each file, which the chunks must tile; empty where items are not chunks.
    total_nbytes : int
        Planned bytes of all items together; 0 where items are not chunks.
    total_rows : int or None
        Rows of all items together, None where unknown.
    total_items : int or None
        None while that depends on sizes.
    listed_rows : int or None
        What the items of a list count for together, None where that is not known before.
    learner : Learner
        Learns what a chunk costs, for batches and for sizes.
    adapts : bool
        Whether sizes follow what is learned; otherwise they were given.
    splits : bool
        Whether a chunk may be split where it fails.
    """

    def __init__(
        self,
        job: Job,
        items: Iterator[Item],
        *,
        extents: Sequence[Piece] = (),
        total_nbytes: int = 0,
        total_rows: int | None = None,
        total_items: int | None = None,
        listed_rows: int | None = None,
        learner: Learner,
        adapts: bool = False,
        splits: bool = False,
    ) -> None:
        self.name = job.task
        self.job = job
        self.extents = tuple(extents)
        self.total_nbytes = total_nbytes
        self.total_rows = total_rows
        self.ledger = Ledger()
        self.whole_chunks = CutColumns()
        self._listed_rows = listed_rows
        self._counted_rows: int | None = 0
        self.sizes: list[tuple[int, Size]] = []
        self.is_cut = False
        self.cut_nbytes = 0
        self.handed_out = 0
        self.ended = 0
        self.positions = 0
        self.completed = 0
        self._splits = splits
        self._cap = SizeCap()
        self._too_large: int | None = None
        self._split = SplitChunks()
        self._items = self._source = items
        self._total_items = total_items
        self._learner = learner
        self._adapts = adapts
        self._workers = 1
        self._failure: Exception | None = None
        self._trees = tuple(
            OrderedTree(reducer.combine, measure=getattr(reducer, "measure", None))
            for reducer in job.reducers
        )
        self.results = Results()
        self._work_s = self._cpu_s = 0.0
        self._ended_weight = 0
        if not adapts:
            self.sizes.append((0, learner.first))

    # -- handing out ---------------------------------------------------------------------------

    def take_batches(
        self, count: int, workers: int, target_s: float = TARGET_S
    ) -> list[list[Item]]:
        """Return the next batches, at most `count`, and no more than can be cut in no time."""
        until_s = time.perf_counter() + HAND_OUT_S
        batches: list[list[Item]] = []
        if self._failure is not None:
            raise self._failure
        while len(batches) < count:
            try:
                batch = self.take_batch(workers, target_s)
            except Exception as error:
                if not batches:
                    raise
                self._failure = error  # once those before it are handed out
                break
            if not batch:
                break
            batches.append(batch)
            # An iterator may take long for its next frame.
            if isinstance(batch[0].data, StreamBlock) or time.perf_counter() > until_s:
                break
        return batches

    def take_batch(self, workers: int, target_s: float = TARGET_S) -> list[Item]:
        """Return the next items that travel together; empty only at the end.

        `target_s` is how long a chunk should take where nothing speaks against it.
        """
        self._workers = workers
        if target_s != self._learner.target_s:
            self._learner = replace(self._learner, target_s=target_s)
        batch = self._take(1)
        # More frames of a stream at once would be more in memory at once.
        if batch and self._learner.count and not isinstance(batch[0].data, StreamBlock):
            size = self._learner.batch_size(_weight(batch[0]), self._remaining_weight(), workers)
            batch += self._take(size - 1)
        return batch

    def peek(self, count: int) -> list[Item]:
        """Return the first of the items that are left, which are handed out all the same."""
        first_items = list(islice(self._items, count))
        self._items = chain(first_items, self._items)
        return first_items

    def _take(self, count: int) -> list[Item]:
        items: list[Item] = []
        while len(items) < count and not self.is_cut:
            item = next(self._items, None)
            if item is None:
                self.is_cut = True
                for tree in self._trees:
                    tree.close(self.positions)
                break
            self.handed_out += 1
            self.positions += 1
            self.cut_nbytes += item.nbytes
            if type(item.data) is Chunk:
                self.whole_chunks.append(item.data)
            elif self._counted_rows is not None:
                self._counted_rows = None if item.rows is None else self._counted_rows + item.rows
            items += self.fit(item)
        return items

    @property
    def chunks(self) -> CutColumns:
        """The chunks that were handed out, in order; of one that was split its parts."""
        return self._split.among(self.whole_chunks)

    # -- splitting -----------------------------------------------------------------------------

    def split(self, item: Item) -> list[Item]:
        """Return the parts that take the place of `item`, in order; none where it can't be split.

        Their partials are combined first, so that they stand where the chunk stood.
        """
        if not self._splits or type(item.data) is not Chunk:
            return []
        halves = item.data.split()
        if len(halves) < 2:
            return []
        for tree in self._trees:
            tree.split(item.index, len(halves))
        self.handed_out += len(halves) - 1
        parts, row = [], item.row
        for number, half in enumerate(halves):
            part = replace(item, key=half.key, data=half, part=(*item.part, number), row=row)
            parts.append(replace(part, origin=item.origin or item.key))
            row = None if row is None or half.rows is None else row + half.rows
        self._split.add(item, parts)
        return parts

    def shrink(self, item: Item, parts: Sequence[Item]) -> bool:
        """Limit later chunks after `item` was too large and split; return if the limit is lower."""
        if not self._cap.refuse(item.index, len(parts), max(part.nbytes for part in parts)):
            return False
        max_nbytes = self._cap.max_nbytes
        assert max_nbytes is not None
        if self._too_large is None:
            self._too_large = item.nbytes
        else:
            self.sizes.pop()  # one reason stands for all reductions
        before, size = format_nbytes(self._too_large), format_nbytes(max_nbytes)
        reason = (
            f"{before} chunks were too large for this function: {size} from chunk "
            f"{self.positions} on"
        )
        self.sizes.append((self.positions, Size(max_nbytes, reason)))
        return True

    def fit(self, item: Item) -> list[Item]:
        """Return `item`, or its parts where it is larger than what is known to fit."""
        if self._cap.fits(item.nbytes):
            return [item]
        return [fit for part in self.split(item) for fit in self.fit(part)] or [item]

    def next_target(self) -> Size:
        """Return the size of the next chunk, as far as is known by now."""
        remaining = max(0, self.total_nbytes - self.cut_nbytes)
        size = self._learner.next_size(remaining, self._workers, self.handed_out - self.ended)
        if self._cap.max_nbytes is not None:
            return min(size, self.sizes[-1][1], key=lambda candidate: candidate.target_nbytes)
        if not self.sizes or self.sizes[-1][1].target_nbytes != size.target_nbytes:
            self.sizes.append((self.handed_out, size))
        return size

    def _remaining_weight(self) -> int | None:
        if self.total_nbytes:
            return max(0, self.total_nbytes - self.cut_nbytes)
        return None if self._total_items is None else self._total_items - self.handed_out

    @property
    def is_idle(self) -> bool:
        """Whether it has a dataset of which nothing is to be done."""
        return self._splits and self._total_items == 0

    @property
    def is_done(self) -> bool:
        """Whether every item has ended."""
        return self.is_cut and self.handed_out == self.ended

    def expect_items(self) -> float | None:
        """Return how many items there will be, without parts: an estimate until all are cut."""
        if self.is_cut:
            return self.positions
        if self._total_items is not None:
            return self._total_items
        return self.positions * self.total_nbytes / self.cut_nbytes if self.cut_nbytes else None

    @property
    def is_counted(self) -> bool:
        """Whether it is known how many items there are; splitting may still add parts."""
        return self.is_cut or self._total_items is not None

    def expect_all(self) -> int | None:
        """Return `expect_items` as a whole number, with parts; None where it is unknown."""
        expected = self.expect_items()
        if expected is None:
            return None
        return max(self.handed_out, round(expected) + self.handed_out - self.positions)

    def close(self) -> None:
        """Let go of what is not handed out (a pass over files ends, with its threads) or held."""
        getattr(self._source, "close", lambda: None)()
        if self.whole_chunks and (cache := self.whole_chunks[0].reader.row_cache) is not None:
            cache.clear()

    # -- what came back ------------------------------------------------------------------------

    def end(self, item: Item, outcome: Outcome, shares_process: bool) -> None:
        """Take the final outcome of `item`.

        `shares_process` says that other items ran in the same process, so that its peak of memory
        is not this item's.
        """
        self.ended += 1
        self._work_s += sum(attempt.work_s for attempt in outcome.attempts)
        self._cpu_s += sum(attempt.cpu_s or 0.0 for attempt in outcome.attempts)
        self._ended_weight += _weight(item)
        self.ledger.enter(item, outcome)
        completed = outcome.status is Status.COMPLETED
        self.completed += completed and not outcome.is_fallback
        if completed:
            self._cap.take(item.nbytes)
            attempt = outcome.attempts[-1]
            memory = attempt.memory_nbytes if shares_process else attempt.peak_nbytes
            self._learner = self._learner.observe(
                Observation(_weight(item), attempt.work_s, memory if item.nbytes else None)
            )
        partials, result = outcome.value if completed else ((), None)
        for number, tree in enumerate(self._trees):
            tree.add(item.index, partials[number] if completed else ABSENT)
        if self.job.keeps_result and completed:
            self.results.put(item, result)

    def end_block(self, items: Sequence[Item], block: OutcomeBlock, shares_process: bool) -> None:
        """Take the outcomes of `items`, which completed together: see `end`."""
        works_s = block.works_s
        self.ended += len(items)
        self._work_s += sum(works_s)
        self._cpu_s += block.cpu_s
        sizes = [item.nbytes for item in items]
        self._ended_weight += sum(nbytes or 1 for nbytes in sizes)
        self.ledger.enter_block(items, sum(sizes), block)
        self.completed += len(items)
        for nbytes in sizes if self._cap.max_nbytes is not None else ():
            self._cap.take(nbytes)
        memory = block.memory_nbytes if shares_process else block.peaks_of_items()
        last = zip(sizes[-WINDOW:], works_s[-WINDOW:], memory[-WINDOW:], strict=True)
        observed = [
            Observation(size or 1, work_s, peak if size else None) for size, work_s, peak in last
        ]
        self._learner = self._learner.observe_all(observed, len(items))
        for number, tree in enumerate(self._trees):
            for item, (partials, _) in zip(items, block.values, strict=True):
                tree.add(item.index, partials[number])
        if self.job.keeps_result:
            for item, (_, result) in zip(items, block.values, strict=True):
                self.results.put(item, result)

    def loses(self, item: Item, outcome: Outcome) -> bool:
        """Return whether with `outcome` a chunk, split or not, has ended without a result.

        One of which only rows were quarantined has a result.
        """
        return self._split.loses(item.position, outcome)

    def estimate_remaining_s(self, workers: int, used_s: float) -> float | None:
        """Return how many seconds are left for threads that share a lock; None where unknown.

        Before anything has ended, it is the least that is left by the CPU time that they `used_s`.
        """
        expected = self.total_nbytes or self._total_items
        handed_out = self.cut_nbytes or self.handed_out
        if not expected or not handed_out:
            return None
        if not self._ended_weight:
            return used_s / handed_out * max(0, expected - handed_out)
        cost_s = max(self._work_s / workers, self._cpu_s) / self._ended_weight
        last = self._learner.recent[-4:]  # the cost may rise along a file
        last_s = sum(each.duration_s for each in last) / workers
        cost_s = max(cost_s, last_s / max(1, sum(each.nbytes for each in last)))
        return cost_s * max(0, expected - self._ended_weight)

    def finish(self, number: int) -> Any:
        """Return the answer of the reducer with that number."""
        return self.job.reducers[number].finish(self._trees[number].result())

    def account(self) -> dict[str, dict[str, int | None]]:
        """Return bytes and rows: planned, and by where they went; None where unknown."""
        planned_rows = self.planned_rows
        rows: dict[str, int | None] = {"planned": planned_rows}
        nbytes: dict[str, int | None] = {"planned": self.total_nbytes}
        for category in CATEGORIES:
            nbytes[category] = self.ledger.nbytes[category]
            rows[category] = self.ledger.rows[category]
        nbytes["not_run"] = self.total_nbytes - self.ledger.nbytes.total()
        if planned_rows is not None:
            rows["not_run"] = planned_rows - self.ledger.rows.total()
        elif not self.is_done:
            rows["not_run"] = None
        return {"bytes": nbytes, "rows": rows}

    @property
    def planned_rows(self) -> int | None:
        """Rows of all items, as the footers, the cut pass or who took them have counted them."""
        planned = self._listed_rows if self.total_rows is None else self.total_rows
        is_known = planned is not None or not self.is_cut
        return planned if is_known else add_counts([self.chunks.rows, self._counted_rows])

    def prove(self) -> None:
        """Raise `LedgerError` unless the chunks tile every file and each is accounted for."""
        if self.extents:
            check_tiling(self.extents, self.chunks)
        for unit, booked in self.account().items():
            if booked["planned"] is not None and booked["not_run"] != 0:
                raise LedgerError(
                    f"{self.name}: {booked['planned']:,} {unit} were planned, but not all are "
                    f"accounted for ({booked}); please report this as a bug"
                )


def _weight(item: Item) -> int:
    """Return the weight of an item: its bytes, or 1."""
    return item.nbytes or 1
