"""What a run has done so far: its outcomes, notices and bad lines, and the events of them.

Items of a block that completed together are kept in columns, not as an object each.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import tee
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data import events
from taskinity_data.execution.worker.job import ItemColumns
from taskinity_data.outcome import (
    LOST_WITH_WORKER,
    BadLine,
    Outcome,
    Status,
    take_first,
    without_logs,
)
from taskinity_data.outcome_block import OutcomeBlock
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskinity_data.chunks.sizing import Size
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import Attempt, Outcome

__all__ = ["Account", "BadLineBook", "EndedItems", "Entry", "Notices"]


class Account:
    """The outcomes of one run, in the order in which they came.

    Parameters
    ----------
    run_id : str
    emit : callable
        Takes each event.
    """

    def __init__(self, run_id: str, emit: Callable[[events.Event], None]) -> None:
        self.outcomes = EndedItems()
        self.notices = Notices()
        self.bad_lines = BadLineBook()
        self._run_id = run_id
        self._emit = emit

    @property
    def has_losses(self) -> bool:
        """Whether something has no result of its own, or not of all its rows."""
        return any(
            outcome.status is not Status.COMPLETED or outcome.is_fallback or outcome.bad_lines
            for _, outcome in self.outcomes.singles
        )

    def begin(self, name: str) -> None:
        """Report that the task `name` has started."""
        self._emit(events.TaskStarted(self._run_id, time.time(), name))

    def submit(self, name: str, items: Sequence[Item]) -> None:
        """Report that `items` of the task `name` were handed to the workers together."""
        submitted = events.ChunksSubmitted(self._run_id, time.time(), name, items)
        self._emit(submitted if len(items) > 1 else next(submitted.split()))

    def grow(self, fan_out: RunningFanOut) -> None:
        """Report that more items of `fan_out` are known."""
        self._emit(
            events.FanOutGrew(
                self._run_id,
                time.time(),
                fan_out.name,
                fan_out.expect_all(),
                fan_out.total_nbytes,
                fan_out.total_rows,
                fan_out.is_counted,
            )
        )

    def resize(self, name: str, size: Size) -> None:
        """Report that the next chunks of the fan-out `name` have another size."""
        self._emit(
            events.SizeChanged(self._run_id, time.time(), name, size.target_nbytes, size.reason)
        )

    def retry(self, name: str, item: Item, outcome: Outcome | None, how: str, parts: int) -> None:
        """Report that `item` is tried again, as `how` says, whole or in so many `parts`."""
        if outcome is None and not parts:
            self.notices.lose(name, item)
        self._emit(
            events.ChunkRetried(
                self._run_id, time.time(), name, item.key, how, outcome, parts, *item.file_range
            )
        )

    def end_item(self, name: str, item: Item, outcome: Outcome) -> None:
        """Book `outcome`, the final one of `item` of the fan-out `name`."""
        self._book(item, self.bad_lines.take(name, item, outcome))
        self._emit(events.ChunkFinished(self._run_id, time.time(), name, outcome, *item.file_range))

    def end_block(self, name: str, items: ItemColumns, block: OutcomeBlock) -> None:
        """Book the outcomes of `items`, which completed together."""
        self.outcomes.extend(items, block.without_values())
        completed = events.ChunksCompleted(self._run_id, time.time(), name, items, block)
        self._emit(completed if len(items) > 1 else next(completed.split()))

    def end(self, name: str, outcome: Outcome | None = None) -> None:
        """Book the end of the task `name`; a fan-out has no `outcome`, its items have theirs."""
        if outcome is not None:
            outcome = self._book(None, outcome)
        self._emit(events.TaskFinished(self._run_id, time.time(), name, outcome))

    def _book(self, item: Item | None, outcome: Outcome) -> Outcome:
        # The value lives in the tree or among the results; the account must not hold it too.
        booked = replace(outcome, value=None)
        self.outcomes.append(item, without_logs(booked))
        self.notices.see(item, outcome)
        return booked


_MAX_JOINED = 1 << 14
"""Items that ended together are joined to those before, up to so many: columns alone take about a
kilobyte."""


class EndedItems(Sequence["tuple[Item | None, Outcome]"]):
    """Pairs of an item (None: a task that runs once) and its outcome, in the order they came.

    Those of blocks are created on each access.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Any, Any]] = []
        self._count = 0

    def append(self, item: Item | None, outcome: Outcome) -> None:
        """Add one that has ended."""
        self._parts.append((item, outcome))
        self._count += 1

    def extend(self, items: ItemColumns, block: OutcomeBlock) -> None:
        """Add the `items` of a block."""
        self._count += len(items)
        before: Any
        before, last = self._parts[-1] if self._parts else (None, block)
        is_same = isinstance(before, ItemColumns) and before.chunks is items.chunks
        if not is_same or last.task != block.task or len(before) >= _MAX_JOINED:
            # Own columns, to which others are added: these are held elsewhere too.
            before, last = ItemColumns(items.chunks), OutcomeBlock(block.task)
            self._parts.append((before, last))
        before.add(items)
        last.add_block(block)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Item | None, Outcome]]:
        for item, outcome in self._parts:
            if isinstance(outcome, OutcomeBlock):
                items = iter(item)
                again, left = tee(items)
                yield from zip(again, outcome.outcomes(left), strict=True)
            else:
                yield item, outcome

    def __getitem__(self, number: Any) -> Any:
        return list(self)[number]

    @property
    def singles(self) -> list[tuple[Item | None, Outcome]]:
        """Those outside blocks: all that did not simply complete are among them."""
        return [part for part in self._parts if not isinstance(part[1], OutcomeBlock)]

    def totals(self) -> Iterator[tuple[bool, Attempt]]:
        """Yield whether it was an item's, and each attempt of this run.

        Those of a block are one attempt for each worker.
        """
        for item, outcome in self._parts:
            if isinstance(outcome, OutcomeBlock):
                yield from ((True, total) for total in outcome.totals())
            elif not outcome.is_recalled:
                # What an earlier run did took no time of this one.
                for attempt in outcome.attempts:
                    yield item is not None, attempt


_log = logging.getLogger(__name__)


class Notices:
    """Gathers them from outcomes, in the order in which these end."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._columns: dict[str, tuple[str, ...]] = {}

    def see(self, item: Item | None, outcome: Outcome) -> None:
        """Take notice of what came up while `item` ran."""
        for attempt in outcome.attempts:
            for notice in attempt.notices:
                self._add(f"{outcome.task} {notice}", item)
        if item is not None and outcome.columns is not None:
            first_columns = self._columns.setdefault(outcome.task, outcome.columns)
            if outcome.columns != first_columns:
                self._add(f"{outcome.task}: {_differ(first_columns, outcome.columns)}", item)

    def lose(self, task: str, item: Item) -> None:
        """Take notice of a worker that died under `item`, which runs again."""
        self._add(f"{task} ran again: {LOST_WITH_WORKER}", item)

    def back_up(self, task: str, item: Item) -> None:
        """Take notice of a second copy of `item`, which took long."""
        self._add(f"{task} took long: a second copy was started, the first result counts", item)

    def _add(self, notice: str, item: Item | None) -> None:
        notice = hide(notice)
        self._counts[notice] += 1
        if notice not in self._first:
            data = getattr(item, "data", None)
            where = f", first in {data}" if hasattr(data, "pieces") else ""
            self._first[notice] = where
            _log.warning("%s%s", notice, where)

    @property
    def lines(self) -> tuple[str, ...]:
        """Each matter with where it came up first, and how often."""
        often = {notice: f" ({n:,} times)" for notice, n in self._counts.items() if n > 1}
        return tuple(f"{notice}{at}{often.get(notice, '')}" for notice, at in self._first.items())


def _differ(first: tuple[str, ...], columns: tuple[str, ...]) -> str:
    more = [name for name in columns if name not in first]
    fewer = [name for name in first if name not in columns]
    # Names may hold anything, terminal escapes too.
    parts = [f"more: {', '.join(map(repr, more))}"] if more else []
    parts += [f"missing: {', '.join(map(repr, fewer))}"] if fewer else []
    differences = "; ".join(parts) or "in another order"
    return f"a result has other columns than the first one ({differences}), and concat() fills gaps"


MAX_LINES, MAX_NBYTES = 10_000, 16 << 20
"""Kept of a whole run: a file that has more needs another separator, not a look at each line."""


class Entry(NamedTuple):
    """A bad line, the task that read it, and its chunk's key."""

    task: str
    key: str
    line: BadLine


class BadLineBook:
    """Takes bad lines as chunks end, in any order, and holds the first of them by chunk and row.

    At most about twice `MAX_LINES` and `MAX_NBYTES` are held; which ones are given back does not
    depend on the order in which chunks end.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        self._count = self._nbytes = 0

    def take(self, name: str, item: Item | None, outcome: Outcome) -> Outcome:
        """Return `outcome` of an item of fan-out `name` without its lines, which are kept here."""
        bad = outcome.bad_lines
        if bad is None or item is None:
            return outcome
        self._lines[name, item.index] = (outcome.key, bad.lines)
        self._count += len(bad.lines)
        self._nbytes += sum(len(line.raw) for line in bad.lines)
        if self._count > 2 * MAX_LINES or self._nbytes > 2 * MAX_NBYTES:
            self._trim()
        return replace(outcome, bad_lines=replace(bad, lines=()))

    def entries(self) -> tuple[Entry, ...]:
        """Return the lines that are kept, in the order of fan-outs' names, chunks and rows."""
        self._trim()
        return tuple(
            Entry(name, key, line)
            for (name, _), (key, lines) in sorted(self._lines.items())
            for line in lines
        )

    def _trim(self) -> None:
        max_lines, max_nbytes = MAX_LINES, MAX_NBYTES
        retained: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        for index, (key, lines) in sorted(self._lines.items()):
            first_lines = take_first(lines, max_lines, max_nbytes)
            if first_lines:
                retained[index] = (key, first_lines)
            max_lines -= len(first_lines)
            max_nbytes -= sum(len(line.raw) for line in first_lines)
            if len(first_lines) < len(lines):
                break
        self._lines = retained
        self._count, self._nbytes = MAX_LINES - max_lines, MAX_NBYTES - max_nbytes
