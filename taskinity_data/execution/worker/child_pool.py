"""The child processes of one process, one for each of its threads, reused.

What a child needs is loaded with the first of them: most runs start none.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from taskinity_data.errors import SchedulerError
from taskinity_data.execution.worker.run_item import MAX_BATCH_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.execution.worker.child_process import Child
    from taskinity_data.execution.worker.job import Item, Job

__all__ = ["CLOSE_S", "ChildPool"]

CLOSE_S = 10.0
"""How long the values of a run may take to be closed: longer than a transaction that is committed,
and an end where it hangs."""


_STARTS = 5
"""How often a child is started for the same items: some may be killed from outside meanwhile."""


class ChildPool:
    """The children of one process, one for each of its threads; any thread may close it.

    Parameters
    ----------
    environ : mapping, optional
        Variables that children have where this process has none of their names.
    raises_killed : bool
        Raise `WorkerDied` for what runs in a child that is killed from outside: it is to run again.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, *, raises_killed: bool = False
    ) -> None:
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
                return child.run(job, items, blob, self._raises_killed)
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
