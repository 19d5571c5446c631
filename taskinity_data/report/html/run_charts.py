"""The charts of a report: of a run's attempts, its plans and its flow, as SVG."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import replace
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.diagram.nodes import picture_of
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.report.html.attempts import standing
from taskinity_data.report.html.charts import Bar, Span, bars, lines, spans
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.flow.diagram.nodes import Node
    from taskinity_data.report.html.attempts import Try

__all__ = [
    "STATES", "flow_picture", "memory_chart", "sizes_chart", "throughput_charts", "times_chart",
    "workers_chart",
]  # fmt: skip

STATES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "SKIPPED": "skipped",
    "QUARANTINED": "quarantined",
    "FALLBACK": "replaced by a fallback",
    "REUSED": "used again of an earlier run",
}
"""What a chunk or task can be, in words."""

_MAX_PROCESSES = 6


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
        told = ", ".join(f"{count:,} {STATES[status]}" for status, count in found.most_common())
        return f"{told}; {format_seconds(spent)} of work"
    return f"{STATES[next(iter(found))]}, {format_seconds(spent)}"


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
    highest = sorted(series, key=lambda name: -series[name][-1][1])[:_MAX_PROCESSES]
    if len(series) > _MAX_PROCESSES:
        words += f" Drawn are the {_MAX_PROCESSES} highest of {len(series)} processes."
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
