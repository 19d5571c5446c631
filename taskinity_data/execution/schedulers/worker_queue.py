"""The batches of a job that wait on a Dask worker, which reads ahead for them."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

from taskinity_data.execution.worker.next_chunk import BatchQueue, QueuedBatch
from taskinity_data.execution.worker.shipping import unpack_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.execution.worker.shipping import Parcel

__all__ = ["find_batch"]

KEEP_S = 60.0
"""After so long a chunk that was read ahead is dropped: its batch is not coming here any more."""

LOOK_S = 0.005
"""Where no batch waits yet, since the scheduler learns only now that one has started, the worker
looks again after that time, then twice that, and so on."""


class _WorkerQueue(BatchQueue):
    """The batches of `job` on a Dask worker: tasks whose keys begin with `prefix`."""

    def __init__(self, worker: Any, job: Job, prefix: str) -> None:
        super().__init__(worker.state.nthreads)
        self._worker, self._job, self._prefix = worker, job, prefix

    def read_next(self, growth: float) -> bool:
        """Let the worker's loop, which changes the queue, look for a chunk that waits."""
        self._worker.loop.add_callback(self._look, growth, LOOK_S)
        return True

    def _look(self, growth: float, wait_s: float) -> None:
        before = set(self._ahead)
        if not super().read_next(growth) and self._worker.state.executing and wait_s < KEEP_S:
            self._worker.loop.call_later(wait_s, self._look, growth, 2 * wait_s)
        for name in set(self._ahead) - before:
            self._worker.loop.call_later(KEEP_S, self._ahead.pop, name, None)

    def _waiting(self) -> Iterator[tuple[str, Job, Item]]:
        for task in self._worker.state.ready.sorted():
            if str(task.key).rpartition("-")[0] == self._prefix:
                yield task.key, self._job, _unpack(task.run_spec)[0]


def find_batch(worker: Any, parcel: Parcel) -> QueuedBatch:
    """Return the batch that runs in this thread of a Dask worker."""
    name = worker.get_current_task()
    if parcel.queue is None:
        parcel.queue = _WorkerQueue(worker, parcel.unpack(), name.rpartition("-")[0])
    return QueuedBatch(parcel.queue, name)


class _ItemsOfCall(pickle.Unpickler):
    """Takes the items out of what `pack_call` made, and calls nothing of it."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:  # noqa: ARG002
        return (lambda _, items_blob: items_blob) if name == "call" else (lambda _: None)


def _unpack(task: Any) -> Sequence[Item]:
    """Return the items of a batch that waits: a call in one piece, or a function and its last
    argument.
    """
    blob = task.args[-1]
    return unpack_items(
        _ItemsOfCall(io.BytesIO(blob)).load() if task.func is pickle.loads else blob
    )
