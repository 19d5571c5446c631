"""A batch that a Dask cluster has: it is done once its result is here.

A driver that fetched results itself would wait for the way there and back, again and again.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import WorkerDied
from taskinity_data.execution.schedulers.base import NotRun

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ["Fetched", "fetch_all"]


class Fetched(Future[None]):
    """Done once what `future` of a client ended in is `brought`; `workers` alone may run it."""

    def __init__(self, future: Any, workers: frozenset[str]) -> None:
        super().__init__()
        self.future = future
        self.brought: Any = None
        self.fetching: asyncio.Task[None] | None = None
        self._workers = workers

    async def fetch(self) -> None:
        """Wait for the result and bring it, in the client's loop."""
        brought: Any = None
        try:
            error = await self.future.exception(asynchronous=True)
            if error is not None:
                brought = _explain(error)
            elif self.future.status == "finished":
                # Dask fetches together what is wanted meanwhile.
                gathering = self.future.client.gather([self.future], asynchronous=True)
                (brought,) = await gathering
        except Exception as error:  # noqa: BLE001 - Dask's and the network's, and what can't be unpickled
            brought = _explain(error)
        if not self.done():
            self.brought = brought
        with suppress(InvalidStateError):  # it was given back meanwhile
            self.set_result(None)

    def give_back_unless(self, present: Collection[str]) -> None:
        """Let it be submitted again where it may run on some workers alone, and all have gone."""
        if self._workers and self._workers.isdisjoint(present) and not self.done():
            self.brought = NotRun("the workers that may run it have gone")
            self.cancel()

    def drop(self) -> None:
        """Let go of it, whoever still holds on to it, an exception's frames for one."""
        self.cancel()
        self.future.release()


def fetch_all(batches: Iterable[Fetched]) -> None:
    """Begin to fetch `batches`, in the client's loop."""
    for batch in batches:
        batch.fetching = asyncio.ensure_future(batch.fetch())  # which the loop does not hold


def _explain(error: BaseException) -> BaseException:
    """Return Dask's `error`, in words of what happened where a worker died."""
    # Its frames hold futures, and so keep their results on the cluster.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    if type(error).__name__ != "KilledWorker":
        return error
    times, last = error.allowed_failures + 1, error.last_worker  # type: ignore[attr-defined]
    often = f", {times} times" if times > 1 else ""
    return WorkerDied(
        f"the worker died under it{often}, last {last.address}: out of memory, a crash in native "
        "code, os._exit, or killed from outside"
    )
