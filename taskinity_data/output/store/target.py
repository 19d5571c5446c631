"""A target in a store, which a manifest that is written last makes visible.

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
from taskinity_data.output.complete import Mending
from taskinity_data.output.existing import check_all_ours, check_all_there, check_allowed, is_hidden
from taskinity_data.output.manifest import (
    MANIFEST,
    StoredPart,
    parse_manifest,
)
from taskinity_data.output.partitions import empty_directory
from taskinity_data.output.parts import check_nbytes, lacks_types, retype
from taskinity_data.output.staging import StoreStaging, WriteAttempt, name_process
from taskinity_data.output.store.lock import Marker, find_markers
from taskinity_data.sources.written import PART

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.output.complete import Earlier
    from taskinity_data.output.manifest import Manifest
    from taskinity_data.output.parts import Part
    from taskinity_data.output.store.remote import Remote
    from taskinity_data.output.write_formats import Format

__all__ = ["StoreTarget", "read_standing"]

_STAGED_MANIFEST = re.compile(re.escape(MANIFEST) + r"\.[0-9a-f]{12}")
"""The name of a manifest that is about to be moved to its place."""

_RUNS = "runs"
"""In a manifest's facts: what names of its parts have in common, one for each try."""

_LOG = logging.getLogger(__name__)


class StoreTarget:
    """A directory of a store that is locked for one run; see `LocalTarget`.

    Parameters
    ----------
    remote : Remote

    Raises
    ------
    PlanError
        Nothing can be written there, or another run is writing.
    """

    def __init__(self, remote: Remote) -> None:
        self.shown = remote.url
        self._remote, self._run = remote, os.urandom(6).hex()
        self.is_in_process = remote.store.protocol == "memory"
        self.mending: Mending | None = None
        self._before: bytes | None = None
        self._may_stand: set[str] = set()
        self._marker = Marker(remote, self._run)
        self._dead = self._marker.put()
        self.staging = self._stage(1)

    def _stage(self, batch: int) -> StoreStaging:
        process = name_process() if self.is_in_process else None
        return StoreStaging(self._remote, batch, self._run, self._marker.name, process)

    def look(self, if_exists: str, earlier: Earlier | None = None) -> Manifest | None:
        """Remove what dead runs left; the manifest of what stands there, None where nothing does.

        Raises
        ------
        PlanError
            `if_exists` does not go with it.
        ResumeError
            What `earlier` has committed is not there as it was, or leaves nothing to do.
        """
        infos = self._remote.list_files()
        self._before = _read_manifest(self._remote, infos)
        existing = _parse(self._remote, self._before)
        stale = self._find_leftovers(infos, existing)
        try:
            self._remote.remove(stale)
        except OSError as error:
            _LOG.warning("%s: what an earlier run left stays there: %s", self.shown, error)
        others = set(infos) - set(stale) - set(find_markers(infos))
        if earlier is not None:
            if existing is not None and self._find_earlier(earlier, existing, infos):
                check_all_ours(self.shown, existing, sorted(others))
                return existing
            earlier.check_there(self.shown)
        if not others:
            return None
        check_allowed(self.shown, if_exists, has_manifest=existing is not None)
        assert existing is not None
        if if_exists == "overwrite":
            check_all_ours(self.shown, existing, sorted(others))
        elif if_exists == "append":
            check_all_there(
                self.shown, existing, {name: infos[name].get("size") for name in others}
            )
        self.staging = self._stage(_batch_of(existing.parts) + 1)
        return existing

    def _find_earlier(
        self, earlier: Earlier, existing: Manifest, infos: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        """Return whether `earlier` has committed there; if so, let its parts be reused."""
        number = earlier.find(self.shown, existing)
        if number is None:
            return False
        metas = existing.metas
        runs = set(metas[number].get(_RUNS, ()))
        numbers = [n for n, part in enumerate(existing.parts) if _run_of(part.path) in runs]
        if not numbers and number != len(metas) - 1:
            raise earlier.refuse(self.shown, "other runs have appended to it since")
        first, end = (numbers[0], numbers[-1] + 1) if numbers else (len(existing.parts),) * 2
        self.mending = Mending(existing, number, first, end, lambda part, _: part.path)
        for part in self.mending.parts:
            if infos.get(part.path, {}).get("size") != part.nbytes:
                state = "was changed" if part.path in infos else "is gone"
                raise earlier.refuse(self.shown, f"{self._remote.show(part.path)} {state} since")
        self.staging = self._stage(_batch_of(self.mending.parts) or _batch_of(existing.parts) + 1)
        return True

    def _find_leftovers(self, infos: Mapping[str, Any], existing: Manifest | None) -> list[str]:
        """Files that count for nothing; the markers of dead runs stand last."""
        listed = set() if existing is None else _list(existing)
        parts = [name for name in infos if _is_staged(name) and name not in listed]
        return [*parts, *(name for name in self._dead if name in infos)]

    def holds(self, path: str) -> bool:
        """Return whether the file `path` lies in it."""
        return path.startswith(self.shown.rstrip("/") + "/")

    def gather(
        self,
        parts: Sequence[Part],
        schema: pa.Schema | None,
        format_: Format,
        partition_by: Sequence[str],
    ) -> tuple[StoredPart, ...]:
        """Return the files of `parts`, each there whole; rewrite those that lack types.

        Raises
        ------
        ReadError
            A file is missing or has another size than when it was written.
        PlanError
            Files of others have come there since the run began.
        OSError
            One can't be written again.
        """
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
                if lacks_types(part, schema, format_, partition_by):
                    data = self._remote.read(name, nbytes)
                    table = retype(format_.read(pa.BufferReader(data)), schema)
                    name, nbytes, checksum = self.staging.put(
                        table, format_, file.directory, attempt, number
                    )
                part_there = StoredPart(name, part.index, part.key, file.rows, nbytes, checksum)
                stored.append(part_there)
        return tuple(stored)

    def write_empty(
        self, schema: pa.Schema, format_: Format, partition_by: Sequence[str]
    ) -> StoredPart:
        """Write a file without rows, from which readers know the columns."""
        directory = empty_directory(schema, partition_by)
        table = schema.empty_table().drop_columns(list(partition_by))
        attempt = WriteAttempt(0, "empty", os.urandom(4).hex())
        name, nbytes, checksum = self.staging.put(table, format_, directory, attempt, 0)
        return StoredPart(name, 0, "empty", 0, nbytes, checksum)

    def publish(self, manifest: Manifest, existing: Manifest | None, if_exists: str) -> None:
        """Put the manifest that lists what was gathered: one request, after which it stands.

        Raises
        ------
        PlanError
            Another run took this one for dead; something has come there since it began.
        OSError
            The manifest can't be put, and is not there.
        """
        self._check_unchanged()
        runs = {_run_of(part.path) for part in manifest.parts} - {None}
        manifest = replace(manifest, meta={**manifest.meta, _RUNS: sorted(runs)})
        if self.mending is not None:
            manifest = self.mending.put(manifest)
        elif existing is not None and if_exists == "append":
            manifest = existing.joined(manifest)
        text = manifest.to_json().encode()
        self._may_stand = _list(manifest)
        try:
            self._remote.replace(MANIFEST, text, f"{MANIFEST}.{self._run}")
        except OSError as error:
            # The answer may have been lost, and not the request; or it is still on its way: the
            # parts stay until the next run.
            if not self._stands(text):
                raise OSError(
                    f"{error}; the dataset is what it was, unless the store did get the manifest"
                ) from None
        self._remove_old(existing)

    def _stands(self, text: bytes) -> bool:
        try:
            return self._read_now() == text
        except (OSError, TaskinityDataError):
            return False

    def _check_new(self, infos: Mapping[str, Any]) -> None:
        """Raise `PlanError` where others' files have come to a target that was not there."""
        if self._before is None and not all(is_hidden(name) or _is_staged(name) for name in infos):
            raise PlanError(self._describe_changed())

    def _check_unchanged(self) -> None:
        if self._remote.look_up(self._marker.name) is None:
            raise PlanError(
                f"output={self.shown!r}: another run took over, as this one gave no sign of life; "
                "nothing was committed. Run it again"
            )
        if self._read_now() != self._before:
            raise PlanError(self._describe_changed())

    def _describe_changed(self) -> str:
        return (
            f"output={self.shown!r}: something has come there since the run began, and was left as "
            "it is; nothing was written. Name another directory"
        )

    def _remove_old(self, old: Manifest | None) -> None:
        """Remove what the old manifest listed and the new one does not."""
        if old is None:
            return
        try:
            self._remote.remove(sorted(_list(old) - self._may_stand))
        except OSError as error:
            _LOG.warning("%s: the run has committed, but left files: %s", self.shown, error)

    def leave(self) -> None:
        """Drop what was not committed, and let the next run in.

        Where the store does not answer, what is left is removed by the next run.
        """
        try:
            # In this order: who writes a part now finds no marker behind it, and removes it.
            self._marker.remove()
            names = [name for name in self._remote.list_files() if self._is_own(name)]
            self._remote.remove(name for name in names if name not in self._may_stand)
        except (OSError, TaskinityDataError) as error:
            _LOG.warning("%s: the run has ended, but left files: %s", self.shown, error)

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

    Those of another output, in a directory below this one, are none of this one's.
    """
    *directories, last = name.split("/")
    if not directories and _STAGED_MANIFEST.fullmatch(last):
        return True
    return all("=" in directory for directory in directories) and PART.fullmatch(last) is not None
