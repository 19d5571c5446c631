"""Part files of a run that has stopped, kept beside its output until it goes on.

It knows nothing of journals: it is told which parts count, and gives back those that are still what
they were. Parts that lie in a store are not kept, so their chunks run again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.records.staging import digest_file

if TYPE_CHECKING:
    from taskinity_data.records.parts import Part

__all__ = ["KeptParts", "kept_directory", "local_staging"]


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
    """The kept parts of the run `run_id`, which writes `output`."""

    def __init__(self, output: Any, run_id: str) -> None:
        self._directory = kept_directory(output, run_id)

    def take(self, staging: str) -> None:
        """Put aside what was written in `staging`, a directory of a try that has ended."""
        if self._directory is None or not os.path.isdir(staging):
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        for entry in os.scandir(staging):
            if entry.is_file(follow_symlinks=False):
                Path(entry.path).replace(self._directory / entry.name)

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
