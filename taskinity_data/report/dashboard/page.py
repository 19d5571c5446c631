"""The page of a run on Dask's dashboard: its widgets, and how a moment's state fills them.

One document a visitor; all are filled from the same `LiveRun`. What they are filled with is made in
`fill`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, FactorRange, HoverTool, NumeralTickFormatter, Range1d
from bokeh.models.widgets import Div, Select
from bokeh.plotting import figure as bokeh_figure
from distributed.dashboard.components.scheduler import env

from taskinity_data.report.dashboard.fill import (
    COLORS,
    MAX_BARS,
    MAX_CELLS,
    fill_bars,
    fill_cells,
    fill_memory,
    fill_rate,
    fill_sizes,
    format_failure,
    format_graph,
    format_head,
    format_tasks,
)
from taskinity_data.report.run_columns import STATES

if TYPE_CHECKING:
    from collections import OrderedDict

    from bokeh.document import Document

    from taskinity_data.report.run_columns import LiveRun

__all__ = ["page"]

figure: Any = bokeh_figure  # its stubs take no ranges or tools by their short forms

REFRESH_MS = 500

MAX_FAILURES_SHOWN = 20

_GREY = "#6b7684"
"""The colour of text in plots, the same in light and dark mode: a contrast of 4:1 in both."""

_TEMPLATE = """{% extends "simple.html" %}{% block extra_resources %}<style>
@media (prefers-color-scheme: dark) {
  html { background: #14171c; color: #d8dee9; color-scheme: dark; }
  .navbar ul, .dropdown-content { background-color: #262b33; }
  .navbar li a { color: #d8dee9; }
  .navbar li:hover a { color: #14171c; }
  #navbar-toggle-icon img { filter: invert(1); }
}
</style>{% endblock %}"""
"""Dask's own page is light for everyone."""

_DARK_SELECT = """@media (prefers-color-scheme: dark) {
  .bk-input { background-color: #262b33; color: #d8dee9; }
}"""

_WRAP = {"flex-wrap": "wrap", "gap": "12px"}


def page(
    runs: OrderedDict[str, LiveRun], scheduler: Any, extra: dict[str, Any], doc: Document
) -> None:
    """Make a visitor's document of `runs`, and keep it up to date."""
    view = _View(runs, scheduler)
    doc.title = "Taskinity Data"
    doc.add_root(view.root)
    doc.template = env.from_string(_TEMPLATE)
    doc.template_variables.update(extra)
    doc.add_periodic_callback(view.update, REFRESH_MS)
    view.update()


class _View:
    """One visitor's widgets."""

    def __init__(self, runs: OrderedDict[str, LiveRun], scheduler: Any) -> None:
        self._runs = runs
        self._scheduler = scheduler
        self._drawn: tuple[LiveRun, int] | None = None
        self._details: dict[tuple[str, ...], Div] = {}
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        self._head = Div(**wide)
        self._choice = Select(value="", width=360, visible=False, stylesheets=[_DARK_SELECT])
        scrolled = {"max-height": "520px", "overflow": "auto"}
        self._graph = Div(styles={"max-width": "100%", **scrolled})
        self._tasks = Div(styles={"flex": "1 1 320px", "min-width": "0", **scrolled})
        self._failures = column(**wide)
        self._cells = ColumnDataSource({name: [] for name in ("x", "y", "color", "where", "text")})
        self._bars = ColumnDataSource({"file": [], **{state: [] for state in STATES}})
        self._rate = ColumnDataSource({"x": [], "y": []})
        self._size = ColumnDataSource({"x": [], "y": []})
        self._memory = ColumnDataSource({"worker": [], "used": [], "limit": [], "text": []})
        self._map = _draw_cells(self._cells)
        self._files = _draw_bars(self._bars)
        self._workers = _draw_memory(self._memory)
        self._done = _draw("Throughput")
        self._done.line("x", "y", source=self._rate, line_width=2, color=COLORS["COMPLETED"])
        self._sizes = _draw("Size of chunks when handed out")
        self._sizes.step(
            "x", "y", source=self._size, mode="after", line_width=2, color=COLORS["RUNNING"]
        )
        for plot in (self._done, self._sizes):
            plot.xaxis.axis_label = "seconds"
            plot.y_range.start = 0
        for plot in (self._done, self._sizes, self._workers):
            plot.styles = {"flex": "1 1 280px"}
        self.root = column(
            self._choice,
            self._head,
            row(self._graph, self._tasks, styles=_WRAP, **wide),
            self._map,
            self._files,
            row(self._done, self._sizes, self._workers, styles=_WRAP, **wide),
            self._failures,
            **wide,
        )

    def update(self) -> None:
        """Show the chosen run as it is now; nothing travels where nothing has changed."""
        self._offer_runs()
        self._show_memory()
        run = self._runs.get(self._choice.value)
        run = run or next(reversed(self._runs.values()), None)
        if run is None:
            self._head.text = "<p>No run has been here yet.</p>"
            return
        self._head.text = format_head(run)
        if self._drawn == (run, run.version):
            return
        self._drawn = run, run.version
        self._graph.text = format_graph(run)
        self._tasks.text = format_tasks(run)
        self._show_failures(run)
        self._show_chunks(run)
        unit, self._rate.data = fill_rate(run)
        self._done.title.text = f"Throughput ({unit})"
        unit, self._size.data = fill_sizes(run)
        self._sizes.title.text = f"Size of chunks when handed out ({unit})"
        self._sizes.visible = bool(run.sizes)
        self._done.visible = bool(run.files)

    def _offer_runs(self) -> None:
        """Offer a choice if there are several runs; without one the newest is shown."""
        runs = list(self._runs.values())[::-1]
        choices = [(run.run_id, f"{run.flow}: {run.status}, {run.run_id}"[:120]) for run in runs]
        options: list[Any] = [("", "the newest run"), *choices]
        if options != self._choice.options:
            self._choice.options = options
        if self._choice.value not in dict(options):
            self._choice.value = ""
        self._choice.visible = len(runs) > 1

    def _show_chunks(self, run: LiveRun) -> None:
        count = len(run.columns["key"])
        self._map.visible, self._files.visible = 0 < count <= MAX_CELLS, count > MAX_CELLS
        if self._files.visible:
            bars = fill_bars(run)
            self._files.y_range.factors = bars["file"][::-1]
            self._files.height = 60 + 20 * max(2, len(bars["file"]))
            self._bars.data = bars
        elif self._map.visible:
            cells = fill_cells(run)
            plot = self._map
            plot.x_range.end = cells.wide - 0.5
            plot.y_range.start = cells.high - 0.5
            plot.height = 50 + cells.high * (24 if cells.high < 12 else 14)
            plot.yaxis.visible = bool(cells.names)
            plot.yaxis.ticker = list(cells.names)
            plot.yaxis.major_label_overrides = cells.names
            self._cells.data = cells.data

    def _show_failures(self, run: LiveRun) -> None:
        """Show the newest failures first; one that is unfolded stays so when others are added."""
        shown = list(run.failures)[-MAX_FAILURES_SHOWN:][::-1]
        before, self._details = self._details, {}
        for failure in shown:
            div = before.get(failure)
            if div is None:
                div = Div(text=format_failure(*failure), sizing_mode="stretch_width")
            self._details[failure] = div
        if list(before) != list(self._details):
            heading = Div(text="<h3>Failures, the newest first</h3>")
            self._failures.children = [heading, *self._details.values()] if shown else []

    def _show_memory(self) -> None:
        names, data = fill_memory(list(self._scheduler.workers.values()))
        if names != list(self._workers.y_range.factors):
            self._workers.y_range.factors = names
            self._workers.height = max(200, 70 + 16 * len(names))
            count = len(self._scheduler.workers)
            some = f" (the first {MAX_BARS} of {count:,})" if count > MAX_BARS else ""
            self._workers.title.text = f"Memory of workers, and their limits{some}"
        self._memory.data = data


def _draw(title: str, **options: Any) -> Any:
    """Return an empty plot that is legible in light and dark mode."""
    wide = {"height": 200, "sizing_mode": "stretch_width", "min_width": 280, "tools": ""}
    plot = figure(title=title, **wide, **options)
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.title.text_color = plot.axis.axis_label_text_color = _GREY
    plot.axis.major_label_text_color = plot.axis.axis_line_color = _GREY
    plot.axis.major_tick_line_color = plot.grid.grid_line_color = _GREY
    plot.axis.minor_tick_line_color = None
    plot.grid.grid_line_alpha = 0.2
    plot.toolbar_location = None
    return plot


def _draw_cells(source: ColumnDataSource) -> Any:
    plot = _draw(
        "Chunks, file by file",
        x_range=Range1d(start=-0.5, end=0.5),
        y_range=Range1d(start=0.5, end=-0.5),
    )
    plot.rect("x", "y", 0.92, 0.86, source=source, fill_color="color", line_color=None)
    plot.xaxis.visible = plot.grid.visible = False
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = None
    # Texts in braces are escaped; only those marked as safe would not be.
    plot.add_tools(HoverTool(tooltips=[("chunk", "@where"), ("", "@text")]))
    return plot


def _draw_bars(source: ColumnDataSource) -> Any:
    plot = _draw("Chunks by file and state", y_range=FactorRange(), visible=False)
    colors = [COLORS[state] for state in STATES]
    plot.hbar_stack(list(STATES), y="file", height=0.8, source=source, color=colors)
    plot.x_range.start = 0
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    counts = [(state.lower(), f"@{state}{{0,0}}") for state in STATES]
    plot.add_tools(HoverTool(tooltips=[("file", "@file"), *counts]))
    return plot


def _draw_memory(source: ColumnDataSource) -> Any:
    plot = _draw("Memory of workers, and their limits", y_range=FactorRange())
    plot.hbar("worker", right="limit", height=0.8, source=source, color=COLORS["PENDING"])
    plot.hbar("worker", right="used", height=0.8, source=source, color=COLORS["RUNNING"])
    plot.x_range.start = 0
    plot.xaxis.formatter = NumeralTickFormatter(format="0.0b")
    plot.add_tools(HoverTool(tooltips=[("worker", "@worker"), ("memory", "@text")]))
    return plot
