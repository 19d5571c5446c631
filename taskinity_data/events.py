"""What a run says while it goes, as frozen events, and the base class of those who listen.

It knows nothing of what an observer does: progress bars, dashboards, journals and logs are all
observers of the same events. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskinity_data.outcome import Outcome, RunStatus

__all__ = [
    "ChunkFinished",
    "ChunkRetried",
    "ChunkSubmitted",
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


@dataclass(frozen=True, slots=True)
class SchedulerChanged(Event):
    """Who runs the tasks from now on, with how many workers, and why."""

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
    """What is known by now of a fan-out's size: totals are estimates until `is_final`.

    `chunks` is how many there will be, parts of split ones among them; None where nobody can tell.
    """

    task: str
    chunks: int | None
    nbytes: int
    rows: int | None
    is_final: bool


@dataclass(frozen=True, slots=True)
class ChunkSubmitted(Event):
    """A chunk was handed to a worker's queue: `where` is its range in `path`, None for an item."""

    task: str
    key: str
    nbytes: int
    path: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkRetried(Event):
    """A chunk has failed and is tried again: `what` says how, in words.

    `outcome` is what became of its attempts so far, None where it was lost with its worker. Where
    it is split, so many `parts` with keys of their own take its place.
    """

    task: str
    key: str
    what: str
    outcome: Outcome | None = None
    parts: int = 0


@dataclass(frozen=True, slots=True)
class ChunkFinished(Event):
    """A chunk ended, one way or the other: `where` is its range in `path`, None for an item."""

    task: str
    outcome: Outcome
    path: str | None = None
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """Something that the user should know, in a sentence."""

    text: str


@dataclass(frozen=True, slots=True)
class SizeChanged(Event):
    """Chunks not yet cut get another size from now on."""

    task: str
    target_nbytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """A run ended; `reason` says why, where it did not do all."""

    status: RunStatus
    reason: str | None = None


class Observer:
    """The base of what listens to a run, with methods that do nothing.

    All of them are called in the driver's thread, in the order of the events. An observer that
    raises is dropped for the rest of the run with a logged warning; it never costs the run.

    Of an object of any other class `on_event` alone is called, whatever other methods it has.

    Examples
    --------
    >>> class Failures(Observer):
    ...     def on_event(self, event):
    ...         if isinstance(event, ChunkFinished) and event.outcome.failure:
    ...             print(event.path, event.outcome.failure)
    """

    def on_event(self, event: Event) -> None:
        """Take `event`; must return at once."""

    def on_scheduler(self, strategy: Any) -> None:
        """Take what runs the tasks from now on.

        It has `name`, `workers` and `dashboard_link`; on a Dask cluster also `client`.
        """

    def on_tick(self, at_s: float) -> None:
        """Take the time, a few times a second while no event comes."""

    def on_ending(self, status: RunStatus, at_s: float) -> None:
        """Take how the run ends, while its workers are still there."""

    def close(self) -> None:
        """Release what this run needed; the same observer may be given to another run."""
