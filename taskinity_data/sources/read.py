"""Read files as readers see them, of a compressed file the text, and several of them ahead."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import TYPE_CHECKING, BinaryIO, Generic, TypeVar

from taskinity_data.sources.file import HEAD_NBYTES, open_raw, open_raw_unbuffered, read_raw

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "local_path",
    "map_files",
    "open_file",
    "open_unbuffered",
    "read_ahead",
    "read_pieces",
    "read_range",
]

_S = TypeVar("_S")
_T = TypeVar("_T")


FILES_AT_ONCE = 16
"""Files of stores that are looked into at a time: nearly all of that is waiting."""


def local_path(file: SourceFile) -> str | None:
    """Return where this machine's system finds its bytes, or its text; None in a store.

    Where the scratch file of its text is not there (another machine, or its owner has gone) the
    file is decompressed again, once in this process, and copies made from now on refer to that.
    """
    if file.unpacked is None:
        return file.stored_path if file.store is None else None
    with suppress(OSError):
        if os.stat(file.unpacked.path).st_size == file.unpacked.nbytes:
            return file.unpacked.path
    from taskinity_data.sources.compression.unpack import unpack_again

    return unpack_again(file, file.unpacked).path


def open_file(file: SourceFile | str, window_nbytes: int = HEAD_NBYTES) -> BinaryIO:
    """Open a file to read and to seek in; of a store, `window_nbytes` are read ahead."""
    return open_raw(_find(file), window_nbytes)


def open_unbuffered(file: SourceFile | str) -> io.RawIOBase:
    """Open a file for a pass over it; of a store, `WINDOW_NBYTES` are read ahead."""
    return open_raw_unbuffered(_find(file))


def read_range(file: SourceFile | str, start: int, stop: int) -> bytes:
    """Return the bytes from `start` to `stop`.

    Raises
    ------
    ReadError
        The file ends before `stop`, or its store can't be read.
    """
    return read_raw(_find(file), start, stop)


def _find(file: SourceFile | str) -> SourceFile | str:
    return file if isinstance(file, str) else local_path(file) or file


def map_files(function: Callable[[SourceFile], _T], files: Sequence[SourceFile]) -> Iterator[_T]:
    """Yield what `function` returns for each file, in order; for stores, several at a time."""
    return _map_at_once(function, files, any(file.store is not None for file in files))


def _map_at_once(
    function: Callable[[_S], _T], items: Sequence[_S], is_waiting: bool
) -> Iterator[_T]:
    if not is_waiting or len(items) == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(FILES_AT_ONCE, len(items))) as pool:
        yield from pool.map(function, items)


def read_pieces(function: Callable[[Piece], _T], pieces: Sequence[Piece]) -> list[_T]:
    """Return what `function` reads of each piece, in order; see `map_files`."""
    is_waiting = any(piece.file.is_remote for piece in pieces)
    return list(_map_at_once(function, pieces, is_waiting))


GROUP_NBYTES = 256 << 10
"""Smaller sources come in groups: a hand-over between threads takes 0.1 ms of CPU, as much as
cutting two files of 2 kB."""


def read_ahead(
    sources: Iterable[_S],
    produce: Callable[[_S], Iterable[_T]],
    *,
    threads: int,
    depth: int,
    queued: int = 0,
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
    queued : int
        Sources that wait for a thread at most, so that none is idle while the first one is read.
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
            for _ in range(threads + queued):
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
