"""Make the contents of a run's page: HTML and columns, from a `LiveRun` as it is now.

Text from data, names or errors is always escaped. Widgets are in `page`.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from taskinity_data.report.run_columns import STATES
from taskinity_data.wording import format_count, format_nbytes, format_seconds, inert, inert_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.report.run_columns import LiveRun

__all__ = [
    "COLORS", "MAX_BARS", "MAX_CELLS", "Cells", "fill_bars", "fill_cells", "fill_memory",
    "fill_rate", "fill_sizes", "format_failure", "format_graph", "format_head", "format_tasks",
]  # fmt: skip

COLORS = {
    "PENDING": "#b9c0ca",
    "RUNNING": "#5b9bd5",
    "RETRYING": "#e5a13b",
    "COMPLETED": "#3f9e60",
    "REUSED": "#9fd3af",
    "SKIPPED": "#a98bc9",
    "FAILED": "#d1495b",
}
"""Of the states; for those who see no red or green they differ in lightness too."""

_WORDS = {"REUSED": "reused"}

MAX_CELLS = 3_000
"""Chunks that get a cell each; of more, each file is a row of shares."""

MIN_WIDTH, MAX_WIDTH = 10, 100
"""Cells in a line."""

MAX_NAMED = 24
"""Lines of cells beside which the file's name has room; beyond that files follow one another."""

MAX_BARS = 60
"""Rows of shares, or workers, at most: neighbouring files are put together beyond that."""

_MAX_CHARACTERS = 22

RATE_S = 3.0
"""Over how long the throughput is taken: what ends in between is even enough to be read."""

_STYLE = "<style>" + "".join(
    f".taskinity-flow g.{state.lower()} rect{{stroke:{color};stroke-width:3}}"
    for state, color in COLORS.items()
) + ".taskinity-flow g.pending rect{stroke-width:1.5}</style>"  # fmt: skip


class Cells(NamedTuple):
    """Columns for a rectangle a chunk, how many are in a line, how many lines, and their names."""

    data: dict[str, Any]
    wide: int
    high: int
    names: dict[int, str]


def format_head(run: LiveRun) -> str:
    """Return the run in one line, and the legend of the colours."""
    legend = " ".join(
        f'<span style="white-space:nowrap;margin-right:8px"><span style="color:{color}">&#9632;'
        f"</span> {_WORDS.get(state, state.lower())}</span>"
        for state, color in COLORS.items()
    )
    status = "its driver has gone" if run.status == "LOST" else run.status
    parts = [f"{run.flow}: {status}", format_seconds(run.spent_s), run.scheduler]
    text = escape(inert_line(", ".join(filter(None, parts))))
    return (
        f'<h2 id="taskinity-head" style="margin:8px 0;overflow-wrap:anywhere">{text}</h2>'
        f'<p style="margin:8px 0">run {escape(run.run_id)}</p><p style="margin:8px 0">{legend}</p>'
    )


def format_graph(run: LiveRun) -> str:
    """Return the flow as SVG, its nodes coloured by their states."""
    states = run.states()

    def colored(match: re.Match[str]) -> str:
        return f"{match[1]}{states.get(match[2], 'PENDING').lower()}"

    # Within what the SVG's maker has put in quotes: texts have none.
    return _STYLE + re.sub(r'(<g class="(?:many )?)state-(n\d+)', colored, run.svg)


def format_tasks(run: LiveRun) -> str:
    """Return a line for each node of the flow: its state, progress, and what it has read."""
    lines = []
    states = run.states()
    order = {name: position for position, name in enumerate(run.tasks)}
    for key, node in sorted(
        run.nodes.items(), key=lambda item: min(order.get(name, 0) for name in item[1].names)
    ):
        task, state = run.task_of(node), states[key]
        text = task.describe() if task.is_fan_out else state.lower()
        if node.stands_by and state == "PENDING":
            text = "stands by"
        rows = format_count(task.done_rows, "row") if task.done_rows else ""
        amount = format_nbytes(task.done_nbytes) if task.nbytes else ""
        text = " · ".join(filter(None, (text, rows, amount)))
        lines.append(
            f'<tr><td style="color:{COLORS.get(state, COLORS["PENDING"])}">&#9632;</td>'
            '<td style="padding:2px 12px 2px 0;overflow-wrap:anywhere;min-width:min(9em,40vw)">'
            f"{escape(inert_line(node.label))}</td><td>{escape(text)}</td></tr>"
        )
    return f'<table id="taskinity-tasks" style="vertical-align:top">{"".join(lines)}</table>'


def format_failure(task: str, where: str, error: str, traceback: str) -> str:
    """Return one failure with its traceback, which can be unfolded."""
    first = inert_line((error.splitlines() or ["?"])[0])
    return (
        '<details id="taskinity-failure"><summary style="overflow-wrap:anywhere;cursor:pointer">'
        f"{escape(inert_line(task))}: {escape(first)} <small>{escape(inert_line(where))}</small>"
        '</summary><pre style="overflow:auto;max-height:320px;white-space:pre-wrap;'
        'overflow-wrap:anywhere">'
        f"{escape(inert(traceback))}</pre></details>"
    )


def fill_cells(run: LiveRun) -> Cells:
    """Return a cell for each chunk.

    Each file begins a new line; if there are very many, each follows the last one after a gap.
    """
    columns = run.columns
    files = [
        (name, [index for index in indexes if columns["state"][index] != "SPLIT"])
        for name, indexes in run.files.items()
    ]
    wide = max((len(indexes) for _, indexes in files), default=0)
    wide = min(MAX_WIDTH, max(MIN_WIDTH, wide))
    high = sum(-(-len(indexes) // wide) for _, indexes in files)
    data: dict[str, list[Any]] = {name: [] for name in ("x", "y", "color", "where", "text")}
    names: dict[int, str] = {}
    is_named = high <= MAX_NAMED
    if not is_named:
        wide = MAX_WIDTH
    at = 0
    several = len({task for task, _ in run.files}) > 1
    for (task, path), indexes in files:
        if is_named:
            at = -(-at // wide) * wide
            names[at // wide] = _short(path, task, several)
        for index in indexes:
            data["x"].append(at % wide)
            data["y"].append(at // wide)
            data["color"].append(COLORS[columns["state"][index]])
            where = f"{path} {columns['where'][index]}".strip() or columns["key"][index]
            data["where"].append(inert_line(where))
            data["text"].append(_describe_chunk(columns, index))
            at += 1
        at += not is_named
    return Cells(data, wide, max(1, -(-at // wide)), names)


def _short(path: str, task: str, several: bool) -> str:
    """Return a file's name, or else a task's, short enough for the label of a plot."""
    name = path.rsplit("/", 1)[-1]
    name = f"{task} {name}".strip() if several or not name else name
    name = inert_line(name)
    return name if len(name) <= _MAX_CHARACTERS else f"{name[: _MAX_CHARACTERS - 1]}…"


def _describe_chunk(columns: dict[str, list[Any]], index: int) -> str:
    state = columns["state"][index]
    parts = [_WORDS.get(state, state.lower())]
    parts += [format_nbytes(columns["nbytes"][index])] if columns["nbytes"][index] else []
    if columns["rows"][index] is not None:
        parts.append(format_count(columns["rows"][index], "row"))
    if columns["worker"][index]:
        parts.append(f"{format_seconds(columns['seconds'][index])} on {columns['worker'][index]}")
    if columns["attempts"][index] > 1:
        parts.append(f"{columns['attempts'][index]} attempts")
    return inert_line(", ".join(parts))


def fill_bars(run: LiveRun) -> dict[str, Any]:
    """Return how many chunks of each file are in each state; of many files, neighbours together."""
    files = list(run.shares.items())
    several = len({task for task, _ in run.shares}) > 1
    step = -(-len(files) // MAX_BARS) or 1
    bars: dict[str, list[Any]] = {"file": [], **{state: [] for state in STATES}}
    for first in range(0, len(files), step):
        some = files[first : first + step]
        (task, path), _ = some[0]
        more = f" and {len(some) - 1:,} more" if len(some) > 1 else ""
        # Files of one name in several directories are to stay apart.
        bars["file"].append(f"{_short(path, task, several)}{more} ({first // step + 1})")
        for state in STATES:
            bars[state].append(sum(counts[state] for _, counts in some))
    return bars


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
    """Return the unit of chunks' sizes, and the sizes over time."""
    nbytes = np.array([size for _, size in run.sizes])
    unit, scale = _unit(nbytes)
    return unit, {"x": [at_s for at_s, _ in run.sizes], "y": (nbytes / scale).tolist()}


def _unit(nbytes: Any) -> tuple[str, float]:
    """Return the unit in which the largest of `nbytes` has few digits."""
    largest = max(nbytes, default=0.0)
    units = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
    return next(((name, scale) for name, scale in units.items() if largest >= scale), ("B", 1.0))


def fill_memory(workers: Sequence[Any]) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the first workers, and the memory that each uses, with its limit."""
    workers = workers[:MAX_BARS]
    names = [str(worker.name).removeprefix("tcp://").removeprefix("tls://") for worker in workers]
    used = [float(worker.metrics.get("memory") or 0) for worker in workers]
    limits = [float(worker.memory_limit or 0) for worker in workers]
    texts = [
        f"{format_nbytes(nbytes)} of {format_nbytes(limit)}" if limit else format_nbytes(nbytes)
        for nbytes, limit in zip(used, limits, strict=True)
    ]
    return names, {"worker": names, "used": used, "limit": limits, "text": texts}
