"""Simulate a run with the costs of slices, to get its time and number of chunks.

Sizes come from the learner of a run, so that its first chunks, growth, taper and the workers that
wait at the end are included. This is pure arithmetic.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import cycle
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.chunks.sizing import Observation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.cost_line import Line
    from taskinity_data.chunks.sizing import Learner

__all__ = ["Costs", "SimulatedRun", "simulate"]

SIMULATED, RECENT, LAST = 256, 32, 16
"""Chunks after which sizes hardly change, the number of chunks whose mean is used for all that
follow, and the last chunks of each worker, which taper and are simulated again."""

QUEUED = 1
"""Tasks that wait behind the running one, for each worker, as in the driver."""


class Costs(NamedTuple):
    """The cost of a chunk.

    Attributes
    ----------
    time : Line
        Seconds on its worker.
    ratios : sequence of float
        The ratios of single chunks to that, used in turn.
    memory : Line
        Peak bytes of its worker.
    task_s, combine_s : float
        Seconds of the driver: for each task that it submits, for each chunk that it collects.
    """

    time: Line
    ratios: Sequence[float]
    memory: Line
    task_s: float
    combine_s: float


class SimulatedRun(NamedTuple):
    """The result of a simulated run: seconds from the first task to the last result, chunks, the
    time for which workers (summed) and the driver are busy, and the bytes of the median and of the
    largest chunk.
    """

    seconds: float
    chunks: int
    by_workers: float
    here: float
    usual_nbytes: int
    largest_nbytes: int


def simulate(
    learner: Learner, costs: Costs, total_nbytes: int, workers: int, chunk_sizes: Sequence[int] = ()
) -> SimulatedRun:
    """Simulate a run over `total_nbytes`, with chunks of `chunk_sizes`, or sizes that it learns.

    Parameters
    ----------
    learner : Learner
        The learner at the start of a run, without observations.
    costs : Costs
    total_nbytes, workers : int
    chunk_sizes : sequence of int
        Bytes of each chunk, if the user chose the size.

    Examples
    --------
    >>> from taskinity_data.chunks.cost_line import Line
    >>> from taskinity_data.chunks.sizing import Learner, Size
    >>> costs = Costs(Line(0.05, 1e-9, 0.0), [1.0], Line(0.0, 1.0, 0.0), 0.0, 0.0)
    >>> simulate(Learner(Size(16_000_000, "16 MB")), costs, 10**9, 2).chunks
    18
    >>> simulate(Learner(Size(1, "given")), costs, 400, 2, [100] * 4).seconds.__round__(3)
    0.1
    """
    simulation = _Simulation(learner, costs, workers)
    sizes = iter(chunk_sizes)
    remaining = total_nbytes
    while remaining > 0 or simulation.ends:
        if remaining <= 0 or not simulation.has_room:
            simulation.collect()
            continue
        task: list[int] = []
        count = 1
        while remaining > 0 and len(task) < count:
            target = simulation.learner.next_size(
                remaining, workers, simulation.in_flight
            ).target_nbytes
            size = min(remaining, next(sizes, remaining) if chunk_sizes else target)
            if not task and simulation.learner.count:
                count = simulation.learner.batch_size(size, remaining, workers)
            task.append(size)
            remaining -= size
            simulation.in_flight += 1
        simulation.submit(task)
        if not chunk_sizes and simulation.chunks >= SIMULATED and not simulation.has_skipped:
            remaining -= simulation.skip(remaining)
    usual, largest = int(median(simulation.sizes or [0])), max(simulation.sizes, default=0)
    return SimulatedRun(
        simulation.seconds,
        simulation.chunks,
        simulation.by_workers,
        simulation.here,
        usual,
        largest,
    )


class _Simulation:
    """One driver and its workers, in virtual seconds."""

    def __init__(self, learner: Learner, costs: Costs, workers: int) -> None:
        self.learner = learner
        self.ends: list[tuple[float, int, list[tuple[int, float]]]] = []
        self.sizes: list[int] = []
        self.in_flight = self.chunks = 0
        self.seconds = self.by_workers = self.here = 0.0
        self.has_skipped = False
        self._costs, self._workers = costs, workers
        self._ratios = cycle(costs.ratios or [1.0])
        self._window = workers if workers == 1 else workers * (1 + QUEUED)
        self._free = [0.0] * workers
        self._driver_s = 0.0
        self._recent: deque[tuple[int, float]] = deque(maxlen=RECENT)

    @property
    def has_room(self) -> bool:
        """Whether the driver submits another task before it collects one."""
        has_ended = bool(self.ends) and self.ends[0][0] <= self._driver_s
        return len(self.ends) < self._window and not has_ended

    def submit(self, sizes: list[int]) -> None:
        """Submit one task to the worker that is free first."""
        done = [(size, self._costs.time.predict(size) * next(self._ratios)) for size in sizes]
        took_s = sum(seconds for _, seconds in done)
        self._driver_s += self._costs.task_s
        end_s = max(self._driver_s, heapq.heappop(self._free)) + took_s
        heapq.heappush(self._free, end_s)
        self.chunks += len(done)
        heapq.heappush(self.ends, (end_s, self.chunks, done))
        self._recent += done
        self.sizes += sizes
        self.by_workers += took_s
        self.here += self._costs.task_s

    def collect(self) -> None:
        """Collect the task that ends first."""
        end_s, _, done = heapq.heappop(self.ends)
        took_s = len(done) * self._costs.combine_s
        self._driver_s = max(self._driver_s, end_s) + took_s
        self.seconds = max(self.seconds, self._driver_s)
        self.here += took_s
        self.in_flight -= len(done)
        for size, seconds in done:
            memory_nbytes = int(self._costs.memory.predict(size))
            self.learner = self.learner.observe(Observation(size, seconds, memory_nbytes))

    def skip(self, remaining: int) -> int:
        """Skip chunks like the recent ones, up to the last ones, which taper; return the bytes."""
        self.has_skipped = True
        count = len(self._recent)
        usual = sum(size for size, _ in self._recent) / count
        took_s = sum(seconds for _, seconds in self._recent) / count
        skipped = max(0, int(remaining / usual) - LAST * self._workers)
        here_s = self._costs.task_s + self._costs.combine_s
        shift_s = skipped * max(took_s / self._workers, here_s)
        self._driver_s += shift_s
        self._free = [free + shift_s for free in self._free]
        self.ends = [(end + shift_s, number, done) for end, number, done in self.ends]
        self.chunks += skipped
        self.by_workers += skipped * took_s
        self.here += skipped * here_s
        return int(skipped * usual)
