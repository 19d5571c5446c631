"""The strategy of child processes of this one: no Dask, no dashboard, there in half a second."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.sizing import PROCESS_TARGET_S
from taskinity_data.errors import BindError
from taskinity_data.execution.schedulers.base import Strategy
from taskinity_data.execution.split_chunks import make_guard
from taskinity_data.execution.worker.batches import run_items
from taskinity_data.execution.worker.child_pool import ChildPool
from taskinity_data.execution.worker.result_limit import limit_results
from taskinity_data.execution.worker.shipping import pack_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["ChildStrategy"]


class _Loaded(NamedTuple):
    """A job and its packed form, None where it can't be packed."""

    job: Job
    blob: bytes | None


class ChildStrategy(Strategy):
    """A pool of threads, each of which hands its items to a child process of its own.

    A job that can't be packed runs in the threads themselves: the run began in threads, where it
    may.
    """

    name = "processes"
    crosses_processes = True
    target_s = PROCESS_TARGET_S
    can_end = True
    can_abort = True
    workers = 1
    memory_nbytes: int | None = None

    def __init__(self, workers: int, memory_nbytes: int) -> None:
        self.workers = workers
        self.memory_nbytes = memory_nbytes
        self._children = ChildPool()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="taskinity-child")
        self._starts: list[Future[None]] = []
        self._first: tuple[Job, _Loaded] | None = None

    def start(self, job: Job, wake: Callable[[], None]) -> None:
        """Start the children with `job` loaded, and return at once; `wake` is called as each is up.

        Raises
        ------
        BindError
            The job can't be packed.
        """
        limited = replace(job, max_nbytes=limit_results(self.memory_nbytes))
        blob = pack_job(limited)
        self._first = job, _Loaded(limited, blob)
        for _ in range(self.workers):
            # Each goes to another of the pool's threads: none of them is idle.
            self._starts.append(self._pool.submit(self._children.start, limited, blob))
        for future in self._starts:
            future.add_done_callback(lambda _: wake())

    @property
    def has_started(self) -> bool:
        """Whether all children are there, or have failed to start."""
        return all(future.done() for future in self._starts)

    @property
    def failure(self) -> BaseException | None:
        """Why a child did not start, None where all did."""
        errors = (future.exception() for future in self._starts)
        return next((error for error in errors if error is not None), None)

    def load(self, job: Job) -> _Loaded:
        """Return `job`, packed where it can be."""
        if self._first is not None and self._first[0] is job:
            return self._first[1]
        limited = replace(job, max_nbytes=limit_results(self.memory_nbytes))
        try:
            return _Loaded(limited, pack_job(limited))
        except BindError:
            if job.is_timed:
                raise
            return _Loaded(limited, None)

    def submit(self, loaded: _Loaded, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Queue `items` for one thread and its child."""
        if loaded.blob is not None:
            guard = make_guard(self.memory_nbytes)
            items = [item if item.guard else replace(item, guard=guard) for item in items]
        return self._pool.submit(run_items, loaded.job, items, self._children, loaded.blob)

    def abort(self) -> bool:
        """Kill the children and what runs in them."""
        self._children.close()
        return True

    def close(self) -> None:
        """End the children, and what runs in them."""
        self._children.close()
        self._pool.shutdown(wait=self.waits, cancel_futures=True)
