"""Fingerprints by which a file, or an object of a store, is known to be the one planned."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.errors import PlanError, SourceChanged

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Fingerprint",
    "fingerprint_of",
]


class Fingerprint(NamedTuple):
    """The properties by which a file is known to be the one that was planned.

    `tag` is empty for local files; for those of stores the ETag, or ``"-"`` where there is none,
    and the time counts (0 where there is none either: then the size alone tells).
    """

    nbytes: int
    mtime_ns: int
    inode: int
    tag: str = ""

    @classmethod
    def of(cls, path: str) -> Fingerprint:
        """Return the fingerprint of the local file `path` as it is now.

        Raises
        ------
        OSError
            The file is not there, or may not be looked at.
        """
        stat = os.stat(path)
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ino)

    def __str__(self) -> str:
        if self.tag and not self.mtime_ns:
            return f"{self.nbytes:,} bytes, ETag {self.tag}"
        at = datetime.fromtimestamp(self.mtime_ns / 1e9, UTC).isoformat(" ", "milliseconds")
        number = "" if self.tag else f", inode {self.inode}"
        return f"{self.nbytes:,} bytes of {at}{number}"

    def check(self, path: str, start: int) -> None:
        """Raise `SourceChanged` if the local file `path` is no longer this one."""
        try:
            now = Fingerprint.of(path)
        except FileNotFoundError:
            now = None
        self.check_same(now, path, start)

    def check_same(self, now: Fingerprint | None, path: str, start: int) -> None:
        """Raise `SourceChanged` if what is at `path` is `now`, None for nothing, and not this."""
        if now is None:
            raise SourceChanged(
                f"{path}: the file was planned but is gone; plan again", path=path, start=start
            )
        if now != self:
            raise SourceChanged(
                f"{path}: the file changed after it was planned ({self} then, {now} now); "
                "plan again",
                path=path,
                start=start,
            )


_TAGS = ("ETag", "etag", "generation", "md5Hash", "sha", "blob_id", "Content-MD5", "Digest")
_TIMES = (
    "LastModified",
    "last_modified",
    "Last-Modified",
    "mtime",
    "updated",
    "modified",
    "created",
)


def fingerprint_of(info: Mapping[str, Any], path: str) -> Fingerprint:
    """Return the fingerprint in what a store reports: a tag, else a time; and the size.

    Raises
    ------
    PlanError
        The store gives no size.
    """
    nbytes = info.get("size")
    if nbytes is None:
        raise PlanError(
            f"{path}: the server does not report the file's size, so it can't be split; download "
            "the file and give the path"
        )
    # Listings write tags without quotes, and tell times to the millisecond that a request for one
    # object tells to the second.
    tag = next((str(info[key]).replace('"', "") for key in _TAGS if info.get(key)), "")
    times = () if tag else (info[key] for key in _TIMES if info.get(key))
    return Fingerprint(int(nbytes), next((_to_ns(value) for value in times), 0), 0, tag or "-")


def _to_ns(value: Any) -> int:
    if isinstance(value, str):
        # Only web servers state times as mail does; the module and what it loads take 3 ms.
        from email.utils import parsedate_to_datetime

        try:
            value = parsedate_to_datetime(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return round(float(value) * 1e9)
