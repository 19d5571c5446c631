"""What a chunk costs as a line in its bytes, fitted so that noise and drift do not mislead.

It knows neither what the cost is (seconds, memory) nor what is made of the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Line", "fit_line"]

DECAY = 0.98
"""By what the weight of a point falls when one more comes: a half-life of 34 points follows a cost
that drifts along the file. Simulated makespans are the same for 0.97 to 0.99, within 0.5 %."""

CONFIDENCE = 2.0
"""Standard errors by which a fixed cost must stand out from noise."""


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

    Weights fall with age, and follow the line found before (three rounds of re-weighting). The
    fixed part is what stands out from noise, from drift, and is not above `most`; where sizes
    do not tell it from the slope, the line goes through the origin.
    """
    if not points:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    # In units of the means: sizes and costs of any magnitude are as exact.
    scaled = [(x / mean_x, y / mean_y) for x, y in points]
    ages = [DECAY ** (len(points) - 1 - index) for index in range(len(points))]
    fit = Line(0.0, 1.0, 0.0)
    for _ in range(3):
        fit = _refit(scaled, ages, fit, most / mean_y)
    return Line(fit.fixed * mean_y, fit.per_byte * mean_y / mean_x, fit.scatter)


def _refit(points: list[tuple[float, float]], ages: list[float], fit: Line, most: float) -> Line:
    """One round of re-weighted least squares; x and y in units of their means."""
    rows = [
        (age / max(fit.predict(x), 0.01) ** 2, x, y)
        for age, (x, y) in zip(ages, points, strict=True)
    ]
    total = sum(u for u, _, _ in rows)
    mean_x = sum(u * x for u, x, _ in rows) / total
    mean_y = sum(u * y for u, _, y in rows) / total
    sxx = sum(u * (x - mean_x) ** 2 for u, x, _ in rows)
    fixed = 0.0
    if len(points) >= 4 and sxx > 1e-6 * total * mean_x**2:
        slope = max(0.0, sum(u * (x - mean_x) * (y - mean_y) for u, x, y in rows) / sxx)
        intercept = mean_y - slope * mean_x
        squares = sum(u * (y - intercept - slope * x) ** 2 for u, x, y in rows)
        error = math.sqrt(squares / (len(points) - 2) * (1 / total + mean_x**2 / sxx))
        fixed = max(0.0, min(intercept - CONFIDENCE * error, _cheapest(points), most))
    line = Line(fixed, max(0.0, mean_y - fixed) / mean_x, 0.0)
    squares = sum(
        age * ((y - line.predict(x)) / max(line.predict(x), 0.01)) ** 2
        for age, (x, y) in zip(ages, points, strict=True)
    )
    return replace(line, scatter=math.sqrt(squares / sum(ages)))


def _cheapest(points: list[tuple[float, float]]) -> float:
    """The fixed cost that the cheapest chunks, small against large, leave room for.

    Where cost drifts while sizes shrink, the small chunks of a dear region look like a fixed
    cost in the mean; the cheapest of them do not.
    """
    middle = sum(x for x, _ in points) / len(points)
    large_x, large_y = min((p for p in points if p[0] >= middle), key=lambda p: p[1] / p[0])
    small = ((y * large_x - large_y * x) / (large_x - x) for x, y in points if x < middle)
    return min(small, default=0.0)
