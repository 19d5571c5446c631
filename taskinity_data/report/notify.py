"""Passes what a run says on to all who listen.

It knows nothing of what they do with it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.outcome import RunStatus

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
            self._try(observer, "on_event", event)

    def announce(self, strategy: Any, reason: str) -> None:
        """Tell who runs from now on."""
        name, workers, link = strategy.name, strategy.workers, strategy.dashboard_link
        reason = hide(reason)
        self.strategies.append((name, workers, link))
        self._tell("on_scheduler", strategy)
        self(events.SchedulerChanged(self._run_id, time.time(), name, workers, reason, link))

    def pulse(self) -> None:
        """Tell those who show a clock that time goes on, though nothing happens."""
        self._tell("on_tick", time.time())

    def leave(self, status: RunStatus) -> None:
        """Tell those who talk through the workers' cluster how the run ends, while it is there."""
        self._tell("on_ending", status, time.time())

    def close(self) -> None:
        """Let observers put their things away."""
        self._tell("close")

    def _tell(self, what: str, *facts: Any) -> None:
        """Call what is promised to subclasses of `Observer` alone."""
        for observer in list(self._observers):
            if isinstance(observer, events.Observer):
                self._try(observer, what, *facts)

    def _try(self, observer: Any, what: str, *facts: Any) -> None:
        try:
            getattr(observer, what)(*facts)
        except Exception:  # noqa: BLE001 - an observer never costs the run
            _log.warning("observer %r raised and is dropped", observer, exc_info=True)
            self._observers.remove(observer)
