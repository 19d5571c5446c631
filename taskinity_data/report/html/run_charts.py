"""Draw the charts of a report: of a run's attempts, its plans and its flow, as SVG."""

from __future__ import annotations

from collections import Counter
from statistics import quantiles
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.diagram.nodes import picture_of
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.report.html.charts import Span, spans, time_axis
from taskinity_data.wording import format_count, format_nbytes, format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.report.html.attempts import AttemptRow

__all__ = ["STATES", "count_kinds", "describe_times", "flow_picture", "workers_chart"]

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

_MIN_CHUNKS = 3
"""Chunks from which on a chart shows more than its numbers do."""


def flow_picture(flow: Any, labels: Mapping[str, str]) -> str:
    """Draw the flow as SVG."""
    picture = picture_of(flow)
    return draw_svg(picture.with_labels(labels) if labels else picture)


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


def describe_times(rows: Sequence[AttemptRow]) -> str:
    """Describe how long chunks took, in a sentence; empty for hardly any chunks."""
    seconds = [row.duration_s for row in rows if row.number is not None and row.status != "RETRIED"]
    if len(seconds) < _MIN_CHUNKS:
        return ""
    cuts = quantiles(seconds, n=20, method="inclusive")
    return (
        f"{format_count(len(seconds), 'chunk')}: from {format_seconds(min(seconds))} to "
        f"{format_seconds(max(seconds))}, median {format_seconds(cuts[9])}, 95th percentile "
        f"{format_seconds(cuts[18])}."
    )


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
