"""Send the progress of a run to a Dask scheduler, whose dashboard shows a page of it.

This observer of the run's events is in the driver's process; the scheduler's makes the page.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from taskinity_data.events import (
    DASHBOARD_PAGE,
    ChunkFinished,
    ChunkRetried,
    ChunksCompleted,
    ChunksSubmitted,
    ChunkSubmitted,
    FanOutGrew,
    Observer,
    RunFinished,
    SchedulerChanged,
    TaskFinished,
    TaskStarted,
)
from taskinity_data.report.task_count import state_of
from taskinity_data.wording import format_count, format_seconds

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from taskinity_data.events import Event, RunStarted
    from taskinity_data.flow.flow import Flow
    from taskinity_data.outcome import RunStatus

__all__ = [
    "DashboardObserver",
]

_log = logging.getLogger(__name__)

PAUSE_S = 0.25
"""Between two batches: what a person takes for at once, and four messages a second."""

CLOSE_S = 5.0
"""How long the end of a run waits for its page."""

MAX_CHARACTERS = 4_000
"""Of a traceback; the report and the outcomes have all of it."""


class DashboardObserver(Observer):
    """Collects what happens, and sends it to the scheduler a few times a second.

    Parameters
    ----------
    flow : Flow
        Drawn once; the page colours its nodes.
    started : RunStarted
        What has happened before.
    strategy : Strategy
        Of a Dask cluster with a dashboard.
    labels : mapping
        What flow and tasks of `process` are shown as.
    say : callable
        Takes what the user should know: why there is no page, once. In the driver's thread.
    """

    takes_batches = True

    def __init__(
        self,
        flow: Flow,
        started: RunStarted,
        strategy: Any,
        labels: Mapping[str, str],
        say: Callable[[str], None] = _log.info,
    ) -> None:
        self._flow, self._labels = flow, labels
        self._say = say
        self._missing = ""
        self._has_left = False
        self._client: Any = strategy.client
        self._link = strategy.dashboard_link or ""
        label = labels.get(started.flow, started.flow)
        self._batch: list[tuple[Any, ...]] = [("run", started.at_s, label, dict(labels))]
        self._lock = Lock()
        self._is_due = True
        self._sending: asyncio.Lock | None = None
        self._plugged: Any = None
        self._run_id = started.run_id
        # The run does not wait for its page, and its first chunks are on their way by then.
        self._client.loop.add_callback(self._send_soon)

    def on_event(self, event: Event) -> None:
        """Note it, to be sent with what else comes within `PAUSE_S`."""
        if self._client is None:
            return
        events: Iterable[Event] = (event,)
        if isinstance(event, (ChunksSubmitted, ChunksCompleted)):
            events = event.split()
        entries = [entry for entry in map(self._pack, events) if entry is not None]
        if not entries:
            return
        with self._lock:
            self._batch += entries
        client = self._client
        if client is not None and not self._is_due:
            # The client's own loop wakes up for it, whatever the driver waits for.
            self._is_due = True
            client.loop.add_callback(self._send_soon)

    def _pack(self, event: Event) -> tuple[Any, ...] | None:
        at = event.at_s
        match event:
            case SchedulerChanged():
                scheduler = f"{event.scheduler}, {format_count(event.workers, 'worker')}"
                return ("scheduler", at, scheduler, event.workers)
            case TaskStarted():
                return ("begin", at, event.task)
            case TaskFinished():
                state = str(event.outcome.status) if event.outcome is not None else "COMPLETED"
                return ("end", at, event.task, state)
            case FanOutGrew():
                return ("grew", at, event.task, event.chunks, event.nbytes, event.is_final)
            case ChunkSubmitted():
                return ("chunk", at, event.task, event.key, event.nbytes, _locate(event))
            case ChunkRetried():
                return ("again", at, event.task, event.key, event.parts)
            case ChunkFinished():
                return _done(event)
            case RunFinished() if not self._has_left:
                return ("finish", at, str(event.status))
        return None

    def on_ending(self, status: RunStatus, at_s: float) -> None:
        """Send how the run ends, and wait until it is there: what it is sent through closes now."""
        self._has_left = True
        with self._lock:
            self._batch.append(("finish", at_s, str(status)))
        self.close()

    def close(self) -> None:
        """Send what is left, and wait until it is there."""
        client = self._client
        if client is not None and client.status == "running":
            try:
                client.sync(self._send, client, callback_timeout=CLOSE_S)
            except (OSError, TimeoutError) as error:
                _log.info("the page does not get the end of the run: %s", error)
        self._client = self._plugged = None
        if self._missing:
            status = self._link.replace(DASHBOARD_PAGE, "/status")
            self._say(
                f"there is no page of this run on Dask's dashboard: {self._missing}; Dask's own "
                f"pages are at {status}"
            )
            self._missing = ""

    async def _send_soon(self) -> None:
        import asyncio  # 10 ms, which a run in threads does not need

        await asyncio.sleep(PAUSE_S)
        self._is_due = False
        client = self._client
        if client is not None and client.status == "running":
            await self._send(client)

    async def _send(self, client: Any) -> None:
        import asyncio

        # Batches go one after another: on their own ways one could overtake another.
        if self._sending is None:
            self._sending = asyncio.Lock()
        from taskinity_data.report.run_columns import HANDLER

        async with self._sending:
            if self._plugged is not client and not await self._plug(client):
                self._client = None
                return
            with self._lock:
                batch, self._batch = self._batch, []
            if not batch:
                return
            take = getattr(client.scheduler, HANDLER)
            try:
                why = await take(run=self._run_id, driver=client.id, batch=batch)
            except Exception as error:  # noqa: BLE001 - a page never costs the run
                # The run itself finds out, where that matters to it.
                _log.info("the scheduler takes no more of the page: %s", error)
                self._client = None
                return
            if why is not None:
                self._missing, self._client = why, None

    async def _plug(self, client: Any) -> bool:
        """Bring the page to the scheduler, where it is not; whether that could be done."""
        from taskinity_data.report.dashboard.scheduler_plugin import DashboardPlugin

        self._plugged = client
        try:
            await client.register_plugin(DashboardPlugin(), name=DashboardPlugin.name)
        except Exception as error:  # noqa: BLE001 - a page never costs the run
            lines = str(error).strip().splitlines()
            self._missing = f"{type(error).__name__}: {lines[-1]}" if lines else repr(error)
            return False
        drawn = _draw(self._flow, self._labels)
        with self._lock:
            self._batch.insert(0, ("drawn", 0.0, *drawn))
        return True


def _draw(
    flow: Flow, labels: Mapping[str, str]
) -> tuple[str, dict[str, tuple[bool, bool, tuple[str, ...]]], tuple[tuple[str, str], ...]]:
    """Return `flow` as SVG with a class for each node, the fields of each `LiveNode`, and the edges
    between nodes.
    """
    from taskinity_data.flow.diagram.nodes import picture_of
    from taskinity_data.flow.diagram.svg import draw_svg

    picture = picture_of(flow)
    names = {key: (node.name, *node.members) for key, node in picture.nodes.items()}
    picture = picture.with_labels(labels) if labels else picture
    nodes = {key: replace(node, state=f"state-{key}") for key, node in picture.nodes.items()}
    live = {
        key: (node.is_fan_out, names[key][0] in flow.fallbacks, names[key])
        for key, node in nodes.items()
    }
    return draw_svg(replace(picture, nodes=nodes)), live, picture.edges


def _locate(event: ChunkSubmitted | ChunkFinished) -> str:
    return f"{event.path or ''} {event.where or ''}".strip()


def _done(event: ChunkFinished) -> tuple[Any, ...]:
    outcome = event.outcome
    failure, attempts = outcome.failure, outcome.attempts
    texts = ("", "") if failure is None else (str(failure), failure.traceback[-MAX_CHARACTERS:])
    notes = [] if outcome.rows is None else [format_count(outcome.rows, "row")]
    if attempts:
        notes.append(f"{format_seconds(outcome.duration_s)} on {attempts[-1].worker}")
    if len(attempts) > 1:
        notes.append(f"{len(attempts)} attempts")
    return (
        "done",
        event.at_s,
        event.task,
        outcome.key,
        state_of(outcome),
        outcome.rows,
        outcome.nbytes,
        sum(attempt.duration_s for attempt in attempts),
        ", ".join(notes),
        texts[0][:MAX_CHARACTERS],
        texts[1],
        # The page does not know items that an earlier run finished.
        _locate(event) if outcome.is_recalled else None,
    )
