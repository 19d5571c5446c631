"""Open files together; if that fails, find the files that can't be opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.unreadable import UNREADABLE, as_failure, refuse_failures
from taskinity_data.formats.detect import (
    detect_codecs,
    detect_format,
    implied_options,
    peek_files,
)
from taskinity_data.formats.registry import check_file, open_files
from taskinity_data.machine import count_cores
from taskinity_data.sources.changed import explain_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.errors import PlanError, ReadError
    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.compression.codecs import Compression
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["Opening", "open_sound"]


class Opening(NamedTuple):
    """The options with which files are opened: see `open_dataset`."""

    format: str | None
    columns: Sequence[str] | None
    filters: Any
    schema: Any
    compression: Compression
    options: dict[str, Any]


def open_sound(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    """Return `files`, those that can't be opened with their failure, and the others' reader.

    Raises
    ------
    PlanError, ReadError
        None of them can be opened, or those that can do not fit together.

    Notes
    -----
    Files are opened one by one only if opening all of them together fails.
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
    remaining = iter(opened)
    return tuple(next(remaining) if file.failure is None else file for file in files), reader


def _open(
    files: Sequence[SourceFile], hive: tuple[HiveColumn, ...], how: Opening
) -> tuple[tuple[SourceFile, ...], Reader]:
    unpacked, format_ = _unpack(files, how)
    options = implied_options(unpacked, how.options)
    reader = open_files(format_, unpacked, hive, how.columns, how.filters, how.schema, options)
    return unpacked, reader


def _unpack(files: Sequence[SourceFile], how: Opening) -> tuple[tuple[SourceFile, ...], str]:
    """Return `files`, compressed ones with their text, and the format of all."""
    method = how.compression.method
    ends = peek_files(files, how.format, method)
    codecs = detect_codecs(files, ends, method, how.format)
    if any(codecs):
        from taskinity_data.sources.compression.unpack import unpack_files

        files = unpack_files(files, codecs, how.compression.max_nbytes)
        ends = peek_files(files)
    return tuple(files), detect_format(files, how.format, how.options, ends)


def _find_failures(
    files: Sequence[SourceFile], how: Opening
) -> dict[SourceFile, PlanError | ReadError]:
    """Return the failures of those of `files` that can't be opened separately."""
    texts: list[SourceFile] = []  # references that keep decompressed files

    def check(file: SourceFile) -> PlanError | ReadError | None:
        try:
            with explain_change(file):
                (unpacked,), format_ = _unpack([file], how)
                texts.append(unpacked)
                check_file(format_, unpacked, implied_options([unpacked], how.options))
        except UNREADABLE as error:
            return as_failure(file, error)
        return None

    with ThreadPoolExecutor(count_cores(), "taskinity-look") as pool:
        failures = zip(files, pool.map(check, files), strict=True)
        return {file: failure for file, failure in failures if failure is not None}
