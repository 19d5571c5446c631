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

import sys
from functools import wraps
from traceback import walk_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

from taskinity_data.redact import hide
from taskinity_data.wording import inert

if TYPE_CHECKING:
    from collections.abc import Callable

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
    "hides_frames",
    "shorten",
]

P = ParamSpec("P")
T = TypeVar("T")


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

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: this error alone, whose message has its cause's text."""
        from IPython import get_ipython

        cause, self.__cause__ = self.__cause__, None
        try:
            shell = get_ipython()
            show = shell.InteractiveTB.structured_traceback
            shown = show(type(self), self, self.__traceback__, context=3)
        finally:
            self.__cause__ = cause
        return list(shown)


def _rebuild(kind: type[TaskinityDataError], message: str) -> TaskinityDataError:
    # `kind(...)` and not `__new__`: a ValueError that is an OSError too would get the wrong one.
    return kind(message)


class FlowSyntaxError(TaskinityDataError, ValueError):
    """A flow text that does not parse.

    Cure: the message shows line, column and what was expected; all problems are in one error.
    `taskinity-data validate FLOW` checks a text without running it.

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
    """A flow with an invalid graph: a cycle, an unknown name, a task without an edge.

    Cure: correct the edges that the message names. `print(flow.to_ascii())` draws them.
    """


class BindError(TaskinityDataError, TypeError):
    """Tasks without a function, functions without a task, parameters without a value.

    Cure: rename the function or parameter (`ProcessChunk` is `process_chunk`), or pass the missing
    input to `run_flow`. The message lists the close names. Nothing has run yet.
    """

    is_final = True


class PlanError(TaskinityDataError, ValueError):
    """A dataset, an option or a size that can't be planned.

    Cure: the message names the option, and what does work instead. Nothing has run yet.
    """

    is_final = True


class SourceNotFound(PlanError, FileNotFoundError):  # noqa: N818 - says what is the matter
    """A path, directory or glob that matches no file.

    Cure: check the path and the working directory. Names that begin with `_` or `.` do not count.
    """


class ReadError(TaskinityDataError, ValueError):
    """A piece of a file that can't be read: damaged, cut short, without permission, or not text.

    Cure: repair the file, or leave it out with `on_error="skip"`. Lines with too many fields:
    `on_bad_lines="skip"` or `"quarantine"`. A silent store: run again with `resume=True`.

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
    """A value that does not fit the schema that was fixed before the run (`.value`).

    Cure: pass the `schema=` in the message, for example `schema={"code": "str"}`, or
    `schema="scan"`, which reads all data once to find types that fit.
    """

    is_final = True
    value: Any = None


class SourceChanged(ReadError):  # noqa: N818 - says what is the matter
    """A file that is no longer the one that was planned.

    Cure: wait until the file is complete, and run again. With `resume=True` only the chunks of
    changed files run again.
    """

    is_final = True


class ReduceError(TaskinityDataError, ValueError):
    """Partials that can't be combined, or an answer that its type can't hold.

    Cure: return the same columns and types from each chunk. For an integer overflow, convert the
    column to float64 in the chunk function.
    """

    is_final = True


class CheckError(TaskinityDataError, ValueError):
    """A function or reducer whose answer depends on where chunks are cut (`.task`, `.law`).

    Cure: the message shows the smallest rows that differ. Ranks, rolling windows and shares of a
    total look beyond their chunk: compute them from the reduced answer. Only with `check=True`.
    """

    task: str | None = None
    law: str | None = None


class SchedulerError(TaskinityDataError, RuntimeError):
    """No such scheduler, or workers that can't run this flow.

    Cure: start the scheduler, install the same version on the workers, or put the files where they
    can read them. `scheduler="threads"` always works.
    """


class TooLargeToSend(TaskinityDataError, ValueError):  # noqa: N818 - says what is the matter
    """A result that is larger than a worker may send to the driver.

    Cure: write it where it is made (`output=`), reduce it there (a reducer instead of a function of
    the list), or make chunks smaller (`chunk_size=`).
    """

    is_final = True
    nbytes: int | None = None
    max_nbytes: int | None = None


class WorkerDied(TaskinityDataError, RuntimeError):  # noqa: N818 - says what is the matter
    """A worker process that died while it ran a task: a signal, `os._exit`, a native crash.

    Cure: look for native code that crashes; `td.replay` runs a chunk of a stored run alone.
    `on_error="bisect"` isolates the row, and the run continues.

    `lost` are the attempts that a cluster has lost, including the last.
    """

    lost: tuple[Any, ...] = ()


class SettingsError(TaskinityDataError, ValueError):
    """A setting or option with an invalid value.

    Cure: the message names the option, or the variable with its file and line, and shows a valid
    value. `taskinity-data doctor` lists the effective settings and their source.
    """


class LedgerError(TaskinityDataError, RuntimeError):
    """Bytes or rows that don't add up: a chunk returned more or fewer rows than were planned.

    Cure: run again, since a file may have changed while it was read. If it happens twice, it is a
    bug of this library: please report it.
    """


class ResumeError(TaskinityDataError, ValueError):
    """A run that can't be resumed: it does not exist, is still running, or has completed.

    Cure: `taskinity-data runs list` shows the stored runs. Without `resume=` the run starts again.
    """


class WriteError(TaskinityDataError, OSError):
    """A report, a flow file or a temporary directory that can't be written (`.path`).

    Cure: check the directory, its permissions and the free space.
    """

    path: str | None = None


class FlowFailed(TaskinityDataError, RuntimeError):  # noqa: N818 - the published name
    """A run that ended without its answer; `.run` is the run itself.

    Cure: `error.run.failures` has a row for each failure. Repair the cause, and resume with
    `resume=error.run.run_id`. To accept some failures: `on_error="skip"` with `max_failures="1%"`.
    """

    max_length = 20_000
    run: Any = None


def hides_frames(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap `function` so that our errors and Ctrl-C show the caller's frames and none of ours.

    Not in Python's development mode (``python -X dev``), nor for any other error.
    """

    @wraps(function)
    def without_frames(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (TaskinityDataError, KeyboardInterrupt) as error:
            if not sys.flags.dev_mode:
                error.__traceback__ = None
                _trim_causes(error)
            # Without an argument, so that no frame of this function is added.
            raise

    return without_frames


def _trim_causes(error: BaseException) -> None:
    """Leave the user's frames of the causes of `error`, and no cause of a cause without any."""
    from taskinity_data.user_code import is_user_path

    first, visited = error, {id(error)}
    while True:
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None or id(cause) in visited:
            return
        visited.add(id(cause))
        trimmed: TracebackType | None = None
        for frame, line in reversed(list(walk_tb(cause.__traceback__))):
            if is_user_path(frame.f_code.co_filename):
                trimmed = TracebackType(trimmed, frame, frame.f_lasti, line)
        cause.__traceback__ = trimmed
        if trimmed is None and error is not first:
            error.__cause__ = None
            return
        error = cause
