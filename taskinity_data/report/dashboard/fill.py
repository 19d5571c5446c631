"""What the page of a run is filled with: HTML and columns, from a `LiveRun` as it is now.

Nothing that data, names or errors hold is ever taken for markup. It knows nothing of Bokeh.
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
    "COLORS", "MOST_BARS", "MOST_CELLS", "Cells", "fill_bars", "fill_cells", "fill_memory",
    "fill_rate", "fill_sizes", "tell_failure", "tell_graph", "tell_head", "tell_tasks",
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

_WORDS = {"REUSED": "used again"}

MOST_CELLS = 3_000
"""Chunks that get a cell each; of more, each file is a row of shares."""

LEAST_WIDE, MOST_WIDE = 10, 100
"""Cells in a line."""

MOST_NAMED = 24
"""Lines of cells beside which the file's name has room; beyond that files follow one another."""

MOST_BARS = 60
"""Rows of shares, or workers, at most: neighbouring files are put together beyond that."""

_MOST_LETTERS = 22

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


def tell_head(run: LiveRun) -> str:
    """The run in one line, and what the colours mean."""
    legend = " ".join(
        f'<span style="white-space:nowrap;margin-right:8px"><span style="color:{color}">&#9632;'
        f"</span> {_WORDS.get(state, state.lower())}</span>"
        for state, color in COLORS.items()
    )
    status = "its driver has gone" if run.status == "LOST" else run.status
    told = [f"{run.flow}: {status}", format_seconds(run.spent_s), run.scheduler]
    text = escape(inert_line(", ".join(filter(None, told))))
    return (
        f'<h2 id="taskinity-head" style="margin:8px 0;overflow-wrap:anywhere">{text}</h2>'
        f'<p style="margin:8px 0">run {escape(run.run_id)}</p><p style="margin:8px 0">{legend}</p>'
    )


def tell_graph(run: LiveRun) -> str:
    """The flow as SVG, its nodes coloured by their states."""
    states = run.states()

    def colored(found: re.Match[str]) -> str:
        return f"{found[1]}{states.get(found[2], 'PENDING').lower()}"

    # Within what the SVG's maker has put in quotes: texts have none.
    return _STYLE + re.sub(r'(<g class="(?:many )?)state-(n\d+)', colored, run.svg)


def tell_tasks(run: LiveRun) -> str:
    """A line for each node of the flow: its state, how far it is, what it has read."""
    lines = []
    states = run.states()
    order = {name: place for place, name in enumerate(run.tasks)}
    for key, node in sorted(
        run.nodes.items(), key=lambda one: min(order.get(name, 0) for name in one[1].names)
    ):
        task, state = run.task_of(node), states[key]
        told = task.tell() if task.is_fan_out else state.lower()
        if node.stands_by and state == "PENDING":
            told = "stands by"
        rows = format_count(task.done_rows, "row") if task.done_rows else ""
        amount = format_nbytes(task.done_nbytes) if task.nbytes else ""
        told = " · ".join(filter(None, (told, rows, amount)))
        lines.append(
            f'<tr><td style="color:{COLORS.get(state, COLORS["PENDING"])}">&#9632;</td>'
            '<td style="padding:2px 12px 2px 0;overflow-wrap:anywhere;min-width:min(9em,40vw)">'
            f"{escape(inert_line(node.label))}</td><td>{escape(told)}</td></tr>"
        )
    return f'<table id="taskinity-tasks" style="vertical-align:top">{"".join(lines)}</table>'


def tell_failure(task: str, where: str, error: str, traceback: str) -> str:
    """One failure with its traceback, to be opened."""
    first = inert_line((error.splitlines() or ["?"])[0])
    return (
        '<details id="taskinity-failure"><summary style="overflow-wrap:anywhere;cursor:pointer">'
        f"{escape(inert_line(task))}: {escape(first)} <small>{escape(inert_line(where))}</small>"
        '</summary><pre style="overflow:auto;max-height:320px;white-space:pre-wrap;'
        'overflow-wrap:anywhere">'
        f"{escape(inert(traceback))}</pre></details>"
    )


def fill_cells(run: LiveRun) -> Cells:
    """A cell for each chunk. A file begins a line of its own; of very many files each follows the
    last one, with a gap between them.
    """
    columns = run.columns
    files = [
        (name, [one for one in places if columns["state"][one] != "SPLIT"])
        for name, places in run.files.items()
    ]
    wide = max((len(places) for _, places in files), default=0)
    wide = min(MOST_WIDE, max(LEAST_WIDE, wide))
    high = sum(-(-len(places) // wide) for _, places in files)
    data: dict[str, list[Any]] = {name: [] for name in ("x", "y", "color", "where", "told")}
    names: dict[int, str] = {}
    is_named = high <= MOST_NAMED
    if not is_named:
        wide = MOST_WIDE
    at = 0
    several = len({task for task, _ in run.files}) > 1
    for (task, path), places in files:
        if is_named:
            at = -(-at // wide) * wide
            names[at // wide] = _short(path, task, several)
        for place in places:
            data["x"].append(at % wide)
            data["y"].append(at // wide)
            data["color"].append(COLORS[columns["state"][place]])
            where = f"{path} {columns['where'][place]}".strip() or columns["key"][place]
            data["where"].append(inert_line(where))
            data["told"].append(_tell_chunk(columns, place))
            at += 1
        at += not is_named
    return Cells(data, wide, max(1, -(-at // wide)), names)


def _short(path: str, task: str, several: bool) -> str:
    """A file's name, or a task's where there is none, with room beside a plot."""
    name = path.rsplit("/", 1)[-1]
    name = f"{task} {name}".strip() if several or not name else name
    name = inert_line(name)
    return name if len(name) <= _MOST_LETTERS else f"{name[: _MOST_LETTERS - 1]}…"


def _tell_chunk(columns: dict[str, list[Any]], place: int) -> str:
    state = columns["state"][place]
    told = [_WORDS.get(state, state.lower())]
    told += [format_nbytes(columns["nbytes"][place])] if columns["nbytes"][place] else []
    if columns["rows"][place] is not None:
        told.append(format_count(columns["rows"][place], "row"))
    if columns["worker"][place]:
        told.append(f"{format_seconds(columns['seconds'][place])} on {columns['worker'][place]}")
    if columns["attempts"][place] > 1:
        told.append(f"{columns['attempts'][place]} attempts")
    return inert_line(", ".join(told))


def fill_bars(run: LiveRun) -> dict[str, Any]:
    """How many chunks of each file are in each state; neighbours together where files are many."""
    files = list(run.shares.items())
    several = len({task for task, _ in run.shares}) > 1
    step = -(-len(files) // MOST_BARS) or 1
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
    """What the throughput is told in, and the throughput over time."""
    at_s = np.array([point[0] for point in run.throughput])
    done = np.array([point[1] for point in run.throughput])
    before = np.searchsorted(at_s, at_s - RATE_S)
    spent_s = at_s - at_s[before]
    rates = np.divide(done - done[before], spent_s, where=spent_s > 0, out=np.zeros(len(at_s)))
    unit, scale = _unit(rates) if run.has_bytes else ("chunks", 1.0)
    return f"{unit}/s", {"x": at_s.tolist(), "y": (rates / scale).tolist()}


def fill_sizes(run: LiveRun) -> tuple[str, dict[str, Any]]:
    """What sizes of chunks are told in, and the sizes over time."""
    nbytes = np.array([size for _, size in run.sizes])
    unit, scale = _unit(nbytes)
    return unit, {"x": [at_s for at_s, _ in run.sizes], "y": (nbytes / scale).tolist()}


def _unit(nbytes: Any) -> tuple[str, float]:
    """The unit in which the largest of `nbytes` has few digits."""
    most = max(nbytes, default=0.0)
    units = {"GB": 1e9, "MB": 1e6, "kB": 1e3}
    return next(((name, one) for name, one in units.items() if most >= one), ("B", 1.0))


def fill_memory(workers: Sequence[Any]) -> tuple[list[str], dict[str, Any]]:
    """Names of the first workers, and what each holds of what it may."""
    workers = workers[:MOST_BARS]
    names = [str(one.name).removeprefix("tcp://").removeprefix("tls://") for one in workers]
    used = [float(one.metrics.get("memory") or 0) for one in workers]
    limits = [float(one.memory_limit or 0) for one in workers]
    told = [
        f"{format_nbytes(have)} of {format_nbytes(most)}" if most else format_nbytes(have)
        for have, most in zip(used, limits, strict=True)
    ]
    return names, {"worker": names, "used": used, "limit": limits, "told": told}
