"""Runs a flow, and says what became of it: the place where all parts are put together.

It decides nothing itself: what runs in which order stands in `flow`, what is cut in `chunks`, who
runs it in `execution`, what is shown in `report`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.aggregation.reducers import collect
from taskinity_data.chunks.csv_options import SIGNATURE
from taskinity_data.chunks.dataset import open_dataset
from taskinity_data.chunks.plan import ChunkPlan, parse_chunk_size
from taskinity_data.chunks.streams import is_stream
from taskinity_data.errors import BindError, FlowFailed, PlanError, TaskinityDataError
from taskinity_data.execution.check_laws import check_fan_out
from taskinity_data.execution.choose import Chooser
from taskinity_data.execution.driver import Driver
from taskinity_data.execution.hearing import PassedOn, hearing, lowered
from taskinity_data.execution.interrupts import soft_interrupts
from taskinity_data.execution.jobs import policies
from taskinity_data.execution.pieces import PieceOptions
from taskinity_data.execution.resources import check_resources
from taskinity_data.execution.works import make_works, only_kernels
from taskinity_data.flow.policies import make_policy
from taskinity_data.flow.short import short_flow
from taskinity_data.flow.stages import stages
from taskinity_data.forecast.actual import compare_forecast
from taskinity_data.forecast.estimate import answer_nbytes
from taskinity_data.outcome import RunStatus
from taskinity_data.policy import parse_duration, parse_nbytes
from taskinity_data.report.announcer import Announcer
from taskinity_data.report.dashboard import DashboardObserver
from taskinity_data.report.progress import progress_for
from taskinity_data.result import Output, Run
from taskinity_data.run_facts import facts_of
from taskinity_data.run_journal import (
    JournalOptions,
    Notices,
    name_subject,
    open_journal,
    open_log,
)
from taskinity_data.run_options import (
    check_flow,
    check_workers,
    keywords_of,
    parse_max_failures,
    sort_options,
    sort_plans,
    with_defaults,
)
from taskinity_data.run_output import OutputOptions, RunOutput, drop_results, locate, open_output
from taskinity_data.settings import load_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.flow.model import Flow
    from taskinity_data.flow.stages import Stage
    from taskinity_data.forecast.actual import Met
    from taskinity_data.run_journal import RunJournal

__all__ = ["Run", "process", "run_flow"]


def run_flow(
    flow: Flow,
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
    resume: bool | str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    output_format: str = "parquet",
    partition_by: str | Sequence[str] = (),
    if_exists: str = "error",
    max_rows_per_file: int | None = None,
    output_compression: str | None = None,
    spreadsheet_safe: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    observers: Sequence[Any] = (),
    inputs: Mapping[str, Any] | None = None,
    **more_inputs: Any,
) -> Run:
    """Run a bound flow to its end.

    Parameters
    ----------
    flow : Flow
        Bound: every task has its function.
    scheduler : optional
        ``"synchronous"``, ``"threads"``, ``"processes"``, an address, a scheduler file, a
        `distributed.Client`, a Dask cluster object or a `concurrent.futures.Executor`. None takes
        the current client if there is one; else threads, and local processes once the first
        chunks' time shows that they pay.
    workers : int, optional
        How many items at once; default: one to each core.
    memory : str or int, optional
        What one worker may use, as ``"2GiB"`` or bytes; default: its share of the machine.
    chunk_size : str or int
        ``"auto"``, bytes (``64_000_000``, ``"64MiB"``) or rows (``"100_000 rows"``).
    max_failures : int or str, optional
        How many chunks may end without a result of their own, as a count or a share (``"1%"``).
    run_timeout : str or float, optional
        As ``"10m"`` or seconds: how long the whole run may take.
    plan : ChunkPlan, or dict of them by fan-out, optional
        Cuts to repeat, as ``run.plan`` of an earlier run.
    only : str or sequence of str, optional
        One chunk alone, as ``PATH:START-STOP``: the error of a failed chunk tells its own. With
        ``scheduler="synchronous"`` a debugger stops in its function.
    check : bool
        Whether functions and reducers are tried on rows of the first chunks, before anything is
        run, for answers that depend on where chunks are cut: with the laws of
        `td.testing.check_reducer` and `check_chunkwise`, in this process, for a few seconds at
        most.
    resume : bool or str, optional
        True: the newest run of this flow and output goes on, as far as there is one. A run's id:
        that one. Finished chunks of unchanged code, options and data are used again; what differs
        is said.
    run_dir : path, optional
        Where what is finished is kept while the run goes, one directory a run. Default:
        ``TASKINITY_RUN_DIR``, else ``.taskinity``, where runs of less than two seconds leave
        nothing.
    output : path, optional
        A directory, or the URL of one in a store: each chunk's table becomes a part file there, and
        all appear at once when the run has ended well. Of a flow with one fan-out; where the flow
        ends with it, the value is the directory, and the tables don't come here. A relative path
        lies below ``TASKINITY_OUTPUT_DIR``, where that is set.
    output_format : {"parquet", "csv", "jsonl", "arrow"}
        CSV and JSON Lines hold no types: whole floats read back as integers.
    partition_by : str or sequence of str
        Columns by whose values parts are sorted into ``column=value`` directories: integers,
        dates and texts. Readers take the values from the names: as integers, or texts.
    if_exists : {"error", "overwrite", "append"}
        What to do where the directory exists; until the run has ended well nothing is done.
    max_rows_per_file : int, optional
        A chunk with more rows becomes several files. Default: one file a chunk and directory.
    output_compression : str, optional
        Of Parquet (``"snappy"``, the default, ``"zstd"``, ``"gzip"``, …) and Arrow (``"lz4"``,
        ``"zstd"``); texts are not compressed.
    spreadsheet_safe : bool
        Of CSV: texts that a spreadsheet would take for formulas get a quote in front.
    storage_options : dict, optional
        Of an `output` in a store: what fsspec's file system takes. `process` gives them to its
        source's URLs, too; a source in another store is opened first, with `td.open_dataset`.
    progress : bool, optional
        Whether to show how it goes; default: as bars on a terminal or in a notebook, elsewhere a
        line every few seconds on standard error.
    observers : sequence of Observer
        Each gets every event.
    inputs : dict, optional
        The flow's inputs, for names that options have taken.
    **more_inputs
        The flow's inputs by name.

    Returns
    -------
    Run

    Raises
    ------
    BindError
        The flow is not bound, or inputs are missing or unknown.
    PlanError, SettingsError, SchedulerError
        A source, option or scheduler that can't be meant.
    CheckError
        With `check`: a law does not hold; the message shows the rows.
    ResumeError
        `resume` names a run that is not there, goes on now, or can't be gone on with.
    FlowFailed
        The run ended without its answer; `.run` holds what was done.
    KeyboardInterrupt
        Ctrl-C or SIGTERM, once what ran has ended (or was dropped after 5 s), what is finished is
        kept and all is closed; `.run` holds what was done. A second one stops at once.
    """
    given = {**(inputs or {}), **more_inputs}
    steps = stages(check_flow(flow), tuple(given))
    return _run(
        flow,
        steps,
        with_defaults(flow, given),
        {},
        scheduler=scheduler,
        workers=workers,
        memory=memory,
        chunk_size=chunk_size,
        max_failures=max_failures,
        run_timeout=run_timeout,
        plan=plan,
        only=only,
        check=check,
        written=OutputOptions(
            output,
            output_format,
            partition_by,
            if_exists,
            max_rows_per_file,
            output_compression,
            spreadsheet_safe,
            storage_options,
        ),
        kept=JournalOptions(resume, run_dir, inputs=given),
        progress=progress,
        observers=observers,
    )


def process(
    source: Any,
    function: Callable[..., Any] | None = None,
    *,
    reduce: Any = None,
    **options: Any,
) -> Run:
    """Run `function` over the chunks of `source`, and reduce what it returns: a flow in one call.

    Parameters
    ----------
    source : path, glob, directory, list of them, DataFrame, Arrow table, Dataset, or iterator
        Of an iterator of frames or tables, a record batch reader or a Dask DataFrame each part is a
        chunk, taken while the run goes and never more than workers can use.
    function : callable, optional
        chunk -> anything. None: the rows themselves are reduced.
    reduce : Reducer or callable
        A reducer, or a function of the list of all results in chunk order. Default: `collect`; with
        ``output=`` nothing, and the value is the output's directory.
    **options
        Options of `td.task`, of `td.open_dataset` (those of `pandas.read_csv` included) and of
        `td.run_flow`.

    Returns
    -------
    Run
        ``.value`` is the reduced value.

    Raises
    ------
    BindError
        An option that none of them has.
    PlanError, FlowFailed, ...
        As `run_flow`.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": range(5)})
    >>> process(frame, lambda chunk: int(chunk.a.sum()), chunk_size="2 rows").value
    [1, 5, 4]
    """
    task_options, dataset_options, run_options = sort_options(
        options,
        keywords_of(run_flow) - {"inputs"},
        {*keywords_of(open_dataset), *SIGNATURE, "newlines_in_values"},
    )
    names = [one.name for one in fields(OutputOptions) if one.name in run_options]
    written = OutputOptions(**{name: run_options.pop(name) for name in names})
    written, shared = written.shared_with(source, load_settings().output_dir)
    dataset_options |= shared
    writes_only = reduce is None and written.output is not None
    kept = JournalOptions(
        run_options.pop("resume", None),
        run_options.pop("run_dir", None),
        name_subject(source, function or reduce),
        {"source": source, **dataset_options},
    )
    if reduce is None:
        reduce = drop_results() if writes_only else collect()
    elif not callable(reduce) and not getattr(reduce, "is_reducer", False):
        raise BindError(f"reduce={reduce!r} is neither a reducer nor a function of a list")
    elif str(getattr(reduce, "__module__", "")).startswith("taskinity_data.aggregation") and not (
        getattr(reduce, "is_reducer", False)
    ):
        name = reduce.__name__.rstrip("_")
        raise BindError(f"reduce=td.{name}: that makes reducers; call it, reduce=td.{name}(...)")
    if not is_stream(source):
        source = open_dataset(source, **dataset_options)
        if function is None:
            written.check_columns(source.schema.names)
    elif dataset_options:
        raise PlanError(
            f"{next(iter(dataset_options))}= is an option of files and tables; the frames of an "
            "iterator are taken as they come"
        )
    name = task_options.pop("name", "ProcessChunk")
    description = task_options.pop("description", None)
    flow, steps = short_flow(function, reduce, make_policy(**task_options), name, description)
    run = _run(
        flow, steps, {}, {"DataPreparation": source}, written=written, kept=kept, **run_options
    )
    return replace(run, value=run.output.path) if writes_only and run.output else run


# -- putting it together ---------------------------------------------------------------------------


def _run(
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
    progress: bool | None = None,
    observers: Sequence[Any] = (),
) -> Run:
    size = parse_chunk_size(chunk_size)
    settings = load_settings(max_workers=check_workers(workers))
    memory_nbytes = None if memory is None else parse_nbytes(memory)
    allowed = parse_max_failures(max_failures)
    timeout_s = None if run_timeout is None else parse_duration(run_timeout)
    default_size = parse_chunk_size(settings.chunk_size)
    ranges = (only,) if isinstance(only, str) else tuple(only)
    plans = sort_plans(steps, plan)

    written = replace(written, output=locate(written.output, settings.output_dir))
    asked = {
        "scheduler": scheduler if scheduler is not None else settings.scheduler,
        "workers": settings.max_workers,
        "memory": memory,
        "chunk_size": settings.chunk_size if chunk_size == "auto" else chunk_size,
        "max_failures": max_failures,
        "run_timeout": run_timeout,
        "plan": plan,
        **(vars(written) if written.output is not None else {}),
    }
    kept = replace(kept, options=asked)
    notices = Notices()
    journal = open_journal(flow, kept, settings, written.output, notices, is_kept=not ranges)
    run_id, checkpoints = journal.run_id, journal.checkpoints
    log = open_log(journal, settings, notices, is_kept=not ranges)
    options = PieceOptions(size, default_size, plans, ranges, checkpoints, log.level)
    sink = _begin(steps, written, journal)
    page = DashboardObserver(flow)
    told = Announcer(run_id, [*journal.observers, log, *progress_for(progress), page, *observers])
    begun = time.perf_counter()
    told(events.RunStarted(run_id, time.time(), flow.name, flow.order))
    notices.pass_on(lambda text: told(events.Notice(run_id, time.time(), text)))
    run: Run | None = None
    driver: Driver | None = None
    chooser: Chooser | None = None
    failed: BaseException | None = None
    try:
        chooser = Chooser(
            scheduler if scheduler is not None else settings.scheduler,
            settings.max_workers,
            memory_nbytes,
            stays_in_threads=only_kernels(steps) or (sink is not None and sink.is_in_process),
            announce=told.announce,
        )
        started_s = time.perf_counter() - begun
        check_resources(steps, chooser.strategy)
        driver = Driver(
            run_id,
            make_works(
                steps,
                inputs,
                options,
                chooser,
                sink.by_fan_out if sink else {},
                partial(check_fan_out, say=notices) if check else None,
            ),
            policies(steps),
            chooser,
            told,
            max_failures=allowed,
            run_timeout_s=timeout_s,
            inspect=sink.inspect if sink else None,
            checkpoints=checkpoints,
        )
        driver.values.update(values)
        heard = PassedOn(log.level, log.take)
        with soft_interrupts(driver.interrupt), lowered(log.level), hearing(heard):
            driver.run()
        if driver.status is RunStatus.INTERRUPTED:
            failed = KeyboardInterrupt()
        elif sink is not None and driver.status is not RunStatus.FAILED:
            _commit(sink, flow, driver, run_id)
    except KeyboardInterrupt as error:
        failed = error
        if driver is not None and (sink is None or sink.written is None):
            driver.status = RunStatus.INTERRUPTED
    finally:
        at = time.perf_counter()
        status = driver.status if driver is not None else RunStatus.FAILED
        value = driver.values.get(flow.last or "") if driver is not None else None
        try:
            if chooser is not None:
                chooser.close(waits=driver is None or not driver.has_dropped)
        finally:
            # Whatever comes meanwhile, a third Ctrl-C for one, must not leave the run locked.
            if sink is not None:
                sink.close(is_kept=checkpoints is not None and checkpoints.will_keep(status))
            facts = None
            try:
                if driver is not None and chooser is not None:
                    seconds = {"total": time.perf_counter() - begun, "start_workers": started_s}
                    written_to = None if sink is None else sink.written
                    run = _account(flow, driver, chooser, told, run_id, seconds, written_to)
                    run = replace(run, predicted=_predicted(run, driver, plans), log=log.path)
                    facts = facts_of(run, driver)
            finally:
                reason = driver.stop_reason if driver is not None else None
                journal.close(status, value, reason, facts)
        closed_s = time.perf_counter() - at
        if status in (RunStatus.INTERRUPTED, RunStatus.FAILED) and journal.is_resumable:
            notices(journal.tell_resume())
            log.keep()
        told(events.RunFinished(run_id, time.time(), status, _why(driver)))
        told.close()
    if driver is None or run is None:
        assert failed is not None
        raise failed
    run = replace(
        run,
        timings=run.timings | {"total": time.perf_counter() - begun, "close": closed_s},
        notices=(*notices.texts, *run.notices),
        log=log.path,
        quarantine=journal.quarantine,
        next_steps=journal.next_steps(str(run.status), driver.outcomes, settings),
    )
    if sink is not None and sink.written is not None:
        ends_here = flow.last in sink.by_fan_out and run.value is None
        run = replace(run, value=sink.written.path if ends_here else run.value)
    if failed is not None:
        failed.run = run  # type: ignore[attr-defined]  # for whoever catches it
        raise failed
    if run.status is RunStatus.FAILED:
        if not driver.has_submitted and isinstance(driver.cause, TaskinityDataError):
            # Nothing has run: the call was wrong.
            raise driver.cause
        raise FlowFailed(f"flow {flow.name}: {run.tell_failure()}", run=run) from driver.cause
    return run


def _why(driver: Driver | None) -> str | None:
    """Why the run that ends now did not do all: by its driver, or by what is being raised."""
    if driver is not None and driver.stop_reason is not None:
        return driver.stop_reason
    error = sys.exception()
    return None if error is None else f"{type(error).__name__}: {error}"


def _account(
    flow: Flow,
    driver: Driver,
    chooser: Chooser,
    told: Announcer,
    run_id: str,
    seconds: Mapping[str, float],
    output: Output | None,
) -> Run:
    run = Run.of(
        flow,
        driver,
        run_id=run_id,
        strategy=told.strategies[-1],
        reason=chooser.reason,
        seconds=seconds,
    )
    return replace(run, output=output)


def _predicted(run: Run, driver: Driver, plans: Sequence[tuple[str, ChunkPlan]]) -> tuple[Met, ...]:
    """What the one plan that has a forecast said of the run, against the run."""
    found = [plan.forecast for _, plan in plans if plan.forecast is not None]
    if len(found) != 1 or run.status in (RunStatus.FAILED, RunStatus.INTERRUPTED):
        return ()
    peaks = [
        attempt.peak_nbytes
        for _, outcome in driver.outcomes
        for attempt in outcome.attempts
        if attempt.peak_nbytes is not None
    ]
    output = None if run.value is None else answer_nbytes(run.value)
    return compare_forecast(found[0], run.timings["total"], max(peaks, default=None), output)


def _begin(steps: Sequence[Stage], written: OutputOptions, journal: RunJournal) -> RunOutput | None:
    """Open the output, and the journal once that is sure to be possible."""
    sink = None
    try:
        sink = open_output(steps, written, journal)
        journal.begin()
    except BaseException:
        journal.abandon()
        if sink is not None:
            sink.close()
        raise
    return sink


def _commit(sink: RunOutput, flow: Flow, driver: Driver, run_id: str) -> None:
    try:
        sink.commit(flow, driver, run_id)
    except (TaskinityDataError, OSError) as error:
        driver.fail(f"the output can't be committed: {error}", error)
