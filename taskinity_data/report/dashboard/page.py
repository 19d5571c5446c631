"""The page of a run on Dask's dashboard: its widgets, and how a moment's state fills them.

One document a visitor; all are filled from the same `LiveRun`. What they are filled with is made in
`fill`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, CustomJS, FactorRange, HoverTool
from bokeh.models.widgets import Div
from bokeh.plotting import figure as bokeh_figure
from distributed.dashboard.components.scheduler import env

from taskinity_data.report.dashboard.fill import (
    MAX_WORKERS,
    fill_memory,
    fill_rate,
    fill_sizes,
    fill_strips,
    format_failure,
    format_graph,
    format_head,
    format_legend,
    format_tasks,
    label_of,
)
from taskinity_data.report.palette import RULES, TONES, css, tone_of

if TYPE_CHECKING:
    from collections import OrderedDict

    from bokeh.document import Document

    from taskinity_data.report.run_columns import LiveRun

__all__ = ["page"]

figure: Any = bokeh_figure  # its stubs take no ranges or tools by their short forms

REFRESH_MS = 500

_TEMPLATE = """{% extends "simple.html" %}{% block extra_resources %}<style>
COLOURS
html { background: var(--page); color: var(--ink); }
@media (prefers-color-scheme: dark) {
  .navbar ul, .dropdown-content { background-color: var(--box); }
  .navbar li a { color: var(--ink); }
  .navbar li:hover a { color: var(--page); }
  #navbar-toggle-icon img { filter: invert(1); }
}
</style>{% endblock %}""".replace("COLOURS", css())
"""Dask's own page is light for everyone."""

_RULES = (
    RULES
    + """
:host { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 8px 0 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 16px 0 4px; }
.about, small, #taskinity-legend { color: var(--soft); }
.about { margin: 4px 0 0; overflow-wrap: anywhere; }
.tiles { margin: 16px 0 8px; }
.key { white-space: nowrap; margin-right: 18px; }
p { margin: 4px 0; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: 4px 24px 4px 0; }
th { font-weight: 500; overflow-wrap: anywhere; min-width: min(9em, 40vw); }
.count { font-weight: 600; white-space: nowrap; text-align: right; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre { overflow: auto; max-height: 320px; white-space: pre-wrap; overflow-wrap: anywhere;
      background: var(--box); border-radius: 8px; padding: 10px 14px; }
"""
)
"""The style of each widget, to which that of the page does not reach."""

_COLOUR_PLOTS = """
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = () => {
  const ink = dark.matches ? "DARK" : "LIGHT";
  for (const plot of plots) {
    plot.title.text_color = ink;
    for (const axis of [...plot.below, ...plot.left]) {
      axis.axis_label_text_color = axis.major_label_text_color = ink;
    }
  }
};
colour();
dark.addEventListener("change", colour);
""".replace("DARK", TONES["idle"].dark_ink).replace("LIGHT", TONES["idle"].ink)
"""Bokeh's canvas does not depend on the style of the page."""

_WRAP = {"flex-wrap": "wrap", "gap": "12px 32px"}


def page(
    runs: OrderedDict[str, LiveRun], scheduler: Any, extra: dict[str, Any], doc: Document
) -> None:
    """Make a visitor's document of `runs`, and keep it up to date."""
    view = _View(runs, scheduler)
    doc.title = "Taskinity Data"
    doc.add_root(view.root)
    doc.template = env.from_string(_TEMPLATE)
    doc.template_variables.update(extra)
    doc.js_on_event("document_ready", CustomJS(args={"plots": view.plots}, code=_COLOUR_PLOTS))
    doc.add_periodic_callback(view.update, REFRESH_MS)
    view.update()


class _View:
    """One visitor's widgets."""

    def __init__(self, runs: OrderedDict[str, LiveRun], scheduler: Any) -> None:
        self._runs = runs
        self._scheduler = scheduler
        self._drawn: tuple[LiveRun, int] | None = None
        self._details: dict[tuple[str, ...], tuple[Div, Div]] = {}
        wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
        self._head = _text(**wide)
        self._head.stylesheets = [_RULES, ".bk-clearfix { width: 100%; }"]
        self._legend = _text(**wide)
        scrolled = {"max-height": "520px", "overflow": "auto"}
        self._graph = _text(styles={"max-width": "100%", **scrolled})
        self._tasks = _text(styles={"flex": "1 1 320px", "min-width": "0", **scrolled})
        self._failures = column(**wide)
        names = ("task", "left", "right", "color", "alpha", "where", "text")
        self._cells = ColumnDataSource({name: [] for name in names})
        self._rate = ColumnDataSource({"x": [], "y": []})
        self._size = ColumnDataSource({"x": [], "y": []})
        self._memory = ColumnDataSource({"worker": [], "used": [], "limit": [], "text": []})
        self._strips = _draw_strips(self._cells)
        self._workers = _draw_memory(self._memory)
        self._done = _draw("Throughput")
        self._done.line("x", "y", source=self._rate, line_width=2, color=tone_of("RUNNING").fill)
        self._sizes = _draw("Size of chunks when handed out")
        self._sizes.step(
            "x", "y", source=self._size, mode="after", line_width=2, color=tone_of("RUNNING").fill
        )
        for plot in (self._done, self._sizes):
            plot.xaxis.axis_label = "seconds since the start"
            plot.y_range.start = 0
        for plot in (self._done, self._sizes, self._workers):
            plot.styles = {"flex": "1 1 280px"}
        self.plots = [self._strips, self._done, self._sizes, self._workers]
        self.root = column(
            self._head,
            self._strips,
            self._legend,
            self._failures,
            row(self._graph, self._tasks, styles=_WRAP, margin=(16, 0), **wide),
            row(self._done, self._sizes, self._workers, styles=_WRAP, **wide),
            **wide,
        )

    def update(self) -> None:
        """Show the chosen run as it is now; nothing travels where nothing has changed."""
        self._show_memory()
        run = next(reversed(self._runs.values()), None)
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
        self._sizes.visible = bool(unit)
        self._done.visible = bool(run.fan_outs)

    def _show_chunks(self, run: LiveRun) -> None:
        plot, names = self._strips, [label_of(run, task.name) for task in run.fan_outs]
        plot.visible = self._legend.visible = bool(names)
        plot.y_range.factors = names[::-1]
        plot.height = 50 + 44 * len(names)
        plot.yaxis.visible = len(names) > 1
        self._cells.data = fill_strips(run)
        self._legend.text = format_legend(run)

    def _show_failures(self, run: LiveRun) -> None:
        """Show groups of failures; one that is unfolded stays so while others are counted."""
        before, self._details = self._details, {}
        for group, failure in sorted(run.failures.items(), key=lambda item: -item[1].count):
            key = (run.run_id, *group)
            count, details = before.get(key) or (
                _text(width=110),
                _text(
                    text=format_failure(label_of(run, group[0]), failure),
                    styles={"flex": "1 1 0", "min-width": "0"},
                ),
            )
            tone = "bad" if failure.state == "FAILED" else "attention"
            text = f"{failure.count:,} {failure.state.lower()}"
            count.text = f'<div id="taskinity-count" class="count {tone}">{text}</div>'
            self._details[key] = count, details
        if list(before) != list(self._details):
            heading = _text(text="<h2>Failures</h2>")
            wide: dict[str, Any] = {"sizing_mode": "stretch_width"}
            lines = [row(*pair, **wide) for pair in self._details.values()]
            self._failures.children = [heading, *lines] if lines else []

    def _show_memory(self) -> None:
        names, unit, data = fill_memory(list(self._scheduler.workers.values()))
        count = len(self._scheduler.workers)
        some = f", the first {MAX_WORKERS} of {count:,}" if count > MAX_WORKERS else ""
        self._workers.title.text = f"Memory of workers, and their limits ({unit}){some}"
        if names != list(self._workers.y_range.factors):
            self._workers.y_range.factors = names
            self._workers.height = max(200, 70 + 16 * len(names))
        self._memory.data = data


def _text(**options: Any) -> Div:
    return Div(stylesheets=[_RULES], **options)


def _draw(title: str, **options: Any) -> Any:
    """Return an empty plot that is legible in light and dark mode."""
    wide = {"height": 200, "sizing_mode": "stretch_width", "min_width": 280, "tools": ""}
    plot = figure(title=title, **wide, **options)
    grey = tone_of("PENDING").fill
    plot.background_fill_color = plot.border_fill_color = plot.outline_line_color = None
    plot.axis.axis_line_color = plot.axis.major_tick_line_color = grey
    plot.grid.grid_line_color, plot.grid.grid_line_alpha = grey, 0.3
    plot.axis.minor_tick_line_color = None
    plot.axis.axis_label_text_font_style = "normal"
    plot.toolbar_location = None
    return plot


def _draw_strips(source: ColumnDataSource) -> Any:
    plot = _draw("Planned bytes by the state of their chunks (%)", y_range=FactorRange())
    plot.hbar(
        "task", left="left", right="right", height=0.85, source=source, fill_color="color",
        fill_alpha="alpha", line_color=None,
    )  # fmt: skip
    plot.x_range.start, plot.x_range.end = 0, 100
    plot.grid.visible = False
    plot.axis.axis_line_color = None
    plot.yaxis.major_tick_line_color = None
    # Texts in braces are escaped; only those marked as safe would not be.
    plot.add_tools(HoverTool(tooltips=[("chunk", "@where"), ("", "@text")]))
    return plot


def _draw_memory(source: ColumnDataSource) -> Any:
    plot = _draw("Memory of workers, and their limits", y_range=FactorRange())
    grey, blue = tone_of("PENDING").fill, tone_of("RUNNING").fill
    plot.hbar("worker", right="limit", height=0.7, source=source, color=grey, alpha=0.25)
    plot.hbar("worker", right="used", height=0.7, source=source, color=blue)
    plot.x_range.start = 0
    plot.ygrid.visible = False
    plot.add_tools(HoverTool(tooltips=[("worker", "@worker"), ("memory", "@text")]))
    return plot
