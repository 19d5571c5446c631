"""Does a job to slices, by whoever is to run it, and notes what that took.

It knows nothing of what is concluded from it.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.cost_line import fit_middle
from taskinity_data.errors import PlanError
from taskinity_data.execution.process import Item, peak_nbytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.execution.process import Job
    from taskinity_data.execution.strategies import Strategy
    from taskinity_data.outcome import Attempt, Outcome

__all__ = ["Tried", "run_trial"]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a trial took.

    Attributes
    ----------
    chunks, outcomes : tuples
        Side by side, in the order in which they were begun; warm-ups are left out.
    warm_up_s : float
        What the first slice of each worker took longer than the later ones, on the average:
        imports, first calls, memory that is new.
    peak_nbytes : int or None
        The most that a process held: a worker of its own, or this process with its threads.
    """

    chunks: tuple[Chunk, ...]
    outcomes: tuple[Outcome, ...]
    warm_up_s: float
    peak_nbytes: int | None

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The only attempt at each."""
        return tuple(outcome.attempts[-1] for outcome in self.outcomes)

    @property
    def points(self) -> list[tuple[int, float]]:
        """Planned bytes and seconds of each slice that has bytes."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        return [(chunk.nbytes, outcome.duration_s) for chunk, outcome in pairs if chunk.nbytes]

    def that(self, counts: Callable[[int], bool]) -> Tried:
        """The same with those slices alone whose size `counts`, where there are any."""
        pairs = zip(self.chunks, self.outcomes, strict=True)
        kept = [pair for pair in pairs if counts(pair[0].nbytes)]
        if not kept:
            return self
        chunks, outcomes = zip(*kept, strict=True)
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
    see: Callable[[Chunk, Outcome], None] = lambda *_: None,
) -> Tried:
    """Do `job` to `chunks` until they or `seconds` have run out, all workers busy.

    The first slice of each worker warms it up, and counts only where there are no others. `see` is
    told of each that has ended, before the next is taken.

    Raises
    ------
    PlanError
        The job failed on a slice.
    """
    loaded = strategy.load(job)
    waiting = iter(chunks)
    done: SimpleQueue[Any] = SimpleQueue()
    in_flight: dict[Any, tuple[int, Chunk]] = {}
    ended: dict[int, tuple[Chunk, Outcome]] = {}
    numbers = itertools.count()
    begun: float | None = None
    is_told = _forget_peak()
    while True:
        # All workers are warm before the clock starts; then one is begun as one ends.
        is_warm = len(ended) >= strategy.workers
        if is_warm and begun is None:
            begun = time.perf_counter()
        has_time = begun is None or time.perf_counter() - begun < seconds
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
        ended[number] = chunk, _only(chunk, strategy.collect([pending])[0])
        see(*ended[number])
    first = [ended[number] for number in sorted(ended)][: strategy.workers]
    later = [ended[number] for number in sorted(ended)][strategy.workers :]
    counted = later or first
    peaks = [outcome.attempts[-1].peak_nbytes for _, outcome in ended.values()]
    own = _read_peak() if is_told else peak_nbytes()
    known = [peak for peak in peaks if peak is not None]
    return Tried(
        tuple(chunk for chunk, _ in counted),
        tuple(outcome for _, outcome in counted),
        _seconds_more(first, later),
        (max(known, default=None) if strategy.crosses_processes else own),
    )


def _only(chunk: Chunk, found: Any) -> Outcome:
    outcome = found if isinstance(found, BaseException) else found[0]
    if isinstance(outcome, BaseException):
        raise PlanError(f"the forecast tried {chunk}, and it was lost: {outcome}") from outcome
    if outcome.failure is not None:
        raise PlanError(
            f"the forecast tried {chunk}, and it failed: {outcome.failure}\n"
            f"{outcome.failure.traceback.rstrip()}"
        ) from outcome.failure.error
    tried: Outcome = outcome
    return tried


def _seconds_more(first: list[tuple[Chunk, Outcome]], later: list[tuple[Chunk, Outcome]]) -> float:
    """What warm-ups took more than their bytes explain."""
    line = fit_middle([(chunk.nbytes, outcome.duration_s) for chunk, outcome in later])
    if line is None:
        return 0.0
    more = [outcome.duration_s - line.predict(chunk.nbytes) for chunk, outcome in first]
    # Workers share what is left, so that what one loses all of them make good.
    return max(0.0, sum(more) / len(more))


def _forget_peak() -> bool:
    """Let the system count this process's peak of memory anew; whether it can (Linux alone)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _read_peak() is not None


def _read_peak() -> int | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
