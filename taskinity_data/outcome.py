"""What became of one task: statuses, attempts, outcomes.

It knows nothing of who ran the task or of what is done about a failure; the chunk is named by its
key alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Attempt", "Failure", "Outcome", "RunStatus", "Status"]


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
    pickled, else None; `ancestry` the qualified names of its classes, most special first.
    """

    kind: str
    message: str
    traceback: str
    ancestry: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one task, or of one chunk of a fan-out.

    `value` is the partial (a tuple, one for each reducer that the fan-out feeds, or the chunk's
    result); `rows` is what the reader delivered, `filtered` the rows that filters or reader
    options dropped, None where unknown; it `is_quarantined` where it failed and is left out, while
    the rest of its chunk goes on; `columns` are those of its result where that is concatenated;
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
    is_quarantined: bool = False
    columns: tuple[str, ...] | None = None
    value: Any = field(default=None, compare=False, repr=False)
    output: Any = field(default=None, compare=False, repr=False)

    @property
    def failure(self) -> Failure | None:
        """The last attempt's failure, None where the task completed."""
        return self.attempts[-1].failure if self.attempts else None

    @property
    def duration_s(self) -> float:
        """The last attempt's time."""
        return self.attempts[-1].duration_s if self.attempts else 0.0
