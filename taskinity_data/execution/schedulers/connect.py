"""A strategy from anything that the user has: a name, an address, a Dask client or cluster.

What it starts (a local Dask cluster) listens on loopback and is closed again; what it was given is
left as it was.
"""

from __future__ import annotations

import logging
import multiprocessing.spawn
import os
import socket
import sys
import threading
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, ClassVar

from taskinity_data.errors import SchedulerError, SettingsError
from taskinity_data.execution.schedulers.base import (
    Strategy,
    SynchronousStrategy,
    ThreadStrategy,
)
from taskinity_data.execution.schedulers.dask import DaskStrategy
from taskinity_data.execution.schedulers.executor import ExecutorStrategy
from taskinity_data.execution.schedulers.local_cluster import OwnStrategy, start_workers
from taskinity_data.execution.schedulers.signals import block_ctrl_c, hold_interrupts
from taskinity_data.execution.worker.terminal_relay import Relay
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.sources.temporary import OwnDirectory
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from distributed import Client, LocalCluster


__all__ = ["open_strategy", "start_local"]

_log = logging.getLogger(__name__)

_NAMES = ("synchronous", "threads", "processes")
_PROTOCOLS = ("tcp://", "tls://", "ucx://", "ucxx://", "ws://", "wss://", "inproc://")
_DASHBOARD_PORT = 8787

_IGNORE_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
"""What each worker of ours runs first: a terminal's Ctrl-C goes to all processes, but it is the
driver that stops the workers. They are born deaf to it, and stay so with what they start."""

_WORKER_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
"""Dask has glibc give each freed block of 128 KiB back to the system, so that workers get every
frame's memory again, page by page: it doubles the time that pandas takes to parse CSV. Ours keep up
to 128 MiB each."""

_CONNECT_S = 5.0
"""How long a scheduler may take to answer: one that runs does so in milliseconds."""


def open_strategy(
    scheduler: Any, workers: int | None, memory_nbytes: int | None, wait_s: float | None = None
) -> Strategy:
    """Return the strategy behind `scheduler`, started and ready.

    Parameters
    ----------
    scheduler : str, Client, cluster object or Executor
        As in `run_flow`, but not None.
    workers : int, optional
        How many at once; default: one to each core, or all of a given cluster's.
    memory_nbytes : int, optional
        What one worker may use; default: its share of the machine, or what the cluster says.
    wait_s : float, optional
        How long a given cluster may have no workers; default: see `DaskStrategy`.

    Raises
    ------
    SchedulerError
        There is no such scheduler, or it does not answer.
    """
    if isinstance(scheduler, str):
        return _open_named(scheduler, workers, memory_nbytes, wait_s)
    if isinstance(scheduler, os.PathLike):
        return _open_named(os.fspath(scheduler), workers, memory_nbytes, wait_s)
    if isinstance(scheduler, Executor):
        return ExecutorStrategy(scheduler, workers, memory_nbytes)
    if hasattr(scheduler, "submit") and hasattr(scheduler, "scheduler_info"):
        return DaskStrategy(scheduler, limit=workers, memory_nbytes=memory_nbytes, wait_s=wait_s)
    if hasattr(scheduler, "scheduler_address") or hasattr(scheduler, "get_client"):
        return _connect(scheduler, workers, memory_nbytes, wait_s)
    if isinstance(scheduler, Strategy):
        return scheduler
    raise SchedulerError(
        f"scheduler={scheduler!r} is not a scheduler: give {', '.join(map(repr, _NAMES))}, an "
        "address such as 'tcp://host:8786', a scheduler file, a distributed.Client, a cluster "
        "object or a concurrent.futures.Executor"
    )


PROCESS_NBYTES = 96 << 20
"""What a worker process holds with pandas, Arrow and Dask loaded, before it has any data."""


def _open_named(
    name: str, workers: int | None, memory_nbytes: int | None, wait_s: float | None
) -> Strategy:
    if name in ("synchronous", "sync", "single-threaded"):
        return SynchronousStrategy(memory_nbytes or share_memory(1))
    count = workers or count_cores()
    if name in ("threads", "threading"):
        return ThreadStrategy(count, memory_nbytes or share_memory(count))
    if name in ("processes", "multiprocessing"):
        if memory_nbytes is not None and memory_nbytes < PROCESS_NBYTES:
            raise SettingsError(
                f"memory: a worker process takes about {PROCESS_NBYTES >> 20} MiB by itself, so "
                f"that {memory_nbytes:,} bytes are too little; give more, or scheduler='threads'"
            )
        return start_local(count, memory_nbytes)
    if name.startswith(_PROTOCOLS):
        return _connect(name, workers, memory_nbytes, wait_s)
    if name.startswith("gateway://"):
        raise SchedulerError(
            f"{name}: an address of Dask Gateway can't be used without its keys: give "
            "scheduler=gateway.connect(NAME), the cluster object of dask_gateway.Gateway(...), or "
            "its client, cluster.get_client()"
        )
    # os.path takes names of any length.
    if os.path.isfile(name):
        return _connect({"scheduler_file": name}, workers, memory_nbytes, wait_s)
    if name.endswith(".json"):
        raise SchedulerError(f"{name}: there is no such scheduler file")
    raise SchedulerError(
        f"scheduler={name!r} is not a scheduler.{suggest(name, _NAMES)} Give {', '.join(_NAMES)}, "
        "an address such as tcp://host:8786, or a scheduler file"
    )


def start_local(workers: int, memory_nbytes: int | None) -> DaskStrategy:
    """Start a Dask cluster of `workers` processes here, on loopback, closed with the run."""
    from distributed import Client

    if multiprocessing.current_process().daemon:
        # Dask's own answer differs by version: an error after a while, or none.
        raise SchedulerError(
            "no local processes can be started here: this process is a daemon (a worker of another "
            'pool), which may not have children; run with scheduler="threads"'
        )
    with ExitStack() as started:
        with hold_interrupts():
            started.callback(_ChildrenSkipMain().close)
            directory = OwnDirectory("workers")
            started.callback(directory.close)
            relay = Relay(directory.path)
            started.callback(relay.close)
            memory_limit = memory_nbytes or share_memory(workers)
            try:
                cluster, remark = _start_cluster(
                    started, workers, memory_limit, directory.path, relay
                )
            except RuntimeError as error:
                raise SchedulerError(
                    f"no local processes could be started ({_find_root(error)}); run with "
                    'scheduler="threads", or ask taskinity-data doctor what this machine grants'
                ) from error
            client = Client(cluster, set_as_default=False)
            started.callback(client.close)
            strategy = OwnStrategy(
                client,
                cluster,
                directory.path,
                name="processes",
                memory_nbytes=memory_nbytes,
                closes=(started.pop_all(),),
            )
            strategy.dashboard_remark = remark
            started.callback(strategy.close)
        # A Ctrl-C that came meanwhile was raised above, and has closed it.
        started.pop_all()
        return strategy


def _start_cluster(
    started: ExitStack, workers: int, memory_nbytes: int, scratch: str, relay: Relay
) -> tuple[LocalCluster, str]:
    """Start Dask's local cluster, closed with `started`; return it, and what is odd of its port."""
    import dask
    from distributed import LocalCluster

    options = {
        # A small machine's few percent (sampling) and noise on a user's terminal.
        "distributed.worker.profile.enabled": False,
        "distributed.worker.memory.terminate": 0.95,
        # What ran or waited there runs again in a child process, which costs no second worker.
        "distributed.scheduler.allowed-failures": 0,
        "distributed.admin.tick.limit": "60s",
        # Their own pace, in this process and in each worker, takes 3 % of two busy cores.
        "distributed.admin.tick.interval": "500ms",
        "distributed.admin.system-monitor.interval": "1s",
        "distributed.nanny.pre-spawn-environ": {
            **dask.config.get("distributed.nanny.pre-spawn-environ", {}),
            **_WORKER_MALLOC,
        },
        "temporary-directory": scratch,
    }
    with closing(_DashboardPort()) as port, dask.config.set(options):
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=memory_nbytes,
            # Those that start in place of dead ones go there too.
            local_directory=scratch,
            dashboard_address=f"127.0.0.1:{port.number}",
            worker_dashboard_address=None,
            # The run reports what workers die of.
            silence_logs=logging.CRITICAL,
            preload=[_IGNORE_CTRL_C + relay.preload],
        )
        started.callback(cluster.close)
        start_workers(cluster, workers)
    return cluster, port.remark


def _find_root(error: BaseException) -> BaseException:
    """Return the root cause of `error`: Dask's own says only that something did not start."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


class _DashboardPort:
    """Dask's usual port where it is free, and ours until Dask listens there; else 0, for any.

    Dask would warn and choose one itself. A port that two runs find free, because neither listens
    yet, would be free for one of them: a name, which goes with the process, says whose it is.
    """

    def __init__(self) -> None:
        self.number, self.remark = _DASHBOARD_PORT, ""
        self._name_socket = socket.socket(socket.AF_UNIX)
        try:
            if sys.platform == "linux":  # only there names need no file
                self._name_socket.bind(f"\0taskinity-dashboard-{_DASHBOARD_PORT}")
            with socket.socket() as probe:
                # As Dask does: one that was closed a moment ago is no obstacle.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", _DASHBOARD_PORT))
        except OSError:
            self.number, self.remark = 0, f"port {_DASHBOARD_PORT} is in use"

    def close(self) -> None:
        self._name_socket.close()


class _ChildrenSkipMain:
    """While open, Dask's workers start without the user's main script, and deaf to Ctrl-C.

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
            # In the thread that starts the process, just before: Python's resource tracker, which
            # was started there for the first one, has let Ctrl-C through again.
            block_ctrl_c()
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    def close(self) -> None:
        with self._lock:
            self._open.discard(id(self))
            if not self._open:
                multiprocessing.spawn.get_preparation_data = self._original


def _connect(
    target: Any, workers: int | None, memory_nbytes: int | None, wait_s: float | None
) -> DaskStrategy:
    try:
        if isinstance(target, dict):
            client = _open_client(**target)
        elif hasattr(target, "get_client") and not hasattr(target, "scheduler_address"):
            client = target.get_client()
        else:
            client = _open_client(target)
    except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
        # The last two are Dask's for TLS: clear text where it is required, no certificate.
        address = target.get("scheduler_file") if isinstance(target, dict) else str(target)
        raise SchedulerError(
            f"{address}: no Dask scheduler answers there ({error}). Is it running, and are the "
            "address and the settings for TLS right?"
        ) from error
    return DaskStrategy(
        client, limit=workers, memory_nbytes=memory_nbytes, wait_s=wait_s, closes=(client,)
    )


def _open_client(*args: Any, **kwargs: Any) -> Client:
    """Return a connected client; one that can't connect is closed at once.

    Dask leaves that to the garbage collector, which may run in the thread that starts the next
    client: there, closing waits for a lock that this thread holds.
    """
    from distributed import Client

    client = Client.__new__(Client)
    try:
        Client.__init__(client, *args, set_as_default=False, timeout=_CONNECT_S, **kwargs)
    except BaseException:
        client.close()
        raise
    return client
