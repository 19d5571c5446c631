"""One run from beginning to end: what it needs is opened in order, and always closed.

It decides nothing itself: `flow` decides what runs in which order, what is cut in `chunks`, who
runs it in `execution`, what is shown in `report`.
"""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.chunks.cut import parse_chunk_size
from taskinity_data.errors import FlowFailed, SchedulerError, TaskinityDataError
from taskinity_data.events import Announcer, Notice, RunFinished, RunStarted
from taskinity_data.execution.choose_scheduler import SchedulerChoice
from taskinity_data.execution.driver import Driver
from taskinity_data.execution.jobs import make_works, only_kernels, policies
from taskinity_data.execution.open_fan_out import PieceOptions
from taskinity_data.execution.schedulers.signals import soft_interrupts
from taskinity_data.execution.worker.captured_logs import PassedOn, capture_logs, lower_level
from taskinity_data.flow.once import within_session
from taskinity_data.flow.stages import resources_of
from taskinity_data.outcome import RunStatus
from taskinity_data.redact import hide
from taskinity_data.run.arguments import sort_plans
from taskinity_data.run.ended_run import collect_details, make_run
from taskinity_data.run.journal import NoticeBoard, open_journal, open_log
from taskinity_data.run.options import parse_max_failures, parse_memory, parse_time
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.events import Observer
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.flow.flow import Flow
    from taskinity_data.flow.stages import Stage
    from taskinity_data.run.describe_run import CallFacts
    from taskinity_data.run.journal import RunJournal
    from taskinity_data.run.options import RunOptions
    from taskinity_data.run.output import RunOutput
    from taskinity_data.run.result import Run
    from taskinity_data.settings import Settings


__all__ = ["run_session"]


def run_session(
    flow: Flow,
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    options: RunOptions,
    call: CallFacts,
    storage_options: Mapping[str, Any] | None = None,
) -> Run:
    """Run the `steps` of `flow`, as `api.run_flow` says.

    Parameters
    ----------
    inputs : mapping
        Of the flow.
    values : mapping
        What tasks that need not run have given.
    options, call
        What the run was called with.
    storage_options : mapping or None
        Of URLs that the run itself opens.
    """
    options.check_values()
    settings = load_settings(max_workers=options.workers)
    session = RunSession(flow, steps, options, call, settings)
    pieces = PieceOptions(
        parse_chunk_size(options.chunk_size),
        parse_chunk_size(settings.chunk_size),
        session.plans,
        session.journal.checkpoints,
        session.log.level,
        storage_options,
        session.session_id,
        options.backups,
    )
    session.run(inputs, values, pieces)
    return session.result()


class RunSession:
    """A run whose journal, log and output are open."""

    def __init__(
        self,
        flow: Flow,
        steps: Sequence[Stage],
        options: RunOptions,
        call: CallFacts,
        settings: Settings,
    ) -> None:
        self._flow, self._steps, self._settings = flow, steps, settings
        self.plans = sort_plans(steps, options.plan)
        self._set_by = settings.source_of("scheduler") if options.scheduler is None else None
        self._options = options = _resolve(options, settings)
        # A run that is resumed has its id again.
        self.session_id = secrets.token_hex(8)
        self._notices = NoticeBoard()
        self.journal, self._sink = _begin(flow, steps, options, call, settings, self._notices)
        self.log = open_log(self.journal, settings, self._notices)
        self._announcer = Announcer(
            self.journal.run_id,
            [
                *self.journal.observers,
                self.log,
                *_progress_of(flow, options, call),
                *options.observers,
            ],
        )
        self._labels = call.labels
        self._begins = RunStarted(self.journal.run_id, time.time(), flow.name, flow.order)
        self._begun, self._started = time.perf_counter(), pd.Timestamp.now("UTC")
        self._started_s = self._closed_s = 0.0
        self._chooser: SchedulerChoice | None = None
        self._driver: Driver | None = None
        self._run: Run | None = None
        self._failed: BaseException | None = None

    def _choose(self) -> SchedulerChoice:
        is_in_process = self._sink is not None and self._sink.is_in_process
        try:
            return SchedulerChoice(
                self._options.scheduler,
                self._options.workers,
                parse_memory(self._options.memory),
                wait_s=parse_time(self._options.wait_for_workers),
                priority=self._options.priority,
                stays_in_threads=only_kernels(self._steps) or is_in_process,
                announce=self._announce,
                say=self._notices,
            )
        except SchedulerError as error:
            if self._options.scheduler is None or self._set_by is None:
                raise
            # Nobody has given it as an argument.
            why = str(error).removeprefix("scheduler=")
            raise SchedulerError(f"{self._set_by}: {why}") from error

    def _announce(self, strategy: Strategy, reason: str) -> None:
        if strategy.client is not None and strategy.dashboard_link:
            from taskinity_data.report.dashboard.observer import DashboardObserver

            self._announcer.add(
                DashboardObserver(self._flow, self._begins, strategy, self._labels, self._notices)
            )
        self._announcer.announce(strategy, reason)

    def _open_driver(
        self, chooser: SchedulerChoice, inputs: Mapping[str, Any], pieces: PieceOptions
    ) -> Driver:
        if any(map(resources_of, self._steps)):
            from taskinity_data.execution.schedulers.resources import check_resources

            check_resources(self._steps, chooser.strategy)
        laws = None
        if self._options.check:
            from taskinity_data.run.check import check_fan_out

            laws = partial(check_fan_out, say=self._notices)
        outputs = self._sink.by_fan_out if self._sink else {}
        return Driver(
            self.journal.run_id,
            make_works(self._steps, inputs, pieces, chooser, outputs, laws),
            policies(self._steps),
            chooser,
            self._announcer,
            max_failures=parse_max_failures(self._options.max_failures),
            run_timeout_s=parse_time(self._options.run_timeout),
            inspect=self._sink.inspect if self._sink else None,
            checkpoints=self.journal.checkpoints,
            idle=self._announcer.pulse,
        )

    def run(
        self, inputs: Mapping[str, Any], values: Mapping[str, Any], pieces: PieceOptions
    ) -> None:
        """Run all tasks and commit; then close everything, also after an error."""
        run_id = self.journal.run_id
        self._announcer(self._begins)
        self._notices.pass_on(lambda text: self._announcer(Notice(run_id, time.time(), text)))
        try:
            self._chooser = self._choose()
            self._started_s = time.perf_counter() - self._begun
            self._driver = driver = self._open_driver(self._chooser, inputs, pieces)
            driver.values.update(values)
            captured = PassedOn(self.log.level, self.log.take)
            with (
                soft_interrupts(driver.interrupt),
                lower_level(self.log.level),
                capture_logs(captured),
                within_session(self.session_id),
            ):
                driver.run()
            if driver.status is RunStatus.INTERRUPTED:
                self._failed = KeyboardInterrupt()
            elif driver.status is not RunStatus.FAILED:
                self._commit(driver)
        except KeyboardInterrupt as error:
            self._failed = error
            has_committed = self._sink is not None and self._sink.written is not None
            if self._driver is not None and not has_committed:
                self._driver.status = RunStatus.INTERRUPTED
            if self._chooser is not None:
                self._chooser.abort()
        finally:
            try:
                self._close()
            finally:
                # The terminal must get its cursor back in any case.
                self._announcer.close()

    def _commit(self, driver: Driver) -> None:
        if self._sink is None:
            return
        try:
            self._sink.commit(self._flow, driver, self.journal.run_id)
        except (TaskinityDataError, OSError) as error:
            driver.fail(f"the output can't be committed: {error}", error)

    def _close(self) -> None:
        at = time.perf_counter()
        driver = self._driver
        status = driver.status if driver is not None else RunStatus.FAILED
        self._announcer.leave(status)
        try:
            if self._chooser is not None:
                self._close_workers(self._chooser)
        finally:
            # The run must be unlocked in any case.
            self._settle(status)
        self._closed_s = time.perf_counter() - at
        is_resumable = self.journal.checkpoints.was_kept
        if is_resumable and status in (RunStatus.INTERRUPTED, RunStatus.FAILED):
            self.log.keep()
        run_id = self.journal.run_id
        self._announcer(RunFinished(run_id, time.time(), status, self._why()))

    def _close_workers(self, chooser: SchedulerChoice) -> None:
        """End what was started; Ctrl-C ends it now, and the run is reported all the same."""
        try:
            waits = self._driver is None or not self._driver.has_dropped
            chooser.close(self.session_id, waits=waits)
        except KeyboardInterrupt as error:
            self._failed = self._failed or error
            chooser.close(self.session_id, waits=False)

    def _settle(self, status: RunStatus) -> None:
        """Close output and journal, with all that is known by now."""
        driver, checkpoints = self._driver, self.journal.checkpoints
        if self._sink is not None:
            self._sink.close(is_kept=checkpoints.will_keep(status))
        details = value = reason = None
        try:
            if driver is not None:
                value = driver.values.get(self._flow.last or "")
                reason = driver.stop_reason
                self._run = self._account(driver)
                if checkpoints.will_write(status):
                    details = collect_details(self._run, driver)
        finally:
            checkpoints.close(str(status), value, reason, details)

    def _account(self, driver: Driver) -> Run:
        assert self._chooser is not None
        run = make_run(
            self._flow,
            driver,
            run_id=self.journal.run_id,
            strategy=self._announcer.strategies[-1],
            reason=self._chooser.reason,
            seconds={
                "total": time.perf_counter() - self._begun,
                "start_workers": self._started_s,
            },
        )
        output = None if self._sink is None else self._sink.written
        return replace(run, output=output, log=self.log.path)

    def _why(self) -> str | None:
        """Return why the run did not do all: by its driver, or by what is being raised."""
        if self._driver is not None and self._driver.stop_reason is not None:
            return self._driver.stop_reason
        error = sys.exception()
        return None if error is None else hide(f"{type(error).__name__}: {error}")

    def result(self) -> Run:
        """Return the run once it has ended.

        Raises
        ------
        FlowFailed, TaskinityDataError, KeyboardInterrupt
            See `api.run_flow`.
        """
        driver, run = self._driver, self._run
        if driver is None or run is None:
            assert self._failed is not None
            raise self._failed
        took_s = time.perf_counter() - self._begun
        run = replace(
            run,
            timings=run.timings | {"total": took_s, "close": self._closed_s},
            started=self._started,
            duration_s=took_s,
            directory=self.journal.directory,
            notices=(*self._notices.texts, *run.notices),
            log=self.log.path,
            quarantine=self.journal.checkpoints.quarantine,
            next_steps=self.journal.next_steps(
                str(run.status), driver.account.outcomes.singles, self._settings
            ),
            _head=self.journal.call_details,
        )
        sink = self._sink
        if sink is not None and sink.written is not None:
            ends_here = self._flow.last in sink.by_fan_out and run.value is None
            run = replace(run, value=sink.written.path if ends_here else run.value)
        if self._failed is not None:
            from taskinity_data.report.failure import explain_interrupt

            self._failed.args = (explain_interrupt(run),)
            self._failed.run = run  # type: ignore[attr-defined]  # for whoever catches it
            raise self._failed
        if run.status is RunStatus.FAILED:
            if not driver.has_submitted and isinstance(driver.cause, TaskinityDataError):
                # Nothing has run: the call was wrong.
                raise driver.cause
            from taskinity_data.report.failure import explain_failure

            text = explain_failure(run, driver.account.outcomes)
            cause = driver.cause and driver.cause.with_traceback(None)
            raise FlowFailed(text, run=run) from cause
        return run


def _progress_of(flow: Flow, options: RunOptions, call: CallFacts) -> list[Observer]:
    if options.progress is False:
        return []
    from taskinity_data.report.progress import progress_for
    from taskinity_data.report.run_state import Tally

    return progress_for(options.progress, tally=Tally.of(flow, call.labels))


def _resolve(options: RunOptions, settings: Settings) -> RunOptions:
    """Return `options` with the settings for what was not given."""
    chunk_size, scheduler, output = options.chunk_size, options.scheduler, options.output
    if output is not None:
        from taskinity_data.run.output_options import locate

        output = locate(output, settings.output_dir)
    return replace(
        options,
        workers=settings.max_workers,
        scheduler=settings.scheduler if scheduler is None else scheduler,
        chunk_size=settings.chunk_size if chunk_size == "auto" else chunk_size,
        output=output,
    )


def _begin(
    flow: Flow,
    steps: Sequence[Stage],
    options: RunOptions,
    call: CallFacts,
    settings: Settings,
    notices: NoticeBoard,
) -> tuple[RunJournal, RunOutput | None]:
    """Open the journal, and the output where there is one."""
    options.check_output()
    if options.output is not None:
        from taskinity_data.run.output import begin

        return begin(flow, steps, options, call, settings, notices)
    journal = open_journal(flow, options, call, settings, notices)
    journal.begin()
    return journal, None
