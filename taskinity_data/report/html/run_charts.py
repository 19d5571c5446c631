"""Draw the charts of a report: of a run's attempts, its plans and its flow, as SVG."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.diagram.nodes import picture_of
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.report.html.attempts import status_of
from taskinity_data.report.html.charts import (
    Axis,
    Bar,
    Span,
    bars,
    bytes_axis,
    count_axis,
    lines,
    spans,
    time_axis,
)
from taskinity_data.wording import format_count, format_nbytes, format_number, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.flow.diagram.nodes import Node
    from taskinity_data.report.html.attempts import AttemptRow

__all__ = [
    "STATES", "count_kinds", "flow_picture", "sizes_chart", "throughput_chart",
    "times_chart", "workers_chart",
]  # fmt: skip

STATES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "SKIPPED": "skipped",
    "QUARANTINED": "quarantined",
    "FALLBACK": "replaced by a fallback",
    "REUSED": "reused from an earlier run",
    "RETRIED": "failed and tried again",
}
"""The statuses of chunks and tasks, in words."""

_MIN_CHUNKS, _MIN_RATES = 3, 20
"""Chunks from which on a chart shows more than its numbers, or the table of times, do."""


def flow_picture(flow: Any, ended: Sequence[tuple[Any, Any]], labels: Mapping[str, str]) -> str:
    """Draw the flow as SVG, each task with its times and its state."""
    picture = picture_of(flow)
    picture = picture.with_labels(labels) if labels else picture
    counts: dict[str, Counter[str]] = {}
    worked: Counter[str] = Counter()
    for _, outcome in ended:
        counts.setdefault(outcome.task, Counter())[status_of(outcome)] += 1
        worked[outcome.task] += 0 if outcome.is_recalled else outcome.duration_s
    nodes = {}
    for key, node in picture.nodes.items():
        statuses: Counter[str] = Counter()
        for name in node.members:
            statuses.update(counts.get(name, {}))
        spent = sum(worked[name] for name in node.members)
        nodes[key] = replace(
            node, description=_state(node, statuses, spent), state=_worst(statuses)
        )
    # Chunks go through tasks in a row at one go, which bears the name of the last of them.
    for before, after in reversed(picture.edges):
        node, last = nodes[before], nodes[after]
        if node.is_fan_out and last.is_fan_out and last.state and not node.state:
            description = f"at one go with {last.name}"
            nodes[before] = replace(node, description=description, state="completed")
    return draw_svg(replace(picture, nodes=nodes))


def _state(node: Node, statuses: Counter[str], spent: float) -> str:
    if not statuses:
        return node.description
    if node.is_fan_out:
        text = ", ".join(f"{count:,} {STATES[status]}" for status, count in statuses.most_common())
        return f"{text}; {format_seconds(spent)} of work"
    return f"{STATES[next(iter(statuses))]}, {format_seconds(spent)}"


def _worst(statuses: Counter[str]) -> str:
    for status in ("FAILED", "QUARANTINED", "SKIPPED", "FALLBACK"):
        if statuses[status]:
            return "failed" if status == "FAILED" else "skipped"
    return "completed" if statuses else ""


def workers_chart(rows: Sequence[AttemptRow]) -> str:
    """Draw the attempts of each worker over time; empty if there were hardly any."""
    if len(rows) < _MIN_CHUNKS and sum(row.number is not None for row in rows) < 2:
        return ""
    zero, stop = _times(rows)
    drawn = [
        Span(row.worker, row.started_s - zero, row.ended_s - zero, _kind(row), _describe(row))
        for row in rows
    ]
    count = len({row.worker for row in rows})
    words = f"{format_count(len(rows), 'attempt')} on {format_count(count, 'lane')}, a thread or "
    words += f"process each, in {format_seconds(stop)}."
    peaks = [row.peak_nbytes for row in rows if row.peak_nbytes]
    if peaks:
        words += f" The most memory that one process held was {format_nbytes(max(peaks))}."
    axis = time_axis("time since the first task began", stop)
    return spans(drawn, axis, "Workers over time", words)


def _kind(row: AttemptRow) -> str:
    if row.status == "COMPLETED":
        return "single" if row.number is None else "work"
    return row.status


def count_kinds(rows: Sequence[AttemptRow]) -> list[tuple[str, str]]:
    """Return the kinds of marks among `rows` with their words, for the legend."""
    counts = Counter(map(_kind, rows))
    texts = {"work": "chunk", "single": "single task"}
    return [(kind, format_count(counts[kind], texts[kind])) for kind in texts if counts[kind]] + [
        (kind, f"{counts[kind]:,} {text}") for kind, text in STATES.items() if counts[kind]
    ]


def times_chart(rows: Sequence[AttemptRow]) -> str:
    """Draw the time of each chunk, by fan-outs and in their order, split into reading, function and
    reducing; empty for hardly any chunks.
    """
    last = [row for row in rows if row.number is not None and row.status != "RETRIED"]
    if len(last) < _MIN_CHUNKS:
        return ""
    # One fan-out after the other, as they began.
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys(row.task for row in last))}
    last.sort(key=lambda row: (ranks[row.task], row.number or 0))
    drawn = [
        Bar(
            (
                ("read", row.read_s),
                ("function", row.function_s),
                ("partial", row.partial_s),
                ("rest", max(row.duration_s - row.read_s - row.function_s - row.partial_s, 0.0)),
            ),
            _describe(row),
        )
        for row in last
    ]
    words = f"{format_count(len(last), 'chunk')}: {_spread([row.duration_s for row in last])}."
    axis = Axis("number of the chunk", len(drawn))
    return bars(drawn, axis, "time of a chunk", "Time of each chunk", words, unit="time")


def _spread(seconds: Sequence[float]) -> str:
    cuts = quantiles(seconds, n=20, method="inclusive")
    return (
        f"from {format_seconds(min(seconds))} to {format_seconds(max(seconds))}, median "
        f"{format_seconds(cuts[9])}, 95th percentile {format_seconds(cuts[18])}"
    )


def throughput_chart(rows: Sequence[AttemptRow]) -> str:
    """Draw rows a second over time, bytes where rows are unknown, each chunk's spread evenly over
    its own time; empty for few chunks.
    """
    done = [row for row in rows if row.number is not None and row.status == "COMPLETED"]
    has_rows = any(row.rows for row in done)
    amounts = [(row.rows or 0) if has_rows else row.nbytes for row in done]
    if len(done) < _MIN_RATES or not any(amounts):
        return ""
    zero, stop = _times(rows)
    cells = max(1, min(80, len(done) // 4))
    width = max(stop, 1e-9) / cells
    sums = [0.0] * cells
    for row, amount in zip(done, amounts, strict=True):
        first, last = (row.started_s - zero) / width, (row.ended_s - zero) / width
        if last <= first:
            sums[min(int(first), cells - 1)] += amount
            continue
        for cell in range(max(int(first), 0), min(math.ceil(last), cells)):
            share = (min(last, cell + 1) - max(first, cell)) / (last - first)
            sums[cell] += amount * max(share, 0.0)
    rates = [amount / width for amount in sums]
    unit = "rows" if has_rows else "bytes"
    format_rate = format_number if has_rows else format_nbytes
    words = f"{format_rate(sum(amounts) / max(stop, 1e-9))} {unit if has_rows else ''} per second"
    words = f"{words.replace('  ', ' ')} over the whole time, {format_rate(max(rates))} at most."
    return lines(
        [(cell * width, rate) for cell, rate in enumerate(rates)],
        time_axis("time since the first task began", stop),
        (count_axis if has_rows else bytes_axis)(f"{unit} per second", max(rates)),
        f"Throughput in {unit}",
        words,
    )


def sizes_chart(name: str, plan: Any) -> str:
    """Draw the size of each chunk of the task `name`, in the order of the plan, as SVG."""
    sizes = [chunk.nbytes for chunk in plan]
    drawn = [
        Bar((("size", float(size)),), f"chunk {number:,}: {format_nbytes(size)}")
        for number, size in enumerate(sizes)
    ]
    words = (
        f"{format_count(len(sizes), 'chunk')} of {format_nbytes(min(sizes))} to "
        f"{format_nbytes(max(sizes))}."
    )
    axis = Axis("number of the chunk", len(sizes))
    title = f"Size of each chunk of {name}"
    return bars(drawn, axis, "size of a chunk", title, words, unit="bytes")


def _times(rows: Sequence[AttemptRow]) -> tuple[float, float]:
    """Return when the first attempt began, and how long it was until the last ended."""
    zero = min((row.started_s for row in rows), default=0.0)
    return zero, max((row.ended_s for row in rows), default=0.0) - zero


def _describe(row: AttemptRow) -> str:
    number = "" if row.number is None else f" {row.number:,}"
    again = f", attempt {row.attempt}" if row.attempt > 1 else ""
    text = f"{row.task}{number}: {row.status.lower()} in {format_seconds(row.duration_s)}{again}"
    if row.read_s:
        text += f" (reading {format_seconds(row.read_s)})"
    return f"{text} on {row.worker}" + (f"; {row.error}" if row.error else "")
