"""Keep the state of a run for the dashboard's page, in columns, from batches of plain values.

It lives in the scheduler's process, which may be on another machine.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = [
    "HANDLER",
    "MAX_FAILURES",
    "MAX_POINTS",
    "PAGE",
    "STATES",
    "LiveNode",
    "LiveRun",
    "LiveTask",
]

HANDLER = "taskinity_page"
"""The scheduler's handler that takes batches."""

PAGE = "/taskinity"
"""Where the page stands on Dask's dashboard."""


STATES = ("PENDING", "RUNNING", "RETRYING", "COMPLETED", "REUSED", "SKIPPED", "FAILED")
"""What a chunk can be, as drawn: ``RUNNING`` is handed to a worker or its queue, ``REUSED`` was
finished by an earlier run, ``PENDING`` was given back when the run ended."""

_SPLIT = "SPLIT"
"""A chunk whose place its parts have taken; it is drawn no more."""

_WORST_FIRST = ("FAILED", "RUNNING", "STOPPED", "SKIPPED", "COMPLETED")
"""States of tasks that have begun; ``STOPPED`` is one that the run's end has kept from going on."""

MAX_FAILURES = 200
"""Failures that are kept with their tracebacks, the newest."""

MAX_POINTS = 2_000
"""Points of a series over time; when there are more, each second one is dropped."""


class LiveNode(NamedTuple):
    """A node of the drawn flow: its label, whether it fans out or only stands by for a task that
    fails, and the names of the tasks that it stands for.
    """

    label: str
    is_fan_out: bool
    stands_by: bool
    names: tuple[str, ...]


@dataclass(slots=True)
class LiveTask:
    """One task of the flow, or one fan-out, so far."""

    name: str
    state: str = "PENDING"
    chunks: int | None = None
    is_final: bool = False
    is_fan_out: bool = False
    nbytes: int = 0
    done_nbytes: int = 0
    done_rows: int = 0
    retried: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """Describe its progress in a few words."""
        if not self.is_fan_out:
            return self.state.lower()
        ended = sum(self.counts[state] for state in ("COMPLETED", "REUSED", "SKIPPED", "FAILED"))
        total = "" if self.chunks is None else f" of {self.chunks:,}"
        about = total if self.is_final else total.replace(" of ", " of about ")
        parts = [f"{ended:,}{about} chunks"]
        lost = self.counts["FAILED"] + self.counts["SKIPPED"]
        parts += [f"{lost:,} failed or skipped"] if lost else []
        parts += [f"{self.counts['REUSED']:,} reused"] if self.counts["REUSED"] else []
        parts += [f"{self.retried:,} tried again"] if self.retried else []
        return ", ".join(parts)


class LiveRun:
    """One run; `add` takes what the driver sends.

    Attributes
    ----------
    driver : str
        The client that sends it.
    nodes : dict of id to LiveNode
        Of the drawn flow, whose SVG bears ``state-ID`` among the classes of each node.
    tasks : dict of name to LiveTask
    index : dict of (task, key) to the chunk's place in the columns below
    columns : dict of name to list
        ``task, key, path, where, nbytes, rows, state, attempts, worker, seconds``, each with an
        entry for every chunk.
    files : dict of (task, path) to places of its chunks
    shares : dict of (task, path) to how many of its chunks are in each state
    failures : deque of (task, where, error, traceback)
    throughput, sizes : list of (seconds since the start, number)
        Bytes, or chunks where they have none, that this try has done; the planned bytes of each
        chunk when it was handed out.
    """

    def __init__(self, run_id: str, driver: str = "") -> None:
        self.run_id, self.driver = run_id, driver
        self.flow = self.status = self.scheduler = ""
        self.svg = ""
        self.nodes: dict[str, LiveNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.started_s = self.now_s = self._received_s = 0.0
        self.tasks: dict[str, LiveTask] = {}
        self.index: dict[tuple[str, str], int] = {}
        names = ("task", "key", "path", "where", "nbytes", "rows", "state", "attempts")
        self.columns: dict[str, list[Any]] = {name: [] for name in (*names, "worker", "seconds")}
        self.files: dict[tuple[str, str], list[int]] = {}
        self.shares: dict[tuple[str, str], Counter[str]] = {}
        self.failures: deque[tuple[str, str, str, str]] = deque(maxlen=MAX_FAILURES)
        self.throughput: list[tuple[float, float]] = []
        self.sizes: list[tuple[float, float]] = []
        self.has_bytes = False
        self.version = 0
        self._done = 0
        self._texts: dict[str, str] = {}

    def add(self, batch: list[tuple[Any, ...]]) -> None:
        """Add events: tuples of a kind, a time, and what belongs to it."""
        if self.status == "LOST":
            self.status = "RUNNING"  # it was cut off, and has come back
        for kind, at_s, *values in batch:
            self.now_s = max(self.now_s, at_s)
            getattr(self, f"_on_{kind}")(*values)
        self._received_s = time.monotonic()
        self.throughput.append((self.now_s - self.started_s, float(self._done)))
        for series in (self.throughput, self.sizes):
            if len(series) > MAX_POINTS:
                del series[1:-1:2]
        self.version += 1

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.status not in ("", "RUNNING")

    @property
    def spent_s(self) -> float:
        """Seconds since its start, by the driver's clock; until its end, where that has come."""
        since_s = 0.0 if self.is_over else time.monotonic() - self._received_s
        return max(0.0, self.now_s - self.started_s + since_s)

    def lose(self) -> None:
        """Mark it as lost: its driver has gone without a message."""
        if not self.is_over:
            self._on_finish("LOST")
            self.version += 1

    def states(self) -> dict[str, str]:
        """Return the state of each node.

        Chunk-wise tasks in a row run as one, under the name of the last; and a task whose value was
        there before the run never begins.
        """
        of = {name: key for key, node in self.nodes.items() for name in node.names}
        after: dict[str, set[str]] = {}
        for source, target in self.edges:
            after.setdefault(of[source], set()).add(of[target])
        states = {key: self.task_of(node).state for key, node in self.nodes.items()}
        # From the last one on, so that a node before several gets the state of the nearest.
        for _ in self.nodes:
            changed = False
            for key, node in self.nodes.items():
                started = {states[key] for key in after.get(key, ())} - {"PENDING"}
                if states[key] != "PENDING" or not started:
                    continue
                joined = node.is_fan_out and any(self.nodes[n].is_fan_out for n in after[key])
                worst = next(state for state in _WORST_FIRST if state in started)
                states[key] = worst if joined else "COMPLETED"
                changed = True
            if not changed:
                break
        if self.status in ("COMPLETED", "PARTIAL"):
            for key, node in self.nodes.items():
                if states[key] == "PENDING" and not node.stands_by:
                    states[key] = "COMPLETED"
        return states

    def task_of(self, node: LiveNode) -> LiveTask:
        """Return the task, or the fan-out, that `node` shows."""
        names = [candidate for name in node.names for candidate in (name, f"{name}[*]")]
        tasks = [self.tasks[name] for name in names if name in self.tasks]
        for state in _WORST_FIRST:
            for task in tasks:
                if task.state == state:
                    return task
        return tasks[0] if tasks else LiveTask(node.names[0])

    # -- what happens --------------------------------------------------------------------------

    def _on_drawn(self, svg: str, nodes: dict[str, Any], edges: list[tuple[str, str]]) -> None:
        self.svg, self.edges = svg, edges
        self.nodes = {key: LiveNode(*node) for key, node in nodes.items()}

    def _on_run(self, flow: str, tasks: tuple[str, ...]) -> None:
        self.flow, self.started_s, self.status = flow, self.now_s, "RUNNING"
        for name in tasks:
            self._task(name)

    def _on_scheduler(self, description: str) -> None:
        self.scheduler = description

    def _on_begin(self, name: str) -> None:
        self._task(name).state = "RUNNING"

    def _on_end(self, name: str, state: str) -> None:
        self._task(name).state = state

    def _on_grew(self, name: str, chunks: int | None, nbytes: int, is_final: bool) -> None:
        task = self._task(name)
        task.is_fan_out = True
        task.chunks, task.nbytes, task.is_final = chunks, nbytes, is_final
        self.has_bytes |= nbytes > 0

    def _on_chunk(self, name: str, key: str, nbytes: int, path: str, where: str) -> None:
        if (name, key) in self.index:
            return
        self._add_chunk(name, key, nbytes, path, where, "RUNNING")
        if nbytes:
            self.sizes.append((self.now_s - self.started_s, float(nbytes)))

    def _on_again(self, name: str, key: str, parts: int) -> None:
        task = self._task(name)
        task.retried += 1
        index = self.index.get((name, key))
        if index is None:
            return
        self._set_state(task, index, _SPLIT if parts else "RETRYING")
        self.columns["attempts"][index] += 1

    def _on_done(
        self,
        name: str,
        key: str,
        state: str,
        rows: int | None,
        nbytes: int,
        attempts: int,
        worker: str,
        seconds: float,
        error: str,
        traceback: str,
        before: tuple[str, str] | None,
    ) -> None:
        if before is not None and (name, key) not in self.index:
            self._add_chunk(name, key, nbytes, *before, "REUSED")
        index = self.index.get((name, key))
        if index is None:
            return
        task, columns = self._task(name), self.columns
        if before is None or state != "COMPLETED":
            self._set_state(task, index, state)
        columns["rows"][index], columns["attempts"][index] = rows, attempts
        columns["worker"][index], columns["seconds"][index] = self._shared(worker), seconds
        task.done_nbytes += nbytes
        task.done_rows += rows or 0
        if before is None:
            self._done += nbytes if self.has_bytes else 1
        if error:
            where = f"{columns['path'][index]} {columns['where'][index]}".strip() or key
            self.failures.append((name, where, error, traceback))

    def _on_finish(self, status: str) -> None:
        self.status = status
        for task in self.tasks.values():
            if task.state == "RUNNING":
                task.state = "FAILED" if status == "FAILED" else "STOPPED"
        if status in ("COMPLETED", "PARTIAL"):
            return
        for index, state in enumerate(self.columns["state"]):
            if state in ("RUNNING", "RETRYING"):
                self._set_state(self._task(self.columns["task"][index]), index, "PENDING")

    # -- what is kept --------------------------------------------------------------------------

    def _task(self, name: str) -> LiveTask:
        return self.tasks.setdefault(name, LiveTask(name))

    def _shared(self, text: str) -> str:
        """Return the one copy of a text that many chunks share."""
        return self._texts.setdefault(text, text)

    def _add_chunk(
        self, name: str, key: str, nbytes: int, path: str, where: str, state: str
    ) -> None:
        name, path = self._shared(name), self._shared(path)
        index = self.index[name, key] = len(self.columns["key"])
        row = (name, key, path, where, nbytes, None, state, 0, "", 0.0)
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)
        self._task(name).counts[state] += 1
        self.files.setdefault((name, path), []).append(index)
        self.shares.setdefault((name, path), Counter())[state] += 1

    def _set_state(self, task: LiveTask, index: int, state: str) -> None:
        columns = self.columns
        before = columns["state"][index]
        for counts in (task.counts, self.shares[columns["task"][index], columns["path"][index]]):
            counts[before] -= 1
            counts[state] += 1
        columns["state"][index] = state
