"""Starts a pool of workers in a thread of its own, and ends there what is not needed any more."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskinity_data.execution.schedulers.base import Strategy

__all__ = ["PoolStart", "wait_for_unused_pools"]

_log = logging.getLogger(__name__)

_ENDING = "taskinity-end-pool"
_SWITCH_S = 0.000_5
"""How long a thread keeps Python's lock while a pool starts. The start gives it up some thousand
times, and beside a function that computes in Python it would wait 5 ms each time."""

_LONGEST_WAIT_S = 60
"""A pool that has not ended by then does not end by itself."""


class PoolStart:
    """A pool that is being started.

    Parameters
    ----------
    start : callable
        Gives the pool, or raises.
    wake : callable
        Called from the starting thread once `take` has something.

    Notes
    -----
    The thread is not a daemon: an interpreter that exits waits until a pool that was given up is
    closed, so that no process outlives it.
    """

    def __init__(self, start: Callable[[], Strategy], wake: Callable[[], None]) -> None:
        self._start = start
        self._wake = wake
        self._lock = threading.Lock()
        self._outcome: Strategy | Exception | None = None
        self._is_given_up = False
        self._thread = _run_in_thread(self._run, "taskinity-start-pool")

    def _run(self) -> None:
        outcome: Strategy | Exception | None = None
        if not self._is_given_up:
            try:
                with _short_turns():
                    outcome = self._start()
            except Exception as error:  # noqa: BLE001 - whoever takes it decides
                outcome = error
        with self._lock:
            self._outcome = outcome
            is_given_up = self._is_given_up
        if is_given_up:
            self._end()
        else:
            self._wake()

    def take(self) -> Strategy | Exception | None:
        """Take the pool, or why there is none; None while it is starting."""
        with self._lock:
            outcome, self._outcome = self._outcome, None
        return outcome

    def give_up(self) -> None:
        """Let the pool be ended behind the caller, at once or as soon as it has started."""
        with self._lock:
            self._is_given_up = True
            has_started = self._outcome is not None
            self._thread.name = _ENDING
        if has_started:
            _run_in_thread(self._end, _ENDING)

    def _end(self) -> None:
        pool = self.take()
        if pool is None or isinstance(pool, Exception):
            return
        try:
            # Its workers have nothing to bring to an end.
            pool.abort()
            pool.close()
        except Exception as error:  # noqa: BLE001 - the run has its answer already
            _log.info("a pool that was not needed did not close: %s", error)


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let this process's threads take turns at Python's lock every `_SWITCH_S`."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(min(usual_s, _SWITCH_S))
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


def wait_for_unused_pools() -> None:
    """Wait until the pools that earlier runs gave up have ended.

    Dask silences its logging while a local cluster is there: of two that overlap the first that
    ends lets the other one log to the user's terminal.
    """
    for thread in threading.enumerate():
        if thread.name == _ENDING and thread is not threading.current_thread():
            thread.join(_LONGEST_WAIT_S)


def _run_in_thread(target: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=False)
    thread.start()
    return thread
