"""Count the events of a run: for each task, chunks, rows and bytes so far, and the time left.

The only clock is the times of the events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskinity_data.events import (
    ChunkFinished,
    ChunkRetried,
    ChunkSubmitted,
    FanOutGrew,
    RunFinished,
    RunStarted,
    SchedulerChanged,
    TaskFinished,
    TaskStarted,
)
from taskinity_data.outcome import Status
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from taskinity_data.events import Event

__all__ = ["Tally", "TaskTally"]


@dataclass(slots=True)
class TaskTally:
    """One task, or one fan-out, so far.

    `fresh` are chunks that ended in this try of the run; `worked_s` is what its workers spent on
    them, and `ended_s` when the last of them ended. `at_work` are those that a worker or its queue
    has.
    """

    name: str
    started_s: float
    now_s: float
    chunks: int | None = None
    nbytes: int = 0
    is_fan_out: bool = False
    is_final: bool = False
    is_done: bool = False
    is_stopped: bool = False
    has_failed: bool = False
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    retried: int = 0
    recalled: int = 0
    done_nbytes: int = 0
    fresh_nbytes: int = 0
    fresh_rows: int = 0
    worked_s: float = 0.0
    ended_s: float = 0.0
    workers: int = 1
    at_work: set[str] = field(default_factory=set)

    @property
    def ended(self) -> int:
        """Chunks that have ended, one way or the other."""
        return self.completed + self.failed + self.skipped

    @property
    def share(self) -> float | None:
        """The completed share, from 0 to 1, by bytes or else by chunks; None if unknown."""
        if self.is_done:
            return 1.0
        if self.nbytes:
            return min(1.0, self.done_nbytes / self.nbytes)
        return min(1.0, self.ended / self.chunks) if self.chunks else None

    @property
    def left_s(self) -> float | None:
        """Seconds left, None if unknown.

        What chunks have cost so far, by bytes, is what those that remain will cost. Of that the
        workers have done a part already: all their time that has not gone into chunks that ended,
        as far as it went into chunks at all. The last chunks keep no more workers busy than they
        are many.
        """
        fresh, spent_s = self.ended - self.recalled, self.ended_s - self.started_s
        done = self.fresh_nbytes if self.nbytes else fresh
        if fresh <= 0 or done <= 0 or spent_s <= 0 or self.share is None:
            return None
        remain = self.nbytes - self.done_nbytes if self.nbytes else (self.chunks or 0) - self.ended
        worked_s = self.worked_s or spent_s
        under_way = min(self.workers, len(self.at_work)) * worked_s / fresh
        paid_s = self.workers * spent_s
        used_s = max(worked_s, min(paid_s, worked_s + under_way))
        begun_s = min(under_way, used_s - worked_s)
        at_once = float(self.workers)
        if self.chunks is not None:
            at_once = min(at_once, max(1, self.chunks - self.ended))
        cost_s = max(0.0, worked_s / done * remain - begun_s)
        takes_s = max(cost_s / self.workers * paid_s / used_s, cost_s / at_once)
        left_s = takes_s - (self.now_s - self.ended_s)
        return left_s if left_s > 0 else None

    def phrases(self) -> list[str]:
        """Return what is known, in short phrases."""
        spent = max(self.now_s - self.started_s, 0.0)
        if not self.is_fan_out:
            state = "stopped" if self.is_stopped else "done" if self.is_done else "running"
            state = "failed" if self.has_failed else state
            return [f"{state} {format_seconds(spent)}" if self.is_done or spent >= 1 else state]
        phrases = [self._chunks()]
        for count, label in (
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.retried, "tried again"),
            (self.recalled, "reused"),
        ):
            if count:
                phrases.append(f"{count:,} {label}")
        lasted = max(self.ended_s - self.started_s, 1e-9)
        if self.fresh_rows:
            phrases.append(f"{format_number(self.fresh_rows / lasted)} rows/s")
        if self.fresh_nbytes:
            phrases.append(f"{format_nbytes(self.fresh_nbytes / lasted)}/s")
        if self.is_done:
            phrases.append(format_seconds(spent))
        elif self.left_s is not None and not self.is_stopped:
            phrases.append(f"{format_seconds(self.left_s)} left")
        return phrases

    def _chunks(self) -> str:
        if self.chunks is None or (self.is_done and not self.is_final):
            return format_count(self.ended, "chunk")
        if self.is_final:
            return f"{self.ended:,}/{self.chunks:,} chunks"
        return f"{self.ended:,} of about {self.chunks:,} chunks"

    def take(self, event: ChunkFinished) -> None:
        """Count a chunk that has ended."""
        outcome = event.outcome
        self.is_fan_out, self.now_s, self.ended_s = True, event.at_s, event.at_s
        self.at_work.discard(outcome.key)
        self.done_nbytes += outcome.nbytes
        is_completed = outcome.status is Status.COMPLETED
        self.completed += is_completed
        self.skipped += outcome.status is Status.SKIPPED
        self.failed += not is_completed and outcome.status is not Status.SKIPPED
        if outcome.is_recalled:
            self.recalled += 1
            return
        self.fresh_nbytes += outcome.nbytes
        self.fresh_rows += (outcome.rows or 0) if is_completed else 0
        self.worked_s += sum(attempt.duration_s for attempt in outcome.attempts)


@dataclass(slots=True)
class Tally:
    """A run so far: its tasks in the order in which they began, who runs them, their memory."""

    flow: str = ""
    status: str = ""
    scheduler: str = ""
    link: str = ""
    workers: int = 1
    peak_nbytes: int = 0
    tasks: dict[str, TaskTally] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Take `event` into account."""
        match event:
            case RunStarted():
                self.flow = event.flow
            case SchedulerChanged():
                self._change(event)
            case TaskStarted():
                self._task(event.task, event.at_s)
            case FanOutGrew():
                task = self._task(event.task, event.at_s)
                task.is_fan_out, task.is_final = True, event.is_final
                task.chunks, task.nbytes = event.chunks, event.nbytes
            case ChunkSubmitted():
                self._task(event.task, event.at_s).at_work.add(event.key)
            case ChunkRetried():
                task = self._task(event.task, event.at_s)
                task.retried += 1
                task.at_work.discard(event.key)
            case ChunkFinished():
                self._task(event.task, event.at_s).take(event)
                for attempt in event.outcome.attempts:
                    self.peak_nbytes = max(self.peak_nbytes, attempt.peak_nbytes or 0)
            case TaskFinished():
                task = self._task(event.task, event.at_s)
                task.is_done, task.now_s = True, event.at_s
                failed = event.outcome is not None and event.outcome.status is Status.FAILED
                task.has_failed = failed
            case RunFinished():
                self.status = str(event.status)
                for task in self.tasks.values():
                    task.is_stopped = not task.is_done

    def pulse(self, at_s: float) -> None:
        """Advance the time of running tasks to `at_s`, so that elapsed times change."""
        for task in self.tasks.values():
            if not task.is_done:
                task.now_s = max(task.now_s, at_s)

    def describe_workers(self) -> str:
        """Describe the scheduler and its workers, and the peak memory of any of their processes."""
        memory = f"{format_nbytes(self.peak_nbytes)} at most" if self.peak_nbytes else ""
        return " · ".join(filter(None, (self.scheduler, memory)))

    def _change(self, event: SchedulerChanged) -> None:
        self.scheduler = f"{event.scheduler}, {format_count(event.workers, 'worker')}"
        self.workers, self.link = event.workers, event.dashboard_link or ""
        for task in self.tasks.values():
            task.workers = event.workers

    def _task(self, name: str, at_s: float) -> TaskTally:
        task = self.tasks.get(name)
        if task is None:
            task = self.tasks[name] = TaskTally(name, at_s, at_s, workers=self.workers)
        return task
