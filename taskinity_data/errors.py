"""Define every exception of the library.

TaskinityDataError
├── FlowSyntaxError (ValueError)      a flow text that does not parse: .line, .column, .problems
├── FlowError (ValueError)            a flow with an invalid graph: cycle, unknown name, lone task
├── BindError (TypeError)             names and functions that don't fit together
├── PlanError (ValueError)            a dataset, option or size that can't be planned
│   └── SourceNotFound (FileNotFoundError)
├── ReadError (ValueError)            a piece that can't be read: .path, .start, .row, .column
│   ├── SchemaError                   a value that does not fit the frozen schema: .value
│   └── SourceChanged                 a file that is not the one that was planned
├── ReduceError (ValueError)          partials that can't be combined, an overflow
├── CheckError (ValueError)           check=True: an answer that depends on the cuts: .task, .law
├── SchedulerError (RuntimeError)     no such scheduler, a worker without the code or the files
├── TooLargeToSend (ValueError)       a result too large to be sent: .nbytes, .max_nbytes
├── WorkerDied (RuntimeError)         a worker process that died while it ran a task
├── SettingsError (ValueError)        an invalid setting or option value
├── LedgerError (RuntimeError)        bytes or rows that don't add up
├── ResumeError (ValueError)          a run that can't be resumed
├── WriteError (OSError)              a report or flow file that can't be written: .path
└── FlowFailed (RuntimeError)         a run that ended without its answer: .run

All of them survive pickling with their attributes.
"""

from __future__ import annotations

from typing import Any, ClassVar

from taskinity_data.redact import hide
from taskinity_data.wording import inert

__all__ = [
    "BindError",
    "CheckError",
    "FlowError",
    "FlowFailed",
    "FlowSyntaxError",
    "LedgerError",
    "PlanError",
    "ReadError",
    "ReduceError",
    "ResumeError",
    "SchedulerError",
    "SchemaError",
    "SettingsError",
    "SourceChanged",
    "SourceNotFound",
    "TaskinityDataError",
    "TooLargeToSend",
    "WorkerDied",
    "WriteError",
    "shorten",
]


def shorten(text: str, max_chars: int) -> str:
    """Return `text`, or its beginning and end around the number of characters left out.

    >>> shorten("a" * 500, 80)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa … 460 characters left out … aaaaaaaaaa'
    """
    if len(text) <= max_chars:
        return text
    quoted = max_chars - 40  # the rest is for the text between
    tail = quoted // 4
    head = quoted - tail
    left_out = len(text) - head - tail
    return f"{text[:head]} … {left_out:,} characters left out … {text[-tail:]}"


class TaskinityDataError(Exception):
    """Base class of all errors that this library raises on purpose.

    Keyword arguments become attributes and survive pickling. A message of more than `max_length`
    characters, which quotes something long, is shortened in its middle; secrets that the run
    knows are masked. An error that `is_final` would only repeat, so no task is retried for it.
    """

    is_final: ClassVar[bool] = False
    max_length: ClassVar[int] = 4_000

    def __init__(self, message: str, **details: Any) -> None:
        message = shorten(hide(message), self.max_length)
        super().__init__(message)
        self.message = message
        self.__dict__.update(details)

    def __str__(self) -> str:
        return inert(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message), self.__dict__


def _rebuild(kind: type[TaskinityDataError], message: str) -> TaskinityDataError:
    # `kind(...)` and not `__new__`: a ValueError that is an OSError too would get the wrong one.
    return kind(message)


class FlowSyntaxError(TaskinityDataError, ValueError):
    """A flow text that does not parse.

    Attributes
    ----------
    line, column : int
        Where the first problem is, both from 1.
    problems : tuple of (line, column, message)
        All problems that were found, in the order of the text.
    """

    max_length = 20_000
    line: int
    column: int
    problems: tuple[tuple[int, int, str], ...]


class FlowError(TaskinityDataError, ValueError):
    """A flow with an invalid graph: a cycle, an unknown name, a task without an edge."""


class BindError(TaskinityDataError, TypeError):
    """Tasks without a function, functions without a task, parameters without a value."""

    is_final = True


class PlanError(TaskinityDataError, ValueError):
    """A dataset, an option or a size that can't be planned."""

    is_final = True


class SourceNotFound(PlanError, FileNotFoundError):  # noqa: N818 - says what is the matter
    """A path, directory or glob that matches no file."""


class ReadError(TaskinityDataError, ValueError):
    """A piece of a file that can't be read.

    Attributes
    ----------
    path : str or None
    start : int or None
        Where the chunk begins: a byte for text, a row for Parquet and tables.
    row : int or None
        Row within the chunk, from 0.
    column : str or None
    has_timed_out : bool
        Whether a store was silent for too long, so that it is not read any more.
    """

    path: str | None = None
    start: int | None = None
    row: int | None = None
    column: str | None = None
    has_timed_out: bool = False


class SchemaError(ReadError):
    """A value that does not fit the schema that was frozen before the run (`.value`)."""

    is_final = True
    value: Any = None


class SourceChanged(ReadError):  # noqa: N818 - says what is the matter
    """A file that is no longer the one that was planned."""

    is_final = True


class ReduceError(TaskinityDataError, ValueError):
    """Partials that can't be combined, or an answer that its type can't hold."""

    is_final = True


class CheckError(TaskinityDataError, ValueError):
    """A function or reducer whose answer depends on where chunks are cut (`.task`, `.law`)."""

    task: str | None = None
    law: str | None = None


class SchedulerError(TaskinityDataError, RuntimeError):
    """No such scheduler, or workers that can't run this flow."""


class TooLargeToSend(TaskinityDataError, ValueError):  # noqa: N818 - says what is the matter
    """A result that is larger than a worker may send to the driver."""

    is_final = True
    nbytes: int | None = None
    max_nbytes: int | None = None


class WorkerDied(TaskinityDataError, RuntimeError):  # noqa: N818 - says what is the matter
    """A worker process that died while it ran a task: a signal, `os._exit`, a native crash.

    `lost` are the attempts that a cluster has lost, including the last.
    """

    lost: tuple[Any, ...] = ()


class SettingsError(TaskinityDataError, ValueError):
    """A setting or option with an invalid value."""


class LedgerError(TaskinityDataError, RuntimeError):
    """Bytes or rows that don't add up."""


class ResumeError(TaskinityDataError, ValueError):
    """A run that can't be resumed."""


class WriteError(TaskinityDataError, OSError):
    """A report or a flow file that can't be written (`.path`)."""

    path: str | None = None


class FlowFailed(TaskinityDataError, RuntimeError):  # noqa: N818 - the published name
    """A run that ended without its answer; `.run` is the run itself."""

    max_length = 20_000
    run: Any = None
