"""Parse a flow text into an unbound `Flow`, or raise an error that lists every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskinity_data.errors import FlowSyntaxError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.keywords import TASK_KEYS, merge_policies
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
from taskinity_data.flow.language.task_text import (
    TaskText,
    check_blocks,
    check_graph,
    read_policy,
    read_text,
)
from taskinity_data.policy import ON_ERROR
from taskinity_data.wording import suggest

__all__ = [
    "parse_dsl",
    "parse_flow",
    "parse_text",
]


_CODE = (
    "a flow text holds no code; write the functions in Python and pass them: "
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
            message = f"edge {before.name} -> {after.name} is repeated; first {where}"
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
                f"{key.key!r} is repeated in {owner}; first in line {keys[key.key]}",
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
