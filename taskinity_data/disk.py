"""Wrap the steps on a local file system that a commit consists of, and replace single files."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from functools import partial
from pathlib import Path

__all__ = [
    "exchange",
    "link",
    "make_directories",
    "remove",
    "rename",
    "replace_file",
    "sync",
    "sync_directory",
    "sync_tree",
]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_THERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def sync(descriptor: int) -> None:
    """Flush the data of an open file to the disk."""
    os.fsync(descriptor)


def sync_directory(path: str) -> None:
    """Flush the names in directory `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(path: str) -> None:
    """Flush all names below directory `path` to the disk; the writers of files sync the files."""
    for parent, _, _ in os.walk(path, topdown=False):
        sync_directory(parent)


def make_directories(root: str, directory: str) -> str:
    """Create `directory` below `root`, which must exist, and return its path."""
    path = root
    for name in directory.split("/") if directory else ():
        path = os.path.join(path, name)
        if not os.path.isdir(path):
            Path(path).mkdir()
    return path


def rename(old: str, new: str) -> None:
    """Rename the file or directory `old` to `new`, in one step."""
    Path(old).rename(new)


def replace_file(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write the file `path` as a whole, in one step; if that fails, it is as it was before.

    A file that is there keeps its mode; a new one has `mode`, as far as the umask lets it. A
    symbolic link stays, and its target is replaced.

    Raises
    ------
    OSError
        It can't be written there.
    """
    path = path.resolve()
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(staged, "xb", opener=partial(os.open, mode=mode)) as file:
            file.write(data)
            file.flush()
            sync(file.fileno())
        if path.exists():
            staged.chmod(path.stat().st_mode & 0o777)
        staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)


def link(old: str, new: str) -> None:
    """Link the file `old` as `new`, or copy it if the system can't link it.

    A symbolic link is copied as one to the same target.
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


def exchange(first: str, second: str) -> bool:
    """Exchange the names of two directories in one step; return False if the system can't.

    Raises
    ------
    OSError
        The system supports it, and it failed.

    References
    ----------
    renameat2(2), ``RENAME_EXCHANGE``: Linux 3.15; ext4, XFS, Btrfs, tmpfs, overlayfs among others.
    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    pair = os.fsencode(first), os.fsencode(second)
    if rename(_AT_FDCWD, pair[0], _AT_FDCWD, pair[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_THERE:
        return False
    raise OSError(number, os.strerror(number), second)


def remove(path: str) -> None:
    """Remove directory `path` and its contents; what can't be removed is left to the next run."""
    shutil.rmtree(path, ignore_errors=True)
