"""The strategy behind a Dask client, and what it makes of workers that come, go and die."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.sizing import PROCESS_TARGET_S
from taskinity_data.errors import SchedulerError, WorkerDied
from taskinity_data.execution.schedulers.base import Strategy
from taskinity_data.execution.schedulers.resources import describe_missing
from taskinity_data.execution.schedulers.restarts import Restarts, add_lost
from taskinity_data.execution.schedulers.worker_checks import check_workers
from taskinity_data.execution.worker.batches import run_parcel
from taskinity_data.execution.worker.result_limit import limit_results
from taskinity_data.execution.worker.shipping import Parcel, pack_items, pack_job, unpack_outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed import Client

    from taskinity_data.execution.worker.run_item import Item, Job

__all__ = ["DaskStrategy"]

_log = logging.getLogger(__name__)

_WAIT_FOR_WORKERS_S = 30.0
"""How long a given cluster may take to bring its first worker: for a batch queue that takes
longer, start the cluster before the run."""

_SCATTER_NBYTES = 32 << 10
"""A packed job up to this size travels in each task (Dask warns from 10 MB on, and a scattered one
is lost with its workers); a larger one goes to each worker once."""

_SILENCE_S = 60.0
"""How long a scheduler may take to say which workers it has: one that is stopped, or cut off where
no one says so, never answers, and Dask itself would wait for ever."""

_REFRESH_S = 2.0
"""How often the number of a cluster's workers is looked at: adaptive clusters act in seconds."""


class DaskStrategy(Strategy):
    """A Dask client: its own local cluster, or one that the user has.

    Parameters
    ----------
    client : distributed.Client
    limit : int, optional
        At most so many items at once.
    closes : tuple
        What to close with the strategy, in this order.
    """

    crosses_processes = True
    target_s = PROCESS_TARGET_S
    can_end = True
    _patience_s: float | None = None
    name = ""
    has_resources = True
    left_out: Mapping[str, str] = MappingProxyType({})
    restarts_lost = True
    """Whether the cluster runs again, by itself, what a worker had that died."""

    def __init__(
        self,
        client: Client,
        *,
        name: str | None = None,
        limit: int | None = None,
        memory_nbytes: int | None = None,
        closes: tuple[Any, ...] = (),
    ) -> None:
        self._client = client
        self._closes = closes
        self._limit = limit
        self._memory_nbytes = memory_nbytes
        self._looked_s = 0.0
        self._is_lost = False
        self._empty_since_s: float | None = None
        self._scattered: list[Any] = []
        self._cancelled: list[str] = []
        self._threads: dict[str, int] = {}
        self._resources: dict[str, Mapping[str, float]] = {}
        self._lacking_since_s: float | None = None
        self._restarts: Restarts | None = None
        if client.asynchronous:
            raise SchedulerError("an asynchronous Client can't be used: give a plain one")
        if client.status != "running":
            raise SchedulerError(f"the Client given is {client.status}: connect a new one")
        self.name = name or str(client.scheduler.address if client.scheduler else client)
        _give_up_slot()
        try:
            client.wait_for_workers(1, timeout=_WAIT_FOR_WORKERS_S)
        except TimeoutError as error:
            self.close()
            raise SchedulerError(
                f"{self.name}: the cluster has no workers after {_WAIT_FOR_WORKERS_S:g} s; start "
                "some (cluster.scale(4)) and run again"
            ) from error

    @property
    def client(self) -> Client:
        """The client itself, for who watches its cluster."""
        return self._client

    @property
    def workers(self) -> int:
        """Threads of all workers, by now; at least 1.

        Raises
        ------
        SchedulerError
            The scheduler is gone, or all workers have been gone for long.
        """
        now = time.monotonic()
        if now - self._looked_s > _REFRESH_S or not self._threads:
            self._look(now)
        count = sum(self._threads.values())
        return max(1, min(count, self._limit) if self._limit else count)

    def _look(self, now: float) -> None:
        if self._is_cut_off():
            raise SchedulerError(f"{self.name}: the Dask scheduler is gone")
        try:
            ncores = self._client.sync(self._client.scheduler.ncores, callback_timeout=_SILENCE_S)
        except (OSError, TimeoutError, ValueError, RuntimeError, AttributeError) as error:
            self._is_lost = True
            why = str(error) or f"no answer within {_SILENCE_S:g} s"
            raise SchedulerError(f"{self.name}: the Dask scheduler is gone ({why})") from error
        self._threads = {
            worker: count for worker, count in ncores.items() if worker not in self.left_out
        }
        self._looked_s = now
        if self._threads:
            self._empty_since_s = None
            self._look_for_resources(now)
            return
        if self._empty_since_s is None:
            self._empty_since_s = now
        patience_s = self._patience_s or _WAIT_FOR_WORKERS_S
        if now - self._empty_since_s > patience_s:
            raise SchedulerError(
                f"{self.name}: all workers died or left, and none came back within "
                f"{patience_s:g} s. Their logs say why; a chunk that takes more memory than a "
                "worker has is the usual cause"
            )

    def _look_for_resources(self, now: float) -> None:
        """Dask keeps what no worker may run, and says nothing."""
        lacking = next(
            (task for task, resources in self._resources.items() if not self.offers(resources)),
            None,
        )
        if lacking is None:
            self._lacking_since_s = None
        elif self._lacking_since_s is None:
            self._lacking_since_s = now
        elif now - self._lacking_since_s > _WAIT_FOR_WORKERS_S:
            raise SchedulerError(describe_missing(self.name, self._resources[lacking], lacking))

    def offers(self, resources: Mapping[str, float]) -> bool:
        """Return whether a worker was started with all of `resources`."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        return any(
            all(worker["resources"].get(name, 0.0) >= amount for name, amount in resources.items())
            for worker in workers
        )

    @property
    def queues(self) -> bool:
        """Whether what is submitted beyond `workers` waits, because they are all there are."""
        return self._limit is None or self._limit >= sum(self._threads.values())

    @property
    def memory_nbytes(self) -> int | None:
        """The least that a worker's thread may use, as the workers say."""
        if self._memory_nbytes is not None or self._is_cut_off():
            return self._memory_nbytes
        shares = [
            worker["memory_limit"] // max(1, worker["nthreads"])
            for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()
            if worker.get("memory_limit")
        ]
        self._memory_nbytes = min(shares, default=None)
        return self._memory_nbytes

    @property
    def dashboard_link(self) -> str | None:
        """Dask's dashboard, as its setting ``distributed.dashboard.link`` says; None without."""
        try:
            return self._client.dashboard_link or None
        except (KeyError, IndexError, ValueError) as error:
            # A link is worth no run.
            _log.warning("distributed.dashboard.link can't be filled in: %r", error)
            return None

    def check(self, paths: Sequence[str]) -> None:
        """Ask every worker for the library's version and for `paths`; leave out silent ones."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        queried = [worker for worker in workers if worker not in self.left_out]
        self.left_out = {
            **self.left_out,
            **check_workers(self._client, self.name, queried, paths),
        }
        self._threads = {}  # counted again by who asks next

    def load(self, job: Job) -> Any:
        """Return `job`, packed and sent once to each worker, and what such a worker must have."""
        resources = dict(job.resources) or None
        if resources is not None:
            self._resources[job.task] = resources
        blob = pack_job(replace(job, max_nbytes=limit_results(self.memory_nbytes)))
        if len(blob) <= _SCATTER_NBYTES:
            return blob, resources
        scattered = self._client.scatter(
            Parcel(blob), broadcast=True, hash=False, workers=self._chosen_workers()
        )
        self._scattered.append(scattered)
        return scattered, resources

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Any:
        """Submit one Dask task for all of `items`."""
        if self.is_gone:
            raise SchedulerError(f"{self.name}: the Dask scheduler is gone")
        job, resources = loaded
        if self._restarts is None and self.restarts_lost:
            self._restarts = Restarts(self._client)
        if self._restarts is not None:
            self._restarts.expect(key)
        return self._client.submit(
            run_parcel,
            job,
            pack_items(items),
            key=key,
            pure=False,
            retries=0,
            resources=resources,
            workers=self._chosen_workers(),
        )

    def _chosen_workers(self) -> list[str] | None:
        """Return those that may get work; None where all may, those that join later too."""
        return list(self._threads) if self.left_out and self._threads else None

    def collect(self, pending: Sequence[Any]) -> list[Any]:
        """Return the outcomes, fetched together."""
        done = [future for future in pending if future.status == "finished"]
        brought = self._fetch(done)
        results: list[Any] = []
        for future in pending:
            if future in brought:
                batch = brought[future]
                ended: Any = batch if isinstance(batch, Exception) else unpack_outcomes(batch)
            elif future.status == "error":
                ended = self._find_error(future)
            else:
                reason = "the Dask scheduler is gone" if self.is_gone else "Dask gave it up"
                ended = SchedulerError(f"{reason} ({future.key} is {future.status})")
            lost = self._restarts.pop(future.key) if self._restarts is not None else ()
            results.append(add_lost(ended, lost) if lost else ended)
        for future in pending:
            future.release()  # whoever still holds on to it, an exception's frames for one
        return results

    def _fetch(self, done: list[Any]) -> dict[Any, Any]:
        """Return what each of `done` brought, or the error that fetching it ended in."""
        try:
            return dict(zip(done, self._gather(done), strict=True)) if done else {}
        except Exception as error:  # noqa: BLE001 - Dask's and the network's
            if len(done) == 1:
                return {done[0]: _explain(error)}
        return {
            future: result for single in done for future, result in self._fetch([single]).items()
        }

    def _gather(self, done: list[Any]) -> list[Any]:
        # Dask waits for as long as it takes to compute again what died with its worker, so this
        # looks up in between: Ctrl-C works, and that no worker is left is noticed.
        fetching = asyncio.run_coroutine_threadsafe(
            self._client._gather(done),  # noqa: SLF001 - gather itself can't be interrupted
            self._client.loop.asyncio_loop,
        )
        try:
            while True:
                try:
                    fetched: list[Any] = fetching.result(timeout=_REFRESH_S)
                    return fetched
                except TimeoutError:
                    if fetching.done():
                        raise
                    self._look(time.monotonic())
        finally:
            fetching.cancel()
            del fetching  # its error holds on to this frame

    def _find_error(self, future: Any) -> BaseException:
        """Return why the batch behind `future` failed as a whole."""
        try:
            return _explain(future.exception())
        except Exception as second:  # noqa: BLE001 - an exception that can't be unpickled here
            return SchedulerError(f"{future.key} failed: {second}")

    def find_lost(self, pending: Sequence[Any]) -> list[Any]:
        """Return those of `pending` that the scheduler does not know: it has lost them."""

        def find_known(keys: list[str], dask_scheduler: Any = None) -> list[str]:
            return [key for key in keys if key in dask_scheduler.tasks]

        waiting = [future for future in pending if future.status == "pending"]
        if not waiting or self.is_gone:
            return []
        try:
            known_keys = self._client.run_on_scheduler(
                find_known, [future.key for future in waiting]
            )
        except Exception as error:  # noqa: BLE001 - it may forbid to be asked
            _log.info("%s does not say what it knows: %s", self.name, error)
            return []
        return [future for future in waiting if future.key not in known_keys]

    @property
    def is_gone(self) -> bool:
        """Whether nothing more will come from there."""
        return self._is_lost or self._is_cut_off()

    def _is_cut_off(self) -> bool:
        return bool(self._client.status != "running")

    def cancel(self, pending: Sequence[Any]) -> None:
        """Tell Dask to forget what has not started."""
        if not pending or self.is_gone:
            return
        self._cancelled += [future.key for future in pending]
        try:
            self._client.cancel(list(pending), force=True)
        except (OSError, TimeoutError, RuntimeError) as error:
            _log.info("%s can't be asked to cancel: %s", self.name, error)

    def close(self) -> None:
        """Close what this strategy started, and take back what it sent."""
        for scattered in self._scattered:
            scattered.release()
        self._scattered.clear()
        if self._cancelled and not self.is_gone:
            # A cancellation can overtake the task that it is meant for, which then would stay.
            self._client._send_to_scheduler(  # noqa: SLF001 - Dask forgot the futures already
                {
                    "op": "client-releases-keys",
                    "keys": self._cancelled,
                    "client": self._client.id,
                }
            )
        self._cancelled = []
        if self._restarts is not None:
            self._restarts.close(is_gone=self.is_gone)
            self._restarts = None
        for closeable in self._closes:
            closeable.close()
        self._closes = ()


def _give_up_slot() -> None:
    """Inside a task, let Dask start another on this thread's slot: this run may need it."""
    from distributed import get_worker, secede

    try:
        get_worker()
        secede()
    except (ValueError, KeyError, AttributeError):
        return  # no task, or it has left already


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
