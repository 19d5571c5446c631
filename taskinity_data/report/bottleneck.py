"""Find what kept a run from being faster, by shares of its measured times.

They are looked at from the outside of the run to its inside: the first that reaches its threshold
is the answer, else the largest part of the work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.machine import count_cores
from taskinity_data.wording import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["Bound", "find_bound"]

_HALF, _IDLE, _SMALL_S, _MANY = 0.5, 0.35, 0.02, 50

_START = "Run it in threads (scheduler='threads'), or keep a client open over several runs."
_DRIVER = "Larger chunks (chunk_size=) make fewer results to combine in this process."
_SMALLER = "Smaller chunks (chunk_size=) give each worker some work, and end closer together."
_LARGER = "Larger chunks (chunk_size=) need less scheduling."
_READ_LESS = "Read less: columns=, filters=; Parquet reads faster than CSV or JSON."
_REDUCE_LESS = "A simpler reduction, fewer groups or another output format helps."


class Bound(NamedTuple):
    """The answer in one sentence, and what to do about it."""

    headline: str
    advice: str


def find_bound(
    seconds: Mapping[str, float],
    attempts: Sequence[AttemptRow],
    *,
    workers: int,
    scheduler: str,
    cores: int | None = None,
) -> Bound | None:
    """Return what bounded a run that spent `seconds` (`Run.timings`) and made `attempts`.

    `cores` are those of this machine, for runs whose workers are here. None if no chunk was run.
    """
    chunks = [attempt for attempt in attempts if attempt.number is not None]
    if not chunks:
        return None
    on_workers = [attempt for attempt in attempts if attempt.worker != "driver"]
    total_s = max(seconds.get("total", 0.0), 1e-9)
    outside = {
        "starting and stopping workers": (
            seconds.get("start_workers", 0.0) + seconds.get("close", 0.0),
            _START,
        ),
        "single tasks": (_covered(on_workers) - _covered(chunks), _shorten(on_workers)),
        "planning and combining here": (
            seconds.get("plan", 0.0) + seconds.get("combine", 0.0),
            _DRIVER,
        ),
    }
    for name, (spent_s, advice) in outside.items():
        if spent_s >= _HALF * total_s:
            return Bound(
                f"{name.capitalize()} took {_percent(spent_s / total_s)} of the run.", advice
            )
    mean_s = sum(chunk.duration_s for chunk in chunks) / len(chunks)
    idle = _idle_share(chunks, on_workers, workers)
    if idle >= _IDLE and workers > 1:
        return _explain_idle(idle, len(chunks), mean_s, workers)
    parts = {
        "reading": (sum(chunk.read_s for chunk in chunks), _READ_LESS),
        "the function": (
            sum(chunk.function_s for chunk in chunks),
            _advise_on_function(scheduler, workers, cores or count_cores()),
        ),
        "reducing and writing": (sum(chunk.partial_s for chunk in chunks), _REDUCE_LESS),
    }
    worked_s = max(sum(spent_s for spent_s, _ in parts.values()), 1e-9)
    name, (spent_s, advice) = max(parts.items(), key=lambda part: part[1][0])
    headline = f"{name.capitalize()} took {_percent(spent_s / worked_s)} of the work"
    if mean_s < _SMALL_S and len(chunks) > _MANY * workers:
        return Bound(f"{headline}, {format_seconds(mean_s)} a chunk.", _LARGER)
    return Bound(f"{headline}.", advice)


def _covered(attempts: Sequence[AttemptRow]) -> float:
    """Return the seconds in which at least one of `attempts` ran."""
    covered_s, ended_s = 0.0, float("-inf")
    for attempt in sorted(attempts, key=lambda attempt: attempt.started_s):
        covered_s += max(0.0, attempt.ended_s - max(ended_s, attempt.started_s))
        ended_s = max(ended_s, attempt.ended_s)
    return covered_s


def _shorten(attempts: Sequence[AttemptRow]) -> str:
    """Return what to do about single tasks; names the longest of them."""
    singles = [attempt for attempt in attempts if attempt.number is None]
    if not singles:
        return ""
    longest = max(singles, key=lambda single: single.duration_s)
    took = format_seconds(longest.duration_s)
    return f"Shorten {longest.task} ({took}), or divide its work among the chunks."


def _idle_share(
    chunks: Sequence[AttemptRow], attempts: Sequence[AttemptRow], workers: int
) -> float:
    """Return the share of their time for which workers ran nothing, from the start of the first of
    `chunks` to the end of the last.
    """
    first_s = min(chunk.started_s for chunk in chunks)
    last_s = max(chunk.ended_s for chunk in chunks)
    busy_s = sum(
        max(0.0, min(attempt.ended_s, last_s) - max(attempt.started_s, first_s))
        for attempt in attempts
    )
    return 1.0 - busy_s / max((last_s - first_s) * workers, 1e-9)


def _explain_idle(idle: float, count: int, mean_s: float, workers: int) -> Bound:
    headline = f"Workers were without work for {_percent(idle)} of their time"
    if count < 2 * workers:
        chunks, many = format_count(count, "chunk"), format_count(workers, "worker")
        return Bound(f"{headline}: {chunks} for {many}.", _SMALLER)
    if mean_s < _SMALL_S:
        took = format_seconds(mean_s)
        return Bound(f"{headline}: a chunk took {took}, little more than its scheduling.", _LARGER)
    return Bound(
        f"{headline}, waiting for their next chunk.",
        "See the chart of workers over time in the report. Causes are a slow source, a few long "
        "chunks at the end, retries, workers that died, or tasks that run once meanwhile.",
    )


def _advise_on_function(scheduler: str, workers: int, cores: int) -> str:
    if scheduler == "threads":
        return (
            "If it is pure Python, use scheduler='processes'; if it waits for a service, more "
            "workers. Operations on whole columns, by pandas or Arrow, are faster on any scheduler."
        )
    if workers < cores and scheduler in ("processes", "synchronous"):
        return f"Try workers={cores}, one per core."
    return "Operate on whole columns, with pandas or Arrow, or use a cluster with more cores."


def _percent(share: float) -> str:
    return f"{min(share, 1.0) * 100:.0f} %"
