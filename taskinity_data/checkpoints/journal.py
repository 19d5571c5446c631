"""An append-only file of records, each with a checksum of itself and all before it.

A segment is written by one process. Every record carries a digest over its own bytes and the digest
of the record before, so that what was cut off, changed, taken out or put in elsewhere ends the
valid part: only what precedes it counts.
"""

from __future__ import annotations

import os
import struct
import threading
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from taskinity_data.checkpoints.values import decode, encode
from taskinity_data.disk import sync_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Journal", "Record", "has_other_format", "list_segments", "read_segment"]

_FORMAT = b"taskinity-data journal "
_MAGIC = _FORMAT + b"5\n"
_HEAD = struct.Struct("<cQQ")
_DIGEST_NBYTES = 16
_SUFFIX = ".journal"

SYNC_S = 0.5
"""How long what was written waits for the disk: at most that much finished work is at the risk of a
power cut. A process that is killed loses nothing of it."""

_MAX_BUFFERS = 512

_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has fsync alone


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its `kind` (one character), its `details`, and where its value is, if any."""

    kind: str
    details: Any
    path: Path
    offset: int
    nbytes: int

    def load(self) -> Any:
        """Return the value.

        Raises
        ------
        OSError, ValueError
            The segment is gone, or was changed since it was proved.
        """
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            return decode(file.read(self.nbytes))


def list_segments(directory: Path) -> list[Path]:
    """Return the segments of a run, in the order in which they were written."""
    return sorted(directory.glob(f"*{_SUFFIX}"))


def has_other_format(path: Path) -> bool:
    """Return whether the segment `path` was written by a version with another format."""
    with open(path, "rb") as file:
        begin = file.read(len(_MAGIC))
    return begin.startswith(_FORMAT) and begin != _MAGIC


def read_segment(path: Path, run_id: str) -> tuple[list[Record], int]:
    """Return the valid records of the segment `path` of the run `run_id`, and the bytes after.

    Raises
    ------
    OSError
        It can't be read.
    """
    records = []
    chain = _start(run_id, path.name)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        offset = len(_MAGIC) if file.read(len(_MAGIC)) == _MAGIC else 0
        while offset:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            kind, n_details, n_value = _HEAD.unpack(head)
            left = size - offset - _HEAD.size - _DIGEST_NBYTES
            if n_details > left or n_value > left or n_details + n_value > left:
                break
            details, value = file.read(n_details), file.read(n_value)
            digest = blake2b(chain + head, digest_size=_DIGEST_NBYTES)
            digest.update(details)
            digest.update(value)
            if digest.digest() != file.read(_DIGEST_NBYTES):
                break
            at = offset + _HEAD.size + n_details
            records.append(Record(kind.decode("latin1"), decode(details), path, at, n_value))
            chain = digest.digest()
            offset = at + n_value + _DIGEST_NBYTES
    return records, size - offset


def _start(run_id: str, name: str) -> bytes:
    # A segment of another run, or with another number, does not belong to this run.
    return blake2b(f"{run_id}\0{name}".encode(), digest_size=_DIGEST_NBYTES).digest()


class Journal:
    """A new segment of the run `run_id` in its directory.

    Raises
    ------
    OSError
        It can't be made, or not be written; what was written before stays valid.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        number = len(list_segments(directory))
        while True:
            self.path = directory / f"{number:05}{_SUFFIX}"
            try:
                self._file = os.open(
                    self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600
                )
                break
            except FileExistsError:
                number += 1
        self._chain = _start(run_id, self.path.name)
        self._is_dirty = True
        self._stop = threading.Event()
        self._error: OSError | None = None
        try:
            _write(self._file, [_MAGIC])
            sync_directory(str(directory))
        except OSError:
            os.close(self._file)
            raise
        self._flusher = threading.Thread(target=self._flush, name="taskinity-journal", daemon=True)
        self._flusher.start()

    def add(self, kind: str, details: Any, value: Sequence[bytes | memoryview] = ()) -> None:
        """Write a record; `value` are the buffers of an encoded value.

        Raises
        ------
        OSError
            It could not be written, or brought to the disk; nothing may be added any more.
        """
        if self._error is not None:
            raise self._error
        encoded = encode(details)
        n_details = sum(len(part) for part in encoded)
        n_value = sum(len(part) for part in value)
        head = _HEAD.pack(kind.encode("latin1"), n_details, n_value)
        digest = blake2b(self._chain + head, digest_size=_DIGEST_NBYTES)
        for part in (*encoded, *value):
            digest.update(part)
        try:
            _write(self._file, [head, *encoded, *value, digest.digest()])
        except OSError as error:
            self._error = error
            raise
        self._chain = digest.digest()
        self._is_dirty = True

    def _flush(self) -> None:
        while not self._stop.wait(SYNC_S):
            self._sync()

    def _sync(self) -> None:
        if self._is_dirty and self._error is None:
            self._is_dirty = False
            try:
                _sync_data(self._file)
            except OSError as error:
                self._error = error

    def close(self) -> None:
        """Bring all to the disk, and end."""
        self._stop.set()
        self._flusher.join()
        self._sync()
        os.close(self._file)


def _write(file: int, parts: Sequence[bytes | memoryview]) -> None:
    left = [memoryview(part) for part in parts if len(part)]
    while left:
        done = os.writev(file, left[:_MAX_BUFFERS])
        while left and done >= len(left[0]):
            done -= len(left.pop(0))
        if done:
            left[0] = left[0][done:]
