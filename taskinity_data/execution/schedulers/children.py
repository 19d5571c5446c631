"""The strategy of child processes of this one, each served by a thread: `scheduler="processes"`."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.sizing import PROCESS_TARGET_S
from taskinity_data.errors import BindError, SchedulerError, TooLargeToSend, WorkerDied
from taskinity_data.execution.schedulers.base import QUEUED, Strategy
from taskinity_data.execution.split_chunks import make_guard
from taskinity_data.execution.worker.batches import ChildPool, run_items
from taskinity_data.execution.worker.result_limit import NotSendable
from taskinity_data.execution.worker.shipping import pack_job
from taskinity_data.machine import limit_results
from taskinity_data.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.outcome_block import OutcomeBlock

__all__ = ["ChildStrategy"]

_ONE_THREAD = dict.fromkeys(("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""There is a child for each core, so that each computes in one thread; as Dask starts its workers.
What the user has set stays."""


@dataclass(slots=True)
class _Loaded:
    """A job and its packed form, None if it runs in this process."""

    job: Job
    blob: bytes | None


class ChildStrategy(Strategy):
    """A pool of threads, each of which hands its items to a child process of its own.

    Parameters
    ----------
    workers, memory_nbytes : int
    began_in_threads : bool
        The run began in threads, where all of it can run: what can't be sent to a child, or comes
        back from none, runs in the threads of this pool.
    """

    name = "processes"
    crosses_processes = True
    target_s = PROCESS_TARGET_S
    can_end = True
    can_abort = True
    max_losses = 3
    workers = 1
    memory_nbytes: int | None = None

    def __init__(self, workers: int, memory_nbytes: int, *, began_in_threads: bool = False) -> None:
        self.workers = workers
        self.memory_nbytes = memory_nbytes
        self._began_in_threads = began_in_threads
        guard = make_guard(memory_nbytes)
        self._children = ChildPool(_ONE_THREAD, raises_killed=True, guard=guard)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="taskinity-child")
        self._starts: list[Future[None]] = []
        self._first: tuple[Job, _Loaded] | None = None
        self._lock = Lock()
        self._notices: list[str] = []
        self._is_gone = self._is_closed = False

    def start(self, job: Job | None = None, wake: Callable[[], None] = lambda: None) -> None:
        """Start the children, and return at once; `wake` is called as each has loaded `job`.

        Raises
        ------
        BindError
            The job can't be packed.
        """
        blob = None
        if job is not None:
            self._first = job, self._pack(job)
            job, blob = self._first[1].job, self._first[1].blob
        for _ in range(self.workers):
            # Each goes to another of the pool's threads: none of them is idle.
            self._starts.append(self._pool.submit(self._children.start, job, blob))
        for future in self._starts:
            future.add_done_callback(lambda _: wake())

    @property
    def has_started(self) -> bool:
        """Whether all children are there, or have failed to start."""
        return all(future.done() for future in self._starts)

    @property
    def failure(self) -> BaseException | None:
        """Why a child did not start, None if all did."""
        errors = (future.exception() for future in self._starts)
        return next((error for error in errors if error is not None), None)

    @property
    def is_gone(self) -> bool:
        """Whether no child can be started any more."""
        return self._is_gone

    def window(self, batch_s: float | None) -> int:  # noqa: ARG002
        """Return how many batches keep the children busy, one alone too."""
        return self.workers * (1 + QUEUED)

    def take_notices(self) -> Sequence[str]:
        """Return why jobs run in this process, each once."""
        notices, self._notices = self._notices, []
        return notices

    def load(self, job: Job) -> _Loaded:
        """Return `job`, packed where it can be."""
        if self._first is not None and self._first[0] is job:
            return self._first[1]
        try:
            return self._pack(job)
        except BindError:
            if job.is_timed or not self._began_in_threads:
                raise
            return _Loaded(job, None)

    def _pack(self, job: Job) -> _Loaded:
        limited = replace(job, max_nbytes=limit_results(self.memory_nbytes))
        return _Loaded(limited, pack_job(limited))

    def submit(self, loaded: _Loaded, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Queue `items` for one thread and its child."""
        return self._pool.submit(self._run, loaded, items)

    def _run(
        self, loaded: _Loaded, items: Sequence[Item]
    ) -> list[Outcome | OutcomeBlock | BaseException]:
        if loaded.blob is None:
            return run_items(loaded.job, items, self._children)
        ended = run_items(loaded.job, items, self._children, loaded.blob)
        errors = [error for error in map(_find_error, ended) if error is not None]
        if not errors or self._is_closed:
            return ended
        if self._began_in_threads and not loaded.job.is_timed:
            with self._lock:
                if loaded.blob is not None:
                    loaded.blob = None
                    self._notices.append(f"{loaded.job.task} runs in threads again: {errors[0]}")
            return run_items(loaded.job, items, self._children)
        for error in errors:
            if isinstance(error, SchedulerError):
                self._is_gone = True
                raise SchedulerError(
                    f'no child process could be started ({error}); run with scheduler="threads", '
                    "or see taskinity-data doctor for the limits of this machine"
                ) from error
        return ended

    def close_values(self, session_id: str) -> list[str]:
        """Let the children do so."""
        return self._children.close_values(session_id)

    def abort(self) -> bool:
        """Kill the children and what runs in them."""
        self._is_closed = True
        self._children.close()
        return True

    def close(self) -> None:
        """End the children, and what runs in them."""
        self.abort()
        self._pool.shutdown(wait=self.waits, cancel_futures=True)


def _find_error(ended: Outcome | OutcomeBlock | BaseException) -> BaseException | None:
    """Return what kept an item from a child, or its result from this process; None if nothing."""
    if isinstance(ended, Outcome):
        error = None if ended.failure is None else ended.failure.error
        return error if isinstance(error, NotSendable | TooLargeToSend) else None
    return ended if isinstance(ended, BaseException) and not isinstance(ended, WorkerDied) else None
