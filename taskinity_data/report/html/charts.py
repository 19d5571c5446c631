"""Draw charts of any width: activities over time, bars, steps.

Marks are SVG that stretches with the page; ticks and titles are separate texts, which keep their
size. Colours are classes of the page's style, and each chart has a description in words.
"""

from __future__ import annotations

import math
import re
from html import escape
from itertools import groupby, takewhile
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.report.html.attempts import printable
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Axis", "Bar", "Span", "bars", "bytes_axis", "count_axis", "lines", "spans", "time_axis"]

_WIDTH, _LANE = 1_000, 20
# A mark with its title takes about 150 bytes, one without 20: these many keep a chart below 500 kB.
_MAX_TITLES, _MAX_LANES, _MAX_BARS = 600, 48, 240


class Axis(NamedTuple):
    """An axis: its title with the unit, the largest value, and how many of them are one unit."""

    title: str
    top: float
    scale: float = 1.0

    def ticks(self, count: int = 4) -> list[tuple[float, str]]:
        """Return about `count` round numbers: their shares of the axis, and their texts."""
        top = self.top / self.scale
        size = 10 ** math.floor(math.log10(top / count))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= top / count)
        numbers = [step * number for number in range(int(top / step + 1e-9) + 1)]
        return [(number / top, f"{number:,.10g}") for number in numbers]


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


def time_axis(title: str, top_s: float) -> Axis:
    """Return an axis of times up to `top_s`, in the unit that keeps numbers short."""
    units = ((7_200, "h", 3_600), (120, "min", 60), (1, "s", 1))
    unit, scale = next(((unit, size) for low, unit, size in units if top_s >= low), ("ms", 1e-3))
    return Axis(f"{title} ({unit})", max(top_s, 1e-9), scale)


def bytes_axis(title: str, top: float) -> Axis:
    """Return an axis of bytes, in powers of 1000."""
    return _scaled(title, top, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def count_axis(title: str, top: float) -> Axis:
    """Return an axis of numbers, in thousands or millions if they are large."""
    return _scaled(title, top, (("millions", 1e7), ("thousands", 1e4)), "")


def _scaled(title: str, top: float, units: Sequence[tuple[str, float]], smallest: str) -> Axis:
    unit, size = next(((unit, size) for unit, size in units if top >= size), (smallest, 1.0))
    scale = {"millions": 1e6, "thousands": 1e3}.get(unit, size)
    return Axis(f"{title} ({unit})" if unit else title, max(top, 1e-9), scale)


def spans(drawn: Sequence[Span], x: Axis, title: str, words: str) -> str:
    """Draw spans over time, with a lane for each worker or task.

    Parameters
    ----------
    drawn : sequence of Span
        Times are in seconds from the start of the axis. If there are many, those without a gap
        between them that could be seen are one mark.
    x : Axis
        From 0 to its end, in seconds.
    title, words : str
        Heading and description, for people who can't see the chart, too.
    """
    lanes: dict[str, list[Span]] = {}
    for span in drawn:
        lanes.setdefault(span.lane, []).append(span)
    names = sorted(lanes, key=_natural)
    prefix = _common_prefix(names)
    has_titles = len(drawn) <= _MAX_TITLES
    marks: list[str] = []
    above: list[str] = []
    labels = []
    for row, name in enumerate(names[:_MAX_LANES]):
        labels.append((_short(name, prefix), name))
        for span in lanes[name] if has_titles else _joined(lanes[name], x.top / _WIDTH):
            is_usual = span.kind in ("work", "single")
            mark = _rect(span, row, x.top, gap=3 if is_usual else 1, has_title=has_titles)
            (marks if is_usual else above).append(mark)
    left_out = len(names) - _MAX_LANES
    if left_out > 0:
        words += f" {format_count(left_out, 'more lane')} not shown."
    height = max(1, min(len(names), _MAX_LANES)) * _LANE
    return _frame("".join(marks + above), height, x, labels, title, words)


def _rect(span: Span, row: int, top: float, gap: int, *, has_title: bool) -> str:
    left = span.start / top * _WIDTH
    # What failed must be seen, however short it was.
    width = (span.stop - span.start) / top * _WIDTH - (0.8 if has_title else 0)
    width = max(width, 0.6 if gap > 1 else 2)
    title = f"<title>{_text(span.title)}</title>" if has_title or gap == 1 else ""
    return (
        f'<rect class="{span.kind}" x="{left:.1f}" y="{row * _LANE + gap}" width="{width:.1f}" '
        f'height="{_LANE - 2 * gap}">{title}</rect>'
    )


def _joined(lane: Sequence[Span], gap_s: float) -> list[Span]:
    """Return `lane` with neighbours of a kind joined whose gap is shorter than `gap_s`."""
    joined: list[Span] = []
    last: dict[str, int] = {}
    for span in lane:
        index = last.get(span.kind)
        if index is not None and span.start - joined[index].stop < gap_s:
            stop = max(joined[index].stop, span.stop)
            joined[index] = joined[index]._replace(stop=stop)
            continue
        last[span.kind] = len(joined)
        joined.append(span)
    return joined


def bars(drawn: Sequence[Bar], x: Axis, y: str, title: str, words: str, *, unit: str) -> str:
    """Draw a bar for each, from left to right; of very many one for neighbours, with their mean.

    A line marks the highest of these neighbours. Where a few of them are many times as high as
    the others, the axis ends before them. `y` and `unit` (``"time"``, ``"bytes"``) make the axis.
    """
    height = 160
    wide = math.ceil(len(drawn) / _MAX_BARS) or 1
    groups = [drawn[at : at + wide] for at in range(0, len(drawn), wide)]
    means = [sum(bar.height for bar in group) / len(group) for group in groups]
    highest = [max(group, key=lambda bar: bar.height) for group in groups]
    top = max(bar.height for bar in highest)
    usual = sorted(bar.height for bar in highest)[int(0.97 * (len(groups) - 1))]
    if wide > 1 and top > 2 * max(usual, *means):
        top = max(usual, *means) * 1.1
        over = sum(bar.height > top for bar in highest)
        words += f" {format_count(over, 'line')} cut off at the upper edge."
    axis = (time_axis if unit == "time" else bytes_axis)(y, top)
    step = _WIDTH / len(groups)
    marks = []
    for number, group in enumerate(groups):
        left, at = number * step, float(height)
        rects, width = [], max(step - min(1.0, step / 5), 0.3)
        for part, (kind, _) in enumerate(group[0].parts):
            high = sum(bar.parts[part][1] for bar in group) / len(group) / axis.top * height
            at -= high
            if high >= 0.05:
                rects.append(
                    f'<rect class="{kind}" x="{left:.1f}" y="{at:.1f}" width="{width:.1f}" '
                    f'height="{high:.1f}"/>'
                )
        text = highest[number].title
        if wide > 1:
            first = number * wide
            text = f"{first:,} to {first + len(group) - 1:,}; the highest: {text}"
            peak = max(height - highest[number].height / axis.top * height, 0)
            rects.append(f'<path class="most" d="M{left + step / 2:.1f} {peak:.1f}V{at:.1f}"/>')
        marks.append(f"<g>{''.join(rects)}<title>{_text(text)}</title></g>")
    if wide > 1:
        words += f" A bar is the mean of {wide} neighbours, the line above it the highest of them."
    return _frame("".join(marks), height, x, axis, title, words)


def lines(points: Sequence[tuple[float, float]], x: Axis, y: Axis, title: str, words: str) -> str:
    """Draw steps of the points (x, y), which hold until the next."""
    height = 140
    path = []
    for at, (right, up) in enumerate(points):
        left, high = min(right / x.top, 1.0) * _WIDTH, height - up / y.top * height
        path.append(f"M{left:.1f} {high:.1f}" if at == 0 else f"H{left:.1f}V{high:.1f}")
    drawn = "".join([*path, f"H{_WIDTH}"])
    first = min(points[0][0] / x.top, 1.0) * _WIDTH
    area = f'<path class="area" d="{drawn}V{height}H{first:.1f}z"/>'
    return _frame(f'{area}<path class="series" d="{drawn}"/>', height, x, y, title, words)


def _frame(
    marks: str, height: int, x: Axis, y: Axis | Sequence[tuple[str, str]], title: str, words: str
) -> str:
    """Return marks as SVG between the axes; `y` is an axis, or the short and whole lane names."""
    ticks = x.ticks(6)
    grid = [f"M{at * _WIDTH:.1f} 0V{height}" for at, _ in ticks]
    if isinstance(y, Axis):
        heights = [(height - at * height, text) for at, text in y.ticks(4)]
        grid += [f"M0 {at:.1f}H{_WIDTH}" for at, _ in heights]
        y_texts = [f'<span style="top:{at:.1f}px">{_text(text)}</span>' for at, text in heights]
        y_title, longest = y.title, max(len(text) for _, text in heights)
    else:
        y_texts = [
            f'<span style="top:{(row + 0.5) * _LANE}px" title="{_text(name)}">{_text(short)}</span>'
            for row, (short, name) in enumerate(y)
        ]
        y_title, longest = "worker", max((len(short) for short, _ in y), default=0)
    x_texts = [
        f'<span class="{"end" if at > 0.97 else ""}" style="left:{at * 100:.2f}%">{text}</span>'
        for at, text in ticks
    ]
    return (
        f'<figure class="chart" style="--wide:{longest}ch;--high:{height}px">'
        f'<div class="y-title" aria-hidden="true">{_text(y_title)}</div>'
        f'<div class="y-ticks" aria-hidden="true">{"".join(y_texts)}</div>'
        f'<svg role="img" aria-label="{_text(title)}. {_text(words)}" '
        f'viewBox="0 0 {_WIDTH} {height}" preserveAspectRatio="none">'
        f'<path class="grid" d="{"".join(grid)}"/>{marks}</svg>'
        f'<div class="x-ticks" aria-hidden="true">{"".join(x_texts)}</div>'
        f'<div class="x-title" aria-hidden="true">{_text(x.title)}</div>'
        f'<figcaption class="words">{_text(words)}</figcaption></figure>'
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


def _text(text: str) -> str:
    return escape(printable(text, 400))
