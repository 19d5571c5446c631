"""Every exception of the library, and nothing else.

TaskinityDataError
├── FlowSyntaxError (ValueError)      a flow text that does not parse: .line, .column, .problems
├── FlowError (ValueError)            a flow whose graph can't be: cycle, unknown name, lone task
├── BindError (TypeError)             names and functions that don't fit together
├── PlanError (ValueError)            a dataset, option or size that can't be planned
│   └── SourceNotFound (FileNotFoundError)
├── ReadError (ValueError)            a piece that can't be read: .path, .start, .row, .column
│   ├── SchemaError                   a value that does not fit the frozen schema: .value
│   └── SourceChanged                 a file that is not the one that was planned
├── ReduceError (ValueError)          partials that can't be combined, an overflow
├── CheckError (ValueError)           check=True: an answer that depends on the cuts: .task, .law
├── SchedulerError (RuntimeError)     no such scheduler, a worker without the code or the files
├── TooLargeToSend (ValueError)       a result that can't travel: .nbytes, .most_nbytes
├── WorkerDied (RuntimeError)          a worker process that ended under a task
├── SettingsError (ValueError)        a setting or option value that can't be understood
├── LedgerError (RuntimeError)        bytes or rows that don't add up
├── ResumeError (ValueError)          a run that can't be continued
├── WriteError (OSError)              a report or flow file that can't be written: .path
└── FlowFailed (RuntimeError)         a run that ended without its answer: .run

It knows nothing of what raises them. All of them survive pickling with their facts.
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
    """`text`, or its beginning and its end around the number of characters left out between.

    >>> shorten("a" * 500, 80)
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa … 460 characters left out … aaaaaaaaaa'
    """
    if len(text) <= max_chars:
        return text
    kept = max_chars - 40  # what stands between takes the rest
    tail = kept // 4
    head = kept - tail
    left_out = len(text) - head - tail
    return f"{text[:head]} … {left_out:,} characters left out … {text[-tail:]}"


class TaskinityDataError(Exception):
    """The base of all errors that this library raises on purpose.

    Facts given by keyword become attributes and survive pickling. A message of more than
    `max_length` characters, which quotes something long, is cut in its middle; secrets that the
    run knows are not in it. One that `is_final` would only come again, so that no task is tried
    again for it.
    """

    is_final: ClassVar[bool] = False
    max_length: ClassVar[int] = 4_000

    def __init__(self, message: str, **facts: Any) -> None:
        message = shorten(hide(message), self.max_length)
        super().__init__(message)
        self.message = message
        self.__dict__.update(facts)

    def __str__(self) -> str:
        return inert(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message), self.__dict__


def _rebuild(kind: type[TaskinityDataError], message: str) -> TaskinityDataError:
    # Called, not made by __new__, which for a ValueError that is an OSError too is the wrong one.
    return kind(message)


class FlowSyntaxError(TaskinityDataError, ValueError):
    """A flow text that does not parse.

    Attributes
    ----------
    line, column : int
        Where the first problem stands, both from 1.
    problems : tuple of (line, column, message)
        All problems that were found, in the order of the text.
    """

    max_length = 20_000
    line: int
    column: int
    problems: tuple[tuple[int, int, str], ...]


class FlowError(TaskinityDataError, ValueError):
    """A flow whose graph can't be run: a cycle, an unknown name, a task without an edge."""


class BindError(TaskinityDataError, TypeError):
    """Tasks without a function, functions without a task, parameters that nothing fills."""

    is_final = True


class PlanError(TaskinityDataError, ValueError):
    """A dataset, an option or a size that can't be planned."""

    is_final = True


class SourceNotFound(PlanError, FileNotFoundError):  # noqa: N818 - says what is the matter
    """A path, directory or glob behind which there is no file."""


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
    """

    path: str | None = None
    start: int | None = None
    row: int | None = None
    column: str | None = None


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
    """A result that takes more memory than may travel from a worker to the driver."""

    is_final = True
    nbytes: int | None = None
    most_nbytes: int | None = None


class WorkerDied(TaskinityDataError, RuntimeError):  # noqa: N818 - says what is the matter
    """A worker process that ended under a task: a signal, `os._exit`, a crash in native code.

    `lost` are the attempts that a cluster has lost of it, the last among them.
    """

    lost: tuple[Any, ...] = ()


class SettingsError(TaskinityDataError, ValueError):
    """A setting or option whose value can't be understood."""


class LedgerError(TaskinityDataError, RuntimeError):
    """Bytes or rows that don't add up."""


class ResumeError(TaskinityDataError, ValueError):
    """A run that can't be continued."""


class WriteError(TaskinityDataError, OSError):
    """A report or a flow file that can't be written (`.path`)."""

    path: str | None = None


class FlowFailed(TaskinityDataError, RuntimeError):  # noqa: N818 - the published name
    """A run that ended without its answer; `.run` holds all that is known of it."""

    max_length = 20_000
    run: Any = None
