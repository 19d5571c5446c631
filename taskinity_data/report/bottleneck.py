"""What kept a run from being faster, as rules over its measured times.

It knows nothing of how that is shown. Each rule is a share with a threshold; the first that holds,
from the outside of the run to its inside, is the answer, and all are given back with their numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.machine import count_cores
from taskinity_data.wording import format_count, format_nbytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.report.html.attempts import Try

__all__ = ["Bound", "Rule", "find_bound", "percent"]

_HALF, _IDLE, _TAIL, _SMALL_S, _MANY, _COMPUTED = 0.5, 0.35, 0.2, 0.02, 50, 0.7


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
    cores: int | None = None,
) -> Bound:
    """What bounded a run that spent `seconds` (`Run.timings`) and made `tries`.

    `cores` are those of this machine, for runs whose workers are here.
    """
    cores = cores or count_cores()
    chunks = [one for one in tries if one.number is not None]
    singles = [one for one in tries if one.number is None and one.worker != "driver"]
    if not chunks and not singles:
        return Bound("Nothing was run, so nothing bounded it.", "", ())
    total = max(seconds.get("total", 0.0), 1e-9)
    seen = _look([*chunks, *singles], workers)
    starting_s = seconds.get("start_workers", 0.0) + seconds.get("close", 0.0)
    driving_s = seconds.get("plan", 0.0) + seconds.get("combine", 0.0)
    rules = [
        _rule("starting and stopping workers", starting_s, total, "of the run", _HALF),
        _rule("single tasks, one beside none", seen.alone_s, total, "of the run", _HALF),
        _rule("planning and combining here", driving_s, total, "of the run", _HALF),
    ]
    answer = _first(rules, _SENTENCES)
    if not chunks:
        return answer or _side_by_side(rules, singles, workers, seen)
    window = max(one.ended_s for one in chunks) - min(one.started_s for one in chunks)
    granted = max(window * workers, 1e-9)
    rules.append(_rule("workers without work", seen.idle_s, granted, "of their time", _IDLE))
    parts = _parts(chunks)
    worked = max(sum(parts.values()), 1e-9)
    rules += [
        _rule(name, spent, worked, "of the workers' work", _HALF) for name, spent in parts.items()
    ]
    if answer is not None:
        return answer._replace(rules=tuple(rules))
    if rules[3].holds and workers > 1:
        return _idle(rules, chunks, workers, seen)
    name, spent = max(parts.items(), key=lambda part: part[1])
    headline = f"{name.capitalize()} took {percent(spent / worked)} of the workers' work"
    mean_s = worked / len(chunks)
    if mean_s < _SMALL_S and len(chunks) > _MANY * workers:
        headline += (
            f", {format_seconds(mean_s)} a chunk: larger chunks share what each of them costs"
        )
        advice = "chunk_size= makes them larger."
    elif name == "reading":
        headline += ": more workers will not help where the store is at its limit"
        advice = _reading(sum(chunk.nbytes for chunk in chunks), window)
    else:
        headline += _more_help(seconds, worked, scheduler, workers, cores)
        advice = "A plainer reduction, fewer groups or another output format helps."
        if name == "the function":
            advice = _function(scheduler, workers, cores)
    return Bound(headline + ".", advice, tuple(rules))


def _parts(chunks: Sequence[Try]) -> dict[str, float]:
    """Return the seconds of all workers for each part of their work."""
    return {
        "reading": sum(chunk.read_s for chunk in chunks),
        "the function": sum(chunk.function_s for chunk in chunks),
        "reducing and writing": sum(chunk.partial_s for chunk in chunks),
    }


_HERE = ("threads", "processes", "synchronous")
_START = "Run it in threads (scheduler='threads'), or keep a client open over several runs."
_SINGLES = "Single tasks run alone: make the longest of them a fan-out, or shorten it."
_DRIVER = "Larger chunks (chunk_size=) make fewer results to bring together here."
_SENTENCES = {
    0: ("more work or a cluster that is already up would pay it back", _START),
    1: ("more workers will not help", _SINGLES),
    2: ("more workers will not help", _DRIVER),
}
"""By the number of the rule that holds first."""


def _more_help(
    seconds: Mapping[str, float], worked: float, scheduler: str, workers: int, cores: int
) -> str:
    """Whether more workers help where they all had work; nothing of those that are elsewhere.

    They do where chunks computed, and none waited for another one: for Python's lock, say, which a
    single thread can't show.
    """
    if scheduler not in _HERE:
        return ""
    if workers >= cores:
        return ": more workers will only help what waits"
    computed = "work" in seconds and seconds["cpu"] >= _COMPUTED * worked
    if not computed or (scheduler == "threads" and workers == 1):
        return ""
    return f": up to {cores} workers will help"


def _side_by_side(
    rules: Sequence[Rule], singles: Sequence[Try], workers: int, seen: _Seen
) -> Bound:
    """A flow without chunks, whose tasks ran beside one another."""
    count = format_count(len(singles), "task")
    if seen.most < workers:
        return Bound(
            f"At most {seen.most} of {count} ran side by side: more workers will not help.",
            "What waits for another task can't run beside it: shorten the longest chain of tasks.",
            tuple(rules),
        )
    return Bound(
        f"Up to {seen.most} of {count} ran side by side, on {format_count(workers, 'worker')}.",
        "More workers help where a task had to wait for one: see the workers over time. The "
        "longest chain of tasks is the least that it takes.",
        tuple(rules),
    )


def percent(share: float) -> str:
    """``"71 %"`` of 0.71."""
    return f"{share * 100:.0f} %"


def _rule(name: str, spent: float, whole: float, unit: str, threshold: float) -> Rule:
    share = min(max(spent / whole, 0.0), 1.0)
    return Rule(
        name, share, threshold, f"{format_seconds(spent)} {unit}, which was {format_seconds(whole)}"
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


def _idle(rules: Sequence[Rule], tries: Sequence[Try], workers: int, seen: _Seen) -> Bound:
    """Workers had nothing to do: why, by what went on meanwhile and by the chunks."""
    headline = f"Workers were without work for {percent(rules[3].share)} of their time"
    chunks = [one for one in tries if one.number is not None]
    items = {(one.task, one.number) for one in chunks}
    ends = sorted(one.ended_s for one in chunks)
    window = ends[-1] - min(one.started_s for one in chunks)
    alone_s = ends[-1] - ends[-2] if len(ends) > 1 else 0.0
    mean_s = sum(one.duration_s for one in chunks) / len(chunks)
    half = seen.idle_s / 2
    if seen.idle_in_delays_s > half:
        why = "chunks that had failed waited to be tried again"
        advice = "See what failed; a shorter retry_delay= waits less. More workers will not help."
    elif seen.idle_in_singles_s > half:
        why = "single tasks ran meanwhile"
        advice = f"{_SINGLES} More workers will not help."
    elif len(items) < 2 * workers:
        verb = "was" if len(items) == 1 else "were"
        count = format_count(len(items), "chunk")
        why = f"there {verb} {count} for {format_count(workers, 'worker')}"
        advice = "Smaller chunks (chunk_size=) give each worker something to do."
    elif alone_s > _TAIL * window:
        why = f"the last chunk ran alone for {format_seconds(alone_s)}"
        advice = "Smaller chunks (chunk_size=) make the last one short; more workers will not help."
    elif seen.idle_at_end_s > half:
        tail_s = ends[-1] - max(one.started_s for one in chunks)
        why = f"no chunk was left to begin in the last {format_seconds(tail_s)}"
        advice = "Smaller chunks (chunk_size=) end closer together; more workers will not help."
    elif mean_s < _SMALL_S:
        why = f"a chunk took {format_seconds(mean_s)}, not much more than handing it out"
        advice = "Larger chunks (chunk_size=) make handing out cheap; more workers will not help."
    else:
        return Bound(
            f"{headline}, waiting for what comes next.",
            "A slow source, workers that died, or stages that wait for one another: see the "
            "workers over time. More workers will not help.",
            tuple(rules),
        )
    return Bound(f"{headline}: {why}.", advice, tuple(rules))


class _Seen(NamedTuple):
    """What tries did side by side, in seconds; those of `idle` are of all workers together.

    `alone_s` one single task ran and nothing else; `most` tries ran at once. Workers were idle
    while single tasks ran and no chunk did, while chunks waited for another attempt, and after the
    last chunk had begun.
    """

    alone_s: float = 0.0
    most: int = 0
    idle_s: float = 0.0
    idle_in_singles_s: float = 0.0
    idle_in_delays_s: float = 0.0
    idle_at_end_s: float = 0.0


def _look(tries: Sequence[Try], workers: int) -> _Seen:
    """Go through the run from one start or end to the next."""
    chunks = [one for one in tries if one.number is not None]
    changes: list[tuple[float, str, int]] = []
    last: dict[str, Try] = {}
    for one in tries:
        kind = "chunk" if one.number is not None else "single"
        changes += [(one.started_s, kind, 1), (one.ended_s, kind, -1)]
        before = last.get(one.key)
        if before is not None and before.ended_s < one.started_s:
            changes += [(before.ended_s, "delay", 1), (one.started_s, "delay", -1)]
        last[one.key] = one
    first_s = min((one.started_s for one in chunks), default=0.0)
    end_s = max((one.ended_s for one in chunks), default=0.0)
    last_s = max((one.started_s for one in chunks), default=0.0)
    counts = dict.fromkeys(("chunk", "single", "delay"), 0)
    found = dict.fromkeys((name for name in _Seen._fields if name != "most"), 0.0)
    most, at = 0, 0.0
    for now, kind, step in sorted(changes, key=lambda one: (one[0], one[2])):
        took, running = now - at, counts["chunk"] + counts["single"]
        if counts["single"] == 1 == running:
            found["alone_s"] += took
        if first_s <= at and now <= end_s:
            idle = took * max(workers - running, 0)
            found["idle_s"] += idle
            found["idle_in_singles_s"] += idle if counts["single"] and not counts["chunk"] else 0.0
            found["idle_in_delays_s"] += idle if counts["delay"] else 0.0
            found["idle_at_end_s"] += idle if at >= last_s else 0.0
        counts[kind] += step
        most, at = max(most, counts["chunk"] + counts["single"]), now
    return _Seen(**found, most=most)


def _reading(nbytes: int, window: float) -> str:
    rate = f" ({format_nbytes(nbytes / window)} a second here)" if nbytes and window > 0 else ""
    return (
        f"Compare with what the disk or network can deliver{rate}. Reading less helps in any case: "
        "columns=, filters=, or Parquet instead of text."
    )


def _function(scheduler: str, workers: int, cores: int) -> str:
    if scheduler == "threads":
        return (
            "If it is plain Python, threads take turns: scheduler='processes'. If it waits for a "
            "service, more workers may help. What is done for whole columns at once, by pandas or "
            "Arrow, is faster on any scheduler."
        )
    if workers < cores and scheduler in _HERE:
        return f"Try workers={cores}, one to each core."
    return "Work on whole columns at once, by pandas or Arrow; or take a cluster with more cores."
