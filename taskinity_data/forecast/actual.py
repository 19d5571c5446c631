"""What was predicted of a run against what became of it.

It knows nothing of how either was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["Met", "compare_forecast"]


class Met(NamedTuple):
    """One thing that was predicted: its range, and what it was; None where that is unknown.

    `what` is ``"time"`` (seconds), ``"memory"`` or ``"output"`` (bytes).
    """

    what: str
    low: float
    high: float
    actual: float | None

    @property
    def verdict(self) -> str:
        """Where it lies, in words.

        >>> Met("time", 2.0, 4.0, 3.0).verdict, Met("time", 2.0, 4.0, 5.0).verdict
        ('within', '25 % more')
        """
        if self.actual is None:
            return "unknown"
        if self.actual > self.high:
            return f"{self.actual / self.high - 1:.0%} more".replace("%", " %") if self.high else ""
        if self.actual < self.low:
            return f"{1 - self.actual / self.low:.0%} less".replace("%", " %")
        return "within"


def compare_forecast(
    forecast: Forecast, seconds: float, peak_nbytes: float | None, output_nbytes: float | None
) -> tuple[Met, ...]:
    """Time, memory and output of a run against its `forecast`."""
    return (
        Met("time", *forecast.seconds, seconds),
        Met("memory", *forecast.memory_nbytes, peak_nbytes),
        Met("output", *forecast.output_nbytes, output_nbytes),
    )
