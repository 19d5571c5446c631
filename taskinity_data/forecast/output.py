"""Estimate the size of an answer over the whole data from the results of slices."""

from __future__ import annotations

import math
import pickle
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.size import Line, fit_line
from taskinity_data.data_kinds import measure_nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "SizeEstimate",
    "answer_nbytes",
    "estimate_concatenated",
    "estimate_growth",
    "estimate_merged",
]

SAME, MIN_SIZE_RATIO = 1.02, 2
"""Results that differ by no more than the first factor, of slices that differ by more than the
second, don't depend on bytes."""

MEASURED, POINTER_NBYTES = 1000, 8
"""The most items of a list that are measured, to extrapolate; and the size of a pointer."""

_PLAIN = (int, float, bool, str, bytes, type(None))


class SizeEstimate(NamedTuple):
    """The range of a size, and the ratios by which single slices differ from it."""

    low: float
    high: float
    ratios: tuple[float, ...] = ()


def estimate_concatenated(
    results: Sequence[list[Any]], nbytes: Sequence[int], total: int, chunks: int
) -> SizeEstimate:
    """Estimate the size of all `chunks`' results in one list, from those of slices of `nbytes`.

    >>> import numpy as np
    >>> results = [[np.zeros(1000)], [np.zeros(500)]]
    >>> round(estimate_concatenated(results, [1000, 500], 10_000, 7).low, -3)
    80000.0
    """
    sizes = [answer_nbytes(result) for result in results]
    if not any(sizes):
        return SizeEstimate(0.0, 0.0)
    line = fit_line(list(zip(nbytes, map(float, sizes), strict=True)))
    assert line is not None
    if max(sizes) <= SAME * min(sizes) and max(nbytes) > MIN_SIZE_RATIO * min(nbytes):
        line = Line(sum(sizes) / len(sizes), 0.0, 0.0)
    whole = line.fixed * chunks + line.per_byte * total
    ratios = [size / max(1.0, line.predict(x)) for x, size in zip(nbytes, sizes, strict=True)]
    return SizeEstimate(whole, whole, tuple(ratios))


def estimate_merged(
    reducer: Any, partials: Sequence[Any], nbytes: Sequence[int], total: int
) -> SizeEstimate:
    """Estimate the size of the combined partials of all chunks, such as groups of a group-by."""
    largest = max(range(len(nbytes)), key=nbytes.__getitem__)
    together = reducer.combine(partials) if len(partials) > 1 else partials[0]
    points = [
        (float(nbytes[largest]), float(answer_nbytes(partials[largest]))),
        (float(sum(nbytes)), float(answer_nbytes(together))),
    ]
    return estimate_growth(points, total)


def estimate_growth(points: Sequence[tuple[float, float]], total: float) -> SizeEstimate:
    """Estimate the size of the distinct values in `total` bytes of data.

    Parameters
    ----------
    points : two pairs of float
        Bytes of data and the size: of one slice, of all.

    Notes
    -----
    It is at least that of all slices, and at most a power of the bytes through both points [1]_,
    since fewer values are new the more of them are known.

    References
    ----------
    .. [1] H. S. Heaps, "Information Retrieval: Computational and Theoretical Aspects", 1978.

    >>> [round(end) for end in estimate_growth([(1, 100.0), (8, 100.0)], 80)[:2]]
    [100, 100]
    >>> [round(end) for end in estimate_growth([(1, 100.0), (16, 400.0)], 64)[:2]]
    [400, 800]
    """
    (x1, y1), (x2, y2) = points
    if total <= x2 or not y2:
        return SizeEstimate(y2, y2)
    power = 1.0 if x1 == x2 or not y1 else math.log(y2 / y1) / math.log(x2 / x1)
    return SizeEstimate(y2, y2 * (total / x2) ** min(1.0, max(0.0, power)))


def answer_nbytes(value: Any) -> int:
    """Return the bytes of an answer in memory, including its index; pickled, for other objects.

    >>> import numpy as np
    >>> answer_nbytes([np.zeros(100), np.zeros(100)])
    1616
    """
    if hasattr(value, "memory_usage"):
        usage = value.memory_usage(deep=True)  # the index is part of an answer
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    nbytes = measure_nbytes(value)
    if nbytes is not None:
        return nbytes
    if type(value) in _PLAIN:
        return sys.getsizeof(value)
    if type(value) is list:
        some = value[:MEASURED]
        share = len(value) / max(1, len(some))
        return int(share * sum(POINTER_NBYTES + answer_nbytes(item) for item in some))
    try:
        return len(pickle.dumps(value))
    except Exception:  # noqa: BLE001 - a user's object may refuse in any way
        return sys.getsizeof(value)
