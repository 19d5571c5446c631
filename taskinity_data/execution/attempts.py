"""Decide what follows an attempt: another one, after what delay, or the final outcome."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from dataclasses import replace
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import WorkerDied
from taskinity_data.execution.split_chunks import is_too_large
from taskinity_data.execution.worker.failures import describe_failure, hide_in_outcome
from taskinity_data.execution.worker.job import Item, ItemColumns
from taskinity_data.outcome import Attempt, Outcome, Status, without_logs
from taskinity_data.outcome_block import OutcomeBlock, is_plain
from taskinity_data.wording import without_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.sizing import Size
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.retry_rules import Action
    from taskinity_data.execution.window import Batch
    from taskinity_data.policy import Policy

__all__ = [
    "MAX_CHUNKS",
    "MAX_TRIES",
    "Attempts",
    "Repeats",
    "Retries",
    "run_here",
]


class Retries:
    """A queue by time; a delay holds no worker."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Batch, Item]] = []
        self._ticket = count()

    def add(self, batch: Batch, item: Item, delay_s: float) -> None:
        """Let `item`, which was of `batch`, run again in `delay_s`."""
        due = time.monotonic() + delay_s
        heapq.heappush(self._heap, (due, next(self._ticket), batch, item))

    def add_parts(self, batch: Batch, parts: Iterable[Item]) -> None:
        """Let `parts` of an item of `batch` run before all else, the smallest first.

        So few parts are open at a time, and what is good is seen soon.
        """
        for part in parts:
            heapq.heappush(self._heap, (-len(part.part), next(self._ticket), batch, part))

    def take_due(self) -> tuple[Batch, Item] | None:
        """Take out an item that is due; None without one."""
        if not self._heap or self._heap[0][0] > time.monotonic():
            return None
        _, _, batch, item = heapq.heappop(self._heap)
        return batch, item

    def limit_wait(self, timeout_s: float) -> float:
        """Return `timeout_s`, or less where an item is due before."""
        if not self._heap:
            return timeout_s
        return min(timeout_s, max(0.0, self._heap[0][0] - time.monotonic()))

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()

    def __bool__(self) -> bool:
        return bool(self._heap)


MAX_CHUNKS = 10
"""So many chunks, the first ones, may fail with one and the same error: an unlucky beginning (a bad
file) has fewer, and a thousand tell no more."""

MAX_TRIES = 1_000
"""So many tries, parts of halved chunks among them, where there are not that many chunks."""


class Repeats:
    """The errors of one fan-out of which nothing has come through."""

    def __init__(self) -> None:
        self._error: str | None = None
        self._differ = False
        self._positions: set[int] = set()
        self._tries = 0
        self._last: Outcome | None = None

    def see(self, item: Item, outcome: Outcome) -> None:
        """Take notice of a failure that is not tried again as it is."""
        failure = outcome.failure
        if self._differ or failure is None:
            return
        message = failure.message
        for piece in getattr(item.data, "pieces", ()):
            message = message.replace(piece.path, "")
        error = f"{outcome.task}: {failure.kind}: {without_numbers(message)}"
        self._differ = self._error is not None and self._error != error
        self._error = error
        self._positions.add(item.position)
        self._tries += 1
        self._last = outcome

    def explain(self) -> str | None:
        """Return why trying more is of no use, None if it may be."""
        if self._differ or self._last is None:
            return None
        if len(self._positions) >= MAX_CHUNKS:
            label = f"the first {len(self._positions)} chunks"
        elif self._tries >= MAX_TRIES:
            label = f"the first {len(self._positions)} chunks, in {self._tries} pieces,"
        else:
            return None
        return (
            f"{self._last.task} failed: {self._last.failure} ({label} all failed with this error, "
            "and none completed, so nothing more was tried)"
        )

    @property
    def failure(self) -> BaseException | None:
        """The last of these errors."""
        failure = self._last.failure if self._last else None
        return failure.error if failure else None


class Attempts:
    """Owns the attempts of all items: those that were made, and those that are due.

    Parameters
    ----------
    policies : mapping of task to Policy
    fan_outs : mapping of name to RunningFanOut
        Those that run, by now.
    report_size : callable
        Takes a fan-out's name and the size that its chunks have from now on.
    report_retry : callable
        Takes a fan-out's name, an item that is tried again, its outcome so far, how it is tried, in
        words, and in how many parts, 0 as a whole.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        fan_outs: Mapping[str, RunningFanOut],
        report_size: Callable[[str, Size], None],
        report_retry: Callable[[str, Item, Outcome | None, str, int], None],
    ) -> None:
        self.retries = Retries()
        self.repeats: dict[str, Repeats] = {}
        self._policies = policies
        self._fan_outs = fan_outs
        self._report_size = report_size
        self._report_retry = report_retry
        self._waiting_parts: dict[str, list[tuple[Batch, list[Item]]]] = {}
        self._random = Random(0)  # noqa: S311 - jitter
        self._before: dict[tuple[str, tuple[int, ...]], Outcome] = {}
        self._losses: Counter[tuple[str, tuple[int, ...]]] = Counter()
        self._is_stopped = False

    def stop(self) -> None:
        """From now on nothing is tried again."""
        self._is_stopped = True
        self.retries.clear()
        self._waiting_parts.clear()

    def release(self) -> None:
        """Resume what was bisected, once it is known that not all fails alike."""
        for name, fan_out in self._fan_outs.items():
            if fan_out.completed or fan_out.is_cut:
                for batch, parts in self._waiting_parts.pop(name, ()):
                    self.retries.add_parts(batch, parts)

    def take_due(self) -> tuple[Batch, Item] | None:
        """Take out an item that is due, split if it is now known to be too large."""
        while (due := self.retries.take_due()) is not None:
            batch, item = due
            fan_out = self._fan_outs.get(batch.name)
            parts = [item] if fan_out is None else fan_out.fit(item)
            if len(parts) == 1:
                return due
            self._report_retry(
                batch.name,
                item,
                None,
                f"in {len(parts)} parts, since chunks of its size were too large",
                len(parts),
            )
            self.retries.add_parts(batch, parts)
        return None

    def find_repeats(self, name: str) -> tuple[str, BaseException | None] | None:
        """Return why the fan-out `name` is given up, whose items all fail alike, and the error."""
        fan_out, repeats = self._fan_outs.get(name), self.repeats.get(name)
        if fan_out is None or repeats is None or fan_out.completed or fan_out.is_done:
            return None
        reason = repeats.explain()
        return None if reason is None else (reason, repeats.failure)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is to be tried again."""
        return bool(self.retries or self._waiting_parts)

    def take_in(
        self, batch: Batch, results: list[Outcome | OutcomeBlock | BaseException] | BaseException
    ) -> Iterator[tuple[Any, Outcome | OutcomeBlock]]:
        """Yield the items of `batch` that have ended with its `results`, each with its outcome.

        Those of a block come together in a sequence, and so does one with a plain outcome.
        """
        is_lost = isinstance(results, BaseException)
        if isinstance(results, BaseException):
            if self._is_stopped:
                return
            results = [results] * len(batch.items)
        for item, outcome in self._match(batch, results):
            if not isinstance(item, Item):
                yield item, outcome
                continue
            if isinstance(outcome, BaseException):
                has_died = isinstance(outcome, WorkerDied)
                lost = outcome.lost if isinstance(outcome, WorkerDied) else ()
                if (is_lost or has_died) and self._runs_again(batch, item, lost):
                    continue
                # The end of the last of them is this error.
                self._remember(batch.name, item, lost[:-1])
                outcome = _lose(batch.name, item, outcome)
            ended = self._judge(batch, item, hide_in_outcome(outcome))
            if ended is not None:
                yield item, _number_attempts(ended)

    def _match(self, batch: Batch, results: list[Any]) -> Iterator[tuple[Any, Any]]:
        """Yield each result with its item; a block's in one, where all are whole and new.

        Items without a result were left out, since the batch took long; they run next.
        """
        start = 0
        for result in results:
            if not isinstance(result, OutcomeBlock):
                item = batch.items[start]
                start += 1
                is_joined = isinstance(result, Outcome) and is_plain(result)
                yield ([item] if is_joined and self._are_new(batch, [item]) else item), result
                continue
            items = batch.items[start : start + len(result)]
            start += len(result)
            if not result.lost and self._are_new(batch, items):
                yield items, result
            else:
                yield from zip(items, result.outcomes(items), strict=True)
        if not self._is_stopped:
            for item in batch.items[start:]:
                self.retries.add(batch, item, 0.0)

    def _are_new(self, batch: Batch, items: Sequence[Item]) -> bool:
        """Return whether `items` are whole ones of a fan-out that were never tried before."""
        name = batch.name
        if isinstance(items, ItemColumns):
            return True
        return name in self._fan_outs and not any(
            item.part or (self._before and (name, item.index) in self._before) for item in items
        )

    def _remember(self, name: str, item: Item, lost: tuple[Attempt, ...]) -> Outcome | None:
        """Keep the tries of `item` that its cluster has lost; its outcome by now, None without."""
        if not lost:
            return None
        outcome = Outcome(name, item.key, Status.FAILED, lost, nbytes=item.nbytes)
        outcome = _merge(self._before.get((name, item.index)), outcome)
        self._before[name, item.index] = outcome
        return outcome

    def _runs_again(self, batch: Batch, item: Item, lost: tuple[Attempt, ...]) -> bool:
        """Return whether `item` runs again: its worker may have died of another one.

        From the first time on it runs in a child process, so that its own fault is seen there and
        costs no worker; one that is lost all the same dies of what comes from outside.
        """
        self._losses[batch.name, item.index] += 1
        can_tell = batch.strategy.can_end
        if self._losses[batch.name, item.index] > (batch.strategy.max_losses if can_tell else 1):
            return False
        outcome_so_far = self._remember(batch.name, item, lost)
        self._report_retry(
            batch.name, item, outcome_so_far, "its worker died: in a child process", 0
        )
        self.retries.add(batch, replace(item, is_suspect=True), 0.0)
        return True

    def _judge(self, batch: Batch, item: Item, outcome: Outcome) -> Outcome | None:
        """Return the final outcome of `item`; None if it is tried again."""
        name = batch.name
        outcome = _merge(self._before.pop((name, item.index), None), outcome)
        failure = outcome.failure
        if failure is None:
            return outcome
        if type(item.data) is Chunk and item.data.failure is not None:
            # Known before it was tried: as the policy tolerates it, else it had not come so far.
            return replace(outcome, status=Status.SKIPPED)
        from taskinity_data.execution.retry_rules import Action, decide

        policy = self._policies.get(outcome.task) or self._policies[name]
        is_fallback = item.fallback is not None
        draw = self._random.random()
        action, delay_s = decide(policy, failure, item.attempt, draw, is_fallback)
        if self._is_stopped:
            return self._end(outcome, action)
        if is_too_large(failure) and (parts := self._split(name, item)):
            fan_out = self._fan_outs[name]
            if fan_out.costs.shrink(item, parts, fan_out.positions):
                self._report_size(name, fan_out.sizes[-1][1])
            how = f"in {len(parts)} parts, it was too large"
            self._report_retry(name, item, outcome, how, len(parts))
            self.retries.add_parts(batch, parts)
            return None
        if action in (Action.RETRY, Action.FALLBACK):
            stand_in = outcome.task if action is Action.FALLBACK else item.fallback
            how = f"in {delay_s:.2g} s" if action is Action.RETRY else "by its fallback"
            self._report_retry(name, item, outcome, how, 0)
            self._before[name, item.index] = without_logs(outcome)
            again = replace(item, attempt=item.attempt + 1, fallback=stand_in)
            self.retries.add(batch, again, delay_s)
            return None
        repeats = self.repeats.setdefault(name, Repeats())
        if name in self._fan_outs and not self._fan_outs[name].completed:
            repeats.see(item, outcome)
        if action is Action.BISECT and (parts := self._split(name, item)):
            # Held until something of this fan-out has come through: if all of it fails alike, it
            # is no matter of rows.
            self._report_retry(name, item, outcome, "in halves", len(parts))
            self._waiting_parts.setdefault(name, []).append((batch, parts))
            return None
        return self._end(outcome, action)

    def _split(self, name: str, item: Item) -> list[Item]:
        fan_out = self._fan_outs.get(name)
        return [] if fan_out is None else fan_out.split(item)

    def _end(self, outcome: Outcome, action: Action) -> Outcome:
        from taskinity_data.execution.retry_rules import Action

        status = Status.SKIPPED if action is Action.SKIP else Status.FAILED
        return replace(outcome, status=status, is_quarantined=action is Action.BISECT)


def _number_attempts(outcome: Outcome) -> Outcome:
    """Return `outcome` with its attempts counted from 1: a worker numbers those that reached it."""
    numbers = range(1, len(outcome.attempts) + 1)
    if all(attempt.number == n for n, attempt in zip(numbers, outcome.attempts, strict=True)):
        return outcome
    numbered = (
        replace(attempt, number=n) for n, attempt in zip(numbers, outcome.attempts, strict=True)
    )
    return replace(outcome, attempts=tuple(numbered))


def _merge(before: Outcome | None, outcome: Outcome) -> Outcome:
    """Return `outcome` with the attempts that went before it."""
    if before is None:
        return outcome
    return replace(outcome, attempts=(*before.attempts, *outcome.attempts))


def _lose(name: str, item: Item, error: BaseException) -> Outcome:
    """Return the outcome of an item of task `name` whose batch never came back."""
    attempt = Attempt(item.attempt, time.time(), 0.0, "unknown", failure=describe_failure(error))
    return Outcome(name, item.key, Status.FAILED, (attempt,), nbytes=item.nbytes)


def run_here(name: str, key: str, act: Callable[[], Any]) -> tuple[Any, Outcome]:
    """Call `act`, the task `name`, in this thread; return its value and its outcome."""
    started_s, at = time.time(), time.perf_counter()
    value = failure = None
    try:
        value = act()
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        failure = describe_failure(error)
    took_s = time.perf_counter() - at
    attempt = Attempt(1, started_s, took_s, "driver", partial_s=took_s, failure=failure)
    status = Status.COMPLETED if failure is None else Status.FAILED
    return value, Outcome(name, key, status, (attempt,))
