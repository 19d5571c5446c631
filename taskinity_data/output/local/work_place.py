"""Where a run works before its target is touched: one hidden directory next to it, locked.

The directory ``.NAME.writing`` holds a lock file and a directory of the
run, with ``parts`` (what workers wrote), ``final`` (what the target will be) and, for an instant on
systems that can't exchange two directories, ``old`` (what the target was).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from hashlib import blake2b
from pathlib import Path

from taskinity_data.disk import remove, rename, sync_directory
from taskinity_data.errors import PlanError
from taskinity_data.file_lock import FileLock, Locked

__all__ = ["WorkPlace", "enter", "find_work_directory", "is_staging"]

_RUN = re.compile(r"run-[0-9a-f]{12}")

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)

_TRIES = 100
"""How often another run may leave at the very moment in which this one enters."""


class WorkPlace:
    """A target and the directories of one run that writes it, owned until `leave`.

    Attributes
    ----------
    target : str
        Absolute, links resolved.
    run : str
        The name of the run's directory.
    parts, final, old : str
    mode : int or None
        The permissions that files get which this process makes; known from `prepare` on.
    """

    def __init__(self, target: str, work_directory: str, lock: FileLock) -> None:
        self.target = target
        self.run = f"run-{os.urandom(6).hex()}"
        self._directory, self._lock = work_directory, lock
        self._home = os.path.join(work_directory, self.run)
        self.parts = os.path.join(self._home, "parts")
        self.final = os.path.join(self._home, "final")
        self.old = os.path.join(self._home, "old")
        self.mode: int | None = None

    def prepare(self) -> None:
        """Bring back or remove what dead runs left, and make this run's directories."""
        for name in os.listdir(self._directory):
            if _RUN.fullmatch(name):
                self._recover(os.path.join(self._directory, name))
        for path in (self._home, self.parts, self.final):
            Path(path).mkdir()
        # What umask and access lists make of a new file here, before a function changes the umask.
        sample = Path(self._home, "mode")
        sample.touch()
        self.mode = stat.S_IMODE(sample.stat().st_mode)
        sample.unlink()

    def _recover(self, home: str) -> None:
        old = os.path.join(home, "old")
        if os.path.isdir(old) and not os.path.lexists(self.target):
            # It died between the two renames of an overwrite, before it could say that it had
            # committed.
            rename(old, self.target)
            sync_directory(os.path.dirname(self.target))
        remove(home)

    def leave(self) -> None:
        """Remove the run's directories and let the next run in."""
        try:
            self._recover(self._home)
            Path(self._directory, "lock").unlink()
            Path(self._directory).rmdir()
        except OSError:
            # Something else is in it, or the file system is gone: the lock ends all the same.
            pass
        finally:
            self._lock.close()


def find_work_directory(target: str) -> str:
    """Return the directory next to `target` in which runs that write it work."""
    parent, name = os.path.split(target)
    work_directory = os.path.join(parent, f".{name}.writing")
    if len(os.fsencode(os.path.basename(work_directory))) > 255:
        work_directory = os.path.join(
            parent, f".{blake2b(os.fsencode(name), digest_size=16).hexdigest()}"
        )
    return work_directory


def is_staging(path: str) -> bool:
    """Return whether `path` can be the `WorkPlace.parts` of a run."""
    *_, work_directory, run, parts = ("", "", *Path(path).parts)
    return parts == "parts" and _RUN.fullmatch(run) is not None and work_directory.startswith(".")


def enter(target: str) -> WorkPlace:
    """Lock `target` and return the place of a new run; `WorkPlace.prepare` has to follow.

    Parameters
    ----------
    target : str
        Absolute, links resolved. Its parent directories are made where they are missing.

    Raises
    ------
    PlanError
        Another run is writing it, or nothing can be written next to it.
    """
    work_directory = find_work_directory(target)
    for _ in range(_TRIES):
        try:
            os.makedirs(work_directory, exist_ok=True)
            return WorkPlace(target, work_directory, FileLock(os.path.join(work_directory, "lock")))
        except FileNotFoundError:
            continue  # another run has just left
        except Locked as error:
            raise PlanError(
                f"output={target!r}: {error} is writing it; wait until that run ends, or choose "
                "another directory"
            ) from error
        except OSError as error:
            raise PlanError(f"output={target!r}: {_explain(error)}") from error
    raise PlanError(
        f"output={target!r}: {work_directory} can't be created; choose another directory"
    )


def _explain(error: OSError) -> str:
    if error.errno in _NO_LOCKS:
        return (
            f"its file system can't lock files ({error.strerror}), so that two runs could write it "
            "at once; name a directory on another one"
        )
    where = f" ({error.filename})" if error.filename else ""
    cure = "name a directory in a place where you may write"
    cure = "free some space, or choose another disk" if error.errno == errno.ENOSPC else cure
    return f"can't be written: {error.strerror}{where}; {cure}"
