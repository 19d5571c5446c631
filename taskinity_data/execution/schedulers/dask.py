"""The strategy of a Dask client, whose workers may join, leave and die."""

from __future__ import annotations

import logging
import operator
import pickle
import secrets
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.sizing import PROCESS_TARGET_S
from taskinity_data.errors import SchedulerError
from taskinity_data.events import DASHBOARD_PAGE
from taskinity_data.execution.schedulers.base import NotRun, Strategy, WorkerRow
from taskinity_data.execution.schedulers.cluster_workers import ClusterWorkers
from taskinity_data.execution.schedulers.fetched import Fetched, fetch_all
from taskinity_data.execution.schedulers.restarts import Restarts, add_lost
from taskinity_data.execution.schedulers.worker_checks import (
    MAX_TRAVELLING_NBYTES,
    pack_call,
    pack_runner,
    query_each,
)
from taskinity_data.execution.worker.batches import CLOSE_S, close_on_worker
from taskinity_data.execution.worker.run_item import count_items
from taskinity_data.execution.worker.shipping import pack_items, pack_job, unpack_outcomes
from taskinity_data.machine import limit_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from distributed import Client

    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["DaskStrategy"]

_log = logging.getLogger(__name__)

MAX_MESSAGE_NBYTES = 1 << 20
"""Tasks are sent together up to so many bytes, far from 10 MB, of which Dask warns."""


class DaskStrategy(Strategy):
    """A Dask client.

    Parameters
    ----------
    client : distributed.Client
    limit : int, optional
        At most so many items at once.
    wait_s : float, optional
        How long it may be without workers; default: as long as the cluster says that it starts
        some, else 30 s.
    closes : tuple
        What to close with the strategy, in this order.
    """

    crosses_processes = True
    target_s = PROCESS_TARGET_S
    can_end = True
    name = ""
    has_resources = True

    def __init__(
        self,
        client: Client,
        *,
        limit: int | None = None,
        memory_nbytes: int | None = None,
        wait_s: float | None = None,
        closes: tuple[Any, ...] = (),
    ) -> None:
        self._client = client
        self._closes = closes
        self._memory_nbytes = memory_nbytes
        self._cancelled: list[str] = []
        self._paths: Sequence[str] = ()
        self._runners: list[Any] = []
        self._pending: set[Fetched] = set()
        self._holders: set[str] = set()
        self._items_nbytes = 0.0
        self._restarts: Restarts | None = None
        if client.asynchronous:
            raise SchedulerError("an asynchronous Client can't be used: give a synchronous one")
        if client.status != "running":
            raise SchedulerError(f"the Client given is {client.status}: connect a new one")
        self.name = str(client.scheduler.address if client.scheduler else client)
        self._members = ClusterWorkers(client, self.name, limit=limit, wait_s=wait_s)
        _give_up_slot()

    @property
    def client(self) -> Client:
        """The client itself, for who watches its cluster."""
        return self._client

    @property
    def workers(self) -> int:
        """Threads of all workers that there will be, as far as that is known; at least 1.

        Raises
        ------
        SchedulerError
            The scheduler is gone, or there have been no workers for long.
        """
        self._refresh()
        return self._members.count

    def _refresh(self) -> None:
        self._members.refresh()
        present = self._members.threads.keys() if self._members.left_out else ()
        for pending in self._pending if present else ():
            pending.give_back_unless(present)

    def offers(self, resources: Mapping[str, float]) -> bool:
        """Return whether a worker was started with all of `resources`; True while there is none."""
        return self._members.offers(resources)

    @property
    def queues(self) -> bool:
        """Whether what is submitted beyond `workers` waits, because they are all there are."""
        return self._members.queues

    def window(self, batch_s: float | None) -> int:
        """Return how many batches cover the way to the cluster, and let it grow."""
        self._refresh()
        return self._members.window(batch_s, self._items_nbytes)

    @property
    def memory_nbytes(self) -> int | None:
        """The least that a worker's thread may use, as the workers say."""
        if self._memory_nbytes is None and not self._members.is_cut_off:
            self._memory_nbytes = self._members.share_memory()
        return self._memory_nbytes

    @cached_property
    def dashboard_link(self) -> str | None:
        """The run's page on Dask's dashboard, which is found by its setting
        ``distributed.dashboard.link``; None without a dashboard.
        """
        self._refresh()
        try:
            link = self._find_dashboard()
            page, status, rest = link.rpartition("/status")
            return (f"{page}{DASHBOARD_PAGE}" if status and not rest else link) or None
        except (KeyError, IndexError, ValueError) as error:
            # A link is worth no run.
            _log.warning("distributed.dashboard.link can't be filled in: %r", error)
            return None

    def _find_dashboard(self) -> str:
        """Return what the client's `dashboard_link` is, which sends a request each time."""
        if hasattr(self._client.cluster, "dashboard_link"):
            return self._client.cluster.dashboard_link or ""
        if self._members.dashboard_port is None:
            return ""
        from distributed.utils import format_dashboard_link

        protocol, _, rest = self.name.rpartition("://")
        host = "localhost" if protocol == "inproc" else rest.split(":")[0]
        return str(format_dashboard_link(host, self._members.dashboard_port))

    def check(self, paths: Sequence[str]) -> None:
        """Ask every worker for its versions and for `paths`; leave out those that can't be used.

        Those that join later check themselves, before their first batch.
        """
        self._paths = tuple(paths)
        self._members.check(paths)

    @property
    def worker_rows(self) -> Sequence[WorkerRow]:
        """All workers that there have been."""
        return self._members.rows

    def take_notices(self) -> list[str]:
        """Return what the user should know of the workers, each once."""
        return self._members.take_notices()

    def load(self, job: Job) -> Any:
        """Return `job`, which each worker unpacks once, and what such a worker must have."""
        resources = dict(job.resources) or None
        if resources is not None:
            self._members.require(job.task, resources)
        blob = pack_job(replace(job, max_nbytes=limit_results(self.memory_nbytes)))
        runner_blob = pack_runner(blob, self._paths)
        if len(blob) <= MAX_TRAVELLING_NBYTES:
            return runner_blob, resources
        # As a task's result, not scattered: Dask makes it again where it was lost with a worker,
        # and needs no worker for it now.
        restrictions = self._members.restrictions()
        runner = self._client.submit(
            pickle.loads,
            runner_blob,
            key=f"job-{job.task}-{secrets.token_hex(16)}",
            pure=False,
            priority=self.priority,
            allow_other_workers=bool(restrictions),
            **restrictions,
        )
        self._runners.append(runner)
        return runner, resources

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Any:
        """Submit one Dask task for all of `items`."""
        return self.submit_all(loaded, {key: items})[0]

    def submit_all(self, loaded: Any, batches: Mapping[str, Sequence[Item]]) -> list[Any]:
        """Submit one Dask task for each of `batches`, many in one message."""
        if self.is_gone:
            raise SchedulerError(f"{self.name}: the Dask scheduler is gone")
        if self._restarts is None:
            self._restarts = Restarts(self._client, self._members.note_end)
        submitted: list[Any] = []
        calls: dict[str, tuple[Any, ...]] = {}
        nbytes = 0
        for key, items in batches.items():
            self._restarts.expect(key)
            blob = pack_items(items)
            self._items_nbytes += (len(blob) - self._items_nbytes) / 8
            travels = isinstance(loaded[0], bytes)
            calls[key] = (pack_call(loaded[0], blob),) if travels else (loaded[0], blob)
            nbytes += len(calls[key][-1])
            if nbytes > MAX_MESSAGE_NBYTES:
                submitted += self._send(calls, *loaded)
                calls, nbytes = {}, 0
        return submitted + self._send(calls, *loaded)

    def _send(
        self, calls: Mapping[str, tuple[Any, ...]], runner: Any, resources: Any
    ) -> list[Fetched]:
        if not calls:
            return []
        restrictions = self._members.restrictions()
        futures = self._client.map(
            pickle.loads if isinstance(runner, bytes) else operator.call,
            *map(list, zip(*calls.values(), strict=True)),
            key=list(calls),
            pure=False,
            retries=0,
            priority=self.priority,
            resources=resources,
            **restrictions,
        )
        workers = frozenset(restrictions.get("workers", ()))
        pending = [Fetched(future, workers) for future in futures]
        self._client.loop.add_callback(fetch_all, pending)
        self._pending.update(pending)
        return pending

    def collect(self, pending: Sequence[Any]) -> list[Any]:
        """Return the outcomes, which are here already."""
        results: list[Any] = []
        for batch in pending:
            future = batch.future
            if batch.brought is not None:
                ended = self._unpack(batch.brought)
            else:
                reason = "the Dask scheduler is gone" if self.is_gone else "Dask gave it up"
                ended = SchedulerError(f"{reason} ({future.key} is {future.status})")
            lost = self._restarts.pop(future.key) if self._restarts is not None else ()
            results.append(add_lost(ended, lost) if lost else ended)
        self._drop(pending)
        return results

    def _drop(self, pending: Sequence[Any]) -> None:
        for batch in pending:
            if batch.future.cancelled():  # by a restart, which the scheduler may have had before
                self._cancelled.append(batch.future.key)
            self._pending.discard(batch)
            batch.drop()

    def _unpack(self, brought: Any) -> Any:
        """Return the outcomes of a batch, or why there are none."""
        if isinstance(brought, Exception):
            return brought
        worker, outcomes, has_values = brought
        if has_values:
            self._holders.add(worker)
        if isinstance(outcomes, str):
            self._members.leave_out(worker, outcomes)
            return NotRun(outcomes)
        ended = unpack_outcomes(outcomes)
        self._members.count_chunks(worker, count_items(ended))
        return ended

    def find_lost(self, pending: Sequence[Any]) -> list[Any]:
        """Return those of `pending` that the scheduler does not know: it has lost them."""

        def find_known(keys: list[str], dask_scheduler: Any = None) -> list[str]:
            return [key for key in keys if key in dask_scheduler.tasks]

        waiting = [batch for batch in pending if batch.future.status == "pending"]
        if not waiting or self.is_gone:
            return []
        try:
            known_keys = self._client.run_on_scheduler(
                find_known, [batch.future.key for batch in waiting]
            )
        except Exception as error:  # noqa: BLE001 - it may forbid to be asked
            _log.info("%s does not say what it knows: %s", self.name, error)
            return []
        return [batch for batch in waiting if batch.future.key not in known_keys]

    @property
    def is_gone(self) -> bool:
        """Whether nothing more will come from there."""
        return self._members.is_lost or self._members.is_cut_off

    def cancel(self, pending: Sequence[Any]) -> None:
        """Tell Dask to forget what has not started."""
        if not pending or self.is_gone:
            return
        futures = [batch.future for batch in pending]
        self._cancelled += [future.key for future in futures]
        try:
            self._client.cancel(futures, force=True)
        except (OSError, TimeoutError, RuntimeError) as error:
            _log.info("%s can't be asked to cancel: %s", self.name, error)

    def close_values(self, session_id: str) -> list[str]:
        """Let the workers that have some do so, and all where some batches did not come back."""
        workers = self._holders | (set(self._members.threads) if self._cancelled else set())
        if self.is_gone or not workers:
            return []
        answers = self._client.sync(
            query_each, self._client, sorted(workers), CLOSE_S, close_on_worker, session_id
        )
        failed = [answer for answer in answers.values() if isinstance(answer, Exception)]
        if failed:
            _log.info("%d workers have not closed their values: %s", len(failed), failed)
        return [text for answer in answers.values() if answer not in failed for text in answer]

    def close(self) -> None:
        """Close what this strategy started, and take back what it sent."""
        self._drop(list(self._pending))
        for runner in self._runners:
            runner.release()
        self._runners.clear()
        if self._cancelled and not self.is_gone:
            # A cancellation, or a restart, can overtake the task that it is meant for, since the
            # scheduler unpacks tasks apart from its messages (dask/distributed#7980); it would
            # stay.
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
