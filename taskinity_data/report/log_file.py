r"""Write the log of a run: a line for each event, and for what functions and the library logged.

A line is time (UTC), level, run, task and chunk, and a text without anything that could end the
line or control a terminal.

    2026-08-01T10:15:03.120Z WARNING 20260801T101500-3fa2c1 ProcessChunk/9c1e02f4 my_tasks: …
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.outcome import RunStatus, Status
from taskinity_data.redact import clean_text
from taskinity_data.wording import format_count, format_nbytes, format_seconds, inert

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskinity_data.outcome import LogLine, Outcome

__all__ = ["EVENTS", "RunLog", "format_line"]

EVENTS = "taskinity_data.events"
"""The logger that events go to, for who has set up `logging`."""

_LOGGED_AS_EVENT = (EVENTS, "taskinity_data.run.journal")
"""Loggers of this library whose messages come as events too."""

MAX_WAITING = 10_000
"""Lines that wait for a run to be worth a file."""

FLUSH_S = 0.5
"""How long lines may stay in memory; warnings are written at once."""

_MAX_CHARACTERS = 8_000
"""Of one line."""

_log = logging.getLogger(EVENTS)


class RunLog(events.Observer):
    """The log file of one run; an observer of its events.

    Chunks that were handed out and completed together have one line.

    Parameters
    ----------
    run_id : str
    directory : pathlib.Path
        Made when there is something to write; the file is ``<run_id>.log``, one that is there is
        written on.
    level : int
        From which level on.
    waits_s : float
        So many seconds the file waits, as a small run leaves nothing.
    needs_folder : bool
        Whether `directory` is made by another, and no file begins before it is there.
    say : callable
        Takes what the user should know: that there will be no log, once.
    """

    takes_batches = True

    def __init__(
        self,
        run_id: str,
        directory: Path,
        level: int,
        *,
        waits_s: float = 0.0,
        needs_folder: bool = False,
        say: Callable[[str], None],
    ) -> None:
        self.level = level
        self.path: Path | None = None
        self._target = directory / f"{run_id}.log"
        self._run_id = run_id
        self._say = say
        self._needs_folder = needs_folder
        self._opens_s = time.monotonic() + waits_s
        self._file: Any = None
        self._waiting: list[str] | None = []
        self._left_out = 0
        self._flushed_s = 0.0
        self._cut: set[str] = set()
        # A run's clock of events is to the millisecond; most fall into the second of the last.
        self._second = (-1, "")

    # -- what is written -----------------------------------------------------------------------

    def on_event(self, event: events.Event) -> None:
        """Write it down, and what came with it."""
        outcome = getattr(event, "outcome", None)
        task, key = getattr(event, "task", ""), getattr(event, "key", "")
        if outcome is not None:
            key = key or outcome.key
        is_chunk = bool(key) and not isinstance(event, events.TaskFinished)
        where = f"{task}/{key[:8]}" if is_chunk else task
        if outcome is not None:
            self._write_logs(where, outcome)
        if isinstance(event, (events.ChunksSubmitted, events.ChunksCompleted)):
            description: tuple[int, str] | None = _describe_batch(event)
        else:
            description = self._describe(event)
        if description is None:
            return
        level, text = description
        if _log.isEnabledFor(level) and _log.hasHandlers():
            details = {"run_id": self._run_id, "task": task, "key": key}
            _log.log(level, "%s %s", where or self._run_id, inert(text), extra=details)
        if level >= self.level:
            self._write(event.at_s, level, where, text)

    def take(self, line: LogLine, where: str = "") -> None:
        """Write down what was logged at `where`; by default, by the driver itself."""
        if line.level >= self.level and line.name not in _LOGGED_AS_EVENT:
            self._write(line.at_s, line.level, where, f"{line.name}: {clean_text(line.text)}")

    def _write_logs(self, where: str, outcome: Outcome) -> None:
        for attempt in outcome.attempts:
            for line in attempt.logs:
                self.take(line, where)
            if attempt.logs_cut:
                count = format_count(attempt.logs_cut, "more line")
                text = f"{count} of attempt {attempt.number} were dropped"
                ended_s = attempt.started_s + attempt.duration_s
                self._write(ended_s, logging.WARNING, where, text)

    def _describe(self, event: events.Event) -> tuple[int, str] | None:
        match event:
            case events.ChunkFinished():
                return _describe_finished(event.outcome, _locate(event))
            case events.ChunkSubmitted():
                return logging.DEBUG, f"handed out {_locate(event)}".rstrip()
            case events.ChunkRetried():
                why = "" if event.outcome is None else f": {event.outcome.failure}"
                location = _locate(event)
                description = (
                    f"tried again {event.description}{f', {location}' if location else ''}"
                )
                return logging.WARNING, f"{description}{why}"
            case events.FanOutGrew():
                if not event.is_final or event.chunks is None or event.task in self._cut:
                    return None
                self._cut.add(event.task)
                size = f", {format_nbytes(event.nbytes)}" if event.nbytes else ""
                return logging.INFO, f"{format_count(event.chunks, 'chunk')}{size} in all"
            case events.TaskStarted():
                return logging.INFO, "begins"
            case events.TaskFinished():
                return _describe_task(event)
            case events.RunStarted():
                return logging.INFO, f"flow {event.flow} begins: {', '.join(event.tasks)}"
            case events.SchedulerChanged():
                link = f", dashboard {event.dashboard_link}" if event.dashboard_link else ""
                scheduler = f"{event.scheduler}, {format_count(event.workers, 'worker')}"
                return logging.INFO, f"runs on {scheduler}: {event.reason}{link}"
            case events.SizeChanged():
                return (
                    logging.INFO,
                    f"chunks of {format_nbytes(event.target_nbytes)}: {event.reason}",
                )
            case events.Notice():
                return logging.WARNING, event.text
            case events.RunFinished():
                is_bad = event.status is RunStatus.FAILED
                why = f", {event.reason}" if event.reason else ""
                return logging.ERROR if is_bad else logging.INFO, f"ended: {event.status}{why}"
        return None

    # -- the file ------------------------------------------------------------------------------

    def _write(self, at_s: float, level: int, where: str, text: str) -> None:
        second, begin = self._second
        if int(at_s) != second:
            second = int(at_s)
            begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second, begin
        line = format_line(
            f"{begin}.{int((at_s - second) * 1000):03}Z", level, self._run_id, where, text
        )
        if self._waiting is not None:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(line)
            else:
                self._left_out += 1
            if time.monotonic() >= self._opens_s:
                self.keep()
            return
        if self._file is None:
            return
        try:
            self._file.write(line)
            if level >= logging.WARNING or at_s - self._flushed_s >= FLUSH_S:
                self._flushed_s = at_s
                self._file.flush()
        except OSError as error:
            self._give_up(error)

    def keep(self) -> None:
        """Begin the file, what has waited first; nothing where there is one."""
        waiting = self._waiting
        if self._needs_folder and not self._target.parent.is_dir():
            return
        if not waiting:
            self._opens_s = time.monotonic()  # with its first line
            return
        self._waiting = None
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            # What others have put there in its place is not written through.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            self._file = open(os.open(self._target, flags, 0o600), "w", encoding="utf-8")  # noqa: SIM115
            self.path = self._target.absolute()
            self._file.writelines(waiting)
            if self._left_out:
                text = f"{format_count(self._left_out, 'line')} before this one were dropped"
                self._write(time.time(), logging.WARNING, "", text)
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Close the file, and report that the run continues without a log."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # the first error is reported
                file.close()
        problem = (
            f"continues without {self.path}"
            if self.path
            else f"has no log in {self._target.parent}"
        )
        self._say(
            f"the run {problem}: {error.strerror or error}; set another directory with "
            "TASKINITY_LOG_DIR"
        )

    def close(self) -> None:
        """Close the file."""
        self._waiting = None
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                self._say(f"the end of {self.path} could not be written: {error.strerror}")


def format_line(stamp: str, level: int, run_id: str, where: str, text: str) -> str:
    r"""Return one line, whatever `where` and `text` hold.

    >>> format_line("2026-08-01T10:15:03.120Z", 30, "r1", "Work/9c1e02f4", "a\nb\x1b[31m")
    '2026-08-01T10:15:03.120Z WARNING r1 Work/9c1e02f4 a\\nb\\x1b[31m\n'
    """
    if len(text) > _MAX_CHARACTERS:
        text = f"{text[:_MAX_CHARACTERS]}…"
    line = f"{where} {text}" if where else text
    if not line.isprintable():
        line = inert(line).replace("\n", "\\n").replace("\t", "\\t")
        # Half a surrogate pair, as names of files may hold, has no bytes.
        line = line.encode("utf-8", "backslashreplace").decode()
    return f"{stamp} {logging.getLevelName(level)} {run_id} {line}\n"


def _locate(event: events.ChunkSubmitted | events.ChunkRetried | events.ChunkFinished) -> str:
    return f"{event.path} [{event.where}]" if event.path else ""


def _describe_batch(event: events.ChunksSubmitted | events.ChunksCompleted) -> tuple[int, str]:
    chunks = format_count(len(event.items), "chunk")
    if isinstance(event, events.ChunksSubmitted):
        return logging.DEBUG, f"handed out {chunks}"
    block = event.block
    took = format_seconds(block.duration_s)
    rows = f", {format_count(block.rows, 'row')}" if block.counts else ""
    names = set(block.workers)
    workers = format_count(len(names), "worker") if len(names) > 1 else min(names)
    return logging.INFO, f"{chunks} completed in {took} on {workers}{rows}"


def _describe_finished(outcome: Outcome, location: str) -> tuple[int, str]:
    if outcome.is_recalled:
        return logging.INFO, "reused from an earlier run"
    took = format_seconds(outcome.duration_s)
    worker = outcome.attempts[-1].worker if outcome.attempts else "no worker"
    if outcome.status is Status.COMPLETED:
        rows = "" if outcome.rows is None else f", {format_count(outcome.rows, 'row')}"
        how = "completed by its fallback" if outcome.is_fallback else "completed"
        level = logging.WARNING if outcome.is_fallback else logging.INFO
        return level, f"{how} in {took} on {worker}{rows}"
    ending = "quarantined" if outcome.is_quarantined else str(outcome.status).lower()
    often = format_count(len(outcome.attempts), "attempt")
    level = logging.ERROR if outcome.status is Status.FAILED else logging.WARNING
    description = f"{ending} after {often}, {took} on {worker}"
    return (
        level,
        f"{description}{f', {location}' if location else ''}: {_describe_failure(outcome)}",
    )


def _describe_task(event: events.TaskFinished) -> tuple[int, str]:
    outcome = event.outcome
    if outcome is None:
        return logging.INFO, "ended"
    took = format_seconds(outcome.duration_s)
    if outcome.status is Status.FAILED:
        return logging.ERROR, f"failed in {took}: {_describe_failure(outcome)}"
    return logging.INFO, f"{str(outcome.status).lower()} in {took}"


def _describe_failure(outcome: Outcome) -> str:
    """Return the error with the frames that led to it."""
    failure = outcome.failure
    if failure is None:
        return "no error is known"
    return failure.traceback.rstrip() or str(failure)
