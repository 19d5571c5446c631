"""Parse a flow text into an unbound `Flow`, or raise an error that lists every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from taskinity_data.errors import FlowSyntaxError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.language.keywords import KEYWORDS, TASK_KEYS
from taskinity_data.flow.language.lexer import (
    Edges,
    Header,
    Key,
    Mistake,
    Named,
    Statement,
    read_line,
)
from taskinity_data.flow.language.syntax_errors import Problems, split_lines
from taskinity_data.flow.language.values import read_policy, read_text
from taskinity_data.flow.model import Task, Width
from taskinity_data.flow.naming import is_slip, to_snake
from taskinity_data.flow.order import find_cycle
from taskinity_data.flow.policies import merge_policies
from taskinity_data.policy import ON_ERROR, Policy
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TaskText",
    "check_blocks",
    "check_graph",
    "parse_dsl",
    "parse_flow",
    "parse_text",
]


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
    for block in blocks.values():
        if block.fallback is not None:
            name, line, column = block.fallback
            other = blocks.get(name)
            if other is None:
                choices = [*ON_ERROR, *(task for task in blocks if task != block.name)]
                expected = KEYWORDS["on_error"].expected
                message = f"expected {expected}, not {name!r}.{suggest(name, choices)}"
            elif other is block:
                message = f"task {name} can't be its own fallback"
            elif other.fallback is not None:
                message = f"the fallback {name} has a fallback itself; give one of them up"
            else:
                continue
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
    """Report cycles, tasks without an edge, and names that look like misspelt others.

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


def _check_slips(
    unsaid: list[TaskText], blocks: Mapping[str, TaskText], problems: Problems
) -> None:
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


_CODE = (
    "a flow text holds no code; write the functions in Python and hand them over: "
    "flow.bind([process_chunk, ...]), or --tasks FILE.py"
)
_NO_FLOW = "expected 'flow Name:' before anything else"


def parse_flow(text: str) -> Flow:
    r"""Return the flow that `text` describes, not yet bound to functions.

    Raises
    ------
    FlowSyntaxError
        The text does not parse. The message shows each mistake with its line and a caret;
        `.problems` holds (line, column, message) of all of them, `.line` and `.column` the first's.

    Examples
    --------
    >>> parse_flow("flow Small:\n    Prepare -> Process[*] -> Combine")
    Flow(Small: Prepare, Process[*], Combine; 2 edges, unbound)
    """
    return parse_text(text, origin="the flow text")


parse_dsl = parse_flow


def parse_text(text: str, origin: str) -> Flow:
    """Parse as `parse_flow` does, with `origin` (a file's path) in the error."""
    if not isinstance(text, str):
        hint = "see load_flow(path)"
        if isinstance(text, Flow):
            hint = "it is parsed already; td.run_flow(flow.bind(tasks), ...) runs it"
        elif isinstance(text, (bytes, bytearray)):
            hint = "decode it first"
        message = f"a flow is parsed from a str, not from {type(text).__name__}: {hint}"
        raise FlowSyntaxError(message, line=1, column=1, problems=((1, 1, message),))
    reader = _FlowReader(split_lines(text.removeprefix("\ufeff")))
    reader.read()
    reader.problems.raise_any(origin)
    return reader.build()


@dataclass(slots=True)
class _FlowReader:
    """Goes through the lines, top to bottom, and notes what is wrong."""

    lines: list[str]
    problems: Problems = field(init=False)
    name: str = ""
    header_line: int = 0
    has_begun: bool = False
    description: str | None = None
    keys: dict[str, int] = field(default_factory=dict)
    blocks: dict[str, TaskText] = field(default_factory=dict)
    edges: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    block: TaskText | None = None
    is_graph_whole: bool = True
    skip_deeper_than: int | None = None

    def __post_init__(self) -> None:
        self.problems = Problems(self.lines)

    def read(self) -> None:
        if not any(line.strip() for line in self.lines):
            self.problems.add(1, 1, "the text is empty: expected 'flow Name:'")
            return
        for number, line in enumerate(self.lines, start=1):
            if "\0" in line:
                self.problems.add(number, line.index("\0") + 1, "a NUL byte: this is not text")
                return
        for number, line in enumerate(self.lines, start=1):
            if self._is_code(line):
                continue
            statement = self._read_line(number, line)
            if statement is None:
                continue
            if isinstance(statement, Header) and statement.word == "flow" and self.header_line:
                self._refuse_second(number, statement)
                break
            self._take(number, statement)
        self._check()

    def _read_line(self, number: int, line: str) -> Statement | None:
        try:
            statement = read_line(line)
        except Mistake as mistake:
            self.problems.add(number, mistake.column, mistake.message, mistake.length)
            is_header = line.split(maxsplit=1)[0].rstrip(":") == "flow"
            self.has_begun |= is_header
            self.is_graph_whole &= is_header
            # What follows belongs to the block that was meant to begin here.
            self.block = None if is_header or "->" in line else TaskText("", number, 1)
            return None
        is_header = isinstance(statement, Header) and statement.word == "flow"
        if statement is not None and not is_header and not self.has_begun:
            column = len(line) - len(line.lstrip()) + 1
            self.problems.add(number, column, _NO_FLOW, len(line.strip()))
        self.has_begun |= statement is not None
        return statement

    def _check(self) -> None:
        if not self.has_begun and not self.problems.collected:
            self.problems.add(1, 1, _NO_FLOW)
        elif not self.blocks and not self.problems.collected:
            self.problems.add(
                self.header_line,
                1,
                "this flow has no task: expected 'task Name:' or an edge such as 'A -> B'",
                len(self.lines[self.header_line - 1].rstrip()),
            )
        check_blocks(self.blocks, self.problems)
        if self.is_graph_whole:
            check_graph(self.blocks, self.edges, self.problems)

    def _is_code(self, line: str) -> bool:
        """Return whether `line` belongs to inline code that was refused already."""
        if self.skip_deeper_than is None:
            return False
        if not line.strip() or _indent(line) > self.skip_deeper_than:
            return True
        self.skip_deeper_than = None
        return False

    def _refuse_second(self, number: int, header: Header) -> None:
        self.problems.add(
            number,
            header.column,
            f"a second flow begins here, after {self.name!r} in line {self.header_line}: one flow "
            "a file",
            len("flow"),
        )

    def _take(self, number: int, statement: Statement) -> None:
        if isinstance(statement, Edges):
            self.block = None
            self._take_edges(number, statement)
        elif isinstance(statement, Key):
            self._take_key(number, statement)
        elif statement.word == "flow":
            self.name = statement.named.name
            self.header_line = number
        else:
            self._take_task(number, statement)

    def _take_task(self, number: int, header: Header) -> None:
        block = self._mention(number, header.named)
        if block.has_header:
            self.problems.add(
                number,
                header.named.column,
                f"task {block.name} is declared twice; first in line {block.line}",
                len(block.name),
            )
            # The keys of the second block are checked, but belong nowhere.
            block = TaskText(block.name, number, header.named.column)
        block.has_header = True
        block.line, block.column = number, header.named.column
        self.block = block

    def _mention(self, number: int, named: Named) -> TaskText:
        block = self.blocks.get(named.name)
        if block is None:
            block = TaskText(named.name, number, named.column, named.width)
            self.blocks[named.name] = block
        elif block.width is None:
            block.width = named.width
        elif named.width not in (None, block.width):
            self.problems.add(
                number,
                named.column,
                f"{named.name}[{named.width}] has another width than {named.name}[{block.width}] "
                f"in line {block.line}",
                len(named.name),
            )
        return block

    def _take_edges(self, number: int, statement: Edges) -> None:
        for group in statement.groups:
            for named in group:
                self._mention(number, named).is_linked = True
        for befores, afters in zip(statement.groups, statement.groups[1:], strict=False):
            for before in befores:
                for after in afters:
                    self._take_edge(number, before, after)

    def _take_edge(self, number: int, before: Named, after: Named) -> None:
        edge = (before.name, after.name)
        if before.name == after.name:
            message = f"task {after.name} can't follow itself"
        elif edge in self.edges:
            line = self.edges[edge][0]
            where = "in this line" if line == number else f"in line {line}"
            message = f"edge {before.name} -> {after.name} stands twice; first {where}"
        else:
            self.edges[edge] = (number, after.column)
            return
        self.problems.add(number, after.column, message, len(after.name))

    def _take_key(self, number: int, key: Key) -> None:
        if key.key == "code":
            self.problems.add(number, key.column, _CODE, len(key.key))
            self.skip_deeper_than = _indent(self.lines[number - 1])
            return
        keys = self.keys if self.block is None else self.block.keys
        if key.key not in (("description",) if self.block is None else TASK_KEYS):
            self.problems.add(number, key.column, self._explain_unknown(key), len(key.key))
            return
        if key.key in keys:
            owner = "the flow" if self.block is None else f"task {self.block.name}"
            self.problems.add(
                number,
                key.column,
                f"{key.key!r} stands twice in {owner}; first in line {keys[key.key]}",
                len(key.key),
            )
            return
        keys[key.key] = number
        try:
            if key.key == "description":
                text = read_text(key)
                if self.block is None:
                    self.description = text
                else:
                    self.block.description = text
            elif self.block is not None:
                policy = read_policy(key)
                self.block.policy = merge_policies(self.block.policy, policy, (key.key,))
                if key.key == "on_error" and policy.on_error not in ON_ERROR:
                    self.block.fallback = (key.value, number, key.value_column)
        except Mistake as mistake:
            self.problems.add(number, mistake.column, mistake.message, mistake.length)

    def _explain_unknown(self, key: Key) -> str:
        if self.block is None and key.key in TASK_KEYS:
            return (
                f"{key.key!r} belongs to a task, and no task's block is open here: write it "
                "directly under 'task Name:'"
            )
        if not key.value and (key.key in self.blocks or key.key[:1].isupper()):
            return f"unknown key {key.key!r}; expected 'task {key.key}:' if this is a task"
        allowed = ("description", "task") if self.block is None else TASK_KEYS
        owner = "a flow" if self.block is None else "a task"
        hint = suggest(key.key.lower().replace("-", "_"), allowed)
        shown = "description" if self.block is None else ", ".join(TASK_KEYS)
        return f"unknown key {key.key!r}; {owner} has: {shown}.{hint}"

    def build(self) -> Flow:
        tasks = tuple(block.to_task() for block in self.blocks.values())
        return Flow(self.name, self.description, tasks, tuple(self.edges))


def _indent(line: str) -> int:
    expanded = line.expandtabs(8)
    return len(expanded) - len(expanded.lstrip())
