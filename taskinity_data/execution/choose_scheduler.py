"""Choose the strategy of a flow if the user named none, and when to change it.

It starts in threads of this process, and looks at the CPU time that they get: where they hold each
other up, and what is left takes longer than child processes take to start, these take over.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import BindError
from taskinity_data.execution.schedulers.base import (
    SynchronousStrategy,
    ThreadStrategy,
    current_client,
)
from taskinity_data.execution.worker.thread_time import LOOK_S, QUIET_S, LockWatch
from taskinity_data.flow.once import close_values
from taskinity_data.machine import count_cores, share_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.schedulers.children import ChildStrategy

__all__ = ["SchedulerChoice"]

_log = logging.getLogger(__name__)

CHILDREN_PAY_S = 1.0
"""What must be left, in seconds of threads that hold each other up, for child processes to be
started: they are ready after half a second, while a thread goes on computing."""

FIRST_PARTS = 4
"""In how many parts the first size is cut where processes may replace threads: these end the chunks
that they have started, though they hold each other up."""


class SchedulerChoice:
    """Holds the strategy of a run, and changes it where that pays.

    Parameters
    ----------
    scheduler : see `run_flow`
    workers, memory_nbytes : int, optional
    stays_in_threads : bool
        All that runs are built-in reducers, whose kernels release Python's lock.
    wait_s : float, optional
        How long a cluster may have no workers.
    priority : int
        Of the run's tasks among others on it.
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
        wait_s: float | None = None,
        priority: int = 0,
        announce: Callable[[Strategy, str], None],
        say: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._memory_nbytes = memory_nbytes
        self._announce = announce
        self._say = say
        self._may_change = False
        self._watch = LockWatch()
        self._has_ended = False
        self._starting: ChildStrategy | None = None
        self._paths: list[str] = []
        if scheduler is None and (client := current_client()) is not None:
            scheduler, reason = client, "the current Dask client"
        elif scheduler is not None:
            reason = "as requested"
        if scheduler is not None:
            from taskinity_data.execution.schedulers.connect import open_strategy

            self.strategy = open_strategy(scheduler, workers, memory_nbytes, wait_s)
        else:
            count = workers or count_cores()
            self.strategy = ThreadStrategy(count, memory_nbytes or share_memory(count))
            if stays_in_threads:
                reason = "built-in reducers release Python's lock"
            elif count == 1:
                reason = "a single worker needs no pool"
            else:
                reason = "the default, unless the first chunks show that processes are faster"
                self._may_change = True
                self.strategy.first_parts = FIRST_PARTS
        self.strategy.priority = priority
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
        self._paths = _without_gone(self._paths)
        self._paths += [path for path in paths if path not in self._paths]
        self.strategy.check(self._paths)

    def limit(self, batches: int) -> int:
        """Return how many batches threads may have now, `batches` or less.

        The first chunk runs alone, and one thread computes as much as all that share a lock with
        it, without taking turns: while processes start, and where too little is left for them.
        """
        for notice in self.strategy.take_notices():
            self._say(notice)
        is_one_enough = self._watch.runs_alone or self._watch.is_shared
        if self._starting is not None or (self._may_change and is_one_enough):
            return 1
        if self._may_change and not self._has_ended:
            return min(batches, self.strategy.workers)
        return batches

    @property
    def is_one_alone(self) -> bool:
        """Whether the first chunk runs alone, for the watch."""
        return self._may_change and self._watch.runs_alone

    @property
    def look_s(self) -> float:
        """How long may pass until `look` is called again."""
        return QUIET_S if self.is_one_alone else LOOK_S

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
        self._has_ended |= any(fan_out.ended for fan_out in fan_outs)
        if not self._may_change or not fan_outs or not isinstance(threads, ThreadStrategy):
            return
        now_s = self._clock()
        if not watch.is_due(now_s, running):
            return
        used = threads.used
        watch.look(now_s, used, idle_s, has_ended=self._has_ended)
        if not watch.is_shared:
            if watch.is_shared is False:
                self.reason = (
                    "threads do not block each other, so that processes would not be faster"
                )
            return
        remaining = (
            (fan_out, fan_out.estimate_remaining_s(threads.workers, used.cpu_s))
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
        if left_s < CHILDREN_PAY_S:
            self.reason = (
                f"after the first chunks, {left_s:.1f} s of work remained, too little to justify "
                "processes"
            )
            return
        self._may_change = False
        workers = self.strategy.workers
        from taskinity_data.execution.schedulers.children import ChildStrategy

        memory_nbytes = self._memory_nbytes or share_memory(workers)
        children = ChildStrategy(workers, memory_nbytes, began_in_threads=True)
        self._owned.append(children)
        try:
            children.start(fan_out.job, wake)
        except BindError as error:
            _log.info("staying in threads: %s", error)
            self.reason = f"processes would be faster, but {error}"
            return
        self._left = f"threads blocked each other, with about {left_s:.0f} s of work left"
        self.reason = f"{self._left}, but it ended before processes had started"
        self._starting = children

    def refresh(self) -> None:
        """Change to the processes once they have started; called where work is left for them."""
        children = self._starting
        if children is None or not children.has_started:
            return
        self._starting = None
        if (failure := children.failure) is not None:
            _log.warning("staying in threads: no child processes (%s)", failure)
            self.reason = f"processes would be faster, but did not start: {failure}"
            children.abort()
            return
        self.strategy, self.reason = children, self._left
        self._announce(children, self._left)

    def abort(self) -> None:
        """Kill the workers that can be killed: one that is closed lets its task end first."""
        for strategy in self._owned:
            strategy.abort()

    def close(self, session_id: str = "", *, waits: bool = True) -> None:
        """End all that was started, and close what was made for that run by ``@td.once``.

        Without `waits`, what still runs in threads is left to end, with the values that it uses.
        """
        texts: list[str] = []
        for strategy in reversed(self._owned):
            texts += strategy.close_values(session_id) if waits else ()
            strategy.waits = waits
            strategy.close()
        texts += close_values(session_id) if waits and session_id else ()
        for text in texts:
            self._say(text)


def _without_gone(paths: Sequence[str]) -> list[str]:
    """Return `paths` without those of scratch files that have gone."""
    if not paths:
        return []
    from taskinity_data.sources.compression.scratch_file import has_gone

    return [path for path in paths if not has_gone(path)]
