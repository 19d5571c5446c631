"""Which files of a store a URL means, in order: an object, a directory, a glob.

It knows nothing of what stands in them, nor of local files. A directory or a glob is one listing,
which tells sizes and tags of all that is in it.
"""

from __future__ import annotations

import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from taskinity_data.chunks.committed import keep_committed, list_committed
from taskinity_data.chunks.source_file import SourceFile
from taskinity_data.errors import PlanError, SourceNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.chunks.stores import Store

__all__ = ["HIDDEN", "find_in_store", "hive_keys"]

HIDDEN = ("_", ".")
"""What names of files and directories begin with that a directory is read without."""

_HIVE = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_MAGIC = re.compile(r"[*?[]")


def find_in_store(url: str, options: Mapping[str, Any]) -> list[SourceFile]:
    """The files that `url` means, by the rules of local ones.

    Parameters
    ----------
    url : str
    options : mapping
        See `open_store`.

    Raises
    ------
    SourceNotFound
        There is nothing, or nothing that a glob matches.
    PlanError
        The store can't be reached or tells no size, or HTTP: a glob, no ranges.
    """
    from taskinity_data.chunks.stores import WEB, clean_url, open_store

    shown = clean_url(url)
    if "*" in shown and shown.startswith(WEB):
        raise PlanError(
            f"{shown}: a web server lists no files; name each of them, in a list of URLs"
        )
    store, name = open_store(url, options)
    if store.protocol in WEB:
        return [_find_on_web(store, name)]
    if _MAGIC.search(name) and not _is_there(store, name):
        return _match(store, name)
    path = store.show(name)
    told = {} if url.endswith("/") else store.look_up(name, path)
    if not told or told.get("type") == "directory":
        found = _below(store, name, name)
        if not found:
            raise SourceNotFound(
                f"{path}: there is no file below it (names that begin with _ or . are left out)"
            )
        return found
    return [_make(store, name, told, "")]


def hive_keys(path: str, base: str) -> tuple[tuple[str, str], ...]:
    """The ``key=value`` directories between `base` and the file `path`."""
    directories = PurePath(os.path.relpath(os.path.dirname(path), base)).parts
    keys = [_HIVE.fullmatch(name) for name in directories]
    return tuple((unquote(key.group(1)), unquote(key.group(2))) for key in keys if key)


def _find_on_web(store: Store, name: str) -> SourceFile:
    path = store.show(name)
    told = store.look_up(name, path)
    file = _make(store, name, told, "")
    store.check_ranges(name, path, file.nbytes)
    return file


def _is_there(store: Store, name: str) -> bool:
    """Whether an object has a name that looks like a glob."""
    try:
        return "*" not in name and bool(store.look_up(name, store.show(name)))
    except SourceNotFound:
        return False


def _match(store: Store, pattern: str) -> list[SourceFile]:
    shown = store.show(pattern)
    base = pattern
    while _MAGIC.search(base):
        base = base.rpartition("/")[0]
    told = store.glob(pattern, shown)
    if not re.search(r"(^|/)\.", pattern):
        told = {name: one for name, one in told.items() if "/." not in name[len(base) :]}
    if not told:
        raise SourceNotFound(f"{shown}: no file matches")
    files = {name: one for name, one in told.items() if one["type"] != "directory"}
    if files:
        return [
            _make(store, name, files[name], base) for name in keep_committed(store, sorted(files))
        ]
    found = [file for name in sorted(told) for file in _below(store, name, base)]
    if not found:
        raise SourceNotFound(f"{shown}: the directories that match hold no file")
    return found


def _below(store: Store, directory: str, base: str) -> list[SourceFile]:
    """All files below a directory, without those hidden there; hive keys begin below `base`."""
    told = store.find(directory, store.show(directory))
    committed = list_committed(store, directory, told)
    if committed is not None:
        return [_make(store, name, told[name], base) for name in committed]
    names = {
        name: name[len(directory) :].strip("/").split("/")
        for name, one in told.items()
        if one["type"] == "file" and not name.endswith("/")
    }
    shown = [name for name in sorted(names) if not _is_hidden(names[name])]
    return [_make(store, name, told[name], base) for name in keep_committed(store, shown)]


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(HIDDEN) for part in parts)


def _make(store: Store, name: str, told: Mapping[str, Any], base: str) -> SourceFile:
    from taskinity_data.chunks.store_fingerprints import fingerprint_of

    path = store.show(name)
    hive = hive_keys(name, base) if base else ()
    return SourceFile(path, fingerprint_of(told, path), hive, store, name)
