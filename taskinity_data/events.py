"""Define the events of a run, as frozen values, the base class of observers, and who calls them.

Progress bars, dashboards, journals and logs are all observers of the same events. Times are seconds
since the epoch.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.outcome import Outcome, RunStatus
    from taskinity_data.outcome_block import OutcomeBlock


__all__ = [
    "ChunkFinished",
    "ChunkRetried",
    "ChunkSubmitted",
    "ChunksCompleted",
    "ChunksSubmitted",
    "Event",
    "FanOutGrew",
    "Notice",
    "Observer",
    "RunFinished",
    "RunStarted",
    "SchedulerChanged",
    "SizeChanged",
    "TaskFinished",
    "TaskStarted",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run, at a time."""

    run_id: str
    at_s: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins. `tasks` are the flow's names in the order in which they can run."""

    flow: str
    tasks: tuple[str, ...]


DASHBOARD_PAGE = "/taskinity"
"""The path of the run's page on Dask's dashboard."""


@dataclass(frozen=True, slots=True)
class SchedulerChanged(Event):
    """The scheduler that runs the tasks from now on, its number of workers, and the reason.

    `dashboard_link` leads to the run's page on Dask's dashboard.
    """

    scheduler: str
    workers: int
    reason: str
    dashboard_link: str | None = None


@dataclass(frozen=True, slots=True)
class TaskStarted(Event):
    """A task, or a fan-out, begins."""

    task: str


@dataclass(frozen=True, slots=True)
class TaskFinished(Event):
    """A task ended, or a fan-out with all its chunks; `outcome` is None for a fan-out."""

    task: str
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class FanOutGrew(Event):
    """The size of a fan-out as far as it is known: totals are estimates until `is_final`.

    `chunks` is the expected number of chunks, including parts of split ones; None if unknown.
    """

    task: str
    chunks: int | None
    nbytes: int
    rows: int | None
    is_final: bool


@dataclass(frozen=True, slots=True)
class ChunkSubmitted(Event):
    """A chunk was put in a worker's queue: `where` is its range in `path`, None for an item."""

    task: str
    key: str
    nbytes: int
    path: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkRetried(Event):
    """A chunk has failed and is retried: `description` says how, as a phrase.

    `outcome` holds its attempts so far, None if it was lost with its worker. A chunk that is split
    is replaced by `parts` chunks with their own keys. `where` is its range in `path`, None for an
    item.
    """

    task: str
    key: str
    description: str
    outcome: Outcome | None = None
    parts: int = 0
    path: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkFinished(Event):
    """A chunk completed or failed: `where` is its range in `path`, None for an item."""

    task: str
    outcome: Outcome
    path: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ChunksSubmitted(Event):
    """Several `items`, chunks or not, were put in a worker's queue together."""

    task: str
    items: Sequence[Any]

    def split(self) -> Iterator[ChunkSubmitted]:
        """Yield an event for each item."""
        for item in self.items:
            yield ChunkSubmitted(
                self.run_id, self.at_s, self.task, item.key, item.nbytes, *item.file_range
            )


@dataclass(frozen=True, slots=True)
class ChunksCompleted(Event):
    """Several `items`, chunks or not, completed together, each with its outcome in `block`.

    `items` have `sizes`, the planned bytes of each.
    """

    task: str
    items: Any
    block: OutcomeBlock

    def split(self) -> Iterator[ChunkFinished]:
        """Yield an event for each item."""
        for item, outcome in zip(self.items, self.block.outcomes(self.items), strict=True):
            yield ChunkFinished(self.run_id, self.at_s, self.task, outcome, *item.file_range)


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """A message for the user, one sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class SizeChanged(Event):
    """Chunks not yet cut get another size from now on."""

    task: str
    target_nbytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """A run ended; `reason` says why if it is incomplete."""

    status: RunStatus
    reason: str | None = None


class Observer:
    """Base class of a run's observers, with methods that do nothing.

    All methods are called in the driver's thread, in the order of the events. An observer that
    raises is dropped for the rest of the run, with a logged warning; the run continues.

    On an object of any other class only `on_event` is called, whatever other methods it has.

    Examples
    --------
    >>> class Failures(Observer):
    ...     def on_event(self, event):
    ...         if isinstance(event, ChunkFinished) and event.outcome.failure:
    ...             print(event.path, event.outcome.failure)
    """

    takes_batches: ClassVar[bool] = False
    """Whether `on_event` gets what happened to several chunks together as one event,
    `ChunksSubmitted` or `ChunksCompleted`, instead of one for each chunk."""

    def on_event(self, event: Event) -> None:
        """Handle `event`; must return quickly."""

    def on_scheduler(self, strategy: Any) -> None:
        """Receive the object that runs the tasks from now on.

        It has `name`, `workers` and `dashboard_link`; on a Dask cluster also `client`.
        """

    def on_tick(self, at_s: float) -> None:
        """Receive the current time, a few times a second while there is no event."""

    def on_ending(self, status: RunStatus, at_s: float) -> None:
        """Receive the run's final status, while its workers are still running."""

    def close(self) -> None:
        """Release the resources of this run; the same observer may be passed to another run."""


_log = logging.getLogger(__name__)


class Announcer:
    """Passes events on to observers; one that raises is dropped, with a logged warning."""

    def __init__(self, run_id: str, observers: Sequence[Any]) -> None:
        self._run_id = run_id
        self._observers = [
            observer if isinstance(observer, Observer) else _EventsAlone(observer)
            for observer in observers
        ]
        self.strategies: list[tuple[str, int, str | None]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, (ChunksSubmitted, ChunksCompleted)):
            self._each(lambda observer: _pass_batch(observer, event))
        else:
            self._each(lambda observer: observer.on_event(event))

    def add(self, observer: Observer) -> None:
        """Pass on to `observer`, too, from now on."""
        self._observers.append(observer)

    def announce(self, strategy: Any, reason: str) -> None:
        """Tell observers who runs items from now on."""
        name, workers, link = strategy.name, strategy.workers, strategy.dashboard_link
        reason = hide(reason)
        self.strategies.append((name, workers, link))
        self._each(lambda observer: observer.on_scheduler(strategy))
        self(SchedulerChanged(self._run_id, time.time(), name, workers, reason, link))

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

    def _each(self, call: Callable[[Observer], None]) -> None:
        for observer in list(self._observers):
            try:
                call(observer)
            except Exception:  # noqa: BLE001 - an observer never costs the run
                _log.warning("observer %r raised and is dropped", observer, exc_info=True)
                self._observers.remove(observer)


def _pass_batch(observer: Observer, batch: ChunksSubmitted | ChunksCompleted) -> None:
    if observer.takes_batches:
        observer.on_event(batch)
        return
    for event in batch.split():
        observer.on_event(event)


class _EventsAlone(Observer):
    """An object of another class, of which only `on_event` is called."""

    def __init__(self, observer: Any) -> None:
        self._observer = observer

    def on_event(self, event: Event) -> None:
        self._observer.on_event(event)

    def __repr__(self) -> str:
        return repr(self._observer)
