"""Fit what chunks cost as a line in their bytes, and give a size in bytes with its reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ROWS_NBYTES",
    "Line",
    "Size",
    "fit_line",
    "fit_middle",
    "format_rate",
    "format_seconds",
    "make_size",
    "memory_reason",
    "small_size",
    "whole_groups",
]

ROWS_NBYTES = 32 << 20
"""What a chunk of whole groups of rows takes in memory where workers are threads, unless its fixed
cost is worth more. Its function and its partial take twice as much again, and threads share the
process: two of them peaked at 600 MB in TPC-H's Q1 with first chunks of 100 MB, now at 355."""


SMALL_NBYTES, SMALL_FILES, SMALL_SHARE = 1 << 20, 8, 1 / 64
"""Up to so many bytes in so many files are one chunk where built-in reducers alone run: to read and
reduce them takes 5 ms, where each chunk more takes 2.6, and to measure their growth in memory 4.
They are at most so much of a worker's memory, since that is not measured."""


class Size(NamedTuple):
    """A target for the next chunk, in planned bytes, and the reason as text."""

    target_nbytes: int
    reason: str
    whole_nbytes: int = 0
    """Bytes up to which a group of rows that is decoded as a whole (a row group of Parquet, a
    stripe of ORC) is not cut, whatever the target; 0: all are."""


def make_size(nbytes: float, reason: str) -> Size:
    """Return `nbytes` as a whole number of at least 1, with its reason."""
    target = max(1, math.floor(min(nbytes, 2.0**62)))
    return Size(target, f"{format_nbytes(target)}: {reason}")


def small_size(files_nbytes: Sequence[int], worker_memory_nbytes: int | None) -> Size | None:
    """Return the size of one chunk that holds all files, None if they are too large for it.

    >>> small_size([900_000], None)
    Size(target_nbytes=900000, reason='900.0 kB: too little to be divided', whole_nbytes=0)
    >>> small_size([900_000], 1 << 20), small_size([1_000] * 100, None)
    (None, None)
    """
    nbytes = sum(files_nbytes)
    room = min(SMALL_NBYTES, SMALL_SHARE * (worker_memory_nbytes or math.inf))
    if not 0 < nbytes <= room or len(files_nbytes) > SMALL_FILES:
        return None
    return make_size(nbytes, "too little to be divided")


def whole_groups(size: Size, group_nbytes: int, whole_nbytes: float) -> Size:
    """Return `size` for groups of rows that are not cut up to `whole_nbytes`."""
    whole = math.floor(min(whole_nbytes, 2.0**62))
    if not size.target_nbytes < group_nbytes <= whole:
        return size._replace(whole_nbytes=whole)
    _, _, why = size.reason.partition(": ")
    reason = f"{format_nbytes(group_nbytes)}: a whole group of rows, not less; {why}"
    return Size(group_nbytes, reason, whole)


def memory_reason(worker_memory_nbytes: int, measured: str, share: float) -> str:
    """Return the reason for a size that memory limits, by what was `measured`."""
    whole = format_nbytes(worker_memory_nbytes)
    return f"{measured} within {share:g} of the {whole} that a worker has"


def format_rate(nbytes_s: float) -> str:
    """Return bytes per second as text."""
    return f"{nbytes_s / 1e6:.3g} MB/s"


def format_seconds(seconds: float) -> str:
    """Return a duration as text, in the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


DECAY = 0.98
"""The factor by which a point's weight decreases with each newer point: a half-life of 34 points
follows a cost that drifts along the file. Simulated makespans differ by 0.3 % on average from 0.97
to 0.99."""

CONFIDENCE = 2.0
"""Standard errors by which a fixed cost must exceed noise."""

MIN_POINTS = 4
"""With fewer points the fixed cost is 0: two more than a line has parameters."""

ROUNDS = 2
"""Rounds of re-weighting: a third changes simulated makespans by 0.04 % on average."""

OUTLIER_SHARE = 16
"""One in so many of the cheapest chunks is ignored as an outlier: with the cheapest of all, a run
with a fixed cost and noise had chunks of a few rows."""

SMALL, ONE_SIZE = 0.01, 1e-6
"""In units of the means: the lowest cost that residuals are divided by, and the relative variance
of sizes below which they count as equal."""


class Line(NamedTuple):
    """``fixed + per_byte · nbytes``, both at least 0, and the relative `scatter` around it."""

    fixed: float
    per_byte: float
    scatter: float

    def predict(self, nbytes: float) -> float:
        """Return the cost of a chunk of `nbytes`."""
        return self.fixed + self.per_byte * nbytes


def fit_line(points: Sequence[tuple[int, float]], max_fixed: float = math.inf) -> Line | None:
    """Fit the line through (bytes, cost) with the smallest squared relative residuals.

    Weights decrease with age, and are computed from the previous round's line. The fixed part is
    what is significant against noise and drift, and at most `max_fixed`; if the sizes are too
    similar to estimate it, the line goes through the origin.
    """
    return _fit(points, max_fixed, CONFIDENCE, DECAY) if points else None


def fit_middle(points: Sequence[tuple[int, float]]) -> Line | None:
    """Fit as `fit_line`, without a safety margin: the fixed part is as likely too large as too
    small, and all points have the same age. It is the expected cost, not a bound for sizes.

    >>> line = fit_middle([(100, 3.0), (200, 4.0)])
    >>> round(line.fixed, 6), round(line.per_byte, 6)
    (2.0, 0.01)
    """
    return _fit(points, math.inf, confidence=0.0, decay=1.0) if points else None


def _fit(
    points: Sequence[tuple[int, float]], max_fixed: float, confidence: float, decay: float
) -> Line:
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    if not mean_y:
        return Line(0.0, 0.0, 0.0)
    # In units of the means: equally exact for sizes and costs of any magnitude.
    scaled = [(x / mean_x, y / mean_y) for x, y in points]
    max_fixed /= mean_y
    if confidence:
        max_fixed = min(max_fixed, _cheapest(scaled)) if len(points) >= MIN_POINTS else 0.0
    line = Line(0.0, 1.0, 0.0)
    for _ in range(ROUNDS):
        line = _refit(scaled, line, max_fixed, confidence, decay)
    return Line(line.fixed * mean_y, line.per_byte * mean_y / mean_x, line.scatter)


def _refit(
    points: list[tuple[float, float]],
    line: Line,
    max_fixed: float,
    confidence: float,
    decay: float,
) -> Line:
    """Run one round of re-weighted least squares; x and y are in units of their means."""
    fixed, per_byte = line.fixed, line.per_byte
    age = 1.0
    ages = squares = w = wx = wy = wxx = wxy = wyy = 0.0
    for x, y in reversed(points):
        expected = max(fixed + per_byte * x, SMALL)
        weight = age / (expected * expected)
        residual = y - fixed - per_byte * x
        ages += age
        squares += weight * residual * residual
        w += weight
        wx += weight * x
        wy += weight * y
        wxx += weight * x * x
        wxy += weight * x * y
        wyy += weight * y * y
        age *= decay
    mean_x, mean_y = wx / w, wy / w
    sxx, sxy, syy = wxx - wx * mean_x, wxy - wx * mean_y, wyy - wy * mean_y
    fixed = 0.0
    if max_fixed > 0.0 and sxx > ONE_SIZE * wx * mean_x:
        slope = max(0.0, sxy / sxx)
        variance = max(0.0, syy - slope * sxy) / max(1, len(points) - 2)
        error = math.sqrt(variance * (1 / w + mean_x**2 / sxx))
        fixed = max(0.0, min(mean_y - slope * mean_x - confidence * error, max_fixed))
    return Line(fixed, max(0.0, mean_y - fixed) / mean_x, math.sqrt(squares / ages))


def _cheapest(points: list[tuple[float, float]]) -> float:
    """Return the largest fixed cost that fits the cheapest small and large chunks.

    If the cost drifts while sizes shrink, the small chunks of an expensive region look like a
    fixed cost in the mean; the cheapest of them do not.
    """
    middle = sum(x for x, _ in points) / len(points)
    large = sorted((p for p in points if p[0] >= middle), key=lambda p: p[1] / p[0])
    large_x, large_y = large[(len(large) - 1) // OUTLIER_SHARE]
    small = sorted((y * large_x - large_y * x) / (large_x - x) for x, y in points if x < middle)
    return small[(len(small) - 1) // OUTLIER_SHARE] if small else 0.0
