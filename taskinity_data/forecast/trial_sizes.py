"""Choose the sizes of a trial's slices, which grow until they are as large as a run's chunks."""

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
"""The first two slices. The first one imports and warms up; if it takes long, that may be due to
its records (a millisecond each is 4 s in 256 KiB), and the second is smaller instead of larger.
"""

GROWTH, FIXED_GROWTH = 8, 64
"""The largest factor between a completed slice and the next: two steps lead from the pilot to 16
MB; and the factor if bytes are the smaller part of a slice's cost."""

ROUNDS = 4
"""A run's chunks, which at most double from round to round, do not become larger than the share
that remains after this number of rounds."""

MAX_S = 0.3
"""The most seconds that a slice's bytes may take: twice a usual chunk's, so that several fit into a
trial even if a run's chunks are longer."""

SETTLED = 1.5
"""Slices stop growing below this factor."""

PARTS = (1, 4, 2)
"""Slices are whole, a quarter, a half, and so on: a line through them shows the cost that does not
depend on bytes."""

MIN_PART = 6
"""Slices below this part of the settled size do not count."""


class TrialSizes:
    """The sizes of slices, one after another, from the costs of those before.

    Parameters
    ----------
    learner : Learner
        The learner at the start of a run.
    total_nbytes, workers : int
        Those of the run.
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
        """The size of a run's first chunks."""
        return min(self._learner.first.target_nbytes, self._total_nbytes)

    def observe(self, chunk: Chunk, outcome: Outcome) -> None:
        """Add the cost of the slice `chunk`."""
        if chunk.nbytes:
            self._points.append((chunk.nbytes, outcome.duration_s))

    def next_nbytes(self) -> int | None:
        """Return the size of the next slice; None: a whole chunk."""
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
        """Whether slices have reached the size of a run's chunks."""
        return self._is_whole or self._settled is not None

    def counts(self, nbytes: int) -> bool:
        """Return whether a slice of that size is similar to a run's chunks."""
        if self._is_whole:
            return True
        largest = max((nbytes_ for nbytes_, _ in self._points), default=0)
        return nbytes * MIN_PART >= (self._settled or largest)

    def _grow(self) -> int | None:
        """Return the next size while slices grow; None once they are as large as a run's chunks."""
        if len(self._points) < 2:
            if not self._points:
                return min(FIRST_NBYTES, self._total_nbytes)
            nbytes, seconds = self._points[0]
            is_quick = seconds < MAX_S
            return min(PILOT_NBYTES, self._total_nbytes) if is_quick else max(1, nbytes // GROWTH)
        # Other work on the machine only adds to a slice's time.
        cheapest: dict[int, float] = {}
        for nbytes, seconds in self._points[1:]:
            cheapest[nbytes] = min(seconds, cheapest.get(nbytes, seconds))
        line = fit_middle(list(cheapest.items()))
        assert line is not None
        largest = max(cheapest)
        longest = max(MAX_S / line.per_byte, FIRST_NBYTES) if line.per_byte else math.inf
        if len(cheapest) == 1 and longest < SETTLED * largest:
            # A smaller slice shows whether its time depends on its bytes.
            return max(1, largest // GROWTH)
        growth = FIXED_GROWTH if line.fixed > line.per_byte * largest else GROWTH
        grown = min(growth * largest, longest, self._total_nbytes)
        if len(cheapest) > 1 and line.fixed > line.per_byte * largest:
            # So little of it depends on bytes that this may be chance, too.
            grown = max(grown, min(GROWTH * largest, self._total_nbytes))
        if len(cheapest) > 1 or grown < SETTLED * largest:
            chunk_nbytes = min(
                self._chunk_nbytes(line, largest), self._total_nbytes // (ROUNDS * self._workers)
            )
            grown = min(grown, max(self.first_nbytes, chunk_nbytes))
        self._fitting = int(max(1, grown))
        if grown >= SETTLED * largest:
            return self._fitting
        # It must not end at a slice that was delayed by chance.
        is_sure = sum(nbytes * SETTLED >= largest for nbytes, _ in self._points[1:]) > 1
        return None if is_sure else largest

    def _chunk_nbytes(self, line: Line, largest: int) -> int:
        """Return the size of a run's chunks after some that cost what `line` predicts."""
        learner = self._learner
        for part in (1, 2, 1, 4, 2, 1):
            learner = learner.observe(Observation(largest // part, line.predict(largest // part)))
        # One chunk in flight, if this would otherwise be one of the smaller ones for learning.
        return max(
            learner.next_size(self._total_nbytes, self._workers, busy).target_nbytes
            for busy in (0, 1)
        )
