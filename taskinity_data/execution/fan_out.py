"""The state of one fan-out: which items are still to be handed out, what came back, the account.

The driver takes items from it and gives it their outcomes.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.chunks.sizing import TARGET_S, Learner, Size
from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import LedgerError
from taskinity_data.execution.fan_out_results import CATEGORIES, Ledger, Results
from taskinity_data.execution.item_costs import ItemCosts, weigh
from taskinity_data.execution.split_chunks import SplitChunks
from taskinity_data.execution.worker.job import Item, ItemColumns, join_items
from taskinity_data.formats.stream import StreamBlock
from taskinity_data.outcome import Outcome, Status
from taskinity_data.reducers.tree import ABSENT, OrderedTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskinity_data.execution.worker.job import Job
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
    items : iterable of Chunk or Item
        Pulled one by one, so that a plan can be streamed and sizes can change on the way.
    extents : sequence of Piece
        All data of each file, which the chunks must tile; empty if items are not chunks.
    total_nbytes : int
        Planned bytes of all items together; 0 where items are not chunks.
    total_rows : int or None
        Rows of all items together, None if unknown.
    total_items : int or None
        None while that depends on sizes.
    listed_rows : int or None
        What the items of a list count for together, None if that is not known before.
    learner : Learner
        Learns what a chunk costs, for batches and for sizes.
    first_parts : int
        In how many parts of the first size data are cut until a chunk has ended.
    adapts : bool
        Whether sizes follow what is learned; otherwise they were given.
    splits : bool
        Whether a chunk may be split where it fails.
    """

    def __init__(
        self,
        job: Job,
        items: Iterable[Chunk | Item],
        *,
        extents: Sequence[Piece] = (),
        total_nbytes: int = 0,
        total_rows: int | None = None,
        total_items: int | None = None,
        listed_rows: int | None = None,
        learner: Learner,
        first_parts: int = 1,
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
        self.costs = ItemCosts(learner, first_parts)
        self.is_cut = False
        self.cut_nbytes = 0
        self.handed_out = 0
        self.ended = 0
        self.positions = 0
        self.completed = 0
        self._splits = splits
        self._split = SplitChunks()
        self._items: Iterator[Chunk | Item] = iter(items)
        self._total_items = total_items
        self._workers = 1
        self._failure: Exception | None = None
        self._trees = tuple(
            OrderedTree(reducer.combine, measure=getattr(reducer, "measure", None))
            for reducer in job.reducers
        )
        self.results = Results()
        if not adapts:
            self.sizes.append((0, learner.first))

    @property
    def sizes(self) -> list[tuple[int, Size]]:
        """The size of chunks from each position on, where it changed."""
        return self.costs.sizes

    # -- handing out ---------------------------------------------------------------------------

    def take_batches(
        self, count: int, workers: int, target_s: float = TARGET_S
    ) -> list[Sequence[Item]]:
        """Return the next batches, at most `count`, and no more than can be cut in no time."""
        until_s = time.perf_counter() + HAND_OUT_S
        batches: list[Sequence[Item]] = []
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
            if _is_streamed(batch) or time.perf_counter() > until_s:
                break
        return batches

    def take_batch(self, workers: int, target_s: float = TARGET_S) -> Sequence[Item]:
        """Return the next items that travel together; empty only at the end.

        `target_s` is how long a chunk should take by default.
        """
        self._workers = workers
        self.costs.aim_at(target_s)
        batch = self._take(1)
        # Several frames of a stream at once would take more memory.
        if batch and not _is_streamed(batch):
            weight = batch.sizes[0] or 1 if isinstance(batch, ItemColumns) else weigh(batch[0])
            size = self.costs.batch_size(weight, self._remaining_weight(), workers)
            batch = join_items([batch, self._take(size - 1, (size - 1) * weight)])
        return batch

    def peek(self, count: int) -> list[Item]:
        """Return the first of the items that are left, which are handed out all the same."""
        first = list(islice(self._items, count))
        self._items = chain(first, self._items)
        return [
            Item(data.key, data, number) if isinstance(data, Chunk) else data
            for number, data in enumerate(first)
        ]

    def _take(self, count: int, max_weight: float = math.inf) -> Sequence[Item]:
        """Take `count` items, fewer where later ones weigh more and these have `max_weight`."""
        columns, items = ItemColumns(self.whole_chunks), list[Item]()
        start, weight = self.positions, 0
        while self.positions - start < count and weight < max_weight and not self.is_cut:
            data = next(self._items, None)
            if data is None:
                self.is_cut = True
                for tree in self._trees:
                    tree.close(self.positions)
                break
            position, self.positions = self.positions, self.positions + 1
            self.handed_out += 1
            if isinstance(data, Item):
                weight += 1
                items.append(data)
                if self._counted_rows is not None:
                    rows = data.rows
                    self._counted_rows = None if rows is None else self._counted_rows + rows
                continue
            nbytes = data.nbytes
            self.cut_nbytes += nbytes
            weight += nbytes or 1
            self.whole_chunks.append(data)
            if items or not self.costs.fits(nbytes):
                items += self.fit(Item(data.key, data, position))
            else:
                columns.positions.append(position)
        return [*columns, *items] if items else columns

    @property
    def chunks(self) -> CutColumns:
        """The chunks that were handed out, in order; of one that was split its parts."""
        return self._split.among(self.whole_chunks)

    # -- splitting -----------------------------------------------------------------------------

    def split(self, item: Item) -> list[Item]:
        """Return the parts that take the place of `item`, in order; none where it can't be split.

        Their partials are combined first, in the chunk's position.
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

    def fit(self, item: Item) -> list[Item]:
        """Return `item`, or its parts where it is larger than what is known to fit."""
        if self.costs.fits(item.nbytes):
            return [item]
        return [fit for part in self.split(item) for fit in self.fit(part)] or [item]

    def next_target(self) -> Size:
        """Return the size of the next chunk, as far as is known by now."""
        remaining = max(0, self.total_nbytes - self.cut_nbytes)
        in_flight = self.handed_out - self.ended
        return self.costs.next_size(self.handed_out, remaining, self._workers, in_flight)

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
        """Return `expect_items` as a whole number, with parts; None if it is unknown."""
        expected = self.expect_items()
        if expected is None:
            return None
        return max(self.handed_out, round(expected) + self.handed_out - self.positions)

    def close(self) -> None:
        """Let go of what is not handed out (a pass over files ends, with its threads) or held."""
        self._items = iter(())
        if self.whole_chunks and (cache := self.whole_chunks[0].reader.row_cache) is not None:
            cache.clear()

    # -- what came back ------------------------------------------------------------------------

    def end(self, item: Item, outcome: Outcome, shares_process: bool) -> None:
        """Take the final outcome of `item`.

        `shares_process` says that other items ran in the same process, so that its peak of memory
        is not this item's.
        """
        self.ended += 1
        self.costs.end(item, outcome, shares_process)
        self.ledger.enter(item, outcome)
        completed = outcome.status is Status.COMPLETED
        self.completed += completed and not outcome.is_fallback
        partials, result = outcome.value if completed else ((), None)
        for number, tree in enumerate(self._trees):
            tree.add(item.index, partials[number] if completed else ABSENT)
        if self.job.keeps_result and completed:
            self.results.put(item.index, result)

    def end_block(self, items: ItemColumns, block: OutcomeBlock, shares_process: bool) -> None:
        """Take the outcomes of `items`, which completed together: see `end`."""
        self.ended += len(items)
        sizes = items.sizes
        self.costs.end_block(sizes, block, shares_process)
        self.ledger.enter_block(items, sum(sizes), block)
        self.completed += len(items)
        for number, tree in enumerate(self._trees):
            for position, (partials, _) in zip(items.positions, block.values, strict=True):
                tree.add((position,), partials[number])
        if self.job.keeps_result:
            for position, (_, result) in zip(items.positions, block.values, strict=True):
                self.results.put((position,), result)

    def loses(self, item: Item, outcome: Outcome) -> bool:
        """Return whether with `outcome` a chunk, split or not, has ended without a result.

        One of which only rows were quarantined has a result.
        """
        return self._split.loses(item.position, outcome)

    def estimate_remaining_s(self, workers: int, used_s: float) -> float | None:
        """Return how many seconds are left for threads that share a lock; None if unknown.

        Before anything has ended, it is the least that is left by the CPU time that they `used_s`.
        """
        expected = self.total_nbytes or self._total_items or 0
        handed_out = self.cut_nbytes or self.handed_out
        return self.costs.estimate_s(expected, handed_out, workers, used_s)

    def finish(self, number: int) -> Any:
        """Return the answer of the reducer with that number."""
        return self.job.reducers[number].finish(self._trees[number].result())

    def account(self) -> dict[str, dict[str, int | None]]:
        """Return bytes and rows: planned, and by where they went; None if unknown."""
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
        # A run that stopped may have handed out all, and not have looked for more.
        is_cut = self.is_cut or 0 < self.total_nbytes == self.cut_nbytes
        is_known = planned is not None or not is_cut
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


def _is_streamed(batch: Sequence[Item]) -> bool:
    return not isinstance(batch, ItemColumns) and isinstance(batch[0].data, StreamBlock)
