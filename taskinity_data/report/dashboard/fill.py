"""Make the contents of a run's page: HTML and columns, from a `LiveRun` as it is now.

Text from data, names or errors is always escaped. Widgets are in `page`.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from taskinity_data.report.palette import STATES as TONES
from taskinity_data.report.palette import tone_of
from taskinity_data.report.run_columns import STATES
from taskinity_data.wording import format_count, format_nbytes, format_seconds, inert, inert_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.report.run_columns import FailureCount, LiveRun, LiveTask

__all__ = [
    "MAX_CELLS", "fill_memory", "fill_rate", "fill_sizes", "fill_strips", "format_failure",
    "format_graph", "format_head", "format_legend", "format_tasks", "label_of",
]  # fmt: skip

MAX_CELLS = 400
"""Cells of a strip, which are about three pixels wide then: neighbours share one beyond that."""

MAX_WORKERS = 60
"""Workers whose memory is shown."""

RATE_S = 3.0
"""Over how long the throughput is taken: what ends in between is even enough to be read."""

_MIN_SPREAD = 1.5
"""How many times as large chunks must become for their sizes to be drawn."""

_STATES = {"LOST": "DRIVER LOST"}


def format_head(run: LiveRun) -> str:
    """Return what runs, and its large numbers: percent, time left, elapsed, rows, lost chunks."""
    status = _STATES.get(run.status, run.status)
    share, left_s = run.share, run.left_s
    left = format_seconds(left_s) if left_s is not None else "–" if run.is_over else "unknown"
    fan_outs = run.fan_outs
    rows = sum(task.done_rows for task in fan_outs)
    lost = sum(task.lost for task in fan_outs)
    ended = sum(task.ended for task in fan_outs)
    done_nbytes = sum(task.done_nbytes for task in fan_outs)
    percent = "–" if share is None else f"{int(share * 100)} %"
    tone = TONES.get(run.status, "idle")
    chunks = f"{format_count(ended, 'chunk')} ended" if fan_outs else ""
    tiles = [
        ("Status", status, chunks, tone),
        ("Done", percent, "of the planned bytes" if run.has_bytes else "", ""),
        ("Time left", left, "", ""),
        ("Elapsed", format_seconds(run.spent_s), "", ""),
        ("Rows", f"{rows:,}", format_nbytes(done_nbytes) if done_nbytes else "", ""),
        ("Failed or skipped", f"{lost:,}", "chunks" if lost else "", "attention" if lost else ""),
    ]  # fmt: skip
    about = " · ".join(filter(None, (f"Run {run.run_id}", run.scheduler)))
    numbers = "".join(
        f'<div class="tile"><dt>{title}</dt><dd><span class="number {tone}">{escape(number)}</span>'
        f'<span class="note">{escape(line)}</span></dd></div>'
        for title, number, line, tone in tiles
        if fan_outs or title in ("Status", "Elapsed")
    )
    return (
        f'<div id="taskinity-head"><h1>{escape(inert_line(run.flow))}</h1>'
        f'<p class="about">{escape(inert_line(about))}</p><dl class="tiles">{numbers}</dl></div>'
    )


def format_legend(run: LiveRun) -> str:
    """Return how many chunks of all fan-outs are in each state, with its colour."""
    counts = {state: sum(task.counts[state] for task in run.fan_outs) for state in STATES}
    texts = "".join(
        f'<span class="key"><span class="swatch" style="--dot:{tone_of(state).fill}"></span>'
        f"{count:,} {state.lower()}</span>"
        for state, count in counts.items()
        if count
    )
    return f'<p id="taskinity-legend">{texts}</p>'


def label_of(run: LiveRun, name: str) -> str:
    """Return what the task `name` is shown as."""
    name = name.removesuffix("[*]")
    return inert_line(run.labels.get(name, name))


def format_graph(run: LiveRun) -> str:
    """Return the flow as SVG, its nodes coloured by their states."""
    states = {
        key: _shown(run.task_of(run.nodes[key]), state) for key, state in run.states().items()
    }
    # Within what the SVG's maker has put in quotes: texts have none.
    return re.sub(
        r'(<g class="(?:many )?)state-(n\d+)',
        lambda match: match[1] + states[match[2]].lower(),
        run.svg,
    )


def _shown(task: LiveTask, state: str) -> str:
    """Return the state of a task, SKIPPED where it has ended without some of its chunks."""
    is_partial = state == "COMPLETED" and (task.lost or task.counts["FALLBACK"])
    return "SKIPPED" if is_partial else state


def format_tasks(run: LiveRun) -> str:
    """Return a line for each task that has started: its state, progress, and what it has read."""
    lines = []
    for task in run.tasks.values():
        name = task.name.removesuffix("[*]")
        # Nobody wrote the other tasks of `process`; a reducer is shown with its chunks.
        if (run.labels and name not in run.labels) or f"{task.name}[*]" in run.tasks:
            continue
        rows = format_count(task.done_rows, "row") if task.done_rows else ""
        amount = format_nbytes(task.done_nbytes) if task.nbytes else ""
        text = " · ".join(filter(None, (task.describe(), rows, amount)))
        dot = tone_of(_shown(task, task.state)).fill
        lines.append(
            f'<tr><th><span class="swatch" style="--dot:{dot}"></span>'
            f"{escape(label_of(run, name))}</th><td>{escape(text)}</td></tr>"
        )
    return f'<table id="taskinity-tasks">{"".join(lines)}</table>'


def format_failure(task: str, failure: FailureCount) -> str:
    """Return the first failure of a group with its traceback, which can be unfolded."""
    first = inert_line((failure.error.splitlines() or ["?"])[0])
    return (
        f'<details id="taskinity-failure"><summary><b>{escape(first)}</b> '
        f"<small>{escape(inert_line(task))} · first in {escape(inert_line(failure.location))}"
        f"</small></summary><pre>{escape(inert(failure.traceback))}</pre></details>"
    )


def fill_strips(run: LiveRun) -> dict[str, Any]:
    """Return the cells of a strip for each fan-out, from 0 to 100 % of its planned bytes.

    A cell is a chunk, or those that share it, in the state that should be seen first; what no
    worker was given yet is one pale cell.
    """
    data: dict[str, list[Any]] = {
        name: [] for name in ("task", "left", "right", "color", "alpha", "where", "text")
    }
    for task in run.fan_outs:
        label, sizes = label_of(run, task.name), np.array(task.sizes, dtype=np.float64)
        codes = np.frombuffer(bytes(task.codes), dtype=np.uint8)
        edges = np.concatenate([[0.0], np.cumsum(sizes)])
        total = max(task.total, edges[-1], 1.0)
        cell = np.minimum(edges[:-1] / total * MAX_CELLS, MAX_CELLS - 1).astype(int)
        is_single = len(codes) <= MAX_CELLS
        starts = np.flatnonzero(sizes > 0 if is_single else np.diff(cell, prepend=-1))
        stops = np.append(starts[1:], len(codes))[: len(starts)]
        worst = np.minimum.reduceat(codes, starts) if len(starts) else codes
        lefts, rights = edges[starts] / total * 100, edges[stops] / total * 100
        for first, stop, code, left, right in zip(
            starts.tolist(), stops.tolist(), worst.tolist(), lefts.tolist(), rights.tolist(),
            strict=True,
        ):  # fmt: skip
            where, text = task.locations[first], _describe(task, first)
            if stop - first > 1 and not is_single:
                text = f"{STATES[code].lower()}, and {stop - first - 1:,} more chunks"
            gap = min((right - left) * 0.1, 0.1)
            cell_of = (label, left, right - gap, tone_of(STATES[code]).fill, 1.0, where, text)
            _append(data, cell_of)
        left = edges[-1] / total * 100
        if left < 100:
            _append(data, (label, left, 100.0, tone_of("PENDING").fill, 0.25, "", "not started"))
    return data


def _append(data: dict[str, list[Any]], values: tuple[Any, ...]) -> None:
    for column, value in zip(data.values(), values, strict=True):
        column.append(value)


def _describe(task: LiveTask, index: int) -> str:
    state, size = STATES[task.codes[index]].lower(), task.sizes[index]
    size_text = format_nbytes(size) if task.nbytes else ""
    return inert_line(", ".join(filter(None, (state, size_text, task.notes[index]))))


def fill_rate(run: LiveRun) -> tuple[str, dict[str, Any]]:
    """Return the unit of the throughput, and the throughput over time."""
    at_s = np.array([point[0] for point in run.throughput])
    done = np.array([point[1] for point in run.throughput])
    before = np.searchsorted(at_s, at_s - RATE_S)
    spent_s = at_s - at_s[before]
    rates = np.divide(done - done[before], spent_s, where=spent_s > 0, out=np.zeros(len(at_s)))
    unit, scale = _unit(rates) if run.has_bytes else ("chunks", 1.0)
    return f"{unit}/s", {"x": at_s.tolist(), "y": (rates / scale).tolist()}


def fill_sizes(run: LiveRun) -> tuple[str, dict[str, Any]]:
    """Return the unit of chunks' sizes, and the sizes over time; empty if they hardly differ."""
    nbytes = np.array([size for _, size in run.sizes])
    if not len(nbytes) or np.quantile(nbytes, 0.95) < _MIN_SPREAD * np.quantile(nbytes, 0.05):
        return "", {"x": [], "y": []}
    unit, scale = _unit(nbytes)
    return unit, {"x": [at_s for at_s, _ in run.sizes], "y": (nbytes / scale).tolist()}


def _unit(nbytes: Any) -> tuple[str, float]:
    """Return the unit in which the largest of `nbytes` has few digits."""
    largest = max(nbytes, default=0.0)
    units = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
    return next(((name, scale) for name, scale in units.items() if largest >= scale), ("B", 1.0))


def fill_memory(workers: Sequence[Any]) -> tuple[list[str], str, dict[str, Any]]:
    """Return the names of the first workers, the unit, and the memory and limit of each in it."""
    workers = workers[:MAX_WORKERS]
    names = [str(worker.name).removeprefix("tcp://").removeprefix("tls://") for worker in workers]
    used = [float(worker.metrics.get("memory") or 0) for worker in workers]
    limits = [float(worker.memory_limit or 0) for worker in workers]
    texts = [
        f"{format_nbytes(nbytes)} of {format_nbytes(limit)}" if limit else format_nbytes(nbytes)
        for nbytes, limit in zip(used, limits, strict=True)
    ]
    unit, scale = _unit([*used, *limits])
    columns = {"used": used, "limit": limits}
    scaled = {name: [nbytes / scale for nbytes in column] for name, column in columns.items()}
    return names, unit, {"worker": names, **scaled, "text": texts}
