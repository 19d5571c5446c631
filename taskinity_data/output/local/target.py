"""A target on a local file system, which one rename makes visible; the steps are in `commit`."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.disk import link
from taskinity_data.errors import PlanError
from taskinity_data.output.complete import Mending
from taskinity_data.output.existing import check_all_ours, check_all_there, check_allowed
from taskinity_data.output.local import commit as steps
from taskinity_data.output.local.work_place import enter
from taskinity_data.output.manifest import (
    BATCH_NUMBER,
    MANIFEST,
    batch_of,
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
    """A directory that is locked for one run, and how it becomes what the run wrote.

    Parameters
    ----------
    path : str
        As `find_directory` gives it.

    Attributes
    ----------
    shown : str
        Its name, for messages; of a store without secrets.
    is_in_process : bool
        Whether only threads of this process can write to it.
    staging : Staging
        Takes the files of parts; known from `look` on.
    mending : Mending or None
        What a run that goes on has committed, which the next commit takes the place of.
    """

    is_in_process = False

    def __init__(self, path: str) -> None:
        self.shown = path
        self._work = enter(path)
        self._batch = 0  # how many runs have added parts before
        self.staging = LocalStaging(self._work.parts)
        self.mending: Mending | None = None

    def look(self, if_exists: str, earlier: Earlier | None = None) -> Manifest | None:
        """Remove what dead runs left; the manifest of what stands there, None where nothing does.

        What `earlier` has committed is looked for first, and becomes `mending`.

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
            committed = self._find_earlier(earlier)
            if committed is not None:
                existing, self.mending = committed
                return existing
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

    def _find_earlier(self, earlier: Earlier) -> tuple[Manifest, Mending] | None:
        """Return what `earlier` has committed, after every file was found unchanged."""
        path = self.shown
        if not os.path.isfile(os.path.join(path, MANIFEST)):
            return None
        manifest = read_manifest(path)
        number = earlier.find(path, manifest)
        if number is None:
            return None
        check_all_ours(path, manifest, _walk(path))
        self._batch = manifest.metas[number].get(BATCH_NUMBER, 0)
        # Parts stand in the order of batches.
        batches = [batch_of(part.path) for part in manifest.parts]
        first, end = bisect_left(batches, self._batch), bisect_right(batches, self._batch)
        mending = Mending(manifest, number, first, end, self._bring)
        for part in mending.parts:
            name = os.path.join(path, part.path)
            if not os.path.isfile(name) or digest_file(name) != (part.nbytes, part.checksum):
                state = "was changed" if os.path.isfile(name) else "is gone"
                raise earlier.refuse(path, f"{name} {state} since")
        return manifest, mending

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
        if self.mending is not None:
            steps.carry_over(work, {part.path for part in self.mending.parts})
            steps.describe(work, self.mending.put(manifest))
            steps.publish_over(work)
        elif existing is not None and if_exists == "append":
            steps.carry_over(work, ())
            steps.describe(work, existing.joined(manifest))
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


def _has_entries(path: str) -> bool:
    return os.path.isdir(path) and bool(os.listdir(path))


def _walk(path: str) -> Iterator[str]:
    for parent, directories, names in os.walk(path):
        directories[:] = [name for name in directories if not name.startswith((".", "_"))]
        for name in names:
            yield os.path.relpath(os.path.join(parent, name), path)
