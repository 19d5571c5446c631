"""Run slices on the scheduler that would run them: one at a time first, then in parallel."""

from __future__ import annotations

import time
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.size import fit_middle
from taskinity_data.chunks.sizing import CLOCK_S
from taskinity_data.errors import BindError
from taskinity_data.execution.choose_scheduler import CHILDREN_PAY_S
from taskinity_data.execution.schedulers.base import SynchronousStrategy, current_client
from taskinity_data.execution.schedulers.children import ChildStrategy
from taskinity_data.execution.schedulers.connect import open_strategy
from taskinity_data.execution.worker.shipping import pack_job
from taskinity_data.execution.worker.thread_time import COMPUTING, is_lock_shared
from taskinity_data.forecast.slices import PARTS, fitting_nbytes, next_nbytes
from taskinity_data.forecast.trial import TrialResult, run_rounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.worker.job import Job
    from taskinity_data.forecast.trial import TrialRequest

__all__ = ["Trial", "cold_seconds", "try_alone", "try_in_parallel"]

ALONE_S, PARALLEL_S = 0.8, 1.5
"""Seconds of slices one at a time, and in parallel."""

LONG_S = 3.0
"""If a slice takes longer than this, none are tried in parallel, so that a forecast stays short."""


class Trial(NamedTuple):
    """The result of slices on the scheduler that would run them: its name, workers, their memory.

    A run would `begin_in_threads` if threads run chunks until processes have started.
    """

    name: str
    workers: int
    memory_nbytes: int
    crosses_processes: bool
    tried: TrialResult
    opened_s: float
    closed_s: float
    begin_in_threads: bool = False


def try_alone(request: TrialRequest, scheduler: Any) -> TrialResult:
    """Run slices one at a time, in this process; for longer if none will run in parallel."""
    is_all = request.workers == 1 and scheduler in (None, "threads", "synchronous")
    seconds = ALONE_S + (PARALLEL_S if is_all else 0.0)

    def choose(points: Sequence[tuple[int, float]]) -> tuple[int | None, bool]:
        return (None, False) if request.is_whole else next_nbytes(points, request.max_nbytes)

    return run_rounds(request, SynchronousStrategy(), seconds, choose)


def try_in_parallel(request: TrialRequest, alone: TrialResult, scheduler: Any) -> Trial:
    """Run slices in parallel, on the scheduler that would run them."""
    if scheduler is None:
        scheduler = current_client()
    if scheduler is not None:
        return _try(request, alone, scheduler)
    if request.workers == 1 or request.job.runs_kernels or not _is_portable(request.job):
        return _try(request, alone, "threads")
    trial = _try(request, alone, "threads")  # from which a run may change to processes
    cold_s = cold_seconds(alone, request.first_nbytes)
    left_s = _remaining_seconds(request, trial.tried, cold_s) / request.workers
    if left_s >= CHILDREN_PAY_S and _is_lock_shared(alone, trial.tried, request.workers):
        children = ChildStrategy(request.workers, request.memory_nbytes, began_in_threads=True)
        return _try(request, alone, children)._replace(begin_in_threads=True)
    return trial


def _is_lock_shared(alone: TrialResult, together: TrialResult, workers: int) -> bool:
    """Return whether threads hold each other up; of long slices, tried alone, if they compute."""
    rates = [
        sum(attempt.cpu_s or 0.0 for attempt in tried.attempts)
        / max(sum(attempt.duration_s for attempt in tried.attempts), CLOCK_S)
        for tried in (alone, together)
    ]
    if rates[0] < COMPUTING:
        return False
    return together is alone or is_lock_shared(rates[0], workers * rates[1])


def _try(request: TrialRequest, alone: TrialResult, scheduler: Any) -> Trial:
    at = time.perf_counter()
    strategy = open_strategy(scheduler, request.workers, request.memory_nbytes)
    try:
        strategy.check([path for path in request.plan.files if "://" not in path])
        opened_s = time.perf_counter() - at
        # These are not available once it is closed.
        name, count = strategy.name, strategy.workers
        memory_nbytes = strategy.memory_nbytes or request.memory_nbytes
        is_same = count == 1 and not strategy.crosses_processes
        if is_same or alone.mean_s >= LONG_S:
            tried = alone
        else:
            tried = run_rounds(request, strategy, PARALLEL_S, _parts_like(request, alone))
    finally:
        at = time.perf_counter()
        strategy.close()
        closed_s = time.perf_counter() - at
    crosses = strategy.crosses_processes
    return Trial(name, count, memory_nbytes, crosses, tried, opened_s, closed_s)


def _parts_like(
    request: TrialRequest, alone: TrialResult
) -> Callable[[Any], tuple[int | None, bool]]:
    """Return what chooses sizes around those that slices reached one at a time."""
    if request.is_whole:
        return lambda _: (None, False)
    whole = fitting_nbytes(alone.points, request.max_nbytes)
    sizes = cycle(max(1, whole // part) for part in PARTS)
    return lambda _: (next(sizes), False)


def _is_portable(job: Job) -> bool:
    try:
        pack_job(job)
    except BindError:
        return False
    return True


def _remaining_seconds(request: TrialRequest, tried: TrialResult, cold_s: float) -> float:
    """Return what a run expects to remain after its first chunk, in seconds of one worker.

    It decides then, from the time of that chunk, including what the process had to load for it.
    """
    line = fit_middle(tried.select_large().points)
    if line is None:
        return 0.0
    plan = request.plan
    first = plan.chunks[0].nbytes if plan.is_given else request.first_nbytes
    return (line.predict(first) + cold_s) / first * max(0, plan.nbytes - first)


def cold_seconds(alone: TrialResult, first_nbytes: int) -> float:
    """Return the seconds that a process needs once: for imports and first calls, measured on the
    very first slice; for newly allocated memory, measured on slices that were larger than all
    before and scaled to the size of a run's first chunk.
    """
    points = alone.points
    largest = max((nbytes for nbytes, _ in points), default=0)
    new = 1 + next((at for at, (nbytes, _) in enumerate(points) if nbytes == largest), 0)
    line = fit_middle(points[new:])
    if line is None:
        return alone.warm_up_s
    more_s = sum(seconds - line.predict(nbytes) for nbytes, seconds in points[:new])
    return alone.warm_up_s + max(0.0, more_s) * first_nbytes / largest
