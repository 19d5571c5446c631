"""A run as the dashboard's page knows it: told in batches of plain values, kept in columns.

It lives in the scheduler's process, which may be another machine's; it knows nothing of Dask or of
how it is drawn.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["MOST_FAILURES", "STATES", "LiveRun", "LiveTask"]

STATES = ("PENDING", "RUNNING", "COMPLETED", "RETRYING", "SKIPPED", "FAILED")
"""What a chunk can be, as drawn; ``RUNNING`` is handed to a worker or its queue."""

MOST_FAILURES = 200
"""Failures that are kept with their tracebacks, the newest."""

MOST_POINTS = 2_000
"""Points of a series over time; when there are more, each second one is dropped."""


@dataclass(slots=True)
class LiveTask:
    """One task of the flow, or one fan-out, so far."""

    name: str
    state: str = "PENDING"
    chunks: int = 0
    is_final: bool = False
    is_fan_out: bool = False
    nbytes: int = 0
    done_nbytes: int = 0
    done_rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def tell(self) -> str:
        """How far it is, in a few words."""
        if not self.is_fan_out:
            return self.state.lower()
        ended = sum(self.counts[state] for state in ("COMPLETED", "SKIPPED", "FAILED"))
        total = f"{self.chunks:,}" if self.is_final else f"{self.chunks:,} or more"
        told = f"{ended:,} of {total} chunks"
        lost = self.counts["FAILED"] + self.counts["SKIPPED"]
        return f"{told}, {lost:,} failed or skipped" if lost else told


class LiveRun:
    """One run; `add` takes what the driver sends.

    Attributes
    ----------
    tasks : dict of name to LiveTask
    index : dict of (task, key) to the chunk's place in the columns below
    columns : dict of name to list
        ``task, key, path, where, nbytes, rows, state, attempts, worker, seconds``, each with an
        entry for every chunk.
    failures : deque of (task, where, error, traceback)
    throughput, sizes : list of (seconds since the start, number)
        Bytes done so far; the planned bytes of each chunk when it was handed out.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.flow = self.status = self.scheduler = ""
        self.svg = ""
        self.started_s = self.now_s = 0.0
        self.tasks: dict[str, LiveTask] = {}
        self.index: dict[tuple[str, str], int] = {}
        names = ("task", "key", "path", "where", "nbytes", "rows", "state", "attempts")
        self.columns: dict[str, list[Any]] = {name: [] for name in (*names, "worker", "seconds")}
        self.failures: deque[tuple[str, str, str, str]] = deque(maxlen=MOST_FAILURES)
        self.throughput: list[tuple[float, float]] = []
        self.sizes: list[tuple[float, float]] = []
        self.version = 0
        self._done_nbytes = 0

    def add(self, batch: list[tuple[Any, ...]]) -> None:
        """Take in what happened: tuples of a kind, a time, and what belongs to it."""
        for kind, at_s, *facts in batch:
            self.now_s = at_s
            getattr(self, f"_on_{kind}")(*facts)
        self.throughput.append((self.now_s - self.started_s, float(self._done_nbytes)))
        for series in (self.throughput, self.sizes):
            if len(series) > MOST_POINTS:
                del series[1:-1:2]
        self.version += 1

    def _task(self, name: str) -> LiveTask:
        return self.tasks.setdefault(name, LiveTask(name))

    def _on_run(self, flow: str, tasks: tuple[str, ...], svg: str) -> None:
        self.flow, self.svg, self.started_s, self.status = flow, svg, self.now_s, "RUNNING"
        for name in tasks:
            self._task(name)

    def _on_svg(self, svg: str) -> None:
        self.svg = svg

    def _on_scheduler(self, told: str) -> None:
        self.scheduler = told

    def _on_begin(self, name: str) -> None:
        self._task(name).state = "RUNNING"

    def _on_end(self, name: str, state: str) -> None:
        self._task(name).state = state

    def _on_grew(self, name: str, chunks: int, nbytes: int, is_final: bool) -> None:
        task = self._task(name)
        task.is_fan_out = True
        task.chunks, task.nbytes, task.is_final = chunks, nbytes, is_final

    def _on_chunk(self, name: str, key: str, nbytes: int, path: str, where: str) -> None:
        task = self._task(name)
        place = self.index.get((name, key))
        if place is not None:
            self._set_state(task, place, "RETRYING")
            return
        self.index[name, key] = len(self.columns["key"])
        row = (name, key, path, where, nbytes, None, "RUNNING", 0, "", 0.0)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)
        task.counts["RUNNING"] += 1
        if nbytes:
            self.sizes.append((self.now_s - self.started_s, float(nbytes)))

    def _on_done(
        self,
        name: str,
        key: str,
        state: str,
        rows: int | None,
        attempts: int,
        worker: str,
        seconds: float,
        error: str,
        traceback: str,
    ) -> None:
        place = self.index.get((name, key))
        if place is None:
            return
        task = self._task(name)
        self._set_state(task, place, state)
        columns = self.columns
        columns["rows"][place], columns["attempts"][place] = rows, attempts
        columns["worker"][place], columns["seconds"][place] = worker, seconds
        task.done_nbytes += columns["nbytes"][place]
        self._done_nbytes += columns["nbytes"][place]
        task.done_rows += rows or 0
        if error:
            where = f"{columns['path'][place]} {columns['where'][place]}".strip() or key
            self.failures.append((name, where, error, traceback))

    def _on_finish(self, status: str) -> None:
        self.status = status
        if status in ("COMPLETED", "PARTIAL"):
            # A task whose value was there before the run has never begun.
            for task in self.tasks.values():
                task.state = "COMPLETED" if task.state in ("PENDING", "RUNNING") else task.state

    def _set_state(self, task: LiveTask, place: int, state: str) -> None:
        before = self.columns["state"][place]
        task.counts[before] -= 1
        task.counts[state] += 1
        self.columns["state"][place] = state
