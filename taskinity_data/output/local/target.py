"""A target on a local file system, which one rename makes visible; the steps are in `commit`."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.disk import link
from taskinity_data.errors import PlanError
from taskinity_data.output.complete import Around, Mending
from taskinity_data.output.existing import check_all_ours, check_all_there, check_allowed
from taskinity_data.output.local import commit as steps
from taskinity_data.output.local.work_place import enter
from taskinity_data.output.manifest import (
    BATCH,
    BATCH_NUMBER,
    MANIFEST,
    batch_of,
    list_batches,
    read_manifest,
)
from taskinity_data.output.staging import LocalStaging, digest_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from taskinity_data.output.complete import Earlier
    from taskinity_data.output.manifest import Manifest, StoredPart
    from taskinity_data.output.parts import Part
    from taskinity_data.output.write_formats import Format

__all__ = ["LocalTarget", "find_directory"]


class LocalTarget:
    """A directory that is locked for one run; see `Target`.

    Parameters
    ----------
    path : str
        As `find_directory` gives it.
    """

    is_in_process = False

    def __init__(self, path: str) -> None:
        self.shown = path
        self._work = enter(path)
        self._batch = 0  # how many runs have added parts before
        self._around: Around | None = None
        self.staging = LocalStaging(self._work.parts)
        self.mending: Mending | None = None

    def look(self, if_exists: str, earlier: Earlier | None = None) -> Manifest | None:
        """Remove what dead runs left; the manifest of what stands there, None where nothing does.

        Raises
        ------
        PlanError
            `if_exists` does not go with it.
        ResumeError
            What `earlier` has committed is not there as it was, or leaves nothing to do.
        """
        self._work.prepare()
        self.staging = LocalStaging(self._work.parts, self._work.mode)
        path = self.shown
        if earlier is not None:
            self.mending = self._find_earlier(earlier)
            if self.mending is not None:
                return self.mending.manifest
            earlier.check_there(path)
        if not _has_entries(path):
            return None
        has_manifest = os.path.isfile(os.path.join(path, MANIFEST))
        check_allowed(path, if_exists, has_manifest=has_manifest)
        try:
            existing = read_manifest(path)
        except FileNotFoundError as error:
            raise PlanError(
                f"output={path!r}: there is no {error.filename}, which tells what a run wrote "
                "there; bring it back, move the directory, or name another one"
            ) from error
        # Whoever reads the directory would read a file of others with what is added.
        files = list(_walk(path))
        check_all_ours(path, existing, files, if_exists)
        if if_exists == "append":
            listed = {part.path for part in existing.parts}.intersection(files)
            sizes = {name: os.path.getsize(os.path.join(path, name)) for name in listed}
            check_all_there(path, existing, sizes)
            self._batch = max(meta.get(BATCH_NUMBER, 0) for meta in existing.metas) + 1
        return existing

    def _find_earlier(self, earlier: Earlier) -> Mending | None:
        """Return what `earlier` has committed, after every file was found unchanged."""
        path = self.shown
        if not os.path.isfile(os.path.join(path, MANIFEST)):
            return None
        manifest = read_manifest(path)
        metas = manifest.metas
        number = next((n for n, meta in enumerate(metas) if earlier.wrote(meta)), None)
        if number is None:
            return None
        meta = metas[number]
        earlier.check_open(path, meta)
        if list_batches(path):
            raise earlier.refuse(path, "an earlier version has appended to it")
        check_all_ours(path, manifest, _walk(path))
        self._batch = meta.get(BATCH_NUMBER, 0)
        # Parts stand in the order of batches.
        batches = [batch_of(part.path) for part in manifest.parts]
        first, end = bisect_left(batches, self._batch), bisect_right(batches, self._batch)
        parts = manifest.parts[first:end]
        self._around = Around(manifest, number, manifest.parts[:first], manifest.parts[end:])
        for part in parts:
            name = os.path.join(path, part.path)
            if not os.path.isfile(name) or digest_file(name) != (part.nbytes, part.checksum):
                state = "was changed" if os.path.isfile(name) else "is gone"
                raise earlier.refuse(path, f"{name} {state} since")
        return Mending(
            replace(manifest, parts=parts, meta=meta),
            self._bring,
            expected=manifest.schema if number else None,
            is_added=number > 0,
            others=[other for other in metas if other.get("run_id") != earlier.run_id],
        )

    def _bring(self, part: StoredPart, name: str) -> str:
        """Stage a file that stands in the target, which keeps it, once more."""
        link(os.path.join(self.shown, part.path), os.path.join(self.staging.path, name))
        return name

    def holds(self, path: str) -> bool:
        """Return whether the file `path` lies in it."""
        inside = self.shown + os.sep
        return path.startswith(inside) or os.path.realpath(path).startswith(inside)

    def gather(
        self,
        parts: Sequence[Part],
        schema: pa.Schema | None,
        format_: Format,
        partition_by: Sequence[str],
    ) -> tuple[StoredPart, ...]:
        """See `commit.gather`."""
        return steps.gather(self._work, parts, schema, format_, partition_by, self._batch)

    def write_empty(
        self, schema: pa.Schema, format_: Format, partition_by: Sequence[str]
    ) -> StoredPart:
        """See `commit.write_empty`."""
        return steps.write_empty(self._work, schema, format_, partition_by)

    def publish(self, manifest: Manifest, existing: Manifest | None, if_exists: str) -> None:
        """Make what was gathered visible in one step."""
        work = self._work
        if self._batch:
            manifest = replace(manifest, meta={**manifest.meta, BATCH_NUMBER: self._batch})
        if self._around is not None:
            around = self._around
            retained = {part.path for part in (*around.before, *around.after)}
            steps.carry_over(work, {}, {part.path for part in around.whole.parts} - retained)
            steps.describe(work, replace(around.put(manifest), is_whole=True))
            steps.publish_over(work)
        elif existing is not None and if_exists == "append":
            names = {part.path: _flat_name(part.path) for part in existing.parts}
            steps.carry_over(work, names, ())
            parts = tuple(replace(part, path=names[part.path]) for part in existing.parts)
            whole = replace(existing, parts=parts).joined(manifest)
            steps.describe(work, replace(whole, is_whole=True))
            steps.publish_over(work)
        else:
            steps.describe(work, manifest)
            if if_exists == "overwrite" and _has_entries(work.target):
                steps.publish_over(work)
            else:
                steps.publish_new(work)

    def leave(self) -> None:
        """Drop what was not committed, and unlock."""
        self._work.leave()


def find_directory(text: str) -> str:
    """Return the absolute path, links resolved, of a directory that can be a target.

    Raises
    ------
    PlanError
        The path is empty or invalid, a file, or a mount point.
    """
    if not text:
        raise PlanError("output: the path is empty; name a directory")
    if "\0" in text:
        raise PlanError(f"output={text!r} is not a path; name a directory")
    path = os.path.realpath(os.path.expanduser(text))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise PlanError(f"output={text!r} is a file; name a directory")
    if os.path.ismount(path):
        raise PlanError(
            f"output={text!r} is a mount point, which can't be replaced in one step; name a "
            "directory in it"
        )
    return path


def _flat_name(path: str) -> str:
    """Return the name, beside the first parts, of a part of a batch with its own directory.

    Earlier versions made such.
    """
    batch, _, below = path.partition("/")
    if not below or not batch.startswith(BATCH):
        return path
    directory, name = os.path.split(below)
    return os.path.join(directory, f"{BATCH}{batch_of(path):05}-{name.removeprefix('part-')}")


def _has_entries(path: str) -> bool:
    return os.path.isdir(path) and bool(os.listdir(path))


def _walk(path: str) -> Iterator[str]:
    for parent, directories, names in os.walk(path):
        directories[:] = [name for name in directories if not name.startswith((".", "_"))]
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), path)
