"""Draw a picture of a flow as one SVG element.

The viewer chooses the fonts: positions are computed from the widest common width of a character, so
that a text stays in its box.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from taskinity_data.flow.diagram.layout import Gaps, NodeSize, lay_out
from taskinity_data.flow.diagram.text import columns_of, wrap

if TYPE_CHECKING:
    from taskinity_data.flow.diagram.layout import Box, Layout
    from taskinity_data.flow.diagram.nodes import Node, Picture

__all__ = ["draw_svg"]

# Advance of one column at the sizes below: monospace fonts use 0.60 to 0.62 em, and the mean of
# English text in DejaVu Sans, the widest of the usual sans-serif fonts, is 0.56 em.
_NAME_ADVANCE, _TEXT_ADVANCE = 8.7, 7.0
_NAME_LINE, _TEXT_LINE = 20, 16
_MARGIN, _PADDING, _SHEET = 12, 14, 5
_DESCRIPTION_COLUMNS, _DESCRIPTION_LINES = 34, 3
_GAPS = Gaps(across=28, along=44, edge=16)

# Wider pictures shrink to their page no further than this, for at 9 px a text can still be read;
# from there on the page scrolls.
_MIN_SCALE = 0.75

# All rules are bound to the class, because a style in an SVG inside a page rules the whole page.
# Lines are of a middle grey that is seen on white and on black, as not every page that is dark
# says so to the SVG.
_STYLE = """\
.taskinity-flow rect{fill:#eef3fb;stroke:#4a6fa5;stroke-width:1.5}
.taskinity-flow .many rect{fill:#fdf1e1;stroke:#b4690e}
.taskinity-flow text{fill:#1b2430;text-anchor:middle;font:12px system-ui,sans-serif}
.taskinity-flow .policy{font-size:11px;font-style:italic}
.taskinity-flow .name{font:600 14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.taskinity-flow .line{fill:none;stroke:#7a8594;stroke-width:1.6}
.taskinity-flow .head{fill:#7a8594;stroke:none}
@media (prefers-color-scheme:dark){
.taskinity-flow rect{fill:#1d2a3d;stroke:#7fa6dd}
.taskinity-flow .many rect{fill:#3a2a14;stroke:#e0a458}
.taskinity-flow text{fill:#e8edf4}
}"""


def draw_svg(picture: Picture) -> str:
    """Return the picture as ``<svg>`` text: boxes in layers from top to bottom, stacks for
    fan-outs.
    """
    texts = {key: _text_lines(node) for key, node in picture.nodes.items()}
    sizes = {key: _size(node, texts[key]) for key, node in picture.nodes.items()}
    layout = lay_out(sizes, picture.edges, _GAPS)
    width, height = layout.width + 2 * _MARGIN, layout.height + 2 * _MARGIN
    named = [(box, box.name) for box in layout.boxes if box.name is not None]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" class="taskinity-flow" role="img"',
        f' width="{width}" height="{height}" viewBox="0 0 {width} {height}"',
        f' aria-label="{escape(picture.title)}"',
        f' style="max-width:100%;min-width:{round(_MIN_SCALE * width)}px;height:auto">',
        f"<title>{escape(picture.title)}</title>",
        f"<desc>{escape(picture.in_words())}</desc>",
        f"<style>{_STYLE}</style>",
        f'<g transform="translate({_MARGIN} {_MARGIN})">',
        *_lines(layout),
        *(_box(box, picture.nodes[name], texts[name]) for box, name in named),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts)


def _text_lines(node: Node) -> list[str]:
    wide = max(_DESCRIPTION_COLUMNS, int(columns_of(node.label) * _NAME_ADVANCE / _TEXT_ADVANCE))
    described = wrap(node.description, wide, _DESCRIPTION_LINES) if node.description else []
    return [*described, node.policy] if node.policy else described


def _size(node: Node, described: list[str]) -> NodeSize:
    inner = max(
        columns_of(node.label) * _NAME_ADVANCE,
        *(columns_of(line) * _TEXT_ADVANCE for line in described),
        80.0,
    )
    sheets = 2 * _SHEET if node.is_fan_out else 0
    high = _NAME_LINE + _TEXT_LINE * len(described) + _PADDING
    # An even width, so that the middle of a box is a whole pixel.
    return NodeSize(2 * round(inner / 2) + 2 * _PADDING + 2 * sheets, high + sheets)


def _box(box: Box, node: Node, described: list[str]) -> str:
    sheets = 2 if node.is_fan_out else 0
    # Sheets look out to the right and below; as much is kept free on the left, so that the front
    # sheet, which holds the text, is in the middle.
    x, wide = box.x + sheets * _SHEET, box.width - 2 * sheets * _SHEET
    high = box.height - sheets * _SHEET
    rects = [
        f'<rect x="{x + back * _SHEET}" y="{box.y + back * _SHEET}" '
        f'width="{wide}" height="{high}" rx="6"/>'
        for back in range(sheets, -1, -1)
    ]
    y = box.y + _PADDING // 2 + 15
    lines = [f'<text class="name" x="{box.middle}" y="{y}">{escape(node.label)}</text>']
    for number, line in enumerate(described, start=1):
        y += _TEXT_LINE
        kind = ' class="policy"' if node.policy and number == len(described) else ""
        lines.append(f'<text{kind} x="{box.middle}" y="{y + 3}">{escape(line)}</text>')
    full = ": ".join(filter(None, [node.label, node.description, node.policy]))
    classes = " ".join(filter(None, ["many" if node.is_fan_out else "", node.state]))
    group = f'<g class="{classes}">' if classes else "<g>"
    return "".join([group, f"<title>{escape(full)}</title>", *rects, *lines, "</g>"])


def _lines(layout: Layout) -> list[str]:
    """Return the edges: curves from layer to layer, straight through layers that they only pass."""
    bottoms = {
        index: max(layout.boxes[i].bottom for i in row) for row in layout.layers for index in row
    }
    paths, heads = [], []
    for link in layout.links:
        source, target = layout.boxes[link.source], layout.boxes[link.target]
        start, bend, end = source.bottom, bottoms[link.source], target.y
        half = (bend + end) // 2
        if target.name is not None:
            heads.append(f'<path class="head" d="M{target.middle - 5} {end - 9}h10l-5 9z"/>')
            end -= 8
        # Next to a higher box the line goes straight down, and bends only between the layers.
        curve = f"C{source.middle} {half} {target.middle} {half} {target.middle} {end}"
        paths.append(f'<path class="line" d="M{source.middle} {start}V{bend}{curve}"/>')
        if target.name is None:
            paths.append(f'<path class="line" d="M{target.middle} {end}V{target.bottom}"/>')
    return [*paths, *heads]
