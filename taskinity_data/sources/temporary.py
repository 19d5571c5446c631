"""Private temporary directories that go with what they are for, at the latest with the process.

What a process left that was killed is removed by whoever killed it, or by the next one that makes
such a directory.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import weakref
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import WriteError
from taskinity_data.file_lock import FileLock, Locked

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["OwnDirectory", "is_leaving", "leaving", "prefix_of", "sweep"]

_PREFIX = "taskinity-"
_LOCK = "owner"
_swept: set[tuple[int, str]] = set()
_leaving: ContextVar[bool] = ContextVar("leaving", default=False)


@contextmanager
def leaving() -> Iterator[None]:
    """Let what is pickled within do without directories of this process, which it may outlive."""
    token = _leaving.set(True)
    try:
        yield
    finally:
        _leaving.reset(token)


def is_leaving() -> bool:
    """Return whether what is pickled can't refer to this process's own directories."""
    return _leaving.get()


class OwnDirectory:
    """A new directory of this process; `close` removes it before its last reference goes.

    Parameters
    ----------
    kind : str
        A word for its name.

    Attributes
    ----------
    path : str

    Raises
    ------
    WriteError
        It can't be made.
    """

    def __init__(self, kind: str) -> None:
        try:
            here = os.getpid(), tempfile.gettempdir()
            if here not in _swept:
                _swept.add(here)
                sweep()
            self.path = tempfile.mkdtemp(prefix=f"{prefix_of(kind)}{_host()}-{os.getpid()}-")
        except OSError as error:
            raise WriteError(
                f"no temporary directory can be created: {error}; set TMPDIR or tempfile.tempdir "
                "to another directory"
            ) from error
        lock = FileLock(os.path.join(self.path, _LOCK))
        self.close = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of what refers to it, in another process, does not own it.
        return type(None), ()


def prefix_of(kind: str) -> str:
    """Return how the names of such directories begin."""
    return f"{_PREFIX}{kind}-"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]


def sweep() -> None:
    """Remove the directories of processes of this user on this machine that are no more.

    Its number is gone and nobody holds the lock: containers that share a directory may share a
    host's name too, but not the numbers of processes.
    """
    name_of_ours = re.compile(f"{_PREFIX}[a-z]+-{re.escape(_host())}-([0-9]+)-[^-]+")
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            named = name_of_ours.fullmatch(entry.name)
            if named is None or not entry.is_dir(follow_symlinks=False):
                continue
            if not _is_alive(int(named[1])):
                with suppress(OSError, Locked):
                    _remove_unlocked(entry.path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove_unlocked(directory: str) -> None:
    if os.lstat(directory).st_uid != os.getuid():
        return
    lock = FileLock(os.path.join(directory, _LOCK))
    shutil.rmtree(directory, ignore_errors=True)
    lock.close()


def _remove(directory: str, lock: FileLock, pid: int) -> None:
    # A forked child has copies of these objects, but no right to the directory.
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)
    lock.close()
