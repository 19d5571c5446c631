"""Try a function and a reducer on a few slices of a plan's data, and forecast the whole run.

The slices are read and processed by the code of a run, one at a time and then in parallel; no
results are kept.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.dataset import Dataset
from taskinity_data.chunks.plan_limits import check_memory, check_workers
from taskinity_data.chunks.size import fit_middle
from taskinity_data.chunks.sizing import PROCESS_TARGET_S, TASK_S
from taskinity_data.errors import PlanError
from taskinity_data.execution.jobs import chunk_job, is_taken, reducers_of
from taskinity_data.execution.open_fan_out import narrow
from taskinity_data.execution.worker.surroundings import Surroundings
from taskinity_data.flow.flow import short_flow
from taskinity_data.flow.stages import FanOutStage
from taskinity_data.forecast.driver_cost import combine_seconds, pass_seconds, try_finish
from taskinity_data.forecast.extrapolate import (
    estimate_memory,
    expected_sizes,
    fit_seconds,
    is_by_chunk,
    lay_out,
)
from taskinity_data.forecast.forecast import (
    MIN_SPREAD,
    Forecast,
    Range,
    RunSeconds,
    bound,
    doubts,
    spread,
    stretch,
    wall_seconds,
)
from taskinity_data.forecast.side_by_side import Trial, cold_seconds, try_alone, try_in_parallel
from taskinity_data.forecast.trial import TrialRequest
from taskinity_data.machine import count_cores
from taskinity_data.policy import Policy
from taskinity_data.reducers.base import check_reduce, collect
from taskinity_data.settings import load_settings
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.chunks.size import Line
    from taskinity_data.execution.worker.job import Job
    from taskinity_data.flow.stages import Stage
    from taskinity_data.forecast.trial import TrialResult

__all__ = ["Forecast", "estimate", "estimate_job", "make_job"]

MAX_WHOLE_NBYTES = 64 << 20
"""The largest chunk of a size chosen by the user that is tried whole."""

FIRST_CHUNKS, ROUNDS = 4, 4
"""A slice has at most the bytes of so many of a run's first chunks, and of a worker's share of the
data in this many rounds."""

CHUNK_S, RUN_S = 1e-3, 0.03
"""Seconds of the driver for each chunk, and for a run without chunks: a chunk is cut, counted and
written to the journal (0.7 ms), its size is learned (0.3 ms); partials of 400 groups take 0.4 ms
more."""

TASK_SHARE = 0.05
"""The largest share of a chunk's time that its Dask task costs: short chunks share a task."""

FAR = 16
"""The ratio of a chunk to the largest slice above which its cost can't be extrapolated."""

_LOCAL = ("threads", "processes", "synchronous")


def estimate(
    plan: ChunkPlan,
    function: Callable[..., Any] | None = None,
    reduce: Any = None,
    *,
    workers: int | None = None,
    memory: int | str | None = None,
    scheduler: Any = None,
) -> Forecast:
    """Forecast a run over `plan`: see `ChunkPlan.estimate`."""
    reduce = collect() if reduce is None else reduce
    check_reduce(reduce)
    _, steps = short_flow(function, reduce, Policy())
    job = make_job(next(step for step in steps if isinstance(step, FanOutStage)), steps, {}, {})
    return estimate_job(plan, job, workers=workers, memory=memory, scheduler=scheduler)


def estimate_job(
    plan: ChunkPlan,
    job: Job,
    *,
    workers: int | None = None,
    memory: int | str | None = None,
    scheduler: Any = None,
    may_fail: bool = False,
) -> Forecast:
    """Forecast as `estimate` does, for a job; if it `may_fail`, failed slices are only reported."""
    if not plan.chunks or not plan.nbytes:
        raise PlanError("the plan holds no data, so there is nothing to try")
    started = time.perf_counter()
    settings = load_settings()
    workers = check_workers(settings.max_workers if workers is None else workers)
    scheduler = settings.scheduler if scheduler is None else scheduler
    memory_nbytes = check_memory(memory, workers)
    plan, dataset = _narrow_plan(plan, job, workers, memory_nbytes)
    at = time.perf_counter()
    first_nbytes = dataset.first_size(workers, memory_nbytes).target_nbytes
    planned_s = time.perf_counter() - at
    request = TrialRequest(
        plan,
        job,
        workers,
        memory_nbytes,
        first_nbytes=min(first_nbytes, plan.nbytes),
        max_nbytes=min(
            plan.nbytes,
            FIRST_CHUNKS * first_nbytes,
            max(first_nbytes, plan.nbytes // (ROUNDS * workers)),
        ),
        may_fail=may_fail,
        is_whole=plan.is_given and max(chunk.nbytes for chunk in plan) <= MAX_WHOLE_NBYTES,
    )
    before = Surroundings()
    try:
        alone = try_alone(request, scheduler)
        trial = try_in_parallel(request, alone, scheduler)
    finally:
        changes = before.changes()
        if changes:
            before.restore()
    forecast = _conclude(request, dataset, alone, trial, planned_s)
    restored = [f"{job.task} {change}, which was put back" for change in changes]
    took_s = time.perf_counter() - started
    return replace(
        forecast, tried=f"{forecast.tried}, in {took_s:.1f} s", doubts=(*forecast.doubts, *restored)
    )


def _conclude(
    request: TrialRequest, dataset: Dataset, alone: TrialResult, trial: Trial, planned_s: float
) -> Forecast:
    """Extrapolate from slices to the whole; a run plans it again, in about `planned_s`."""
    plan, job, workers = request.plan, request.job, trial.workers
    tried = trial.tried.select_large()
    line = fit_seconds(tried, alone)
    sizes, size, reason = _chunks(plan, dataset, trial, line)
    # Small slices show the part of a result that does not depend on bytes.
    every = trial.tried if trial.tried is alone else trial.tried.join(alone)
    finish_s, output_size = try_finish(job, every, plan.nbytes, len(sizes))
    chunk_s = [line.predict(nbytes) for nbytes in sizes]
    read, function, partial = _parts(tried, sizes, sum(chunk_s))
    work = RunSeconds(
        read=read,
        function=function,
        partial=partial,
        here=_driver_seconds(request, trial, tried, chunk_s),
        idle=lay_out(chunk_s, workers) - sum(chunk_s) / workers,
        start=max(RUN_S, planned_s) + _start_seconds(request, trial, alone),
        finish=finish_s + trial.closed_s,
    )
    cores = count_cores() if trial.name in _LOCAL else None
    is_all = tried.nbytes >= plan.nbytes
    is_far = not (is_all or plan.is_given) and tried.largest_nbytes * FAR < max(sizes)
    is_open = is_far and is_by_chunk(line, tried, alone)
    points = [] if is_all else tried.points
    ratios = [seconds / line.predict(nbytes) for nbytes, seconds in points if seconds]
    seconds = spread(wall_seconds(work, workers, cores), ratios)
    if is_open:
        # If the cost is per chunk it is less: the same for each of a run's first chunks.
        rounds = math.ceil(plan.nbytes / request.first_nbytes / workers)
        lowest_s = work.start + work.finish + rounds * tried.mean_s
        seconds = Range(min(seconds.low, lowest_s / (1 + MIN_SPREAD)), seconds.high)
    return Forecast(
        seconds=seconds,
        memory_nbytes=estimate_memory(trial, alone.base_nbytes, output_size, max(sizes)),
        output_nbytes=stretch(output_size),
        chunk_nbytes=size,
        chunk_reason=reason,
        workers=workers,
        scheduler=trial.name,
        work=work,
        bottleneck=bound(work, workers),
        tried=_describe_slices(tried, plan),
        is_answer=bool(job.reducers),
        doubts=(*doubts(ratios, output_size), *_doubts(alone, trial, is_open=is_open)),
    )


def _chunks(
    plan: ChunkPlan, dataset: Dataset, trial: Trial, line: Line
) -> tuple[list[int], int, str]:
    """Return the bytes of each chunk of a run, the usual size, and the reason for it."""
    if plan.is_given:
        requested = [chunk.nbytes for chunk in plan.chunks]
        return requested, max(1, plan.nbytes // len(plan)), plan.reason
    learner = dataset.learner(trial.workers, trial.memory_nbytes)
    if trial.crosses_processes:
        learner = replace(learner, target_s=PROCESS_TARGET_S)
    sizes = expected_sizes(learner, line, plan.nbytes, trial.workers)
    usual = sorted(sizes, key=lambda size: size.target_nbytes)[3 * len(sizes) // 4]
    reason = f"about {len(sizes):,} of {usual.reason}"
    return [size.target_nbytes for size in sizes], usual.target_nbytes, reason


def _driver_seconds(
    request: TrialRequest, trial: Trial, tried: TrialResult, chunk_s: Sequence[float]
) -> float:
    """Return the seconds of the driver: to find cuts, and for each chunk."""
    each_s = CHUNK_S + combine_seconds(request.job, tried)
    if trial.crosses_processes:
        each_s += min(TASK_S, TASK_SHARE * median(chunk_s))
    return pass_seconds(request.plan) + len(chunk_s) * each_s


def _start_seconds(request: TrialRequest, trial: Trial, alone: TrialResult) -> float:
    """Return the seconds to start workers, and to warm them up."""
    start_s = trial.opened_s + trial.tried.wait_s
    if trial.begin_in_threads:  # they continue while the processes that replace them start
        start_s /= 2
    if trial.crosses_processes:
        return start_s + trial.tried.warm_up_s
    # A run in another process must load again what the very first slices loaded.
    return start_s + max(trial.tried.warm_up_s, cold_seconds(alone, request.first_nbytes))


def _describe_slices(tried: TrialResult, plan: ChunkPlan) -> str:
    count = len(tried.chunks)
    slices = f"{count} slice{'' if count == 1 else 's'}"
    if tried.nbytes >= plan.nbytes:
        return f"{slices}, as large as all {format_nbytes(plan.nbytes)} together"
    return f"{slices}, {format_nbytes(tried.nbytes)} of {format_nbytes(plan.nbytes)}"


def _doubts(alone: TrialResult, trial: Trial, *, is_open: bool) -> Iterator[str]:
    if is_open:
        yield "slices took so long that none was near a chunk's size: the time of one is a guess"
    if trial.workers > 1 and trial.tried is alone:
        yield f"a slice takes {alone.mean_s:.1f} s, so that none were tried in parallel"
    failures = alone.failures if trial.tried is alone else alone.failures + trial.tried.failures
    if failures:
        many = f"{len(failures)} slice{'' if len(failures) == 1 else 's'}"
        yield f"{many} failed, and the time of failures is not included: {failures[0]}"


def make_job(
    stage: FanOutStage, steps: Sequence[Stage], values: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Job:
    """Return the job of a run for each piece of `stage`, one of `steps`; `values` are results."""
    reducers = [step.task.function for step in reducers_of(stage.name, steps)]
    keeps_result = is_taken(stage.name, steps) or not reducers
    return chunk_job(stage, values, inputs, reducers, keeps_result)


def _narrow_plan(
    plan: ChunkPlan, job: Job, workers: int, memory_nbytes: int
) -> tuple[ChunkPlan, Dataset]:
    """Return the plan and dataset with only the columns that a run would read."""
    dataset = Dataset(tuple(extent.file for extent in plan.extents), plan.chunks[0].reader)
    narrowed = narrow(dataset, job.chains, job.reducers)
    if narrowed.reader == dataset.reader:
        return plan, dataset
    if dataset.reader.unit == "bytes":
        chunks = tuple(replace(chunk, reader=narrowed.reader) for chunk in plan.chunks)
        return replace(plan, chunks=chunks), narrowed
    if not plan.is_given:
        return narrowed.plan(workers, memory_nbytes), narrowed
    size = plan.target_nbytes or f"{plan.chunks[0].rows} rows"
    return replace(narrowed.plan(workers, memory_nbytes, size), reason=plan.reason), narrowed


def _parts(tried: TrialResult, sizes: Sequence[int], whole_s: float) -> tuple[float, ...]:
    """Divide the workers' `whole_s` into reading, the function and partials, as in slices."""
    spent = [
        [
            (attempt.read_s, attempt.function_s, attempt.partial_s)[part]
            for attempt in tried.attempts
        ]
        for part in range(3)
    ]
    parts = []
    for seconds in spent:
        points = [(chunk.nbytes, s) for chunk, s in zip(tried.chunks, seconds, strict=True)]
        line = fit_middle(points)
        assert line is not None
        parts.append(line.fixed * len(sizes) + line.per_byte * sum(sizes))
    share = whole_s / (sum(parts) or 1.0)
    return tuple(part * share for part in parts)
