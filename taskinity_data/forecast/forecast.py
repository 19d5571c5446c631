"""What was measured on slices, as ranges for the whole: time, memory, output, and what bounds it.

Pure arithmetic, and how it is told; it knows nothing of how slices were tried.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.execution.choose_scheduler import POOL_PAYS_S
from taskinity_data.wording import format_nbytes, to_html, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.forecast.output import Grown

__all__ = [
    "Forecast",
    "Range",
    "RunSeconds",
    "bound",
    "doubts",
    "more_workers",
    "spread",
    "stretch",
    "wall_seconds",
]

LEAST_SPREAD, MOST_SPREAD = 0.25, math.sqrt(2) - 1
"""How far a range goes to each side at least, by factors of one plus this: what nine of ten runs
are meant to be within; and at most: the upper end is then twice the lower."""

WAITING = 0.7
"""The share of slices' time that they compute, below which they are said to wait: with others on
the machine, computing alone comes to four fifths."""

MOST_WORKERS = 1_000

CLOSE = 1.3
"""How far two guesses of a size lie apart at most for a range to take in both."""

ERRORS = 2.0
"""Standard errors of the mean that a range takes in."""


class Range(NamedTuple):
    """From where to where a number is expected, ends included."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The geometric mean: as many times the lower end as the upper is of it."""
        return math.sqrt(self.low * self.high)


class RunSeconds(NamedTuple):
    """Seconds of a whole run.

    `read`, `function` and `partial` are spent by workers, summed over them; `here` by the process
    that drives them (finding cuts, combining); `start` and `finish` before and after; `idle` is
    when some workers have nothing to do any more, or not yet.
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
    """Seconds from start to answer.

    Parameters
    ----------
    work : RunSeconds
    workers : int
    cores : int or None
        Those that the workers share with this process; None where they have machines of their own.
    """
    alone = max(work.by_workers / workers, work.here)
    if cores is not None and workers >= cores:
        alone = max(alone, (work.by_workers + work.here) / workers)
    return work.start + alone + work.idle + work.finish


def spread(middle: float, ratios: Sequence[float]) -> Range:
    """The range around `middle` for what was measured as `ratios` (cost a byte, of each slice)."""
    factor = _factor(ratios)
    return Range(middle / factor, middle * factor)


def stretch(grown: Grown) -> Range:
    """The range around what a size may come to: wider than any other where slices can't tell."""
    factor = _factor(grown.ratios)
    return Range(grown.low / factor, grown.high * factor)


def _factor(ratios: Sequence[float]) -> float:
    return 1 + min(MOST_SPREAD, LEAST_SPREAD + ERRORS * _error(ratios))


def _error(ratios: Sequence[float]) -> float:
    """The standard error of their mean, as a share of it."""
    mean = sum(ratios) / len(ratios) if len(ratios) > 1 else 0.0
    if not mean:
        return 0.0
    variance = sum((ratio - mean) ** 2 for ratio in ratios) / (len(ratios) - 1)
    return math.sqrt(variance / len(ratios)) / mean


def doubts(ratios: Sequence[float], grown: Grown) -> Iterator[str]:
    """Why ranges may be missed, or can't be told."""
    if ERRORS * _error(ratios) > MOST_SPREAD:
        yield (
            f"slices took from {min(ratios):.2g} to {max(ratios):.2g} times what their bytes "
            "explain: it may take less or longer than that"
        )
    if ERRORS * _error(grown.ratios) > MOST_SPREAD:
        yield "slices gave very different amounts: the output may be smaller or larger than that"
    if grown.high > CLOSE * grown.low:
        yield "slices can't tell how far the number of groups still grows: the output is open"


def bound(work: RunSeconds, workers: int, busy: float = 1.0) -> str:
    """What takes most of the time, in words; `busy` is the share of it that slices computed."""
    total = work.by_workers
    if work.here > total / workers:
        return f"this process: finding cuts and combining take {work.here:.3g} s"
    parts = {"reading": work.read, "the function": work.function, "partials": work.partial}
    name, most = max(parts.items(), key=lambda part: part[1])
    waits = f", and {1 - busy:.0%} of it is waiting" if busy < WAITING else ""
    return f"{name}: {most / total:.0%} of the work{waits}" if total else "starting"


def more_workers(
    work: RunSeconds,
    workers: int,
    cores: int | None,
    slowdown: float,
    is_in_threads: bool,
    busy: float = 1.0,
    chunks: int = MOST_WORKERS,
) -> str:
    """Whether more workers would help, and why.

    `slowdown` is what a slice takes beside others, against alone; `busy` the share of its time that
    it computed, and did not wait; `chunks` how many there are to share.
    """
    here, fixed = work.here, work.start + work.finish
    if fixed > work.by_workers / workers:
        return f"no: {fixed:.2g} s go to starting and finishing"
    if here * workers > work.by_workers:
        return "no: this process could not keep up with them"
    if is_in_threads and busy >= WAITING and workers > 1 and slowdown > 1 + (workers - 1) / 2:
        waits = (
            f"no: threads wait for each other, a slice takes {slowdown:.2g} times as long beside "
            "the others as alone"
        )
        if work.by_workers / workers < POOL_PAYS_S:
            return f"{waits}; it is over before processes would pay"
        return f'{waits}; scheduler="processes" would help'
    most = min(MOST_WORKERS, chunks, int(work.by_workers / here) if here else MOST_WORKERS)
    where = ""
    if cores is not None:
        # Of 1.9 cores that are kept busy no third worker is missing.
        room = max(cores, math.floor(cores / busy)) if busy < WAITING else cores
        if workers >= room:
            many = f"{cores} cores are" if cores > 1 else "the only core is"
            return f"not on this machine, whose {many} busy; on a cluster of more machines"
        if room < most:
            most, where = room, " on this machine"
    if most <= workers:
        return "no: there are no more chunks to share"
    return f"yes, up to about {most:,}{where}" + (": slices mostly wait" if busy < WAITING else "")


@dataclass(frozen=True)
class Forecast:
    """What a run is expected to take.

    Attributes
    ----------
    seconds : Range
        From the call to the answer.
    memory_nbytes : Range
        The peak of a worker process; with threads, of this process.
    output_nbytes : Range
        What comes back as the answer, or as all chunks' results.
    chunk_nbytes : int
        The planned size at which chunks would settle.
    chunk_reason : str
    workers : int
    scheduler : str
        Who would run it.
    of : str
        What would be done, by the names of functions and reducers.
    work : RunSeconds
        The seconds behind it.
    bottleneck, more_workers : str
        In words.
    tried : str
        What the numbers come from.
    is_answer : bool
        Whether `output_nbytes` is of the answer, or of what chunks return to a plain function.
    doubts : tuple of str
        Why the numbers may be off by more than the ranges say.
    """

    seconds: Range
    memory_nbytes: Range
    output_nbytes: Range
    chunk_nbytes: int
    chunk_reason: str
    workers: int
    scheduler: str
    of: str
    work: RunSeconds
    bottleneck: str
    more_workers: str
    tried: str
    is_answer: bool = True
    doubts: tuple[str, ...] = ()

    def _facts(self) -> list[tuple[str, str]]:
        where = "in this process" if self.scheduler in ("threads", "synchronous") else "a worker"
        who = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        whose = "" if self.is_answer else " of chunks' results; the aggregate is not tried"
        return [
            ("time", f"{_seconds(self.seconds)} with {who} ({self.scheduler})"),
            ("memory", f"{_nbytes(self.memory_nbytes)} {where}"),
            ("output", _nbytes(self.output_nbytes) + whose),
            ("chunks", self.chunk_reason),
            ("bound by", self.bottleneck),
            ("more workers", self.more_workers),
            ("tried", self.tried),
            *(("unsure", doubt) for doubt in self.doubts),
        ]

    def __repr__(self) -> str:
        return to_text("Forecast", self._facts())

    def _repr_html_(self) -> str:
        return to_html("Forecast", self._facts())


def _seconds(found: Range) -> str:
    return " to ".join(_tell_seconds(end) for end in found)


def _tell_seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _nbytes(found: Range) -> str:
    return " to ".join(format_nbytes(end) for end in found)
