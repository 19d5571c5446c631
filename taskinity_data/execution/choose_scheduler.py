"""Which strategy runs a flow where the user named none, and when another one pays.

It starts in threads of this process, and looks at the CPU time that they get: where they hold each
other up, and what is left takes longer than a pool takes to start, local processes take over; where
these turn out to be no faster, threads do the rest.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import BindError
from taskinity_data.execution.schedulers.base import (
    SynchronousStrategy,
    ThreadStrategy,
    current_client,
)
from taskinity_data.execution.schedulers.lock_watch import LOOK_S, QUIET_S, LockWatch
from taskinity_data.execution.worker.shipping import pack_job
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.sources.compression.scratch_file import has_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.schedulers.pool_start import PoolStart
    from taskinity_data.outcome import Attempt

__all__ = ["SchedulerChoice"]

_log = logging.getLogger(__name__)

POOL_PAYS_S = 2.0
"""What must be left, in seconds of threads that hold each other up, for a pool of processes to be
started: a local Dask cluster takes 0.7 s until its first task (two cores, Dask 2026.8), and what is
left by then takes half as long on two cores."""

COMPARED_ROUNDS, COMPARED_S = 4, 1.0
"""What processes must have done before their pace is compared with that of threads: so many chunks
a worker, and so many seconds, of which a slow chunk or another program's burst is a small part."""


_COMPUTING = 0.5
"""The share of computing time above which the items of a process count as computing: functions that
wait for a service or a disk are far below it, pure Python is close to 1."""


@dataclass
class Pace:
    """What one pool has done of one fan-out.

    Attributes
    ----------
    count : int
        Attempts.
    weight : int
        Bytes, or items where these have none.
    cpu_s, spent_s : float
        Seconds that the attempts computed, and took; summed.
    begun_s, ended_s : float
        When the first began and the last ended, since the epoch.
    """

    count: int = 0
    weight: int = 0
    cpu_s: float = 0.0
    spent_s: float = 0.0
    begun_s: float = math.inf
    ended_s: float = -math.inf

    def add(self, attempt: Attempt, weight: int) -> None:
        """Add an attempt that has ended."""
        self.count += 1
        self.weight += weight
        self.cpu_s += attempt.cpu_s or 0.0
        self.spent_s += attempt.duration_s
        self.begun_s = min(self.begun_s, attempt.started_s)
        self.ended_s = max(self.ended_s, attempt.started_s + attempt.duration_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first begin to the last end."""
        return max(self.ended_s - self.begun_s, 0.0)

    def beats(self, other: Pace) -> bool:
        """Return whether more was done in a second than by `other`.

        Of items that compute, the computing is compared: their cost may change along a file, while
        bytes a second would then compare one part of the data with another.
        """
        if self.cpu_s >= _COMPUTING * self.spent_s:
            return self.cpu_s * other.elapsed_s > other.cpu_s * self.elapsed_s
        return self.weight * other.elapsed_s > other.weight * self.elapsed_s


class SchedulerChoice:
    """Holds the strategy of a run, and changes it where that pays.

    Parameters
    ----------
    scheduler : see `run_flow`
    workers, memory_nbytes : int, optional
    stays_in_threads : bool
        All that runs are built-in reducers, whose kernels release Python's lock.
    announce : callable
        Takes (strategy, reason) at the start and at each change.
    say : callable
        Takes what the user should know.
    clock : callable
    """

    def __init__(
        self,
        scheduler: Any,
        workers: int | None,
        memory_nbytes: int | None,
        *,
        stays_in_threads: bool,
        announce: Callable[[Strategy, str], None],
        say: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._memory_nbytes = memory_nbytes
        self._announce = announce
        self._say = say
        self._reported: set[str] = set()
        self._may_change = False
        self._watch = LockWatch()
        self._starting: PoolStart | None = None
        self._paces: dict[tuple[str, bool], Pace] = {}
        self._warm_ups = 0
        self._compares = False
        self._paths: list[str] = []
        if scheduler is None and (client := current_client()) is not None:
            scheduler, reason = client, "the current Dask client"
        elif scheduler is not None:
            reason = "as requested"
        if scheduler is not None:
            from taskinity_data.execution.schedulers.connect import open_strategy

            self.strategy = open_strategy(scheduler, workers, memory_nbytes)
        else:
            count = workers or count_cores()
            self.strategy = ThreadStrategy(count, memory_nbytes or share_memory(count))
            if stays_in_threads:
                reason = "built-in reducers release Python's lock"
            elif count == 1:
                reason = "a single worker needs no pool"
            else:
                reason = "unless the first chunks show that processes are faster"
                self._may_change = self._compares = True
        self._owned: list[Strategy] = [self.strategy]
        self._local: ThreadStrategy | None = None
        self.reason = reason
        announce(self.strategy, reason)

    @property
    def local(self) -> Strategy:
        """Where a plain aggregate runs: in this process, because its list is here already."""
        if isinstance(self.strategy, SynchronousStrategy):
            return self.strategy
        if self._local is None:
            self._local = ThreadStrategy(1)
            self._owned.append(self._local)
        return self._local

    def is_local(self, strategy: Strategy) -> bool:
        """Return whether `strategy` is the one of plain aggregates alone."""
        return strategy is self._local

    def check_files(self, paths: Sequence[str]) -> None:
        """Let every worker see whether it has the library, and `paths`."""
        # The texts of compressed files go with their dataset, which an earlier task may have had.
        self._paths = [path for path in self._paths if not has_gone(path)]
        self._paths += [path for path in paths if path not in self._paths]
        self.strategy.check(self._paths)
        for worker, why in self.strategy.left_out.items():
            if worker not in self._reported:
                self._reported.add(worker)
                self._say(f"worker {worker} does not respond and is not used: {why}")

    def limit(self, batches: int) -> int:
        """Return how many batches threads may have now, `batches` or less.

        The first chunk runs alone, and while processes start one thread computes as much as all
        that share a lock with it, and leaves the lock to what starts them.
        """
        if self._starting is not None or (self._may_change and self._watch.runs_alone):
            return 1
        if self._may_change and not self._paces:
            return min(batches, self.strategy.workers)
        return batches

    @property
    def look_s(self) -> float:
        """How long may pass until `look` is called again."""
        return QUIET_S if self._may_change and self._watch.runs_alone else LOOK_S

    def look(
        self,
        fan_outs: Iterable[RunningFanOut],
        running: int,
        idle_s: float,
        wake: Callable[[], None],
    ) -> None:
        """Look at what threads have computed, and start processes where they pay.

        Parameters
        ----------
        fan_outs : iterable of RunningFanOut
            Those that run.
        running : int
            Batches that threads have.
        idle_s : float
            How long the driver has waited for them so far.
        wake : callable
            Called, from another thread, when processes are ready for `refresh`.
        """
        threads, watch, fan_outs = self._owned[0], self._watch, tuple(fan_outs)
        if not self._may_change or not fan_outs or not isinstance(threads, ThreadStrategy):
            return
        now_s = self._clock()
        if not watch.is_due(now_s, running):
            return
        watch.look(now_s, threads.used, idle_s, has_ended=bool(self._paces))
        if not watch.is_shared:
            if watch.is_shared is False:
                self.reason = (
                    "threads do not block each other, so that processes would not be faster"
                )
            return
        elapsed_s = now_s - (watch.begun_s or now_s)
        remaining = (
            (fan_out, fan_out.estimate_remaining_s(threads.workers, elapsed_s))
            for fan_out in fan_outs
        )
        fan_out, left_s = max(
            ((fan_out, left_s) for fan_out, left_s in remaining if left_s is not None),
            key=lambda pair: pair[1],
            default=(None, 0.0),
        )
        if fan_out is not None:
            self._weigh(fan_out, left_s, wake)

    def _weigh(self, fan_out: RunningFanOut, left_s: float, wake: Callable[[], None]) -> None:
        """Start processes where the `left_s` seconds of `fan_out` are worth it."""
        if left_s < POOL_PAYS_S:
            self.reason = (
                f"after the first chunks, {left_s:.1f} s of work remained, too little to justify "
                "processes"
            )
            return
        self._may_change = False
        try:
            pack_job(fan_out.job)
        except BindError as error:
            _log.info("staying in threads: %s", error)
            self.reason = f"processes would be faster, but {error}"
            return
        self._left = f"threads blocked each other, with about {left_s:.0f} s of work left"
        self.reason = f"{self._left}, but it ended before processes had started"
        from taskinity_data.execution.schedulers.pool_start import PoolStart

        self._starting = PoolStart(self._start, wake)

    def _start(self) -> Strategy:
        from taskinity_data.execution.schedulers.connect import open_strategy

        strategy = open_strategy("processes", self._workers, self._memory_nbytes)
        try:
            strategy.check([path for path in self._paths if not has_gone(path)])
        except BaseException:
            strategy.close()
            raise
        return strategy

    def refresh(self) -> None:
        """Change to the processes once they have started; called where work is left for them."""
        started = None if self._starting is None else self._starting.take()
        if started is None:
            return
        self._starting = None
        if isinstance(started, Exception):
            _log.warning("staying in threads: no local processes (%s)", started)
            self.reason = f"processes would be faster, but did not start: {started}"
            return
        self._owned.append(started)
        self._change(started, self._left)

    def _change(self, strategy: Strategy, reason: str) -> None:
        self.strategy, self.reason = strategy, reason
        self._announce(strategy, reason)

    def compare(self, name: str, strategy: Strategy, attempt: Attempt, weight: int) -> None:
        """See what an `attempt` of the fan-out `name` took; go back where processes gained nothing.

        `weight` says how much of the fan-out's data it was.
        """
        if not self._compares:
            return
        threads = self._owned[0]
        if strategy is not threads and self._warm_ups < strategy.workers:
            self._warm_ups += 1  # with the imports of a worker that has just started
            return
        self._paces.setdefault((name, strategy is threads), Pace()).add(attempt, weight)
        before, after = (self._paces.get((name, in_threads)) for in_threads in (True, False))
        if before is None or after is None:
            return
        if after.count < COMPARED_ROUNDS * strategy.workers or after.elapsed_s < COMPARED_S:
            return
        self._compares = False
        if not after.beats(before):
            self._change(threads, f"{self._left}; processes were tried, but were no faster")

    def abort(self) -> None:
        """Kill the workers that can be killed: one that is closed lets its task end first."""
        for strategy in self._owned:
            strategy.abort()

    def close(self, *, waits: bool = True) -> None:
        """End all that was started; without `waits`, what still runs in threads is left to end.

        A pool that was started and never used ends behind the caller.
        """
        if self._starting is not None:
            self._starting.give_up()
            self._starting = None
        for strategy in reversed(self._owned):
            strategy.waits = waits
            strategy.close()
