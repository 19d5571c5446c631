"""A file of a dataset, a range of it, and its bytes as they are stored, compressed or not."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast
from urllib.parse import unquote

from taskinity_data.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.errors import PlanError
    from taskinity_data.sources.compression.scratch_file import Unpacked
    from taskinity_data.sources.fingerprint import Fingerprint
    from taskinity_data.sources.store import Store


__all__ = [
    "HEAD_NBYTES",
    "HIDDEN",
    "WINDOW_NBYTES",
    "Extent",
    "Piece",
    "SourceFile",
    "StoreFile",
    "hive_keys",
    "open_raw",
    "open_raw_unbuffered",
    "open_tail",
    "read_parts",
    "read_raw",
]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file of a dataset.

    `path` is absolute, or a URL without its secrets; `hive` the (key, value) pairs of its
    directories, as texts. Where it lies in a `store`, `name` is what that calls it, secrets and
    all. Of a compressed file the fingerprint is its own, and `unpacked` is the file with its text:
    `nbytes` and all places count bytes of that. Of a `member` of a zip archive, fingerprint and
    `name` are those of the archive. `failure` is why it can't be opened.
    """

    path: str
    fingerprint: Fingerprint
    hive: tuple[tuple[str, str], ...] = ()
    store: Store | None = None
    name: str = field(default="", repr=False)
    unpacked: Unpacked | None = None
    member: str = ""
    failure: PlanError | ReadError | None = field(default=None, compare=False)

    @property
    def nbytes(self) -> int:
        """Bytes of it; of a compressed file those of its text."""
        return self.fingerprint.nbytes if self.unpacked is None else self.unpacked.nbytes

    @property
    def is_remote(self) -> bool:
        """Whether its bytes come from a store each time that they are read."""
        return self.store is not None and self.unpacked is None

    @property
    def stored_path(self) -> str:
        """The path of its bytes: of a member, that of the archive."""
        return self.path.removeprefix(f"zip://{self.member}::") if self.member else self.path

    def check(self, start: int) -> None:
        """Raise `SourceChanged` if it is no longer the file that was planned."""
        if self.store is None:
            self.fingerprint.check(self.stored_path, start)
        else:
            self.store.check(self.name, self.path, self.fingerprint, start)

    def __hash__(self) -> int:
        return hash((self.path, self.fingerprint))

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of one file: whole records, never part of one.

    `start` and `stop` count bytes for text (of compressed files: of what they unpack to), rows for
    Parquet and tables. `nbytes` is the size by which chunks are planned: bytes of text,
    uncompressed bytes of the selected columns for Parquet, Arrow bytes in memory. `rows` is None
    where only reading can tell. `failure` is why it can't be read, where that is known.
    """

    file: SourceFile
    start: int
    stop: int
    nbytes: int
    rows: int | None = None
    failure: PlanError | ReadError | None = field(default=None, compare=False)

    @property
    def path(self) -> str:
        """The file's path."""
        return self.file.path

    def joined(self, other: Piece) -> Piece | None:
        """Return both as one piece if `other` follows directly in the same file, else None."""
        is_sound = self.failure is None and other.failure is None
        if not is_sound or other.file != self.file or other.start != self.stop:
            return None
        rows = None if self.rows is None or other.rows is None else self.rows + other.rows
        return replace(self, stop=other.stop, nbytes=self.nbytes + other.nbytes, rows=rows)


class Extent(NamedTuple):
    """How much a dataset holds: planned bytes, and rows (None if only reading can tell)."""

    nbytes: int
    rows: int | None


HIDDEN = ("_", ".")
"""What names of files and directories begin with that a directory is read without."""

_HIVE = re.compile(r"([^=]+)=(.*)", re.DOTALL)


def hive_keys(path: str, base: str) -> tuple[tuple[str, str], ...]:
    """Return the ``key=value`` directories between `base` and the file `path`."""
    directory = os.path.dirname(path)
    if "=" not in directory:
        return ()
    directories = PurePath(os.path.relpath(directory, base)).parts
    keys = [_HIVE.fullmatch(name) for name in directories]
    return tuple((unquote(key.group(1)), unquote(key.group(2))) for key in keys if key)


WINDOW_NBYTES = 8 << 20
"""Read ahead in a pass over a file: at 50 ms a request and 100 MB/s, a third of the time waits."""

HEAD_NBYTES = 128 << 10
"""Read ahead where only a file's head or tail is looked at."""

TAIL_NBYTES = 64 << 10
"""Read at once where a footer is looked for: 300 row groups of 10 columns have one of 100 kB."""

GAP_NBYTES = 64 << 10
"""Ranges with less between them are read as one: those bytes cost less than a request."""


def open_raw(file: SourceFile | str, window_nbytes: int = HEAD_NBYTES) -> BinaryIO:
    """Open a file, or a path of this machine; of a store, `window_nbytes` are read ahead."""
    if isinstance(file, str) or file.store is None:
        return open(file if isinstance(file, str) else file.stored_path, "rb")
    return cast("BinaryIO", io.BufferedReader(StoreFile(file, window_nbytes), 1 << 13))


def open_raw_unbuffered(file: SourceFile | str) -> io.RawIOBase:
    """Open a file for a pass over it; of a store, `WINDOW_NBYTES` are read ahead."""
    if isinstance(file, str) or file.store is None:
        return open(str(file), "rb", buffering=0)
    return StoreFile(file, WINDOW_NBYTES)


def read_raw(file: SourceFile | str, start: int, stop: int) -> bytes:
    """Return the bytes from `start` to `stop`.

    Raises
    ------
    ReadError
        The file ends before `stop`, or its store can't be read.
    """
    if not isinstance(file, str) and file.store is not None:
        return _read_ranges(file, [(start, stop)])[0]
    with open(str(file), "rb", buffering=0) as opened:
        opened.seek(start)
        parts = []
        left = stop - start
        while left:
            part = opened.read(left)
            if not part:
                raise ReadError(
                    f"{file}: the file ends before byte {stop:,}; plan again",
                    path=str(file),
                    start=start,
                )
            parts.append(part)
            left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_parts(file: SourceFile, ranges: Sequence[tuple[int, int]]) -> StoreFile:
    """Open the file of a store with these ranges read already, close ones together, all at once."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if joined and start - joined[-1][1] <= GAP_NBYTES:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        elif start < stop:
            joined.append((start, stop))
    parts = _read_ranges(file, joined)
    return StoreFile(
        file, HEAD_NBYTES, [(part[0], data) for part, data in zip(joined, parts, strict=True)]
    )


def _read_ranges(file: SourceFile, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """Return these ranges of a file of a store, all at once."""
    return cast("Store", file.store).read(file.name, file.path, ranges)


def open_tail(file: SourceFile) -> StoreFile:
    """Open the file of a store with its last `TAIL_NBYTES` read already."""
    return read_parts(file, [(max(0, file.nbytes - TAIL_NBYTES), file.nbytes)])


class StoreFile(io.RawIOBase):
    """A file of a store that can be sought in; safe to read from by `read_into` in threads.

    Parameters
    ----------
    file : SourceFile
    window_nbytes : int
        At least so many bytes are requested at once, and kept until others are.
    parts : sequence of (int, bytes)
        What was read already, with the offset of each.
    """

    def __init__(
        self, file: SourceFile, window_nbytes: int, parts: Sequence[tuple[int, bytes]] = ()
    ) -> None:
        self._file, self._window_nbytes = file, window_nbytes
        self._parts = [(0, b""), *parts]
        self._offset = 0
        self._lock = Lock()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        """Bytes of the file."""
        return self._file.nbytes

    def tell(self) -> int:
        return self._offset

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._offset, self._file.nbytes)[whence]
        self._offset = base + offset
        return self._offset

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]  # any writable buffer
        count = self.read_into(view, self._offset)
        self._offset += count
        return count

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill `view` with the bytes from `offset` on; how many there were."""
        count = max(0, min(len(view), self._file.nbytes - offset))
        done = 0
        while done < count:
            data, skip = self._find(offset + done, count - done)
            part = memoryview(data)[skip : skip + count - done]
            view[done : done + len(part)] = part
            done += len(part)
        return count

    def _find(self, offset: int, nbytes: int) -> tuple[bytes, int]:
        """Bytes that contain `place`, and their offset: known ones, or a window from there on."""
        with self._lock:
            for start, data in self._parts:
                if start <= offset < start + len(data):
                    return data, offset - start
            stop = min(offset + max(nbytes, self._window_nbytes), self._file.nbytes)
            data = _read_ranges(self._file, [(offset, stop)])[0]
            self._parts[0] = offset, data
            return data, 0
