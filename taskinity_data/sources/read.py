"""The bytes that readers see of a file, wherever it lies: of a compressed one, its text.

A path alone stands for a file of this machine.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from taskinity_data.sources.raw import HEAD_NBYTES, open_raw, open_raw_unbuffered, read_raw

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence

    from taskinity_data.sources.file import Piece, SourceFile

_S = TypeVar("_S")
_T = TypeVar("_T")

__all__ = [
    "local_path",
    "map_files",
    "open_file",
    "open_unbuffered",
    "read_pieces",
    "read_range",
]

FILES_AT_ONCE = 16
"""Files of stores that are looked into at a time: nearly all of that is waiting."""


def local_path(file: SourceFile) -> str | None:
    """Return where this machine's system finds its bytes, or its text; None in a store.

    Where the scratch file of its text is not there (another machine, or its owner has gone) the
    file is decompressed again, once in this process, and copies made from now on refer to that.
    """
    if file.unpacked is None:
        return file.path if file.store is None else None
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
    files = [file.file for file in pieces]
    is_waiting = any(file.store is not None and file.unpacked is None for file in files)
    return list(_map_at_once(function, pieces, is_waiting))
