"""From staged parts to a complete directory: gather, describe, sync, rename.

Until the last rename nothing outside the run's own
directory has changed.
"""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from taskinity_data.disk import (
    exchange,
    link,
    make_directories,
    rename,
    sync,
    sync_directory,
    sync_tree,
)
from taskinity_data.errors import LedgerError, PlanError
from taskinity_data.output.local.work_place import enter
from taskinity_data.output.manifest import (
    BATCH,
    BATCH_NUMBER,
    MANIFEST,
    StoredPart,
    read_manifest,
)
from taskinity_data.output.parts import check_nbytes, lacks_types, retype
from taskinity_data.output.staging import LocalStaging, digest_file, write_file
from taskinity_data.output.target import Sink

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from taskinity_data.output.local.work_place import WorkPlace
    from taskinity_data.output.manifest import Manifest
    from taskinity_data.output.parts import Part, StagedFile

__all__ = ["LocalSink", "find_directory"]


class LocalSink(Sink):
    """A directory of this machine, which one rename makes visible.

    Parameters
    ----------
    path : str
        As `find_directory` gives it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._work = enter(path)
        self._batch = 0  # how many runs have added parts before

    def _read_existing(self) -> Manifest | None:
        self._work.prepare()
        self.staging = LocalStaging(self._work.parts, self._work.mode)
        has_manifest = os.path.isfile(os.path.join(self.target, MANIFEST))
        return read_manifest(self.target) if has_manifest else None

    def _has_files(self) -> bool:
        return os.path.isdir(self.target) and bool(os.listdir(self.target))

    def _list_files(self) -> dict[str, int | None]:
        sizes: dict[str, int | None] = {}
        for parent, directories, names in os.walk(self.target):
            directories[:] = [name for name in directories if not name.startswith((".", "_"))]
            for name in names:
                path = os.path.join(parent, name)
                size = os.path.getsize(path) if os.path.isfile(path) else -1
                sizes[os.path.relpath(path, self.target)] = size
        return sizes

    def _follow(self, existing: Manifest) -> None:
        if self.mending is not None:
            self._batch = self.mending.meta.get(BATCH_NUMBER, 0)
        elif self._is_added:
            self._batch = max(meta.get(BATCH_NUMBER, 0) for meta in existing.metas) + 1

    def _is_whole(self, part: StoredPart) -> bool:
        path = os.path.join(self.target, part.path)
        return digest_file(path) == (part.nbytes, part.checksum)

    def _bring(self, part: StoredPart, name: str) -> str:
        link(os.path.join(self.target, part.path), os.path.join(self._work.parts, name))
        return name

    def holds(self, path: str) -> bool:
        """Return whether the file `path` is in it."""
        return super().holds(path) or super().holds(os.path.realpath(path))

    def _gather(self, parts: Sequence[Part], schema: pa.Schema | None) -> tuple[StoredPart, ...]:
        format_ = self.writer.format
        stored = []
        for part, file, name in _name_files(parts, format_.name, self._batch):
            source = os.path.join(self._work.parts, file.name)
            directory = make_directories(self._work.final, file.directory)
            path = os.path.join(directory, name)
            size = os.path.getsize(source) if os.path.isfile(source) else -1
            check_nbytes(part, source, size, file.nbytes, "do all workers see the same file system")
            if os.path.lexists(path):
                raise LedgerError(
                    f"{part.label}: a second file would be named {file.directory}/{name}; this "
                    "file system treats both names as equal; partition by another column"
                )
            nbytes, checksum = file.nbytes, file.checksum
            if lacks_types(part, schema, format_, self.writer.partition_by):
                with pa.OSFile(source) as opened:
                    table = retype(format_.read(opened), schema)
                nbytes, checksum = write_file(table, format_, path)
            else:
                rename(source, path)
            relative = os.path.join(file.directory, name)
            stored.append(StoredPart(relative, part.index, part.key, file.rows, nbytes, checksum))
        return tuple(stored)

    def _put_empty(self, table: pa.Table, directory: str) -> tuple[str, int, str]:
        name = os.path.join(directory, f"part-00000-empty.{self.writer.format.name}")
        make_directories(self._work.final, directory)
        written = write_file(table, self.writer.format, os.path.join(self._work.final, name))
        return name, *written

    def _publish(self, manifest: Manifest) -> None:
        work = self._work
        if self._batch:
            manifest = replace(manifest, meta={**manifest.meta, BATCH_NUMBER: self._batch})
        if self.mending is not None:
            carry_over(work, {part.path for part in self.mending.parts})
        elif self._is_added:
            carry_over(work, ())
        describe(work, self._join(manifest))
        if self._existing is not None and self._has_files():
            publish_over(work)
        else:
            publish_new(work)

    def _leave(self) -> None:
        self._work.leave()


def find_directory(text: str) -> str:
    """Return the absolute path, links resolved, of a directory that can be a target.

    Raises
    ------
    PlanError
        The path is empty or invalid, a file, or a mount point.
    """
    if not text:
        raise PlanError("output: the path is empty; give a directory")
    if "\0" in text:
        raise PlanError(f"output={text!r} is not a path; give a directory")
    path = os.path.realpath(os.path.expanduser(text))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise PlanError(f"output={text!r} is a file; give a directory")
    if os.path.ismount(path):
        raise PlanError(
            f"output={text!r} is a mount point, which can't be replaced in one step; give a "
            "directory in it"
        )
    return path


def describe(work: WorkPlace, manifest: Manifest) -> None:
    """Write `manifest` into the run's `final` directory, and sync all that is in it."""
    with open(os.path.join(work.final, MANIFEST), "x", encoding="utf-8") as file:
        file.write(manifest.to_json())
        file.flush()
        sync(file.fileno())
    sync_tree(work.final)


def publish_new(work: WorkPlace) -> None:
    """Make `final` the target, which is not there, or an empty directory: one rename.

    Raises
    ------
    PlanError
        Something has come there since the run began.
    """
    try:
        rename(work.final, work.target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise PlanError(
            f"output={work.target!r}: it was created by something else during the run; nothing was "
            "written. Choose another directory"
        ) from error
    sync_directory(os.path.dirname(work.target))


def carry_over(work: WorkPlace, left_out: Collection[str]) -> None:
    """Give all that the target holds a second name in `final`, which is to take its place.

    Parameters
    ----------
    work : WorkPlace
    left_out : collection of str
        Files that are not to be there, relative to the target. Its manifest is not, either.
    """
    shutil.copystat(work.target, work.final)
    for parent, directories, files in os.walk(work.target):
        below = os.path.relpath(parent, work.target)
        entries = [
            *files,
            *(directory for directory in directories if Path(parent, directory).is_symlink()),
        ]
        for entry in entries:
            name = os.path.normpath(os.path.join(below, entry))
            if name not in left_out and name != MANIFEST:
                make_directories(work.final, os.path.dirname(name))
                link(os.path.join(work.target, name), os.path.join(work.final, name))


def publish_over(work: WorkPlace) -> None:
    """Make `final` the target in the place of what is there now.

    Notes
    -----
    Where the system can exchange two directories it is one step. Elsewhere the target is moved away
    first; for that instant there is none, and if the process dies in it, the next run on the target
    (or `WorkPlace.leave`) brings the old one back.
    """
    if not exchange(work.final, work.target):
        rename(work.target, work.old)
        rename(work.final, work.target)
    sync_directory(os.path.dirname(work.target))


def _name_files(
    parts: Sequence[Part], suffix: str, batch: int
) -> Iterator[tuple[Part, StagedFile, str]]:
    """Names that sort as the rows do: as many digits as the largest number has."""
    start = f"{BATCH}{batch:05}" if batch else "part"
    width = max(5, len(str(parts[-1].index))) if parts else 5
    for index, same in groupby(parts, key=lambda part: part.index):
        pieces = list(same)
        for position, part in enumerate(pieces):
            # The halves of a chunk that was cut in two have one index.
            half = f"{position:0{len(str(len(pieces)))}}-" if len(pieces) > 1 else ""
            stem = f"{start}-{index:0{width}}-{half}{part.key}"
            max_number = max((file.number or 0 for file in part.files), default=0)
            digits = max(5, len(str(max_number)))
            for file in part.files:
                number = "" if file.number is None else f"-{file.number:0{digits}}"
                yield part, file, f"{stem}{number}.{suffix}"
