"""Reads chunks in a child process, so that a file which kills its reader kills only that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import TaskinityDataError
from taskinity_data.execution.worker.child_pool import ChildPool
from taskinity_data.execution.worker.job import Guard, Item, Job, Step
from taskinity_data.execution.worker.shipping import unpack_outcome

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk

__all__ = ["SeparateReader"]

MAX_S, MAX_RUN_S = 20.0, 60.0
"""How long reading one chunk may take, and all of a run with the start of children: the driver
waits for them."""

MAX_MEMORY_NBYTES = 2 << 30
"""What the child may hold: chunks of up to 256 MiB are copied, readers take a few times that."""

MAX_ROWS_NBYTES = 512 << 20


class SeparateReader:
    """Reads chunks one after another in a child process.

    Parameters
    ----------
    max_s, max_run_s : float
        Seconds that one may take, and all together.
    max_memory_nbytes : int
        What the child may hold.
    """

    def __init__(
        self,
        max_s: float = MAX_S,
        max_run_s: float = MAX_RUN_S,
        max_memory_nbytes: int = MAX_MEMORY_NBYTES,
    ) -> None:
        self._max_s, self._left_s = max_s, max_run_s
        self._guard = Guard(max_memory_nbytes)
        self._children = ChildPool()

    def read(self, chunk: Chunk) -> Any:
        """Return the rows of `chunk` as an Arrow table.

        Raises
        ------
        TimeoutError
            The time of all together is used up.
        TaskinityDataError
            They can't be read, or only within more than is allowed.
        """
        limit_s = min(self._max_s, self._left_s)
        if limit_s <= 0:
            raise TimeoutError("the time for that was used up by other chunks")
        step = Step("reading", _read_table, kind="chunk", timeout_s=limit_s)
        job = Job("reading", ((step,),), max_nbytes=MAX_ROWS_NBYTES)
        item = Item("chunk", chunk, guard=self._guard)
        begun_s = time.monotonic()
        try:
            outcome = unpack_outcome(self._children.run(job, item))
        finally:
            self._left_s -= time.monotonic() - begun_s
        if isinstance(outcome, BaseException):
            raise outcome
        if outcome.failure is not None:
            raise TaskinityDataError(str(outcome.failure))
        return outcome.value[1]

    def close(self) -> None:
        """End the child."""
        self._children.close()


def _read_table(chunk: Chunk) -> Any:
    return chunk.load("arrow").data
