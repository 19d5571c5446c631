"""What several files yield, one file after another, while the next ones are already being read."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["read_ahead"]

_S = TypeVar("_S")
_T = TypeVar("_T")


def read_ahead(
    sources: Iterable[_S], produce: Callable[[_S], Iterable[_T]], *, threads: int, depth: int
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

    Notes
    -----
    Closing the iterator stops the threads at their next item and waits for them.
    """
    stop = Event()
    waiting: deque[_Stream[_T]] = deque()
    left = iter(sources)
    with ThreadPoolExecutor(threads, thread_name_prefix="taskinity-read-ahead") as pool:

        def begin() -> None:
            for source in left:
                stream: _Stream[_T] = _Stream(depth, stop)
                pool.submit(stream.fill, produce, source)
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


class _Stream(Generic[_T]):
    """Items of one source between the thread that makes them and the one that takes them."""

    def __init__(self, depth: int, stop: Event) -> None:
        self._slots, self._stop = Semaphore(depth), stop
        self._items: SimpleQueue[tuple[bool, _T | BaseException | None]] = SimpleQueue()

    def fill(self, produce: Callable[[_S], Iterable[_T]], source: _S) -> None:
        try:
            for item in produce(source):
                self._slots.acquire()
                if self._stop.is_set():
                    return
                self._items.put((True, item))
        except BaseException as error:  # noqa: BLE001 - it is raised where the item is taken
            self._items.put((False, error))
        else:
            self._items.put((False, None))

    def drain(self) -> Iterator[_T]:
        while True:
            is_item, item = self._items.get()
            if not is_item:
                if isinstance(item, BaseException):
                    raise item
                return
            self._slots.release()
            yield item  # type: ignore[misc]  # an item, as `is_item` says

    def release(self) -> None:
        """Let a thread that waits for a slot see that it is to stop."""
        self._slots.release()
