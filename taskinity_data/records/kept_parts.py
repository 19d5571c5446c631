"""Part files of a run that has stopped, kept beside its output until it goes on.

It knows nothing of journals: it is told which parts count, and gives back those that are still what
they were. Parts that lie in a store are not kept, so their chunks run again.
"""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.records.staging import digest_file

if TYPE_CHECKING:
    from taskinity_data.records.parts import Part

__all__ = ["KeptParts", "kept_directory", "local_staging"]

_PLACE = ".run"
"""The file beside kept parts that says on which machine, and where, their run is kept."""


def kept_directory(output: Any, run_id: str) -> Path | None:
    """Where the parts of a stopped run are; None where the output can be no local directory."""
    if not isinstance(output, (str, os.PathLike)):
        return None
    text = os.fsdecode(output).removeprefix("file://")
    if "://" in text or "\0" in text or not text:
        return None
    target = Path(os.path.realpath(os.path.expanduser(text)))
    return target.parent / f".{target.name[:150]}.kept-{run_id}"


def local_staging(writer: Any) -> str | None:
    """The directory in which `writer` keeps files until the commit; None where it is none."""
    path = getattr(writer.staging, "path", writer.staging)
    return path if isinstance(path, str) else None


class KeptParts:
    """The kept parts of the run `run_id`, which writes `output`.

    Parameters
    ----------
    output : path
    run_id : str
    run_dir : pathlib.Path
        Where runs are kept: without its directory there the run can't go on.
    """

    def __init__(self, output: Any, run_id: str, run_dir: Path) -> None:
        self._directory = kept_directory(output, run_id)
        self._place = f"{socket.gethostname()}\n{run_dir / run_id}\n"

    def take(self, staging: str) -> None:
        """Put aside what was written in `staging`, a directory of a try that has ended."""
        if self._directory is None or not os.path.isdir(staging):
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for entry in os.scandir(staging):
            if entry.is_file(follow_symlinks=False):
                Path(entry.path).replace(self._directory / entry.name)
        (self._directory / _PLACE).write_text(self._place, encoding="utf-8")

    def give_back(self, part: Part, staging: str | None) -> bool:
        """Whether all files of `part` are here as they were written; then they are in `staging`."""
        if not part.files:
            return True
        if self._directory is None or staging is None:
            return False
        for file in part.files:
            path = self._directory / file.name
            if not path.is_file() or digest_file(str(path)) != (file.nbytes, file.checksum):
                return False
        for file in part.files:
            (self._directory / file.name).replace(Path(staging) / file.name)
        return True

    def remove(self) -> None:
        """Nothing of it is needed any more."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def remove_orphans(self) -> None:
        """Remove the parts of other runs of this output whose directories are gone.

        The output must be locked. Runs of other machines, whose files may not be seen here, are
        left alone.
        """
        if self._directory is None:
            return
        start = f"{self._directory.name.rpartition('.kept-')[0]}.kept-"
        try:
            entries = list(os.scandir(self._directory.parent))
        except OSError:
            return
        for entry in entries:
            if not entry.name.startswith(start) or not entry.is_dir(follow_symlinks=False):
                continue
            try:
                host, place = Path(entry.path, _PLACE).read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError):
                continue  # not known whose
            if host == socket.gethostname() and not os.path.isdir(place):
                shutil.rmtree(entry.path, ignore_errors=True)
