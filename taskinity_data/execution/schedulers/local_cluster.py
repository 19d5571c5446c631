"""The strategy behind a local Dask cluster of our own: kept whole, its workers may be killed."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

from taskinity_data.execution.schedulers.dask import DaskStrategy
from taskinity_data.execution.schedulers.signals import late_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from distributed import Client

__all__ = ["OwnStrategy", "start_workers"]

_log = logging.getLogger(__name__)

_STARTS = 5
"""So often the workers are started: one that dies meanwhile is started again with those that are
missing, and a machine that grants no process says so at once each time."""


def start_workers(cluster: Any, count: int) -> None:
    """Bring `count` workers up on `cluster`, which has none.

    Raises
    ------
    RuntimeError
        Not one can be started. Those that are missing beside others are tried again later.
    """
    for _ in range(count):
        cluster.worker_spec.update(cluster.new_worker_spec())
    for number in range(_STARTS):
        try:
            cluster.sync(_mend, cluster)
            return
        except RuntimeError:
            if number == _STARTS - 1 and not cluster.scheduler.workers:
                raise


async def _mend(cluster: Any) -> None:
    """Start again what Dask has given up: a worker that died while it started, for one."""
    from distributed.core import Status

    for name, nanny in list(cluster.workers.items()):
        if nanny.status in (Status.closed, Status.failed):
            del cluster.workers[name]
    if set(cluster.worker_spec) - set(cluster.workers):
        await cluster._correct_state()  # noqa: SLF001 - scale() does it if the number changes


CLOSE_S = 8.0
"""After this time workers that do not close are killed. Dask gives each five seconds; but one that
was killed while it started can leave Dask waiting for ever for the end of the one after it."""


class OwnStrategy(DaskStrategy):
    """A local cluster that was started for this run, whose workers may be killed."""

    _patience_s = 120.0
    goes_with_run = True
    can_abort = True
    restarts_lost = False

    def __init__(self, client: Client, cluster: Any, scratch: str, **options: Any) -> None:
        self._cluster, self._scratch = cluster, scratch
        self._is_repairing = False
        self._left: list[psutil.Process] = []
        super().__init__(client, **options)

    def _refresh(self) -> None:
        super()._refresh()
        if len(self._members.threads) < len(self._cluster.worker_spec) and not self._is_repairing:
            self._is_repairing = True
            self._cluster.loop.add_callback(self._repair)

    async def _repair(self) -> None:
        try:
            await _mend(self._cluster)
        except Exception as error:  # noqa: BLE001 - whatever a process that starts dies of
            _log.info("a worker did not start again: %s", error)
        finally:
            self._is_repairing = False

    def close(self) -> None:
        """Close the cluster, and end what functions have left behind on its workers.

        A worker lets what it runs come to its end, for four seconds; Ctrl-C meanwhile kills it.
        """
        self._left += [child for pid in self._pids() for child in _family(pid)]
        # Dask would give up in the middle, and forget which processes it had.
        with late_interrupts(self.abort):
            with _again_while_open(self.abort, CLOSE_S):
                super().close()
            self._end_left()

    def _end_left(self) -> None:
        left, self._left = self._left, []
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        until_s = time.monotonic() + 1.0
        while any(map(_is_alive, left)) and time.monotonic() < until_s:
            time.sleep(0.01)
        # One that was about to start may have made its directory again.
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _pids(self) -> list[int]:
        pids = [getattr(nanny, "pid", None) for nanny in self._cluster.workers.values()]
        return [pid for pid in pids if pid is not None]

    def abort(self) -> bool:
        """Kill all workers, so that nothing goes on; whether that could be done."""
        for nanny in self._cluster.workers.values():
            nanny.auto_restart = False
        # What they have started outlives them, and could not be found any more.
        self._left += [child for pid in self._pids() for child in _family(pid)]
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True


@contextmanager
def _again_while_open(act: Callable[[], Any], seconds: float) -> Iterator[None]:
    """Do `act` every so many seconds until the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=watch, name="taskinity-close", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_alive(process: psutil.Process) -> bool:
    # Where no one collects the dead, in many a container, they stay as zombies.
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _family(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []
