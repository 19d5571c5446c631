"""Make the strategy that the user chose: by a name, an address, a Dask client or cluster.

What it starts (child processes) ends with the strategy; what it was given is left as it was.
"""

from __future__ import annotations

import logging
import os
import socket
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SchedulerError, SettingsError
from taskinity_data.execution.schedulers.base import (
    Strategy,
    SynchronousStrategy,
    ThreadStrategy,
)
from taskinity_data.execution.schedulers.children import ChildStrategy
from taskinity_data.execution.schedulers.dask import DaskStrategy
from taskinity_data.execution.schedulers.executor import ExecutorStrategy
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from distributed import Client, LocalCluster


__all__ = ["PROCESS_NBYTES", "open_strategy", "start_cluster"]

_NAMES = ("synchronous", "threads", "processes")
_PROTOCOLS = ("tcp://", "tls://", "ucx://", "ucxx://", "ws://", "wss://", "inproc://")

_DASHBOARD_PORT = 8787

_IGNORE_CTRL_C = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
"""What each worker of ours runs first: a terminal's Ctrl-C goes to all processes, but it is the
driver that stops the workers."""

_CONNECT_S = 5.0
"""How long a scheduler may take to answer: one that runs does so in milliseconds."""


def open_strategy(
    scheduler: Any, workers: int | None, memory_nbytes: int | None, wait_s: float | None = None
) -> Strategy:
    """Return the strategy for `scheduler`, started and ready.

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
"""What a worker process holds with pandas and Arrow loaded, before it has any data."""


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
                f"memory: {memory_nbytes:,} bytes are too little: a worker process itself takes "
                f"about {PROCESS_NBYTES >> 20} MiB; give more, or scheduler='threads'"
            )
        children = ChildStrategy(count, memory_nbytes or share_memory(count))
        children.start()
        return children
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


def start_cluster(workers: int | None) -> LocalCluster:
    """Start a Dask cluster of processes on this machine, which has a dashboard; a context manager.

    It listens on loopback. `workers` is one for each core unless it says otherwise.
    """
    from distributed import LocalCluster

    with socket.socket() as probe:  # where Dask finds its port in use, it warns
        is_free = probe.connect_ex(("127.0.0.1", _DASHBOARD_PORT)) != 0
    return LocalCluster(
        n_workers=workers or count_cores(),
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=f"127.0.0.1:{_DASHBOARD_PORT if is_free else 0}",
        worker_dashboard_address=None,
        # The run reports what workers die of.
        silence_logs=logging.CRITICAL,
        preload=[_IGNORE_CTRL_C],
    )


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
            f"{address}: no Dask scheduler responds ({error}). Is it running, and are the address "
            "and the TLS settings right?"
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
        if hasattr(client, "_loop_runner"):  # else its arguments were refused: nothing is open
            client.close()
        raise
    return client
