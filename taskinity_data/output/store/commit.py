"""From parts in a store to a manifest that lists them, which makes them visible.

A store renames nothing: parts are written under their last names, which hold the run's, and count
once the manifest lists them.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import PlanError, TaskinityDataError
from taskinity_data.output.existing import is_hidden
from taskinity_data.output.manifest import MANIFEST, RUNS, StoredPart, parse_manifest
from taskinity_data.output.parts import check_nbytes, lacks_types, retype
from taskinity_data.output.staging import StoreStaging, WriteAttempt, name_process
from taskinity_data.output.store.lock import Marker, find_markers
from taskinity_data.output.target import Sink
from taskinity_data.sources.written import PART

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.output.manifest import Manifest
    from taskinity_data.output.parts import Part
    from taskinity_data.output.store.remote import Remote

__all__ = ["StoreSink", "read_standing"]

_STAGED_MANIFEST = re.compile(re.escape(MANIFEST) + r"\.[0-9a-f]{12}")
"""The name of a manifest that is about to be moved to its place."""

_LOG = logging.getLogger(__name__)


class StoreSink(Sink):
    """A directory of a store, which a manifest that is written last makes visible.

    Parameters
    ----------
    remote : Remote

    Raises
    ------
    PlanError
        Nothing can be written there, or another run is writing.
    """

    _shows_all_files = False

    def __init__(self, remote: Remote) -> None:
        super().__init__(remote.url)
        self._remote, self._run = remote, os.urandom(6).hex()
        self.is_in_process = remote.store.protocol == "memory"
        self._before: bytes | None = None
        self._sizes: dict[str, int | None] = {}
        self._may_stand: set[str] = set()
        self._marker = Marker(remote, self._run)
        self._dead = self._marker.put()
        self.staging = self._stage(1)

    def _stage(self, batch: int) -> StoreStaging:
        process = name_process() if self.is_in_process else None
        return StoreStaging(self._remote, batch, self._run, self._marker.name, process)

    def _read_existing(self) -> Manifest | None:
        infos = self._remote.list_files()
        self._before = _read_manifest(self._remote, infos)
        existing = _parse(self._remote, self._before)
        stale = self._find_leftovers(infos, existing)
        try:
            self._remote.remove(stale)
        except OSError as error:
            _LOG.warning("%s: what an earlier run left stays there: %s", self.target, error)
        others = infos.keys() - {*stale, *find_markers(infos)}
        self._sizes = {name: infos[name].get("size") for name in sorted(others)}
        return existing

    def _has_files(self) -> bool:
        return bool(self._sizes)

    def _list_files(self) -> dict[str, int | None]:
        return self._sizes

    def _follow(self, existing: Manifest) -> None:
        mended = 0 if self.mending is None else _batch_of(self.mending.parts)
        self.staging = self._stage(mended or _batch_of(existing.parts) + 1)

    def _find_leftovers(self, infos: Mapping[str, Any], existing: Manifest | None) -> list[str]:
        """Files that are ignored; the markers of dead runs come last."""
        listed = set() if existing is None else _list(existing)
        parts = [name for name in infos if _is_staged(name) and name not in listed]
        return [*parts, *(name for name in self._dead if name in infos)]

    def _gather(self, parts: Sequence[Part], schema: pa.Schema | None) -> tuple[StoredPart, ...]:
        format_ = self.writer.format
        infos = self._remote.list_files()
        self._check_new(infos)
        stored = []
        for part in parts:
            attempt = WriteAttempt(part.index, part.key, os.urandom(4).hex(), part.within)
            for number, file in enumerate(part.files):
                size = infos.get(file.name, {}).get("size", -1)
                path = self._remote.show(file.name)
                check_nbytes(part, path, size, file.nbytes, "has something else removed it")
                name, nbytes, checksum = file.name, file.nbytes, file.checksum
                if lacks_types(part, schema, format_, self.writer.partition_by):
                    data = self._remote.read(name, nbytes)
                    table = retype(format_.read(pa.BufferReader(data)), schema)
                    name, nbytes, checksum = self.staging.put(
                        table, format_, file.directory, attempt, number
                    )
                part_there = StoredPart(name, part.index, part.key, file.rows, nbytes, checksum)
                stored.append(part_there)
        return tuple(stored)

    def _put_empty(self, table: pa.Table, directory: str) -> tuple[str, int, str]:
        attempt = WriteAttempt(0, "empty", os.urandom(4).hex())
        return self.staging.put(table, self.writer.format, directory, attempt, 0)

    def _publish(self, manifest: Manifest) -> None:
        self._check_unchanged()
        runs = {_run_of(part.path) for part in manifest.parts} - {None}
        manifest = self._join(replace(manifest, meta={**manifest.meta, RUNS: sorted(runs)}))
        text = manifest.to_json().encode()
        self._may_stand = _list(manifest)
        try:
            self._remote.replace(MANIFEST, text, f"{MANIFEST}.{self._run}")
        except OSError as error:
            # The answer may have been lost, and not the request; or it is still on its way: the
            # parts stay until the next run.
            if not self._stands(text):
                raise OSError(
                    f"{error}; the dataset is unchanged, unless the store received the manifest"
                ) from None
        self._remove_old()

    def _stands(self, text: bytes) -> bool:
        try:
            return self._read_now() == text
        except (OSError, TaskinityDataError):
            return False

    def _check_new(self, infos: Mapping[str, Any]) -> None:
        """Raise `PlanError` if others' files have come to a target that was not there."""
        if self._before is None and not all(is_hidden(name) or _is_staged(name) for name in infos):
            raise PlanError(self._describe_changed())

    def _check_unchanged(self) -> None:
        if self._remote.look_up(self._marker.name) is None:
            raise PlanError(
                f"output={self.target!r}: another run took over, because this one stopped renewing "
                "its lock; nothing was committed. Run it again"
            )
        if self._read_now() != self._before:
            raise PlanError(self._describe_changed())

    def _describe_changed(self) -> str:
        return (
            f"output={self.target!r}: something has come there since the run began, and was left "
            "as it is; nothing was written. Choose another directory"
        )

    def _remove_old(self) -> None:
        """Remove what the old manifest listed and the new one does not."""
        if self._existing is None:
            return
        try:
            self._remote.remove(sorted(_list(self._existing) - self._may_stand))
        except OSError as error:
            _LOG.warning("%s: the run has committed, but left files: %s", self.target, error)

    def _leave(self) -> None:
        # Where the store does not answer, what is left is removed by the next run.
        try:
            # In this order: who writes a part now finds no marker behind it, and removes it.
            self._marker.remove()
            names = [name for name in self._remote.list_files() if self._is_own(name)]
            self._remote.remove(name for name in names if name not in self._may_stand)
        except (OSError, TaskinityDataError) as error:
            _LOG.warning("%s: the run has ended, but left files: %s", self.target, error)

    def _is_own(self, name: str) -> bool:
        return _is_staged(name) and self._run in os.path.basename(name)

    def _read_now(self) -> bytes | None:
        info = self._remote.look_up(MANIFEST)
        return _read_manifest(self._remote, {} if info is None else {MANIFEST: info})


def read_standing(remote: Remote) -> Manifest | None:
    """Return the manifest of a directory of a store, None if it has none."""
    infos = remote.list_files()
    return _parse(remote, _read_manifest(remote, infos))


def _read_manifest(remote: Remote, infos: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    return remote.read(MANIFEST, infos[MANIFEST]["size"]) if MANIFEST in infos else None


def _parse(remote: Remote, text: bytes | None) -> Manifest | None:
    return None if text is None else parse_manifest(text, remote.show(MANIFEST))


def _list(manifest: Manifest) -> set[str]:
    return {part.path for part in manifest.parts}


def _run_of(name: str) -> str | None:
    """Return what the names of a run's parts have in common."""
    match = PART.fullmatch(os.path.basename(name))
    return None if match is None else match["run"]


def _batch_of(parts: Sequence[StoredPart]) -> int:
    """Return the last batch that `parts` are of, 0 if there are none."""
    matches = (PART.fullmatch(os.path.basename(part.path)) for part in parts)
    return max((int(match["batch"]) for match in matches if match), default=0)


def _is_staged(name: str) -> bool:
    """Return whether a run writes files of that name, which count once a manifest lists them.

    Those of another output, in a directory below this one, do not belong to this one.
    """
    *directories, last = name.split("/")
    if not directories and _STAGED_MANIFEST.fullmatch(last):
        return True
    return all("=" in directory for directory in directories) and PART.fullmatch(last) is not None
