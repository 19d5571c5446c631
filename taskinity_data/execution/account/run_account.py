"""What a run has done so far: kept for its result, and emitted to its observers as it happens."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data import events
from taskinity_data.execution.account.ended_items import EndedItems, ItemColumns
from taskinity_data.execution.account.notices import BadLineBook, Notices
from taskinity_data.outcome import Outcome, Status, without_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.chunks.sizing import Size
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import OutcomeBlock

__all__ = ["Account"]


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
            events.ChunkRetried(self._run_id, time.time(), name, item.key, how, outcome, parts)
        )

    def end_item(self, name: str, item: Item, outcome: Outcome) -> None:
        """Book `outcome`, the final one of `item` of the fan-out `name`."""
        self._book(item, self.bad_lines.take(name, item, outcome))
        self._emit(events.ChunkFinished(self._run_id, time.time(), name, outcome, *item.file_range))

    def end_block(self, name: str, items: Sequence[Item], block: OutcomeBlock) -> None:
        """Book the outcomes of `items`, which completed together."""
        self.outcomes.extend(ItemColumns.of(items), block.without_values())
        self._emit(events.ChunksCompleted(self._run_id, time.time(), name, items, block))

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
