"""Find what kept a run from being faster, by rules over its measured times.

Each rule is a share with a threshold; the first that holds, from the outside of the run to its
inside, is the answer, and all are returned with their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.machine import count_cores
from taskinity_data.wording import format_count, format_nbytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["Bound", "Rule", "find_bound", "percent"]

_HALF, _IDLE, _SMALL_S, _MANY, _COMPUTED, _WAITED = 0.5, 0.35, 0.02, 50, 0.7, 0.3


class Rule(NamedTuple):
    """One rule: its measured share and the threshold from which it holds (both 0 to 1)."""

    name: str
    share: float
    threshold: float
    sums: str

    @property
    def holds(self) -> bool:
        """Whether the share reaches its threshold."""
        return self.share >= self.threshold


class Bound(NamedTuple):
    """The answer in one sentence, what to do about it, and all rules in the order of checking."""

    headline: str
    advice: str
    rules: tuple[Rule, ...]


def find_bound(
    seconds: Mapping[str, float],
    attempts: Sequence[AttemptRow],
    *,
    workers: int,
    scheduler: str,
    cores: int | None = None,
) -> Bound:
    """Return what bounded a run that spent `seconds` (`Run.timings`) and made `attempts`.

    `cores` are those of this machine, for runs whose workers are here.
    """
    cores = cores or count_cores()
    chunks = [attempt for attempt in attempts if attempt.number is not None]
    singles = [
        attempt for attempt in attempts if attempt.number is None and attempt.worker != "driver"
    ]
    if not chunks and not singles:
        return Bound("No task was run, so there is no bottleneck.", "", ())
    total = max(seconds.get("total", 0.0), 1e-9)
    overlap = _measure_overlap([*chunks, *singles], workers)
    starting_s = seconds.get("start_workers", 0.0) + seconds.get("close", 0.0)
    driving_s = seconds.get("plan", 0.0) + seconds.get("combine", 0.0)
    rules = [
        _rule("starting and stopping workers", starting_s, total, "of the run", _HALF),
        _rule("single tasks, one at a time", overlap.alone_s, total, "of the run", _HALF),
        _rule("planning and combining here", driving_s, total, "of the run", _HALF),
    ]
    answer = _first(rules, singles)
    if not chunks:
        return answer or _side_by_side(rules, singles, workers, overlap)
    window = _window(chunks)
    granted = max(window * workers, 1e-9)
    rules.append(_rule("workers without work", overlap.idle_s, granted, "of their time", _IDLE))
    parts = _parts(chunks)
    worked = max(sum(parts.values()), 1e-9)
    rules += [_rule(name, spent, worked, "of the work", _HALF) for name, spent in parts.items()]
    if answer is not None:
        return answer._replace(rules=tuple(rules))
    if rules[3].holds and workers > 1:
        return _idle(rules, [*chunks, *singles], workers, overlap)
    name, spent = max(parts.items(), key=lambda part: part[1])
    headline = f"{name.capitalize()} took {percent(spent / worked)} of the work"
    mean_s = worked / len(chunks)
    if mean_s < _SMALL_S and len(chunks) > _MANY * workers:
        headline += (
            f", {format_seconds(mean_s)} a chunk: larger chunks reduce the overhead of each chunk"
        )
        advice = "Set a larger chunk_size=."
    elif name == "reading":
        consequence, advice = _of_reading(seconds, worked, chunks)
        headline += consequence
    elif name == "the function":
        consequence, advice = _of_function(seconds, worked, scheduler, workers, cores)
        headline += consequence
    else:
        headline += _more_help(seconds, worked, scheduler, workers, cores)
        advice = "A simpler reduction, fewer groups or another output format helps."
    return Bound(headline + ".", advice, tuple(rules))


def _window(chunks: Sequence[AttemptRow]) -> float:
    """Return the seconds from the start of the first chunk to the end of the last."""
    return max(chunk.ended_s for chunk in chunks) - min(chunk.started_s for chunk in chunks)


def _parts(chunks: Sequence[AttemptRow]) -> dict[str, float]:
    """Return the seconds of all workers for each part of their work."""
    return {
        "reading": sum(chunk.read_s for chunk in chunks),
        "the function": sum(chunk.function_s for chunk in chunks),
        "reducing and writing": sum(chunk.partial_s for chunk in chunks),
    }


_HERE = ("threads", "processes", "synchronous")
_START = "Run it in threads (scheduler='threads'), or keep a client open over several runs."
_DRIVER = "Larger chunks (chunk_size=) make fewer results to combine in this process."
_SENTENCES = {
    0: ("more work, or a running cluster, would make up for it", _START),
    1: ("more workers will not help", ""),
    2: ("more workers will not help", _DRIVER),
}
"""By the number of the rule that holds first."""


def _more_help(
    seconds: Mapping[str, float], worked: float, scheduler: str, workers: int, cores: int
) -> str:
    """Return whether more workers help where all had work; empty for workers on other machines.

    They do if chunks computed, and none waited for another one (for Python's lock, for example,
    which a single thread can't show).
    """
    if scheduler not in _HERE:
        return ""
    if workers >= cores:
        return ": more workers help only while chunks wait for I/O"
    computed = "work" in seconds and seconds["cpu"] >= _COMPUTED * worked
    if not computed or (scheduler == "threads" and workers == 1):
        return ""
    return f": up to {cores} workers will help"


def _share_of_cores(seconds: Mapping[str, float], worked: float) -> float | None:
    """Return for which share of their work chunks had a core or waited for one; None: unknown.

    What they waited for one another is not known by `work` alone: then it is unknown too.
    """
    if "work" not in seconds:
        return None
    return (seconds["cpu"] + seconds.get("queued", 0.0)) / worked


def _side_by_side(
    rules: Sequence[Rule], singles: Sequence[AttemptRow], workers: int, overlap: _Overlap
) -> Bound:
    """Return the bound of a flow without chunks, whose tasks ran in parallel."""
    count = format_count(len(singles), "task")
    if overlap.max_running < workers:
        return Bound(
            f"At most {overlap.max_running} of {count} ran in parallel: more workers will not "
            "help.",
            "A task can't start before the tasks that it waits for: shorten the longest chain of "
            "tasks.",
            tuple(rules),
        )
    return Bound(
        f"Up to {overlap.max_running} of {count} ran in parallel, on "
        f"{format_count(workers, 'worker')}.",
        "More workers help if tasks had to wait for a worker: see the chart of workers over "
        "time. A run takes at least as long as its longest chain of tasks.",
        tuple(rules),
    )


def percent(share: float) -> str:
    """Format a share: ``"71 %"`` for 0.71."""
    return f"{share * 100:.0f} %"


def _rule(name: str, spent: float, whole: float, unit: str, threshold: float) -> Rule:
    share = min(max(spent / whole, 0.0), 1.0)
    return Rule(
        name, share, threshold, f"{format_seconds(spent)} {unit}, which was {format_seconds(whole)}"
    )


def _first(rules: Sequence[Rule], singles: Sequence[AttemptRow]) -> Bound | None:
    for number, rule in enumerate(rules):
        if rule.holds:
            consequence, advice = _SENTENCES[number]
            name = rule.name.partition(",")[0].capitalize()
            return Bound(
                f"{name} took {percent(rule.share)} of the run: {consequence}.",
                advice or _shorten(singles),
                tuple(rules),
            )
    return None


def _shorten(singles: Sequence[AttemptRow]) -> str:
    """Return what to do about tasks that ran alone; names the longest of them."""
    longest = max(singles, key=lambda single: single.duration_s)
    took = format_seconds(longest.duration_s)
    return f"Shorten {longest.task} ({took}), or divide its work among the chunks."


def _read_less(chunks: Sequence[AttemptRow]) -> str:
    is_text = not all(".parquet" in chunk.location for chunk in chunks)
    text = "; Parquet reads faster than CSV or JSON" if is_text else ""
    return f"Read less: columns=, filters={text}."


def _idle(
    rules: Sequence[Rule], attempts: Sequence[AttemptRow], workers: int, overlap: _Overlap
) -> Bound:
    """Explain why workers were idle, by what ran meanwhile and by the chunks."""
    headline = f"Workers were without work for {percent(rules[3].share)} of their time"
    chunks = [chunk for chunk in attempts if chunk.number is not None]
    items = {(chunk.task, chunk.number) for chunk in chunks}
    mean_s = sum(chunk.duration_s for chunk in chunks) / len(chunks)
    half = overlap.idle_s / 2
    if overlap.idle_in_delays_s > half:
        why = "failed chunks waited for their next attempt"
        advice = "See the failures; a shorter retry_delay= waits less. More workers will not help."
    elif overlap.idle_in_singles_s > half:
        why = "single tasks ran meanwhile"
        singles = [attempt for attempt in attempts if attempt.number is None]
        advice = f"{_shorten(singles)} More workers will not help."
    elif len(items) < 2 * workers:
        verb = "was" if len(items) == 1 else "were"
        count = format_count(len(items), "chunk")
        why = f"there {verb} {count} for {format_count(workers, 'worker')}"
        advice = "Smaller chunks (chunk_size=) give each worker some work."
    elif overlap.idle_at_end_s > half:
        tail_s = max(chunk.ended_s for chunk in chunks) - max(chunk.started_s for chunk in chunks)
        why = f"no chunk was left to begin in the last {format_seconds(tail_s)}"
        advice = "Smaller chunks (chunk_size=) end closer together; more workers will not help."
    elif mean_s < _SMALL_S:
        why = f"a chunk took {format_seconds(mean_s)}, little more than its scheduling"
        advice = "Larger chunks (chunk_size=) need less scheduling; more workers will not help."
    else:
        return Bound(
            f"{headline}, waiting for their next chunk.",
            "See the chart of workers over time in the report. Causes are a slow source, workers "
            "that died, or stages that wait for one another. More workers will not help.",
            tuple(rules),
        )
    return Bound(f"{headline}: {why}.", advice, tuple(rules))


class _Overlap(NamedTuple):
    """What ran at the same time, in seconds; the idle times are sums over all workers.

    During `alone_s` one single task ran and nothing else; at most `max_running` attempts ran at
    once. Workers were idle while single tasks ran and no chunk did, while chunks waited for another
    attempt, and after the last chunk had started.
    """

    alone_s: float = 0.0
    max_running: int = 0
    idle_s: float = 0.0
    idle_in_singles_s: float = 0.0
    idle_in_delays_s: float = 0.0
    idle_at_end_s: float = 0.0


def _measure_overlap(attempts: Sequence[AttemptRow], workers: int) -> _Overlap:
    """Go through the run from one start or end to the next."""
    chunks = [attempt for attempt in attempts if attempt.number is not None]
    changes: list[tuple[float, str, int]] = []
    last: dict[str, AttemptRow] = {}
    for attempt in attempts:
        kind = "chunk" if attempt.number is not None else "single"
        changes += [(attempt.started_s, kind, 1), (attempt.ended_s, kind, -1)]
        before = last.get(attempt.key)
        if before is not None and before.ended_s < attempt.started_s:
            changes += [(before.ended_s, "delay", 1), (attempt.started_s, "delay", -1)]
        last[attempt.key] = attempt
    first_s = min((attempt.started_s for attempt in chunks), default=0.0)
    end_s = max((attempt.ended_s for attempt in chunks), default=0.0)
    last_s = max((attempt.started_s for attempt in chunks), default=0.0)
    counts = dict.fromkeys(("chunk", "single", "delay"), 0)
    totals = dict.fromkeys((name for name in _Overlap._fields if name != "max_running"), 0.0)
    max_running, at = 0, 0.0
    for now, kind, step in sorted(changes, key=lambda change: (change[0], change[2])):
        took, running = now - at, counts["chunk"] + counts["single"]
        if counts["single"] == 1 == running:
            totals["alone_s"] += took
        if first_s <= at and now <= end_s:
            idle = took * max(workers - running, 0)
            totals["idle_s"] += idle
            totals["idle_in_singles_s"] += idle if counts["single"] and not counts["chunk"] else 0.0
            totals["idle_in_delays_s"] += idle if counts["delay"] else 0.0
            totals["idle_at_end_s"] += idle if at >= last_s else 0.0
        counts[kind] += step
        max_running, at = max(max_running, counts["chunk"] + counts["single"]), now
    return _Overlap(**totals, max_running=max_running)


def _of_reading(
    seconds: Mapping[str, float], worked: float, chunks: Sequence[AttemptRow]
) -> tuple[str, str]:
    """Return what follows where most of the work was reading, and what to do about it."""
    share = _share_of_cores(seconds, worked)
    if share is not None and share >= _COMPUTED:
        return ", mostly computing: more cores help, a faster disk does not", _read_less(chunks)
    nbytes, window = sum(chunk.nbytes for chunk in chunks), _window(chunks)
    rate = f" ({format_nbytes(nbytes / window)} a second here)" if nbytes and window > 0 else ""
    return (
        ": more workers won't help if disk or network is at its limit",
        f"{_read_less(chunks)} Compare the rate with that of the disk or network{rate}.",
    )


def _of_function(
    seconds: Mapping[str, float], worked: float, scheduler: str, workers: int, cores: int
) -> tuple[str, str]:
    """Return what follows where most of the work was the function, and what to do about it."""
    share = _share_of_cores(seconds, worked)
    if share is not None and share <= _WAITED:
        more = f"Try workers={4 * workers}" if scheduler in _HERE else "Add workers"
        return (
            ", mostly waiting: more workers help unless a service or disk is at its limit",
            f"{more}: what waits needs no core.",
        )
    consequence = _more_help(seconds, worked, scheduler, workers, cores)
    return consequence, _function(scheduler, workers, cores)


def _function(scheduler: str, workers: int, cores: int) -> str:
    if scheduler == "threads":
        return (
            "If it is pure Python, threads take turns: use scheduler='processes'. If it waits for "
            "a service, more workers may help. Operations on whole columns, by pandas or Arrow, "
            "are faster on any scheduler."
        )
    if workers < cores and scheduler in _HERE:
        return f"Try workers={cores}, one per core."
    return "Operate on whole columns, with pandas or Arrow, or use a cluster with more cores."
