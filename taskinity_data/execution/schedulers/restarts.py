"""Which batches a Dask cluster has started again, because the worker that had them died or left.

Dask does so without a word to who waits for the result; a plugin of the scheduler tells it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cloudpickle

from taskinity_data.errors import WorkerDied
from taskinity_data.outcome import LOST_WITH_WORKER, Attempt, Failure, Outcome
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

__all__ = ["Restarts", "add_lost"]

_log = logging.getLogger(__name__)

_SILENCE_S = 10.0
"""How long the scheduler may take to put its plugin in or out, which no answer depends on."""


class Restarts:
    """The lost tries of the batches that were submitted through `client`.

    The scheduler sends them before the result of the batch that was started again. One that takes
    no plugin, as some forbid, sends none. `report` takes each worker that goes, when, and why.
    """

    def __init__(
        self, client: Client, report: Callable[[str, float, str], None] = lambda *_: None
    ) -> None:
        self._client = client
        self._report = report
        self._lost: dict[str, list[Attempt]] = {}
        self._topic = f"taskinity-restarts-{secrets.token_hex(8)}"
        client.subscribe_topic(self._topic, self._take)
        # The first batches do not wait for it.
        self._registering = asyncio.run_coroutine_threadsafe(
            self._register(), client.loop.asyncio_loop
        )

    async def _register(self) -> None:
        client = self._client
        plugin = cloudpickle.dumps(_make_plugin(self._topic, client.id))
        registering = client.scheduler.register_scheduler_plugin(
            plugin=plugin, name=self._topic, idempotent=True
        )
        try:
            await asyncio.wait_for(registering, _SILENCE_S)
        except Exception as error:  # noqa: BLE001 - whatever its settings or its versions make of it
            _log.info("restarts by the cluster are not reported: %s", error)

    async def _unregister(self) -> None:
        try:
            await self._client.scheduler.unregister_scheduler_plugin(name=self._topic)
        except Exception as error:  # noqa: BLE001 - the client may close, or the scheduler
            _log.info("the scheduler still reports restarts: %s", error)

    def expect(self, key: str) -> None:
        """Note that the batch with that key is submitted now."""
        self._lost[key] = []

    def pop(self, key: str) -> tuple[Attempt, ...]:
        """Return the lost tries of a batch that has ended, in order."""
        return tuple(self._lost.pop(key, ()))

    def _take(self, event: tuple[float, Any]) -> None:
        at_s, (worker, keys, is_expected) = event
        self._report(worker, at_s, "it left" if is_expected else "it died, or was cut off")
        for key in keys:
            if (lost := self._lost.get(key)) is not None:
                lost.append(_lost_attempt(at_s, worker))

    def close(self, *, is_gone: bool = False) -> None:
        """Stop listening; a scheduler that `is_gone` gets no request."""
        self._lost = {}
        if is_gone:
            return
        try:
            self._client.unsubscribe_topic(self._topic)
            # A plugin that came after its client has gone would stay.
            self._registering.result(_SILENCE_S)
            # The run does not wait for the answer: where the client closes, the plugin goes too.
            self._client.loop.add_callback(self._unregister)
        except Exception as error:  # noqa: BLE001 - it may have gone meanwhile
            _log.info("the scheduler still reports restarts: %s", error)


def _make_plugin(topic: str, owner: str) -> Any:
    """Make what tells the client with the id `owner` of workers that go, and what they had.

    Its class travels by value: a scheduler may lack this library. Dask's own events are no way: one
    of them can't be pickled, which closes the connection of each client that listens.
    """
    from distributed import SchedulerPlugin

    class ReportRemovedWorkers(SchedulerPlugin):  # type: ignore[misc]
        async def start(self, scheduler: Any) -> None:
            self.scheduler = scheduler

        def log_event(self, name: str, message: Any) -> None:
            if name == "all" and message.get("action") == "remove-worker":
                keys = [*message["processing-tasks"], *message["lost-computed-tasks"]]
                batch_keys = [key for key in keys if isinstance(key, str)]
                is_expected = bool(message.get("expected"))
                self.scheduler.log_event(topic, (message["worker"], batch_keys, is_expected))

        def remove_client(self, scheduler: Any, client: str) -> None:
            if client == owner:
                scheduler.remove_plugin(topic)

    return ReportRemovedWorkers()


def _lost_attempt(at_s: float, worker: str) -> Attempt:
    """Return a try of which the end alone is known."""
    failure = Failure(
        "WorkerDied",
        LOST_WITH_WORKER,
        f"WorkerDied: {LOST_WITH_WORKER}\n",
        ("taskinity_data.errors.WorkerDied",),
    )
    return Attempt(
        1, at_s, 0.0, worker, failure=failure, notices=(f"ran again: {LOST_WITH_WORKER}",)
    )


def add_lost(ended: Any, lost: tuple[Attempt, ...]) -> Any:
    """Return what a batch ended in, its outcomes or its error, with its `lost` tries before."""
    if isinstance(ended, WorkerDied):
        ended.lost = lost
    if not isinstance(ended, list):
        return ended
    return [_add_lost(outcome, lost) for outcome in ended]


def _add_lost(outcome: Any, lost: tuple[Attempt, ...]) -> Any:
    if isinstance(outcome, OutcomeBlock):
        return replace(outcome, lost=lost)
    if isinstance(outcome, Outcome):
        return replace(outcome, attempts=(*lost, *outcome.attempts))
    return outcome
