"""What a chunk costs as a line in its bytes, fitted so that noise and drift do not mislead.

It knows neither what the cost is (seconds, memory) nor what is made of the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "fit_line", "fit_middle"]

DECAY = 0.98
"""By what the weight of a point falls when one more comes: a half-life of 34 points follows a cost
that drifts along the file. Simulated makespans differ by 0.3 % on average from 0.97 to 0.99."""

CONFIDENCE = 2.0
"""Standard errors by which a fixed cost must stand out from noise."""

FEWEST = 4
"""Points without which there is no fixed cost: two more than a line has parameters."""

ROUNDS = 2
"""Of re-weighting: a third moves simulated makespans by 0.04 % on average."""

LUCKY = 16
"""One in so many of the cheapest chunks is taken for luck: by the cheapest of all, a run with a
fixed cost under noise had chunks of a few rows."""

SMALL, ONE_SIZE = 0.01, 1e-6
"""In units of the means: the least cost that residuals are measured by, and the relative variance
of sizes below which they are all one."""


@dataclass(frozen=True, slots=True)
class Line:
    """``fixed + per_byte · nbytes``, both at least 0, and the relative `scatter` around it."""

    fixed: float
    per_byte: float
    scatter: float

    def predict(self, nbytes: float) -> float:
        """The cost of a chunk of `nbytes`."""
        return self.fixed + self.per_byte * nbytes


def fit_line(points: Sequence[tuple[int, float]], most: float = math.inf) -> Line | None:
    """The line through (bytes, cost) with the least squared relative residuals.

    Weights fall with age, and follow the line found before (rounds of re-weighting). The
    fixed part is what stands out from noise, from drift, and is not above `most`; where sizes
    do not tell it from the slope, the line goes through the origin.
    """
    if not points:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    # In units of the means: sizes and costs of any magnitude are as exact.
    scaled = [(x / mean_x, y / mean_y) for x, y in points]
    most = min(most / mean_y, _cheapest(scaled)) if len(points) >= FEWEST else 0.0
    line = Line(0.0, 1.0, 0.0)
    for _ in range(ROUNDS):
        line = _refit(scaled, line, most)
    return Line(line.fixed * mean_y, line.per_byte * mean_y / mean_x, line.scatter)


def fit_middle(points: Sequence[tuple[int, float]]) -> Line | None:
    """As `fit_line`, through the middle of the points: the fixed part as likely too large as too
    small, all points of the same age. It is what is to be expected, not what sizes can rely on.

    >>> line = fit_middle([(100, 3.0), (200, 4.0)])
    >>> round(line.fixed, 6), round(line.per_byte, 6)
    (2.0, 0.01)
    """
    if not points:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    if not mean_y:
        return Line(0.0, 0.0, 0.0)
    scaled = [(x / mean_x, y / mean_y) for x, y in points]
    line = Line(0.0, 1.0, 0.0)
    for _ in range(ROUNDS):
        line = _refit(scaled, line, math.inf, confidence=0.0, decay=1.0)
    return Line(line.fixed * mean_y, line.per_byte * mean_y / mean_x, line.scatter)


def _refit(
    points: list[tuple[float, float]],
    line: Line,
    most: float,
    confidence: float = CONFIDENCE,
    decay: float = DECAY,
) -> Line:
    """One round of re-weighted least squares; x and y in units of their means."""
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
    if most > 0.0 and sxx > ONE_SIZE * wx * mean_x:
        slope = max(0.0, sxy / sxx)
        variance = max(0.0, syy - slope * sxy) / max(1, len(points) - 2)
        error = math.sqrt(variance * (1 / w + mean_x**2 / sxx))
        fixed = max(0.0, min(mean_y - slope * mean_x - confidence * error, most))
    return Line(fixed, max(0.0, mean_y - fixed) / mean_x, math.sqrt(squares / ages))


def _cheapest(points: list[tuple[float, float]]) -> float:
    """The fixed cost that the cheapest chunks, small against large, leave room for.

    Where cost drifts while sizes shrink, the small chunks of a dear region look like a fixed
    cost in the mean; the cheapest of them do not.
    """
    middle = sum(x for x, _ in points) / len(points)
    large = sorted((p for p in points if p[0] >= middle), key=lambda p: p[1] / p[0])
    large_x, large_y = large[(len(large) - 1) // LUCKY]
    small = sorted((y * large_x - large_y * x) / (large_x - x) for x, y in points if x < middle)
    return small[(len(small) - 1) // LUCKY] if small else 0.0
