"""One process at a time: a lock on a file, which ends with the process that holds it.

It knows nothing of what is locked.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileLock", "Locked", "who_holds"]


_TRIES, _PAUSE_S = 50, 0.01


class Locked(Exception):  # noqa: N818 - says what is the matter
    """Another process holds the lock; the message says which."""


class FileLock:
    """A lock on the file `path`, held until `close` or the end of the process.

    Raises
    ------
    Locked
        Another one holds it.
    OSError
        The file can't be made, or its file system has no locks.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take()
        except BaseException:
            os.close(self._file)
            raise
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _take(self) -> None:
        for last in range(_TRIES - 1, -1, -1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                told = os.pread(self._file, 200, 0).decode(errors="replace").strip()
                # Who only looks (`who_holds`) writes nothing, and is gone at once.
                if told or not last:
                    raise Locked(told or "another process") from error
                time.sleep(_PAUSE_S)
            else:
                return

    def close(self) -> None:
        """Let the next one in; nothing happens the second time."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1


def who_holds(path: Path) -> str | None:
    """Which process holds the lock at `path`; None where nobody does."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
    except OSError:
        return None
    finally:
        os.close(file)
    return None
