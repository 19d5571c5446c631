"""What the process that drives a run does itself: measured on a chunk, and on slices' partials.

It knows nothing of workers.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.dataset import GRAIN_NBYTES
from taskinity_data.errors import PlanError
from taskinity_data.execution.worker.failures import describe_failure, format_user_traceback
from taskinity_data.forecast.output import Grown, answer_nbytes, grow_merged, grow_side_by_side
from taskinity_data.forecast.slices import slice_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.worker.run_item import Job
    from taskinity_data.forecast.trial import Tried

__all__ = ["combine_seconds", "pass_seconds", "try_finish"]

MOST_NBYTES, PLACES = 16 << 20, (0.5, 0.2, 0.8)
"""Bytes over which the pass that finds cuts is timed, at most, and where."""

WHOLE = ("collect", "concat")
"""Reducers whose answer holds all that chunks gave, side by side."""


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


def combine_seconds(job: Job, tried: Tried) -> float:
    """What the driver takes to combine one more partial."""
    took_s = 0.0
    for number, reducer in enumerate(job.reducers):
        partials = _partials(tried, number)
        at = time.perf_counter()
        with _told(reducer):
            reducer.combine(partials)
        took_s += time.perf_counter() - at
    return took_s / len(tried.outcomes)


def try_finish(job: Job, tried: Tried, total_nbytes: int, chunks: int) -> tuple[float, Grown]:
    """What making the answer takes in the end, and how large it gets; without a reducer, how large
    all `chunks`' results are together.
    """
    sizes = [chunk.nbytes for chunk in tried.chunks]
    if not job.reducers:
        results = [[outcome.value[1]] for outcome in tried.outcomes]
        return 0.0, grow_side_by_side(results, sizes, total_nbytes, chunks)
    finish_s = low = high = 0.0
    ratios: tuple[float, ...] = ()
    for number, reducer in enumerate(job.reducers):
        partials = _partials(tried, number)
        with _told(reducer):
            together = reducer.combine(partials)
            at = time.perf_counter()
            answer = reducer.finish(together)
            seconds = time.perf_counter() - at
        if reducer.name in WHOLE:
            grown = grow_side_by_side(partials, sizes, total_nbytes, chunks)
            ratios = grown.ratios
        else:
            grown = grow_merged(reducer, partials, sizes, total_nbytes)
        held = max(1, answer_nbytes(together))
        finish_s += seconds * math.sqrt(grown.low * grown.high) / held
        low += answer_nbytes(answer) * grown.low / held
        high += answer_nbytes(answer) * grown.high / held
    return finish_s, Grown(low, high, ratios)


@contextmanager
def _told(reducer: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PlanError(
            f"the forecast gave {reducer.name} what slices gave, and it failed: "
            f"{describe_failure(error)}\n{format_user_traceback(error).rstrip()}"
        ) from error


def _partials(tried: Tried, number: int) -> list[Any]:
    return [outcome.value[0][number] for outcome in tried.outcomes]
