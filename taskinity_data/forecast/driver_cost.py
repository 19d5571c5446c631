"""Measure the cost of the driver process, on a chunk and on the partials of slices."""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError
from taskinity_data.execution.worker.failures import describe_failure, format_user_traceback
from taskinity_data.forecast.output import (
    SizeEstimate,
    answer_nbytes,
    estimate_concatenated,
    estimate_merged,
)
from taskinity_data.forecast.slices import slice_at
from taskinity_data.sources.row_cache import GRAIN_NBYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.execution.worker.job import Job
    from taskinity_data.forecast.trial import TrialResult

__all__ = ["combine_seconds", "pass_seconds", "try_finish"]

MAX_PASS_NBYTES, POSITIONS = 16 << 20, (0.5, 0.2, 0.8)
"""The most bytes over which the pass that finds cuts is timed, and the positions."""

WHOLE = ("collect", "concat")
"""Reducers whose answer holds all results of chunks, concatenated."""


def pass_seconds(plan: ChunkPlan) -> float:
    """Return the seconds that finding all cuts takes, from the median of three positions."""
    if plan.chunks[0].reader.unit != "bytes":
        return 0.0
    return (
        median(_pass_rate(slice_at(plan.chunks, position, None)) for position in POSITIONS)
        * plan.nbytes
    )


def _pass_rate(chunk: Chunk) -> float:
    """Return the seconds per byte of the pass over the first piece of `chunk`."""
    at = time.perf_counter()
    nbytes = 0
    for grain in chunk.reader.recut(chunk.pieces[0], GRAIN_NBYTES):
        nbytes += grain.nbytes
        if nbytes >= MAX_PASS_NBYTES:
            break
    return (time.perf_counter() - at) / max(1, nbytes)


def combine_seconds(job: Job, tried: TrialResult) -> float:
    """Return the seconds that the driver needs to combine one more partial."""
    took_s = 0.0
    for number, reducer in enumerate(job.reducers):
        partials = _partials(tried, number)
        at = time.perf_counter()
        with _explain_failure(reducer):
            reducer.combine(partials)
        took_s += time.perf_counter() - at
    return took_s / len(tried.outcomes)


def try_finish(
    job: Job, tried: TrialResult, total_nbytes: int, chunks: int
) -> tuple[float, SizeEstimate]:
    """Return the seconds that the final answer takes, and its size; without a reducer, the size of
    all `chunks`' results together.
    """
    sizes = [chunk.nbytes for chunk in tried.chunks]
    if not job.reducers:
        results = [[outcome.value[1]] for outcome in tried.outcomes]
        return 0.0, estimate_concatenated(results, sizes, total_nbytes, chunks)
    finish_s = low = high = 0.0
    ratios: tuple[float, ...] = ()
    for number, reducer in enumerate(job.reducers):
        partials = _partials(tried, number)
        with _explain_failure(reducer):
            together = reducer.combine(partials)
            at = time.perf_counter()
            answer = reducer.finish(together)
            seconds = time.perf_counter() - at
        if reducer.name in WHOLE:
            size = estimate_concatenated(partials, sizes, total_nbytes, chunks)
            ratios = size.ratios
        else:
            size = estimate_merged(reducer, partials, sizes, total_nbytes)
        nbytes = max(1, answer_nbytes(together))
        finish_s += seconds * math.sqrt(size.low * size.high) / nbytes
        low += answer_nbytes(answer) * size.low / nbytes
        high += answer_nbytes(answer) * size.high / nbytes
    return finish_s, SizeEstimate(low, high, ratios)


@contextmanager
def _explain_failure(reducer: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise PlanError(
            f"the forecast failed when it applied {reducer.name} to the results of slices: "
            f"{describe_failure(error)}\n{format_user_traceback(error).rstrip()}"
        ) from error


def _partials(tried: TrialResult, number: int) -> list[Any]:
    return [outcome.value[0][number] for outcome in tried.outcomes]
