"""A child process in which items run that may have to be stopped.

A child that takes too long or too much memory is killed with all that it started; the thread that
waited for it continues with another one, which `batches` starts.
"""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.spawn import get_command_line
from typing import TYPE_CHECKING

from taskinity_data.errors import BindError, SchedulerError, WorkerDied
from taskinity_data.execution.worker import child_main
from taskinity_data.execution.worker.failures import describe_failure
from taskinity_data.execution.worker.run_item import name_worker, peak_nbytes
from taskinity_data.execution.worker.shipping import (
    pack_items,
    pack_job,
    pack_outcome,
    unpack_value,
)
from taskinity_data.outcome import Attempt, Outcome, Status
from taskinity_data.sources.temporary import sweep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.execution.worker.job import Guard, Item, Job

__all__ = ["Child", "NotBegun", "describe_death"]

_LOOK_S = 0.05
"""How often the memory of a child is looked at: 20 µs a look."""

_FULL_SHARE = 0.8
"""From this share of its limit on, a child that was killed from outside is taken for too large."""

_START_S = 60.0
"""How long a child may take to start and to unpack its job: 0.4 s, minutes on a loaded machine with
a slow file system."""


class NotBegun(Exception):  # noqa: N818 - never leaves the pool
    """The child has gone before the item's first step."""


class Child:
    """A process that runs items until it is killed."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        ours, theirs = socket.socketpair()
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from taskinity_data.execution.worker.child_main import main; "
            f"main({theirs.fileno()}, {os.getpid()})"
        )
        command = get_command_line()  # with the options of this interpreter, such as -W and -X
        try:
            self._process = subprocess.Popen(
                [sys.executable, *command[1 : command.index("-c")], "-c", code],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**(environ or {}), **os.environ},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise SchedulerError(f"no child process can be started ({error})") from error
        finally:
            theirs.close()
        self._pipe = Connection(ours.detach())
        self._job: Job | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self.is_alive = True
        self.holds_values = False
        self._status: int | None = None
        self._peak_nbytes = 0
        # On Linux a child's own account of its peak begins with that of the process it came from.
        self._born_nbytes = peak_nbytes() or 0

    def run(
        self,
        job: Job,
        items: Sequence[Item],
        guard: Guard | None,
        blob: bytes | None,
        raises_killed: bool = False,
    ) -> list[bytes] | None:
        """Return packed outcomes and blocks of `items`, as `run_each` gives them.

        None if the child died, or took too much memory, and it can have been any of several.

        Raises
        ------
        WorkerDied
            It was killed from outside, and `raises_killed` is set.
        """
        limit = _Limit(job, items[0], guard)
        ended: list[bytes] | TimeoutError | MemoryError | WorkerDied
        try:
            with self._turn:
                self._send_job(job, blob)
                self._send(child_main.ITEMS, pack_items(items))
                ended = self._wait(limit)
        except (OSError, EOFError) as error:
            self.kill()
            if not limit.has_begun:
                raise NotBegun(self._describe()) from error
            message = f"{limit.task}: {self._describe(limit)}"
            was_full = self._peak_nbytes >= _FULL_SHARE * (limit.memory_nbytes or math.inf)
            # The system's own killer is quicker than our look.
            is_killed = self._status == -signal.SIGKILL
            ended = MemoryError(message) if is_killed and was_full else WorkerDied(message)
            if is_killed and not was_full and raises_killed:
                raise ended from None
        if isinstance(ended, list):
            return ended
        if len(items) > 1 and not isinstance(ended, TimeoutError):
            return None
        return [limit.lose(item, ended, self._peak_nbytes) for item in items]

    def load(self, job: Job, blob: bytes | None) -> None:
        """Send `job`, and wait until it is loaded there."""
        try:
            self._send_job(job, blob)
            if not self._pipe.poll(_START_S):
                self.kill()
                raise _too_late(job.task)
            if self._pipe.recv_bytes() == child_main.BROKEN:
                raise self._refuse(job.task)
        except (OSError, EOFError) as error:
            self.kill()
            raise SchedulerError(
                f"a child process ends as soon as it starts ({self._describe()})"
            ) from error

    def _refuse(self, task: str) -> BindError:
        reason = self._pipe.recv_bytes().decode()
        return BindError(f"{task} can't be unpacked in a child process: {reason}")

    def _send_job(self, job: Job, blob: bytes | None) -> None:
        if job is not self._job:
            self._send(child_main.JOB, pack_job(job) if blob is None else blob)
            self._job = job

    def _send(self, kind: bytes, blob: bytes) -> None:
        self._pipe.send_bytes(kind)
        self._pipe.send_bytes(blob)

    def _wait(self, limit: _Limit) -> list[bytes] | TimeoutError | MemoryError:
        """Return what the child sends; an error where it was ended for a limit."""
        give_up = time.monotonic() + _START_S
        while True:
            if self._pipe.poll(limit.wait_s(_LOOK_S)):
                message = self._pipe.recv_bytes()
                number = int.from_bytes(message[1:], "big")
                if message[:1] in (child_main.DONE, child_main.HOLDS):
                    self.holds_values |= message[:1] == child_main.HOLDS
                    return [self._pipe.recv_bytes() for _ in range(number)]
                if message == child_main.BROKEN:
                    raise self._refuse(limit.task)
                if message[:1] == child_main.STEP:
                    limit.begin(number)
                    self._look()
                continue
            error: TimeoutError | MemoryError | None = limit.overrun()
            rss_nbytes = self._look()
            if error is None and limit.memory_nbytes and rss_nbytes > limit.memory_nbytes:
                error = MemoryError(
                    f"{limit.task} took more memory than a worker has and was ended "
                    f"(memory: {_of(rss_nbytes, limit.memory_nbytes)})"
                )
            if error is not None:
                self.kill()
                return error
            if not limit.has_begun and time.monotonic() > give_up:
                self.kill()
                raise _too_late(limit.task)

    def start_closing(self, session_id: str) -> bool:
        """Let it close the values of that run; False if it runs something, or has died."""
        if not self._turn.acquire(blocking=False):
            return False
        try:
            self._send(child_main.CLOSE, session_id.encode())
        except OSError:
            self._turn.release()
            return False
        return True

    def end_closing(self, until_s: float) -> list[str]:
        """Wait until it has done so, and return what went wrong; it is killed where it hangs."""
        try:
            if self._pipe.poll(max(0.0, until_s - time.monotonic())):
                assert self._pipe.recv_bytes() == child_main.CLOSED
                texts: list[str] = unpack_value(self._pipe.recv_bytes())
                return texts
            self.kill()
            return ["@once: a process that did not close its values in time was killed"]
        except (OSError, EOFError):
            return []
        finally:
            self._turn.release()

    def __del__(self) -> None:
        # The pool was not closed: a worker process that ends, an executor's owner.
        if getattr(self, "is_alive", False) and sys and not sys.is_finalizing():
            self.kill()

    def _look(self) -> int:
        """Bytes that it holds now; the most that were seen are remembered."""
        import psutil

        try:
            rss_nbytes = int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0
        self._peak_nbytes = max(self._peak_nbytes, rss_nbytes)
        return rss_nbytes

    def _describe(self, limit: _Limit | None = None) -> str:
        return describe_death(
            self._status, self._peak_nbytes, limit.memory_nbytes if limit is not None else None
        )

    def kill(self) -> None:
        """End it with all that it started; from any thread, any number of times."""
        with self._lock:
            if not self.is_alive:
                return
            self.is_alive = False
            pid = self._process.pid
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            try:
                _, status, usage = os.wait4(pid, 0)
                self._status = os.waitstatus_to_exitcode(status)
                max_nbytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
                if max_nbytes > self._born_nbytes:
                    self._peak_nbytes = max(self._peak_nbytes, max_nbytes)
            except ChildProcessError:
                pass
            self._process.returncode = -signal.SIGKILL if self._status is None else self._status
        sweep()  # what it opened is in temporary directories


def _too_late(task: str) -> SchedulerError:
    return SchedulerError(f"{task}: its child process did not start within {_START_S:g} s")


class _Limit:
    """How far an item, or the first of several, has come, and until when it may go on."""

    def __init__(self, job: Job, item: Item, guard: Guard | None) -> None:
        self._job = job
        self._chain = job.chain(item.position)
        self._deadline = guard.deadline if guard else None
        self._timeout_s: float | None = None
        self._step_begun = self._begun = time.monotonic()
        self._started_s = time.time()
        self.memory_nbytes = guard.memory_nbytes if guard else None
        self.has_begun = False
        self.task = self._chain[0].task if self._chain else job.task

    def begin(self, number: int) -> None:
        """Begin the step with that number: the first with its reading, the last with all after."""
        self._step_begun = time.monotonic()
        if not self.has_begun:
            self.has_begun = True
            self._begun, self._started_s = self._step_begun, time.time()
        if self._chain:
            self.task = self._chain[number].task
            self._timeout_s = self._chain[number].timeout_s

    def wait_s(self, longest_s: float) -> float:
        """Seconds until something may be over."""
        left = [longest_s]
        if self.has_begun and self._timeout_s is not None:
            left.append(self._step_begun + self._timeout_s - time.monotonic())
        if self._deadline is not None:
            left.append(self._deadline.left_s)
        return max(0.0, min(left))

    def overrun(self) -> TimeoutError | None:
        """Return what is over, None if nothing is."""
        took_s = time.monotonic() - self._step_begun
        if self.has_begun and self._timeout_s is not None and took_s >= self._timeout_s:
            return TimeoutError(
                f"{self.task} took longer than its timeout of {self._timeout_s:g} s and was ended"
            )
        if self._deadline is not None and self._deadline.left_s <= 0:
            return TimeoutError(f"{self.task} was ended: the time of the run (run_timeout) is up")
        return None

    def lose(self, item: Item, error: BaseException, peak_nbytes: int) -> bytes:
        """Return the packed outcome of `item`, which was ended, or whose child died."""
        attempt = Attempt(
            number=item.attempt,
            started_s=self._started_s,
            duration_s=time.monotonic() - self._begun,
            worker=name_worker(),
            peak_nbytes=peak_nbytes or None,
            failure=describe_failure(error),
        )
        return pack_outcome(
            Outcome(self.task, item.key, Status.FAILED, (attempt,), nbytes=item.nbytes)
        )


def describe_death(code: int | None, peak_nbytes: int, memory_nbytes: int | None) -> str:
    """Return how a worker process died, as far as the system tells."""
    if code is None:
        how = ""
    elif code < 0:
        how = f", signal {-code}"
    else:
        how = f", exit code {code}"
    memory = f" (memory: {_of(peak_nbytes, memory_nbytes)})" if peak_nbytes else ""
    return f"worker process died{how}{memory}"


def _of(held_nbytes: int, memory_nbytes: int | None) -> str:
    """Return what is held of what there is, in one unit.

    >>> _of(2_040_109_466, 2 << 30)
    '1.9 of 2.0 GiB'
    """
    if not memory_nbytes:
        return f"{held_nbytes / 2**30:.1f} GiB"
    unit, size = ("GiB", 2**30) if memory_nbytes >= 2**30 else ("MiB", 2**20)
    return f"{held_nbytes / size:.1f} of {memory_nbytes / size:.1f} {unit}"
