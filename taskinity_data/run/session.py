"""One run from beginning to end: what it needs is opened in order, and closed whatever comes.

It decides nothing itself: what runs in which order stands in `flow`, what is cut in `chunks`, who
runs it in `execution`, what is shown in `report`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.chunks.plan import ChunkPlan, parse_chunk_size
from taskinity_data.errors import FlowFailed, SchedulerError, TaskinityDataError
from taskinity_data.execution.choose_scheduler import SchedulerChoice
from taskinity_data.execution.driver import Driver
from taskinity_data.execution.jobs import make_works, only_kernels, policies
from taskinity_data.execution.open_fan_out import PieceOptions
from taskinity_data.execution.schedulers.resources import check_resources
from taskinity_data.execution.schedulers.signals import soft_interrupts
from taskinity_data.execution.worker.log_capture import PassedOn, capture_logs, lower_level
from taskinity_data.execution.worker.run_item import peak_nbytes
from taskinity_data.forecast.compare_with_run import Ran, compare_forecast, name_work
from taskinity_data.forecast.output import answer_nbytes
from taskinity_data.outcome import RunStatus, Status
from taskinity_data.policy import parse_duration
from taskinity_data.redact import hide
from taskinity_data.report.dashboard.observer import DashboardObserver
from taskinity_data.report.notify import Announcer
from taskinity_data.report.progress import progress_for
from taskinity_data.run.check import check_fan_out
from taskinity_data.run.journal import NoticeBoard, open_log
from taskinity_data.run.options import check_workers, parse_max_failures, parse_memory, sort_plans
from taskinity_data.run.output import RunOutput, begin
from taskinity_data.run.output_options import OutputOptions, locate
from taskinity_data.run.rebuild import facts_of
from taskinity_data.run.result import Run
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.flow.model import Flow
    from taskinity_data.flow.stages import Stage
    from taskinity_data.forecast.compare_with_run import Met
    from taskinity_data.report.log_file import RunLog
    from taskinity_data.run.describe_run import JournalOptions
    from taskinity_data.run.journal import RunJournal
    from taskinity_data.settings import Settings


__all__ = ["run_session"]


def run_session(
    flow: Flow,
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    scheduler: Any = None,
    workers: int | None = None,
    memory: str | int | None = None,
    chunk_size: str | int = "auto",
    max_failures: int | str | None = None,
    run_timeout: str | float | None = None,
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None = None,
    only: str | Sequence[str] = (),
    check: bool = False,
    written: OutputOptions,
    kept: JournalOptions,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    observers: Sequence[Any] = (),
) -> Run:
    """Run the `steps` of `flow`, as `api.run_flow` says.

    Parameters
    ----------
    inputs : mapping
        Of the flow.
    values : mapping
        What tasks that need not run have given.
    written, kept
        What was said of the output and of the journal.
    storage_options : mapping or None
        Of URLs that the run itself opens.
    """
    size = parse_chunk_size(chunk_size)
    settings = load_settings(max_workers=check_workers(workers))
    memory_nbytes = parse_memory(memory)
    allowed = parse_max_failures(max_failures)
    timeout_s = None if run_timeout is None else parse_duration(run_timeout)
    default_size = parse_chunk_size(settings.chunk_size)
    ranges = (only,) if isinstance(only, str) else tuple(only)
    plans = sort_plans(steps, plan)
    set_by = settings.source_of("scheduler") if scheduler is None else None
    scheduler = settings.scheduler if scheduler is None else scheduler
    written = replace(written, output=locate(written.output, settings.output_dir))
    asked = {
        "scheduler": scheduler,
        "workers": settings.max_workers,
        "memory": memory,
        "chunk_size": settings.chunk_size if chunk_size == "auto" else chunk_size,
        "max_failures": max_failures,
        "run_timeout": run_timeout,
        "plan": plan,
        **written.given(),
    }
    notices = NoticeBoard()
    journal, sink = begin(
        flow,
        steps,
        written,
        replace(kept, options=asked, written=written.told()),
        settings,
        notices,
        is_kept=not ranges,
    )
    log = open_log(journal, settings, notices, is_kept=not ranges)
    options = PieceOptions(
        size, default_size, plans, ranges, journal.checkpoints, log.level, storage_options
    )
    told = Announcer(
        journal.run_id,
        [
            *journal.observers,
            log,
            *progress_for(progress),
            DashboardObserver(flow, notices),
            *observers,
        ],
    )

    def choose() -> SchedulerChoice:
        is_in_process = sink is not None and sink.is_in_process
        try:
            return SchedulerChoice(
                scheduler,
                settings.max_workers,
                memory_nbytes,
                stays_in_threads=only_kernels(steps) or is_in_process,
                announce=told.announce,
                say=notices,
            )
        except SchedulerError as error:
            if scheduler is None or set_by is None:
                raise
            # Nobody has given it as an argument.
            why = str(error).removeprefix("scheduler=")
            raise SchedulerError(f"{set_by}: {why}") from error

    def drive(chooser: SchedulerChoice) -> Driver:
        check_resources(steps, chooser.strategy)
        laws = partial(check_fan_out, say=notices) if check else None
        outputs = sink.by_fan_out if sink else {}
        driver = Driver(
            journal.run_id,
            make_works(steps, inputs, options, chooser, outputs, laws),
            policies(steps),
            chooser,
            told,
            max_failures=allowed,
            run_timeout_s=timeout_s,
            inspect=sink.inspect if sink else None,
            checkpoints=journal.checkpoints,
            idle=told.pulse,
        )
        driver.values.update(values)
        return driver

    one = RunSession(flow, journal, log, sink, notices, told, plans)
    one.go(choose, drive)
    return one.tell(settings)


class RunSession:
    """A run whose journal, log and output are open."""

    def __init__(
        self,
        flow: Flow,
        journal: RunJournal,
        log: RunLog,
        sink: RunOutput | None,
        notices: NoticeBoard,
        told: Announcer,
        plans: Sequence[tuple[str, ChunkPlan]],
    ) -> None:
        self._flow = flow
        self._journal = journal
        self._log = log
        self._sink = sink
        self._notices = notices
        self._told = told
        self._plans = plans
        self._begun = time.perf_counter()
        self._started_s = self._closed_s = 0.0
        self._chooser: SchedulerChoice | None = None
        self._driver: Driver | None = None
        self._run: Run | None = None
        self._failed: BaseException | None = None

    def go(
        self, choose: Callable[[], SchedulerChoice], drive: Callable[[SchedulerChoice], Driver]
    ) -> None:
        """Start what runs items, run all, commit; then all is closed, whatever comes."""
        run_id = self._journal.run_id
        self._told(events.RunStarted(run_id, time.time(), self._flow.name, self._flow.order))
        self._notices.pass_on(lambda text: self._told(events.Notice(run_id, time.time(), text)))
        try:
            self._chooser = choose()
            self._started_s = time.perf_counter() - self._begun
            self._driver = driver = drive(self._chooser)
            heard = PassedOn(self._log.level, self._log.take)
            with (
                soft_interrupts(driver.interrupt),
                lower_level(self._log.level),
                capture_logs(heard),
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
                # Whatever comes meanwhile must leave no terminal without its cursor.
                self._told.close()

    def _commit(self, driver: Driver) -> None:
        if self._sink is None:
            return
        try:
            self._sink.commit(self._flow, driver, self._journal.run_id, self._notices)
        except (TaskinityDataError, OSError) as error:
            driver.fail(f"the output can't be committed: {error}", error)

    def _close(self) -> None:
        at = time.perf_counter()
        driver = self._driver
        status = driver.status if driver is not None else RunStatus.FAILED
        self._told.leave(status)
        try:
            if self._chooser is not None:
                self._close_workers(self._chooser)
        finally:
            # Whatever comes meanwhile must not leave the run locked.
            self._settle(status)
        self._closed_s = time.perf_counter() - at
        if status in (RunStatus.INTERRUPTED, RunStatus.FAILED) and self._journal.is_resumable:
            self._notices(self._journal.tell_resume())
            self._log.keep()
        run_id = self._journal.run_id
        self._told(events.RunFinished(run_id, time.time(), status, self._why()))

    def _close_workers(self, chooser: SchedulerChoice) -> None:
        """End what was started; Ctrl-C ends it now, and the run is told of all the same."""
        try:
            chooser.close(waits=self._driver is None or not self._driver.has_dropped)
        except KeyboardInterrupt as error:
            self._failed = self._failed or error
            chooser.close(waits=False)

    def _settle(self, status: RunStatus) -> None:
        """Close output and journal, with all that is known by now."""
        driver, kept = self._driver, self._journal.checkpoints
        if self._sink is not None:
            self._sink.close(is_kept=kept is not None and kept.will_keep(status))
        facts = value = reason = None
        try:
            if driver is not None:
                value = driver.values.get(self._flow.last or "")
                reason = driver.stop_reason
                self._run = self._account(driver)
                facts = facts_of(self._run, driver)
        finally:
            self._journal.close(status, value, reason, facts)

    def _account(self, driver: Driver) -> Run:
        assert self._chooser is not None
        run = Run.of(
            self._flow,
            driver,
            run_id=self._journal.run_id,
            strategy=self._told.strategies[-1],
            reason=self._chooser.reason,
            seconds={
                "total": time.perf_counter() - self._begun,
                "start_workers": self._started_s,
            },
        )
        return replace(
            run,
            output=None if self._sink is None else self._sink.written,
            predicted=_predicted(run, driver, self._plans),
            log=self._log.path,
        )

    def _why(self) -> str | None:
        """Why the run that ends now did not do all: by its driver, or by what is being raised."""
        if self._driver is not None and self._driver.stop_reason is not None:
            return self._driver.stop_reason
        error = sys.exception()
        return None if error is None else hide(f"{type(error).__name__}: {error}")

    def tell(self, settings: Settings) -> Run:
        """What became of it.

        Raises
        ------
        FlowFailed, TaskinityDataError, KeyboardInterrupt
            See `api.run_flow`.
        """
        driver, run = self._driver, self._run
        if driver is None or run is None:
            assert self._failed is not None
            raise self._failed
        run = replace(
            run,
            timings=run.timings
            | {"total": time.perf_counter() - self._begun, "close": self._closed_s},
            notices=(*self._notices.texts, *run.notices),
            log=self._log.path,
            quarantine=self._journal.quarantine,
            next_steps=self._journal.next_steps(str(run.status), driver.account.outcomes, settings),
            _told=self._journal.told,
        )
        sink = self._sink
        if sink is not None and sink.written is not None:
            ends_here = self._flow.last in sink.by_fan_out and run.value is None
            run = replace(run, value=sink.written.path if ends_here else run.value)
        if self._failed is not None:
            self._failed.run = run  # type: ignore[attr-defined]  # for whoever catches it
            raise self._failed
        if run.status is RunStatus.FAILED:
            if not driver.has_submitted and isinstance(driver.cause, TaskinityDataError):
                # Nothing has run: the call was wrong.
                raise driver.cause
            text = f"flow {self._flow.name}: {run.tell_failure()}"
            raise FlowFailed(text, run=run) from driver.cause
        return run


def _predicted(run: Run, driver: Driver, plans: Sequence[tuple[str, ChunkPlan]]) -> tuple[Met, ...]:
    """What the one plan that has a forecast said of the run, against the run."""
    found = [(name, plan) for name, plan in plans if plan.forecast is not None]
    if len(found) != 1 or run.status in (RunStatus.FAILED, RunStatus.INTERRUPTED):
        return ()
    name, plan = found[0]
    work = name_work(driver.fan_outs[name].job)
    forecast = plan.forecast_of(work)
    assert forecast is not None
    chunks = [outcome for item, outcome in driver.account.outcomes if item is not None]
    run_now = (outcome for outcome in chunks if not outcome.is_recalled)
    peaks = [attempt.peak_nbytes for outcome in run_now for attempt in outcome.attempts]
    if run.scheduler in ("threads", "synchronous"):
        peaks.append(peak_nbytes())
    value = run.value if forecast.is_answer else run.results.get(name)
    ran = Ran(
        work,
        run.workers,
        run.scheduler,
        run.timings["total"],
        max((peak for peak in peaks if peak is not None), default=None),
        None if value is None else answer_nbytes(value),
        sum(outcome.is_recalled for outcome in chunks),
        sum(outcome.status is not Status.COMPLETED for outcome in chunks),
    )
    return compare_forecast(forecast, ran)
