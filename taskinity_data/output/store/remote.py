"""List, read and write files in a directory of a remote store.

Errors of libraries are replaced by others, since their messages quote URLs and headers, which may
contain secrets.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SourceNotFound
from taskinity_data.redact import WEB, clean_url
from taskinity_data.sources.store import find_cause, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.sources.store import Store

__all__ = ["Remote", "open_remote"]

REQUESTS_AT_ONCE = 16
"""Files that are removed at a time: nearly all of that is waiting."""

_ARCHIVES = ("zip", "tar", "libarchive", "reference", "dir", "generic", "data")
_FILE_SYSTEMS = ("local", "sftp", "ssh", "smb", "ftp", "hdfs", "webhdfs", "arrow_hdfs", "dbfs")
"""Protocols with real directories, whose files show while they are written. All others are taken
for object stores, which show an object once it is there whole."""

_GONE = ("FileNotFoundError", "NoSuchBucket", "NoSuchKey", "ResourceNotFoundError")
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError")
_DENIED = ("PermissionError", "Forbidden", "ClientAuthenticationError")


@dataclass(frozen=True)
class Remote:
    """A directory of a store; pickles.

    Attributes
    ----------
    store : Store
    name : str
        What the store calls the directory, without a slash at its end.
    """

    store: Store
    name: str

    @property
    def url(self) -> str:
        """Its URL, without secrets."""
        return clean_url(self.store.show(self.name))

    @property
    def is_file_system(self) -> bool:
        """Whether it has directories that have to be made, and files that show half-written."""
        return self.store.protocol in _FILE_SYSTEMS

    def show(self, relative: str) -> str:
        """Return the URL of the file `relative`, without secrets."""
        return clean_url(self.store.show(self._full(relative)))

    def check(self) -> None:
        """Raise `PlanError` if it is a file, or where nothing can be seen of the store."""
        try:
            info = self.store.look_up(self.name, self.url)
        except SourceNotFound:
            return
        if info.get("type") == "file":
            raise PlanError(f"output={self.url!r} is a file; give a directory")

    def list_files(self, below: str = "") -> dict[str, dict[str, Any]]:
        """Return all files in it, by names relative to it, each with what is reported; one listing.

        Parameters
        ----------
        below : str
            A directory in it, whose files alone are wanted.

        Raises
        ------
        PlanError
            There is no such bucket; the store can't be reached, or shows nothing to these
            credentials.
        """
        try:
            infos = self.store.find(f"{self.name}/{below}".rstrip("/"), self.url)
        except SourceNotFound as error:
            if self.is_file_system:
                return {}  # to be made
            raise PlanError(
                f"output={self.url!r}: there is no such bucket or container; create it first, or "
                "choose another"
            ) from error
        return {
            name[len(self.name) :].lstrip("/"): info
            for name, info in infos.items()
            if info.get("type") == "file" and not name.endswith("/")
        }

    def look_up(self, relative: str) -> dict[str, Any] | None:
        """Return what the store reports about one file, None if it is not there."""
        name = self._full(relative)
        try:
            return self.store.look_up(name, self.show(relative))
        except SourceNotFound:
            return None

    def read(self, relative: str, nbytes: int) -> bytes:
        """Return all bytes of a file of that size; `ReadError` if it can't be read."""
        name = self._full(relative)
        return self.store.read(name, self.show(relative), [(0, nbytes)])[0]

    def put(self, relative: str, data: bytes) -> None:
        """Put a file there, in the place of one of that name.

        Raises
        ------
        OSError
            It can't be written. An upload of several parts is aborted by fsspec's file system.

        Notes
        -----
        An object store shows it once all of it is there.
        """
        try:
            system = self.store.system
            name = self._full(relative)
            if self.is_file_system:
                system.makedirs(os.path.dirname(name), exist_ok=True)
            system.pipe_file(name, data)
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise explain(self.show(relative), error) from None

    def replace(self, relative: str, data: bytes, staged: str) -> None:
        """Write the file `relative` in one step, replacing an existing one.

        On a file system, where half-written files are visible, `data` is written to the name
        `staged` first, and moved.

        Raises
        ------
        OSError
            It can't be written.
        """
        if not self.is_file_system:
            self.put(relative, data)
            return
        self.put(staged, data)
        try:
            self.store.system.mv(self._full(staged), self._full(relative))
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            raise explain(self.show(relative), error) from None

    def remove(self, relatives: Iterable[str]) -> None:
        """Remove files, several at a time; those that are gone already are none's concern.

        Raises
        ------
        OSError
            One can't be removed; the others are.
        """
        names = list(relatives)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            errors = [error for error in pool.map(self._remove_one, names) if error is not None]
        if self.is_file_system:
            self._remove_empty(names)
        if errors:
            raise errors[0]

    def _remove_one(self, relative: str) -> OSError | None:
        try:
            self.store.system.rm_file(self._full(relative))
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            return explain(self.show(relative), error)
        return None

    def _remove_empty(self, names: Iterable[str]) -> None:
        """Remove the directories of `names` that hold nothing any more, up to this one."""
        parents: set[str] = set()
        for name in names:
            while name:
                name = os.path.dirname(name)
                parents.add(name)
        for parent in sorted(parents, key=len, reverse=True):
            with suppress(OSError):
                self.store.system.rmdir(self._full(parent).rstrip("/"))

    def _full(self, relative: str) -> str:
        return f"{self.name}/{relative}"


def open_remote(url: str, options: Mapping[str, Any]) -> Remote:
    """Return the directory that `url` names; no request is made yet.

    Raises
    ------
    PlanError
        It can't be written to, whoever asks: the web, archives, chains of protocols, no directory.
    """
    shown = clean_url(url)
    protocol = url.partition("://")[0].lower()
    if "::" in protocol or protocol in _ARCHIVES or "::" in shown:
        raise PlanError(
            f"output={shown!r}: archives and chained URLs can't be written; give a directory of "
            "the store itself"
        )
    if protocol in WEB:
        raise PlanError(
            f"output={shown!r}: files can't be written to a web server; give a local directory, or "
            "a store such as s3://BUCKET/NAME"
        )
    store, name = open_store(url, options)
    name = name.rstrip("/")
    if not name.strip("/"):
        raise PlanError(f"output={shown!r} has no directory; write {protocol}://BUCKET/NAME")
    if "=" in name.rpartition("/")[2]:
        raise PlanError(
            f"output={shown!r}: readers would mistake the last name for a partition; give a "
            "directory without ="
        )
    return Remote(store, name)


def explain(url: str, error: BaseException) -> OSError:
    """Return what is wrong with writing `url`, and what to do, without the library's own words."""
    kind, status, code = find_cause(error)
    cause = " ".join(str(detail) for detail in (status, code) if detail) or kind
    if kind in _NO_KEYS:
        return PermissionError(
            f"{url}: can't be written, as no credentials were found; give them in storage_options, "
            "or in the environment"
        )
    if kind in _DENIED or status in (401, 403):
        return PermissionError(
            f"{url}: the store does not let these credentials write or remove it ({cause}); give "
            "others in storage_options, or in the environment"
        )
    if kind in _GONE or status == 404:
        return FileNotFoundError(
            f"{url}: can't be written, as there is no such bucket or container ({cause}); create "
            "it first, or choose another"
        )
    if kind == "NotImplementedError":
        return OSError(f"{url}: stores of this protocol can be read, and not written to")
    number = error.errno if isinstance(error, OSError) else None
    if number and not code:
        cause = os.strerror(number)
    return OSError(f"{url}: can't be written ({cause}); see whether the store can be reached")
