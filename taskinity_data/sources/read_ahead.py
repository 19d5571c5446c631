"""What several files yield, one file after another, while the next ones are already being read."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["read_ahead"]

_S = TypeVar("_S")
_T = TypeVar("_T")

GROUP_NBYTES = 256 << 10
"""Smaller sources come in groups: a hand-over between threads takes 0.1 ms of CPU, as much as
cutting two files of 2 kB."""


def read_ahead(
    sources: Iterable[_S],
    produce: Callable[[_S], Iterable[_T]],
    *,
    threads: int,
    depth: int,
    nbytes_of: Callable[[_S], int] | None = None,
) -> Iterator[_T]:
    """Yield what `produce` yields for each of `sources`, in order.

    Parameters
    ----------
    sources : iterable
    produce : callable
        Called in a thread for each source; what it raises is raised here, in its place.
    threads : int
        Sources that are read at a time.
    depth : int
        Items that wait of each source at most; its thread then pauses.
    nbytes_of : callable, or None
        How much is read of a source: those of at most `GROUP_NBYTES` together are handed over at
        once. None: each by itself.

    Notes
    -----
    Closing the iterator stops the threads at their next item and waits for them.
    """
    stop = Event()
    waiting: deque[_Stream[_T]] = deque()
    groups = _group(sources, nbytes_of)
    with ThreadPoolExecutor(threads, thread_name_prefix="taskinity-read-ahead") as pool:

        def begin() -> None:
            for group in groups:
                stream: _Stream[_T] = _Stream(depth, stop)
                pool.submit(stream.fill, produce, group)
                waiting.append(stream)
                return

        try:
            for _ in range(threads):
                begin()
            while waiting:
                yield from waiting[0].drain()
                waiting.popleft()
                begin()
        finally:
            stop.set()
            for stream in waiting:
                stream.release()


def _group(sources: Iterable[_S], nbytes_of: Callable[[_S], int] | None) -> Iterator[list[_S]]:
    """Yield consecutive `sources` in lists of at most `GROUP_NBYTES`, or of one source."""
    group: list[_S] = []
    nbytes = 0
    for source in sources:
        more = GROUP_NBYTES if nbytes_of is None else nbytes_of(source)
        if group and nbytes + more > GROUP_NBYTES:
            yield group
            group, nbytes = [], 0
        group.append(source)
        nbytes += more
        if nbytes >= GROUP_NBYTES:
            yield group
            group, nbytes = [], 0
    if group:
        yield group


class _Stream(Generic[_T]):
    """Items of a group of sources, from the thread that makes them to the one that takes them."""

    def __init__(self, depth: int, stop: Event) -> None:
        self._slots, self._stop = Semaphore(depth), stop
        self._items: SimpleQueue[list[_T] | BaseException | None] = SimpleQueue()

    def fill(self, produce: Callable[[_S], Iterable[_T]], group: Sequence[_S]) -> None:
        items: list[_T] = []
        end: BaseException | None = None
        try:
            for source in group:
                for item in produce(source):
                    items.append(item)
                    if len(group) == 1:
                        if not self._put(items):
                            return
                        items = []
                if self._stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised where the item is taken
            end = error
        if items and not self._put(items):
            return
        self._items.put(end)

    def _put(self, items: list[_T]) -> bool:
        """Hand `items` over, once there is room; return whether more are wanted."""
        self._slots.acquire()
        if self._stop.is_set():
            return False
        self._items.put(items)
        return True

    def drain(self) -> Iterator[_T]:
        while isinstance(items := self._items.get(), list):
            self._slots.release()
            yield from items
        if items is not None:
            raise items

    def release(self) -> None:
        """Let a thread that waits for a slot see that it is to stop."""
        self._slots.release()
