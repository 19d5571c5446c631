"""What a child process does: it runs items, for the process that started it.

It ends with that process, and by itself once nothing has come for a while. Whoever waits for it
keeps the time limits.
"""

from __future__ import annotations

import os
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from taskinity_data.execution.worker.captured_logs import lower_level
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.execution.worker.run_item import run_each
from taskinity_data.execution.worker.shipping import (
    pack_ended,
    pack_value,
    unpack_items,
    unpack_job,
)
from taskinity_data.flow.once import close_values, holds_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskinity_data.execution.worker.job import Job

__all__ = ["BROKEN", "CLOSE", "CLOSED", "DONE", "HOLDS", "ITEMS", "JOB", "READY", "STEP", "main"]

JOB, ITEMS, CLOSE = b"J", b"I", b"C"
"""What is sent to a child: a packed job, then items for it; the run whose values it closes."""

READY, STEP, DONE, HOLDS, BROKEN, CLOSED = b"R", b"S", b"D", b"H", b"B", b"E"
"""What it reports: the job is loaded; the step with a number begins (of several items the first);
so many outcomes and blocks follow, without or with values of ``@td.once`` left; the job is one that
can't be unpacked; what went wrong while it closed them."""

IDLE_S = 10.0
"""After so long without work a child ends: another takes 0.4 s to start, and nothing is to stay on
a cluster of which the driver died."""

_PR_SET_PDEATHSIG, _SIGKILL = 1, 9


def main(fd: int, parent: int) -> None:
    """Serve what is sent over the socket `fd`, until the process `parent` has gone."""
    _die_with(parent)
    # A thread, as a worker's own: an interrupt that a function raises is that function's.
    serving = threading.Thread(target=_serve, args=(Connection(fd),), name="child", daemon=True)
    serving.start()
    serving.join()
    os._exit(0)  # whatever threads the functions have left behind


def _die_with(parent: int) -> None:
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # not Linux: the socket's end tells, as soon as nothing runs
    if os.getppid() != parent:
        os._exit(0)


def _serve(pipe: Connection) -> None:
    job: Job | None = None
    try:
        while pipe.poll(IDLE_S):
            kind, blob = pipe.recv_bytes(), pipe.recv_bytes()
            if kind == CLOSE:
                texts = close_values(blob.decode())
                pipe.send_bytes(CLOSED)
                pipe.send_bytes(pack_value(texts))
                continue
            if kind == JOB:
                try:
                    job = unpack_job(blob)
                except BaseException as error:  # noqa: BLE001 - whatever a user's module does
                    pipe.send_bytes(BROKEN)
                    pipe.send_bytes(str(describe_failure(error)).encode("utf-8", "replace"))
                else:
                    pipe.send_bytes(READY)
                continue
            assert job is not None
            items = unpack_items(blob)
            begin: Callable[[int], None] | None = partial(_report, pipe, STEP)
            if len(items) > 1:
                _report(pipe, STEP, 0)
                begin = None
            with lower_level(job.log_level):
                ended = run_each(job, items, begin, restores=True)
            packed = pack_ended(ended, items, job.max_nbytes)
            _report(pipe, HOLDS if holds_values(job.session_id) else DONE, len(packed))
            for part in packed:
                pipe.send_bytes(part)
    except (EOFError, OSError):
        pass  # the parent has died
    finally:
        close_values()


def _report(pipe: Connection, kind: bytes, number: int) -> None:
    pipe.send_bytes(kind + number.to_bytes(4, "big"))
