"""Compute ranges for the whole from measured slices: time, memory, output, and the bottleneck.

This is pure arithmetic and its text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.wording import format_nbytes, to_html, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.forecast.output import SizeEstimate

__all__ = [
    "Forecast",
    "Range",
    "RunSeconds",
    "bound",
    "doubts",
    "spread",
    "stretch",
    "wall_seconds",
]

MIN_SPREAD, MAX_SPREAD, DOUBTFUL_SPREAD = 0.3, math.sqrt(2) - 1, 2.0
"""The smallest and largest width of a range to each side, as a factor of one plus this: nine of ten
runs should be within; the upper end is at most twice the lower one. Only if slices differ by more
than that explains, the forecast states a doubt, and the width is up to the third of these."""

CLOSE = 1.3
"""The largest ratio of two estimates of a size for a range to cover both."""

ERRORS = 2.0
"""Standard errors of the mean that a range covers."""


class Range(NamedTuple):
    """The range in which a number is expected, including both ends."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The geometric mean of both ends."""
        return math.sqrt(self.low * self.high)


class RunSeconds(NamedTuple):
    """Seconds of a whole run.

    `read`, `function` and `partial` are spent by workers, summed over them; `here` by the driver
    process (finding cuts, combining); `start` and `finish` before and after; `idle` is the time in
    which some workers are idle at the beginning and the end.
    """

    read: float
    function: float
    partial: float
    here: float
    start: float
    finish: float
    idle: float = 0.0

    @property
    def by_workers(self) -> float:
        """Seconds of one worker."""
        return self.read + self.function + self.partial


def wall_seconds(work: RunSeconds, workers: int, cores: int | None) -> float:
    """Return the seconds from start to answer.

    Parameters
    ----------
    work : RunSeconds
    workers : int
    cores : int or None
        The cores that the workers share with this process; None if they have separate machines.
    """
    alone = max(work.by_workers / workers, work.here)
    if cores is not None and workers >= cores:
        alone = max(alone, (work.by_workers + work.here) / workers)
    return work.start + alone + work.idle + work.finish


def spread(middle: float, ratios: Sequence[float]) -> Range:
    """Return the range around `middle` for measured `ratios` (the cost per byte of each slice)."""
    factor = _factor(ratios)
    return Range(middle / factor, middle * factor)


def stretch(size: SizeEstimate) -> Range:
    """Return the range of a size: the wider, the less certain it is from slices."""
    factor = _factor(size.ratios)
    return Range(size.low / factor, size.high * factor)


def _factor(ratios: Sequence[float]) -> float:
    error = _error(ratios)
    if error > MAX_SPREAD:
        return 1 + min(error, DOUBTFUL_SPREAD)
    return 1 + min(MAX_SPREAD, MIN_SPREAD + error)


def _error(ratios: Sequence[float]) -> float:
    """Return `ERRORS` standard errors of the mean of `ratios`, as a share of it."""
    mean = sum(ratios) / len(ratios) if len(ratios) > 1 else 0.0
    if not mean:
        return 0.0
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    few = 1 + 1 / (len(ratios) - 1)  # few ratios show less than half of how they differ
    return few * ERRORS * math.sqrt(variance / len(ratios)) / mean


def doubts(ratios: Sequence[float], size: SizeEstimate) -> Iterator[str]:
    """Yield reasons why values may be outside of their ranges, or why a range is unknown."""
    if _error(ratios) > MAX_SPREAD:
        yield (
            f"slices took from {min(ratios):.2g} to {max(ratios):.2g} times what their bytes "
            "explain: it may take less or longer than that"
        )
    if _error(size.ratios) > MAX_SPREAD:
        yield "results of slices differ greatly in size: the output may be smaller or larger"
    if size.high > CLOSE * size.low:
        yield "slices don't show how far the number of groups grows: the output is uncertain"


def bound(work: RunSeconds, workers: int) -> str:
    """Describe what takes most of the time."""
    total = work.by_workers
    if work.here > total / workers:
        return f"this process: finding cuts and combining take {_format_seconds(work.here)}"
    parts = {"reading": work.read, "the function": work.function, "partials": work.partial}
    name, seconds = max(parts.items(), key=lambda part: part[1])
    return f"{name}: {seconds / total:.0%} of the work" if total else "starting"


@dataclass(frozen=True)
class Forecast:
    """The expected time, memory and output of a run.

    Attributes
    ----------
    seconds : Range
        From the call to the answer.
    memory_nbytes : Range
        The peak of a worker process; with threads, of this process.
    output_nbytes : Range
        The size of the answer, or of all chunks' results.
    chunk_nbytes : int
        The planned size at which chunks would settle.
    chunk_reason : str
    workers : int
    scheduler : str
        The scheduler that would run it.
    work : RunSeconds
        The parts of the time.
    bottleneck : str
        What takes most of the time.
    tried : str
        The slices that were measured.
    is_answer : bool
        Whether `output_nbytes` is of the answer, or of what chunks return to a plain function.
    doubts : tuple of str
        Reasons why the numbers may be outside of their ranges.
    """

    seconds: Range
    memory_nbytes: Range
    output_nbytes: Range
    chunk_nbytes: int
    chunk_reason: str
    workers: int
    scheduler: str
    work: RunSeconds
    bottleneck: str
    tried: str
    is_answer: bool = True
    doubts: tuple[str, ...] = ()

    def _fields(self) -> list[tuple[str, str]]:
        where = "in this process" if self.scheduler in ("threads", "synchronous") else "a worker"
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        whose = "" if self.is_answer else " of chunks' results; the aggregate is not tried"
        return [
            ("time", f"{_seconds(self.seconds)} with {workers} ({self.scheduler})"),
            ("memory", f"{_nbytes(self.memory_nbytes)} {where}"),
            ("output", _nbytes(self.output_nbytes) + whose),
            ("chunks", self.chunk_reason),
            ("bound by", self.bottleneck),
            ("tried", self.tried),
            *(("unsure", doubt) for doubt in self.doubts),
        ]

    def __repr__(self) -> str:
        return to_text("Forecast", self._fields())

    def _repr_html_(self) -> str:
        return to_html("Forecast", self._fields())


def _seconds(range_: Range) -> str:
    return " to ".join(_format_seconds(end) for end in range_)


def _format_seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _nbytes(range_: Range) -> str:
    return " to ".join(format_nbytes(end) for end in range_)
