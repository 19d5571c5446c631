"""Plays a run through, with what slices took, to see how long it is and in how many chunks: pure.

Sizes follow the same learner as in a run, so that the first chunks, the growth, the taper and the
workers that wait at the end are in the answer. It knows nothing of how anything was measured.
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

__all__ = ["Costs", "Played", "play"]

PLAYED, RECENT, LAST = 256, 32, 16
"""Chunks after which sizes hardly change any more, those whose mean stands for all that follow, and
for each worker the last ones, which taper off: these are played again."""

QUEUED = 1
"""Tasks that wait behind the running one, of each worker, as the driver has it."""


class Costs(NamedTuple):
    """What a chunk costs.

    Attributes
    ----------
    time : Line
        Seconds on its worker.
    ratios : sequence of float
        By what single chunks differ from that, one after another, over and over.
    memory : Line
        Peak bytes of its worker.
    task_s, combine_s : float
        Seconds of the driver: for each task before it is out, for each chunk once it is back.
    """

    time: Line
    ratios: Sequence[float]
    memory: Line
    task_s: float
    combine_s: float


class Played(NamedTuple):
    """What a run would come to: seconds from the first task to the last result, its chunks, for how
    long workers (added up) and the driver are busy, and the bytes of the middle and of the largest
    one of its chunks.
    """

    seconds: float
    chunks: int
    by_workers: float
    here: float
    usual_nbytes: int
    largest_nbytes: int


def play(
    learner: Learner, costs: Costs, total_nbytes: int, workers: int, given: Sequence[int] = ()
) -> Played:
    """The run over `total_nbytes`, with chunks of `given` sizes, or those that it learns.

    Parameters
    ----------
    learner : Learner
        As a run begins with it: nothing observed yet.
    costs : Costs
    total_nbytes, workers : int
    given : sequence of int
        Bytes of each chunk, where the user has said how large they are.

    Examples
    --------
    >>> from taskinity_data.chunks.cost_line import Line
    >>> from taskinity_data.chunks.sizing import Learner, Size
    >>> costs = Costs(Line(0.05, 1e-9, 0.0), [1.0], Line(0.0, 1.0, 0.0), 0.0, 0.0)
    >>> play(Learner(Size(16_000_000, "16 MB")), costs, 10**9, 2).chunks
    18
    >>> play(Learner(Size(1, "given")), costs, 400, 2, [100] * 4).seconds.__round__(3)
    0.1
    """
    game = _Game(learner, costs, workers)
    sizes = iter(given)
    left = total_nbytes
    while left > 0 or game.ends:
        if left <= 0 or not game.has_room:
            game.take_back()
            continue
        task: list[int] = []
        wanted = 1
        while left > 0 and len(task) < wanted:
            target = game.learner.next_size(left, workers, game.in_flight).target_nbytes
            size = min(left, next(sizes, left) if given else target)
            if not task and game.learner.count:
                wanted = game.learner.batch_size(size, left, workers)
            task.append(size)
            left -= size
            game.in_flight += 1
        game.hand_out(task)
        if not given and game.chunks >= PLAYED and not game.has_skipped:
            left -= game.skip(left)
    usual, largest = int(median(game.sizes or [0])), max(game.sizes, default=0)
    return Played(game.seconds, game.chunks, game.by_workers, game.here, usual, largest)


class _Game:
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
        """Whether the driver hands out one more before it takes one back."""
        has_ended = bool(self.ends) and self.ends[0][0] <= self._driver_s
        return len(self.ends) < self._window and not has_ended

    def hand_out(self, sizes: list[int]) -> None:
        """One task to the worker that is free first."""
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

    def take_back(self) -> None:
        """The task that ends first."""
        end_s, _, done = heapq.heappop(self.ends)
        took_s = len(done) * self._costs.combine_s
        self._driver_s = max(self._driver_s, end_s) + took_s
        self.seconds = max(self.seconds, self._driver_s)
        self.here += took_s
        self.in_flight -= len(done)
        for size, seconds in done:
            held = int(self._costs.memory.predict(size))
            self.learner = self.learner.observe(Observation(size, seconds, held))

    def skip(self, left: int) -> int:
        """Bytes that go by as the recent ones did, until the last chunks, which taper off."""
        self.has_skipped = True
        count = len(self._recent)
        usual = sum(size for size, _ in self._recent) / count
        took_s = sum(seconds for _, seconds in self._recent) / count
        skipped = max(0, int(left / usual) - LAST * self._workers)
        here_s = self._costs.task_s + self._costs.combine_s
        shift_s = skipped * max(took_s / self._workers, here_s)
        self._driver_s += shift_s
        self._free = [free + shift_s for free in self._free]
        self.ends = [(end + shift_s, number, done) for end, number, done in self.ends]
        self.chunks += skipped
        self.by_workers += skipped * took_s
        self.here += skipped * here_s
        return int(skipped * usual)
