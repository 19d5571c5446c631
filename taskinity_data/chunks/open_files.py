"""Opens files together, and finds out which of them can't be opened where that fails."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.unreadable import UNREADABLE, as_failure, refuse_failures
from taskinity_data.formats.detect import detect_codecs, detect_format, peek_files
from taskinity_data.formats.registry import check_file, open_files
from taskinity_data.machine import count_cores
from taskinity_data.sources.changed import explain_change
from taskinity_data.sources.compression.unpack import unpack_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.errors import PlanError, ReadError
    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.compression.codecs import Compression
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["Opening", "open_sound"]


class Opening(NamedTuple):
    """How files are to be opened: see `open_dataset`."""

    format: str | None
    columns: Sequence[str] | None
    filters: Any
    schema: Any
    compression: Compression
    options: dict[str, Any]


def open_sound(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    """`files`, those that can't be opened with their failure, and the reader of the others.

    Raises
    ------
    PlanError, ReadError
        None of them can be opened, or those that can do not fit together.

    Notes
    -----
    Only where opening all of them fails, each is looked at alone.
    """
    sound = [file for file in files if file.failure is None]
    if not sound:
        refuse_failures(files)
    try:
        opened, reader = _open(sound, hive, how)
    except UNREADABLE:
        failures = _find_failures(sound, how) if len(sound) > 1 else {}
        if not 0 < len(failures) < len(set(sound)):
            raise
        files = [replace(file, failure=file.failure or failures.get(file)) for file in files]
        sound = [file for file in files if file.failure is None]
        opened, reader = _open(sound, hive, how)
    left = iter(opened)
    return tuple(next(left) if file.failure is None else file for file in files), reader


def _open(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    unpacked, found = _unpack(files, how)
    reader = open_files(found, unpacked, hive, how.columns, how.filters, how.schema, how.options)
    return unpacked, reader


def _unpack(files: Sequence[SourceFile], how: Opening) -> tuple[tuple[SourceFile, ...], str]:
    """`files`, compressed ones with their text, and the format of all."""
    method = how.compression.method
    ends = peek_files(files, how.format, method)
    codecs = detect_codecs(files, ends, method, how.format)
    if any(codecs):
        files = unpack_files(files, codecs, how.compression.max_nbytes)
        ends = peek_files(files)
    return tuple(files), detect_format(files, how.format, how.options, ends)


def _find_failures(
    files: Sequence[SourceFile], how: Opening
) -> dict[SourceFile, PlanError | ReadError]:
    """Why those of `files` can't be opened that can't be opened alone."""
    texts: list[SourceFile] = []  # nothing is unpacked again while something refers to it

    def look(file: SourceFile) -> PlanError | ReadError | None:
        try:
            with explain_change(file):
                (unpacked,), found = _unpack([file], how)
                texts.append(unpacked)
                check_file(found, unpacked, how.options)
        except UNREADABLE as error:
            return as_failure(file, error)
        return None

    with ThreadPoolExecutor(count_cores(), "taskinity-look") as pool:
        found = zip(files, pool.map(look, files), strict=True)
        return {file: failure for file, failure in found if failure is not None}
