"""The time that threads had of the machine: on a core, and in the queue for one."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["ThreadTime", "queued_seconds"]

MAX_AGE_S = 0.001
"""So old what was read last may be: reading takes 2 to 5 µs, and an item may take 20."""


class ThreadTime(NamedTuple):
    """Seconds of threads so far: `cpu_s` on a core, `queued_s` of waiting for one."""

    cpu_s: float = 0.0
    queued_s: float = 0.0

    @classmethod
    def of(cls, threads: Iterable[threading.Thread]) -> ThreadTime:
        """Return the time of `threads` of this process, which are alive."""
        times = [_read_time(thread) for thread in threads]
        return cls(sum(each.cpu_s for each in times), sum(each.queued_s for each in times))


def _read_time(thread: threading.Thread) -> ThreadTime:
    try:
        # Linux alone counts how long a thread that could run got no core.
        text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_bytes()
        return _parse(text)
    except (OSError, ValueError):
        pass
    if thread.ident is None or not hasattr(time, "pthread_getcpuclockid"):
        return ThreadTime()
    return ThreadTime(time.clock_gettime(time.pthread_getcpuclockid(thread.ident)))


def _parse(text: bytes) -> ThreadTime:
    cpu_ns, queued_ns = map(int, text.split()[:2])
    return ThreadTime(cpu_ns / 1e9, queued_ns / 1e9)


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
                self.queued_s = _parse(os.pread(self.number, 80, 0)).queued_s
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
