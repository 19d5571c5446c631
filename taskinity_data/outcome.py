"""Define the outcome of one task: statuses, attempts, outcomes; and of many items, in columns.

A chunk is named by its key alone.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "LOST_WITH_WORKER",
    "UNKNOWN",
    "Attempt",
    "BadLine",
    "BadLines",
    "Counts",
    "Failure",
    "LogLine",
    "Outcome",
    "OutcomeBlock",
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
    process_cpu_s: float | None = None
    """CPU time of all threads of its process during the attempt."""
    queued_s: float = 0.0
    """For how long its thread could have run, but had no core, so far as the system counts it."""

    @property
    def work_s(self) -> float:
        """What it takes where it has a core whenever it wants one: computing, and waiting."""
        return max(self.duration_s - self.queued_s, self.cpu_s or 0.0)


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
        """The last attempt's failure, None where the task completed."""
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


_TIMES = 5
"""Numbers that a block has for each item: its start, its duration, and that of reading, of the
functions and of the partials."""


class Counts(NamedTuple):
    """What is counted of a chunk that was read; None: unknown."""

    rows: int | None = None
    filtered: int | None = None
    memory_nbytes: int | None = None


UNKNOWN = Counts()


@dataclass(slots=True)
class OutcomeBlock:
    """The outcomes of items of one batch that completed, and left nothing else to report.

    Attributes
    ----------
    task, worker : str
        Of all of them.
    times : array of double
        Start (seconds since the epoch), duration, reading, functions, partials: for one item after
        the other.
    counts : list of Counts
        Of each item; empty where none of them was read.
    values : list
        As in `Outcome`; empty once they have been taken.
    cpu_s, process_cpu_s, queued_s : float
        As in `Attempt`, of all items together; each has a share that goes with its duration.
    peak_nbytes : int or None
        Of the process when the last of them had ended.
    lost : tuple of Attempt
        Tries of all of them that ended with their worker, before these.
    """

    task: str
    worker: str
    times: array[float] = field(default_factory=lambda: array("d"))
    counts: list[Counts] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    cpu_s: float = 0.0
    process_cpu_s: float = 0.0
    queued_s: float = 0.0
    peak_nbytes: int | None = None
    lost: tuple[Attempt, ...] = ()

    def __len__(self) -> int:
        return len(self.times) // _TIMES

    def add(
        self,
        started_s: float,
        duration_s: float,
        read_s: float,
        function_s: float,
        partial_s: float,
        counts: Counts,
        value: Any,
    ) -> None:
        """Add an item that has ended."""
        if counts != UNKNOWN and not self.counts:
            self.counts = [UNKNOWN] * len(self)
        if self.counts or counts != UNKNOWN:
            self.counts.append(counts)
        self.times.extend((started_s, duration_s, read_s, function_s, partial_s))
        self.values.append(value)

    @property
    def durations_s(self) -> array[float]:
        """The seconds that each item took."""
        return self.times[1::_TIMES]

    @property
    def works_s(self) -> list[float]:
        """What each item takes where it has a core whenever it wants one: see `Attempt`."""
        total = self.total()
        share = total.work_s / total.duration_s if total.duration_s else 1.0
        return [duration_s * share for duration_s in self.durations_s]

    @property
    def rows(self) -> int:
        """Rows that were read, of all items together."""
        return sum(counts.rows or 0 for counts in self.counts)

    def outcome(self, number: int, item: Any) -> Outcome:
        """Return the outcome with that `number`, which is the one of `item`."""
        return self._outcome(number, item, sum(self.durations_s))

    def outcomes(self, items: Iterable[Any]) -> Iterator[Outcome]:
        """Yield all outcomes, which are those of `items`."""
        whole_s = sum(self.durations_s)
        return (self._outcome(number, item, whole_s) for number, item in enumerate(items))

    def _outcome(self, number: int, item: Any, whole_s: float) -> Outcome:
        times = self.times[number * _TIMES : (number + 1) * _TIMES]
        share = times[1] / whole_s if len(self) > 1 and whole_s else 1.0
        counts = self.counts[number] if self.counts else UNKNOWN
        attempt = self._attempt(times, share, item.attempt, counts.memory_nbytes)
        return Outcome(
            self.task,
            item.key,
            Status.COMPLETED,
            (*self.lost, attempt),
            counts.rows,
            counts.filtered,
            item.nbytes,
            item.fallback is not None,
            value=self.values[number] if self.values else None,
        )

    def total(self) -> Attempt:
        """Return one attempt with the times of all, one after another."""
        sums = [sum(self.times[column::_TIMES]) for column in range(1, _TIMES)]
        return self._attempt((self.times[0], *sums), 1.0, 1, None)

    def _attempt(
        self, times: Sequence[float], share: float, number: int, memory_nbytes: int | None
    ) -> Attempt:
        started_s, duration_s, read_s, function_s, partial_s = times
        return Attempt(
            number,
            started_s,
            duration_s,
            self.worker,
            read_s,
            function_s,
            partial_s,
            memory_nbytes,
            self.peak_nbytes,
            cpu_s=self.cpu_s * share,
            process_cpu_s=self.process_cpu_s * share,
            queued_s=self.queued_s * share,
        )

    def take_last(self, item: Any) -> Outcome:
        """Take out the last outcome, which is the one of `item`."""
        outcome = self.outcome(len(self) - 1, item)
        (attempt,) = outcome.attempts
        self.cpu_s -= attempt.cpu_s or 0.0
        self.process_cpu_s -= attempt.process_cpu_s or 0.0
        self.queued_s -= attempt.queued_s
        del self.times[-_TIMES:], self.values[-1:], self.counts[-1:]
        return outcome

    def without_values(self) -> OutcomeBlock:
        """Return the same without values."""
        return replace(self, values=[])
