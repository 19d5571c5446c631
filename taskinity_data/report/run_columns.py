"""Keep the state of a run for the dashboard's page, from batches of plain values.

It lives in the scheduler's process, which may be on another machine.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from taskinity_data.report.task_count import TaskCount
from taskinity_data.wording import without_numbers

__all__ = [
    "HANDLER",
    "MAX_FAILURES",
    "MAX_POINTS",
    "STATES",
    "FailureCount",
    "LiveNode",
    "LiveRun",
    "LiveTask",
]

HANDLER = "taskinity_page"
"""The scheduler's handler that takes batches."""

STATES = ("FAILED", "SKIPPED", "FALLBACK", "RETRYING", "RUNNING", "PENDING", "COMPLETED", "REUSED")
"""What a chunk can be, what should be seen first: ``RUNNING`` is handed to a worker or its queue,
``REUSED`` was finished by an earlier run, ``PENDING`` was given back when the run ended."""

_CODES = {state: code for code, state in enumerate(STATES)}

_WORST_FIRST = ("FAILED", "RUNNING", "STOPPED", "SKIPPED", "COMPLETED")
"""States of started tasks; ``STOPPED`` is one that the run's end has kept from going on."""

MAX_FAILURES = 50
"""Groups of failures that are kept, each with the first traceback."""

MAX_POINTS = 2_000
"""Points of a series over time; when there are more, each second one is dropped."""


class LiveNode(NamedTuple):
    """A node of the drawn flow: whether it fans out or only stands by for a task that fails, and
    the names of the tasks that it stands for.
    """

    is_fan_out: bool
    stands_by: bool
    names: tuple[str, ...]


@dataclass(slots=True)
class FailureCount:
    """How often an error was met, but for numbers in its message, and the first that was."""

    state: str
    location: str
    error: str
    traceback: str
    count: int = 0


@dataclass(slots=True)
class LiveTask(TaskCount):
    """One task of the flow, or one fan-out, so far.

    The place of a chunk, by its key, in the columns is in `index`: `codes` are those of its state,
    `sizes` its bytes (1 where they are unknown), `locations` its range, and `notes` its rows and
    time. A chunk whose parts have taken its place has the size 0.
    """

    state: str = "PENDING"
    index: dict[str, int] = field(default_factory=dict)
    codes: bytearray = field(default_factory=bytearray)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    locations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """Describe its progress in a few words."""
        if not self.is_fan_out:
            return self.state.lower()
        total = "" if self.chunks is None else f" of {self.chunks:,}"
        about = total if self.is_final else total.replace(" of ", " of about ")
        parts = [f"{self.ended:,}{about} chunks"]
        parts += [f"{self.lost:,} failed or skipped"] if self.lost else []
        parts += [f"{self.counts['REUSED']:,} reused"] if self.counts["REUSED"] else []
        parts += [f"{self.retried:,} tried again"] if self.retried else []
        return ", ".join(parts)

    def add_chunk(self, key: str, nbytes: int, location: str, state: str) -> None:
        """Add a chunk in `state`."""
        self.index[key] = len(self.codes)
        self.codes.append(_CODES[state])
        self.sizes.append(nbytes or 1)
        self.locations.append(location)
        self.notes.append("")
        self.counts[state] += 1

    def set_state(self, index: int, state: str) -> None:
        """Change the state of the chunk at `index`."""
        self.counts[STATES[self.codes[index]]] -= 1
        self.counts[state] += 1
        self.codes[index] = _CODES[state]

    def split(self, index: int) -> None:
        """Let the chunk at `index` count and be drawn no more, since its parts have its place."""
        self.counts[STATES[self.codes[index]]] -= 1
        self.codes[index], self.sizes[index] = _CODES["COMPLETED"], 0


class LiveRun:
    """One run; `add` takes what the driver sends.

    Attributes
    ----------
    driver : str
        The client that sends it.
    labels : dict of str to str
        What the tasks of `process` are shown as; empty for other flows.
    nodes : dict of id to LiveNode
        Of the drawn flow, whose SVG bears ``state-ID`` among the classes of each node.
    tasks : dict of name to LiveTask
        Those that have started.
    failures : dict of (task, state, error without numbers) to FailureCount
    left_out : int
        Failures of kinds beyond the first 50.
    throughput, sizes : list of (seconds since the start, number)
        Bytes, or chunks where they have none, that this try has done; the planned bytes of each
        chunk when it was handed out.
    """

    def __init__(self, run_id: str, driver: str = "") -> None:
        self.run_id, self.driver = run_id, driver
        self.flow = self.status = self.scheduler = ""
        self.workers = 1
        self.labels: dict[str, str] = {}
        self.svg = ""
        self.nodes: dict[str, LiveNode] = {}
        self.edges: tuple[tuple[str, str], ...] = ()
        self.started_s = self.now_s = self._received_s = 0.0
        self.tasks: dict[str, LiveTask] = {}
        self.failures: dict[tuple[str, str, str], FailureCount] = {}
        self.left_out = 0
        self.throughput: list[tuple[float, float]] = []
        self.sizes: list[tuple[float, float]] = []
        self.has_bytes = False
        self.version = 0
        self._done = 0

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

    @property
    def fan_outs(self) -> list[LiveTask]:
        """The fan-outs that have chunks."""
        return [task for task in self.tasks.values() if task.is_fan_out or task.codes]

    @property
    def share(self) -> float | None:
        """The completed share of all fan-outs that have started, from 0 to 1; None if unknown."""
        fan_outs = self.fan_outs
        shares = [task.share for task in fan_outs if task.share is not None]
        # One of bytes and one of items have no common unit.
        return sum(shares) / len(shares) if shares and len(shares) == len(fan_outs) else None

    @property
    def left_s(self) -> float | None:
        """Seconds left of the fan-outs that run; None if that is not known of each."""
        now_s = self.started_s + self.spent_s
        running = [task for task in self.fan_outs if task.state == "RUNNING"]
        if not running or self.is_over:
            return None
        left = [task.estimate_left(now_s, self.workers, task.counts["RUNNING"]) for task in running]
        return None if None in left else max(seconds or 0.0 for seconds in left)

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
        after: dict[str, set[str]] = {}
        for source, target in self.edges:
            after.setdefault(source, set()).add(target)
        states = {key: self.task_of(node).state for key, node in self.nodes.items()}
        # Each node comes after all that it needs.
        for key, node in reversed(self.nodes.items()):
            started = {states[key] for key in after.get(key, ())} - {"PENDING"}
            if states[key] == "PENDING" and started:
                joined = node.is_fan_out and any(self.nodes[n].is_fan_out for n in after[key])
                worst = next(state for state in _WORST_FIRST if state in started)
                states[key] = worst if joined else "COMPLETED"
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

    def _on_drawn(
        self, svg: str, nodes: dict[str, Any], edges: tuple[tuple[str, str], ...]
    ) -> None:
        self.svg, self.edges = svg, edges  # between ids of nodes
        self.nodes = {key: LiveNode(*node) for key, node in nodes.items()}

    def _on_run(self, flow: str, labels: dict[str, str]) -> None:
        self.flow, self.labels = flow, labels
        self.started_s, self.status = self.now_s, "RUNNING"

    def _on_scheduler(self, description: str, workers: int) -> None:
        self.scheduler, self.workers = description, workers

    def _on_begin(self, name: str) -> None:
        task = self._task(name)
        task.state, task.started_s = "RUNNING", self.now_s

    def _on_end(self, name: str, state: str) -> None:
        self._task(name).state = state

    def _on_grew(self, name: str, chunks: int | None, nbytes: int, is_final: bool) -> None:
        task = self._task(name)
        task.is_fan_out = True
        task.chunks, task.nbytes, task.is_final = chunks, nbytes, is_final
        self.has_bytes |= nbytes > 0

    def _on_chunk(self, name: str, key: str, nbytes: int, location: str) -> None:
        task = self._task(name)
        if key in task.index:
            return
        task.add_chunk(key, nbytes, location, "RUNNING")
        if nbytes:
            self.sizes.append((self.now_s - self.started_s, float(nbytes)))

    def _on_again(self, name: str, key: str, parts: int) -> None:
        task = self._task(name)
        task.retried += 1
        index = task.index.get(key)
        if index is not None and parts:
            task.split(index)
        elif index is not None:
            task.set_state(index, "RETRYING")

    def _on_done(
        self,
        name: str,
        key: str,
        state: str,
        rows: int | None,
        nbytes: int,
        seconds: float,
        note: str,
        error: str,
        traceback: str,
        before: str | None,
    ) -> None:
        task = self._task(name)
        if before is not None and key not in task.index:
            task.add_chunk(key, nbytes, before, "REUSED")
        index = task.index.get(key)
        if index is None:
            return
        if before is None or state != "COMPLETED":
            task.set_state(index, state)
        task.notes[index] = note
        fresh = int(before is None)
        task.add_ended(nbytes, rows or 0, seconds, self.now_s, chunks=fresh)
        self._done += fresh * (nbytes if self.has_bytes else 1)
        if error:
            self._count_failure(name, state, task.locations[index] or key, error, traceback)

    def _count_failure(
        self, name: str, state: str, location: str, error: str, traceback: str
    ) -> None:
        group = (name, state, without_numbers(error))
        if group not in self.failures and len(self.failures) == MAX_FAILURES:
            self.left_out += 1
            return
        first = FailureCount(state, location, error, traceback)
        self.failures.setdefault(group, first).count += 1

    def _on_finish(self, status: str) -> None:
        self.status = status
        for task in self.tasks.values():
            if task.state == "RUNNING":
                task.state = "FAILED" if status == "FAILED" else "STOPPED"
        if status in ("COMPLETED", "PARTIAL"):
            return
        for task in self.tasks.values():
            for index, code in enumerate(task.codes):
                if STATES[code] in ("RUNNING", "RETRYING"):
                    task.set_state(index, "PENDING")

    def _task(self, name: str) -> LiveTask:
        return self.tasks.setdefault(name, LiveTask(name))
