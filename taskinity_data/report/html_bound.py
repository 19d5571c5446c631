"""What kept a run from being faster, as rules over its measured times.

It knows nothing of how that is shown. Each rule is a share with a threshold; the first that holds,
from the outside of the run to its inside, is the answer, and all are given back with their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.report.words import tell_count, tell_nbytes, tell_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.report.html_tries import Try

__all__ = ["Bound", "Rule", "find_bound", "percent"]

_HALF, _IDLE, _TAIL, _SMALL_S = 0.5, 0.35, 0.2, 0.02


class Rule(NamedTuple):
    """One rule: what is compared, what it was, and from where on it holds; shares from 0 to 1."""

    name: str
    share: float
    threshold: float
    sums: str

    @property
    def holds(self) -> bool:
        """Whether the share reaches its threshold."""
        return self.share >= self.threshold


class Bound(NamedTuple):
    """The answer in one sentence, what to do about it, and all rules in the order of asking."""

    headline: str
    advice: str
    rules: tuple[Rule, ...]


def find_bound(
    seconds: Mapping[str, float],
    tries: Sequence[Try],
    *,
    workers: int,
    scheduler: str,
    cores: int,
) -> Bound:
    """What bounded a run that spent `seconds` (`Run.timings`) and made `tries`.

    `cores` are those of this machine, for runs whose workers are here.
    """
    chunks = [one for one in tries if one.number is not None]
    singles = [one for one in tries if one.number is None and one.worker != "driver"]
    if not chunks and not singles:
        return Bound("Nothing was run, so nothing bounded it.", "", ())
    total = max(seconds.get("total", 0.0), 1e-9)
    rules = [
        _rule(
            "starting and stopping workers",
            seconds.get("start_workers", 0.0) + seconds.get("close", 0.0),
            total, "of the run", _HALF,
        ),
        _rule(
            "single tasks, one beside none", sum(one.duration_s for one in singles), total,
            "of the run", _HALF,
        ),
        _rule(
            "planning and combining here", seconds.get("plan", 0.0) + seconds.get("combine", 0.0),
            total, "of the run", _HALF,
        ),
    ]  # fmt: skip
    sentences = {
        0: ("more work or a cluster that is already up would pay it back", _START),
        1: ("more workers will not help", _SINGLES),
        2: ("more workers will not help", _DRIVER),
    }
    answer = _first(rules, sentences)
    if not chunks:
        return answer or Bound("No step took half of the time.", "", tuple(rules))
    window = max(one.ended_s for one in chunks) - min(one.started_s for one in chunks)
    # Attempts may overlap a little by the clocks of several machines.
    granted = max(window * workers, 1e-9)
    busy = sum(one.duration_s for one in chunks)
    rules.append(
        _rule("workers without work", max(granted - busy, 0.0), granted, "of their time", _IDLE)
    )
    parts = {
        "reading": sum(one.read_s for one in chunks),
        "the function": sum(one.function_s for one in chunks),
        "reducing and writing": sum(one.partial_s for one in chunks),
    }
    worked = max(sum(parts.values()), 1e-9)
    rules += [
        _rule(name, spent, worked, "of the workers' work", _HALF) for name, spent in parts.items()
    ]
    if answer is not None:
        return answer._replace(rules=tuple(rules))
    if rules[3].holds and workers > 1:
        return _idle(rules, chunks, workers, window)
    name, spent = max(parts.items(), key=lambda part: part[1])
    share = spent / worked
    nbytes = sum(one.nbytes for one in chunks)
    advice = {
        "reading": _reading(nbytes, window),
        "the function": _function(scheduler, workers, cores),
        "reducing and writing": "A plainer reduction, fewer groups or another output format helps.",
    }[name]
    headline = f"{name.capitalize()} took {percent(share)} of the workers' work"
    if name == "reading":
        headline += ": more workers will not help where the store is at its limit"
    elif workers >= cores and scheduler in _HERE:
        headline += f": more than {workers} workers on {tell_count(cores, 'core')} will not help"
    elif name == "the function" and scheduler in _HERE:
        headline += f": up to {cores} workers will help"
    return Bound(headline + ".", advice, tuple(rules))


_HERE = ("threads", "processes", "synchronous")
_START = "Run it in threads (scheduler='threads'), or keep a client open over several runs."
_SINGLES = "Single tasks run alone: make the longest of them a fan-out, or shorten it."
_DRIVER = "Larger chunks (chunk_size=) make fewer results to bring together here."


def percent(share: float) -> str:
    """``"71 %"`` of 0.71."""
    return f"{share * 100:.0f} %"


def _rule(name: str, spent: float, whole: float, unit: str, threshold: float) -> Rule:
    share = min(max(spent / whole, 0.0), 1.0)
    return Rule(
        name, share, threshold, f"{tell_seconds(spent)} {unit}, which was {tell_seconds(whole)}"
    )


def _first(rules: Sequence[Rule], sentences: Mapping[int, tuple[str, str]]) -> Bound | None:
    for number, rule in enumerate(rules):
        if rule.holds:
            what, advice = sentences[number]
            name = rule.name.partition(",")[0].capitalize()
            return Bound(
                f"{name} took {percent(rule.share)} of the run: {what}.", advice, tuple(rules)
            )
    return None


def _idle(rules: Sequence[Rule], chunks: Sequence[Try], workers: int, window: float) -> Bound:
    """Workers had nothing to do: too few chunks, a long last one, or chunks that are too small."""
    headline = f"Workers were without work for {percent(rules[3].share)} of their time"
    items = {(one.task, one.number) for one in chunks}
    ends = sorted(one.ended_s for one in chunks)
    alone_s = ends[-1] - ends[-2] if len(ends) > 1 else 0.0
    mean_s = sum(one.duration_s for one in chunks) / len(chunks)
    if len(items) < 2 * workers:
        counted = f"{tell_count(len(items), 'chunk')} for {tell_count(workers, 'worker')}"
        return Bound(
            f"{headline}: there were {counted}.",
            "Smaller chunks (chunk_size=) give each worker something to do.",
            tuple(rules),
        )
    if alone_s > _TAIL * window:
        return Bound(
            f"{headline}: the last chunk ran alone for {tell_seconds(alone_s)}.",
            "Smaller chunks (chunk_size=) make the last one short; more workers will not help.",
            tuple(rules),
        )
    if mean_s < _SMALL_S:
        return Bound(
            f"{headline}: a chunk took {tell_seconds(mean_s)}, not much more than handing it out.",
            "Larger chunks (chunk_size=) make handing out cheap; more workers will not help.",
            tuple(rules),
        )
    return Bound(
        f"{headline}, waiting for what comes next.",
        "Retries, a slow source, or stages that wait for one another: see the workers over time. "
        "More workers will not help.",
        tuple(rules),
    )


def _reading(nbytes: int, window: float) -> str:
    rate = f" ({tell_nbytes(nbytes / window)} a second here)" if nbytes and window > 0 else ""
    return (
        f"Compare with what the disk or network can deliver{rate}. Reading less helps in any case: "
        "columns=, filters=, or Parquet instead of text."
    )


def _function(scheduler: str, workers: int, cores: int) -> str:
    if scheduler == "threads":
        return (
            "If it is plain Python, threads take turns: scheduler='processes'. What is done for "
            "whole columns at once, by pandas or Arrow, is faster on any scheduler."
        )
    if workers < cores and scheduler in _HERE:
        return f"Try workers={cores}, one to each core."
    return "Work on whole columns at once, by pandas or Arrow; or take a cluster with more cores."
