"""Strategies that run items: the base class, this thread, and a pool of threads.

Each strategy takes batches of items for a job and returns futures whose results are outcomes.
Dask's is in `dask`, that of any executor in `executor`; `connect` opens them.
"""

from __future__ import annotations

import sys
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskinity_data.chunks.sizing import TARGET_S
from taskinity_data.errors import BindError, PlanError
from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.next_chunk import ThreadQueue
from taskinity_data.execution.worker.run_item import run_each
from taskinity_data.execution.worker.thread_time import ThreadTime, add_queued_seconds
from taskinity_data.machine import limit_results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from distributed import Client

    from taskinity_data.execution.worker.job import Item, Job

__all__ = [
    "QUEUED",
    "NotRun",
    "Pending",
    "SendingStrategy",
    "Strategy",
    "SynchronousStrategy",
    "ThreadStrategy",
    "WorkerRow",
    "check_timeouts",
    "current_client",
]


QUEUED = 1
"""Batches that wait behind the running ones, a worker: enough that none runs dry while the driver
is busy (a task's way to a worker and back takes about 5 ms), and no more, because queued chunks
can't be re-sized."""


class NotRun(Exception):  # noqa: N818 - no failure: it tells nothing of the items
    """A batch came to a worker that can't run it, and is to be submitted again."""


class WorkerRow(NamedTuple):
    """A worker of a cluster: times since the epoch, None if it is there still."""

    name: str
    host: str
    joined_s: float
    left_s: float | None = None
    chunks: int = 0
    reason: str = ""


class Pending(Protocol):
    """A batch on its way: what the driver uses of a future."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> None:
        """Call `fn` with this future when it is done; from any thread."""


class Strategy(ABC):
    """Who runs items, and how many at once; the executor contract suite says what each must keep.

    What only some can do has a default here: that it can't.
    """

    priority = 0
    """Of the run's tasks among others on a Dask cluster; the highest go first."""

    crosses_processes = False
    """Whether items run in other processes than this one, so that jobs and results are pickled."""

    target_s = TARGET_S
    """How long a chunk should take."""

    first_parts = 1
    """In how many parts of the first size data are cut until a chunk has ended."""

    can_end = False
    """Whether an item can run in a child process: only then a timeout can be kept."""

    max_losses = 10
    """So often an item may lose its worker to what comes from outside: more than an unlucky one
    does whose workers are killed one after another, and an end for one that kills them itself."""

    can_abort = False
    """Whether `abort` ends what runs."""

    waits = True
    """Whether `close` waits for what still runs in threads of this process."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As the user would write it: ``"threads"``, ``"processes"``, an address."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """Items that can run at the same time, on a cluster that grows once it has grown."""

    @property
    def memory_nbytes(self) -> int | None:
        """What one worker may use, None if that is unknown."""
        return None

    @property
    def queues(self) -> bool:
        """Whether what is submitted beyond `workers` waits for one of them."""
        return True

    def window(self, batch_s: float | None) -> int:  # noqa: ARG002
        """Return how many batches it is to have at once.

        `batch_s` is how long one takes on a worker, None as long as none has ended.
        """
        workers = self.workers
        return workers * (1 + QUEUED) if workers > 1 and self.queues else workers

    @property
    def is_gone(self) -> bool:
        """Whether nothing more will come from there."""
        return False

    @property
    def worker_rows(self) -> Sequence[WorkerRow]:
        """Its workers, those that have left too; empty if it has none of its own."""
        return ()

    def take_notices(self) -> Sequence[str]:
        """Return what the user should know of its workers, each once."""
        return ()

    @property
    def client(self) -> Any:
        """The Dask client, None without Dask."""
        return None

    @property
    def dashboard_link(self) -> str | None:
        """Where Dask shows what happens, None without Dask."""
        return None

    @property
    def has_resources(self) -> bool:
        """Whether its workers may have resources, of which `offers` knows."""
        return False

    def offers(self, resources: Mapping[str, float]) -> bool:  # noqa: ARG002
        """Return whether a worker has all of `resources`."""
        return False

    def check(self, paths: Sequence[str]) -> None:  # noqa: B027 - few have anything to check
        """Raise `SchedulerError` if a worker lacks the library or can't see `paths`.

        Nothing is to be checked in this process, which planned the files; an executor can't be
        asked.
        """

    @abstractmethod
    def load(self, job: Job) -> Any:
        """Return `job` made ready to be run often, as `submit` takes it."""

    @abstractmethod
    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Pending:
        """Start `items` together under the name `key`, and return at once."""

    def submit_all(self, loaded: Any, batches: Mapping[str, Sequence[Item]]) -> Sequence[Pending]:
        """Start the items of each of `batches` together, under its name, and return at once."""
        return [self.submit(loaded, items, key) for key, items in batches.items()]

    def collect(self, pending: Sequence[Any]) -> list[Any]:
        """Return what finished batches brought: outcomes in the items' order, or an exception.

        A `NotRun` lets the batch be submitted again.
        """
        results: list[Any] = []
        for future in pending:
            try:
                results.append(future.result())
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                results.append(error)
        return results

    def can_send(self, job: Job) -> bool:  # noqa: ARG002
        """Return whether `job` can go to a child process."""
        return True

    def find_lost(self, pending: Sequence[Any]) -> Sequence[Any]:  # noqa: ARG002
        """Return those of `pending` that have been lost without a word."""
        return ()

    def cancel(self, pending: Sequence[Any]) -> None:
        """Give up what has not started; what runs may go on until `close`."""
        for future in pending:
            future.cancel()

    def abort(self) -> bool:
        """End all that runs, and return whether that could be done."""
        return False

    def close_values(self, session_id: str) -> Sequence[str]:  # noqa: ARG002
        """Close what other processes have made for that run by ``@td.once``.

        Returns what went wrong.
        """
        return ()

    @abstractmethod
    def close(self) -> None:
        """Release all that this strategy started, and nothing that it was given."""


def check_timeouts(job: Job, strategy: Strategy) -> None:
    """Raise `PlanError` if `job` has a time limit that `strategy` can't keep."""
    if job.is_timed and not strategy.can_end:
        raise PlanError(
            f"{job.task}: a timeout is not supported with scheduler={strategy.name!r}, which can't "
            'end a function that hangs; use "threads" or "processes", or leave timeout out'
        )


class SynchronousStrategy(Strategy):
    """Everything here and now, in the calling thread: for debuggers and small tests."""

    name = "synchronous"
    workers = 1
    memory_nbytes: int | None = None

    def __init__(self, memory_nbytes: int | None = None) -> None:
        self.memory_nbytes = memory_nbytes

    def load(self, job: Job) -> Job:
        """Return `job` itself."""
        return job

    def submit(self, loaded: Job, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Run `items` before returning."""
        future: Future[Any] = Future()
        future.set_result(run_each(loaded, items))
        return future

    def close(self) -> None:
        """Do nothing: nothing was started."""


class SendingStrategy(Strategy):
    """Knows which jobs can be sent to a child process of this one."""

    can_end = True
    workers = 1
    memory_nbytes: int | None = None

    def __init__(self) -> None:
        self._children = ChildPool()
        self._sent: tuple[Job, bool] | None = None

    def close_values(self, session_id: str) -> list[str]:
        """Let the children do so."""
        return self._children.close_values(session_id)

    def can_send(self, job: Job) -> bool:
        """Return whether `job` can go to a child process; found out once."""
        if self.crosses_processes:
            return True
        if self._sent is None or self._sent[0] is not job:
            from taskinity_data.execution.worker.shipping import pack_job

            try:
                pack_job(job)
                self._sent = job, True
            except BindError:
                self._sent = job, False
        return self._sent[1]


class ThreadStrategy(SendingStrategy):
    """A pool of threads in this process; items with a guard run in a child process of each."""

    name = "threads"

    def __init__(self, workers: int, memory_nbytes: int | None = None) -> None:
        super().__init__()
        self.workers = workers
        self.memory_nbytes = memory_nbytes
        self._cpu_before_s = time.process_time() - time.thread_time()
        self._queue = ThreadQueue(workers)
        threads: list[threading.Thread] = []
        self._threads = threads
        self._pool = ThreadPoolExecutor(
            workers,
            thread_name_prefix="taskinity",
            initializer=lambda: threads.append(threading.current_thread()),
        )

    def window(self, batch_s: float | None) -> int:
        """Return how many batches it is to have at once: one waits that a thread can read ahead."""
        return (
            super().window(batch_s) if self._queue.growth is None else self.workers * (1 + QUEUED)
        )

    @property
    def used(self) -> ThreadTime:
        """What this process has had of the machine so far, without the thread that asks.

        Libraries compute in threads of their own, for which those of the pool wait.
        """
        cpu_s = time.process_time() - time.thread_time() - self._cpu_before_s
        return ThreadTime(cpu_s, add_queued_seconds(tuple(self._threads)))

    def load(self, job: Job) -> Job:
        """Return `job` itself, once it is known that it can go where its time limit needs it."""
        if job.is_timed:
            from taskinity_data.execution.worker.shipping import pack_job

            pack_job(job, "leave timeout out")
        # For those of its items that run in a child.
        return replace(job, max_nbytes=limit_results(self.memory_nbytes))

    def submit(self, loaded: Job, items: Sequence[Item], key: str) -> Future[Any]:
        """Queue `items` for one thread."""
        batch = self._queue.add(key, loaded, items[0])
        return self._pool.submit(run_items, loaded, items, self._children, None, batch)

    def close(self) -> None:
        """Wait for what runs in threads (where `waits` is set), end what runs in children."""
        self._children.close()
        self._pool.shutdown(wait=self.waits, cancel_futures=True)


def current_client() -> Client | None:
    """Return the current Dask client, None if there is none; loads nothing."""
    module = sys.modules.get("distributed")
    if module is None:
        return None
    try:
        client: Client = module.client.default_client()
    except ValueError:
        return None
    return None if client.asynchronous or not _has_loop(client) else client


def _has_loop(client: Client) -> bool:
    """Return whether the thread of `client`'s loop lives: a forked process does not have it."""
    loop = getattr(client.loop, "asyncio_loop", None)
    ident = getattr(loop, "_thread_id", None)
    return any(thread.ident == ident for thread in threading.enumerate())
