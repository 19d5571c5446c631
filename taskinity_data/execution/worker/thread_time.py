"""Measure the CPU time of threads, and whether they block each other.

`LockWatch` lets one thread compute alone for a moment, then as many as may. Threads that share a
lock, as plain Python functions do, get no more CPU time together than one alone; others, that
compute in native code, get as many times as much. Both are measured on the same machine within a
second, so that its other programs change little of their ratio.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "COMPUTING",
    "LOOK_S",
    "QUIET_S",
    "LockWatch",
    "ThreadTime",
    "add_queued_seconds",
    "is_lock_shared",
    "queued_seconds",
]

MAX_AGE_S = 0.001
"""So old what was read last may be: reading takes 2 to 5 µs, and an item may take 20."""


class ThreadTime(NamedTuple):
    """Seconds of threads so far: `cpu_s` on a core, `queued_s` of waiting for one."""

    cpu_s: float = 0.0
    queued_s: float = 0.0


def add_queued_seconds(threads: Iterable[threading.Thread]) -> float:
    """Return for how long `threads`, which are alive, could have run, but had no core.

    Only Linux counts it: elsewhere it is 0.
    """
    total_s = 0.0
    for thread in threads:
        with suppress(OSError, ValueError):
            text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_bytes()
            total_s += _parse_queued(text)
    return total_s


def _parse_queued(text: bytes) -> float:
    return int(text.split()[1]) / 1e9


class _File:
    """The account of the thread that made it, kept open where the system has one."""

    def __init__(self) -> None:
        self.thread_id = threading.get_native_id()
        self.number: int | None = None
        self.read_s, self.queued_s = float("-inf"), 0.0
        with suppress(OSError):
            self.number = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if self.number is not None:
            close(self.number)

    def read(self, now_s: float) -> float:
        if self.number is not None and now_s - self.read_s > MAX_AGE_S:
            self.read_s = now_s
            try:
                self.queued_s = _parse_queued(os.pread(self.number, 80, 0))
            except (OSError, ValueError):
                self.number = None
        return self.queued_s


class _ThisThread(threading.local):
    file: _File | None = None


_this_thread = _ThisThread()


def queued_seconds(now_s: float) -> float:
    """Return for how long this thread could have run, but had no core, by `now_s` of a clock.

    It may be older than that by `MAX_AGE_S`; 0 where the system does not count it.
    """
    file = _this_thread.file
    # A process that was forked has its own account.
    if file is None or file.thread_id != threading.get_native_id():
        file = _this_thread.file = _File()
    return file.read(now_s)


ALONE_S, MAX_ALONE_S, QUIET_S = 0.05, 0.25, 0.02
"""The first chunk runs alone until it has computed for so long, at most for so long where other
programs take its core, and only for so long where it mostly waits: for a service it needs all
threads, and no pool."""

LOOK_S = 0.25
"""Seconds of one look at threads that run together: some fifty of Python's lock changing hands."""

COMPUTING = 0.4
"""The share of its time for which a thread wants a core, below which it waits for something."""

ONE_CORE = 0.85, 1.2
"""Seconds a second for which threads that share a lock want a core, where the first chunk did not
compute while it ran alone, since it was being fetched; up to `SCALES` on a machine where they wait
for one most of the time: who wakes up to see whether the lock is free waits for a core, too."""

SCALES = 1.5
"""Threads that get less than so many times the CPU time of one thread share a lock: with a function
that holds it half of its time two get 1.6 times as much."""

ALL_WANT = 1.75
"""Threads that want a core for more than so many times one's time do not share a lock, whatever
they get: with up to sixteen other busy programs on two cores two that shared one wanted 1.0 to 1.6
times as much, two that did not 1.7 to 2.0."""


def is_lock_shared(alone: float, together: float) -> bool:
    """Return whether threads that compute hold each other up.

    Parameters
    ----------
    alone : float
        CPU seconds a second of one thread that runs alone.
    together : float
        Those of all threads that run at once.

    Examples
    --------
    >>> is_lock_shared(1.0, 1.05), is_lock_shared(1.0, 1.9)
    (True, False)
    """
    return together < SCALES * min(alone, 1.0)


class LockWatch:
    """Looks at the CPU time of a pool's threads as time goes by; the clocks are passed in.

    Attributes
    ----------
    runs_alone : bool
        Whether one thread alone may be given something to do, by now.
    is_shared : bool or None
        Whether threads share a lock, by the last look, or two where they do; None before that.
    begun_s : float or None
        When it began to look.
    """

    def __init__(self) -> None:
        self.runs_alone = True
        self.is_shared: bool | None = None
        self.begun_s: float | None = None
        self._alone = self._alone_wants = 0.0
        self._computes = False
        self._is_broken = False
        self._looked_shared = False
        self._mark = (0.0, ThreadTime(), 0.0)

    def is_due(self, now_s: float, running: int) -> bool:
        """Return whether to `look` now, with so many batches that threads have."""
        self._is_broken |= running < 2
        return self.runs_alone or now_s - self._mark[0] >= LOOK_S

    def look(self, now_s: float, used: ThreadTime, idle_s: float, *, has_ended: bool) -> None:
        """Take what the threads have had until now.

        Parameters
        ----------
        now_s : float
        used : ThreadTime
            Of all threads.
        idle_s : float
            For how long their caller has waited for them: where it keeps them waiting, they do not
            hold each other up.
        has_ended : bool
            Whether the first chunk has.
        """
        if self.begun_s is None:
            self.begun_s, self._mark = now_s, (now_s, used, idle_s)
            return
        at_s, before, idle_before_s = self._mark
        passed_s = now_s - at_s
        if passed_s <= 0.0:
            return
        cpu_s = used.cpu_s - before.cpu_s
        wants = (cpu_s + used.queued_s - before.queued_s) / passed_s
        if self.runs_alone:
            self._computes = wants >= COMPUTING
            is_quiet = passed_s >= QUIET_S and not self._computes
            if not (has_ended or is_quiet or cpu_s >= ALONE_S or passed_s >= MAX_ALONE_S):
                return
            self.runs_alone, self._alone, self._alone_wants = False, cpu_s / passed_s, wants
        elif not self._is_broken and idle_s - idle_before_s >= passed_s / 2:
            rate = cpu_s / passed_s
            if self._computes:
                # A thread that waits for the lock wants no core, whoever has the cores. Where all
                # want one nearly always, other programs have what they don't get.
                ratio = wants / min(self._alone_wants, 1.0)
                looks_shared = ratio < SCALES or (
                    ratio < ALL_WANT and is_lock_shared(self._alone, rate)
                )
            else:
                is_busy_machine = wants > 2 * rate
                max_wants = SCALES if is_busy_machine else ONE_CORE[1]
                looks_shared = ONE_CORE[0] <= wants <= max_wants
            # Threads that have just started load what they need, one after another: twice, then.
            self.is_shared = looks_shared and (self._looked_shared or None)
            self._looked_shared = looks_shared
        self._mark, self._is_broken = (now_s, used, idle_s), False
