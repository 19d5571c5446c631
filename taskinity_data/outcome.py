"""What became of one task: statuses, attempts, outcomes.

It knows nothing of who ran the task or of what is done about a failure; the chunk is named by its
key alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

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
"""Of a try that the cluster, or the run, made good by another: of its end nothing more is known."""


class Status(StrEnum):
    """Where one task stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETED = "COMPLETED"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as a value: what it was, as its author would see it.

    `traceback` holds the user's frames only; `error` the exception itself where it could be
    pickled, else None; `ancestry` the qualified names of its classes, most special first; it
    `is_final` where trying again would only fail again.
    """

    kind: str
    message: str
    traceback: str
    ancestry: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False)
    is_final: bool = field(default=False, compare=False)

    def is_a(self, *kinds: type[BaseException]) -> bool:
        """Whether it was one of `kinds`: by name, as an exception's class may travel by value."""
        return any(f"{kind.__module__}.{kind.__qualname__}" in self.ancestry for kind in kinds)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a function said through `logging`: when (seconds since the epoch), at which level, the
    logger's name, and the text, which may hold anything.
    """

    at_s: float
    level: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one task. Times in seconds since the epoch and seconds; memory in bytes."""

    number: int
    started_s: float
    duration_s: float
    worker: str
    read_s: float = 0.0
    function_s: float = 0.0
    partial_s: float = 0.0
    memory_nbytes: int | None = None
    """What the chunk took once read, as a frame or table."""
    peak_nbytes: int | None = None
    """The most that the process held resident while or before it ran."""
    failure: Failure | None = None
    notices: tuple[str, ...] = ()
    """What its functions changed of the process around them, in words."""
    logs: tuple[LogLine, ...] = field(default=(), compare=False, repr=False)
    """What they logged; it goes to the run's log, and is held nowhere else."""
    logs_cut: int = field(default=0, compare=False, repr=False)
    """How many more lines there were than an attempt may bring along."""
    cpu_s: float | None = None
    """What its own thread computed; None where it was not measured."""
    process_cpu_s: float | None = None
    """What all threads of its process computed meanwhile."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A record that did not parse and was set aside.

    Attributes
    ----------
    path : str
    start, stop : int
        Bytes of the file.
    row : int
        Its place among the records of its piece of the file, from 0.
    raw : bytes
        Itself, as it stands in the file; of a long one the beginning, `MOST_LINE_NBYTES`.
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
        r"""`raw` as text, without its line end; what is none of its encoding as ``\xff``."""
        return self.raw.decode(self.encoding, "backslashreplace").rstrip("\r\n")


MOST_LINES, MOST_NBYTES, MOST_LINE_NBYTES = 1_000, 1 << 20, 1 << 14
"""What is kept of a chunk's bad lines, and of each: enough to see what is wrong with a file, and
little beside the chunk. All of them are counted."""


@dataclass(frozen=True, slots=True)
class BadLines:
    """What was set aside of a chunk: how many records, their bytes, and the first of them."""

    count: int
    nbytes: int
    kept: tuple[BadLine, ...]

    def __add__(self, other: BadLines) -> BadLines:
        kept = take_first((*self.kept, *other.kept))
        return BadLines(self.count + other.count, self.nbytes + other.nbytes, kept)


def join_bad_lines(parts: Iterable[BadLines | None]) -> BadLines | None:
    """Those of all `parts`, None where there are none."""
    joined = None
    for part in parts:
        if part is not None:
            joined = part if joined is None else joined + part
    return joined


def take_first(
    lines: Iterable[BadLine], most: int = MOST_LINES, most_nbytes: int = MOST_NBYTES
) -> tuple[BadLine, ...]:
    """The first of `lines` that are no more than so many, and hold no more bytes."""
    taken: list[BadLine] = []
    nbytes = 0
    for line in lines:
        nbytes += len(line.raw)
        if len(taken) == most or nbytes > most_nbytes:
            break
        taken.append(line)
    return tuple(taken)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task, or of one chunk of a fan-out.

    `is_recalled` says that an earlier try of the run has finished it, and its attempts are of then;
    `value` is the partial (a tuple, one for each reducer that the fan-out feeds, or the chunk's
    result); `rows` is what the reader delivered, `filtered` the rows that filters or reader
    options dropped, None where unknown; `bad_lines` what was set aside, None where nothing was; it
    `is_quarantined` where it failed and is left out, while the rest of its chunk goes on; `columns`
    are those of its result where that is concatenated;
    `output` what a writer says it wrote of the result.
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
    """`outcome` without what its functions logged, for who holds on to it."""
    if not any(attempt.logs for attempt in outcome.attempts):
        return outcome
    bare = (replace(attempt, logs=(), logs_cut=0) for attempt in outcome.attempts)
    return replace(outcome, attempts=tuple(bare))
