"""Count the events of a run: for each task, chunks, rows and bytes so far, and the time left.

The only clock is the times of the events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskinity_data.events import (
    ChunkFinished,
    ChunkRetried,
    ChunksCompleted,
    ChunksSubmitted,
    ChunkSubmitted,
    FanOutGrew,
    RunFinished,
    RunStarted,
    SchedulerChanged,
    TaskFinished,
    TaskStarted,
)
from taskinity_data.outcome import Status
from taskinity_data.report.palette import STATES
from taskinity_data.report.task_count import TaskCount, state_of
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.events import Event

__all__ = ["Tally", "TaskTally"]


@dataclass(slots=True)
class TaskTally(TaskCount):
    """One task, or one fan-out, as progress shows it.

    `at_work` are chunks that a worker or its queue has; some that go back are counted twice.
    `stopped_by` is the status of a run that ended before it.
    """

    now_s: float = 0.0
    is_minor: bool = False
    stopped_by: str = ""
    has_failed: bool = False
    workers: int = 1
    at_work: int = 0

    @property
    def left_s(self) -> float | None:
        """Seconds left, None if unknown."""
        max_left = self.at_work if self.chunks is None else self.chunks - self.ended
        return self.estimate_left(self.now_s, self.workers, min(self.at_work, max_left))

    @property
    def state(self) -> str:
        """What it does, in a word; of a fan-out whose chunks are not known yet that it plans."""
        if self.has_failed:
            return "failed"
        if self.stopped_by:
            return "stopped"
        if self.is_done:
            return "done"
        return "planning" if self.is_fan_out else "running"

    @property
    def tone(self) -> str:
        """The name of its colour in `palette.TONES`."""
        if self.has_failed or self.stopped_by:
            return STATES[self.stopped_by or "FAILED"]
        if not self.is_done:
            return "running"
        return "attention" if self.lost or self.counts["FALLBACK"] else "good"

    @property
    def is_shown(self) -> bool:
        """Whether it is worth a line: what nobody wrote is so once it takes a second."""
        return not self.is_minor or self.now_s - self.started_s >= 1

    def fields(self, *, has_elapsed: bool = True) -> list[tuple[int, str]]:
        """Return short phrases in the order of a line, each with its rank: the last go first."""
        spent_s = max(self.now_s - self.started_s, 0.0)
        elapsed = format_seconds(spent_s)
        if not self.is_fan_out or (not self.ended and not self.chunks):
            return [(0, f"{self.state} {elapsed}" if self.is_done or spent_s >= 1 else self.state)]
        lasted_s = max(self.ended_s - self.started_s, 1e-9)
        rate = f"{format_nbytes(self.fresh_nbytes / lasted_s)}/s" if self.fresh_nbytes else ""
        if self.fresh_rows:
            rate = f"{format_number(self.fresh_rows / lasted_s)} rows/s"
        # The number of chunks is not shown while it is an estimate.
        total = f"/{self.chunks:,}" if self.is_final and self.chunks is not None else ""
        chunks = f"{self.ended:,}{total} chunks" if total else format_count(self.ended, "chunk")
        left_s = None if self.is_done or self.stopped_by else self.left_s
        counts = self.counts
        fields = [
            (2, elapsed if has_elapsed or self.is_done else ""),
            (1, f"{format_seconds(left_s)} left" if left_s is not None else ""),
            (3, rate),
            (0, f"{counts['FAILED']:,} failed" if counts["FAILED"] else ""),
            (0, f"{counts['SKIPPED']:,} skipped" if counts["SKIPPED"] else ""),
            (4, f"{counts['FALLBACK']:,} by fallback" if counts["FALLBACK"] else ""),
            (4, f"{self.retried:,} retried" if self.retried else ""),
            (5, f"{counts['REUSED']:,} reused" if counts["REUSED"] else ""),
            (6, chunks if self.ended else ""),
        ]
        return [field for field in fields if field[1]]

    def describe(self, separator: str, *, has_elapsed: bool = True) -> str:
        """Return percent and all fields in one text."""
        share = [f"{self.share:.0%}"] if self.is_fan_out and self.share is not None else []
        fields = [text for _, text in self.fields(has_elapsed=has_elapsed)]
        return separator.join([*share, *fields])

    def take(self, event: ChunkFinished) -> None:
        """Count a chunk that has ended."""
        outcome = event.outcome
        self.is_fan_out, self.now_s = True, event.at_s
        self.at_work = max(0, self.at_work - (not outcome.is_recalled))
        self.counts[state_of(outcome)] += 1
        rows = (outcome.rows or 0) if outcome.status is Status.COMPLETED else 0
        worked_s = sum(attempt.duration_s for attempt in outcome.attempts)
        fresh = int(not outcome.is_recalled)
        self.add_ended(outcome.nbytes, rows, worked_s, event.at_s, chunks=fresh)

    def take_batch(self, event: ChunksCompleted) -> None:
        """Count chunks that have completed together."""
        self.is_fan_out, self.now_s = True, event.at_s
        count, block = len(event.items), event.block
        self.at_work = max(0, self.at_work - count)
        self.counts["COMPLETED"] += count
        self.add_ended(
            sum(event.items.sizes), block.rows, block.duration_s, event.at_s, chunks=count
        )


@dataclass(slots=True)
class Tally:
    """A run so far: its tasks in the order in which they began, who runs them, their memory.

    `labels` are what tasks and flow of `process` are shown as, `fan_outs` the names of those tasks
    that run once a chunk.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    fan_outs: frozenset[str] = frozenset()
    flow: str = ""
    status: str = ""
    scheduler: str = ""
    link: str = ""
    workers: int = 1
    peak_nbytes: int = 0
    tasks: dict[str, TaskTally] = field(default_factory=dict)

    @classmethod
    def of(cls, flow: Any, labels: Mapping[str, str]) -> Tally:
        """Return that of a run of `flow` which begins."""
        names = frozenset(task.name for task in flow.tasks if task.width is not None)
        return cls(labels, names)

    def add(self, event: Event) -> None:
        """Take `event` into account."""
        match event:
            case RunStarted():
                self.flow = self.labels.get(event.flow, event.flow)
            case SchedulerChanged():
                self._change(event)
            case TaskStarted():
                self._task(event.task, event.at_s)
            case FanOutGrew():
                task = self._task(event.task, event.at_s)
                task.is_fan_out, task.is_final = True, event.is_final
                task.chunks, task.nbytes = event.chunks, event.nbytes
            case ChunkSubmitted():
                self._task(event.task, event.at_s).at_work += 1
            case ChunkRetried():
                task = self._task(event.task, event.at_s)
                task.retried += 1
                task.at_work = max(0, task.at_work - 1)
            case ChunkFinished():
                self._task(event.task, event.at_s).take(event)
                for attempt in event.outcome.attempts:
                    self.peak_nbytes = max(self.peak_nbytes, attempt.peak_nbytes or 0)
            case ChunksSubmitted():
                self._task(event.task, event.at_s).at_work += len(event.items)
            case ChunksCompleted():
                self._task(event.task, event.at_s).take_batch(event)
                self.peak_nbytes = max(self.peak_nbytes, event.block.peak_nbytes or 0)
            case TaskFinished():
                task = self._task(event.task, event.at_s)
                task.is_done, task.now_s = True, event.at_s
                failed = event.outcome is not None and event.outcome.status is Status.FAILED
                task.has_failed = failed
            case RunFinished():
                self.status = str(event.status)
                for task in self.tasks.values():
                    task.stopped_by = "" if task.is_done else self.status

    def pulse(self, at_s: float) -> None:
        """Advance the time of running tasks to `at_s`, so that elapsed times change."""
        for task in self.tasks.values():
            if not task.is_done:
                task.now_s = max(task.now_s, at_s)

    @property
    def shown(self) -> list[TaskTally]:
        """The tasks that are worth a line."""
        return [task for task in self.tasks.values() if task.is_shown]

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
            label, is_fan_out = self.labels.get(name, name), name in self.fan_outs
            task = TaskTally(label, at_s, is_fan_out=is_fan_out, now_s=at_s, workers=self.workers)
            task.is_minor = bool(self.labels) and not is_fan_out
            self.tasks[name] = task
        return task
