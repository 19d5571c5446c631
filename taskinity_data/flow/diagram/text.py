"""Draw a picture of a flow with line characters, for terminals and text files."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

from taskinity_data.flow.diagram.layout import Gaps, NodeSize, lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.flow.diagram.layout import Box, Layout, Link
    from taskinity_data.flow.diagram.nodes import Node, Picture

__all__ = ["columns_of", "draw_text", "wrap"]

# Narrower than this, a description is a column of single words: leave it out.
_MIN_DESCRIPTION = 12
_DESCRIPTION_LINES = 3
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_ALONG = _UP | _DOWN
_LINE = {
    _UP: "│", _DOWN: "│", _UP | _DOWN: "│",
    _LEFT: "─", _RIGHT: "─", _LEFT | _RIGHT: "─",
    _UP | _LEFT: "┘", _UP | _RIGHT: "└", _DOWN | _LEFT: "┐", _DOWN | _RIGHT: "┌",
    _UP | _DOWN | _LEFT: "┤", _UP | _DOWN | _RIGHT: "├",
    _UP | _LEFT | _RIGHT: "┴", _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip


def draw_text(picture: Picture, columns: int = 80) -> str:
    """Return the picture as lines of text, `columns` wide; where its tasks do not fit, as their
    list.

    Where lines cross without meeting, the one that goes down passes over the other.
    """
    heading = [picture.title] if picture.title else []
    heading += wrap(picture.description, columns, 10) if picture.description else []
    arriving = Counter(target for _, target in picture.edges)
    for wide in (36, 28, 20, _MIN_DESCRIPTION, 0):
        texts = {key: _node_lines(node, wide) for key, node in picture.nodes.items()}
        sizes = {
            key: _size(picture.nodes[key], lines, arriving[key]) for key, lines in texts.items()
        }
        layout = lay_out(sizes, picture.edges, Gaps(across=3, along=0, edge=3))
        if layout.width <= columns:
            drawing = _Drawing(picture, layout, texts).lines()
            break
    else:
        drawing = _list(picture, layout, columns)
    return "\n".join([*heading, *([""] if heading and drawing else []), *drawing])


def _list(picture: Picture, layout: Layout, columns: int) -> list[str]:
    """Return the tasks in an order in which they can run, each with what it follows."""
    lines = []
    for name in (layout.boxes[index].name for row in layout.layers for index in row):
        if name is None:
            continue
        node = picture.nodes[name]
        before = [picture.nodes[a].label for a, b in picture.edges if b == name]
        texts = [node.description, node.policy, f"after {', '.join(before)}" if before else ""]
        lines.append(node.label)
        lines += [f"    {line}" for text in texts for line in wrap(text, max(columns - 4, 8), 99)]
    return lines


def columns_of(text: str) -> int:
    """Terminal columns that `text` takes: wide characters two, combining ones none."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def wrap(text: str, columns: int, max_lines: int) -> list[str]:
    """Return `text` in lines of at most `columns`; what goes beyond `max_lines` ends in an
    ellipsis.
    """
    lines, line = [], ""
    for word in text.split():
        for part in _parts(word, columns):
            longer = f"{line} {part}" if line else part
            if columns_of(longer) > columns:
                lines.append(line)
                line = part
            else:
                line = longer
    lines.append(line)
    if len(lines) > max_lines:
        last = lines[max_lines - 1]
        while columns_of(last) > columns - 1:
            last = last.rpartition(" ")[0] or last[:-1]
        lines[max_lines - 1 :] = [last + "…"]
    return [line for line in lines if line]


def _parts(word: str, columns: int) -> list[str]:
    parts = [""]
    for char in word:
        if columns_of(parts[-1] + char) > columns:
            parts.append("")
        parts[-1] += char
    return parts


def _node_lines(node: Node, wide: int) -> list[str]:
    described = wrap(node.description, wide, _DESCRIPTION_LINES) if wide else []
    policy = wrap(node.policy, wide, _DESCRIPTION_LINES) if wide else []
    return [node.label, *described, *policy]


def _size(node: Node, lines: Sequence[str], arriving: int) -> NodeSize:
    inner = max(2 * arriving - 1, *(columns_of(line) for line in lines))
    # All widths odd: then boxes over one another share a middle column and lines stay straight.
    inner += inner % 2 == 0
    return NodeSize(inner + 4, len(lines) + 2 + node.is_fan_out)


class _Drawing:
    """A grid of characters that boxes and lines are put on; used once."""

    def __init__(self, picture: Picture, layout: Layout, texts: dict[str, list[str]]) -> None:
        self._picture, self._layout, self._texts = picture, layout, texts
        self._cells: dict[tuple[int, int], str] = {}
        # Where lines leave; a passing point's line may be moved within its channel.
        self._leave = {index: box.middle for index, box in enumerate(layout.boxes)}

    def lines(self) -> list[str]:
        top = 0
        for number, row in enumerate(self._layout.layers):
            if number:
                top = self._draw_links(number, top)
            boxes = [self._layout.boxes[index] for index in row]
            height = max(box.height for box in boxes)
            for index, box in zip(row, boxes, strict=True):
                if box.name is None:
                    for y in range(top, top + height):
                        self._cells[y, self._leave[index]] = "│"
                else:
                    self._draw_box(box, top)
                    for y in range(top + box.height, top + height):
                        if any(link.source == index for link in self._layout.links):
                            self._cells[y, box.middle] = "│"
            top += height
        return self._text(top)

    def _draw_box(self, box: Box, top: int) -> None:
        assert box.name is not None
        lines = self._texts[box.name]
        is_stack = self._picture.nodes[box.name].is_fan_out
        inner = box.width - 2
        bottom = top + len(lines) + 1
        self._put(top, box.x, "┌" + "─" * inner + "┐")
        for y, line in enumerate(lines, top + 1):
            free = inner - columns_of(line)
            self._put(y, box.x, "│" + " " * (free // 2) + line + " " * (free - free // 2) + "│")
        self._put(bottom, box.x, "└" + "─" * inner + "┘")
        if is_stack:
            # A second sheet looks out below; wide by as much as the first, so nothing moves.
            self._put(bottom, box.x, "├" + "─" * inner + "┤")
            self._put(bottom + 1, box.x, "└" + "─" * inner + "┘")

    def _put(self, y: int, x: int, text: str) -> None:
        for char in text:
            if combining(char):
                self._cells[y, x - 1] = self._cells.get((y, x - 1), " ") + char
                continue
            self._cells[y, x] = char
            x += 1
            if east_asian_width(char) in "WF":
                self._cells[y, x] = ""
                x += 1

    def _draw_links(self, number: int, top: int) -> int:
        """Draws all links into layer `number` from line `top`; returns the line after them."""
        boxes, layer = self._layout.boxes, self._layout.layers[number]
        links = [link for link in self._layout.links if link.target in layer]
        ports = self._assign_ports(links)
        nets = self._join(links, ports)
        tracks = _assign_tracks([(*starts, *ends) for starts, ends in nets])
        bottom = top + max(tracks.values(), default=-1) + 1
        sideways: dict[tuple[int, int], int] = {}
        upright: set[tuple[int, int]] = set()
        for at, (starts, ends) in enumerate(nets):
            if at not in tracks:
                upright |= {(y, starts[0]) for y in range(top, bottom + 1)}
                continue
            line = top + tracks[at]
            upright |= {(y, x) for x in starts for y in range(top, line)}
            upright |= {(y, x) for x in ends for y in range(line + 1, bottom + 1)}
            sideways |= _bus(line, starts, ends)
        for cell in upright | set(sideways):
            arms = sideways.get(cell, 0)
            # A line that only crosses another passes over it; else they would seem to meet.
            is_crossing = cell in upright and arms == _LEFT | _RIGHT
            self._cells[cell] = _LINE[(0 if is_crossing else arms) | _ALONG * (cell in upright)]
        for link, x in ports.items():
            if boxes[link.target].name is not None:
                self._cells[bottom, x] = "▼"
            else:
                self._leave[link.target] = x
        return bottom + 1

    def _join(
        self, links: Sequence[Link], ports: dict[Link, int]
    ) -> list[tuple[list[int], list[int]]]:
        """Return the columns where lines that are drawn as one begin and end, from left to right.

        One is drawn from each source, and one from all sources that lead to one place alone.
        """
        fan = Counter(link.source for link in links)
        spans: dict[tuple[int, int], tuple[set[int], set[int]]] = {}
        for link in links:
            is_only = fan[link.source] == 1
            key = (-1, link.target) if is_only else (link.source, -1)
            starts, ends = spans.setdefault(key, (set(), set()))
            starts.add(self._leave[link.source])
            ends.add(ports[link])
        return sorted((sorted(starts), sorted(ends)) for starts, ends in spans.values())

    def _assign_ports(self, links: Sequence[Link]) -> dict[Link, int]:
        """Return the column in which each link enters its target.

        Lines may meet only where both lead to one place and nowhere else: a source with several
        targets has a port of its own on each, and no port lies below a line that goes elsewhere.
        """
        fan = Counter(link.source for link in links)
        ports: dict[Link, int] = {}
        for target in sorted({link.target for link in links}):
            box = self._layout.boxes[target]
            arriving = [link for link in links if link.target == target]
            groups = [[link] for link in arriving if fan[link.source] > 1]
            shared = [link for link in arriving if fan[link.source] == 1]
            groups += [shared] if shared else []
            groups.sort(key=lambda group: sum(self._leave[k.source] for k in group) / len(group))
            columns = (
                range(box.x + 1, box.x + box.width - 1)
                if box.name
                else range(box.x, box.x + box.width)
            )
            used: set[int] = set()
            for number, group in enumerate(groups):
                sources = {link.source for link in group}
                others = {self._leave[k.source] for k in links if k.source not in sources}
                wish = box.middle + 2 * number - len(groups) + 1
                free = [x for x in columns if x not in used | others]
                x = min(free, key=lambda x: abs(x - wish), default=wish)
                used.add(x)
                ports.update(dict.fromkeys(group, x))
        return ports

    def _text(self, height: int) -> list[str]:
        lines = []
        for y in range(height):
            columns = [x for cell_y, x in self._cells if cell_y == y]
            row = "".join(self._cells.get((y, x), " ") for x in range(max(columns, default=-1) + 1))
            lines.append(row.rstrip())
        return lines


def _assign_tracks(nets: Sequence[tuple[int, ...]]) -> dict[int, int]:
    """Return a line between the layers, counted from above, for each net that must go sideways."""
    used: list[list[tuple[int, int]]] = []
    tracks = {}
    for number, columns in enumerate(nets):
        low, high = min(columns), max(columns)
        if low == high:
            continue
        free = (
            track
            for track, spans in enumerate(used)
            if all(high + 1 < a or b + 1 < low for a, b in spans)
        )
        tracks[number] = next(free, len(used))
        if tracks[number] == len(used):
            used.append([])
        used[tracks[number]].append((low, high))
    return tracks


def _bus(line: int, starts: Sequence[int], ends: Sequence[int]) -> dict[tuple[int, int], int]:
    """Return the arms of each cell of the horizontal line that leads from columns `starts` to
    `ends`.
    """
    low, high = min(*starts, *ends), max(*starts, *ends)
    return {
        (line, x): (_LEFT if x > low else 0)
        | (_RIGHT if x < high else 0)
        | (_UP if x in starts else 0)
        | (_DOWN if x in ends else 0)
        for x in range(low, high + 1)
    }
