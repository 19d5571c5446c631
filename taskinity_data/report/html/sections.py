"""The parts of a report: charts and tables made of a run's tries and plans.

It knows nothing of the page that they stand in.
"""

from __future__ import annotations

import math
import platform
import shlex
from collections import Counter, defaultdict
from dataclasses import replace
from statistics import quantiles
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.display import safe_str
from taskinity_data.flow.diagram.nodes import picture_of
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.formats.memory import ArrowReader
from taskinity_data.machine import count_cores, memory_limit
from taskinity_data.outcome import Status
from taskinity_data.report.html.attempts import standing, where
from taskinity_data.report.html.charts import Bar, Span, bars, lines, spans
from taskinity_data.version import __version__
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.flow.diagram.nodes import Node
    from taskinity_data.report.html.attempts import Try

__all__ = [
    "Trouble", "environment", "files_of", "flow_picture", "inputs_of", "memory_chart", "options_of",
    "sizes_chart", "slowest", "throughput_charts", "times_chart", "troubles", "workers_chart",
]  # fmt: skip

_PACKAGES = ("pandas", "pyarrow", "numpy", "dask", "distributed", "polars")
_WORDS = {
    "PENDING": "pending",
    "RUNNING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "SKIPPED": "skipped",
    "QUARANTINED": "quarantined",
    "FALLBACK": "replaced by a fallback",
    "REUSED": "used again of an earlier run",
}
_MOST_TROUBLES, _MOST_SLOW, _MOST_FILES, _MOST_PROCESSES, _MOST_VALUES = 50, 20, 100, 6, 8


def flow_picture(flow: Any, tries: Sequence[Try], ended: Sequence[tuple[Any, Any]]) -> str:
    """The flow as SVG, each task with its times and its state."""
    picture = picture_of(flow)
    worked: dict[str, float] = defaultdict(float)
    for one in tries:
        worked[one.task] += one.duration_s
    counts: dict[str, Counter[str]] = {}
    for _, outcome in ended:
        counts.setdefault(outcome.task, Counter())[standing(outcome)] += 1
    nodes = {}
    for key, node in picture.nodes.items():
        found: Counter[str] = Counter()
        for name in node.members:
            found.update(counts.get(name, {}))
        spent = sum(worked[name] for name in node.members)
        nodes[key] = replace(node, description=_state(node, found, spent), state=_worst(found))
    # Chunks go through tasks in a row at one go, which bears the name of the last of them.
    for before, after in reversed(picture.edges):
        node, last = nodes[before], nodes[after]
        if node.is_fan_out and last.is_fan_out and last.state and not node.state:
            told = f"at one go with {last.name}"
            nodes[before] = replace(node, description=told, state="completed")
    return draw_svg(replace(picture, nodes=nodes))


def _state(node: Node, found: Counter[str], spent: float) -> str:
    if not found:
        return node.description
    if node.is_fan_out:
        told = ", ".join(f"{count:,} {_WORDS[status]}" for status, count in found.most_common())
        return f"{told}; {format_seconds(spent)} of work"
    return f"{_WORDS[next(iter(found))]}, {format_seconds(spent)}"


def _worst(found: Counter[str]) -> str:
    for status in ("FAILED", "QUARANTINED", "SKIPPED"):
        if found[status]:
            return "skipped" if status == "SKIPPED" else "failed"
    return "completed" if found else ""


def workers_chart(tries: Sequence[Try]) -> str:
    """Who did what when."""
    zero, stop = _times(tries)
    drawn = [
        Span(
            one.worker,
            one.started_s - zero,
            one.ended_s - zero,
            ("single" if one.number is None else "work")
            if one.status == "COMPLETED"
            else one.status,
            _tell_try(one),
        )
        for one in tries
    ]
    count = len({one.worker for one in tries})
    words = f"{format_count(len(tries), 'attempt')} on {format_count(count, 'lane')}, a thread or "
    words += f"process each, in {format_seconds(stop)}."
    return spans(drawn, stop, "Workers over time", words)


def times_chart(tries: Sequence[Try]) -> str:
    """The time of each chunk, by fan-outs and in their order, split into reading, function and
    reducing.
    """
    last = [one for one in tries if one.number is not None and one.status != "RETRIED"]
    # One fan-out after the other, as they began.
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(one.task for one in last))}
    last.sort(key=lambda one: (ranks[one.task], one.number or 0))
    drawn = [
        Bar(
            (
                ("read", one.read_s),
                ("function", one.function_s),
                ("partial", one.partial_s),
                ("rest", max(one.duration_s - one.read_s - one.function_s - one.partial_s, 0.0)),
            ),
            _tell_try(one),
        )
        for one in last
    ]
    words = f"{format_count(len(last), 'chunk')}: {_spread([one.duration_s for one in last])}."
    return bars(drawn, "Time of each chunk", words, tell=format_seconds)


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return format_seconds(seconds[0]) if seconds else "none"
    cuts = quantiles(seconds, n=20, method="inclusive")
    return (
        f"from {format_seconds(min(seconds))} to {format_seconds(max(seconds))}, half of them "
        f"up to {format_seconds(cuts[9])}, 95 % up to {format_seconds(cuts[18])}"
    )


def throughput_charts(tries: Sequence[Try]) -> list[str]:
    """Bytes and rows a second over time, each chunk's spread evenly over its own time."""
    done = [one for one in tries if one.number is not None and one.status == "COMPLETED"]
    zero, stop = _times(tries)
    cells = max(1, min(80, len(done)))
    width = max(stop, 1e-9) / cells
    charts = []
    for unit, amounts in (
        ("bytes", [one.nbytes for one in done]),
        ("rows", [one.rows or 0 for one in done]),
    ):
        if not any(amounts):
            continue
        held = [0.0] * cells
        for one, amount in zip(done, amounts, strict=True):
            first, last = (one.started_s - zero) / width, (one.ended_s - zero) / width
            if last <= first:
                held[min(int(first), cells - 1)] += amount
                continue
            for cell in range(max(int(first), 0), min(math.ceil(last), cells)):
                share = (min(last, cell + 1) - max(first, cell)) / (last - first)
                held[cell] += amount * max(share, 0.0)
        points = [(cell * width, amount / width) for cell, amount in enumerate(held)]
        tell = _tell_rate_nbytes if unit == "bytes" else _tell_rate_rows
        mean = tell(sum(amounts) / max(stop, 1e-9))
        words = f"{mean} over the whole time, {tell(max(y for _, y in points))} at most."
        charts.append(
            lines(
                {unit: points}, f"Throughput in {unit}", words,
                tell_x=format_seconds, tell_y=tell, stop=stop,
            )
        )  # fmt: skip
    return charts


def memory_chart(tries: Sequence[Try]) -> str:
    """The most that each process had held by then, over time; empty where nothing told it."""
    told = [one for one in tries if one.peak_nbytes is not None]
    if not told:
        return ""
    zero, stop = _times(tries)
    series: dict[str, list[tuple[float, float]]] = {}
    for one in sorted(told, key=lambda one: one.ended_s):
        process = one.worker.partition("/")[0]
        points = series.setdefault(process, [])
        points.append((one.ended_s - zero, float(one.peak_nbytes or 0)))
    most = max(one.peak_nbytes or 0 for one in told)
    words = f"The most that one process held was {format_nbytes(most)}."
    read = [one.memory_nbytes for one in tries if one.memory_nbytes]
    if read:
        words += f" A chunk once read took up to {format_nbytes(max(read))}."
    highest = sorted(series, key=lambda name: -series[name][-1][1])[:_MOST_PROCESSES]
    if len(series) > _MOST_PROCESSES:
        words += f" Drawn are the {_MOST_PROCESSES} highest of {len(series)} processes."
    return lines(
        {name: series[name] for name in highest}, "Memory by process", words,
        tell_x=format_seconds, tell_y=format_nbytes, stop=stop,
    )  # fmt: skip


def sizes_chart(name: str, plan: Any) -> str:
    """How large each chunk is, in order."""
    sizes = [chunk.nbytes for chunk in plan]
    drawn = [
        Bar((("size", float(size)),), f"chunk {number:,}: {format_nbytes(size)}")
        for number, size in enumerate(sizes)
    ]
    words = (
        f"{format_count(len(sizes), 'chunk')} of {format_nbytes(min(sizes))} to "
        f"{format_nbytes(max(sizes))}."
    )
    return bars(drawn, f"Size of each chunk of {name}", words, tell=format_nbytes, height=110)


class Trouble(NamedTuple):
    """A chunk or task that failed, was skipped, replaced or tried again."""

    task: str
    place: str
    key: str
    status: str
    attempts: int
    worker: str
    error: str
    traceback: str
    command: str
    python: str


def troubles(ended: Sequence[tuple[Any, Any]]) -> tuple[list[Trouble], int, list[tuple[str, int]]]:
    """What went wrong, worst first and at most 50; how much in all; and how often each error."""
    order = {Status.FAILED: 0, Status.SKIPPED: 1, Status.COMPLETED: 2}
    found = [
        (item, outcome)
        for item, outcome in ended
        if standing(outcome) != "REUSED"
        and (outcome.failure is not None or outcome.is_fallback or len(outcome.attempts) > 1)
    ]
    found.sort(key=lambda pair: order.get(pair[1].status, 0))
    kinds: Counter[str] = Counter(
        f"{outcome.task}: {attempt.failure.kind}"
        for _, outcome in found
        for attempt in outcome.attempts
        if attempt.failure is not None
    )
    return [_trouble(*pair) for pair in found[:_MOST_TROUBLES]], len(found), kinds.most_common(20)


def _trouble(item: Any, outcome: Any) -> Trouble:
    failures = [attempt.failure for attempt in outcome.attempts if attempt.failure is not None]
    status = _WORDS[standing(outcome)]
    if standing(outcome) == "COMPLETED":
        status = "completed when tried again"
    command = python = ""
    data = item.data if item is not None else None
    # A frame in memory has no file that another call would find.
    if isinstance(data, Chunk) and not _is_in_memory(data.reader):
        ranges = data.ranges
        python = f"only={ranges[0]!r}" if len(ranges) == 1 else f"only={list(ranges)!r}"
        command = " ".join(f"--only {shlex.quote(one)}" for one in ranges)
    return Trouble(
        outcome.task,
        where(data),
        outcome.key,
        status,
        len(outcome.attempts),
        outcome.attempts[-1].worker if outcome.attempts else "",
        str(failures[-1]) if failures else "",
        failures[-1].traceback if failures else "",
        command,
        python,
    )


def _is_in_memory(reader: Any) -> bool:
    return isinstance(reader, ArrowReader) or getattr(reader, "keeper", None) is not None


def slowest(tries: Sequence[Try]) -> list[Try]:
    """The chunks that took longest, slowest first."""
    chunks = [one for one in tries if one.number is not None and one.status != "RETRIED"]
    return sorted(chunks, key=lambda one: -one.duration_s)[:_MOST_SLOW]


def files_of(plans: dict[str, Any]) -> tuple[list[tuple[str, int, int]], int]:
    """Each file with its planned bytes and number of pieces, at most 100; and how many in all."""
    nbytes: Counter[str] = Counter()
    pieces: Counter[str] = Counter()
    for plan in plans.values():
        for chunk in plan:
            for piece in chunk.pieces:
                nbytes[piece.path] += piece.nbytes
                pieces[piece.path] += 1
    found = [(path, nbytes[path], pieces[path]) for path in nbytes]
    return found[:_MOST_FILES], len(found)


def inputs_of(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The run's inputs by name, of what it was `told`; of some no value is kept."""
    kept = told.get("inputs", {})
    return [
        (name, _tell_value(kept[name]) if name in kept else "a value that is not kept")
        for name in told.get("asked", ())
    ]


def options_of(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The options that the run was given, of what it was `told`."""
    return [(name, _tell_value(value)) for name, value in (told.get("options") or {}).items()]


def _tell_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        more = f" and {len(value) - _MOST_VALUES:,} more" if len(value) > _MOST_VALUES else ""
        return ", ".join(map(safe_str, value[:_MOST_VALUES])) + more
    return safe_str(value)


def environment(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Versions and host of a run that is kept and was `told` them; else versions, cores and memory
    of the process that writes the report.
    """
    if "versions" in told:
        return [*told["versions"].items(), ("host", str(told.get("host", "unknown")))]
    from importlib.metadata import PackageNotFoundError, version

    found = [
        ("taskinity_data", __version__),
        ("Python", platform.python_version()),
        ("platform", platform.platform()),
        ("cores", f"{count_cores()}"),
        ("memory", format_nbytes(memory_limit())),
    ]
    for name in _PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _times(tries: Sequence[Try]) -> tuple[float, float]:
    """When the first attempt began, and how long it was until the last ended."""
    zero = min((one.started_s for one in tries), default=0.0)
    return zero, max((one.ended_s for one in tries), default=0.0) - zero


def _tell_try(one: Try) -> str:
    number = "" if one.number is None else f" {one.number:,}"
    again = f", attempt {one.attempt}" if one.attempt > 1 else ""
    told = f"{one.task}{number}: {one.status.lower()} in {format_seconds(one.duration_s)}{again}"
    if one.read_s:
        told += f" (reading {format_seconds(one.read_s)})"
    return f"{told} on {one.worker}" + (f"; {one.error}" if one.error else "")


def _tell_rate_nbytes(value: float) -> str:
    return f"{format_nbytes(value)}/s"


def _tell_rate_rows(value: float) -> str:
    return f"{format_number(value)} rows/s"
