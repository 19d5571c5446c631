"""Draw a picture of a flow with line characters, for terminals and text files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.flow.diagram.nodes import Node, Picture

__all__ = ["columns_of", "draw_text", "wrap"]

_DESCRIPTION_COLUMNS, _DESCRIPTION_LINES = 36, 3


def draw_text(picture: Picture, columns: int = 80) -> str:
    """Return the picture as lines of text, `columns` wide: one box below the other, in an order in
    which the tasks can run.

    An arrow leads to a task that follows the one above it alone; others name what they follow.
    """
    heading = [picture.title] if picture.title else []
    heading += wrap(picture.description, columns, 10) if picture.description else []
    keys = list(picture.nodes)
    boxes, arrows = [], []
    for above, key in zip([None, *keys], keys, strict=False):
        befores = [before for before, after in picture.edges if after == key]
        arrows.append(befores == [above])
        names = [] if arrows[-1] else [picture.nodes[before].label for before in befores]
        boxes.append(_box(picture.nodes[key], names, min(_DESCRIPTION_COLUMNS, columns - 4)))
    middle = max((columns_of(box[0]) // 2 for box in boxes), default=0)
    drawing: list[str] = []
    for box, has_arrow in zip(boxes, arrows, strict=True):
        if drawing:
            drawing.append(" " * middle + "▼" if has_arrow else "")
        drawing += [" " * (middle - columns_of(box[0]) // 2) + line for line in box]
    return "\n".join([*heading, *([""] if heading and drawing else []), *drawing])


def _box(node: Node, follows: Sequence[str], columns: int) -> list[str]:
    """Return the lines of a box; that of a task that runs many times has a second sheet."""
    lines = [node.label]
    lines += wrap(node.description, columns, _DESCRIPTION_LINES)
    lines += wrap(node.policy, columns, _DESCRIPTION_LINES)
    lines += wrap(f"after {', '.join(follows)}", columns, len(follows) + 1) if follows else []
    inner = max(columns_of(line) for line in lines)
    # All widths are odd, so that boxes below one another share a middle column.
    inner += 3 - inner % 2
    edge = "─" * inner
    drawn = [f"┌{edge}┐"]
    for line in lines:
        free = inner - columns_of(line)
        drawn.append("│" + " " * (free // 2) + line + " " * (free - free // 2) + "│")
    drawn += [f"├{edge}┤"] if node.is_fan_out else []
    return [*drawn, f"└{edge}┘"]


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
