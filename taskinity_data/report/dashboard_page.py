"""The page of a run on Dask's dashboard: what is drawn, and what a moment's state fills it with.

One document a visitor; all are filled from the same `LiveRun`. Nothing that data, names or errors
hold is ever taken for markup.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, NumeralTickFormatter
from bokeh.models.widgets import Div
from bokeh.plotting import figure as bokeh_figure
from distributed.dashboard.components.scheduler import env

from taskinity_data.report.live import STATES
from taskinity_data.report.words import tell_nbytes, tell_seconds

if TYPE_CHECKING:
    from bokeh.document import Document

    from taskinity_data.report.dashboard_plugin import DashboardPlugin
    from taskinity_data.report.live import LiveRun

__all__ = ["fill_bars", "fill_cells", "page"]

figure: Any = bokeh_figure  # its stubs take no ranges or tools by their short forms

COLORS = {
    "PENDING": "#d5d9df",
    "RUNNING": "#5b9bd5",
    "COMPLETED": "#4ca66b",
    "RETRYING": "#e5a13b",
    "SKIPPED": "#a98bc9",
    "FAILED": "#d1495b",
}
"""Of the states; for those who see no red or green they differ in lightness too."""

_STATES_STYLE = "<style>" + "".join(
    f".taskinity-flow .{state.lower()} rect{{stroke:{color};stroke-width:3}}"
    for state, color in COLORS.items()
) + "</style>"  # fmt: skip

REFRESH_MS = 500

MOST_CELLS = 3_000
"""Chunks that get a cell each; of more, each file is a row of shares."""

CELLS_A_ROW = 100

MOST_BARS = 60
"""Rows of shares at most: neighbouring files are put together beyond that."""

MOST_FAILURES_SHOWN = 20

_EMPTY: dict[str, list[Any]] = {"x": [], "y": [], "color": [], "where": [], "told": []}


def page(plugin: DashboardPlugin, scheduler: Any, extra: dict[str, Any], doc: Document) -> None:
    """Make a visitor's document, and keep it up to date."""
    view = _View(plugin, scheduler)
    doc.title = "Taskinity Data"
    doc.add_root(view.root)
    doc.template = env.get_template("simple.html")
    doc.template_variables.update(extra)
    doc.add_periodic_callback(view.update, REFRESH_MS)
    view.update()


class _View:
    """One visitor's widgets."""

    def __init__(self, plugin: DashboardPlugin, scheduler: Any) -> None:
        self._plugin = plugin
        self._scheduler = scheduler
        self._seen: tuple[str, int] | None = None
        self._drawn_svg = ""
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        self._head = Div(**wide)
        self._graph = Div(width=360)
        self._tasks = Div(**wide)
        self._failures = Div(**wide)
        self._cells = ColumnDataSource(dict(_EMPTY))
        self._bars = ColumnDataSource({"file": [], **{state: [] for state in STATES}})
        self._rate = ColumnDataSource({"x": [], "y": []})
        self._size = ColumnDataSource({"x": [], "y": []})
        self._memory = ColumnDataSource({"worker": [], "used": [], "limit": [], "told": []})
        self._map = _draw_cells(self._cells)
        self._files = _draw_bars(self._bars)
        self._workers = _draw_memory(self._memory)
        series = {"height": 200, "sizing_mode": "stretch_width", "tools": ""}
        done = figure(title="Done (MB)", **series)
        done.line("x", "y", source=self._rate, line_width=2, color=COLORS["COMPLETED"])
        sizes = figure(title="Size of chunks when handed out (MB)", **series)
        sizes.step("x", "y", source=self._size, mode="after", line_width=2, color=COLORS["RUNNING"])
        for plot in (done, sizes):
            plot.xaxis.axis_label = "seconds"
            plot.toolbar.logo = None
        self.root = column(
            self._head,
            row(self._graph, self._tasks, sizing_mode="stretch_width"),
            self._map,
            self._files,
            row(done, sizes, self._workers, sizing_mode="stretch_width"),
            self._failures,
            sizing_mode="stretch_width",
        )

    def update(self) -> None:
        """Show the newest run as it is now; nothing travels where nothing has changed."""
        run = next(reversed(self._plugin.runs.values()), None)
        if run is None:
            self._head.text = "<p>No run has been here yet.</p>"
            return
        self._show_memory()
        if self._seen == (run.run_id, run.version):
            return
        self._seen = run.run_id, run.version
        self._head.text = tell_head(run)
        if run.svg != self._drawn_svg:
            self._drawn_svg = run.svg
            self._graph.text = _STATES_STYLE + run.svg
        self._tasks.text = tell_tasks(run)
        self._failures.text = tell_failures(run)
        is_many = len(run.columns["key"]) > MOST_CELLS
        self._map.visible, self._files.visible = not is_many, is_many
        if is_many:
            bars = fill_bars(run)
            self._files.y_range.factors = bars["file"][::-1]
            self._bars.data = bars
        else:
            self._cells.data = fill_cells(run)
        for source, points, scale in (
            (self._rate, run.throughput, 1e6),
            (self._size, run.sizes, 1e6),
        ):
            source.data = {"x": [x for x, _ in points], "y": [y / scale for _, y in points]}

    def _show_memory(self) -> None:
        workers = list(self._scheduler.workers.values())[:MOST_BARS]
        names = [str(one.name) for one in workers]
        used = [float(one.metrics.get("memory") or 0) for one in workers]
        limits = [float(one.memory_limit or 0) for one in workers]
        told = [
            f"{tell_nbytes(have)} of {tell_nbytes(most)}" if most else tell_nbytes(have)
            for have, most in zip(used, limits, strict=True)
        ]
        if names != list(self._workers.y_range.factors):
            self._workers.y_range.factors = names
        self._memory.data = {"worker": names, "used": used, "limit": limits, "told": told}


def _draw_cells(source: ColumnDataSource) -> Any:
    plot = figure(
        title="Chunks, in order, file after file",
        height=240,
        sizing_mode="stretch_width",
        tools="",
        x_range=(-0.5, CELLS_A_ROW - 0.5),
    )
    plot.rect("x", "y", 0.9, 0.9, source=source, fill_color="color", line_color=None)
    plot.y_range.flipped = True
    plot.axis.visible = plot.grid.visible = False
    plot.toolbar.logo = None
    # Texts in braces are escaped; only those marked as safe would not be.
    plot.add_tools(HoverTool(tooltips=[("chunk", "@where"), ("", "@told")]))
    return plot


def _draw_bars(source: ColumnDataSource) -> Any:
    plot = figure(
        title="Chunks by file and state",
        height=420,
        sizing_mode="stretch_width",
        tools="",
        y_range=FactorRange(),
    )
    plot.hbar_stack(
        list(STATES),
        y="file",
        height=0.8,
        source=source,
        color=[COLORS[state] for state in STATES],
        legend_label=list(STATES),
    )
    plot.add_tools(HoverTool(tooltips=[("file", "@file"), *((one, f"@{one}") for one in STATES)]))
    plot.toolbar.logo = None
    plot.visible = False
    return plot


def _draw_memory(source: ColumnDataSource) -> Any:
    plot = figure(
        title="Memory of workers, and their limits",
        height=200,
        sizing_mode="stretch_width",
        tools="",
        y_range=FactorRange(),
    )
    plot.hbar("worker", right="limit", height=0.8, source=source, color=COLORS["PENDING"])
    plot.hbar("worker", right="used", height=0.8, source=source, color=COLORS["RUNNING"])
    plot.xaxis.formatter = NumeralTickFormatter(format="0.0b")
    plot.add_tools(HoverTool(tooltips=[("worker", "@worker"), ("memory", "@told")]))
    plot.toolbar.logo = None
    return plot


def tell_head(run: LiveRun) -> str:
    """The run in one line, and what the colours mean."""
    spent = tell_seconds(max(0.0, run.now_s - run.started_s))
    legend = " ".join(
        f'<span style="white-space:nowrap"><span style="color:{color}">&#9632;</span> '
        f"{state.lower()}</span>"
        for state, color in COLORS.items()
    )
    who = f", {escape(run.scheduler)}" if run.scheduler else ""
    return (
        f'<h2 id="taskinity-head">{escape(run.flow)}: {escape(run.status)}, {spent}{who}</h2>'
        f"<p>run {escape(run.run_id)} &nbsp; {legend}</p>"
    )


def tell_tasks(run: LiveRun) -> str:
    """A line for each task: its state, how far it is, what it has read."""
    lines = []
    for task in run.tasks.values():
        color = COLORS.get(task.state, COLORS["PENDING"])
        amount = f"{tell_nbytes(task.done_nbytes)}" if task.nbytes else ""
        rows = f"{task.done_rows:,} rows" if task.done_rows else ""
        cells = "".join(
            f'<td style="padding:2px 12px 2px 0">{escape(text)}</td>'
            for text in (task.name, task.tell(), rows, amount)
        )
        lines.append(f'<tr><td style="color:{color}">&#9632;</td>{cells}</tr>')
    return f'<table id="taskinity-tasks">{"".join(lines)}</table>'


def tell_failures(run: LiveRun) -> str:
    """The newest failures with their tracebacks, to be opened."""
    if not run.failures:
        return ""
    shown = list(run.failures)[-MOST_FAILURES_SHOWN:][::-1]
    items = "".join(
        f"<details><summary>{escape(task)}: {escape(error.splitlines()[0])} "
        f"<small>{escape(where)}</small></summary><pre>{escape(traceback)}</pre></details>"
        for task, where, error, traceback in shown
    )
    return f'<div id="taskinity-failures"><h3>Failures, the newest first</h3>{items}</div>'


def fill_cells(run: LiveRun) -> dict[str, Any]:
    """A cell for each chunk, in lines of `CELLS_A_ROW`; a file begins a line of its own."""
    columns = run.columns
    cells: dict[str, list[Any]] = {name: [] for name in _EMPTY}
    line = -1
    for _, places in groupby(range(len(columns["key"])), key=columns["path"].__getitem__):
        for number, _ in enumerate(places):
            line += number % CELLS_A_ROW == 0
            cells["x"].append(number % CELLS_A_ROW)
            cells["y"].append(line)
    cells["color"] = [COLORS[state] for state in columns["state"]]
    cells["where"] = [
        f"{path} {where}".strip() or key
        for path, where, key in zip(columns["path"], columns["where"], columns["key"], strict=True)
    ]
    cells["told"] = [_tell_chunk(columns, place) for place in range(len(columns["key"]))]
    return cells


def _tell_chunk(columns: dict[str, list[Any]], place: int) -> str:
    told = [str(columns["state"][place]).lower(), tell_nbytes(columns["nbytes"][place])]
    if columns["rows"][place] is not None:
        told.append(f"{columns['rows'][place]:,} rows")
    if columns["attempts"][place]:
        told.append(f"{tell_seconds(columns['seconds'][place])} on {columns['worker'][place]}")
    if columns["attempts"][place] > 1:
        told.append(f"{columns['attempts'][place]} attempts")
    return ", ".join(told)


def fill_bars(run: LiveRun) -> dict[str, Any]:
    """How many chunks of each file are in each state; neighbours together where files are many."""
    names = list(dict.fromkeys(run.columns["path"]))
    number = {name: place for place, name in enumerate(names)}
    step = -(-len(names) // MOST_BARS)
    files = np.array([number[name] for name in run.columns["path"]]) // step
    order = {state: place for place, state in enumerate(STATES)}
    states = np.array([order[state] for state in run.columns["state"]])
    rows = int(files.max()) + 1
    counts = np.bincount(files * len(STATES) + states, minlength=rows * len(STATES))
    table = counts.reshape(rows, len(STATES))
    labels = []
    for row_ in range(rows):
        some = names[row_ * step : (row_ + 1) * step]
        more = f" and {len(some) - 1} more" if len(some) > 1 else ""
        labels.append(f"{some[0].rsplit('/', 1)[-1] or 'items'}{more} ({row_ + 1})")
    return {
        "file": labels,
        **{state: table[:, place].tolist() for state, place in order.items()},
    }
