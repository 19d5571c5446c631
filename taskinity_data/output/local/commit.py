"""From staged parts to a directory that stands whole: gather, describe, sync, rename.

It knows nothing of who calls it and when. Until the last rename nothing outside the run's own
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
from taskinity_data.errors import LedgerError, PlanError, ReadError
from taskinity_data.output.manifest import BATCH, MANIFEST, StoredPart, list_batches, number_of
from taskinity_data.output.partitions import empty_directory
from taskinity_data.output.parts import lacks_types, retype
from taskinity_data.output.staging import write_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from taskinity_data.output.local.place import WorkPlace
    from taskinity_data.output.manifest import Manifest
    from taskinity_data.output.parts import Part, StagedFile
    from taskinity_data.output.write_formats import Format

__all__ = [
    "carry_over",
    "describe",
    "gather",
    "publish_added",
    "publish_new",
    "publish_over",
    "write_empty",
]


def gather(
    place: WorkPlace,
    parts: Sequence[Part],
    schema: pa.Schema | None,
    format_: Format,
    partition_by: Sequence[str],
    batch: int = 0,
) -> tuple[StoredPart, ...]:
    """Bring the files of `parts` to the place's `final` directory, under their last names.

    Parameters
    ----------
    place : WorkPlace
    parts : sequence of Part
        In chunk order.
    schema : pyarrow.Schema or None
        What they agree on; files in which a column has no type are written anew with it.
    format_ : Format
    partition_by : sequence of str
    batch : int
        Which one lies flat beside the first parts, and has names that sort behind theirs; 0: those
        are the first.

    Raises
    ------
    ReadError
        A file is missing or has another size than when it was written.
    LedgerError
        Two files would have the same name, as on a file system that ignores case.
    """
    stored = []
    for part, file, name in _name_files(parts, format_.name, batch):
        source = os.path.join(place.parts, file.name)
        directory = make_directories(place.final, file.directory)
        path = os.path.join(directory, name)
        _check_file(part, file, source)
        if os.path.lexists(path):
            raise LedgerError(
                f"{part.who}: a second file would be named {file.directory}/{name}; this file "
                "system takes two names for one, so partition by another column"
            )
        nbytes, checksum = file.nbytes, file.checksum
        if format_.is_typed and schema is not None and lacks_types(part, schema, partition_by):
            with pa.OSFile(source) as opened:
                table = retype(format_.read(opened), schema)
            nbytes, checksum = write_file(table, format_, path)
        else:
            rename(source, path)
        relative = os.path.join(file.directory, name)
        stored.append(StoredPart(relative, part.index, part.key, file.rows, nbytes, checksum))
    return tuple(stored)


def write_empty(
    place: WorkPlace, schema: pa.Schema, format_: Format, partition_by: Sequence[str]
) -> StoredPart:
    """A file without rows, from which readers know the columns."""
    directory = empty_directory(schema, partition_by)
    name = f"part-00000-empty.{format_.name}"
    path = os.path.join(make_directories(place.final, directory), name)
    table = schema.empty_table().drop_columns(list(partition_by))
    nbytes, checksum = write_file(table, format_, path)
    return StoredPart(os.path.join(directory, name), 0, "empty", 0, nbytes, checksum)


def describe(place: WorkPlace, manifest: Manifest) -> None:
    """Write `manifest` into the place's `final` directory, and sync all that is in it."""
    with open(os.path.join(place.final, MANIFEST), "x", encoding="utf-8") as file:
        file.write(manifest.to_json())
        file.flush()
        sync(file.fileno())
    sync_tree(place.final)


def publish_new(place: WorkPlace) -> None:
    """Make `final` the target, which is not there, or an empty directory: one rename.

    Raises
    ------
    PlanError
        Something has come there since the run began.
    """
    try:
        rename(place.final, place.target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise PlanError(
            f"output={place.target!r}: something has come there since the run began, and was left "
            "as it is; nothing was written. Name another directory"
        ) from error
    sync_directory(os.path.dirname(place.target))


def carry_over(place: WorkPlace, names: Mapping[str, str], left_out: Collection[str]) -> None:
    """Give all that the target holds a second name in `final`, which is to take its place.

    Parameters
    ----------
    place : WorkPlace
    names : mapping
        The new names of files, relative to the target, by the old ones; others keep theirs.
    left_out : collection of str
        Files that are not to be there. Manifests are not, either.
    """
    shutil.copystat(place.target, place.final)
    for parent, directories, files in os.walk(place.target):
        below = os.path.relpath(parent, place.target)
        is_ours = below == os.curdir or below.startswith(BATCH)
        entries = [
            *files,
            *(one for one in directories if Path(parent, one).is_symlink()),
        ]
        for name in entries:
            old = os.path.normpath(os.path.join(below, name))
            if old in left_out or (is_ours and name == MANIFEST):
                continue
            new = names.get(old, old)
            make_directories(place.final, os.path.dirname(new))
            link(os.path.join(place.target, old), os.path.join(place.final, new))


def publish_added(place: WorkPlace) -> str:
    """Make `final` a directory in the target: one rename. Its name."""
    number = max(map(number_of, list_batches(place.target)), default=0) + 1
    name = f"{BATCH}{number:05}-{place.run.removeprefix('run-')}"
    rename(place.final, os.path.join(place.target, name))
    sync_directory(place.target)
    return name


def publish_over(place: WorkPlace, batch: str = "") -> None:
    """Make `final` the target in the place of what is there now; or that batch of the target.

    Notes
    -----
    Where the system can exchange two directories it is one step. Elsewhere the target is put aside
    first; for that instant there is none, and if the process dies in it, the next run on the target
    (or `WorkPlace.leave`) brings the old one back.
    """
    standing = os.path.join(place.target, batch) if batch else place.target
    if not exchange(place.final, standing):
        rename(standing, place.make_old(batch))
        rename(place.final, standing)
    sync_directory(os.path.dirname(standing))


def _name_files(
    parts: Sequence[Part], suffix: str, batch: int
) -> Iterator[tuple[Part, StagedFile, str]]:
    """Names that sort as the rows do: as many digits as the largest number has."""
    start = f"{BATCH}{batch:05}" if batch else "part"
    width = max(5, len(str(parts[-1].index))) if parts else 5
    for index, same in groupby(parts, key=lambda part: part.index):
        pieces = list(same)
        for place, part in enumerate(pieces):
            # The halves of a chunk that was cut in two have one index.
            half = f"{place:0{len(str(len(pieces)))}}-" if len(pieces) > 1 else ""
            stem = f"{start}-{index:0{width}}-{half}{part.key}"
            most = max((file.number or 0 for file in part.files), default=0)
            digits = max(5, len(str(most)))
            for file in part.files:
                number = "" if file.number is None else f"-{file.number:0{digits}}"
                yield part, file, f"{stem}{number}.{suffix}"


def _check_file(part: Part, file: StagedFile, path: str) -> None:
    nbytes = os.path.getsize(path) if os.path.isfile(path) else None
    if nbytes != file.nbytes:
        found = "is missing" if nbytes is None else f"has {nbytes:,} bytes"
        raise ReadError(
            f"{path}: the file that {part.who} wrote {found}, instead of {file.nbytes:,} bytes; "
            "do all workers see the same file system? Run it again",
            path=path,
        )
