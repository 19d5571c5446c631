"""What tells that a file is still the one that was planned.

It knows nothing of what lies in the file, or of who asks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from taskinity_data.errors import SourceChanged

__all__ = ["Fingerprint"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells that a file is still the one that was planned.

    `tag` is empty for local files; for those of stores the entity tag, or ``"-"`` where there is
    none, and the time counts (0 where there is none either: then the size alone tells).
    """

    nbytes: int
    mtime_ns: int
    inode: int
    tag: str = ""

    @classmethod
    def of(cls, path: str) -> Fingerprint:
        """The fingerprint of the local file `path` as it is now.

        Raises
        ------
        OSError
            The file is not there, or may not be looked at.
        """
        stat = os.stat(path)
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino)

    def __str__(self) -> str:
        if self.tag and not self.mtime_ns:
            return f"{self.nbytes:,} bytes, entity tag {self.tag}"
        at = datetime.fromtimestamp(self.mtime_ns / 1e9, UTC).isoformat(" ", "milliseconds")
        number = "" if self.tag else f", file number {self.inode}"
        return f"{self.nbytes:,} bytes of {at}{number}"

    def check(self, path: str, start: int) -> None:
        """Raise `SourceChanged` where `path` is no longer this file."""
        try:
            now = Fingerprint.of(path)
        except FileNotFoundError as error:
            raise SourceChanged(
                f"{path}: the file was planned but is gone; plan again", path=path, start=start
            ) from error
        if now != self:
            raise SourceChanged(
                f"{path}: the file changed after it was planned ({self} then, {now} now); "
                "plan again",
                path=path,
                start=start,
            )
