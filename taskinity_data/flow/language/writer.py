"""Write a flow in the flow language, and define the words that writing and reading share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskinity_data.flow.keywords import KEYWORDS, stated_keywords

if TYPE_CHECKING:
    from taskinity_data.flow.model import FlowGraph, Task

__all__ = ["quote", "to_text", "unquote"]

_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[\\\"'ntr])|u(?P<four>[0-9A-Fa-f]{4})|U(?P<eight>00(?:0[0-9A-Fa-f]|10)"
    r"[0-9A-Fa-f]{4}))|(?P<bad>\\)"
)


def quote(text: str) -> str:
    r"""Return `text` between double quotes, on one line of printable characters.

    >>> print(quote('a "b"\n'))
    "a \"b\"\n"
    """
    names = {value: f"\\{char}" for char, value in _ESCAPES.items() if char != "'"}
    return '"' + "".join(names.get(char) or _escape(char) for char in text) + '"'


def unquote(body: str) -> str | int:
    r"""Return the text between the quotes, or the index of an invalid backslash.

    >>> unquote(r"a\tb") == "a\tb", unquote(r"C:\data")
    (True, 2)
    """
    pieces, start = [], 0
    for match in _ESCAPE.finditer(body):
        if match["bad"]:
            return match.start()
        code = match["four"] or match["eight"]
        pieces += [
            body[start : match.start()],
            chr(int(code, 16)) if code else _ESCAPES[match["plain"]],
        ]
        start = match.end()
    return "".join(pieces) + body[start:]


def to_text(flow: FlowGraph) -> str:
    """Return `flow` in the flow language."""
    lines = [f"flow {flow.name}:"]
    if flow.description is not None:
        lines.append(f"    description: {quote(flow.description)}")
    for task in flow.tasks:
        lines += ["", f"    task {task}:"]
        if task.description is not None:
            lines.append(f"        description: {quote(task.description)}")
        lines += [f"        {line}" for line in _write_policy(task)]
    if flow.edges:
        shown = {task.name: str(task) for task in flow.tasks}
        lines += ["", *(f"    {' -> '.join(shown[n] for n in chain)}" for chain in _chains(flow))]
    return "\n".join(lines) + "\n"


def _chains(flow: FlowGraph) -> list[list[str]]:
    """Return the edges, in order, those that follow on each other joined."""
    chains: list[list[str]] = []
    for before, after in flow.edges:
        if chains and chains[-1][-1] == before:
            chains[-1].append(after)
        else:
            chains.append([before, after])
    return chains


def _write_policy(task: Task) -> list[str]:
    lines = []
    for name, keyword in KEYWORDS.items():
        if name in task.stated | stated_keywords(task.policy):
            value = getattr(task.policy, keyword.field)
            text = keyword.write(value)
            lines.append(
                f"{name}: {text}" if text is not None else f"# {name}, as set in Python: {value!a}"
            )
    return lines


def _escape(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
