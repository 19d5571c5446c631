"""Notices that are no failure, each logged once, and the bad lines that a run keeps."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.outcome import LOST_WITH_WORKER, BadLine, take_first
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from taskinity_data.execution.worker.run_item import Item
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
            known = self._columns.setdefault(outcome.task, outcome.columns)
            if outcome.columns != known:
                self._add(f"{outcome.task}: {_differ(known, outcome.columns)}", item)

    def lose(self, task: str, item: Item) -> None:
        """Take notice of a worker that died under `item`, which runs again."""
        self._add(f"{task} ran again: {LOST_WITH_WORKER}", item)

    def _add(self, what: str, item: Item | None) -> None:
        what = hide(what)
        self._counts[what] += 1
        if what not in self._first:
            data = getattr(item, "data", None)
            where = f", first in {data}" if hasattr(data, "pieces") else ""
            self._first[what] = where
            _log.warning("%s%s", what, where)

    @property
    def lines(self) -> tuple[str, ...]:
        """Each matter with where it came up first, and how often."""
        often = {what: f" ({n:,} times)" for what, n in self._counts.items() if n > 1}
        return tuple(f"{what}{at}{often.get(what, '')}" for what, at in self._first.items())


def _differ(known: tuple[str, ...], columns: tuple[str, ...]) -> str:
    more = [name for name in columns if name not in known]
    fewer = [name for name in known if name not in columns]
    # Names may hold anything, terminal escapes too.
    parts = [f"more: {', '.join(map(repr, more))}"] if more else []
    parts += [f"missing: {', '.join(map(repr, fewer))}"] if fewer else []
    told = "; ".join(parts) or "in another order"
    return f"a result has other columns than the first one ({told}), and pandas.concat fills gaps"


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
        self._kept: dict[tuple[str, tuple[int, ...]], tuple[str, tuple[BadLine, ...]]] = {}
        self._count = self._nbytes = 0

    def take(self, name: str, item: Item | None, outcome: Outcome) -> Outcome:
        """`outcome` of an item of fan-out `name` without its lines, which are kept here."""
        bad = outcome.bad_lines
        if bad is None or item is None:
            return outcome
        self._kept[name, item.place] = (outcome.key, bad.lines)
        self._count += len(bad.lines)
        self._nbytes += sum(len(line.raw) for line in bad.lines)
        if self._count > 2 * MAX_LINES or self._nbytes > 2 * MAX_NBYTES:
            self._trim()
        return replace(outcome, bad_lines=replace(bad, lines=()))

    def entries(self) -> tuple[Entry, ...]:
        """What is kept, in the order of fan-outs' names, chunks and rows."""
        self._trim()
        return tuple(
            Entry(name, key, line)
            for (name, _), (key, lines) in sorted(self._kept.items())
            for line in lines
        )

    def _trim(self) -> None:
        most, most_nbytes = MAX_LINES, MAX_NBYTES
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
        self._count, self._nbytes = MAX_LINES - most, MAX_NBYTES - most_nbytes
