"""From staged parts to a directory that stands whole: gather, describe, sync, rename.

Until the last rename nothing outside the run's own
directory has changed.
"""

from __future__ import annotations

import errno
import os
import shutil
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
from taskinity_data.output.manifest import BATCH, MANIFEST, StoredPart
from taskinity_data.output.partitions import empty_directory
from taskinity_data.output.parts import check_nbytes, lacks_types, retype
from taskinity_data.output.staging import write_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from taskinity_data.output.local.work_place import WorkPlace
    from taskinity_data.output.manifest import Manifest
    from taskinity_data.output.parts import Part, StagedFile
    from taskinity_data.output.write_formats import Format

__all__ = [
    "carry_over",
    "describe",
    "gather",
    "publish_new",
    "publish_over",
    "write_empty",
]


def gather(
    work: WorkPlace,
    parts: Sequence[Part],
    schema: pa.Schema | None,
    format_: Format,
    partition_by: Sequence[str],
    batch: int = 0,
) -> tuple[StoredPart, ...]:
    """Bring the files of `parts` to the run's `final` directory, under their last names.

    Parameters
    ----------
    work : WorkPlace
    parts : sequence of Part
        In chunk order.
    schema : pyarrow.Schema or None
        What they agree on; files in which a column has no type are written again with it.
    format_ : Format
    partition_by : sequence of str
    batch : int
        How many runs have added parts before: names sort behind theirs; 0: these are the first.

    Raises
    ------
    ReadError
        A file is missing or has another size than when it was written.
    LedgerError
        Two files would have the same name, as on a file system that ignores case.
    """
    stored = []
    for part, file, name in _name_files(parts, format_.name, batch):
        source = os.path.join(work.parts, file.name)
        directory = make_directories(work.final, file.directory)
        path = os.path.join(directory, name)
        size = os.path.getsize(source) if os.path.isfile(source) else -1
        check_nbytes(part, source, size, file.nbytes, "do all workers see the same file system")
        if os.path.lexists(path):
            raise LedgerError(
                f"{part.label}: a second file would be named {file.directory}/{name}; this file "
                "system takes two names for one, so partition by another column"
            )
        nbytes, checksum = file.nbytes, file.checksum
        if lacks_types(part, schema, format_, partition_by):
            with pa.OSFile(source) as opened:
                table = retype(format_.read(opened), schema)
            nbytes, checksum = write_file(table, format_, path)
        else:
            rename(source, path)
        relative = os.path.join(file.directory, name)
        stored.append(StoredPart(relative, part.index, part.key, file.rows, nbytes, checksum))
    return tuple(stored)


def write_empty(
    work: WorkPlace, schema: pa.Schema, format_: Format, partition_by: Sequence[str]
) -> StoredPart:
    """Write a file without rows, from which readers know the columns."""
    directory = empty_directory(schema, partition_by)
    name = f"part-00000-empty.{format_.name}"
    path = os.path.join(make_directories(work.final, directory), name)
    table = schema.empty_table().drop_columns(list(partition_by))
    nbytes, checksum = write_file(table, format_, path)
    return StoredPart(os.path.join(directory, name), 0, "empty", 0, nbytes, checksum)


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
            f"output={work.target!r}: something has come there since the run began, and was left "
            "as it is; nothing was written. Name another directory"
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
