"""A flow written in the flow language, and the words that both writing and reading it share.

It knows nothing of files.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from taskinity_data.flow.naming import is_name
from taskinity_data.flow.policies import POLICY_FIELDS, stated_keywords

if TYPE_CHECKING:
    from taskinity_data.flow.model import Flow, Task

__all__ = ["TASK_KEYS", "quote", "to_text", "unquote"]

TASK_KEYS = (
    "description", "retries", "retry_delay", "max_delay", "timeout", "on_error", "resources",
)  # fmt: skip
"""What can be said of a task in a text: policies that are plain values."""

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


def to_text(flow: Flow) -> str:
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


def _chains(flow: Flow) -> list[list[str]]:
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
    for keyword, name in POLICY_FIELDS.items():
        if keyword in task.stated | stated_keywords(task.policy):
            value = getattr(task.policy, name)
            text = _write_value(keyword, value)
            lines.append(
                f"{keyword}: {text}"
                if text is not None
                else f"# {keyword}, as set in Python: {value!a}"
            )
    return lines


def _write_value(keyword: str, value: Any) -> str | None:
    """The value of a policy as the language writes it, None where it can't."""
    if keyword == "retries":
        return str(value)
    if keyword in ("retry_delay", "max_delay", "timeout"):
        return f"{write_number(value)}s" if value is not None and math.isfinite(value) else None
    if keyword == "on_error":
        return value if isinstance(value, str) else None
    if keyword == "resources" and value and all(is_name(name) for name in value):
        return ", ".join(f"{name}={write_number(amount)}" for name, amount in value.items())
    return None


def write_number(number: float) -> str:
    """Every digit of `number`, without an exponent."""
    whole = f"{Decimal(repr(number if isinstance(number, int) else float(number))):f}"
    return whole.removesuffix(".0")


def _escape(letter: str) -> str:
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
