"""Tries a function and a reducer on a few slices of a plan's data, and forecasts the whole run.

The slices are read and worked on as a run would do it, by the same code, alone first and then
beside each other; nothing is kept.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.aggregation.reducers import collect
from taskinity_data.chunks.cost_line import fit_middle
from taskinity_data.chunks.describe import format_nbytes
from taskinity_data.chunks.limits import check_memory, check_workers
from taskinity_data.chunks.opened import Dataset
from taskinity_data.chunks.sizing import TASK_S, Learner, Observation
from taskinity_data.errors import BindError, PlanError
from taskinity_data.execution.choose import POOL_PAYS_S
from taskinity_data.execution.clusters import current_client, open_strategy
from taskinity_data.execution.jobs import chunk_job, consumers, reducers_of
from taskinity_data.execution.pieces import narrow
from taskinity_data.execution.shipping import pack_job
from taskinity_data.execution.strategies import SynchronousStrategy
from taskinity_data.flow.short import short_flow
from taskinity_data.flow.stages import FanOut
from taskinity_data.forecast.forecast import (
    Forecast,
    Range,
    Work,
    bound,
    more_workers,
    spread,
    wall_seconds,
)
from taskinity_data.forecast.here import combine_seconds, pass_seconds
from taskinity_data.forecast.play import Costs, Played, play
from taskinity_data.forecast.slices import order_places, slice_at
from taskinity_data.forecast.trial import Tried, run_trial
from taskinity_data.forecast.trial_sizes import TrialSizes
from taskinity_data.machine import count_cores
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.process import Job
    from taskinity_data.flow.stages import Stage

__all__ = ["Forecast", "estimate", "estimate_job", "make_job"]

ALONE_S, BESIDE_S = 0.8, 1.5
"""Seconds of slices one after another, and side by side."""

LARGEST_NBYTES = 64 << 20
"""The largest chunk of a given size that is tried whole."""

PLACES = 16
"""Slices a worker at most."""

CHUNK_S, RUN_S = 1e-3, 0.03
"""Seconds of the driver for each chunk, and for a run without any: a chunk is cut, booked and kept
in the journal (0.7 ms), its size is learned (0.3 ms); partials of 400 groups take 0.4 ms more."""

SPARE_MEMORY, MORE_MEMORY = 0.85, 1.4
"""What a run may hold, against the trial: the upper end for what an allocator keeps in a longer one
and for chunks half as large again."""

_LOCAL = ("threads", "processes", "synchronous")


class _Trial(NamedTuple):
    """Slices done by whoever would run them: its name, how many workers, what each may use."""

    name: str
    workers: int
    memory_nbytes: int
    crosses_processes: bool
    tried: Tried
    opened_s: float
    closed_s: float


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
    job = make_job(next(step for step in steps if isinstance(step, FanOut)), steps, {}, {})
    return estimate_job(plan, job, workers=workers, memory=memory, scheduler=scheduler)


def estimate_job(
    plan: ChunkPlan,
    job: Job,
    *,
    workers: int | None = None,
    memory: int | str | None = None,
    scheduler: Any = None,
) -> Forecast:
    """As `estimate`, of a job."""
    if not plan.chunks or not plan.nbytes:
        raise PlanError("the plan holds no data, so there is nothing to try")
    begun = time.perf_counter()
    workers = check_workers(workers)
    memory_nbytes = check_memory(memory, workers)
    plan, dataset = _narrow_plan(plan, job, workers, memory_nbytes)
    largest = max(chunk.nbytes for chunk in plan.chunks)
    first = Learner(dataset.first_size(workers, memory_nbytes), memory_nbytes, dataset.expansion)
    is_whole = plan.is_given and largest <= LARGEST_NBYTES
    sizes = TrialSizes(first, plan.nbytes, workers, is_whole=is_whole)
    is_all = workers == 1 and scheduler in (None, "threads", "synchronous")
    alone_s = ALONE_S + BESIDE_S if is_all else ALONE_S
    alone = run_trial(job, _slices(plan, sizes, 1), SynchronousStrategy(), alone_s, sizes.see)
    trial, is_late = _try_beside(plan, job, sizes, alone, scheduler, workers, memory_nbytes)
    tried = trial.tried.that(sizes.counts)
    first = Learner(
        dataset.first_size(trial.workers, trial.memory_nbytes),
        trial.memory_nbytes,
        dataset.expansion,
    )
    learnt = _learn(first, tried, trial.crosses_processes)
    line = fit_middle(tried.points)
    assert line is not None
    ratios = [seconds / line.predict(nbytes) for nbytes, seconds in tried.points if seconds]
    here = combine_seconds(job, tried, plan.nbytes)
    task_s = TASK_S if trial.crosses_processes else 0.0
    costs = Costs(line, ratios, learnt.memory, task_s, CHUNK_S + here.combine_s)
    given = [chunk.nbytes for chunk in plan.chunks] if plan.is_given else []
    played = play(first, costs, plan.nbytes, trial.workers, given)
    size, reason = _settle(plan, learnt, trial.workers)
    # Threads go on while the processes that take over start.
    start_s = trial.opened_s / 2 if is_late else trial.opened_s
    warm_up_s = trial.tried.warm_up_s
    if not trial.crosses_processes:
        # What the first slices of all have loaded, a run in another process has to load again.
        warm_up_s = max(warm_up_s, _cold_seconds(alone, sizes.first_nbytes))
    read, function, partial = _parts(plan, tried, played)
    work = Work(
        read=read,
        function=function,
        partial=partial,
        here=pass_seconds(plan) + played.here,
        idle=max(0.0, played.seconds - max(played.by_workers / trial.workers, played.here)),
        start=RUN_S + start_s + warm_up_s,
        finish=here.finish_s + trial.closed_s,
    )
    cores = count_cores() if trial.name in _LOCAL else None
    seconds = wall_seconds(work, trial.workers, cores)
    by_itself = fit_middle(alone.that(sizes.counts).points)
    slowdown = 1.0
    if by_itself is not None and by_itself.predict(1):
        slowdown = tried.seconds / sum(by_itself.predict(nbytes) for nbytes, _ in tried.points)
    peak = trial.tried.peak_nbytes or 0
    count = len(tried.chunks)
    shown = f"{count} slice{'' if count == 1 else 's'}, {format_nbytes(tried.nbytes)} of "
    return Forecast(
        seconds=spread(seconds, ratios),
        memory_nbytes=Range(SPARE_MEMORY * peak, MORE_MEMORY * peak),
        output_nbytes=spread(here.output_nbytes, ratios),
        chunk_nbytes=size,
        chunk_reason=reason,
        workers=trial.workers,
        scheduler=trial.name,
        work=work,
        bottleneck=bound(work, trial.workers),
        more_workers=more_workers(
            work, trial.workers, cores, slowdown, is_in_threads=trial.name == "threads"
        ),
        tried=f"{shown}{format_nbytes(plan.nbytes)}, in {time.perf_counter() - begun:.1f} s",
    )


def make_job(
    stage: FanOut, steps: Sequence[Stage], values: Mapping[str, Any], inputs: Mapping[str, Any]
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


def _slices(plan: ChunkPlan, sizes: TrialSizes, workers: int) -> Iterator[Chunk]:
    """Slices of such sizes, no more of them than the data hold, and one a worker to warm up."""
    nbytes = 0
    for number, place in enumerate(order_places(PLACES * workers)):
        if nbytes >= plan.nbytes:
            return
        chunk = slice_at(plan.chunks, place, sizes.next_nbytes())
        nbytes += chunk.nbytes if number >= workers else 0
        yield chunk


def _try_beside(
    plan: ChunkPlan,
    job: Job,
    sizes: TrialSizes,
    alone: Tried,
    scheduler: Any,
    workers: int,
    memory_nbytes: int,
) -> tuple[_Trial, bool]:
    """Slices beside each other, by whoever would run them, and whether threads begin without it."""

    def attempt(scheduler: Any) -> _Trial:
        return _try(plan, job, sizes, alone, scheduler, workers, memory_nbytes)

    if scheduler is None:
        scheduler = current_client()
    if scheduler is not None:
        return attempt(scheduler), False
    if not _may_change(job, workers):
        return attempt("threads"), False
    # Beside each other slices take no less: where the run would surely change, it is not tried.
    cold_s = _cold_seconds(alone, sizes.first_nbytes)
    if _left_seconds(plan, alone, sizes, cold_s) / workers >= POOL_PAYS_S:
        return attempt("processes"), True
    found = attempt("threads")
    if _left_seconds(plan, found.tried, sizes, cold_s) / workers >= POOL_PAYS_S:
        return attempt("processes"), True
    return found, False


def _try(
    plan: ChunkPlan,
    job: Job,
    sizes: TrialSizes,
    alone: Tried,
    scheduler: Any,
    workers: int,
    memory_nbytes: int,
) -> _Trial:
    at = time.perf_counter()
    strategy = open_strategy(scheduler, workers, memory_nbytes)
    try:
        strategy.check([path for path in plan.files if "://" not in path])
        opened_s = time.perf_counter() - at
        # What is closed can't be asked any more.
        name, count = strategy.name, strategy.workers
        memory_nbytes = strategy.memory_nbytes or memory_nbytes
        if count == 1 and not strategy.crosses_processes:
            tried = alone
        else:
            tried = run_trial(job, _slices(plan, sizes, count), strategy, BESIDE_S, sizes.see)
    finally:
        at = time.perf_counter()
        strategy.close()
        closed_s = time.perf_counter() - at
    crosses = strategy.crosses_processes
    return _Trial(name, count, memory_nbytes, crosses, tried, opened_s, closed_s)


def _may_change(job: Job, workers: int) -> bool:
    """Whether a run without a scheduler may go over from threads to processes."""
    releases = all(getattr(one, "releases_gil", False) for one in job.reducers)
    is_kernels = not any(job.chains) and bool(job.reducers) and releases
    return workers > 1 and not is_kernels and _is_portable(job)


def _left_seconds(plan: ChunkPlan, tried: Tried, sizes: TrialSizes, cold_s: float) -> float:
    """What a run finds to be left once its first chunk has ended, in seconds of one worker.

    It decides then, by what that chunk took with all that the process had to load for it.
    """
    line = fit_middle(tried.that(sizes.counts).points)
    if line is None:
        return 0.0
    first = plan.chunks[0].nbytes if plan.is_given else sizes.first_nbytes
    return (line.predict(first) + cold_s) / first * max(0, plan.nbytes - first)


def _is_portable(job: Job) -> bool:
    try:
        pack_job(job)
    except BindError:
        return False
    return True


def _cold_seconds(alone: Tried, first_nbytes: int) -> float:
    """What a process takes once: for imports and first calls, shown by the first slice of all; for
    memory that is new to it, shown by those that were larger than any before, and reckoned up to
    the size of a run's first chunk.
    """
    points = alone.points
    largest = max((nbytes for nbytes, _ in points), default=0)
    new = 1 + next((at for at, (nbytes, _) in enumerate(points) if nbytes == largest), 0)
    line = fit_middle(points[new:])
    if line is None:
        return alone.warm_up_s
    more_s = sum(seconds - line.predict(nbytes) for nbytes, seconds in points[:new])
    return alone.warm_up_s + max(0.0, more_s) * first_nbytes / largest


def _learn(learner: Learner, tried: Tried, crosses_processes: bool) -> Learner:
    """What a run would have learned of these slices."""
    for chunk, outcome in zip(tried.chunks, tried.outcomes, strict=True):
        attempt = outcome.attempts[-1]
        peak = attempt.peak_nbytes if crosses_processes else attempt.memory_nbytes
        learner = learner.observe(Observation(chunk.nbytes, attempt.duration_s, peak))
    return learner


def _settle(plan: ChunkPlan, learner: Learner, workers: int) -> tuple[int, str]:
    """The size at which a run's chunks would settle, and why."""
    if plan.is_given:
        return max(1, plan.nbytes // len(plan)), plan.reason
    # One chunk in flight where else this would be one of the smaller ones that a run learns from.
    sizes = [learner.next_size(plan.nbytes, workers, busy) for busy in (0, 1)]
    best = max(sizes, key=lambda size: size.target_nbytes)
    return best.target_nbytes, best.reason


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
