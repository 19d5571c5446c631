"""Who runs items: this thread, a pool of threads, any executor. Dask stands in `connect`.

Each strategy takes batches of items for a job and hands back futures whose results are outcomes;
none of them knows of flows, plans, retries or reducers.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from taskinity_data.errors import BindError, PlanError, SchedulerError
from taskinity_data.execution.worker.batches import run_items, run_parcel
from taskinity_data.execution.worker.child_process import ChildPool
from taskinity_data.execution.worker.result_limit import limit_results
from taskinity_data.execution.worker.run_item import run_item
from taskinity_data.execution.worker.shipping import pack_items, pack_job, unpack_outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.worker.run_item import Item, Job
    from taskinity_data.outcome import Outcome

__all__ = [
    "ExecutorStrategy",
    "Pending",
    "Strategy",
    "SynchronousStrategy",
    "ThreadStrategy",
    "check_timeouts",
]


class Pending(Protocol):
    """A batch on its way: the part of a future's face that the driver uses."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> None:
        """Call `fn` with this future when it is done; from any thread."""


class Strategy(Protocol):
    """Who runs items, and how many at once.

    The executor contract suite says what each must keep to. `crosses_processes` tells that jobs
    and results are pickled on the way. One whose `can_end` is missing or False runs no item in a
    child process, so that no timeout can be kept; one with an `abort` can end all that runs. One
    with a `can_send` may have jobs that can't go to a child: a timeout refuses them, while a run's
    end is then looked at between chunks alone.
    """

    @property
    def name(self) -> str:
        """As the user would write it: ``"threads"``, ``"processes"``, an address."""

    @property
    def workers(self) -> int:
        """Items that can run at the same time, by now."""

    @property
    def memory_nbytes(self) -> int | None:
        """What one worker may use, None where nobody said."""

    @property
    def dashboard_link(self) -> str | None:
        """Where Dask shows what happens, None without Dask."""

    @property
    def crosses_processes(self) -> bool:
        """Whether items run in other processes than this one."""

    def check(self, paths: Sequence[str]) -> None:
        """Raise `SchedulerError` where a worker lacks the library or can't see `paths`."""

    def load(self, job: Job) -> Any:
        """`job` made ready to be run often; what it returns goes into `submit`."""

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Pending:
        """Start `items` together under the name `key`; returns at once."""

    def collect(
        self, pending: Sequence[Any]
    ) -> list[list[Outcome | BaseException] | BaseException]:
        """What finished batches brought: outcomes in the items' order, or why there are none."""

    def cancel(self, pending: Sequence[Any]) -> None:
        """Give up what has not started; what runs may go on until `close`."""

    def close(self) -> None:
        """Release all that this strategy started, and nothing that it was given."""


def check_timeouts(job: Job, strategy: Strategy) -> None:
    """Raise `PlanError` where `job` has a time limit that `strategy` can't keep."""
    if job.is_timed and not getattr(strategy, "can_end", False):
        raise PlanError(
            f"{job.task}: a timeout can't be kept with scheduler={strategy.name!r}, where nothing "
            'can end a function that hangs; use "threads" or "processes", or leave timeout out'
        )


def _collect(pending: Sequence[Future[Any]]) -> list[Any]:
    found: list[Any] = []
    for future in pending:
        try:
            found.append(future.result())
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            found.append(error)
    return found


class SynchronousStrategy:
    """Everything here and now, in the calling thread: for debuggers and small tests."""

    name = "synchronous"
    workers = 1
    dashboard_link = None
    crosses_processes = False

    def __init__(self, memory_nbytes: int | None = None) -> None:
        self.memory_nbytes = memory_nbytes

    def check(self, paths: Sequence[str]) -> None:
        """Nothing to check: this process planned the files."""

    def load(self, job: Job) -> Job:
        """`job` itself."""
        return job

    def submit(self, loaded: Job, items: Sequence[Item], key: str) -> Future[list[Outcome]]:  # noqa: ARG002
        """Run `items` before returning."""
        future: Future[list[Outcome]] = Future()
        future.set_result([run_item(loaded, item) for item in items])
        return future

    def collect(self, pending: Sequence[Future[list[Outcome]]]) -> list[Any]:
        """The outcomes."""
        return _collect(pending)

    def cancel(self, pending: Sequence[Any]) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing was started."""


class _Sending:
    """Knows which jobs can be sent to a child process of this one."""

    crosses_processes = False

    def __init__(self) -> None:
        self._nursery = ChildPool()
        self._sent: tuple[Job, bool] | None = None

    def can_send(self, job: Job) -> bool:
        """Whether `job` can go to a child process; found out once."""
        if self.crosses_processes:
            return True
        if self._sent is None or self._sent[0] is not job:
            try:
                pack_job(job)
                self._sent = job, True
            except BindError:
                self._sent = job, False
        return self._sent[1]


class ThreadStrategy(_Sending):
    """A pool of threads in this process; items with a guard run in a child process of each."""

    name = "threads"
    dashboard_link = None
    can_end = True

    def __init__(self, workers: int, memory_nbytes: int | None = None) -> None:
        super().__init__()
        self.workers = workers
        self.memory_nbytes = memory_nbytes
        self.waits = True
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="taskinity")

    def check(self, paths: Sequence[str]) -> None:
        """Nothing to check: this process planned the files."""

    def load(self, job: Job) -> Job:
        """`job` itself, once it is known that it can go where its time limit needs it."""
        if job.is_timed:
            pack_job(job, "leave timeout out")
        # For those of its items that run in a child.
        return replace(job, most_nbytes=limit_results(self.memory_nbytes))

    def submit(self, loaded: Job, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Queue `items` for one thread."""
        return self._pool.submit(run_items, loaded, items, self._nursery)

    def collect(self, pending: Sequence[Future[Any]]) -> list[Any]:
        """The outcomes."""
        return _collect(pending)

    def cancel(self, pending: Sequence[Future[Any]]) -> None:
        """Take what no thread has begun out of the queue."""
        for future in pending:
            future.cancel()

    def close(self) -> None:
        """Wait for what runs in threads (where `waits` is set), end what runs in children."""
        self._nursery.close()
        self._pool.shutdown(wait=self.waits, cancel_futures=True)


class ExecutorStrategy(_Sending):
    """Any `concurrent.futures.Executor` that the user has; never shut down here."""

    dashboard_link = None
    can_end = True

    def __init__(
        self, executor: Executor, workers: int | None = None, memory_nbytes: int | None = None
    ) -> None:
        super().__init__()
        self._executor = executor
        self.name = type(executor).__name__
        size = getattr(executor, "_max_workers", None)
        size = size if isinstance(size, int) else os.cpu_count() or 1
        self.workers = workers or size
        self.queues = self.workers >= size
        self.memory_nbytes = memory_nbytes
        self.crosses_processes = not isinstance(executor, ThreadPoolExecutor)

    def check(self, paths: Sequence[str]) -> None:
        """Nothing can be asked of an executor; a batch that fails says why."""

    def load(self, job: Job) -> Any:
        """`job`, packed where it has to cross processes."""
        job = replace(job, most_nbytes=limit_results(self.memory_nbytes))
        return pack_job(job) if self.crosses_processes else job

    def submit(self, loaded: Any, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Queue `items` as one call."""
        try:
            if self.crosses_processes:
                return self._executor.submit(run_parcel, loaded, pack_items(items))
            return self._executor.submit(run_items, loaded, items, self._nursery)
        except RuntimeError as error:  # shut down, or broken by a process that died
            raise SchedulerError(f"{self.name} takes no more work: {error}") from error

    def collect(self, pending: Sequence[Future[Any]]) -> list[Any]:
        """The outcomes, unpacked."""
        found = _collect(pending)
        if not self.crosses_processes:
            return found
        return [
            batch if isinstance(batch, BaseException) else unpack_outcomes(batch) for batch in found
        ]

    def cancel(self, pending: Sequence[Future[Any]]) -> None:
        """Take what has not begun out of the queue."""
        for future in pending:
            future.cancel()

    def close(self) -> None:
        """Leave the executor to its owner, without children."""
        self._nursery.close()
