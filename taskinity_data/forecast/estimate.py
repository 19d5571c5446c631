"""Try a function and a reducer on a few slices of a plan's data, and forecast the whole run.

The slices are read and processed by the code of a run, one at a time and then in parallel; no
results are kept.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.cost_line import Line, fit_line, fit_middle
from taskinity_data.chunks.dataset import Dataset
from taskinity_data.chunks.plan_limits import check_memory, check_workers
from taskinity_data.chunks.sizing import TASK_S, Learner, Observation
from taskinity_data.errors import BindError, PlanError
from taskinity_data.execution.jobs import chunk_job, consumers, reducers_of
from taskinity_data.execution.open_fan_out import narrow
from taskinity_data.execution.schedulers.connect import PROCESS_NBYTES
from taskinity_data.execution.worker.side_effects import Surroundings
from taskinity_data.flow.map_reduce import short_flow
from taskinity_data.flow.stages import FanOutStage
from taskinity_data.forecast.compare_with_run import name_work
from taskinity_data.forecast.driver_cost import combine_seconds, pass_seconds, try_finish
from taskinity_data.forecast.forecast import (
    MIN_SPREAD,
    Forecast,
    Range,
    RunSeconds,
    bound,
    doubts,
    more_workers,
    spread,
    stretch,
    wall_seconds,
)
from taskinity_data.forecast.side_by_side import (
    Trial,
    TrialRequest,
    cold_seconds,
    try_alone,
    try_in_parallel,
)
from taskinity_data.forecast.simulate import Costs, SimulatedRun, simulate
from taskinity_data.forecast.trial_sizes import SETTLED, TrialSizes
from taskinity_data.machine import count_cores
from taskinity_data.policy import Policy
from taskinity_data.reducers.base import collect
from taskinity_data.settings import load_settings
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.worker.run_item import Job
    from taskinity_data.flow.stages import Stage
    from taskinity_data.forecast.output import SizeEstimate
    from taskinity_data.forecast.trial import TrialResult

__all__ = ["Forecast", "estimate", "estimate_job", "make_job"]


MAX_WHOLE_NBYTES = 64 << 20
"""The largest chunk of a size chosen by the user that is tried whole."""


CHUNK_S, RUN_S = 1e-3, 0.03
"""Seconds of the driver for each chunk, and for a run without chunks: a chunk is cut, counted and
written to the journal (0.7 ms), its size is learned (0.3 ms); partials of 400 groups take 0.4 ms
more."""

SPARE_MEMORY, MORE_MEMORY = 0.72, 1.4
"""The memory of a run relative to the trial: the lower end if its chunks stay below the largest
slice, the upper one for what an allocator keeps in a longer run and for chunks half as large again.
"""

MIN_SCALE, MAX_SCALE = 0.8, 2.0
"""Bounds of the memory of a run's largest chunk relative to that of the largest slice; the lower
one since the memory around it counts, too."""

MIN_SLICES = 4
"""With fewer slices in parallel, those one at a time are used, too, to fit time to bytes."""

UNEVEN = 0.3
"""The relative scatter of slices above which they differ by position more than by chance."""

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
    if not callable(reduce) and not getattr(reduce, "is_reducer", False):
        raise BindError(f"reduce={reduce!r} is neither a reducer nor a function of a list")
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
    begun = time.perf_counter()
    settings = load_settings()
    workers = check_workers(settings.max_workers if workers is None else workers)
    scheduler = settings.scheduler if scheduler is None else scheduler
    memory_nbytes = check_memory(memory, workers)
    plan, dataset = _narrow_plan(plan, job, workers, memory_nbytes)
    largest = max(chunk.nbytes for chunk in plan.chunks)
    at = time.perf_counter()
    first = Learner(
        dataset.first_size(workers, memory_nbytes),
        memory_nbytes,
        dataset.expansion,
        total_nbytes=plan.nbytes,
    )
    planned_s = time.perf_counter() - at
    is_whole = plan.is_given and largest <= MAX_WHOLE_NBYTES
    sizes = TrialSizes(first, plan.nbytes, workers, is_whole=is_whole)
    request = TrialRequest(plan, job, sizes, workers, memory_nbytes, may_fail)
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
    took_s = time.perf_counter() - begun
    return replace(
        forecast, tried=f"{forecast.tried}, in {took_s:.1f} s", doubts=(*forecast.doubts, *restored)
    )


def _conclude(
    request: TrialRequest, dataset: Dataset, alone: TrialResult, trial: Trial, planned_s: float
) -> Forecast:
    """Extrapolate from slices to the whole; a run plans it again, in about `planned_s`."""
    plan, job, sizes = request.plan, request.job, request.sizes
    tried = trial.tried.select(sizes.counts)
    first = Learner(
        dataset.first_size(trial.workers, trial.memory_nbytes),
        trial.memory_nbytes,
        dataset.expansion,
        total_nbytes=plan.nbytes,
    )
    line = _shape(tried, alone)
    learner = _learn(first, tried, trial.crosses_processes, line)
    ratios = [seconds / line.predict(nbytes) for nbytes, seconds in tried.points if seconds]
    combine_s = combine_seconds(job, tried)
    task_s = TASK_S if trial.crosses_processes else 0.0
    costs = Costs(line, ratios, learner.memory, task_s, CHUNK_S + combine_s)
    chunk_sizes = [chunk.nbytes for chunk in plan.chunks] if plan.is_given else []
    simulated = simulate(first, costs, plan.nbytes, trial.workers, chunk_sizes)
    is_whole = plan.is_given or tried.nbytes >= plan.nbytes
    is_far = _largest(tried) * FAR < simulated.largest_nbytes
    is_open = not is_whole and is_far and _is_by_chunk(line, tried, alone)
    # Small slices show the part of a result that does not depend on bytes.
    every = trial.tried if trial.tried is alone else trial.tried.join(alone)
    finish_s, output_size = try_finish(job, every, plan.nbytes, simulated.chunks)
    size, reason = _settle(plan, learner, trial.workers, simulated)
    # Threads continue while the processes that replace them start.
    start_s = trial.opened_s / 2 if trial.begin_in_threads else trial.opened_s
    warm_up_s = trial.tried.warm_up_s
    if not trial.crosses_processes:
        # A run in another process must load again what the very first slices loaded.
        warm_up_s = max(warm_up_s, cold_seconds(alone, sizes.first_nbytes))
    read, function, partial = _parts(plan, tried, simulated)
    work = RunSeconds(
        read=read,
        function=function,
        partial=partial,
        here=pass_seconds(plan) + simulated.here,
        idle=max(
            0.0, simulated.seconds - max(simulated.by_workers / trial.workers, simulated.here)
        ),
        start=max(RUN_S, planned_s) + start_s + warm_up_s,
        finish=finish_s + trial.closed_s,
    )
    cores = count_cores() if trial.name in _LOCAL else None
    alone_line = fit_middle(alone.select(sizes.counts).points)
    slowdown = 1.0
    if alone_line is not None and alone_line.predict(1):
        slowdown = tried.seconds / sum(alone_line.predict(nbytes) for nbytes, _ in tried.points)
    busy = 1.0 if alone.busy is None else alone.busy
    seconds = spread(wall_seconds(work, trial.workers, cores), ratios)
    if is_open:
        # If the cost is per chunk it is less: the same for each of a run's first chunks.
        rounds = math.ceil(plan.nbytes / first.first.target_nbytes / trial.workers)
        lowest_s = work.start + work.finish + rounds * tried.seconds / len(tried.outcomes)
        seconds = Range(min(seconds.low, lowest_s / (1 + MIN_SPREAD)), seconds.high)
    return Forecast(
        seconds=seconds,
        memory_nbytes=_memory(trial, alone.base_nbytes, output_size, simulated.largest_nbytes),
        output_nbytes=stretch(output_size),
        chunk_nbytes=size,
        chunk_reason=reason,
        workers=trial.workers,
        scheduler=trial.name,
        of=name_work(job),
        work=work,
        bottleneck=bound(work, trial.workers, busy),
        more_workers=more_workers(
            work, trial.workers, cores, slowdown, trial.name == "threads", busy, simulated.chunks
        ),
        tried=_describe_slices(tried, plan),
        is_answer=bool(job.reducers),
        doubts=(
            *doubts([] if tried.nbytes >= plan.nbytes else ratios, output_size),
            *_doubts(alone, trial, is_open=is_open),
        ),
    )


def _shape(tried: TrialResult, alone: TrialResult) -> Line:
    """Fit the seconds of a chunk to its bytes. If few slices ran in parallel, only their level is
    used, and the shape is that of all slices.
    """
    line = fit_middle(tried.points)
    assert line is not None
    if len(tried.points) >= MIN_SLICES:
        # Small slices of expensive data and large ones of cheap data look like a fixed cost.
        return line if line.scatter < UNEVEN else fit_line(tried.points) or line
    points = tried.points if tried.points == alone.points else tried.points + alone.points
    every = fit_middle(points)
    assert every is not None
    if alone.first is not None and every.predict(alone.first[0]) > alone.first[1]:
        # Including everything that is paid once, it took no longer than this.
        every = fit_middle([*points, alone.first]) or every
    expected_s = sum(every.predict(nbytes) for nbytes, _ in tried.points)
    level = sum(seconds for _, seconds in tried.points) / expected_s if expected_s else 1.0
    return Line(every.fixed * level, every.per_byte * level, every.scatter)


def _is_by_chunk(line: Line, tried: TrialResult, alone: TrialResult) -> bool:
    """Return whether the cost of slices is (or may be) mostly independent of their bytes."""
    sizes = {nbytes for result in (tried, alone) for nbytes, _ in result.points}
    sizes |= set() if alone.first is None else {alone.first[0]}
    return len(sizes) == 1 or line.fixed > line.per_byte * max(sizes)


def _largest(tried: TrialResult) -> int:
    return max((chunk.nbytes for chunk in tried.chunks), default=0)


def _memory(
    trial: Trial, before: int | None, output_size: SizeEstimate, largest_nbytes: int
) -> Range:
    """Return the peak memory of a worker with chunks of `largest_nbytes`; if it is this process,
    which used `before` bytes, it holds the answer, too.
    """
    peak = trial.tried.peak_nbytes or 0
    tried_nbytes = _largest(trial.tried)
    base = PROCESS_NBYTES if trial.crosses_processes else before
    if base is not None and base < peak and tried_nbytes:
        peak = base + int(
            (peak - base) * min(MAX_SCALE, max(MIN_SCALE, largest_nbytes / tried_nbytes))
        )
    answer_nbytes = (
        0.0 if trial.crosses_processes else math.sqrt(output_size.low * output_size.high)
    )
    return Range(SPARE_MEMORY * peak + answer_nbytes, MORE_MEMORY * peak + answer_nbytes)


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
        mean_s = alone.seconds / len(alone.outcomes)
        yield f"a slice takes {mean_s:.1f} s, so that none were tried in parallel"
    failures = alone.failures if trial.tried is alone else alone.failures + trial.tried.failures
    if failures:
        many = f"{len(failures)} slice{'' if len(failures) == 1 else 's'}"
        yield f"{many} failed, and the time of failures is not included: {failures[0]}"


def make_job(
    stage: FanOutStage, steps: Sequence[Stage], values: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Job:
    """Return the job of a run for each piece of `stage`, one of `steps`; `values` are results."""
    reducers = [step.task.function for step in reducers_of(stage.name, steps)]
    keeps_result = bool(consumers(stage.name, steps)) or not reducers
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
    size = plan.target_nbytes if plan.is_given else None
    return narrowed.plan(workers, memory_nbytes, size), narrowed


def _learn(learner: Learner, tried: TrialResult, crosses_processes: bool, line: Line) -> Learner:
    """Return the learner of a run after these slices; after few, with predicted chunks instead."""
    if len(tried.points) < MIN_SLICES:
        sizes = [learner.first.target_nbytes // part for part in (1, 2, 1, 4, 2, 1)]
        for nbytes in sizes:
            learner = learner.observe(Observation(nbytes, line.predict(nbytes)))
        return learner
    for chunk, outcome in zip(tried.chunks, tried.outcomes, strict=True):
        attempt = outcome.attempts[-1]
        peak = attempt.peak_nbytes if crosses_processes else attempt.memory_nbytes
        learner = learner.observe(Observation(chunk.nbytes, attempt.duration_s, peak))
    return learner


def _settle(
    plan: ChunkPlan, learner: Learner, workers: int, simulated: SimulatedRun
) -> tuple[int, str]:
    """Return the size of most chunks of a run, and the reason."""
    if plan.is_given:
        return max(1, plan.nbytes // len(plan)), plan.reason
    # One chunk in flight, if this would otherwise be one of the smaller ones for learning.
    sizes = [learner.next_size(plan.nbytes, workers, busy) for busy in (0, 1)]
    best = max(sizes, key=lambda size: size.target_nbytes)
    usual, size = simulated.usual_nbytes, best.target_nbytes
    if max(usual, size) > SETTLED * min(usual, size):
        many = f"about {simulated.chunks:,} of {format_nbytes(usual)}"
        return usual, f"{many}; in a longer run {best.reason}"
    return size, f"about {simulated.chunks:,} of {best.reason}"


def _parts(plan: ChunkPlan, tried: TrialResult, simulated: SimulatedRun) -> tuple[float, ...]:
    """Return the workers' seconds for reading, for the function and for partials."""
    lines = [
        fit_middle(
            [(chunk.nbytes, seconds) for chunk, seconds in zip(tried.chunks, spent, strict=True)]
        )
        for spent in (
            [attempt.read_s for attempt in tried.attempts],
            [attempt.function_s for attempt in tried.attempts],
            [attempt.partial_s for attempt in tried.attempts],
        )
    ]
    wholes = [
        0.0 if line is None else line.fixed * simulated.chunks + line.per_byte * plan.nbytes
        for line in lines
    ]
    share = simulated.by_workers / (sum(wholes) or 1.0)
    return tuple(whole * share for whole in wholes)
