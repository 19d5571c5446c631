"""A strategy from anything that the user has: a name, an address, a Dask client or cluster.

It knows nothing of flows or plans. What it starts (a local Dask cluster) listens on loopback and is
closed again; what it was given is left as it was.
"""

from __future__ import annotations

import logging
import multiprocessing.spawn
import os
import socket
import sys
import threading
import time
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.errors import SchedulerError, suggest
from taskinity_data.execution.shipping import pack_items, pack_job, run_parcel, unpack_outcomes
from taskinity_data.execution.strategies import (
    ExecutorStrategy,
    SynchronousStrategy,
    ThreadStrategy,
)
from taskinity_data.machine import count_cores, share_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

    from taskinity_data.execution.process import Item, Job
    from taskinity_data.execution.strategies import Strategy

__all__ = ["DaskStrategy", "current_client", "open_strategy", "start_local"]

_log = logging.getLogger(__name__)

_NAMES = ("synchronous", "threads", "processes")
_PROTOCOLS = ("tcp://", "tls://", "ucx://", "ucxx://", "ws://", "wss://", "inproc://")
_DASHBOARD_PORT = 8787

_IGNORE_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
"""What each worker of ours runs first: a terminal's Ctrl-C goes to all processes, but it is the
driver that stops the workers."""

_WAIT_FOR_WORKERS_S = 30.0
"""How long a given cluster may take to bring its first worker: batch queues are asked for more by
starting the cluster before the run."""

_CONNECT_S = 5.0
"""How long a scheduler may take to answer: one that runs does so in milliseconds."""

_SCATTER_NBYTES = 32 << 10
"""A packed job up to this size travels in each task (Dask warns from 10 MB on, and a scattered one
is lost with its workers); a larger one goes to each worker once."""

_REFRESH_S = 2.0
"""How often the number of a cluster's workers is looked at: adaptive clusters act in seconds."""


def current_client() -> Client | None:
    """The current Dask client, None where there is none; loads nothing."""
    module = sys.modules.get("distributed")
    if module is None:
        return None
    try:
        client: Client = module.client.default_client()
    except ValueError:
        return None
    return None if client.asynchronous else client


def open_strategy(scheduler: Any, workers: int | None, memory_nbytes: int | None) -> Strategy:
    """The strategy behind `scheduler`, started and ready.

    Parameters
    ----------
    scheduler : str, Client, cluster object or Executor
        As in `run_flow`, but not None.
    workers : int, optional
        How many at once; default: one to each core, or all of a given cluster's.
    memory_nbytes : int, optional
        What one worker may use; default: its share of the machine, or what the cluster says.

    Raises
    ------
    SchedulerError
        There is no such scheduler, it does not answer, or it has no workers.
    """
    if isinstance(scheduler, str):
        return _open_named(scheduler, workers, memory_nbytes)
    if isinstance(scheduler, os.PathLike):
        return _open_named(os.fspath(scheduler), workers, memory_nbytes)
    if isinstance(scheduler, Executor):
        return ExecutorStrategy(scheduler, workers, memory_nbytes)
    if hasattr(scheduler, "submit") and hasattr(scheduler, "scheduler_info"):
        return DaskStrategy(scheduler, limit=workers, memory_nbytes=memory_nbytes)
    if hasattr(scheduler, "scheduler_address") or hasattr(scheduler, "get_client"):
        return _connect(scheduler, workers, memory_nbytes)
    if hasattr(scheduler, "load") and hasattr(scheduler, "collect"):
        strategy: Strategy = scheduler
        return strategy
    raise SchedulerError(
        f"scheduler={scheduler!r} is no scheduler: give {', '.join(map(repr, _NAMES))}, an address "
        "such as 'tcp://host:8786', a scheduler file, a distributed.Client, a cluster object or a "
        "concurrent.futures.Executor"
    )


def _open_named(name: str, workers: int | None, memory_nbytes: int | None) -> Strategy:
    if name in ("synchronous", "sync", "single-threaded"):
        return SynchronousStrategy(memory_nbytes or share_memory(1))
    count = workers or count_cores()
    if name in ("threads", "threading"):
        return ThreadStrategy(count, memory_nbytes or share_memory(count))
    if name in ("processes", "multiprocessing"):
        return start_local(count, memory_nbytes)
    if name.startswith(_PROTOCOLS):
        return _connect(name, workers, memory_nbytes)
    if name.endswith(".json") or Path(name).exists():
        if not Path(name).is_file():
            raise SchedulerError(f"{name}: there is no such scheduler file")
        return _connect({"scheduler_file": name}, workers, memory_nbytes)
    raise SchedulerError(
        f"scheduler={name!r} is no scheduler.{suggest(name, _NAMES)} Give {', '.join(_NAMES)}, an "
        "address such as tcp://host:8786, or a scheduler file"
    )


def start_local(workers: int, memory_nbytes: int | None) -> DaskStrategy:
    """A Dask cluster of `workers` processes on this machine, on loopback, closed with the run."""
    import dask
    from distributed import Client, LocalCluster

    options = {
        # A small machine's few percent (sampling) and noise on a user's terminal.
        "distributed.worker.profile.enabled": False,
        "distributed.worker.memory.terminate": 0.95,
        "distributed.admin.tick.limit": "60s",
    }
    with dask.config.set(options):
        hidden = _ChildrenSkipMain()
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                memory_limit=memory_nbytes or share_memory(workers),
                dashboard_address=f"127.0.0.1:{_free_dashboard_port()}",
                worker_dashboard_address=None,
                silence_logs=logging.ERROR,
                preload=[_IGNORE_CTRL_C],
            )
        except BaseException:
            hidden.close()
            raise
        client = Client(cluster, set_as_default=False)
    return DaskStrategy(
        client, name="processes", memory_nbytes=memory_nbytes, closes=(client, cluster, hidden)
    )


def _free_dashboard_port() -> int:
    """Dask's usual port where it is free, else any: Dask would warn and choose one itself."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", _DASHBOARD_PORT))
        except OSError:
            return 0
    return _DASHBOARD_PORT


class _ChildrenSkipMain:
    """While open, Dask's workers start without importing the user's main script again.

    The functions of the main script travel by value, so no worker needs it; and a script without
    an ``if __name__ == "__main__"`` guard would start itself over in each worker.
    """

    _lock = threading.Lock()
    _open: ClassVar[set[int]] = set()
    _original = staticmethod(multiprocessing.spawn.get_preparation_data)

    def __init__(self) -> None:
        with self._lock:
            self._open.add(id(self))
            multiprocessing.spawn.get_preparation_data = self._prepare

    @classmethod
    def _prepare(cls, name: str) -> dict[str, Any]:
        data = dict(cls._original(name))
        if name.startswith("Dask Worker process"):
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    def close(self) -> None:
        with self._lock:
            self._open.discard(id(self))
            if not self._open:
                multiprocessing.spawn.get_preparation_data = self._original


def _connect(target: Any, workers: int | None, memory_nbytes: int | None) -> DaskStrategy:
    from distributed import Client

    told = target.get("scheduler_file") if isinstance(target, dict) else str(target)
    try:
        if isinstance(target, dict):
            client = Client(**target, set_as_default=False, timeout=_CONNECT_S)
        elif hasattr(target, "get_client") and not hasattr(target, "scheduler_address"):
            client = target.get_client()
        else:
            client = Client(target, set_as_default=False, timeout=_CONNECT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise SchedulerError(
            f"{told}: no Dask scheduler answers there ({error}). Is it running, and is the address "
            "right?"
        ) from error
    return DaskStrategy(client, limit=workers, memory_nbytes=memory_nbytes, closes=(client,))


class DaskStrategy:
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
        self._threads: dict[str, int] = {}
        self.name = name or str(client.scheduler.address if client.scheduler else client)
        self.is_local = name == "processes"
        if client.asynchronous:
            raise SchedulerError("an asynchronous Client can't be used: give a plain one")
        try:
            client.wait_for_workers(1, timeout=_WAIT_FOR_WORKERS_S)
        except TimeoutError as error:
            self.close()
            raise SchedulerError(
                f"{self.name}: the cluster has no workers after {_WAIT_FOR_WORKERS_S:g} s; start "
                "some (cluster.scale(4)) and run again"
            ) from error

    @property
    def workers(self) -> int:
        """Threads of all workers, by now; at least 1."""
        now = time.monotonic()
        if now - self._looked_s > _REFRESH_S or not self._threads:
            self._threads = dict(self._client.nthreads())
            self._looked_s = now
        count = sum(self._threads.values())
        return max(1, min(count, self._limit) if self._limit else count)

    @property
    def memory_nbytes(self) -> int | None:
        """The least that a worker's thread may use, as the workers say."""
        if self._memory_nbytes is not None:
            return self._memory_nbytes
        shares = [
            worker["memory_limit"] // max(1, worker["nthreads"])
            for worker in self._client.scheduler_info(n_workers=-1)["workers"].values()
            if worker.get("memory_limit")
        ]
        return min(shares, default=None)

    @property
    def dashboard_link(self) -> str | None:
        """Dask's dashboard."""
        link = self._client.dashboard_link
        return link or None

    def check(self, paths: Sequence[str]) -> None:
        """Ask every worker for the library's version and for `paths`."""
        here = sys.modules[__name__.partition(".")[0]].__version__

        def ask(paths: list[str]) -> tuple[str, list[str]]:
            # Travels by value, so that a worker without the library can answer too.
            from importlib import import_module
            from pathlib import Path

            try:
                version = str(import_module("taskinity_data").__version__)
            except ImportError:
                version = ""
            return version, [path for path in paths if not Path(path).exists()]

        for worker, (version, missing) in self._client.run(ask, list(paths)).items():
            if version != here:
                has = f"taskinity_data {version}" if version else "no taskinity_data"
                raise SchedulerError(
                    f"worker {worker} has {has}, this is {here}: install the same version there"
                )
            if missing:
                raise SchedulerError(
                    f"worker {worker} does not see {missing[0]}: the files must be at the same "
                    "path on every worker (a shared file system)"
                )

    def load(self, job: Job) -> Any:
        """`job`, packed and sent once to each worker."""
        blob = pack_job(job)
        if len(blob) <= _SCATTER_NBYTES:
            return blob
        return self._client.scatter(blob, broadcast=True, hash=False)

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Any:
        """One Dask task for all of `items`."""
        return self._client.submit(
            run_parcel, loaded, pack_items(items), key=key, pure=False, retries=0
        )

    def collect(self, pending: Sequence[Any]) -> list[Any]:
        """The outcomes, fetched together."""
        done = [future for future in pending if future.status == "finished"]
        brought = dict(zip(done, self._client.gather(done), strict=True)) if done else {}
        found: list[Any] = []
        for future in pending:
            if future in brought:
                found.append(unpack_outcomes(brought[future]))
            elif future.status == "error":
                found.append(future.exception())
            else:
                found.append(SchedulerError(f"Dask lost {future.key} ({future.status})"))
        return found

    def cancel(self, pending: Sequence[Any]) -> None:
        """Tell Dask to forget what has not started."""
        if pending:
            self._client.cancel(list(pending), force=True)

    def close(self) -> None:
        """Close what this strategy started."""
        for thing in self._closes:
            thing.close()
        self._closes = ()
