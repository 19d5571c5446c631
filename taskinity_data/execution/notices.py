"""What is no failure, and still to be told: each matter once, where it came up first.

It knows nothing of where it is shown; it is logged as it comes up.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from taskinity_data.outcome import LOST_WITH_WORKER
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from taskinity_data.execution.process import Item
    from taskinity_data.outcome import Outcome

__all__ = ["Notices"]

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
