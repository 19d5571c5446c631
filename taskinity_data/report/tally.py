"""Counts what a run says: for each task, chunks, rows and bytes so far, and the time left.

It knows nothing of how that is shown, and no clock but the events' own times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskinity_data.events import (
    ChunkFinished,
    ChunkRetried,
    FanOutGrew,
    RunFinished,
    RunStarted,
    SchedulerChanged,
    TaskFinished,
    TaskStarted,
)
from taskinity_data.outcome import Status
from taskinity_data.report.words import tell_count, tell_nbytes, tell_number, tell_seconds

if TYPE_CHECKING:
    from taskinity_data.events import Event

__all__ = ["Tally", "TaskTally"]


@dataclass(slots=True)
class TaskTally:
    """One task, or one fan-out, so far."""

    name: str
    started_s: float
    now_s: float
    chunks: int = 0
    nbytes: int = 0
    is_fan_out: bool = False
    is_final: bool = False
    is_done: bool = False
    has_failed: bool = False
    completed: int = 0
    failed: int = 0
    retried: int = 0
    done_nbytes: int = 0
    done_rows: int = 0

    @property
    def share(self) -> float:
        """How much is done, from 0 to 1: by bytes where they are known, else by chunks."""
        if self.is_done:
            return 1.0
        if self.nbytes:
            return min(1.0, self.done_nbytes / self.nbytes)
        ended = self.completed + self.failed
        return min(1.0, ended / self.chunks) if self.chunks and self.is_final else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds left at the rate so far, None before there is one."""
        spent = self.now_s - self.started_s
        if self.share <= 0 or spent <= 0:
            return None
        return spent * (1 - self.share) / self.share

    def facts(self) -> list[str]:
        """What is known, in short phrases."""
        spent = max(self.now_s - self.started_s, 1e-9)
        if not self.is_fan_out:
            state = "failed" if self.has_failed else "done" if self.is_done else "running"
            return [f"{state} {tell_seconds(spent)}" if self.is_done else state]
        ended = self.completed + self.failed
        known = f"{ended:,}/{self.chunks:,} chunks" if self.is_final else tell_count(ended, "chunk")
        found = [known]
        if self.failed:
            found.append(f"{self.failed:,} failed")
        if self.retried:
            found.append(f"{self.retried:,} tried again")
        if self.done_rows:
            found.append(f"{tell_number(self.done_rows / spent)} rows/s")
        if self.done_nbytes:
            found.append(f"{tell_number(self.done_nbytes / spent / 1e6)} MB/s")
        if self.is_done:
            found.append(tell_seconds(spent))
        elif self.left_s is not None:
            found.append(f"{tell_seconds(self.left_s)} left")
        return found


@dataclass(slots=True)
class Tally:
    """A run so far: its tasks in the order in which they began, who runs them, their memory."""

    flow: str = ""
    status: str = ""
    scheduler: str = ""
    peak_nbytes: int = 0
    tasks: dict[str, TaskTally] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take `event` into account."""
        match event:
            case RunStarted():
                self.flow = event.flow
            case SchedulerChanged():
                self.scheduler = f"{event.scheduler}, {tell_count(event.workers, 'worker')}"
            case TaskStarted():
                self._task(event.task, event.at_s)
            case FanOutGrew():
                task = self._task(event.task, event.at_s)
                task.is_fan_out, task.is_final = True, event.is_final
                task.chunks, task.nbytes = event.chunks, event.nbytes
            case ChunkRetried():
                self._task(event.task, event.at_s).retried += 1
            case ChunkFinished():
                self._add_chunk(event)
            case TaskFinished():
                task = self._task(event.task, event.at_s)
                task.is_done, task.now_s = True, event.at_s
                failed = event.outcome is not None and event.outcome.status is Status.FAILED
                task.has_failed = failed
            case RunFinished():
                self.status = str(event.status)

    def who(self) -> str:
        """Who runs it, and the most memory that one of their processes has held."""
        memory = f"{tell_nbytes(self.peak_nbytes)} at most" if self.peak_nbytes else ""
        return " · ".join(filter(None, (self.scheduler, memory)))

    def _task(self, name: str, at_s: float) -> TaskTally:
        return self.tasks.setdefault(name, TaskTally(name, at_s, at_s))

    def _add_chunk(self, event: ChunkFinished) -> None:
        task, outcome = self._task(event.task, event.at_s), event.outcome
        task.is_fan_out, task.now_s = True, event.at_s
        task.done_nbytes += outcome.nbytes
        for attempt in outcome.attempts:
            self.peak_nbytes = max(self.peak_nbytes, attempt.peak_nbytes or 0)
        if outcome.status is Status.COMPLETED:
            task.completed += 1
            task.done_rows += outcome.rows or 0
        else:
            task.failed += 1
