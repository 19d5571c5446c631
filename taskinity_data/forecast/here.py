"""What the process that drives a run does itself: measured on a chunk, and on slices' partials.

It knows nothing of workers.
"""

from __future__ import annotations

import math
import pickle
import sys
import time
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.opened import GRAIN_NBYTES
from taskinity_data.execution.process import measure_nbytes
from taskinity_data.forecast.slices import slice_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.process import Job
    from taskinity_data.forecast.trial import Tried

__all__ = ["Here", "answer_nbytes", "combine_seconds", "pass_seconds"]

MOST_NBYTES, PLACES = 16 << 20, (0.5, 0.2, 0.8)
"""Bytes over which the pass that finds cuts is timed, at most, and where."""


class Here(NamedTuple):
    """What the driving process does: seconds, and bytes of the answer."""

    combine_s: float
    finish_s: float
    output_nbytes: float


def pass_seconds(plan: ChunkPlan) -> float:
    """What finding the cuts takes again in a run, of all files: the median of three places."""
    if plan.chunks[0].reader.unit != "bytes":
        return 0.0
    return median(_pass_rate(slice_at(plan.chunks, place, None)) for place in PLACES) * plan.nbytes


def _pass_rate(chunk: Chunk) -> float:
    """Seconds a byte of the pass over the first piece of `chunk`."""
    at = time.perf_counter()
    seen = 0
    for grain in chunk.reader.recut(chunk.pieces[0], GRAIN_NBYTES):
        seen += grain.nbytes
        if seen >= MOST_NBYTES:
            break
    return (time.perf_counter() - at) / max(1, seen)


def combine_seconds(job: Job, tried: Tried, total_nbytes: int) -> Here:
    """What combining the partials takes, and how large the answer gets.

    References
    ----------
    H. S. Heaps, "Information Retrieval: Computational and Theoretical Aspects", 1978: what is
    different in n items grows like a power of n. The power is that of the slices.
    """
    scale = total_nbytes / tried.nbytes
    if not job.reducers:
        results = sum(answer_nbytes(outcome.value[1]) for outcome in tried.outcomes)
        return Here(0.0, 0.0, results * scale)
    combine_s = finish_s = output = 0.0
    for number, reducer in enumerate(job.reducers):
        partials: Sequence[Any] = [outcome.value[0][number] for outcome in tried.outcomes]
        single = sum(answer_nbytes(partial) for partial in partials) / len(partials)
        at = time.perf_counter()
        together = reducer.combine(partials)
        combine_s += (time.perf_counter() - at) / len(partials)
        at = time.perf_counter()
        answer = reducer.finish(together)
        seconds = time.perf_counter() - at
        power = 0.0
        if len(partials) > 1 and single:
            power = math.log(max(1.0, answer_nbytes(together) / single)) / math.log(len(partials))
        growth = scale ** min(1.0, power)
        finish_s += seconds * growth
        output += answer_nbytes(answer) * growth
    return Here(combine_s, finish_s, output)


def answer_nbytes(value: Any) -> int:
    """Bytes of an answer in memory, its index among them; of plain values as they are pickled."""
    if hasattr(value, "memory_usage"):
        usage = value.memory_usage(deep=True)  # the index is part of an answer
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    found = measure_nbytes(value)
    if found is not None:
        return found
    try:
        return len(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - a user's object may refuse in any way
        return sys.getsizeof(value)
