"""What a flow text has said of each task, where it did, and whether that makes a flow.

It knows the places of the mistakes that only the whole text can show: circles, tasks without an
edge, fallbacks and names that do not exist. Single lines are not its business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from taskinity_data.errors import suggest
from taskinity_data.flow.model import Task, Width
from taskinity_data.flow.names import to_snake
from taskinity_data.flow.order import find_cycle
from taskinity_data.flow.typos import is_slip
from taskinity_data.flow.values import EXPECTED
from taskinity_data.policy import ON_ERROR, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.syntax import Problems

__all__ = ["Block", "check_blocks", "check_graph"]


@dataclass(slots=True)
class Block:
    """What a text has said of one task so far; `keys` and `fallback` with their places."""

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
        """The task that it describes."""
        stated = frozenset(self.keys) - {"description"}
        return Task(self.name, self.description, self.width, self.policy, stated=stated)


def check_blocks(blocks: Mapping[str, Block], problems: Problems) -> None:
    """Note fallbacks that can't be and names that would bind the same function."""
    for block in blocks.values():
        if block.fallback is not None:
            name, line, column = block.fallback
            other = blocks.get(name)
            if other is None:
                choices = [*ON_ERROR, *(one for one in blocks if one != block.name)]
                message = f"expected {EXPECTED['on_error']}, not {name!r}.{suggest(name, choices)}"
            elif other is block:
                message = f"task {name} can't be its own fallback"
            elif other.fallback is not None:
                message = f"the fallback {name} has a fallback itself; give one of them up"
            else:
                continue
            problems.add(line, column, message, len(name))
    known: dict[str, Block] = {}
    for block in blocks.values():
        other = known.setdefault(to_snake(block.name), block)
        if other is not block:
            problems.add(
                block.line,
                block.column,
                f"tasks {other.name} (line {other.line}) and {block.name} would both bind a "
                f"function {to_snake(block.name)}: rename one",
                len(block.name),
            )


def check_graph(
    blocks: Mapping[str, Block],
    edges: Mapping[tuple[str, str], tuple[int, int]],
    problems: Problems,
) -> None:
    """Note circles, tasks without an edge, and names that look like slips for others.

    `edges` holds the line and column of each.
    """
    fallbacks = {block.fallback[0] for block in blocks.values() if block.fallback is not None}
    unsaid = [block for block in blocks.values() if not block.has_header]
    alone = [one for one in blocks.values() if not one.is_linked and one.name not in fallbacks]
    if len(blocks) - len(fallbacks & set(blocks)) <= 1:
        alone = []
    for block in alone:
        hint = suggest(block.name, (one.name for one in unsaid))
        problems.add(
            block.line,
            block.column,
            f"task {block.name} has no edge: expected one such as '{block.name} -> ...'.{hint}",
            len(block.name),
        )
    if not alone:
        _check_slips(unsaid, blocks, problems)
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


def _check_slips(unsaid: list[Block], blocks: Mapping[str, Block], problems: Problems) -> None:
    for block in unsaid:
        for other in blocks.values():
            if other.has_header and is_slip(block.name, other.name):
                problems.add(
                    block.line,
                    block.column,
                    f"task {block.name} is only named here. Did you mean {other.name!r}? If not, "
                    f"declare it: 'task {block.name}:'",
                    len(block.name),
                )
                break
