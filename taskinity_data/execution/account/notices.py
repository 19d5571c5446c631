"""Notices that are no failure, each logged once, and the bad lines that a run keeps."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.outcome import LOST_WITH_WORKER, BadLine, take_first
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from taskinity_data.execution.worker.job import Item
    from taskinity_data.outcome import Outcome

__all__ = [
    "BadLineBook",
    "Entry",
    "Notices",
]

_log = logging.getLogger(__name__)


class Notices:
    """Gathers them from outcomes, in the order in which these end."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._columns: dict[str, tuple[str, ...]] = {}

    def see(self, item: Item | None, outcome: Outcome) -> None:
        """Take notice of what came up while `item` ran."""
        for attempt in outcome.attempts:
            for notice in attempt.notices:
                self._add(f"{outcome.task} {notice}", item)
        if item is not None and outcome.columns is not None:
            first_columns = self._columns.setdefault(outcome.task, outcome.columns)
            if outcome.columns != first_columns:
                self._add(f"{outcome.task}: {_differ(first_columns, outcome.columns)}", item)

    def lose(self, task: str, item: Item) -> None:
        """Take notice of a worker that died under `item`, which runs again."""
        self._add(f"{task} ran again: {LOST_WITH_WORKER}", item)

    def _add(self, notice: str, item: Item | None) -> None:
        notice = hide(notice)
        self._counts[notice] += 1
        if notice not in self._first:
            data = getattr(item, "data", None)
            where = f", first in {data}" if hasattr(data, "pieces") else ""
            self._first[notice] = where
            _log.warning("%s%s", notice, where)

    @property
    def lines(self) -> tuple[str, ...]:
        """Each matter with where it came up first, and how often."""
        often = {notice: f" ({n:,} times)" for notice, n in self._counts.items() if n > 1}
        return tuple(f"{notice}{at}{often.get(notice, '')}" for notice, at in self._first.items())


def _differ(first: tuple[str, ...], columns: tuple[str, ...]) -> str:
    more = [name for name in columns if name not in first]
    fewer = [name for name in first if name not in columns]
    # Names may hold anything, terminal escapes too.
    parts = [f"more: {', '.join(map(repr, more))}"] if more else []
    parts += [f"missing: {', '.join(map(repr, fewer))}"] if fewer else []
    differences = "; ".join(parts) or "in another order"
    return (
        f"a result has other columns than the first one ({differences}), and pandas.concat fills "
        "gaps"
    )


MAX_LINES, MAX_NBYTES = 10_000, 16 << 20
"""Kept of a whole run: a file that has more needs another separator, not a look at each line."""


class Entry(NamedTuple):
    """A bad line, the task that read it, and its chunk's key."""

    task: str
    key: str
    line: BadLine


class BadLineBook:
    """Takes bad lines as chunks end, in any order, and holds the first of them by chunk and row.

    At most about twice `MAX_LINES` and `MAX_NBYTES` are held; which ones are given back does not
    depend on the order in which chunks end.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        self._count = self._nbytes = 0

    def take(self, name: str, item: Item | None, outcome: Outcome) -> Outcome:
        """Return `outcome` of an item of fan-out `name` without its lines, which are kept here."""
        bad = outcome.bad_lines
        if bad is None or item is None:
            return outcome
        self._lines[name, item.index] = (outcome.key, bad.lines)
        self._count += len(bad.lines)
        self._nbytes += sum(len(line.raw) for line in bad.lines)
        if self._count > 2 * MAX_LINES or self._nbytes > 2 * MAX_NBYTES:
            self._trim()
        return replace(outcome, bad_lines=replace(bad, lines=()))

    def entries(self) -> tuple[Entry, ...]:
        """Return the lines that are kept, in the order of fan-outs' names, chunks and rows."""
        self._trim()
        return tuple(
            Entry(name, key, line)
            for (name, _), (key, lines) in sorted(self._lines.items())
            for line in lines
        )

    def _trim(self) -> None:
        max_lines, max_nbytes = MAX_LINES, MAX_NBYTES
        retained: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        for index, (key, lines) in sorted(self._lines.items()):
            first_lines = take_first(lines, max_lines, max_nbytes)
            if first_lines:
                retained[index] = (key, first_lines)
            max_lines -= len(first_lines)
            max_nbytes -= sum(len(line.raw) for line in first_lines)
            if len(first_lines) < len(lines):
                break
        self._lines = retained
        self._count, self._nbytes = MAX_LINES - max_lines, MAX_NBYTES - max_nbytes
