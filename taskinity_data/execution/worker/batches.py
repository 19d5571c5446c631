"""Runs a batch of items where a worker is: here, or those with a guard in a child process.

What a child needs is loaded with the first of them: most runs start none.
"""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import SchedulerError, TaskinityDataError
from taskinity_data.execution.worker.captured_logs import lower_level
from taskinity_data.execution.worker.job import ItemColumns
from taskinity_data.execution.worker.run_item import MAX_BATCH_S, run_each
from taskinity_data.flow import once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.execution.worker.child_process import Child
    from taskinity_data.execution.worker.job import Guard, Item, Job
    from taskinity_data.execution.worker.next_chunk import QueuedBatch
    from taskinity_data.execution.worker.shipping import Parcel
    from taskinity_data.outcome import Outcome
    from taskinity_data.outcome_block import OutcomeBlock

__all__ = ["CLOSE_S", "ChildPool", "close_on_worker", "holds_values", "run_items", "run_parcel"]

_DASK_TRIMS = "65536"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

CLOSE_S = 10.0
"""How long the values of a run may take to be closed: longer than a transaction that is committed,
and an end where it hangs."""

_STARTS = 10
"""How often a child is started for the same items: some may be killed from outside meanwhile."""


class ChildPool:
    """The children of one process, one for each of its threads; any thread may close it.

    Parameters
    ----------
    environ : mapping, optional
        Variables that children have where this process has none of their names.
    raises_killed : bool
        Raise `WorkerDied` for what runs in a child that is killed from outside: it is to run again.
    guard : Guard, optional
        Of items without one of their own.
    """

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        raises_killed: bool = False,
        guard: Guard | None = None,
    ) -> None:
        self.guard = guard
        self._environ = environ
        self._raises_killed = raises_killed
        self._here = threading.local()
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._is_closed = False

    def run(self, job: Job, items: Sequence[Item], blob: bytes | None = None) -> list[bytes]:
        """Return packed outcomes and blocks of `items`, run in this thread's child.

        `blob` is `job`, packed. Where a child dies of one of several items, or takes too much
        memory, they run again one by one. Those are left out that would begin after `MAX_BATCH_S`.

        Raises
        ------
        BindError
            The job can't be sent to another process.
        SchedulerError
            No child can be started, or the pool is closed.
        WorkerDied
            The child was killed from outside, and the pool `raises_killed`.
        """
        until_s = time.monotonic() + MAX_BATCH_S
        ended = self._run(job, items, blob)
        if ended is not None:
            return ended
        ended = []
        for item in items:
            ended += self._run(job, [item], blob) or ()
            if time.monotonic() > until_s:
                break
        return ended

    def _run(self, job: Job, items: Sequence[Item], blob: bytes | None) -> list[bytes] | None:
        from taskinity_data.execution.worker.child_process import NotBegun

        for tries_left in reversed(range(_STARTS)):
            child = self._child()
            try:
                guard = items[0].guard or self.guard
                return child.run(job, items, guard, blob, self._raises_killed)
            except NotBegun as gone:
                # It had ended by itself, or was ended from outside, before the item began.
                self._forget(child)
                if not tries_left:
                    raise SchedulerError(
                        f"a child process ends as soon as it starts ({gone})"
                    ) from None
            finally:
                if not child.is_alive:
                    self._forget(child)
        raise AssertionError

    def start(self, job: Job | None = None, blob: bytes | None = None) -> None:
        """Start this thread's child, and return once it has loaded `job`, which `blob` holds.

        Raises
        ------
        BindError, SchedulerError
            As in `run`.
        """
        child = self._child()
        try:
            if job is not None:
                child.load(job, blob)
        finally:
            if not child.is_alive:
                self._forget(child)

    def _child(self) -> Child:
        child: Child | None = getattr(self._here, "child", None)
        if child is not None and child.is_alive:
            return child
        with self._lock:
            if self._is_closed:
                raise SchedulerError("the run has ended")
        from taskinity_data.execution.worker.child_process import Child

        made = Child(self._environ)
        with self._lock:
            self._children.add(made)
            is_closed = self._is_closed
        if is_closed:
            made.kill()
        self._here.child = made
        return made

    def _forget(self, child: Child) -> None:
        child.kill()
        with self._lock:
            self._children.discard(child)

    @property
    def holds_values(self) -> bool:
        """Whether a child has had values of ``@td.once``."""
        return any(child.holds_values for child in tuple(self._children))

    def close_values(self, session_id: str) -> list[str]:
        """Let children that are idle close the values of that run; return what went wrong."""
        with self._lock:
            holders = [child for child in self._children if child.holds_values]
        closing = [child for child in holders if child.start_closing(session_id)]
        until_s = time.monotonic() + CLOSE_S
        return [text for child in closing for text in child.end_closing(until_s)]

    def close(self) -> None:
        """End all children, and what runs in them."""
        with self._lock:
            self._is_closed = True
            children = list(self._children)
            self._children.clear()
        for child in children:
            child.kill()


_children = ChildPool()
"""The children of a worker process. They end with it, and by themselves when they idle."""


@cache
def keep_freed_memory() -> bool:
    """Let this process keep 128 MiB of what it frees, where Dask has set that it keeps nothing.

    Its nannies have each freed block given back to the system, so that each chunk gets the memory
    of the one before page by page: a fifth of the CPU of a chunk that is only read and grouped.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") != _DASK_TRIMS:
        return False
    try:
        from ctypes import CDLL

        set_option = CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # not glibc
    return bool(
        set_option(_M_MMAP_THRESHOLD, 32 << 20) and set_option(_M_TRIM_THRESHOLD, 128 << 20)
    )


def run_items(
    job: Job,
    items: Sequence[Item],
    children: ChildPool,
    blob: bytes | None = None,
    batch: QueuedBatch | None = None,
) -> list[Outcome | OutcomeBlock | BaseException]:
    """Return the outcomes of `items`, in their order: see `run_each`.

    An error stands for one that can't be run. `blob` is `job`, packed, where it is to run in
    `children` that have a guard for all items.
    """
    guard = None if blob is None else children.guard
    ended: list[Outcome | OutcomeBlock | BaseException] = []
    for part in _divide(job, items, guard):
        if guard is None and part[0].guard is None:
            ended += run_each(job, part, batch=batch)
            continue
        from taskinity_data.execution.worker.shipping import unpack_outcomes

        try:
            ended += unpack_outcomes(children.run(job, part, blob))
        except TaskinityDataError as error:
            ended += [error] * len(part)
    return ended


def run_parcel(
    packed: bytes | Parcel, items_blob: bytes, batch: QueuedBatch | None = None
) -> list[bytes | BaseException]:
    """Run packed items on a worker: see `run_items`. Each outcome or block is packed alone.

    An outcome whose value can't be pickled becomes that item's failure.
    """
    from taskinity_data.execution.worker.shipping import (
        Parcel,
        pack_ended,
        unpack_items,
        unpack_job,
    )

    keep_freed_memory()
    job = packed.unpack() if isinstance(packed, Parcel) else unpack_job(packed)
    blob = packed.blob if isinstance(packed, Parcel) else packed
    outcomes: list[bytes | BaseException] = []
    with lower_level(job.log_level):
        for part in _divide(job, unpack_items(items_blob)):
            if part[0].guard is None:
                ended = run_each(job, part, restores=True, batch=batch)
                outcomes += pack_ended(ended, part, job.max_nbytes)
                continue
            try:
                outcomes += _children.run(job, part, blob)
            except TaskinityDataError as error:
                outcomes += [error] * len(part)
    return outcomes


def holds_values(packed: Parcel) -> bool:
    """Return whether this worker, or a child of it, has values of the run of a packed job."""
    return once.holds_values(packed.unpack().session_id) or _children.holds_values


async def close_on_worker(session_id: str, dask_worker: Any) -> list[str]:
    """Close what this Dask worker has made for that run, and return what went wrong."""
    from asyncio import get_running_loop

    # In a thread of its tasks: where it has one alone, that is the one that made them. Tasks that
    # were cancelled may run there for long.
    executor = None if dask_worker.state.executing else dask_worker.executors["default"]
    loop = get_running_loop()
    texts = await loop.run_in_executor(executor, once.close_values, session_id)
    return texts + await loop.run_in_executor(executor, _children.close_values, session_id)


def _divide(
    job: Job, items: Sequence[Item], guard: Guard | None = None
) -> Iterator[Sequence[Item]]:
    """Yield items that run together, until the batch has taken too long.

    Suspects, and items with a time limit of their own, are alone. `run_each`, which looks at the
    time too, begins later, so that where it ends early this does.
    """
    until_s = time.monotonic() + MAX_BATCH_S
    if isinstance(items, ItemColumns) and not (guard is not None and job.is_timed):
        yield items
        return

    def divide(item: Item) -> tuple[bool, bool]:
        is_guarded = guard is not None or item.guard is not None
        return is_guarded, is_guarded and (job.is_timed or item.is_suspect)

    for (_, is_alone), group in groupby(items, divide):
        for part in ([item] for item in group) if is_alone else (list(group),):
            yield part
            if time.monotonic() > until_s:
                return
