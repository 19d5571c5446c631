"""The bad lines that a run keeps in memory: the first ones, in the order of the chunks.

It knows nothing of readers or of who looks at them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.outcome import BadLine, take_first

if TYPE_CHECKING:
    from taskinity_data.execution.process import Item
    from taskinity_data.outcome import Outcome

__all__ = ["BadLineBook", "Entry"]

MOST_LINES, MOST_NBYTES = 10_000, 16 << 20
"""Kept of a whole run: a file that has more needs another separator, not a look at each line."""


class Entry(NamedTuple):
    """A bad line, the task that read it, and its chunk's key."""

    task: str
    key: str
    line: BadLine


class BadLineBook:
    """Takes bad lines as chunks end, in any order, and holds the first of them by chunk and row.

    At most about twice `MOST_LINES` and `MOST_NBYTES` are held; which ones are given back does not
    depend on the order in which chunks end.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        self._count = self._nbytes = 0

    def take(self, name: str, item: Item | None, outcome: Outcome) -> Outcome:
        """`outcome` of an item of fan-out `name` without its lines, which are kept here."""
        bad = outcome.bad_lines
        if bad is None or item is None:
            return outcome
        self._kept[name, item.place] = (outcome.key, bad.kept)
        self._count += len(bad.kept)
        self._nbytes += sum(len(line.raw) for line in bad.kept)
        if self._count > 2 * MOST_LINES or self._nbytes > 2 * MOST_NBYTES:
            self._trim()
        return replace(outcome, bad_lines=replace(bad, kept=()))

    def entries(self) -> tuple[Entry, ...]:
        """What is kept, in the order of fan-outs' names, chunks and rows."""
        self._trim()
        return tuple(
            Entry(name, key, line)
            for (name, _), (key, lines) in sorted(self._kept.items())
            for line in lines
        )

    def _trim(self) -> None:
        most, most_nbytes = MOST_LINES, MOST_NBYTES
        kept: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        for place, (key, lines) in sorted(self._kept.items()):
            taken = take_first(lines, most, most_nbytes)
            if taken:
                kept[place] = (key, taken)
            most -= len(taken)
            most_nbytes -= sum(len(line.raw) for line in taken)
            if len(taken) < len(lines):
                break
        self._kept = kept
        self._count, self._nbytes = MOST_LINES - most, MOST_NBYTES - most_nbytes
