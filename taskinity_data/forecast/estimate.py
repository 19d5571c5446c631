"""Tries a function and a reducer on a few slices of a plan's data, and forecasts the whole run.

The slices are read and worked on as a run would do it, by the same code, alone first and then
beside each other; nothing is kept.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.aggregation.reducers import collect
from taskinity_data.chunks.cost_line import fit_line
from taskinity_data.chunks.describe import format_nbytes
from taskinity_data.chunks.limits import check_memory, check_workers
from taskinity_data.chunks.opened import GRAIN_NBYTES, Dataset
from taskinity_data.chunks.sizing import TASK_S, Learner, Observation
from taskinity_data.errors import BindError, PlanError
from taskinity_data.execution.choose import POOL_PAYS_S
from taskinity_data.execution.clusters import current_client, open_strategy
from taskinity_data.execution.jobs import chunk_job, consumers, reducers_of
from taskinity_data.execution.pieces import narrow
from taskinity_data.execution.process import measure_nbytes
from taskinity_data.execution.shipping import pack_job
from taskinity_data.execution.strategies import SynchronousStrategy
from taskinity_data.flow.short import short_flow
from taskinity_data.flow.stages import FanOut
from taskinity_data.forecast.chunking import count_chunks
from taskinity_data.forecast.forecast import (
    Forecast,
    Range,
    Work,
    bound,
    more_workers,
    spread,
    wall_seconds,
)
from taskinity_data.forecast.slices import order_places, slice_at
from taskinity_data.forecast.trial import Tried, run_trial
from taskinity_data.machine import count_cores
from taskinity_data.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.process import Job
    from taskinity_data.execution.strategies import Strategy
    from taskinity_data.flow.stages import Stage

__all__ = ["Forecast", "answer_nbytes", "estimate", "estimate_job", "make_job"]

ALONE_S, BESIDE_S = 0.8, 1.5
"""Seconds of slices one after another, and side by side."""

SLICE_S = 0.1
"""Seconds of a slice: near a usual chunk's 0.15, so that what a chunk costs beside its bytes is in
it as it will be, and fifteen of them fit into the time."""

PILOT_NBYTES, LARGEST_NBYTES = 256 << 10, 64 << 20
"""The first slice, from which the others' size is taken, and the largest of those."""

PLACES = 16
"""Slices a worker at most."""

THREAD_TASK_S = 1e-4
"""Seconds that a chunk costs the driver where no process is crossed."""

SPARE_MEMORY, MORE_MEMORY = 0.85, 1.4
"""What a run may hold, against the trial: the upper end for what an allocator keeps in a longer one
and for chunks half as large again."""

_LOCAL = ("threads", "processes", "synchronous")


class _Who(NamedTuple):
    """Whoever would run it: its name, how many workers, what each may use."""

    name: str
    workers: int
    memory_nbytes: int


class _Here(NamedTuple):
    """What the driving process does: seconds, and bytes of the answer."""

    combine_s: float
    finish_s: float
    output_nbytes: float


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
    alone, nbytes = _try_alone(plan, job)
    strategy, opened_s, is_late = _open(
        scheduler, workers, memory_nbytes, job, alone.seconds / alone.nbytes * plan.nbytes / workers
    )
    try:
        strategy.check([path for path in plan.files if "://" not in path])
        # What is closed can't be asked any more.
        who = _Who(strategy.name, strategy.workers, strategy.memory_nbytes or memory_nbytes)
        if who.workers == 1 and not strategy.crosses_processes:
            tried = alone
        else:
            tried = run_trial(job, _slices(plan, nbytes, who.workers), strategy, BESIDE_S)
    finally:
        at = time.perf_counter()
        strategy.close()
        closed_s = time.perf_counter() - at
    crosses = strategy.crosses_processes
    learner = _learn(dataset, tried, who, crosses)
    assert learner.time is not None
    size, reason, chunks = _settle(plan, learner, who.workers)
    here = _combine(job, tried, plan.nbytes)
    task_s = TASK_S if crosses else THREAD_TASK_S
    start_s = opened_s + (tried.warm_up_s if crosses else 0.0)
    work = Work(
        read=_whole(plan, tried, chunks, [one.read_s for one in tried.attempts]),
        function=_whole(plan, tried, chunks, [one.function_s for one in tried.attempts]),
        partial=_whole(plan, tried, chunks, [one.partial_s for one in tried.attempts]),
        here=_pass_seconds(plan) + chunks * (here.combine_s + task_s),
        # Threads go on while the processes that take over start.
        start=start_s / 2 if is_late else start_s,
        finish=here.finish_s + closed_s,
    )
    cores = count_cores() if who.name in _LOCAL else None
    seconds = wall_seconds(work, who.workers, cores)
    ratios = [
        outcome.duration_s / learner.time.predict(chunk.nbytes)
        for chunk, outcome in zip(tried.chunks, tried.outcomes, strict=True)
        if chunk.nbytes
    ]
    slowdown = (tried.seconds / tried.nbytes) / (alone.seconds / alone.nbytes)
    peak = tried.peak_nbytes or 0
    count = len(tried.chunks)
    shown = f"{count} slice{'' if count == 1 else 's'}, {format_nbytes(tried.nbytes)} of "
    return Forecast(
        seconds=spread(seconds, ratios),
        memory_nbytes=Range(SPARE_MEMORY * peak, MORE_MEMORY * peak),
        output_nbytes=spread(here.output_nbytes, ratios),
        chunk_nbytes=size,
        chunk_reason=reason,
        workers=who.workers,
        scheduler=who.name,
        work=work,
        bottleneck=bound(work, who.workers),
        more_workers=more_workers(work, who.workers, cores, slowdown, who.name == "threads"),
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


def _try_alone(plan: ChunkPlan, job: Job) -> tuple[Tried, int | None]:
    """Slices one after another, and of how many bytes they were; None for whole chunks."""
    strategy = SynchronousStrategy()
    pilots = [slice_at(plan.chunks, place, PILOT_NBYTES) for place in (0.5, 0.25)]
    pilot = run_trial(job, pilots, strategy, ALONE_S)
    fits = SLICE_S * pilot.nbytes / max(pilot.seconds, 1e-9)
    nbytes: int | None = int(min(max(fits, PILOT_NBYTES), LARGEST_NBYTES))
    if plan.is_given and max(chunk.nbytes for chunk in plan.chunks) <= LARGEST_NBYTES:
        nbytes = None
    return run_trial(job, _slices(plan, nbytes, 1), strategy, ALONE_S), nbytes


def _slices(plan: ChunkPlan, nbytes: int | None, workers: int) -> Iterator[Chunk]:
    """Slices of `nbytes`, every other of half of that, so that what a chunk costs beside its bytes
    shows; no more of them than the data hold, and one to warm up.
    """
    whole = nbytes or max(chunk.nbytes for chunk in plan.chunks)
    count = min(PLACES * workers, workers + -(-plan.nbytes // whole))
    for number, place in enumerate(order_places(count)):
        yield slice_at(plan.chunks, place, nbytes // 2 if nbytes and number % 2 else nbytes)


def _open(
    scheduler: Any, workers: int, memory_nbytes: int, job: Job, left_s: float
) -> tuple[Strategy, float, bool]:
    """Who would run it, the seconds that it took to start, and whether threads begin without it."""
    is_late = False
    if scheduler is None:
        scheduler = current_client()
    if scheduler is None:
        scheduler = "threads"
        releases = all(getattr(one, "releases_gil", False) for one in job.reducers)
        is_kernels = not any(job.chains) and bool(job.reducers) and releases
        if workers > 1 and not is_kernels and left_s > POOL_PAYS_S and _is_portable(job):
            scheduler, is_late = "processes", True
    at = time.perf_counter()
    strategy = open_strategy(scheduler, workers, memory_nbytes)
    return strategy, time.perf_counter() - at, is_late


def _is_portable(job: Job) -> bool:
    try:
        pack_job(job)
    except BindError:
        return False
    return True


def _learn(dataset: Dataset, tried: Tried, who: _Who, crosses_processes: bool) -> Learner:
    """What a run would have learned of these slices."""
    first = dataset.first_size(who.workers, who.memory_nbytes)
    learner = Learner(first, who.memory_nbytes, dataset.expansion)
    for chunk, outcome in zip(tried.chunks, tried.outcomes, strict=True):
        attempt = outcome.attempts[-1]
        peak = attempt.peak_nbytes if crosses_processes else attempt.memory_nbytes
        learner = learner.observe(Observation(chunk.nbytes, attempt.duration_s, peak))
    return learner


def _settle(plan: ChunkPlan, learner: Learner, workers: int) -> tuple[int, str, int]:
    """The size at which a run's chunks would settle, why, and how many it would make."""
    if plan.is_given:
        return max(1, plan.nbytes // len(plan)), plan.reason, len(plan)
    # One chunk in flight where else this would be one of the smaller ones that a run learns from.
    sizes = [learner.next_size(plan.nbytes, workers, busy) for busy in (0, 1)]
    best = max(sizes, key=lambda size: size.target_nbytes)
    assert learner.time is not None
    count = count_chunks(learner.first, learner, learner.time, plan.nbytes, workers)
    return best.target_nbytes, best.reason, count


def _whole(plan: ChunkPlan, tried: Tried, chunks: int, seconds: Sequence[float]) -> float:
    """The seconds of all data in so many chunks, where the slices took `seconds`."""
    sizes = [chunk.nbytes for chunk in tried.chunks]
    line = fit_line(list(zip(sizes, seconds, strict=True))) if any(seconds) else None
    if line is None or plan.is_given:
        return sum(seconds) / tried.nbytes * plan.nbytes
    return line.fixed * chunks + line.per_byte * plan.nbytes


def _pass_seconds(plan: ChunkPlan) -> float:
    """What finding the cuts takes again in a run, of all files."""
    chunk: Chunk = slice_at(plan.chunks, 0.5, None)
    if chunk.reader.unit != "bytes":
        return 0.0
    piece = chunk.pieces[0]
    at = time.perf_counter()
    seen = 0
    for grain in chunk.reader.recut(piece, GRAIN_NBYTES):
        seen += grain.nbytes
        if seen >= LARGEST_NBYTES:
            break
    return (time.perf_counter() - at) / max(1, seen) * plan.nbytes


def _combine(job: Job, tried: Tried, total_nbytes: int) -> _Here:
    """What combining the partials takes, and how large the answer gets.

    References
    ----------
    H. S. Heaps, "Information Retrieval: Computational and Theoretical Aspects", 1978: what is
    different in n items grows like a power of n. The power is that of the slices.
    """
    scale = total_nbytes / tried.nbytes
    if not job.reducers:
        results = sum(answer_nbytes(outcome.value[1]) for outcome in tried.outcomes)
        return _Here(0.0, 0.0, results * scale)
    combine_s = finish_s = output = 0.0
    for number, reducer in enumerate(job.reducers):
        partials: Sequence[Any] = [outcome.value[0][number] for outcome in tried.outcomes]
        single = sum(answer_nbytes(partial) for partial in partials) / len(partials)
        at = time.perf_counter()
        together = reducer.combine(partials)
        combine_s += (time.perf_counter() - at) / len(partials)
        at = time.perf_counter()
        answer = reducer.finish(together)
        seconds = time.perf_counter() - at
        power = 0.0
        if len(partials) > 1 and single:
            power = math.log(max(1.0, answer_nbytes(together) / single)) / math.log(len(partials))
        growth = scale ** min(1.0, power)
        finish_s += seconds * growth
        output += answer_nbytes(answer) * growth
    return _Here(combine_s, finish_s, output)


def answer_nbytes(value: Any) -> int:
    """Bytes of an answer in memory, its index among them; of plain values as they are pickled."""
    if hasattr(value, "memory_usage"):
        usage = value.memory_usage(deep=True)  # the index is part of an answer
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    found = measure_nbytes(value)
    if found is not None:
        return found
    try:
        return len(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - a user's object may refuse in any way
        return sys.getsizeof(value)
