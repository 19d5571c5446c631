"""Run a job on slices, on the scheduler that would run it, and measure it."""

from __future__ import annotations

import itertools
import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.cost_line import fit_middle
from taskinity_data.errors import PlanError
from taskinity_data.execution.worker.run_item import Item, peak_nbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.run_item import Job
    from taskinity_data.forecast.trial_sizes import TrialSizes
    from taskinity_data.outcome import Attempt, Outcome

__all__ = ["TrialResult", "run_trial"]

UNSETTLED = 4

MAX_S = 12.0
"""No slice is started after these seconds: a slice that takes longer is the only one."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The measurements of a trial.

    Attributes
    ----------
    chunks, outcomes : tuples
        In parallel, in the order in which they were started; without warm-ups.
    warm_up_s : float
        How much longer the first slice of each worker took than the later ones, on average:
        imports, first calls, newly allocated memory.
    peak_nbytes : int or None
        The peak memory of a process: of a worker process, or of this process with its threads.
    busy : float or None
        The share of the time in which this process computed, or would have; None if other
        processes did the work.
    first : tuple of int and float, or None
        Bytes and seconds of the slice that was started first, including what it had to load.
    base_nbytes : int or None
        The memory of this process before, None if the system does not report it.
    failures : tuple of str
        The failures of slices that failed and are left out, if that was allowed.
    """

    chunks: tuple[Chunk, ...]
    outcomes: tuple[Outcome, ...]
    warm_up_s: float
    peak_nbytes: int | None
    busy: float | None = None
    first: tuple[int, float] | None = None
    failures: tuple[str, ...] = ()
    base_nbytes: int | None = None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The only attempt at each slice."""
        return tuple(outcome.attempts[-1] for outcome in self.outcomes)

    @property
    def points(self) -> list[tuple[int, float]]:
        """Planned bytes and seconds of each slice that has bytes."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        return [(chunk.nbytes, outcome.duration_s) for chunk, outcome in pairs if chunk.nbytes]

    def select(self, counts: Callable[[int], bool]) -> TrialResult:
        """Return the result with only the slices whose size `counts`, if there are any."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        selected = [pair for pair in pairs if counts(pair[0].nbytes)]
        if not selected:
            return self
        chunks, outcomes = zip(*selected, strict=True)
        return replace(self, chunks=chunks, outcomes=outcomes)

    def join(self, other: TrialResult) -> TrialResult:
        """Return the result with the slices of `other`, too."""
        chunks, outcomes = self.chunks + other.chunks, self.outcomes + other.outcomes
        return replace(self, chunks=chunks, outcomes=outcomes)

    @property
    def nbytes(self) -> int:
        """Planned bytes of all slices."""
        return sum(chunk.nbytes for chunk in self.chunks)

    @property
    def seconds(self) -> float:
        """Seconds of one worker, for all slices."""
        return sum(attempt.duration_s for attempt in self.attempts)


def run_trial(
    job: Job,
    chunks: Iterable[Chunk],
    strategy: Strategy,
    seconds: float,
    sizes: TrialSizes,
    *,
    may_fail: bool = False,
) -> TrialResult:
    """Run `job` on `chunks`, with all workers busy, until `seconds` have passed or chunks run out.

    The first slice of each worker warms it up, and counts only if there are no others. `sizes`
    observes each that has ended, before the next is taken; while it is not settled there is more
    time (`UNSETTLED` times as much). No slice is started after `MAX_S`.

    Raises
    ------
    PlanError
        The job failed on a slice; if it `may_fail`, on all of them.
    """
    loaded = strategy.load(job)
    waiting = iter(chunks)
    done: SimpleQueue[Any] = SimpleQueue()
    in_flight: dict[Any, tuple[int, Chunk]] = {}
    ended: dict[int, tuple[Chunk, Outcome]] = {}
    failed: list[tuple[Chunk, Outcome]] = []
    numbers = itertools.count()
    opened, opened_cpu_s = time.perf_counter(), _cpu_seconds()
    begun: float | None = None
    begun_cpu_s = 0.0
    is_reset = _reset_peak()
    base_nbytes = _read_status("VmRSS:")
    while True:
        # All workers are warm before the clock starts; then a slice starts whenever one ends.
        is_warm = len(ended) >= strategy.workers
        now = time.perf_counter()
        if is_warm and begun is None:
            begun, begun_cpu_s = now, _cpu_seconds()
        max_s = seconds if sizes.is_settled else UNSETTLED * seconds
        has_time = (begun is None or now - begun < max_s) and now - opened < MAX_S
        limit = strategy.workers if is_warm else strategy.workers - len(ended)
        while has_time and len(in_flight) < limit:
            chunk = next(waiting, None)
            if chunk is None:
                break
            number = next(numbers)
            item = Item(chunk.key, chunk, number)
            pending = strategy.submit(loaded, [item], f"{job.task}-{chunk.key}{number:x}")
            in_flight[pending] = number, chunk
            pending.add_done_callback(done.put)
        if not in_flight:
            break
        pending = done.get()
        number, chunk = in_flight.pop(pending)
        result = strategy.collect([pending])[0]
        outcome = result if isinstance(result, BaseException) else result[0]
        if may_fail and not isinstance(outcome, BaseException) and outcome.failure is not None:
            failed.append((chunk, outcome))
            continue
        ended[number] = chunk, _completed(chunk, outcome)
        sizes.observe(*ended[number])
    if failed and not ended:
        _completed(*failed[0])
    if len(ended) <= strategy.workers:
        begun, begun_cpu_s = opened, opened_cpu_s
    took_s = time.perf_counter() - (begun or opened)
    busy = min(1.0, (_cpu_seconds() - begun_cpu_s) / took_s)
    first = [ended[number] for number in sorted(ended)][: strategy.workers]
    later = [ended[number] for number in sorted(ended)][strategy.workers :]
    counted = later or first
    peaks = [outcome.attempts[-1].peak_nbytes for _, outcome in ended.values()]
    own_peak = _read_status("VmHWM:") if is_reset else peak_nbytes()
    measured = [peak for peak in peaks if peak is not None]
    return TrialResult(
        tuple(chunk for chunk, _ in counted),
        tuple(outcome for _, outcome in counted),
        _extra_seconds(first, later),
        (max(measured, default=None) if strategy.crosses_processes else own_peak),
        None if strategy.crosses_processes else busy,
        (first[0][0].nbytes, first[0][1].duration_s) if first[0][0].nbytes else None,
        tuple(str(outcome.failure) for _, outcome in failed),
        base_nbytes,
    )


def _completed(chunk: Chunk, outcome: Outcome | BaseException) -> Outcome:
    if isinstance(outcome, BaseException):
        raise PlanError(f"the forecast tried {chunk}, and it was lost: {outcome}") from outcome
    if outcome.failure is not None:
        raise PlanError(
            f"the forecast tried {chunk}, and it failed: {outcome.failure}\n"
            f"{outcome.failure.traceback.rstrip()}"
        ) from outcome.failure.error
    return outcome


def _cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended, plus the time for
    which its threads were runnable, but had no core.
    """
    times = os.times()
    return time.process_time() + times.children_user + times.children_system + _queued_seconds()


def _queued_seconds() -> float:
    queued = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with suppress(OSError, IndexError, ValueError):
            queued += int(path.read_text().split()[1])
    return queued * 1e-9


def _extra_seconds(first: list[tuple[Chunk, Outcome]], later: list[tuple[Chunk, Outcome]]) -> float:
    """Return the seconds of warm-ups beyond those that their bytes explain."""
    line = fit_middle([(chunk.nbytes, outcome.duration_s) for chunk, outcome in later])
    if line is None:
        return 0.0
    more = [outcome.duration_s - line.predict(chunk.nbytes) for chunk, outcome in first]
    # Workers share the remaining work, so that the delay of one is spread over all.
    return max(0.0, sum(more) / len(more))


def _reset_peak() -> bool:
    """Reset this process's peak of memory; return False if the system can't (only Linux can)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _read_status("VmHWM:") is not None


def _read_status(name: str) -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return None
