"""The batches that are on their way: handed to a strategy, and not yet taken back."""

from __future__ import annotations

import math
import queue
import secrets
import time
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import WorkerDied
from taskinity_data.execution.schedulers.base import NotRun
from taskinity_data.execution.worker.job import ItemColumns
from taskinity_data.outcome import Outcome
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.schedulers.base import Pending, Strategy
    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["WATCH_S", "Batch", "Window", "make_key"]

WATCH_S = 60.0
"""So long nothing may come back before the scheduler is queried whether it still knows of all that
it has: once a minute that costs nothing, and most chunks are quicker."""


MIN_LATE_S, LATE = 1.0, 2.0
"""A batch that takes longer than that, and so many times the mean, may get a second copy."""

PAUSE_S, MANY, FULL = 0.1, 4, 0.9
"""How long `wait` pauses for others to end, a tenth of a batch's time at most, if half of so many,
running and queued, will: what is taken in together costs the driver a third. With less than that
share of the batches that there may be, workers might run dry, where more are to come."""

MEMORY = 8
"""The time of a batch is the mean of about so many of the last ones."""


class Batch(NamedTuple):
    """Items that travel together: of the task `name`, for `job`, by `strategy`."""

    name: str
    items: Sequence[Item]
    strategy: Strategy
    job: Job
    submitted_s: float


class Window:
    """Batches in flight. Used by one thread; futures end in any."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(8)
        self._tickets = count()
        self._in_flight: dict[Pending, Batch] = {}
        self._copies: dict[Pending, Pending] = {}
        self._given_up: list[Any] = []
        self._batch_s: float | None = None
        self._is_cancelled = False
        self._nearly_all = math.inf
        self._progress_s = time.monotonic()
        self._done: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        # Strategies and jobs are kept with what was loaded, so that no id is reused.
        self._loaded: dict[tuple[int, int], tuple[Strategy, Job, Any]] = {}

    def __len__(self) -> int:
        return len(self._in_flight)

    @property
    def done(self) -> int:
        """How many batches `wait` would return at once."""
        return self._done.qsize() if self._in_flight else 0

    def count(self, strategy: Strategy) -> int:
        """Batches that `strategy` has."""
        if all(used is strategy for used, *_ in self._loaded.values()):
            return len(self._in_flight)
        return sum(batch.strategy is strategy for batch in self._in_flight.values())

    def may_start(self, strategy: Strategy, work: Any) -> bool:
        """Return whether `work` may start: single tasks count towards the limit too."""
        if work.job is None or work.is_local or strategy.queues:
            return True
        return self.count(strategy) < strategy.workers

    def limit(self, strategy: Strategy, *, has_more: bool) -> int:
        """Batches that `strategy` is to have at once; `has_more` says if more items are to come."""
        limit = strategy.window(self._batch_s)
        self._nearly_all = math.inf if not strategy.queues else FULL * limit if has_more else 0
        return limit

    @property
    def runs_on(self) -> bool:
        """Whether a copy that was given up still runs in a thread of this process."""
        return not all(future.done() for future in self._given_up)

    def back_up(self, strategy: Strategy) -> list[tuple[str, Item]]:
        """Start second copies of what takes long, where workers are idle; return the items."""
        if self._batch_s is None:
            return []
        late_s = time.monotonic() - max(MIN_LATE_S, LATE * self._batch_s)
        late = [
            (pending, batch)
            for pending, batch in self._in_flight.items()
            if batch.job.has_backups and batch.strategy is strategy and pending not in self._copies
            if batch.submitted_s < late_s
        ][: max(0, strategy.workers - self.count(strategy))]
        for pending, batch in late:
            (copy,) = self._submit_again(batch)
            self._copies[pending], self._copies[copy] = copy, pending
        return [(batch.name, item) for _, batch in late for item in batch.items]

    def _counts(self, pending: Pending, outcomes: Any) -> bool:
        """Return whether a result counts: of two copies the first, unless it is none."""
        other = self._copies.pop(pending, None)
        if other is None:
            return True
        del self._copies[other]
        if isinstance(outcomes, BaseException):
            return False
        batch = self._in_flight.pop(other)
        batch.strategy.cancel([other])
        if not batch.strategy.crosses_processes:
            self._given_up.append(other)
        return True

    def submit(
        self, name: str, batches: Sequence[Sequence[Item]], strategy: Strategy, job: Job
    ) -> Sequence[Pending]:
        """Hand `batches` to their strategy, each under a key of its own; a job is loaded once."""
        ids = id(strategy), id(job)
        if ids not in self._loaded:
            self._loaded[ids] = (strategy, job, strategy.load(job))
        keys = [f"{name}-{self._token}-{next(self._tickets)}" for _ in batches]
        submitted = strategy.submit_all(self._loaded[ids][2], dict(zip(keys, batches, strict=True)))
        at = time.monotonic()
        for pending, items in zip(submitted, batches, strict=True):
            self._in_flight[pending] = Batch(name, items, strategy, job, at)
            pending.add_done_callback(self._done.put)
        return submitted

    def _submit_again(self, batch: Batch) -> Sequence[Pending]:
        return self.submit(batch.name, [batch.items], batch.strategy, batch.job)

    def pause(self, seconds: float) -> None:
        """Let others end."""
        time.sleep(seconds)

    def wake(self) -> None:
        """Let `wait` return at once; from any thread."""
        self._done.put(None)

    def wait(
        self, timeout_s: float
    ) -> list[tuple[Batch, list[Outcome | OutcomeBlock | BaseException] | BaseException]]:
        """Return what is done by now; waits for the first of it, at most `timeout_s` seconds."""
        try:
            done = [self._done.get(timeout=timeout_s)]
        except queue.Empty:
            if time.monotonic() - self._progress_s < WATCH_S:
                return []
            self._progress_s = time.monotonic()
            return list(self._take_lost())
        self._progress_s = time.monotonic()
        batch_s = self._batch_s or 0.0
        pause_s = min(PAUSE_S, batch_s / 10)
        if len(self) > self._nearly_all and len(self) * pause_s > MANY * batch_s:
            self.pause(pause_s)
        while not self._done.empty():
            done.append(self._done.get())
        ended: list[tuple[Batch, list[Outcome | OutcomeBlock | BaseException] | BaseException]] = []
        for strategy, group in self._by_strategy(
            pending for pending in done if pending in self._in_flight
        ):
            for pending, outcomes in zip(group, strategy.collect(group), strict=True):
                batch = self._in_flight.pop(pending, None)
                if batch is None or not self._counts(pending, outcomes):
                    continue
                if isinstance(outcomes, NotRun) and not self._is_cancelled:
                    self._submit_again(batch)
                    continue
                is_chunks = isinstance(batch.items, ItemColumns)
                if is_chunks or batch.items[0].data is not None:  # no plain task
                    self._measure(outcomes)
                ended.append((batch, outcomes))
        return ended

    def _measure(self, outcomes: Any) -> None:
        """Learn from a batch that has ended how long one takes on a worker.

        Several short items count as no time: many are to wait, as they take less than a busy
        driver needs to look again.
        """
        if isinstance(outcomes, list) and outcomes:
            took_s = sum(
                ended.duration_s
                for ended in outcomes
                if isinstance(ended, Outcome)
                or (isinstance(ended, OutcomeBlock) and len(ended) == 1)
            )
            before_s = took_s if self._batch_s is None else self._batch_s
            self._batch_s = before_s + (took_s - before_s) / MEMORY

    def cancel(self) -> None:
        """Cancel batches that are queued; running ones complete and are returned by `wait`."""
        self._is_cancelled = True
        for strategy, group in self._by_strategy(self._in_flight):
            strategy.cancel(group)

    def _take_lost(self) -> list[tuple[Batch, BaseException]]:
        """Take out what a strategy has lost without a word, so far as it can be asked."""
        lost: list[tuple[Batch, BaseException]] = []
        for strategy, group in self._by_strategy(self._in_flight):
            for pending in strategy.find_lost(group):
                error = WorkerDied("the scheduler has lost it without a word, several times")
                batch = self._in_flight.pop(pending)
                if self._counts(pending, error):
                    lost.append((batch, error))
        return lost

    def drop_gone(self) -> None:
        """Forget what was handed to a strategy from which nothing more will come."""
        for strategy, group in self._by_strategy(self._in_flight):
            if strategy.is_gone:
                for pending in group:
                    del self._in_flight[pending]

    def abort(self) -> None:
        """End what runs where that can be done, and forget it; the rest is taken back by `wait`."""
        for strategy, group in self._by_strategy(self._in_flight):
            if strategy.abort():
                for pending in group:
                    del self._in_flight[pending]

    def close(self) -> None:
        """Let go of all that was submitted and loaded, whoever still holds on to this."""
        self._in_flight.clear()
        self._loaded.clear()
        self._done = queue.SimpleQueue()

    def _by_strategy(self, pending: Any) -> list[tuple[Strategy, list[Pending]]]:
        groups: dict[int, tuple[Strategy, list[Pending]]] = {}
        for future in pending:
            strategy = self._in_flight[future].strategy
            groups.setdefault(id(strategy), (strategy, []))[1].append(future)
        return list(groups.values())


def make_key(*parts: str) -> str:
    """Return a short name that no other `parts` have."""
    return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
