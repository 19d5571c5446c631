"""Charts as small static SVG: workers over time, bars, an area, steps.

Colours are classes of the page's style; each mark has a ``<title>``, each
chart a name and a description in words. Too many values for a mark each are drawn as shares.
"""

from __future__ import annotations

import math
import re
from html import escape
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.report.html.attempts import printable
from taskinity_data.wording import format_count, format_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Bar", "Span", "bars", "lines", "spans"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 960, 84, 12, 8, 40
_PLOT = _WIDTH - _LEFT - _RIGHT
# A mark with its title takes about 150 bytes: these many keep a chart below 400 kB.
_MAX_MARKS, _MAX_CELLS, _MAX_LANES = 2_000, 6_000, 48
_LANE = 18
_CLOCK = (10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


class Span(NamedTuple):
    """An activity in a lane, from `start` to `stop` (seconds); `kind` is the CSS class."""

    lane: str
    start: float
    stop: float
    kind: str
    title: str


class Bar(NamedTuple):
    """One bar, of parts from the bottom up by the class of their colour."""

    parts: tuple[tuple[str, float], ...]
    title: str

    @property
    def height(self) -> float:
        """All parts together."""
        return sum(part for _, part in self.parts)


def spans(drawn: Sequence[Span], stop: float, title: str, words: str) -> str:
    """Draw spans over time as SVG, with a lane for each worker or task.

    Parameters
    ----------
    drawn : sequence of Span
        Times are in seconds from the start of the run. Beyond 2,000 spans, each lane shows its
        share of busy time instead.
    stop : float
        The end of the axis, in seconds.
    title, words : str
        Heading and description, for people who can't see the chart, too.
    """
    lanes: dict[str, list[Span]] = {}
    for span in drawn:
        lanes.setdefault(span.lane, []).append(span)
    names = sorted(lanes, key=_natural)
    left_out = names[_MAX_LANES:]
    stop = stop or 1e-9
    prefix = _common_prefix(names)
    marks = []
    is_shared = len(drawn) > _MAX_MARKS
    cells = max(40, min(400, _MAX_CELLS // max(1, min(len(names), _MAX_LANES))))
    for row, name in enumerate(names[:_MAX_LANES]):
        y = _TOP + row * _LANE
        marks.append(
            f'<text x="{_LEFT - 6}" y="{y + 12}" class="tick end">{_text(_short(name, prefix))}'
            f"<title>{_text(name)}</title></text>"
        )
        shown = _shares(lanes[name], stop, cells) if is_shared else lanes[name]
        for span in shown:
            x = _LEFT + span.start / stop * _PLOT
            wide = max((span.stop - span.start) / stop * _PLOT, 0.6)
            marks.append(
                f'<rect class="{span.kind}" x="{x:.1f}" y="{y + 2}" width="{wide:.1f}" '
                f'height="{_LANE - 4}"><title>{_text(span.title)}</title></rect>'
            )
    height = max(1, min(len(names), _MAX_LANES)) * _LANE
    if left_out:
        words += f" {format_count(len(left_out), 'more lane')} not shown."
    if is_shared:
        words += " There are too many chunks to draw each: a darker colour means a busier worker."
    axis = _x_axis(height, stop, format_seconds)
    return _svg("".join(axis) + "".join(marks), height, title, words)


def bars(
    drawn: Sequence[Bar],
    title: str,
    words: str,
    *,
    format_y: Callable[[float], str],
    max_bars: int = 300,
    height: int = 180,
) -> str:
    """Draw a bar for each, from left to right; beyond `max_bars` one for neighbours.

    That one shows their mean, and a dot the highest of them.
    """
    wide = math.ceil(len(drawn) / max_bars) if drawn else 1
    groups = [drawn[at : at + wide] for at in range(0, len(drawn), wide)]
    top = max((bar.height for bar in drawn), default=0.0) or 1e-9
    step = _PLOT / max(len(groups), 1)
    marks = []
    for number, group in enumerate(groups):
        x, y = _LEFT + number * step, float(_TOP + height)
        rects = []
        for part, (kind, _) in enumerate(group[0].parts):
            mean = sum(bar.parts[part][1] for bar in group) / len(group)
            high = mean / top * height
            y -= high
            if high >= 0.05:
                rects.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" '
                    f'width="{max(step - min(1, step / 5), 0.3):.1f}" height="{high:.1f}"/>'
                )
        highest = max(group, key=lambda bar: bar.height)
        text = highest.title
        if wide > 1:
            first = number * wide
            text = f"{first:,} to {first + len(group) - 1:,}; the highest: {text}"
            at = _TOP + height - highest.height / top * height
            rects.append(f'<circle class="most" cx="{x + step / 2:.1f}" cy="{at:.1f}" r="1.5"/>')
        marks.append(f"<g>{''.join(rects)}<title>{_text(text)}</title></g>")
    if wide > 1:
        words += f" Each bar is the mean of {wide} neighbours, the dot the highest of them."
    axes = [*_y_axis(height, top, format_y), *_x_axis(height, len(drawn), _count)]
    return _svg("".join(axes) + "".join(marks), height, title, words)


def lines(
    series: dict[str, Sequence[tuple[float, float]]],
    title: str,
    words: str,
    *,
    format_x: Callable[[float], str],
    format_y: Callable[[float], str],
    stop: float,
    height: int = 150,
) -> str:
    """Draw steps of each series' points (x, y), which hold until the next; the first is filled."""
    top = max((y for points in series.values() for _, y in points), default=0.0) or 1e-9
    stop = stop or 1e-9
    marks = []
    for number, (name, points) in enumerate(series.items()):
        if not points:
            continue
        path = []
        for at, (x, y) in enumerate(_thinned(points)):
            left = _LEFT + min(x / stop, 1.0) * _PLOT
            high = _TOP + height - y / top * height
            path.append(f"M{left:.1f} {high:.1f}" if at == 0 else f"H{left:.1f}V{high:.1f}")
        path.append(f"H{_LEFT + _PLOT}")
        drawn = "".join(path)
        if number == 0 and len(series) == 1:
            first = _LEFT + min(points[0][0] / stop, 1.0) * _PLOT
            bottom = _TOP + height
            marks.append(f'<path class="area" d="{drawn}V{bottom}H{first:.1f}z"/>')
        marks.append(
            f'<path class="series s{number % 6}" d="{drawn}"><title>{_text(name)}</title></path>'
        )
    axes = [*_y_axis(height, top, format_y), *_x_axis(height, stop, format_x)]
    legend = "".join(
        f'<li><span class="swatch s{number % 6}"></span>{_text(name)}</li>'
        for number, name in enumerate(series)
    )
    drawn = _svg("".join(axes) + "".join(marks), height, title, words)
    return drawn + (f'<ul class="legend">{legend}</ul>' if len(series) > 1 else "")


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return at most 600 of `points`: of neighbours the highest."""
    wide = math.ceil(len(points) / 600)
    if wide <= 1:
        return points
    groups = [points[at : at + wide] for at in range(0, len(points), wide)]
    return [(group[0][0], max(y for _, y in group)) for group in groups]


def _shares(spans: Sequence[Span], stop: float, cells: int) -> list[Span]:
    """Return how busy a lane was in each of `cells` slices of time; equal neighbours are joined."""
    busy = [0.0] * cells
    odd = [0] * cells
    for span in spans:
        first, last = span.start / stop * cells, span.stop / stop * cells
        for cell in range(max(int(first), 0), min(math.ceil(last), cells)):
            busy[cell] += max(min(last, cell + 1) - max(first, cell), 0.0)
        odd[min(max(int(first), 0), cells - 1)] += span.kind not in ("work", "single")
    levels = [
        (min(math.ceil(share * 4), 4), bool(bad)) for share, bad in zip(busy, odd, strict=True)
    ]
    drawn, at = [], 0
    for (level, bad), group in groupby(levels):
        count = len(list(group))
        first, last = at / cells * stop, (at + count) / cells * stop
        failed = sum(odd[at : at + count])
        at += count
        if level or bad:
            mean = sum(busy[at - count : at]) / count
            text = f"{format_seconds(first)} to {format_seconds(last)}: "
            text += f"{min(mean, 1) * 100:.0f} % busy"
            if bad:
                text += f", {failed} retried, failed, skipped or replaced"
            kind = "odd" if bad else f"busy{level}"
            drawn.append(Span("", first, last, kind, text))
    return drawn


def _y_axis(height: int, top: float, format_value: Callable[[float], str]) -> list[str]:
    marks = []
    for value in _ticks(top, 4):
        y = _TOP + height - value / top * height
        marks.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        marks.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">'
            f"{_text(format_value(value))}</text>"
        )
    return marks


def _x_axis(height: int, stop: float, format_value: Callable[[float], str]) -> list[str]:
    marks = []
    ticks = _clock_ticks(stop, 6) if format_value is format_seconds else _ticks(stop, 6)
    for value in ticks:
        x = _LEFT + value / (stop or 1e-9) * _PLOT
        marks.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{_TOP + height + 5}"/>')
        anchor = " end" if x > _WIDTH - 60 else ""
        marks.append(
            f'<text x="{x:.1f}" y="{_TOP + height + 20}" class="tick mid{anchor}">'
            f"{_text(format_value(value) if value else '0')}</text>"
        )
    return marks


def _ticks(top: float, count: int) -> Iterable[float]:
    """Round numbers from 0 up to `top`, about `count` of them."""
    if top <= 0:
        return [0.0]
    rough = top / count
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def _clock_ticks(top: float, count: int) -> Iterable[float]:
    """Return ticks as `_ticks` does, in steps that stay round as minutes and hours."""
    if top < 60:
        return _ticks(top, count)
    fitting = (step for step in _CLOCK if step * count >= top)
    step = next(fitting, None)
    if step is None:
        return [hours * 3600 for hours in _ticks(top / 3600, count)]
    return [step * number for number in range(int(top / step + 1e-9) + 1)]


def _svg(inside: str, height: int, title: str, words: str) -> str:
    whole = height + _TOP + _BOTTOM - 12
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {whole}" role="img" '
        f'aria-label="{_text(title)}. {_text(words)}">'
        f"<desc>{_text(words)}</desc>{inside}</svg>"
        f'<p class="words">{_text(words)}</p>'
    )


def _natural(name: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    """Order by which worker 10 comes after worker 9, and the driver last."""
    parts = ["".join(group) for _, group in groupby(name, str.isdecimal)]
    keys = [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
    return name == "driver", keys


def _common_prefix(names: Sequence[str]) -> str:
    """Return the common prefix of all names but the driver's, up to a colon or slash."""
    workers = sorted(name for name in names if name != "driver") or [""]
    # What the first and the last in order share, all between them share.
    pairs = zip(workers[0], workers[-1], strict=False)
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return common[: max(common.rfind(":"), common.rfind("/")) + 1]


def _short(name: str, prefix: str) -> str:
    short = name.removeprefix(prefix)
    if len(short) > 12 and "/" in short:
        # Threads of one process differ in their last number.
        process, _, thread = short.rpartition("/")
        short = f"{process}/{re.split(r'[-_]', thread)[-1]}"
    return short if len(short) <= 12 else f"{short[:5]}…{short[-6:]}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _text(text: str) -> str:
    return escape(printable(text, 400))
