"""Read one line of a flow text: which statement it is, and its parts with their columns.

Rules that involve other lines, such as unique names, are checked by the parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from taskinity_data.flow.model import MAX_WIDTH, Width
from taskinity_data.flow.naming import is_name
from taskinity_data.wording import suggest

__all__ = ["Edges", "Header", "Key", "Mistake", "Named", "Statement", "read_line"]

_HEADER = re.compile(r"(?P<word>flow|task)(?!\w|\s*(?:->|\[))")
_KEY = re.compile(r"(?P<key>\w+)\s*:(?P<value>.*)")
_SLIP = re.compile(r"(?P<word>\w+)\s+\w+\s*(\[[^\]]*\]\s*)?:\s*$")
_FILE = re.compile(r".*\.(?:flow|dsl|taskinity)", re.IGNORECASE)
_PART = re.compile(r"->|\w+|[^\w\s]")
_ARROWS = re.compile(r"-{2,}>|={1,}>|→|⇒|>{1,2}|-\s+>|-{2,}|<-")


class Mistake(Exception):  # noqa: N818 - not an error of the library: it becomes one of many problems
    """A line that says nothing: the column (from 1), what is wrong, how much of it."""

    def __init__(self, column: int, message: str, length: int = 1) -> None:
        super().__init__(column, message, length)  # all, so that it can be pickled
        self.column = column
        self.message = message
        self.length = length


class Named(NamedTuple):
    """A name with its width where one is written, and the column where it begins."""

    name: str
    width: Width
    column: int


@dataclass(frozen=True, slots=True)
class Header:
    """``flow Name:`` or ``task Name[8]:``."""

    word: str
    named: Named
    column: int


@dataclass(frozen=True, slots=True)
class Key:
    """``key: value``; the value as it is written, its column."""

    key: str
    column: int
    value: str
    value_column: int


@dataclass(frozen=True, slots=True)
class Edges:
    """``A -> [B, C] -> D``: the names between the arrows, one or more each."""

    groups: tuple[tuple[Named, ...], ...]


Statement = Header | Key | Edges


def read_line(line: str) -> Statement | None:
    """Return the statement in `line`, None if it is blank or a comment.

    Raises
    ------
    Mistake
        The line is not a statement.
    """
    code = _cut_comment(line).rstrip()
    body = code.lstrip()
    if not body:
        return None
    column = len(code) - len(body) + 1
    if match := _HEADER.match(body):
        return _read_header(match["word"], column, code)
    if (match := _KEY.match(body)) and match["key"]:
        value = match["value"]
        blanks = len(value) - len(value.lstrip())
        value_column = column + match.start("value") + blanks
        return Key(match["key"], column, value.strip(), value_column)
    if "->" in body or (_ARROWS.search(body) and not any(quote in body for quote in "\"'")):
        return Edges(_Reader(code).read_edges())
    raise _unknown(body, column)


def _cut_comment(line: str) -> str:
    """Return `line` up to a ``#`` that is not in quotes."""
    quote = ""
    index = 0
    while index < len(line):
        char = line[index]
        if quote and char == "\\":
            index += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#":
            return line[:index]
        index += 1
    return line


def _unknown(body: str, column: int) -> Mistake:
    if _FILE.fullmatch(body):
        return Mistake(column, "this is a file's name; td.load_flow(path) reads it", len(body))
    expected = "expected 'task Name:', 'key: value' or an edge such as 'A -> B'"
    if match := _SLIP.match(body):
        word = match["word"]
        hint = suggest(word.lower(), ["flow", "task"])
        return Mistake(column, f"unknown word {word!r}; {expected}.{hint}", len(word))
    if re.fullmatch(r"\w+\s*(\[[^\]]*\])?", body):
        return Mistake(
            column + len(body),
            f"expected '->' and a task after {body!r}; a task without an edge is written "
            f"'task {body}:'",
        )
    return Mistake(column, f"this is not a statement; {expected}", len(body))


def _read_header(word: str, column: int, code: str) -> Header:
    reader = _Reader(code, column - 1 + len(word))
    if word == "flow":
        part = reader.take_name("a name for the flow")
        named = Named(part[0], None, part[1])
    else:
        named = reader.read_named("a name for the task")
    reader.take(":", f"':' after '{word} {named.name}'")
    reader.expect_end(
        f"nothing after '{word} {named.name}:'; its contents belong on the next lines"
    )
    return Header(word, named, column)


class _Reader:
    """Reads names, widths, lists and arrows off one line, from left to right."""

    def __init__(self, code: str, start: int = 0) -> None:
        self.code = code
        self.parts = [(match.group(), match.start() + 1) for match in _PART.finditer(code, start)]
        self.index = 0

    @property
    def here(self) -> tuple[str, int]:
        """The next part of the line and its column; an empty one after the last."""
        if self.index < len(self.parts):
            return self.parts[self.index]
        return "", len(self.code.rstrip()) + 1

    def take(self, text: str, expected: str) -> None:
        part, column = self.here
        if part != text:
            raise Mistake(column, self._say(expected), len(part))
        self.index += 1

    def expect_end(self, expected: str) -> None:
        part, column = self.here
        if part:
            raise Mistake(column, f"expected {expected}", len(self.code) - column + 1)

    def take_name(self, expected: str) -> tuple[str, int]:
        part, column = self.here
        if not is_name(part):
            if part and re.fullmatch(r"\w+", part):
                raise Mistake(
                    column, f"{part!r} is not a name: it begins with a letter or _", len(part)
                )
            raise Mistake(column, self._say(expected), len(part))
        self.index += 1
        return part, column

    def read_named(self, expected: str) -> Named:
        name, column = self.take_name(expected)
        if self.here[0] != "[":
            return Named(name, None, column)
        self.index += 1
        part, width_column = self.here
        width: Width = None
        if part == "*":
            width = "*"
        elif re.fullmatch(r"[0-9]{1,9}", part) and 1 <= int(part) <= MAX_WIDTH:
            width = int(part)
        else:
            stop = self.code.find("]", width_column - 1)
            shown = self.code[width_column - 1 : stop] if stop >= 0 else part
            raise Mistake(
                width_column,
                f"expected a width: [*] for one task a chunk, or a whole number from 1 to "
                f"{MAX_WIDTH:,}, not {shown.strip()!r}",
                len(shown),
            )
        self.index += 1
        self.take("]", f"']' after the width of {name}")
        return Named(name, width, column)

    def read_edges(self) -> tuple[tuple[Named, ...], ...]:
        groups = [self._read_group("a task before '->'")]
        self._take_arrow()
        while True:
            groups.append(self._read_group("a task after '->'"))
            if not self.here[0]:
                return tuple(groups)
            self._take_arrow()

    def _take_arrow(self) -> None:
        part, column = self.here
        if part == "->":
            self.index += 1
            return
        if match := _ARROWS.match(self.code, column - 1):
            raise Mistake(
                column, f"an edge is written '->', not {match.group()!r}", len(match.group())
            )
        raise Mistake(column, self._say("'->'"), len(part))

    def _read_group(self, expected: str) -> tuple[Named, ...]:
        if self.here[0] != "[":
            return (self.read_named(expected),)
        opened = self.here[1]
        self.index += 1
        members = [self.read_named("a task in the list")]
        while self.here[0] == ",":
            self.index += 1
            members.append(self.read_named("a task after ','"))
        if not self.here[0] or self.here[0] == "->":
            raise Mistake(opened, "'[' was never closed: expected ']' after the last task")
        self.take("]", "',' or ']' in the list")
        return tuple(members)

    def _say(self, expected: str) -> str:
        part = self.here[0]
        return f"expected {expected}, not {part!r}" if part else f"expected {expected}, not the end"
