"""Collect the description of each task of a flow text, its keys' values, and what contradicts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from taskinity_data.errors import SettingsError
from taskinity_data.flow.keywords import KEYWORDS, make_policy
from taskinity_data.flow.language.lexer import Mistake
from taskinity_data.flow.language.writer import unquote
from taskinity_data.flow.model import Task, Width, explain_fallback, find_cycle
from taskinity_data.flow.naming import is_name, to_snake
from taskinity_data.policy import Policy
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.language.lexer import Key
    from taskinity_data.flow.language.syntax_errors import Problems

__all__ = ["TaskText", "check_blocks", "check_graph", "read_policy", "read_text"]


@dataclass(slots=True)
class TaskText:
    """What is known of one task so far; `keys` and `fallback` with their positions."""

    name: str
    line: int
    column: int
    width: Width = None
    has_header: bool = False
    is_linked: bool = False
    description: str | None = None
    keys: dict[str, int] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    fallback: tuple[str, int, int] | None = None

    def to_task(self) -> Task:
        """Return the task that it describes."""
        stated = frozenset(self.keys) - {"description"}
        return Task(self.name, self.description, self.width, self.policy, stated=stated)


def check_blocks(blocks: Mapping[str, TaskText], problems: Problems) -> None:
    """Report invalid fallbacks, and names that would bind the same function."""
    fallbacks = {name: block.fallback and block.fallback[0] for name, block in blocks.items()}
    for block in blocks.values():
        if block.fallback is not None:
            name, line, column = block.fallback
            if message := explain_fallback(block.name, name, fallbacks):
                problems.add(line, column, message, len(name))
    names: dict[str, TaskText] = {}
    for block in blocks.values():
        other = names.setdefault(to_snake(block.name), block)
        if other is not block:
            problems.add(
                block.line,
                block.column,
                f"tasks {other.name} (line {other.line}) and {block.name} would both bind a "
                f"function {to_snake(block.name)}: rename one",
                len(block.name),
            )


def check_graph(
    blocks: Mapping[str, TaskText],
    edges: Mapping[tuple[str, str], tuple[int, int]],
    problems: Problems,
) -> None:
    """Report cycles, and tasks without an edge.

    `edges` holds the line and column of each.
    """
    fallbacks = {block.fallback[0] for block in blocks.values() if block.fallback is not None}
    unsaid = [block for block in blocks.values() if not block.has_header]
    alone = [
        unlinked
        for unlinked in blocks.values()
        if not unlinked.is_linked and unlinked.name not in fallbacks
    ]
    if len(blocks) - len(fallbacks & set(blocks)) <= 1:
        alone = []
    for block in alone:
        hint = suggest(block.name, (unlinked.name for unlinked in unsaid))
        problems.add(
            block.line,
            block.column,
            f"task {block.name} has no edge: expected one such as '{block.name} -> ...'.{hint}",
            len(block.name),
        )
    circle = find_cycle(list(blocks), list(edges))
    if circle:
        closing = max(pairwise(circle), key=lambda edge: edges[edge])
        line, column = edges[closing]
        problems.add(
            line,
            column,
            f"these tasks wait for each other: {' -> '.join(circle)}",
            len(closing[1]),
        )


def read_policy(key: Key) -> Policy:
    """Return the default policy with the value of `key`; a fallback's name is not checked.

    Raises
    ------
    Mistake
        The value is invalid.
    """
    keyword = KEYWORDS[key.key]
    expected = keyword.expected
    if not key.value:
        raise Mistake(key.value_column, f"expected a value: {expected}")
    if key.value[0] in "\"'":
        raise Mistake(key.value_column, f"expected {expected}, without quotes", len(key.value))
    if key.key == "on_error" and is_name(key.value):
        return Policy(on_error=key.value)
    assert keyword.read is not None  # one of TASK_KEYS
    try:
        return make_policy(**{key.key: keyword.read(key.value)})
    except (ValueError, SettingsError) as error:
        message = f"expected {expected}, not {key.value!r}"
        raise Mistake(key.value_column, message, len(key.value)) from error


def read_text(key: Key) -> str:
    """Return the quoted text that a description is."""
    value, column = key.value, key.value_column
    if not value or value[0] not in "\"'":
        raise Mistake(column, 'expected a quoted string, e.g. description: "…"', len(value))
    match = re.match(r"(?P<quote>[\"'])(?P<body>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)", value)
    if match is None:
        raise Mistake(
            column, f"this quote was never closed: expected {value[0]} on this line", len(value)
        )
    if match.end() < len(value):
        raise Mistake(
            column + match.end(),
            "expected nothing after the closing quote; a quote inside a string is written "
            f"\\{value[0]}",
            len(value) - match.end(),
        )
    text = unquote(match["body"])
    if isinstance(text, int):
        raise Mistake(
            column + 1 + text,
            "invalid escape sequence: expected \\\\, \\\", \\', \\n, \\t, \\r, \\u1234 or "
            "\\U00012345",
            2,
        )
    return text
