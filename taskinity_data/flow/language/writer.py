"""A flow written in the flow language, and the words that both writing and reading it share.

It knows nothing of files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from taskinity_data.flow.language.keywords import KEYWORDS
from taskinity_data.flow.policies import stated_keywords

if TYPE_CHECKING:
    from taskinity_data.flow.model import FlowGraph, Task

__all__ = ["quote", "to_text", "unquote"]

_ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "t": "\t", "r": "\r"}
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[\\\"'ntr])|u(?P<four>[0-9A-Fa-f]{4})|U(?P<eight>00(?:0[0-9A-Fa-f]|10)"
    r"[0-9A-Fa-f]{4}))|(?P<bad>\\)"
)


def quote(text: str) -> str:
    r"""`text` between double quotes, on one line of printable characters.

    >>> print(quote('a "b"\n'))
    "a \"b\"\n"
    """
    names = {value: f"\\{letter}" for letter, value in _ESCAPES.items() if letter != "'"}
    return '"' + "".join(names.get(letter) or _escape(letter) for letter in text) + '"'


def unquote(body: str) -> str | int:
    r"""What stands between the quotes of a text, or the index of a backslash that means nothing.

    >>> unquote(r"a\tb") == "a\tb", unquote(r"C:\data")
    (True, 2)
    """
    pieces, start = [], 0
    for found in _ESCAPE.finditer(body):
        if found["bad"]:
            return found.start()
        code = found["four"] or found["eight"]
        pieces += [
            body[start : found.start()],
            chr(int(code, 16)) if code else _ESCAPES[found["plain"]],
        ]
        start = found.end()
    return "".join(pieces) + body[start:]


def to_text(flow: FlowGraph) -> str:
    """`flow` in the flow language."""
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
    """The edges, in order, those that follow on each other joined."""
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


def _escape(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
