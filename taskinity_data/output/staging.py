"""Where workers put the files of parts: a directory that they all see, or a store.

No two files ever have one name: a retry, a
second worker or a straggler never writes over a file whose checksum has been reported.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from taskinity_data.disk import sync
from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from taskinity_data.output.store.remote import Remote
    from taskinity_data.output.write_formats import Format

__all__ = ["LocalStaging", "Staging", "StoreStaging", "WriteAttempt", "digest_file", "write_file"]


@dataclass(frozen=True, slots=True)
class WriteAttempt:
    """One try of writing one chunk; `within` is its place within one that was split."""

    index: int
    key: str
    token: str
    within: tuple[int, ...] = ()


@dataclass(frozen=True)
class LocalStaging:
    """A directory of the run alone, from which files are moved when it commits.

    Frozen, picklable, safe in any number of threads and processes.

    Attributes
    ----------
    at_once : int
        How many files of a chunk are best put at a time.
    directory : str
    mode : int or None
        The permissions of its files, whatever umask a function has set in the worker's process;
        None: those that the system gives them.
    """

    at_once: ClassVar[int] = 1

    directory: str
    mode: int | None = None

    def put(
        self, table: pa.Table, format_: Format, directory: str, attempt: WriteAttempt, number: int
    ) -> tuple[str, int, str]:
        """Write `table` as one file of its chunk; return its name here, bytes and checksum.

        `directory` is where it belongs below the target, `number` its place among the files of
        this attempt.
        """
        del directory  # made at the commit
        name = f"part-{attempt.index:05}-{attempt.key}-{attempt.token}-{number}.{format_.name}"
        return name, *write_file(table, format_, os.path.join(self.directory, name), self.mode)

    def confirm(self, names: Sequence[str]) -> None:
        """Do nothing: what is left behind goes with the directory."""


@dataclass(frozen=True)
class StoreStaging:
    """The target itself, in a store: parts have their last names, and no manifest lists them.

    As `LocalStaging`, but for the directory.

    Attributes
    ----------
    remote : Remote
    batch : int
        How many runs wrote before, so that names sort as rows do.
    run : str
    marker : str
        The file, relative to the target, that is there as long as the run is.
    process : str or None
        The process that alone sees the store, where one does.
    """

    at_once: ClassVar[int] = 8  # an upload is mostly waiting
    directory: ClassVar[None] = None

    remote: Remote
    batch: int
    run: str
    marker: str
    process: str | None = None

    def put(
        self, table: pa.Table, format_: Format, directory: str, attempt: WriteAttempt, number: int
    ) -> tuple[str, int, str]:
        """Upload it; see `LocalStaging`. Its bytes are in memory until then."""
        if self.process not in (None, name_process()):
            raise PlanError(
                f"output={self.remote.url!r} is in the memory of {self.process}, where other "
                "processes don't see it; use scheduler='threads', or another store",
                ends_run=True,
            )
        index = "".join([f"{attempt.index:08}", *(f".{number:03}" for number in attempt.within)])
        chunk = f"{index}-{attempt.key}"
        stem = f"part-{self.batch:05}-{chunk}-{self.run}-{attempt.token}-{number:05}"
        name = os.path.join(directory, f"{stem}.{format_.name}")
        file = io.BytesIO()
        format_.write(table, file)
        data = file.getvalue()
        self.remote.put(name, data)
        return name, len(data), digest(data)

    def confirm(self, names: Sequence[str]) -> None:
        """Ask for the run's marker, which is removed before the last look for the run's files.

        Raises
        ------
        FileNotFoundError
            The run has ended, and the files were removed.
        OSError
            The store does not answer.
        """
        try:
            is_there = self.remote.look_up(self.marker) is not None
        except PlanError as error:
            raise OSError(str(error)) from error
        if not is_there:
            self.remote.remove(names)
            raise FileNotFoundError(
                f"{self.remote.url}: the run has ended, or another run replaced it; what this "
                "worker wrote was removed"
            )


Staging = LocalStaging | StoreStaging
"""Takes files for one run."""


def name_process() -> str:
    """Return ``process 12``."""
    return f"process {os.getpid()}"


def write_file(
    table: pa.Table, format_: Format, path: str, mode: int | None = None
) -> tuple[int, str]:
    """Write `table` to the new file `path`, synced; its bytes and checksum.

    With `mode` these are its permissions, else those that the process's umask leaves.

    Raises
    ------
    OSError
        Of the kind that the system gave, saying what can be done.
    """
    try:
        with open(path, "xb") as file:
            if mode is not None and stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
                os.fchmod(file.fileno(), mode)
            format_.write(table, file)
            file.flush()
            sync(file.fileno())
        return digest_file(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno,
            "the run's staging directory does not exist: this worker does not see the file system "
            "of the output, or the run has ended",
            path,
        ) from error
    except OSError as error:
        with suppress(OSError):
            Path(path).unlink()  # others need the room
        is_full = error.errno == errno.ENOSPC
        cure = " (free some space, or choose another output=)" if is_full else ""
        why = f"the part can't be written: {error.strerror or error}{cure}"
        raise OSError(error.errno, why, os.path.dirname(path)) from error


def digest_file(path: str) -> tuple[int, str]:
    """Read the file `path`; return its bytes and checksum."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32))
        return file.tell(), digest.hexdigest()


def digest(data: bytes) -> str:
    """Return the checksum of `data`."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()
