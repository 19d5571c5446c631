"""Extrapolate from slices to a run: the cost of a chunk, the run's chunks, and their memory."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

from taskinity_data.chunks.size import Line, fit_line, fit_middle
from taskinity_data.chunks.sizing import Observation, Size
from taskinity_data.execution.schedulers.connect import PROCESS_NBYTES
from taskinity_data.forecast.forecast import Range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.sizing import Learner
    from taskinity_data.forecast.output import SizeEstimate
    from taskinity_data.forecast.side_by_side import Trial
    from taskinity_data.forecast.trial import TrialResult

__all__ = ["estimate_memory", "expected_sizes", "fit_seconds", "is_by_chunk", "lay_out"]

MIN_SLICES = 4
"""With fewer slices in parallel, those one at a time are used, too, to fit time to bytes."""

UNEVEN = 0.3
"""The relative scatter of slices above which they differ by position more than by chance."""

LEARNED = 128
"""The number of chunks after which sizes hardly change."""

SPARE_MEMORY, MORE_MEMORY = 0.72, 1.4
"""The memory of a run relative to the trial: the lower end if its chunks stay below the largest
slice, the upper one for what an allocator keeps in a longer run and for chunks half as large again.
"""

MIN_SCALE, MAX_SCALE = 0.8, 2.0
"""Bounds of the memory of a run's largest chunk relative to that of the largest slice; the lower
one since the memory around it counts, too."""


def fit_seconds(tried: TrialResult, alone: TrialResult) -> Line:
    """Fit the seconds of a chunk to its bytes. If few slices ran in parallel, only their level is
    used, and the shape is that of all slices.
    """
    line = fit_middle(tried.points)
    assert line is not None
    if len(tried.points) >= MIN_SLICES:
        # Small slices of expensive data and large ones of cheap data look like a fixed cost.
        return line if line.scatter < UNEVEN else fit_line(tried.points) or line
    points = tried.points if tried.points == alone.points else tried.points + alone.points
    every = fit_middle(points)
    assert every is not None
    expected_s = sum(every.predict(nbytes) for nbytes, _ in tried.points)
    level = sum(seconds for _, seconds in tried.points) / expected_s if expected_s else 1.0
    return Line(every.fixed * level, every.per_byte * level, every.scatter)


def is_by_chunk(line: Line, tried: TrialResult, alone: TrialResult) -> bool:
    """Return whether the cost of slices is (or may be) mostly independent of their bytes."""
    sizes = {nbytes for result in (tried, alone) for nbytes, _ in result.points}
    return len(sizes) == 1 or line.fixed > line.per_byte * max(sizes)


def expected_sizes(learner: Learner, line: Line, total_nbytes: int, workers: int) -> list[Size]:
    """Return the sizes of a run's chunks, in order, if each takes what `line` predicts.

    Parameters
    ----------
    learner : Learner
        The learner at the start of a run.
    line : Line
        Seconds of a chunk.
    total_nbytes, workers : int

    Examples
    --------
    >>> from taskinity_data.chunks.sizing import Learner
    >>> learner = Learner(Size(16_000_000, "16 MB"))
    >>> len(expected_sizes(learner, Line(0.05, 1e-9, 0.0), 10**9, 2))
    18
    """
    in_flight = workers if workers == 1 else 2 * workers
    sizes: list[Size] = []
    remaining = total_nbytes
    while remaining > 0:
        if len(sizes) >= in_flight:
            ended = sizes[-in_flight].target_nbytes
            learner = learner.observe(Observation(ended, line.predict(ended)))
        size = learner.next_size(remaining, workers, min(len(sizes), in_flight))
        count = 1 if len(sizes) < LEARNED else max(1, remaining // size.target_nbytes)
        sizes += [size] * count
        remaining -= count * size.target_nbytes
    return sizes


def lay_out(seconds: Sequence[float], workers: int) -> float:
    """Return when the last of `workers` ends, if each takes the next chunk when it is free.

    >>> lay_out([1.0, 1.0, 1.0], 2)
    2.0
    """
    free = [0.0] * workers
    for chunk_s in seconds:
        heapq.heapreplace(free, free[0] + chunk_s)
    return max(free)


def estimate_memory(
    trial: Trial, before: int | None, output_size: SizeEstimate, largest_nbytes: int
) -> Range:
    """Return the peak memory of a worker with chunks of `largest_nbytes`; if it is this process,
    which used `before` bytes, it holds the answer, too.
    """
    peak = trial.tried.peak_nbytes or 0
    tried_nbytes = trial.tried.largest_nbytes
    base = PROCESS_NBYTES if trial.crosses_processes else before
    if base is not None and base < peak and tried_nbytes:
        scale = min(MAX_SCALE, max(MIN_SCALE, largest_nbytes / tried_nbytes))
        peak = base + int((peak - base) * scale)
    answer = 0.0 if trial.crosses_processes else math.sqrt(output_size.low * output_size.high)
    return Range(SPARE_MEMORY * peak + answer, MORE_MEMORY * peak + answer)
