"""Collect the problems of a flow text, and report all of them together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from taskinity_data.errors import FlowSyntaxError, shorten

__all__ = ["Problem", "Problems", "split_lines"]

_SHOWN_PROBLEMS = 20
"""The number of problems that fit on a screen; `.problems` holds all."""

_SHOWN_COLUMNS = 100
"""Of a longer line, only this much around the problem is shown."""

_MAX_MESSAGE = 600
"""A longer message quotes a long text, which is in the line that is shown."""


def split_lines(text: str) -> list[str]:
    """Return the lines of `text`: ended by LF, CRLF or CR alone, and by nothing else."""
    return re.split(r"\r\n|\n|\r", text)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A mistake: line and column from 1, what is wrong, and how many characters it covers."""

    line: int
    column: int
    message: str
    length: int = 1


@dataclass(slots=True)
class Problems:
    """The mistakes of one text, in the order in which they are found."""

    lines: list[str]
    collected: list[Problem] = field(default_factory=list)

    def add(self, line: int, column: int, message: str, length: int = 1) -> None:
        """Add a problem at `line` and `column`, both from 1."""
        self.collected.append(Problem(line, column, shorten(message, _MAX_MESSAGE), max(1, length)))

    def raise_any(self, origin: str) -> None:
        """Raise all problems, in the order of the text, as one error.

        Raises
        ------
        FlowSyntaxError
            There is at least one problem.
        """
        if not self.collected:
            return
        problems = sorted(self.collected)
        count = "a problem" if len(problems) == 1 else f"{len(problems)} problems"
        parts = [f"{origin} has {count}"]
        parts += [self._draw(problem) for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            parts.append(f"… and {len(problems) - _SHOWN_PROBLEMS} more (see .problems)")
        raise FlowSyntaxError(
            "\n\n".join(parts),
            line=problems[0].line,
            column=problems[0].column,
            problems=tuple((item.line, item.column, item.message) for item in problems),
        )

    def _draw(self, problem: Problem) -> str:
        line = self.lines[problem.line - 1]
        first = (
            max(0, problem.column - 1 - _SHOWN_COLUMNS // 2) if len(line) > _SHOWN_COLUMNS else 0
        )
        shown = "".join(
            char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}"
            for char in line[first : first + _SHOWN_COLUMNS]
        )
        before = shown[: problem.column - 1 - first]
        gap = "".join("\t" if char == "\t" else " " for char in before)
        carets = "^" * max(1, min(problem.length, len(shown) - len(before)))
        return (
            f"line {problem.line}, column {problem.column}: {problem.message}\n"
            f"    {shown}\n    {gap}{carets}"
        )
