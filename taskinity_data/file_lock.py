"""Lock a file for one process at a time, which the lock names, until that process ends."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import filelock

__all__ = ["FileLock", "Locked", "who_holds"]

_WAIT_S = 0.1
"""How long to wait: `who_holds` takes the lock for an instant, only to look."""


class Locked(Exception):  # noqa: N818 - says what is the matter
    """Another process holds the lock; the message says which."""


class FileLock:
    """A lock on the file `path`, held until `close` or the end of this process, forks or not.

    Raises
    ------
    Locked
        Another process holds it.
    OSError
        The file can't be created, or its file system has no locks.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from filelock import Timeout

        self._lock = _open(path, _WAIT_S)
        try:
            self._lock.acquire(poll_interval=_WAIT_S / 10)
        except Timeout:
            raise Locked(_read_holder(path)) from None
        holder = f"process {os.getpid()} on {socket.gethostname()}\n"
        with suppress(OSError):  # the lock holds all the same where the disk is full
            Path(path).write_text(holder, encoding="utf-8")

    def close(self) -> None:
        """Release the lock; a second call has no effect."""
        self._lock.release()


def who_holds(path: str | os.PathLike[str]) -> str | None:
    """Return which process holds the lock at `path`; None if none does, or if it is unknown."""
    from filelock import Timeout

    if not Path(path).exists():
        return None
    try:
        with _open(path, 0):
            return None
    except Timeout:
        return _read_holder(path)
    except OSError:
        return None


def _open(path: str | os.PathLike[str], timeout_s: float) -> filelock.BaseFileLock:
    # Imported only if something is locked: it takes 16 ms. The fallback for file systems without
    # locks would outlive a killed process.
    from filelock import FileLock

    return FileLock(path, timeout_s, thread_local=False, fallback_to_soft=False)


def _read_holder(path: str | os.PathLike[str]) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(200).strip() or "another process"
