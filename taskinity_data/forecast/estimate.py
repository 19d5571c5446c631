"""Tries a function and a reducer on a few slices of a plan's data, and forecasts the whole run.

The slices are read and worked on as a run would do it, by the same code, alone first and then
beside each other; nothing is kept.
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
    LEAST_SPREAD,
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
from taskinity_data.forecast.side_by_side import Asked, Trial, cold_seconds, try_alone, try_beside
from taskinity_data.forecast.simulate import Costs, Played, play
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
    from taskinity_data.forecast.output import Grown
    from taskinity_data.forecast.trial import Tried

__all__ = ["Forecast", "estimate", "estimate_job", "make_job"]


LARGEST_NBYTES = 64 << 20
"""The largest chunk of a given size that is tried whole."""


CHUNK_S, RUN_S = 1e-3, 0.03
"""Seconds of the driver for each chunk, and for a run without any: a chunk is cut, booked and kept
in the journal (0.7 ms), its size is learned (0.3 ms); partials of 400 groups take 0.4 ms more."""

SPARE_MEMORY, MORE_MEMORY = 0.72, 1.4
"""What a run may hold, against the trial: the lower end where its chunks stay below the largest
slice, the upper one for what an allocator keeps in a longer run and for chunks half as large again.
"""

LEAST_SCALE, MOST_SCALE = 0.8, 2.0
"""How many times what the largest slice took a run's largest chunk is reckoned to take, at least
(what lies around it takes some, too) and at most."""

FEWEST = 4
"""Slices side by side without which those alone tell, too, how time goes with bytes."""

UNEVEN = 0.3
"""The relative scatter of slices from which on they differ by place more than by chance."""

FAR = 16
"""How many times as large as any slice a chunk is of which none of them can tell."""

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
    """See `ChunkPlan.estimate`."""
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
    """As `estimate`, of a job; where it `may_fail`, slices that do are left out, and told of."""
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
    is_whole = plan.is_given and largest <= LARGEST_NBYTES
    sizes = TrialSizes(first, plan.nbytes, workers, is_whole=is_whole)
    asked = Asked(plan, job, sizes, workers, memory_nbytes, may_fail)
    before = Surroundings()
    try:
        alone = try_alone(asked, scheduler)
        trial = try_beside(asked, alone, scheduler)
    finally:
        changes = before.changes()
        if changes:
            before.restore()
    found = _conclude(asked, dataset, alone, trial, planned_s)
    told = [f"{job.task} {change}, which was put back" for change in changes]
    took_s = time.perf_counter() - begun
    return replace(found, tried=f"{found.tried}, in {took_s:.1f} s", doubts=(*found.doubts, *told))


def _conclude(
    asked: Asked, dataset: Dataset, alone: Tried, trial: Trial, planned_s: float
) -> Forecast:
    """What the slices say of the whole; a run plans it anew, in about `planned_s`."""
    plan, job, sizes = asked.plan, asked.job, asked.sizes
    tried = trial.tried.that(sizes.counts)
    first = Learner(
        dataset.first_size(trial.workers, trial.memory_nbytes),
        trial.memory_nbytes,
        dataset.expansion,
        total_nbytes=plan.nbytes,
    )
    line = _shape(tried, alone)
    learnt = _learn(first, tried, trial.crosses_processes, line)
    ratios = [seconds / line.predict(nbytes) for nbytes, seconds in tried.points if seconds]
    combine_s = combine_seconds(job, tried)
    task_s = TASK_S if trial.crosses_processes else 0.0
    costs = Costs(line, ratios, learnt.memory, task_s, CHUNK_S + combine_s)
    given = [chunk.nbytes for chunk in plan.chunks] if plan.is_given else []
    played = play(first, costs, plan.nbytes, trial.workers, given)
    is_whole = plan.is_given or tried.nbytes >= plan.nbytes
    is_far = _largest(tried) * FAR < played.largest_nbytes
    is_open = not is_whole and is_far and _is_by_chunk(line, tried, alone)
    # Small slices show what a result has beside its bytes.
    every = trial.tried if trial.tried is alone else trial.tried.beside(alone)
    finish_s, grown = try_finish(job, every, plan.nbytes, played.chunks)
    size, reason = _settle(plan, learnt, trial.workers, played)
    # Threads go on while the processes that take over start.
    start_s = trial.opened_s / 2 if trial.begin_in_threads else trial.opened_s
    warm_up_s = trial.tried.warm_up_s
    if not trial.crosses_processes:
        # What the first slices of all have loaded, a run in another process has to load again.
        warm_up_s = max(warm_up_s, cold_seconds(alone, sizes.first_nbytes))
    read, function, partial = _parts(plan, tried, played)
    work = RunSeconds(
        read=read,
        function=function,
        partial=partial,
        here=pass_seconds(plan) + played.here,
        idle=max(0.0, played.seconds - max(played.by_workers / trial.workers, played.here)),
        start=max(RUN_S, planned_s) + start_s + warm_up_s,
        finish=finish_s + trial.closed_s,
    )
    cores = count_cores() if trial.name in _LOCAL else None
    by_itself = fit_middle(alone.that(sizes.counts).points)
    slowdown = 1.0
    if by_itself is not None and by_itself.predict(1):
        slowdown = tried.seconds / sum(by_itself.predict(nbytes) for nbytes, _ in tried.points)
    busy = 1.0 if alone.busy is None else alone.busy
    seconds = spread(wall_seconds(work, trial.workers, cores), ratios)
    if is_open:
        # By the chunk it is less: as much for each of those that a run begins with.
        rounds = math.ceil(plan.nbytes / first.first.target_nbytes / trial.workers)
        least_s = work.start + work.finish + rounds * tried.seconds / len(tried.outcomes)
        seconds = Range(min(seconds.low, least_s / (1 + LEAST_SPREAD)), seconds.high)
    return Forecast(
        seconds=seconds,
        memory_nbytes=_memory(trial, alone.base_nbytes, grown, played.largest_nbytes),
        output_nbytes=stretch(grown),
        chunk_nbytes=size,
        chunk_reason=reason,
        workers=trial.workers,
        scheduler=trial.name,
        of=name_work(job),
        work=work,
        bottleneck=bound(work, trial.workers, busy),
        more_workers=more_workers(
            work, trial.workers, cores, slowdown, trial.name == "threads", busy, played.chunks
        ),
        tried=_tell_slices(tried, plan),
        is_answer=bool(job.reducers),
        doubts=(
            *doubts([] if tried.nbytes >= plan.nbytes else ratios, grown),
            *_doubts(alone, trial, is_open=is_open),
        ),
    )


def _shape(tried: Tried, alone: Tried) -> Line:
    """What a chunk takes by its bytes. Of a few slices side by side the level counts, and the shape
    is that of all.
    """
    line = fit_middle(tried.points)
    assert line is not None
    if len(tried.points) >= FEWEST:
        # Small slices of a dear place and large ones of a cheap place look like a fixed cost.
        return line if line.scatter < UNEVEN else fit_line(tried.points) or line
    points = tried.points if tried.points == alone.points else tried.points + alone.points
    every = fit_middle(points)
    assert every is not None
    if alone.first is not None and every.predict(alone.first[0]) > alone.first[1]:
        # With all that is paid once it took no longer than this.
        every = fit_middle([*points, alone.first]) or every
    expected_s = sum(every.predict(nbytes) for nbytes, _ in tried.points)
    level = sum(seconds for _, seconds in tried.points) / expected_s if expected_s else 1.0
    return Line(every.fixed * level, every.per_byte * level, every.scatter)


def _is_by_chunk(line: Line, tried: Tried, alone: Tried) -> bool:
    """Whether slices took what they did for the most part, or perhaps, whatever they held."""
    sizes = {nbytes for one in (tried, alone) for nbytes, _ in one.points}
    sizes |= set() if alone.first is None else {alone.first[0]}
    return len(sizes) == 1 or line.fixed > line.per_byte * max(sizes)


def _largest(tried: Tried) -> int:
    return max((chunk.nbytes for chunk in tried.chunks), default=0)


def _memory(trial: Trial, before: int | None, grown: Grown, largest_nbytes: int) -> Range:
    """The peak of a worker with chunks of so many bytes; where it is this process, which held some
    `before`, the answer is held there, too.
    """
    peak = trial.tried.peak_nbytes or 0
    tried_nbytes = _largest(trial.tried)
    base = PROCESS_NBYTES if trial.crosses_processes else before
    if base is not None and base < peak and tried_nbytes:
        peak = base + int(
            (peak - base) * min(MOST_SCALE, max(LEAST_SCALE, largest_nbytes / tried_nbytes))
        )
    held = 0.0 if trial.crosses_processes else math.sqrt(grown.low * grown.high)
    return Range(SPARE_MEMORY * peak + held, MORE_MEMORY * peak + held)


def _tell_slices(tried: Tried, plan: ChunkPlan) -> str:
    count = len(tried.chunks)
    slices = f"{count} slice{'' if count == 1 else 's'}"
    if tried.nbytes >= plan.nbytes:
        return f"{slices}, as large as all {format_nbytes(plan.nbytes)} together"
    return f"{slices}, {format_nbytes(tried.nbytes)} of {format_nbytes(plan.nbytes)}"


def _doubts(alone: Tried, trial: Trial, *, is_open: bool) -> Iterator[str]:
    if is_open:
        yield "slices took so long that none was near a chunk's size: what one takes is a guess"
    if trial.workers > 1 and trial.tried is alone:
        mean_s = alone.seconds / len(alone.outcomes)
        yield f"a slice takes {mean_s:.1f} s, so that none was tried beside another"
    failures = alone.failures if trial.tried is alone else alone.failures + trial.tried.failures
    if failures:
        many = f"{len(failures)} slice{'' if len(failures) == 1 else 's'}"
        yield f"{many} failed, and the time that a run gives to such is not in it: {failures[0]}"


def make_job(
    stage: FanOutStage, steps: Sequence[Stage], values: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Job:
    """What a run would do to each piece of `stage`, one of `steps`; `values` holds the results."""
    reducers = [one.task.function for one in reducers_of(stage.name, steps)]
    keeps_result = bool(consumers(stage.name, steps)) or not reducers
    return chunk_job(stage, values, inputs, reducers, keeps_result)


def _narrow_plan(
    plan: ChunkPlan, job: Job, workers: int, memory_nbytes: int
) -> tuple[ChunkPlan, Dataset]:
    """The plan with those columns alone that a run would read."""
    dataset = Dataset(tuple(extent.file for extent in plan.extents), plan.chunks[0].reader)
    narrowed = narrow(dataset, job.chains, job.reducers)
    if narrowed.reader == dataset.reader:
        return plan, dataset
    if dataset.reader.unit == "bytes":
        chunks = tuple(replace(chunk, reader=narrowed.reader) for chunk in plan.chunks)
        return replace(plan, chunks=chunks), narrowed
    size = plan.target_nbytes if plan.is_given else None
    return narrowed.plan(workers, memory_nbytes, size), narrowed


def _learn(learner: Learner, tried: Tried, crosses_processes: bool, line: Line) -> Learner:
    """What a run would have learned of these slices; of few, by what they foretell of its own."""
    if len(tried.points) < FEWEST:
        sizes = [learner.first.target_nbytes // part for part in (1, 2, 1, 4, 2, 1)]
        for nbytes in sizes:
            learner = learner.observe(Observation(nbytes, line.predict(nbytes)))
        return learner
    for chunk, outcome in zip(tried.chunks, tried.outcomes, strict=True):
        attempt = outcome.attempts[-1]
        peak = attempt.peak_nbytes if crosses_processes else attempt.memory_nbytes
        learner = learner.observe(Observation(chunk.nbytes, attempt.duration_s, peak))
    return learner


def _settle(plan: ChunkPlan, learner: Learner, workers: int, played: Played) -> tuple[int, str]:
    """The size of most chunks of a run, and why."""
    if plan.is_given:
        return max(1, plan.nbytes // len(plan)), plan.reason
    # One chunk in flight where else this would be one of the smaller ones that a run learns from.
    sizes = [learner.next_size(plan.nbytes, workers, busy) for busy in (0, 1)]
    best = max(sizes, key=lambda size: size.target_nbytes)
    usual, size = played.usual_nbytes, best.target_nbytes
    if max(usual, size) > SETTLED * min(usual, size):
        many = f"about {played.chunks:,} of {format_nbytes(usual)}"
        return usual, f"{many}; in a longer run {best.reason}"
    return size, f"about {played.chunks:,} of {best.reason}"


def _parts(plan: ChunkPlan, tried: Tried, played: Played) -> tuple[float, ...]:
    """The workers' seconds by what they go to: reading, the function, partials."""
    lines = [
        fit_middle([(chunk.nbytes, one) for chunk, one in zip(tried.chunks, spent, strict=True)])
        for spent in (
            [attempt.read_s for attempt in tried.attempts],
            [attempt.function_s for attempt in tried.attempts],
            [attempt.partial_s for attempt in tried.attempts],
        )
    ]
    wholes = [
        0.0 if line is None else line.fixed * played.chunks + line.per_byte * plan.nbytes
        for line in lines
    ]
    share = played.by_workers / (sum(wholes) or 1.0)
    return tuple(whole * share for whole in wholes)
