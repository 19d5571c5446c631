"""Tries slices by whoever would run them: alone first, then beside each other.

It knows nothing of what is concluded from it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.cost_line import fit_middle
from taskinity_data.errors import BindError
from taskinity_data.execution.choose_scheduler import POOL_PAYS_S
from taskinity_data.execution.schedulers.base import SynchronousStrategy
from taskinity_data.execution.schedulers.connect import current_client, open_strategy
from taskinity_data.execution.worker.shipping import pack_job
from taskinity_data.forecast.slices import order_places, slice_at
from taskinity_data.forecast.trial import Tried, run_trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.run_item import Job
    from taskinity_data.forecast.trial_sizes import TrialSizes

__all__ = ["Asked", "Trial", "cold_seconds", "try_alone", "try_beside"]

ALONE_S, BESIDE_S = 0.8, 1.5
"""Seconds of slices one after another, and side by side."""

LONG_S = 3.0
"""Seconds of a slice from which on none is tried beside another, so that a forecast stays short."""

PLACES = 16
"""Slices a worker at most."""


class Asked(NamedTuple):
    """What is to be forecast."""

    plan: ChunkPlan
    job: Job
    sizes: TrialSizes
    workers: int
    memory_nbytes: int
    may_fail: bool

    def run(self, strategy: Strategy, workers: int, seconds: float) -> Tried:
        """Slices, done by so many `workers` of `strategy`."""
        slices = self._slices(workers)
        return run_trial(self.job, slices, strategy, seconds, self.sizes, may_fail=self.may_fail)

    def _slices(self, workers: int) -> Iterator[Chunk]:
        """No more of them than the data hold, and one a worker to warm up."""
        nbytes = 0
        for number, place in enumerate(order_places(PLACES * workers)):
            if nbytes >= self.plan.nbytes:
                return
            chunk = slice_at(self.plan.chunks, place, self.sizes.next_nbytes())
            nbytes += chunk.nbytes if number >= workers else 0
            yield chunk


class Trial(NamedTuple):
    """Slices done by whoever would run them: its name, how many workers, what each may use.

    They `begin_in_threads` where those go on until processes have started.
    """

    name: str
    workers: int
    memory_nbytes: int
    crosses_processes: bool
    tried: Tried
    opened_s: float
    closed_s: float
    begin_in_threads: bool = False


def try_alone(asked: Asked, scheduler: Any) -> Tried:
    """Slices one after another, in this process; for longer where it is all that there will be."""
    is_all = asked.workers == 1 and scheduler in (None, "threads", "synchronous")
    return asked.run(SynchronousStrategy(), 1, ALONE_S + (BESIDE_S if is_all else 0.0))


def try_beside(asked: Asked, alone: Tried, scheduler: Any) -> Trial:
    """Slices beside each other, by whoever would run them."""
    if scheduler is None:
        scheduler = current_client()
    if scheduler is not None:
        return _try(asked, alone, scheduler)
    if not _may_change(asked.job, asked.workers):
        return _try(asked, alone, "threads")
    # Beside each other slices take no less: where the run would surely change, it is not tried.
    cold_s = cold_seconds(alone, asked.sizes.first_nbytes)
    if _left_seconds(asked, alone, cold_s) / asked.workers >= POOL_PAYS_S:
        return _try(asked, alone, "processes")._replace(begin_in_threads=True)
    found = _try(asked, alone, "threads")
    if _left_seconds(asked, found.tried, cold_s) / asked.workers >= POOL_PAYS_S:
        return _try(asked, alone, "processes")._replace(begin_in_threads=True)
    return found


def _try(asked: Asked, alone: Tried, scheduler: Any) -> Trial:
    at = time.perf_counter()
    strategy = open_strategy(scheduler, asked.workers, asked.memory_nbytes)
    try:
        strategy.check([path for path in asked.plan.files if "://" not in path])
        opened_s = time.perf_counter() - at
        # What is closed can't be asked any more.
        name, count = strategy.name, strategy.workers
        memory_nbytes = strategy.memory_nbytes or asked.memory_nbytes
        is_same = count == 1 and not strategy.crosses_processes
        if is_same or alone.seconds / len(alone.outcomes) >= LONG_S:
            tried = alone
        else:
            tried = asked.run(strategy, count, BESIDE_S)
    finally:
        at = time.perf_counter()
        strategy.close()
        closed_s = time.perf_counter() - at
    crosses = strategy.crosses_processes
    return Trial(name, count, memory_nbytes, crosses, tried, opened_s, closed_s)


def _may_change(job: Job, workers: int) -> bool:
    """Whether a run without a scheduler may go over from threads to processes."""
    releases = all(getattr(one, "releases_gil", False) for one in job.reducers)
    is_kernels = not any(job.chains) and bool(job.reducers) and releases
    return workers > 1 and not is_kernels and _is_portable(job)


def _left_seconds(asked: Asked, tried: Tried, cold_s: float) -> float:
    """What a run finds to be left once its first chunk has ended, in seconds of one worker.

    It decides then, by what that chunk took with all that the process had to load for it.
    """
    line = fit_middle(tried.that(asked.sizes.counts).points)
    if line is None:
        return 0.0
    plan = asked.plan
    first = plan.chunks[0].nbytes if plan.is_given else asked.sizes.first_nbytes
    return (line.predict(first) + cold_s) / first * max(0, plan.nbytes - first)


def _is_portable(job: Job) -> bool:
    try:
        pack_job(job)
    except BindError:
        return False
    return True


def cold_seconds(alone: Tried, first_nbytes: int) -> float:
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
