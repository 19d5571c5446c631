"""Pass the events of a run on to its observers."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from taskinity_data import events
from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.outcome import RunStatus

__all__ = ["Announcer"]

_log = logging.getLogger(__name__)


class Announcer:
    """Passes events on to observers; one that raises is dropped, with a logged warning."""

    def __init__(self, run_id: str, observers: Sequence[Any]) -> None:
        self._run_id = run_id
        self._observers = [
            observer if isinstance(observer, events.Observer) else _EventsAlone(observer)
            for observer in observers
        ]
        self.strategies: list[tuple[str, int, str | None]] = []

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, (events.ChunksSubmitted, events.ChunksCompleted)):
            self._each(lambda observer: _pass_batch(observer, event))
        else:
            self._each(lambda observer: observer.on_event(event))

    def add(self, observer: events.Observer) -> None:
        """Pass on to `observer`, too, from now on."""
        self._observers.append(observer)

    def announce(self, strategy: Any, reason: str) -> None:
        """Tell observers who runs items from now on."""
        name, workers, link = strategy.name, strategy.workers, strategy.dashboard_link
        reason = hide(reason)
        self.strategies.append((name, workers, link))
        self._each(lambda observer: observer.on_scheduler(strategy))
        self(events.SchedulerChanged(self._run_id, time.time(), name, workers, reason, link))

    def pulse(self) -> None:
        """Tell observers the time while there is no event."""
        at_s = time.time()
        self._each(lambda observer: observer.on_tick(at_s))

    def leave(self, status: RunStatus) -> None:
        """Tell observers how the run ends while its workers are still there."""
        at_s = time.time()
        self._each(lambda observer: observer.on_ending(status, at_s))

    def close(self) -> None:
        """Let observers release what they hold."""
        self._each(lambda observer: observer.close())

    def _each(self, call: Callable[[events.Observer], None]) -> None:
        for observer in list(self._observers):
            try:
                call(observer)
            except Exception:  # noqa: BLE001 - an observer never costs the run
                _log.warning("observer %r raised and is dropped", observer, exc_info=True)
                self._observers.remove(observer)


def _pass_batch(
    observer: events.Observer, batch: events.ChunksSubmitted | events.ChunksCompleted
) -> None:
    if observer.takes_batches:
        observer.on_event(batch)
        return
    for event in batch.split():
        observer.on_event(event)


class _EventsAlone(events.Observer):
    """An object of another class, of which only `on_event` is called."""

    def __init__(self, observer: Any) -> None:
        self._observer = observer

    def on_event(self, event: events.Event) -> None:
        self._observer.on_event(event)

    def __repr__(self) -> str:
        return repr(self._observer)
