"""Which files a source means, in order: paths, directories, globs, URLs, lists of them."""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path, PurePath
from textwrap import shorten
from typing import Any
from urllib.parse import unquote, urlsplit

from taskinity_data.data_kinds import is_dask, is_in_memory
from taskinity_data.errors import PlanError, SourceNotFound
from taskinity_data.settings import working_directory
from taskinity_data.sources.file import HIDDEN, SourceFile, hive_keys
from taskinity_data.sources.fingerprint import Fingerprint
from taskinity_data.wording import suggest

__all__ = [
    "find_files",
]


_LOG = logging.getLogger(__name__)
_URL = re.compile(r"(?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")


def find_files(
    source: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[SourceFile, ...]:
    """Return the files behind `source`, in the order of their rows.

    Parameters
    ----------
    source : str, os.PathLike, or a list of them
        A file; a directory (read recursively, names that begin with ``_`` or ``.`` left out, in
        the order of the paths' characters); a glob (sorted by name; ``**`` is any depth); a list
        of these in the order given; a URL (``file://`` is a local path) of any of them;
        ``zip://MEMBER::ARCHIVE`` with a member's name or a glob of them. What a list names twice
        is read twice, as given; a file that one directory or glob holds under two names, by a
        link, is refused. Of several files behind a directory or glob those of 0 bytes are left out
        with a warning, unless all are. Directories named
        ``key=value`` below a directory, or from the first wildcard of a glob on, are hive keys.
    storage_options : mapping or None
        For the stores of all URLs: see `open_store`.

    Returns
    -------
    tuple of SourceFile
        At least one, with absolute paths or URLs.

    Raises
    ------
    SourceNotFound
        There is no such file, no file in the directory, or none that the glob matches.
    PlanError
        Another kind of source, a file that may not be read, a store that can't be reached,
        hive keys that differ, storage options without a URL.
    """
    options = dict(storage_options or {})
    if hasattr(source, "readline") and not isinstance(source, os.PathLike):
        raise PlanError(
            f"source: an open file ({type(source).__name__}) is not a source, because workers open "
            "files themselves; give its path"
        )
    if is_dask(source):
        raise PlanError(
            "source: a Dask DataFrame is computed during the run, so it can't be opened as a "
            "dataset; pass it to process() or run_flow(), or pass its files to open_dataset()"
        )
    if isinstance(source, (str, os.PathLike)):
        files = _refuse_second_names(_find_one(source, options))
    elif isinstance(source, Iterable) and not isinstance(source, (bytes, set, frozenset, dict)):
        files = [file for item in source for file in _refuse_second_names(_find_one(item, options))]
        if not files:
            raise PlanError("source: the list of files is empty; give at least one")
    else:
        raise PlanError(
            f"source: a value of type {type(source).__name__} is not a source; give a path, "
            "directory or glob, a list of paths in order, a pandas or polars DataFrame, or an "
            "Arrow table"
        )
    if options and all(file.store is None for file in files):
        raise PlanError(
            f"storage_options ({', '.join(sorted(options))}): all files are local and need none; "
            "leave them out"
        )
    _check_hive(files)
    return tuple(files)


MAX_NAMED = 5
"""Empty files named in a warning."""

_Matches = list[tuple[str, tuple[tuple[str, str], ...]]]


def _refuse_second_names(files: list[SourceFile]) -> list[SourceFile]:
    """Return `files`, found by one name, of which no two local ones are the same.

    Raises
    ------
    PlanError
        Device and file number of two of them are equal, by a symbolic or a hard link.

    Notes
    -----
    Only files of one fingerprint are looked at again. A store lists each name once.
    """
    prints: dict[Fingerprint, list[SourceFile]] = {}
    for file in files:
        # Members of an archive share its fingerprint.
        if file.failure is None and file.store is None and not file.member:
            prints.setdefault(file.fingerprint, []).append(file)
    for alike in prints.values():
        first_of: dict[tuple[int, int], SourceFile] = {}
        for file in alike if len(alike) > 1 else ():
            stat = os.stat(file.path)
            first = first_of.setdefault((stat.st_dev, stat.st_ino), file)
            if first is not file:
                raise PlanError(
                    f"{file.path}: is a link to the same file as {first.path}, so its rows would "
                    "be counted twice; leave one out, or pass the files as a list"
                )
    return files


def _find_one(item: Any, options: Mapping[str, Any]) -> list[SourceFile]:
    if is_in_memory(item):
        raise PlanError(
            f"source: a list of tables ({type(item).__name__}) is not a dataset; give process() or "
            "run_flow() an iterator of them, iter([...]), or concatenate them, such as with "
            "pandas.concat"
        )
    if not isinstance(item, (str, os.PathLike)):
        raise PlanError(
            f"source: {shorten(repr(item), 80)} in the list is not a path; to process each item of "
            "a list, fan out over it: function.map(items) in a function marked @td.flow"
        )
    text = os.fsdecode(item)
    if not text:
        raise PlanError("source: the path is empty; give a file, directory or glob")
    if text.lower().startswith("zip://"):
        from taskinity_data.sources.compression.zip import find_members

        return find_members(text, lambda outer: _find_one(outer, options))
    if _URL.match(text):
        local = _local_path(text)
        if local is None:
            from taskinity_data.sources.find_in_store import find_in_store

            return _leave_out_empty(find_in_store(text, options))
        text = local
    path = os.path.expanduser(text)
    path = os.path.normpath(path if Path(path).is_absolute() else working_directory() / path)
    path = path.removeprefix("/") if path.startswith("//") else path  # POSIX keeps two, not more
    matches = _find_local(path)
    is_listed = [found_path for found_path, _ in matches] != [path]
    return _leave_out_empty(
        [_stat(found_path, hive, is_listed=is_listed) for found_path, hive in matches]
    )


def _leave_out_empty(files: list[SourceFile]) -> list[SourceFile]:
    """Return `files` without those of 0 bytes: they hold no rows, but a copy may have failed.

    A file that was named itself, or is one of nothing but empty ones, stays: it is refused later.
    """
    empty = [file.path for file in files if file.nbytes == 0 and file.failure is None]
    if not empty or len(empty) == len(files):
        return files
    names = ", ".join(empty[:MAX_NAMED])
    more = f" and {len(empty) - MAX_NAMED:,} more" if len(empty) > MAX_NAMED else ""
    _LOG.warning(
        "%d of %d files are empty (0 bytes) and left out: %s%s; remove them or write them again",
        len(empty),
        len(files),
        names,
        more,
    )
    return [file for file in files if file.nbytes or file.failure is not None]


def _find_local(path: str) -> _Matches:
    if os.path.isdir(path):
        return _walk(path, path)
    if os.path.lexists(path) or not has_magic(path):
        return [(path, ())]
    return _match(path)


def _local_path(text: str) -> str | None:
    """Return the path that a ``file://`` URL names, None for another URL."""
    if not text.lower().startswith("file://"):
        return None
    url = urlsplit(text)
    if url.netloc not in ("", "localhost"):
        raise PlanError(f"{text}: file:// is for files of this machine; write file:///PATH")
    return unquote(url.path)


def _walk(directory: str, base: str) -> _Matches:
    paths = []

    def fail(error: OSError) -> None:
        raise PlanError(f"{error.filename}: the directory can't be listed: {error.strerror}")

    _check_partition(directory)
    from taskinity_data.sources.written import MANIFEST, check_listed

    for parent, directories, names in os.walk(directory, onerror=fail):
        if MANIFEST in names:
            check_listed(parent)
        directories[:] = [name for name in directories if not name.startswith(HIDDEN)]
        paths += [os.path.join(parent, name) for name in names if not name.startswith(HIDDEN)]
    if not paths:
        raise SourceNotFound(
            f"{directory}: the directory holds no file (names that begin with _ or . are left out)"
        )
    return [(path, hive_keys(path, base)) for path in sorted(paths)]


def _check_partition(directory: str) -> None:
    """Do as `check_listed` if `directory` is a partition of an output, whose manifest is above."""
    base = directory
    while "=" in os.path.basename(base):
        base = os.path.dirname(base)
    if base != directory:
        from taskinity_data.sources.written import check_listed

        check_listed(base, directory)


def _match(pattern: str) -> _Matches:
    base = pattern
    while has_magic(base):
        base = os.path.dirname(base)
    matches = sorted(glob(pattern, recursive=True))
    files = [path for path in matches if not os.path.isdir(path)]
    if not matches:
        raise SourceNotFound(f"{pattern}: no file matches{_close(pattern)}")
    if files:
        return [(path, hive_keys(path, base)) for path in files]
    return [match for path in matches for match in _walk(path, base)]


def _stat(path: str, hive: tuple[tuple[str, str], ...], *, is_listed: bool) -> SourceFile:
    """Return the file; if it is only listed and can't be looked at, with its failure."""
    try:
        return _look_at(path, hive)
    except PlanError as error:
        if not is_listed:
            raise
        return SourceFile(path, Fingerprint(0, 0, 0), hive, failure=error.with_traceback(None))


def _look_at(path: str, hive: tuple[tuple[str, str], ...]) -> SourceFile:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise PlanError(
                f"{path}: is not a regular file, and chunks require seeking; copy it to one"
            )
        return SourceFile(path, Fingerprint.of(path), hive)
    except FileNotFoundError as error:
        raise SourceNotFound(f"{path}: {_why_missing(path)}") from error
    except OSError as error:
        raise PlanError(f"{path}: can't be read: {error.strerror}") from error


def _why_missing(path: str) -> str:
    """Describe why `path`, which was named or listed, can't be found."""
    if not Path(path).is_symlink():
        return f"there is no such file{_close(path)}"
    return (
        f"is a link to {Path(path).readlink()}, where there is no file; mend or remove the link, "
        "or name the other files"
    )


def _close(path: str) -> str:
    """Describe where the way to `path` breaks off, and the close names that are there."""
    directory, name = os.path.split(path)
    while directory != os.path.dirname(directory) and not os.path.isdir(directory):
        if has_magic(directory):
            return ""
        directory, name = os.path.split(directory)
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return ""
    if has_magic(name):
        suffixes = sorted({PurePath(name).suffix for name in names} - {""})
        there = f"its files end in {', '.join(suffixes[:8])}" if suffixes else "it holds none"
        return f" in {directory}; {there}"
    return f" in {directory}.{suggest(name, names)}"


def _check_hive(files: Sequence[SourceFile]) -> None:
    first = files[0]
    keys = [key for key, _ in first.hive]
    for file in files:
        if [key for key, _ in file.hive] != keys or len(set(keys)) < len(keys):
            raise PlanError(
                f"{file.path}: its hive keys are {[key for key, _ in file.hive]}, those of "
                f"{first.path} are {keys}; all files of a dataset must have the same keys, each "
                "once"
            )
