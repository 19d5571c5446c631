"""Run a job on slices, one for each worker at a time, and measure it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from taskinity_data.chunks.size import fit_middle
from taskinity_data.errors import PlanError
from taskinity_data.execution.worker.job import Item
from taskinity_data.execution.worker.run_item import peak_nbytes
from taskinity_data.forecast.slices import slice_at, spread_positions
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.job import Job
    from taskinity_data.outcome import Attempt, Outcome

__all__ = ["TrialRequest", "TrialResult", "run_rounds"]

GROWING = 4
"""While slices still grow, there is more time by this factor."""

MAX_S = 12.0
"""No slice is started after these seconds: a slice that takes longer is the only one."""

SLICES = 16
"""The most slices per worker."""

MIN_PART = 6
"""Slices below this part of the largest do not count."""


class TrialRequest(NamedTuple):
    """The plan and job to forecast, with the options of the trial.

    A run begins with chunks of `first_nbytes`, a slice has at most `max_nbytes`; if it `is_whole`,
    it is a chunk of the plan.
    """

    plan: ChunkPlan
    job: Job
    workers: int
    memory_nbytes: int
    first_nbytes: int
    max_nbytes: int
    may_fail: bool
    is_whole: bool


@dataclass(frozen=True, slots=True)
class TrialResult:
    """The measurements of slices.

    Attributes
    ----------
    chunks, outcomes : tuples
        In parallel, in the order of the slices; without the first of each worker, which warms it
        up, if there are others.
    warm_up_s : float
        How much longer the first slice of each worker took than the later ones, on average:
        imports, first calls.
    peak_nbytes : int or None
        The peak memory of a process: of a worker process, or of this process with its threads.
    base_nbytes : int or None
        The memory of this process before, None if the system does not report it.
    failures : tuple of str
        The failures of slices that failed and are left out, if that was allowed.
    wait_s : float
        For how long workers' first slices waited: processes start while they do.
    """

    chunks: tuple[Chunk, ...]
    outcomes: tuple[Outcome, ...]
    warm_up_s: float
    peak_nbytes: int | None
    base_nbytes: int | None = None
    failures: tuple[str, ...] = ()
    wait_s: float = 0.0

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The only attempt at each slice."""
        return tuple(outcome.attempts[-1] for outcome in self.outcomes)

    @property
    def points(self) -> list[tuple[int, float]]:
        """Planned bytes and seconds of each slice that has bytes."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        return [(chunk.nbytes, outcome.duration_s) for chunk, outcome in pairs if chunk.nbytes]

    @property
    def nbytes(self) -> int:
        """Planned bytes of all slices."""
        return sum(chunk.nbytes for chunk in self.chunks)

    @property
    def largest_nbytes(self) -> int:
        """Planned bytes of the largest slice."""
        return max((chunk.nbytes for chunk in self.chunks), default=0)

    @property
    def mean_s(self) -> float:
        """The mean seconds of a slice."""
        return sum(attempt.duration_s for attempt in self.attempts) / len(self.outcomes)

    def select_large(self) -> TrialResult:
        """Return the result with only the slices that are similar in size to the largest."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        large = [pair for pair in pairs if pair[0].nbytes * MIN_PART >= self.largest_nbytes]
        chunks, outcomes = zip(*large, strict=True)
        return replace(self, chunks=chunks, outcomes=outcomes)

    def join(self, other: TrialResult) -> TrialResult:
        """Return the result with the slices of `other`, too."""
        chunks, outcomes = self.chunks + other.chunks, self.outcomes + other.outcomes
        return replace(self, chunks=chunks, outcomes=outcomes)


def run_rounds(
    request: TrialRequest,
    strategy: Strategy,
    seconds: float,
    choose: Callable[[Sequence[tuple[int, float]]], tuple[int | None, bool]],
) -> TrialResult:
    """Run rounds of one slice for each worker, until `seconds` have passed or the data are covered.

    `choose` returns the size of the next slices (None: whole chunks) from the points of those
    before, and whether slices are still growing: then there is more time. No slice is started after
    `MAX_S`. The first round warms the workers up, and counts only if it is the only one.

    Raises
    ------
    PlanError
        The job failed on a slice; if it may fail, on all of them.
    """
    loaded = strategy.load(request.job)
    positions = spread_positions(SLICES * strategy.workers)
    rounds: list[list[tuple[Chunk, Outcome]]] = []
    failures: list[tuple[Chunk, Outcome]] = []
    meter = _Meter()
    points: list[tuple[int, float]] = []
    has_time, nbytes_tried, wait_s = True, 0, 0.0
    while has_time and nbytes_tried < request.plan.nbytes:
        nbytes, is_growing = choose(points)
        some = islice(positions, strategy.workers)
        chunks = [slice_at(request.plan.chunks, position, nbytes) for position in some]
        if not chunks:
            break
        number = len(points) + len(failures)
        began_s = meter.whole_s
        completed, failed = _run(request, strategy, loaded, chunks, number)
        failures += failed
        points += [(chunk.nbytes, outcome.duration_s) for chunk, outcome in completed]
        if completed and not rounds:
            longest_s = max(outcome.duration_s for _, outcome in completed)
            wait_s = max(0.0, meter.whole_s - began_s - longest_s)
            meter.restart()
        elif completed:
            nbytes_tried += sum(chunk.nbytes for chunk, _ in completed)
        rounds += [completed] if completed else []
        limit_s = seconds * (GROWING if is_growing else 1)
        has_time = meter.spent_s < limit_s and meter.whole_s < MAX_S
    if not rounds:
        _raise(*failures[0])
    peaks = [o.attempts[-1].peak_nbytes for pairs in rounds for _, o in pairs]
    crosses = strategy.crosses_processes
    counted = [pair for pairs in rounds[1:] or rounds for pair in pairs]
    return TrialResult(
        tuple(chunk for chunk, _ in counted),
        tuple(outcome for _, outcome in counted),
        _extra_seconds(rounds[0], counted) if len(rounds) > 1 else 0.0,
        max((peak for peak in peaks if peak), default=None) if crosses else meter.peak_nbytes,
        meter.base_nbytes,
        tuple(str(outcome.failure) for _, outcome in failures),
        wait_s,
    )


def _run(
    request: TrialRequest, strategy: Strategy, loaded: Any, chunks: Sequence[Chunk], number: int
) -> tuple[list[tuple[Chunk, Outcome]], list[tuple[Chunk, Outcome]]]:
    """Run one round: return the chunks that completed, and those that failed, if they may."""
    done: SimpleQueue[Any] = SimpleQueue()
    items = [Item(chunk.key, chunk, at) for at, chunk in enumerate(chunks, number)]
    futures = []
    for item in items:
        name = f"{request.job.task}-{item.key}{item.position:x}"
        futures.append(strategy.submit(loaded, [item], name))
        futures[-1].add_done_callback(done.put)
    for _ in futures:
        done.get()
    completed: list[tuple[Chunk, Outcome]] = []
    failed: list[tuple[Chunk, Outcome]] = []
    for chunk, item, future in zip(chunks, items, futures, strict=True):
        result = strategy.collect([future])[0]
        if isinstance(result, BaseException):
            raise PlanError(
                f"the forecast tried {chunk}, and its result was lost: {result}"
            ) from result
        (ended,) = result
        outcome = next(ended.outcomes([item])) if isinstance(ended, OutcomeBlock) else ended
        pairs = completed if outcome.failure is None else failed
        pairs.append((chunk, outcome))
    if failed and not request.may_fail:
        _raise(*failed[0])
    return completed, failed


def _raise(chunk: Chunk, outcome: Outcome) -> NoReturn:
    failure = outcome.failure
    assert failure is not None
    raise PlanError(
        f"the forecast tried {chunk}, and it failed: {failure}\n{failure.traceback.rstrip()}"
    ) from failure.error


def _extra_seconds(
    first: Sequence[tuple[Chunk, Outcome]], later: Sequence[tuple[Chunk, Outcome]]
) -> float:
    """Return the seconds of warm-ups beyond those that their bytes explain."""
    line = fit_middle([(chunk.nbytes, outcome.duration_s) for chunk, outcome in later])
    assert line is not None
    more = [outcome.duration_s - line.predict(chunk.nbytes) for chunk, outcome in first]
    # Workers share the remaining work, so that the delay of one is spread over all.
    return max(0.0, sum(more) / len(more))


class _Meter:
    """Measures the time and the memory of this process during a trial."""

    def __init__(self) -> None:
        self._opened_s = time.perf_counter()
        self._is_reset = _reset_peak()
        self.base_nbytes = _read_status("VmRSS:")
        self.restart()

    def restart(self) -> None:
        """Measure times from now on."""
        self._begun_s = time.perf_counter()

    @property
    def spent_s(self) -> float:
        """Seconds since the last start."""
        return time.perf_counter() - self._begun_s

    @property
    def whole_s(self) -> float:
        """Seconds since the first start."""
        return time.perf_counter() - self._opened_s

    @property
    def peak_nbytes(self) -> int | None:
        """The peak memory of this process; since the start, where the system tells them apart."""
        return _read_status("VmHWM:") if self._is_reset else peak_nbytes()


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
