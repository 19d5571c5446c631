"""The child processes of one process, one for each of its threads, reused.

What a child needs is loaded with the first of them: most runs start none.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from taskinity_data.errors import SchedulerError

if TYPE_CHECKING:
    from taskinity_data.execution.worker.child_process import Child
    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["ChildPool"]


class ChildPool:
    """The children of one process, one for each of its threads; any thread may close it."""

    def __init__(self) -> None:
        self._here = threading.local()
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._is_closed = False

    def run(self, job: Job, item: Item, blob: bytes | None = None) -> bytes:
        """Return the packed outcome of `item`, run in this thread's child; `blob` is `job`, packed.

        Raises
        ------
        BindError
            The job can't be sent to another process.
        SchedulerError
            No child can be started, or the pool is closed.
        """
        from taskinity_data.execution.worker.child_process import NotBegun

        for is_second in (False, True):
            child = self._child()
            try:
                return child.run(job, item, blob)
            except NotBegun as gone:
                # It had ended by itself, or was ended from outside, before the item began.
                self._forget(child)
                if is_second:
                    raise SchedulerError(
                        f"a child process ends as soon as it starts ({gone})"
                    ) from None
            finally:
                if not child.is_alive:
                    self._forget(child)
        raise AssertionError

    def start(self, job: Job, blob: bytes) -> None:
        """Start this thread's child, and return once it has loaded `job`, which `blob` holds.

        Raises
        ------
        BindError, SchedulerError
            As in `run`.
        """
        child = self._child()
        try:
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

        made = Child()
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

    def close(self) -> None:
        """End all children, and what runs in them."""
        with self._lock:
            self._is_closed = True
            children = list(self._children)
            self._children.clear()
        for child in children:
            child.kill()
