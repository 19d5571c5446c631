"""How large the slices of a trial are: they grow until they are as large as a run's chunks.

It knows nothing of where slices lie, or of who works on them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from taskinity_data.chunks.cost_line import fit_middle
from taskinity_data.chunks.sizing import Observation

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.cost_line import Line
    from taskinity_data.chunks.sizing import Learner
    from taskinity_data.outcome import Outcome

__all__ = ["SETTLED", "TrialSizes"]

FIRST_NBYTES, PILOT_NBYTES = 16 << 10, 256 << 10
"""The first two slices. The first one imports and warms up; where it takes long, that may be its
records (a millisecond each is 4 s in 256 KiB), and the second is smaller than it, and not larger.
"""

GROWTH, FIXED_GROWTH = 8, 64
"""The largest factor between a slice that has ended and the next: two make 16 MB of the pilot; and
where bytes are the smaller part of what a slice takes."""

ROUNDS = 4
"""A run's chunks, which double at most from round to round, do not come to be larger than what is
left after so many."""

LONGEST_S = 0.3
"""Seconds that a slice's bytes may take: twice a usual chunk's, so that several fit into a trial
where a run's chunks are longer still."""

SETTLED = 1.5
"""Below such a factor slices grow no more."""

PARTS = (1, 4, 2)
"""Slices are whole, a quarter, a half, and so on: what a chunk costs beside its bytes shows as a
line through them."""

SMALLEST_PART = 6
"""Slices below such a part of the settled size were on the way to it."""


class TrialSizes:
    """The sizes of slices, one after another, by what the ones before have cost.

    Parameters
    ----------
    learner : Learner
        As a run begins with it.
    total_nbytes, workers : int
        Of the run.
    is_whole : bool
        Slices are whole chunks, as they were cut.
    """

    def __init__(
        self, learner: Learner, total_nbytes: int, workers: int, *, is_whole: bool = False
    ) -> None:
        self._learner = learner
        self._total_nbytes, self._workers = total_nbytes, workers
        self._is_whole = is_whole
        self._points: list[tuple[int, float]] = []
        self._settled: int | None = None
        self._fitting = 1
        self._number = 0

    @property
    def first_nbytes(self) -> int:
        """Of a run's first chunks."""
        return min(self._learner.first.target_nbytes, self._total_nbytes)

    def see(self, chunk: Chunk, outcome: Outcome) -> None:
        """Take what the slice `chunk` has cost."""
        if chunk.nbytes:
            self._points.append((chunk.nbytes, outcome.duration_s))

    def next_nbytes(self) -> int | None:
        """Of the next slice; None: a whole chunk."""
        if self._is_whole:
            return None
        if self._settled is None:
            grown = self._grow()
            if grown is not None:
                return grown
            self._settled = self._fitting
        self._number += 1
        return max(1, self._settled // PARTS[(self._number - 1) % len(PARTS)])

    @property
    def is_settled(self) -> bool:
        """Whether slices have come to the size of a run's chunks."""
        return self._is_whole or self._settled is not None

    def counts(self, nbytes: int) -> bool:
        """Whether a slice of that size tells of a run's chunks, or was on the way to them."""
        if self._is_whole:
            return True
        largest = max((one for one, _ in self._points), default=0)
        return nbytes * SMALLEST_PART >= (self._settled or largest)

    def _grow(self) -> int | None:
        """Of a slice on the way; None once the ones before are as large as a run's chunks."""
        if len(self._points) < 2:
            if not self._points:
                return min(FIRST_NBYTES, self._total_nbytes)
            nbytes, seconds = self._points[0]
            is_quick = seconds < LONGEST_S
            return min(PILOT_NBYTES, self._total_nbytes) if is_quick else max(1, nbytes // GROWTH)
        # Other work on the machine only adds to a slice's time.
        cheapest: dict[int, float] = {}
        for nbytes, seconds in self._points[1:]:
            cheapest[nbytes] = min(seconds, cheapest.get(nbytes, seconds))
        line = fit_middle(list(cheapest.items()))
        assert line is not None
        largest = max(cheapest)
        longest = max(LONGEST_S / line.per_byte, FIRST_NBYTES) if line.per_byte else math.inf
        if len(cheapest) == 1 and longest < SETTLED * largest:
            # Whether it takes long for its bytes, or whatever it holds, a smaller one shows.
            return max(1, largest // GROWTH)
        growth = FIXED_GROWTH if line.fixed > line.per_byte * largest else GROWTH
        grown = min(growth * largest, longest, self._total_nbytes)
        if len(cheapest) > 1 and line.fixed > line.per_byte * largest:
            # So little of it goes by the byte that chance may have made that, too.
            grown = max(grown, min(GROWTH * largest, self._total_nbytes))
        if len(cheapest) > 1 or grown < SETTLED * largest:
            asked = min(self._ask(line, largest), self._total_nbytes // (ROUNDS * self._workers))
            grown = min(grown, max(self.first_nbytes, asked))
        self._fitting = int(max(1, grown))
        if grown >= SETTLED * largest:
            return self._fitting
        # A slice that was held up by chance must not be what it ends at.
        is_sure = sum(nbytes * SETTLED >= largest for nbytes, _ in self._points[1:]) > 1
        return None if is_sure else largest

    def _ask(self, line: Line, largest: int) -> int:
        """What a run would make its chunks, once it has seen some that cost what `line` says."""
        learner = self._learner
        for part in (1, 2, 1, 4, 2, 1):
            learner = learner.observe(Observation(largest // part, line.predict(largest // part)))
        # One chunk in flight where else this would be one of the smaller ones that a run learns by.
        return max(
            learner.next_size(self._total_nbytes, self._workers, busy).target_nbytes
            for busy in (0, 1)
        )
