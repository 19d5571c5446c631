"""The steps on a local file system that a commit is made of.

It knows nothing of parts and targets.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

__all__ = [
    "exchange",
    "link",
    "make_directories",
    "remove",
    "rename",
    "sync",
    "sync_directory",
    "sync_tree",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_THERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def sync(descriptor: int) -> None:
    """Bring what was written to an open file to the disk."""
    os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Bring the names in directory `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Bring all names below directory `path` to the disk; files are synced by who writes them."""
    for parent, _, _ in os.walk(path, topdown=False):
        sync_directory(parent)


def make_directories(root: str, directory: str) -> str:
    """`directory`, made below `root`, which has to be there."""
    path = root
    for name in directory.split("/") if directory else ():
        path = os.path.join(path, name)
        if not os.path.isdir(path):
            Path(path).mkdir()
    return path


def rename(old: str, new: str) -> None:
    """Give the file or directory `old` the name `new`, in one step."""
    Path(old).rename(new)


def link(old: str, new: str) -> None:
    """Give the file `old` the second name `new`; a copy, where the system can't.

    A symbolic link becomes one to the same place.
    """
    if Path(old).is_symlink():
        Path(new).symlink_to(Path(old).readlink())
        return
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
        with open(new, "rb") as file:
            sync(file.fileno())


def exchange(one: str, other: str) -> bool:
    """Let two directories change names in one step; False where the system can't.

    Raises
    ------
    OSError
        The system can, and failed.

    References
    ----------
    renameat2(2), ``RENAME_EXCHANGE``: Linux 3.15; ext4, XFS, Btrfs, tmpfs, overlayfs among others.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    pair = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, pair[0], _AT_FDCWD, pair[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number), other)


def remove(path: str) -> None:
    """Remove directory `path` and all in it; what can't be removed is left to the next run."""
    shutil.rmtree(path, ignore_errors=True)
