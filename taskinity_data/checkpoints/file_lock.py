"""One process at a time: a lock on a file, which ends with the process that holds it.

It knows nothing of what is locked.
"""

from __future__ import annotations

import fcntl
import os
import re
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
        # One at a time may try, so that a dead one's lock is taken over by one alone.
        guard = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._take(path)
            except BaseException:
                os.close(self._file)
                raise
        finally:
            os.close(guard)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def _take(self, path: Path) -> None:
        for last in range(_TRIES - 1, -1, -1):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                told = os.pread(self._file, 200, 0).decode(errors="replace").strip()
                if _is_dead(told):
                    # A process that it forked lives on, and holds the old file's lock.
                    os.close(self._file)
                    path.unlink(missing_ok=True)
                    self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                # Who only looks (`who_holds`) writes nothing, and is gone at once.
                elif told or not last:
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


def _is_dead(told: str) -> bool:
    """Whether what a holder wrote names a process of this machine that is no more."""
    found = re.fullmatch(r"process (\d+) on (.+)", told)
    if found is None or found[2] != socket.gethostname():
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def who_holds(path: Path) -> str | None:
    """Which process holds the lock at `path`; None where nobody does."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        told = os.pread(file, 200, 0).decode(errors="replace").strip()
        return None if _is_dead(told) else told or "another process"
    except OSError:
        return None
    finally:
        os.close(file)
    return None
