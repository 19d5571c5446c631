"""Passes what a run says on to all who listen.

It knows nothing of what they do with it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from taskinity_data import events

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Announcer"]

_log = logging.getLogger(__name__)


class Announcer:
    """Passes events on to observers; one that raises is dropped, and said."""

    def __init__(self, run_id: str, observers: Sequence[Any]) -> None:
        self._run_id = run_id
        self._observers = list(observers)
        self.strategies: list[tuple[str, int, str | None]] = []

    def __call__(self, event: events.Event) -> None:
        for observer in list(self._observers):
            try:
                observer.on_event(event)
            except Exception:  # noqa: BLE001 - an observer never costs the run
                _log.warning("observer %r raised and is dropped", observer, exc_info=True)
                self._observers.remove(observer)

    def announce(self, strategy: Any, reason: str) -> None:
        """Tell who runs from now on."""
        name, workers, link = strategy.name, strategy.workers, strategy.dashboard_link
        self.strategies.append((name, workers, link))
        for observer in self._observers:
            use = getattr(observer, "use", None)
            if use is not None:
                use(strategy)
        self(events.SchedulerChanged(self._run_id, time.time(), name, workers, reason, link))

    def close(self) -> None:
        """Let observers put their things away."""
        for observer in self._observers:
            close = getattr(observer, "close", None)
            if close is not None:
                close()
