"""Which files a URL means, in order, by the rules of local ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SourceNotFound
from taskinity_data.redact import WEB, clean_url
from taskinity_data.sources.file import HIDDEN, SourceFile, hive_keys
from taskinity_data.sources.fingerprint import fingerprint_of
from taskinity_data.sources.store import open_store
from taskinity_data.sources.written import keep_committed, list_committed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.sources.store import Store

__all__ = ["find_in_store"]

_MAGIC = re.compile(r"[*?[]")


def find_in_store(url: str, options: Mapping[str, Any]) -> list[SourceFile]:
    """Return the files that `url` names, by the rules of local ones.

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
        The store can't be reached or gives no size, or HTTP: a glob, no ranges.
    """
    shown = clean_url(url)
    if "*" in shown and shown.startswith(WEB):
        raise PlanError(f"{shown}: a web server can't list files; give a list of URLs")
    store, name = open_store(url, options)
    if store.protocol in WEB:
        return [_find_on_web(store, name)]
    if _MAGIC.search(name) and not _is_there(store, name):
        return _match_names(store, name)
    path = store.show(name)
    info = {} if url.endswith("/") else store.look_up(name, path)
    if not info or info.get("type") == "directory":
        files = _below(store, name, name)
        if not files:
            raise SourceNotFound(
                f"{path}: there is no file below it (names that begin with _ or . are left out)"
            )
        return files
    return [_make(store, name, info, "")]


def _find_on_web(store: Store, name: str) -> SourceFile:
    path = store.show(name)
    info = store.look_up(name, path)
    file = _make(store, name, info, "")
    store.check_ranges(name, path, file.nbytes)
    return file


def _is_there(store: Store, name: str) -> bool:
    """Return whether an object has this name, which looks like a glob."""
    try:
        return "*" not in name and bool(store.look_up(name, store.show(name)))
    except SourceNotFound:
        return False


def _match_names(store: Store, pattern: str) -> list[SourceFile]:
    shown = store.show(pattern)
    base = pattern
    while _MAGIC.search(base):
        base = base.rpartition("/")[0]
    infos = store.glob(pattern, shown)
    if not re.search(r"(^|/)\.", pattern):
        infos = {name: info for name, info in infos.items() if "/." not in name[len(base) :]}
    if not infos:
        raise SourceNotFound(f"{shown}: no file matches")
    files = {name: info for name, info in infos.items() if info["type"] != "directory"}
    if files:
        return [
            _make(store, name, files[name], base) for name in keep_committed(store, sorted(files))
        ]
    below = [file for name in sorted(infos) for file in _below(store, name, base)]
    if not below:
        raise SourceNotFound(f"{shown}: the directories that match hold no file")
    return below


def _below(store: Store, directory: str, base: str) -> list[SourceFile]:
    """Return all files below a directory but hidden ones; hive keys begin below `base`."""
    infos = store.find(directory, store.show(directory))
    committed = list_committed(store, directory, infos)
    if committed is not None:
        return [_make(store, name, infos[name], base) for name in committed]
    names = {
        name: name[len(directory) :].strip("/").split("/")
        for name, info in infos.items()
        if info["type"] == "file" and not name.endswith("/")
    }
    shown = [name for name in sorted(names) if not _is_hidden(names[name])]
    return [_make(store, name, infos[name], base) for name in keep_committed(store, shown)]


def _is_hidden(parts: Iterable[str]) -> bool:
    return any(part.startswith(HIDDEN) for part in parts)


def _make(store: Store, name: str, info: Mapping[str, Any], base: str) -> SourceFile:
    path = store.show(name)
    hive = hive_keys(name, base) if base else ()
    return SourceFile(path, fingerprint_of(info, path), hive, store, name)
