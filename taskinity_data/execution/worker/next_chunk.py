"""Reads the chunk that a worker gets next while the functions of the one before run.

Of stores alone: their bytes take longer to arrive than a thread to start (0.1 ms).
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from contextvars import copy_context
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.execution.worker.thread_time import queued_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.formats.reader import ReadResult

__all__ = ["BatchQueue", "NextChunk", "QueuedBatch", "ThreadQueue", "is_remote"]


class NextChunk:
    """The chunk of `item`, which is read as `kind` in a thread that starts at once.

    Where the chunk is not taken no run waits for the thread, as its store may be silent; the end of
    the process does.

    Attributes
    ----------
    key : str
        Of the item.
    read_s, cpu_s, queued_s : float
        Seconds of the thread, those on a core and those of waiting for one, once it has ended.
    """

    def __init__(self, item: Item, kind: str) -> None:
        self.key = item.key
        self.read_s = self.cpu_s = self.queued_s = 0.0
        self._loaded: ReadResult | BaseException | None = None
        run = copy_context().run  # with the secrets that are to be hidden
        self._thread = threading.Thread(
            target=run, args=(self._read, item.data, kind), name="taskinity-read"
        )
        self._thread.start()

    def _read(self, chunk: Chunk, kind: str) -> None:
        at_s = time.perf_counter()
        try:
            self._loaded = chunk.load(kind)
        except BaseException as error:  # noqa: BLE001 - it is raised where the chunk is taken
            self._loaded = error
        ended_s = time.perf_counter()
        self.read_s, self.cpu_s = ended_s - at_s, time.thread_time()
        self.queued_s = queued_seconds(ended_s)

    def take(self) -> ReadResult:
        """Wait for the chunk and return it, once; raises what reading it raised."""
        self._thread.join()
        loaded, self._loaded = self._loaded, None
        assert loaded is not None
        if isinstance(loaded, BaseException):
            raise loaded
        return loaded


class BatchQueue(ABC):
    """The batches that wait on a worker, by their names; of some the first chunk is being read.

    Parameters
    ----------
    room : int
        How many chunks are read ahead at most: one for each thread of the worker.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._ahead: dict[str, NextChunk] = {}

    @abstractmethod
    def _waiting(self) -> Iterable[tuple[str, Job, Item]]:
        """Return name, job and first item of each batch that waits, the next one first."""

    def take(self, name: str, item: Item) -> NextChunk | None:
        """Return the chunk of `item`, the first of the batch `name`, where it was read ahead."""
        with self._lock:
            ahead = self._ahead.pop(name, None)
        return ahead if ahead is not None and ahead.key == item.key else None

    def read_next(self, growth: float) -> bool:
        """Start to read the next chunk that waits, and return whether there is one, or no room.

        `growth` is what a planned byte takes in memory. The chunk may take half of what a result
        may, a sixth of a worker's memory.
        """
        with self._lock:
            if len(self._ahead) >= self._room:
                return True
            for name, job, item in self._waiting():
                kind = job.kind_of(item) if is_remote(item) else None
                if kind is None or name in self._ahead:
                    continue
                if job.max_nbytes is None or growth * item.nbytes <= job.max_nbytes / 2:
                    self._ahead[name] = NextChunk(item, kind)
                return True
            return False


class ThreadQueue(BatchQueue):
    """Batches that wait for a thread of this process.

    Attributes
    ----------
    growth : float or None
        What a planned byte of a store took in memory, once a chunk of one was read.
    """

    def __init__(self, room: int) -> None:
        super().__init__(room)
        self._batches: dict[str, tuple[Job, Item]] = {}
        self.growth: float | None = None

    def add(self, name: str, job: Job, item: Item) -> QueuedBatch | None:
        """Add a batch and its first item, unless that is no chunk of a store."""
        if not is_remote(item):
            return None
        with self._lock:
            self._batches[name] = job, item
        if self.growth is not None:
            self.read_next(self.growth)
        return QueuedBatch(self, name)

    def read_next(self, growth: float) -> bool:
        """Start to read a chunk that waits now, or is added next."""
        self.growth = growth
        return super().read_next(growth)

    def _waiting(self) -> Iterable[tuple[str, Job, Item]]:
        return ((name, *batch) for name, batch in self._batches.items())

    def take(self, name: str, item: Item) -> NextChunk | None:
        """Return the chunk of `item` where it was read ahead; its batch waits no longer."""
        with self._lock:
            self._batches.pop(name, None)
        return super().take(name, item)


class QueuedBatch(NamedTuple):
    """The name of a batch, and the queue of its worker."""

    queue: BatchQueue
    name: str


def is_remote(item: Item) -> bool:
    """Return whether `item` is a chunk of a store that can be read in this process."""
    data = item.data
    if type(data) is not Chunk or item.guard is not None:
        return False
    return data.pieces[0].file.is_remote and data.failure is None
