"""Define the outcome of one task: statuses, attempts, outcomes.

A chunk is named by its key alone. Outcomes of many items are in `outcome_block`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LOST_WITH_WORKER",
    "Attempt",
    "BadLine",
    "BadLines",
    "Failure",
    "LogLine",
    "Outcome",
    "RunStatus",
    "Status",
    "join_bad_lines",
    "take_first",
    "without_logs",
]


LOST_WITH_WORKER = "a worker that ran or held this died or left"
"""The error of an attempt that the cluster or the run repeated: nothing else is known of it."""


class Status(StrEnum):
    """The status of one task."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class RunStatus(StrEnum):
    """How a run ended; ``RUNNING`` is one that has not."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as a value.

    `traceback` holds the user's frames only; `error` is the exception itself if it can be pickled,
    else None; `ancestry` the qualified names of its classes, in the order of the MRO; `is_final`
    is True if a retry would fail again.
    """

    kind: str
    message: str
    traceback: str
    ancestry: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False)
    is_final: bool = field(default=False, compare=False)

    def is_a(self, *kinds: type[BaseException]) -> bool:
        """Return whether it was one of `kinds`, by name, since a class may be pickled by value."""
        return any(f"{kind.__module__}.{kind.__qualname__}" in self.ancestry for kind in kinds)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


class LogLine(NamedTuple):
    """A message that a function logged: time (seconds since the epoch), level, the logger's name,
    and the text, which may hold any characters.
    """

    at_s: float
    level: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at one task. Start in seconds since the epoch, durations in seconds, memory in
    bytes.

    A chunk of a store may have been read before the attempt began: `read_s` is all of that time.
    """

    number: int
    started_s: float
    duration_s: float
    worker: str
    read_s: float = 0.0
    function_s: float = 0.0
    partial_s: float = 0.0
    memory_nbytes: int | None = None
    """The size of the chunk in memory, as a frame or table."""
    peak_nbytes: int | None = None
    """The process's peak resident memory at the end of the attempt."""
    failure: Failure | None = None
    notices: tuple[str, ...] = ()
    """The changes that its functions made to the process state, as sentences."""
    logs: tuple[LogLine, ...] = field(default=(), compare=False, repr=False)
    """The messages that its functions logged; they go to the run's log, and are not kept here."""
    logs_cut: int = field(default=0, compare=False, repr=False)
    """The number of log messages beyond the limit of an attempt, which were dropped."""
    cpu_s: float | None = None
    """CPU time of its own thread; None if it was not measured."""
    queued_s: float = 0.0
    """For how long its thread could have run, but had no core, so far as the system counts it."""

    @property
    def work_s(self) -> float:
        """What it takes where it has a core whenever it wants one: computing, and waiting.

        That of a chunk which was read while others were computed counts as if it had been read
        alone.
        """
        parts_s = self.read_s + self.function_s + self.partial_s
        return max(self.duration_s - self.queued_s, parts_s - self.queued_s, self.cpu_s or 0.0)


class BadLine(NamedTuple):
    """A record that did not parse and was quarantined.

    Attributes
    ----------
    path : str
    start, stop : int
        Bytes of the file.
    row : int
        Its position among the records of its piece of the file, from 0.
    raw : bytes
        The record as it is in the file; the first `MAX_LINE_NBYTES` bytes of a long one.
    encoding : str
        Of `raw`, as Python names it.
    reason : str
    """

    path: str
    start: int
    stop: int
    row: int
    raw: bytes
    encoding: str
    reason: str

    @property
    def text(self) -> str:
        r"""`raw` as text, without its line end; invalid bytes are escaped as ``\xff``."""
        return self.raw.decode(self.encoding, "backslashreplace").rstrip("\r\n")


MAX_LINES, MAX_NBYTES, MAX_LINE_NBYTES = 1_000, 1 << 20, 1 << 14
"""Limits on the bad lines kept for a chunk, and on each: enough to see what is wrong with a file,
and small compared with the chunk. All bad lines are counted."""


@dataclass(frozen=True, slots=True)
class BadLines:
    """The quarantined records of a chunk: their number and bytes, and the first of them."""

    count: int
    nbytes: int
    lines: tuple[BadLine, ...]

    def __add__(self, other: BadLines) -> BadLines:
        lines = take_first((*self.lines, *other.lines))
        return BadLines(self.count + other.count, self.nbytes + other.nbytes, lines)


def join_bad_lines(parts: Iterable[BadLines | None]) -> BadLines | None:
    """Return the bad lines of all `parts`, None if there are none."""
    joined = None
    for part in parts:
        if part is not None:
            joined = part if joined is None else joined + part
    return joined


def take_first(
    lines: Iterable[BadLine], max_lines: int = MAX_LINES, max_nbytes: int = MAX_NBYTES
) -> tuple[BadLine, ...]:
    """Return the first of `lines`, at most `max_lines` of them and `max_nbytes` bytes."""
    first: list[BadLine] = []
    nbytes = 0
    for line in lines:
        nbytes += len(line.raw)
        if len(first) == max_lines or nbytes > max_nbytes:
            break
        first.append(line)
    return tuple(first)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one task, or of one chunk of a fan-out.

    `is_recalled` is True if an earlier attempt at the run finished it, with the attempts of then.
    `value` is the partial (a tuple with one entry for each reducer of the fan-out, or the chunk's
    result). `rows` is the number of rows that the reader returned, `filtered` of those that filters
    or reader options dropped, None if unknown. `bad_lines` are the quarantined records, None if
    there are none. `is_quarantined` is True if it failed and is left out, while the rest of its
    chunk continues. `columns` are those of a result that is concatenated. `output` describes what
    a writer wrote of the result.
    """

    task: str
    key: str
    status: Status
    attempts: tuple[Attempt, ...] = ()
    rows: int | None = None
    filtered: int | None = None
    nbytes: int = 0
    is_fallback: bool = False
    is_recalled: bool = False
    is_quarantined: bool = False
    columns: tuple[str, ...] | None = None
    value: Any = field(default=None, compare=False, repr=False)
    output: Any = field(default=None, compare=False, repr=False)
    bad_lines: BadLines | None = None

    @property
    def failure(self) -> Failure | None:
        """The last attempt's failure, None if the task completed."""
        return self.attempts[-1].failure if self.attempts else None

    @property
    def duration_s(self) -> float:
        """The last attempt's time."""
        return self.attempts[-1].duration_s if self.attempts else 0.0


def without_logs(outcome: Outcome) -> Outcome:
    """Return `outcome` without the messages that its functions logged."""
    if not any(attempt.logs for attempt in outcome.attempts):
        return outcome
    bare = (replace(attempt, logs=(), logs_cut=0) for attempt in outcome.attempts)
    return replace(outcome, attempts=tuple(bare))
