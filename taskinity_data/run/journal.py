"""Whether a run is kept, where, and which earlier run it resumes.

How chunks are kept and found again: see `checkpoints.checkpoints`.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.checkpoints import BEGIN_S, Checkpoints
from taskinity_data.errors import ResumeError, SettingsError
from taskinity_data.events import Observer, SchedulerChanged
from taskinity_data.outcome import Status
from taskinity_data.redact import hide
from taskinity_data.report.log_file import RunLog
from taskinity_data.run.describe_run import (
    CallFacts,
    clean_place,
    describe_run,
    digest_code,
    plain_options,
)
from taskinity_data.settings import load_settings
from taskinity_data.version import compare_versions, versions_here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.checkpoints.read_journal import Past
    from taskinity_data.checkpoints.run_directory import RunDirectory
    from taskinity_data.events import Event
    from taskinity_data.flow.flow import Flow
    from taskinity_data.outcome import Outcome
    from taskinity_data.run.options import RunOptions
    from taskinity_data.settings import Settings

__all__ = ["NoticeBoard", "RunJournal", "locate_runs", "open_journal", "open_log"]

_DONE = ("COMPLETED", "PARTIAL")

_log = logging.getLogger(__name__)


@dataclass(repr=False, eq=False)
class RunJournal:
    """The run's number, what is kept, and what is known from before."""

    run_id: str
    run_dir: Path
    checkpoints: Checkpoints
    past: Past | None = None
    run_directory: RunDirectory | None = None
    is_asked: bool = False
    call_details: Mapping[str, Any] = field(default_factory=dict)
    """What it was called with, as far as that may be kept: ``inputs``, ``asked``, ``options``."""

    def begin(self) -> None:
        """Begin to write, where that was requested; otherwise that waits for two seconds.

        Raises
        ------
        SettingsError
            It can't be written.
        """
        if not self.is_asked:
            return
        try:
            self.checkpoints.begin()
        except OSError as error:
            raise SettingsError(
                f"run_dir={str(self.run_dir)!r}: results can't be stored there: "
                f"{error.strerror or error}; choose another directory with run_dir= or "
                "TASKINITY_RUN_DIR"
            ) from error
        finally:
            if not self.checkpoints.has_begun:
                self.abandon()

    def abandon(self) -> None:
        """Release the run before it has begun; the earlier run is unchanged."""
        if self.run_directory is not None:
            self.run_directory.leave()

    @property
    def has_committed(self) -> bool:
        """Whether an earlier run has committed the output which is written now."""
        if self.past is None or not self.past.has_committed:
            return False
        return bool(self.past.head["output"] == self.checkpoints.head["output"])

    @property
    def directory(self) -> Path | None:
        """Where the run is kept, None if it is not."""
        return self.run_dir / self.run_id if self.checkpoints.has_begun else None

    @property
    def observers(self) -> list[Observer]:
        """The observers that write the run to the journal."""
        return [_SchedulerRecorder(self.checkpoints)]

    def next_steps(
        self, status: str, outcomes: Sequence[tuple[Any, Outcome]], settings: Settings
    ) -> tuple[str, ...]:
        """Return what to type next, of a run that has ended with `outcomes`."""
        if not self.checkpoints.has_begun:
            return ()
        from taskinity_data.report.next_steps import next_steps

        lost = [
            outcome.key
            for item, outcome in outcomes
            if item is not None and outcome.status is not Status.COMPLETED
        ]
        is_usual = self.run_dir == settings.run_dir.absolute()
        steps = next_steps(
            self.checkpoints.head,
            status,
            key=lost[0] if lost else None,
            # If the run completed, what was left out can be run.
            is_resumable=self.checkpoints.was_kept or status == "PARTIAL",
            run_dir=None if is_usual else str(self.run_dir),
        )
        return tuple(steps)


class _SchedulerRecorder(Observer):
    """Records who runs the items."""

    takes_batches = True

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def on_event(self, event: Event) -> None:
        if isinstance(event, SchedulerChanged):
            self._checkpoints.note_scheduler(event.scheduler, event.workers, event.reason)


class NoticeBoard:
    """Messages for the user, logged and kept; passed on once there is somebody to take them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._take: Callable[[str], None] | None = None

    def __call__(self, text: str) -> None:
        text = hide(text)
        self.texts.append(text)
        _log.warning("%s", text)
        if self._take is not None:
            self._take(text)

    def pass_on(self, take: Callable[[str], None]) -> None:
        """Hand the texts so far, and those to come, to `take`."""
        self._take = take
        for text in self.texts:
            take(text)


def open_journal(
    flow: Flow,
    options: RunOptions,
    call: CallFacts,
    settings: Settings,
    say: Callable[[str], None],
    *,
    is_anew: bool = False,
) -> RunJournal:
    """Return the journal of a run that begins now, of an earlier one where that is resumed.

    Parameters
    ----------
    flow, options, call, settings
    say : callable
        Takes what the user should know.
    is_anew : bool
        Whether no earlier run is resumed, whatever the options say.

    Raises
    ------
    ResumeError
        There is no such run, it is of something else, it goes on now, its journal or versions
        can't be used.
    SettingsError
        `run_dir` or `resume` is invalid.
    """
    resume = options.resume
    if resume is not None and not isinstance(resume, (bool, str)):
        raise SettingsError(f"resume={resume!r}: give True, or a run id as a string")
    run_dir = locate_runs(options.run_dir, settings)
    new_id = time.strftime("%Y%m%dT%H%M%S-") + secrets.token_hex(3)
    output = options.output
    where = None
    # What can be no output is refused by the sink.
    if isinstance(output, (str, os.PathLike)) and "\0" not in os.fsdecode(output):
        where = clean_place(output)
    subject = call.subject or f"flow {flow.name}"
    run_directory = past = None
    if resume and not is_anew:
        run_directory, past = _find_past(run_dir, resume, subject, where, flow, say)
    run_id = new_id if run_directory is None else run_directory.run_id
    is_asked = bool(resume) or options.run_dir is not None
    is_asked = is_asked or settings.source_of("run_dir") != "default"
    head = describe_run(flow, run_id, subject, where, call)
    if where is not None and ("://" not in where or where == str(output)):
        head["written"] = options.how_written()
    checkpoints = Checkpoints(
        (lambda: _enter_run(run_dir, run_id)) if run_directory is None else (lambda: run_directory),
        head,
        say,
        past=past,
        is_asked=is_asked,
        more=lambda: {
            "text": flow.to_text(),
            "code": digest_code(flow),
            "options": plain_options(options.journaled()),
        },
    )
    call_details = {name: head[name] for name in ("inputs", "asked", "labels")}
    call_details["options"] = plain_options(options.journaled())
    return RunJournal(
        run_id, run_dir, checkpoints, past, run_directory, is_asked, call_details=call_details
    )


def open_log(journal: RunJournal, settings: Settings, say: Callable[[str], None]) -> RunLog:
    """Return the run's log, which is kept where the run itself is.

    That is from the start where it was requested, or a folder for logs named; else from the third
    second on.
    """
    waits_s = BEGIN_S
    if journal.is_asked or settings.source_of("log_dir") != "default":
        waits_s = 0.0
    level = logging.getLevelNamesMapping()[settings.log_level]
    folder = settings.log_dir or journal.run_dir / journal.run_id
    is_own = settings.log_dir is None
    return RunLog(
        journal.run_id, folder.absolute(), level, waits_s=waits_s, needs_folder=is_own, say=say
    )


def _enter_run(run_dir: Path, run_id: str) -> RunDirectory:
    from taskinity_data.checkpoints.run_directory import enter_run

    return enter_run(run_dir, run_id)


def _enter_again(run_dir: Path, run_id: str) -> RunDirectory:
    try:
        return _enter_run(run_dir, run_id)
    except OSError as error:
        raise ResumeError(
            f"run {run_id} can't be resumed, since its directory can't be written: {error}",
            run_id=run_id,
        ) from error


def locate_runs(run_dir: Any, settings: Settings | None = None) -> Path:
    """Return where runs are kept: `run_dir`, a path of this machine, else as the settings say."""
    if run_dir is None:
        return (settings or load_settings()).run_dir.absolute()
    if (
        not isinstance(run_dir, (str, os.PathLike))
        or not os.fspath(run_dir)
        or "://" in str(run_dir)
    ):
        raise SettingsError(f"run_dir={run_dir!r} is not a local directory")
    return Path(os.path.expanduser(os.fsdecode(run_dir))).absolute()


def _find_past(
    run_dir: Path,
    resume: str | bool,
    subject: str,
    output: str | None,
    flow: Flow,
    say: Callable[[str], None],
) -> tuple[RunDirectory | None, Past | None]:
    from taskinity_data.checkpoints.read_journal import read_past
    from taskinity_data.checkpoints.run_directory import find_run, list_kept

    if isinstance(resume, str):
        directory = find_run(run_dir, resume)
    else:
        runs = (
            run
            for run in list_kept(run_dir)
            if run.details.get("subject") == subject and run.details.get("output") == output
        )
        newest = next(runs, None)
        if newest is None:
            say(
                f"resume=True: there is no earlier run of {subject} in {run_dir}; it starts from "
                "nothing"
            )
            return None, None
        directory = newest.directory
        if output is not None and newest.details.get("status") in _DONE:
            say(
                f"resume=True: run {directory.name} has written {output} already; it starts from "
                "nothing. What a run has left out is done by its id alone: "
                f'resume="{directory.name}"'
            )
            return None, None
    run_directory = _enter_again(run_dir, directory.name)
    try:
        past = read_past(directory)
        _check(past, flow, say)
    except ResumeError as error:
        run_directory.leave()
        if isinstance(resume, str):
            raise
        say(f"{error}; it starts from nothing")
        return None, None
    except BaseException:
        run_directory.leave()
        raise
    if past.lost_nbytes:
        say(
            f"run {past.run_id}: {past.lost_nbytes:,} bytes at the end of its journal are "
            "incomplete or damaged; what they held is run again"
        )
    return run_directory, past


def _check(past: Past, flow: Flow, say: Callable[[str], None]) -> None:
    name = past.head.get("flow")
    if name != flow.name:
        raise ResumeError(f"run {past.run_id} is of flow {name}, and this is {flow.name}")
    differences, is_usable = compare_versions(past.head["versions"], versions_here())
    if not is_usable:
        raise ResumeError(
            f"run {past.run_id} can't be resumed by other versions: {'; '.join(differences)}"
        )
    if differences:
        say(f"run {past.run_id} is resumed by other versions: {'; '.join(differences)}")
