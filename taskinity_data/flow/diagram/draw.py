"""Draw a flow as Mermaid, SVG or plain text, without any outside program.

Names and descriptions may hold any characters; they are drawn as text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskinity_data.flow.diagram.nodes import picture_of
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.flow.diagram.text import draw_text

if TYPE_CHECKING:
    from taskinity_data.flow.diagram.nodes import Node, Picture
    from taskinity_data.flow.model import FlowGraph

__all__ = ["draw_mermaid", "to_ascii", "to_mermaid", "to_svg"]

# What has a meaning inside a quoted label: its end, entities, tags, Markdown, directives.
_MEANINGFUL = re.compile(r"[\"#&<>`%]")
# Mermaid breaks the line at a backslash and an n, however they are written; with an invisible word
# joiner between them it doesn't.
_LINE_BREAK, _NO_LINE_BREAK = r"\n", "\\\N{WORD JOINER}n"
# The lines for screen readers know no escapes; there, what Mermaid looks for everywhere goes.
_UNSPEAKABLE = re.compile(r"[#%;<>]")


def to_mermaid(flow: FlowGraph) -> str:
    """Return `flow` as a Mermaid flowchart: fan-outs and numbered siblings as one double-sided
    node.

    Examples
    --------
    >>> from taskinity_data.flow.model import FlowGraph, Task
    >>> tasks = (Task("Read"), Task("Work", None, "*"))
    >>> flow = FlowGraph("Delays", None, tasks, (("Read", "Work"),))
    >>> print(to_mermaid(flow))
    flowchart TD
        accTitle: Delays
        accDescr: Read leads to Work [*].
        n0["Read"]
        n1[["Work [*]"]]
        n0 --> n1
    """
    return draw_mermaid(picture_of(flow))


def to_svg(flow: FlowGraph) -> str:
    """Return `flow` as one self-contained SVG element, legible on light and on dark pages.

    Notes
    -----
    It holds no script, no link and no id, so that a page can contain it many times.
    """
    return draw_svg(picture_of(flow))


def to_ascii(flow: FlowGraph, columns: int = 80) -> str:
    """Return `flow` as boxes of line characters, one below the other: see `draw_text`."""
    return draw_text(picture_of(flow), columns)


def draw_mermaid(picture: Picture) -> str:
    """Return the picture as Mermaid text."""
    lines = ["flowchart TD"]
    for key, words in (("accTitle", picture.title), ("accDescr", picture.in_words())):
        if words:
            lines.append(f"    {key}: {_UNSPEAKABLE.sub(' ', words)}")
    lines += [f"    {key}{_mermaid_node(node)}" for key, node in picture.nodes.items()]
    lines += [f"    {source} --> {target}" for source, target in picture.edges]
    return "\n".join(lines)


def _mermaid_node(node: Node) -> str:
    text = "<br/>".join(
        _escaped(line) for line in (node.label, node.description, node.policy) if line
    )
    return f'[["{text}"]]' if node.is_fan_out else f'["{text}"]'


def _escaped(text: str) -> str:
    escaped = _MEANINGFUL.sub(lambda match: f"#{ord(match[0])};", text)
    return escaped.replace(_LINE_BREAK, _NO_LINE_BREAK)
