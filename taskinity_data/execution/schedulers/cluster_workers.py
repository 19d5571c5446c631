"""The workers of a Dask cluster during a run: how many there are and will be, which are used."""

from __future__ import annotations

import math
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SchedulerError
from taskinity_data.execution.schedulers.base import QUEUED, WorkerRow
from taskinity_data.execution.schedulers.growth import Growth, count_planned, expect_growth
from taskinity_data.execution.schedulers.resources import describe_missing
from taskinity_data.execution.schedulers.worker_checks import check_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from distributed import Client

__all__ = ["REFRESH_S", "ClusterWorkers"]

_LEFT = "it left, or died"

WAIT_FOR_WORKERS_S = 30.0
"""How long a cluster may be without workers where it does not say that it starts some."""

SILENCE_S = 60.0
"""How long a scheduler may take to say which workers it has: one that is stopped, or cut off where
no one says so, never answers, and Dask itself would wait for ever."""

_SLOW_S, _REMIND_S = 10.0, 60.0
"""After how long a run that has no worker says that it waits for one, and how often from then on:
a worker of a cluster on this machine is there in some seconds."""

REFRESH_S = 2.0
"""How often the number of a cluster's workers is looked at: adaptive clusters act in seconds."""

_WAYS = 4
"""So many round trips to the scheduler may lie between the end of a batch and the begin of the one
that the driver hands out for it: the report, the result by way of a worker, and the new one."""

_UNKNOWN_S, _SHORT_S = 0.5, 0.2
"""What Dask takes a task for that it has not seen yet (``unknown-task-duration``), and what the
first batches may take at least where they are to cover the way."""

_MAX_QUEUED, _QUEUED_NBYTES = 64, 64 << 20
"""The most batches for each thread, and the most bytes of items beyond the usual ones: the frames
of a stream travel with their batches, chunks of files are a few hundred bytes."""


class ClusterWorkers:
    """Looks at the workers of a cluster from time to time.

    Parameters
    ----------
    client : distributed.Client
    name : str
        Of the cluster, for messages.
    limit : int, optional
        At most so many items at once.
    wait_s : float, optional
        How long it may be without workers; default: as long as the cluster says that it starts
        some, else 30 s.

    Attributes
    ----------
    threads : dict of str to int
        The threads of each worker that is used, by address, as of the last look.
    left_out : dict of str to str
        Why others are not used.
    is_lost : bool
        Whether the scheduler has not answered.
    dashboard_port : int or None
        Where the scheduler serves its dashboard.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        limit: int | None = None,
        wait_s: float | None = None,
    ) -> None:
        self._client = client
        self._name = name
        self._limit = limit
        self._wait_s = wait_s
        self.threads: dict[str, int] = {}
        self._used: list[str] = []
        self.left_out: Mapping[str, str] = MappingProxyType({})
        self.is_lost = False
        self.dashboard_port: int | None = None
        self._looked_s = 0.0
        self._empty_since_s: float | None = None
        self._waiting_since_s = self._reminded_s = 0.0
        self._lacking_since_s: float | None = None
        self._resources: dict[str, Mapping[str, float]] = {}
        self._round_trip_s = math.inf
        self._growth = Growth(1, 0.0)
        self._max_seen, self._has_grown = 0, False
        self._notices: list[str] = []
        self._rows: dict[str, WorkerRow] = {}
        self._infos: dict[str, Mapping[str, Any]] = {}

    @property
    def is_cut_off(self) -> bool:
        """Whether the client has lost its scheduler."""
        return bool(self._client.status != "running")

    @property
    def count(self) -> int:
        """Threads of all workers that there will be, as far as that is known; at least 1."""
        return min(self._growth.threads, self._limit or self._growth.threads)

    @property
    def queues(self) -> bool:
        """Whether what is submitted beyond `count` waits, because they are all there are."""
        limit = self._limit
        return limit is None or (limit > 1 and limit >= self._growth.threads)

    def window(self, batch_s: float | None, items_nbytes: float) -> int:
        """Return how many batches cover the way to the cluster, and let it grow.

        A batch takes `batch_s` (None: unknown), and has items of `items_nbytes`.
        """
        if not self.queues:
            return self.count
        each = 1 + QUEUED + round(_WAYS * self._round_trip_s / (batch_s or _SHORT_S))
        each = max(each, math.ceil(self._growth.queued_s / (batch_s or _UNKNOWN_S)))
        room = 1 + QUEUED + int(_QUEUED_NBYTES / max(1.0, items_nbytes * self.count))
        return self.count * min(each, _MAX_QUEUED, room)

    def refresh(self) -> None:
        """Look at the workers, if that was long ago.

        Raises
        ------
        SchedulerError
            The scheduler is gone, or there have been no workers for long.
        """
        if self.is_cut_off:
            raise SchedulerError(f"{self._name}: the Dask scheduler is gone")
        now = time.monotonic()
        if now - self._looked_s > REFRESH_S or not self.threads:
            self._look(now)

    def _look(self, now: float) -> None:
        begun_s = time.perf_counter()
        if self._infos:
            ncores = self._ask(self._client.scheduler.ncores)
        else:  # with all that the run needs to know of workers, in one round trip
            self._infos = self._describe_workers()
            ncores = {worker: info["nthreads"] for worker, info in self._infos.items()}
        # The least of the last ones: this machine, or the scheduler, may be busy.
        took_s = time.perf_counter() - begun_s
        self._round_trip_s = min(took_s, 1.5 * self._round_trip_s)
        self.threads = {
            worker: count for worker, count in ncores.items() if worker not in self.left_out
        }
        self._used = list(self.threads) or self._used
        self._note_changes(ncores)
        self._has_grown |= self._looked_s > 0.0 and len(self.threads) > self._max_seen
        self._max_seen = max(self._max_seen, len(self.threads))
        self._growth = expect_growth(
            self._client.cluster, self.threads, self._limit, has_grown=self._has_grown
        )
        self._looked_s = now
        if self.threads:
            self._empty_since_s = None
            self._look_for_resources(now)
        else:
            self._wait(now, len(ncores))

    def _ask(self, query: Callable[..., Any], **options: Any) -> Any:
        try:
            return self._client.sync(query, callback_timeout=SILENCE_S, **options)
        except (OSError, TimeoutError, ValueError, RuntimeError, AttributeError) as error:
            self.is_lost = True
            why = str(error) or f"no answer within {SILENCE_S:g} s"
            raise SchedulerError(f"{self._name}: the Dask scheduler is gone ({why})") from error

    def _describe_workers(self) -> dict[str, Mapping[str, Any]]:
        identity = self._ask(self._client.scheduler.identity, n_workers=-1)
        self.dashboard_port = identity["services"].get("dashboard")
        workers: dict[str, Mapping[str, Any]] = identity["workers"]
        return workers

    def _note_changes(self, present: Mapping[str, int]) -> None:
        """Note who has joined and who has left since the last look."""
        if not present.keys() <= self._infos.keys():
            self._infos |= self._describe_workers()
        for worker in present:
            self._row(worker, self._infos.get(worker, {}))
        for worker, row in self._rows.items():
            if worker not in present and row.left_s is None:
                self.note_end(worker, time.time(), _LEFT)

    def _row(self, worker: str, info: Mapping[str, Any]) -> WorkerRow:
        host = info.get("host") or worker.rpartition("://")[2].rpartition(":")[0]
        row = WorkerRow(str(info.get("name", worker)), host, time.time())
        return self._rows.setdefault(worker, row)

    def note_end(self, worker: str, at_s: float, reason: str) -> None:
        """Note that `worker` has left."""
        row = self._row(worker, {})
        if row.left_s is None or row.reason == _LEFT:
            before = "" if row.reason == _LEFT else row.reason
            self._rows[worker] = row._replace(left_s=at_s, reason=before or reason)

    def count_chunks(self, worker: str, count: int) -> None:
        """Note that `worker` has done `count` more."""
        row = self._row(worker, {})
        self._rows[worker] = row._replace(chunks=row.chunks + count)

    @property
    def rows(self) -> list[WorkerRow]:
        """All workers that there have been, in the order in which they joined."""
        return list(self._rows.values())

    def _wait(self, now: float, unusable: int) -> None:
        """Raise if there has been no worker that can be used for too long."""
        planned = count_planned(self._client.cluster) or 0
        is_starting = planned > unusable
        if self._empty_since_s is None:
            self._empty_since_s = self._waiting_since_s = now
            self._reminded_s = -math.inf
        elif is_starting and self._wait_s is None:
            self._empty_since_s = now
        waited_s = now - self._waiting_since_s
        if is_starting and waited_s >= _SLOW_S and now - self._reminded_s >= _REMIND_S:
            self._reminded_s = now
            self._notices.append(
                f"{self._name}: no worker for {waited_s:.0f} s, the cluster is starting {planned}; "
                "if none joins, see the workers' logs"
            )
        patience_s = WAIT_FOR_WORKERS_S if self._wait_s is None else self._wait_s
        if now - self._empty_since_s <= patience_s:
            return
        unused = "".join(f"; worker {worker}: {why}" for worker, why in self.left_out.items())
        if self._max_seen and not unused:
            raise SchedulerError(
                f"{self._name}: all workers died or left, and none came back within "
                f"{patience_s:g} s. Their logs say why; a chunk that takes more memory than a "
                "worker has is the usual cause"
            )
        raise SchedulerError(
            f"{self._name}: no usable worker has joined within {patience_s:g} s{unused}. Start "
            "some (cluster.scale(4)), or wait longer (wait_for_workers='10 min')"
        )

    # -- which are used ------------------------------------------------------------------------

    def check(self, paths: Sequence[str]) -> None:
        """Ask every worker for its versions and for `paths`; leave out those that can't be used."""
        self.refresh()
        queried = list(self.threads)
        for worker, why in check_workers(self._client, self._name, queried, paths).items():
            self.leave_out(worker, why)

    def leave_out(self, worker: str, why: str) -> None:
        """Give `worker` nothing to do."""
        if worker not in self.left_out:
            self.left_out = {**self.left_out, worker: why}
            self._notices.append(f"worker {worker} is not used: {why}")
            self._rows[worker] = self._row(worker, {})._replace(reason=f"not used: {why}")
            self.threads = {}  # counted again by who asks next
            self._used = [used for used in self._used if used != worker]

    def restrictions(self) -> dict[str, Any]:
        """Return who gets a task where not all may.

        Others get none, not even where these are gone: an idle worker that is left out would steal
        what is queued for those that are used. While there are none, the last ones count as those
        that will come.
        """
        return {"workers": self._used} if self.left_out and self._used else {}

    def take_notices(self) -> list[str]:
        """Return what the user should know of the workers, each once."""
        notices, self._notices = self._notices, []
        return notices

    def require(self, task: str, resources: Mapping[str, float]) -> None:
        """From now on there must be a worker that has `resources`, for `task`."""
        self._resources[task] = resources

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
        elif now - self._lacking_since_s > WAIT_FOR_WORKERS_S:
            raise SchedulerError(describe_missing(self._name, self._resources[lacking], lacking))

    def offers(self, resources: Mapping[str, float]) -> bool:
        """Return whether a worker was started with all of `resources`; True while there is none."""
        # Asked for each time: a worker may be given more while it runs.
        workers = self._describe_workers().values()
        return not workers or any(
            all(worker["resources"].get(name, 0.0) >= amount for name, amount in resources.items())
            for worker in workers
        )

    def share_memory(self) -> int | None:
        """Return the least that a worker's thread may use, as the workers say; None: unknown."""
        shares = [
            info["memory_limit"] // max(1, info["nthreads"])
            for worker, info in self._infos.items()
            if worker not in self.left_out and info.get("memory_limit")
        ]
        return min(shares, default=None)
