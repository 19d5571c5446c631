"""Reads the manifest of a written dataset: its files, and which keys are texts.

A store has no step that makes a directory of files visible at once, so that the manifest, which is
written last, lists the files that count.
"""

from __future__ import annotations

import base64
import json
import os
import re
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, ReadError, SourceNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.store import Store

__all__ = [
    "BATCH",
    "MANIFEST",
    "MARKERS",
    "PART",
    "check_listed",
    "find_text_keys",
    "keep_committed",
    "list_committed",
]

MANIFEST = "_manifest.json"

BATCH = "part-batch-"
"""What appended parts begin with: sorted after ``part-0``, their rows come last."""

MARKERS = "_writing"
"""The directory below the target in which each run that writes there has a file."""

PART = re.compile(
    r"part-(?P<batch>[0-9]{5,})-[0-9]{8,}(\.[0-9]{3,})*-[A-Za-z0-9._-]+-(?P<run>[0-9a-f]{12})-[0-9a-f]{8}-[0-9]{5,}\.[a-z]+"
)
"""A part of a store: batch, chunk, key, run, attempt, number."""

_KEYS = {"version", "format", "parts", "arrow_schema"}


def list_committed(store: Store, directory: str, infos: Mapping[str, Any]) -> list[str] | None:
    """Return the names of the files of the dataset in `directory`, in the order of their rows.

    Parameters
    ----------
    store : Store
    directory : str
        Its name in the store.
    infos : mapping
        All files below it, by name.

    Returns
    -------
    list of str or None
        None if it holds no manifest of ours, and nothing that a run left which wrote it.

    Raises
    ------
    SourceNotFound
        A run has written here and has not committed, or committed no file; a file that the
        manifest lists is gone or of another size.
    ReadError
        The manifest can't be understood.
    """
    base = directory.rstrip("/")
    shown = store.show(base)
    manifest = _read(store, f"{base}/{MANIFEST}", infos)
    if manifest is None:
        _refuse_uncommitted(shown, base, infos)
        return None
    names = _resolve(base, manifest)
    if not names:
        raise SourceNotFound(f"{shown}: the run that wrote it committed no rows, and so no file")
    for name, nbytes in names.items():
        info = infos.get(name)
        if info is None or info.get("size") not in (None, nbytes):
            raise _describe_lost(store.show(name), None if info is None else info["size"], nbytes)
    return list(names)


def check_listed(directory: str, below: str | None = None) -> None:
    """Raise if a part is gone that the manifest in a directory of this machine lists.

    Parameters
    ----------
    directory : str
        One that may hold a manifest of ours.
    below : str or None
        The directory in it, of one partition, of which parts alone are looked at.

    Raises
    ------
    SourceNotFound
        A part is gone, or has another size.
    ReadError
        The manifest can't be understood.
    """
    path = os.path.join(directory, MANIFEST)
    try:
        with open(path, "rb") as opened:
            manifest = _understand(opened.read(), path)
    except OSError:
        return
    start = "" if below is None else below + os.sep
    for name, nbytes in _resolve(directory, manifest or {}).items():
        try:
            nbytes_there = os.path.getsize(name) if name.startswith(start) else nbytes
        except OSError:
            nbytes_there = None
        if nbytes_there != nbytes:
            raise _describe_lost(name, nbytes_there, nbytes)


def _describe_lost(name: str, nbytes_there: int | None, nbytes: int) -> SourceNotFound:
    state = "is gone" if nbytes_there is None else f"has {nbytes_there:,} bytes, not {nbytes:,}"
    return SourceNotFound(
        f"{name}: {MANIFEST} lists it, but it {state}. If a run has just overwritten the dataset, "
        f"open it again; else bring the file back, write the dataset again, or remove {MANIFEST} "
        "to read what is there"
    )


def keep_committed(store: Store, names: Iterable[str]) -> list[str]:
    """Return `names` without the parts that no manifest lists, in their order.

    Parameters
    ----------
    store : Store
    names : iterable of str
        Files that a glob or a directory within a dataset gave.

    Raises
    ------
    SourceNotFound
        None are left: a run has written them and has not committed.
    """
    names = list(names)
    listed: dict[str, set[str]] = {}
    committed = []
    for name in names:
        base = _find_base(name)
        if base is not None and base not in listed:
            listed[base] = _find_listed(store, base)
        if base is None or name in listed[base]:
            committed.append(name)
    if names and not committed:
        raise SourceNotFound(_describe_uncommitted(store.show(str(_find_base(names[0])))))
    return committed


def find_text_keys(files: Sequence[SourceFile]) -> frozenset[str]:
    """Return the hive keys that are texts, whatever they look like, in all manifests of `files`.

    Raises
    ------
    ReadError
        A manifest can't be understood.
    """
    bases = {_base_of(file): file for file in files}
    text_keys = [_text_keys(base, file) for base, file in bases.items()]
    return frozenset.intersection(*text_keys) if text_keys else frozenset()


def _base_of(file: SourceFile) -> str:
    """Return the directory, here or in the store, of which directories `key=value` are part."""
    *directories, _ = (file.path if file.store is None else file.name).split("/")
    while directories and "=" in directories[-1]:
        directories.pop()
    return "/".join(directories)


def _text_keys(base: str, file: SourceFile) -> frozenset[str]:
    import pyarrow as pa

    name = f"{base}/{MANIFEST}"
    manifest: dict[str, Any] | None = None
    if file.store is not None:
        try:
            infos = {name: file.store.look_up(name, file.store.show(name))}
        except (SourceNotFound, PlanError):
            return frozenset()
        manifest = _read(file.store, name, infos)
    else:
        try:
            with open(name, "rb") as opened:
                manifest = _understand(opened.read(), name)
        except OSError:
            return frozenset()
    if manifest is None or manifest["arrow_schema"] is None:
        return frozenset()
    encoded = base64.b64decode(manifest["arrow_schema"])
    types = {field.name: field.type for field in pa.ipc.read_schema(pa.py_buffer(encoded))}
    texts = {
        key
        for key, type_ in types.items()
        if pa.types.is_large_string(type_.value_type if pa.types.is_dictionary(type_) else type_)
    }
    return frozenset(texts & set(manifest.get("partition_by", ())))


def _find_base(name: str) -> str | None:
    """Return the directory whose manifest lists the part `name`, None for other files."""
    *directories, last = name.split("/")
    if not PART.fullmatch(last):
        return None
    while directories and "=" in directories[-1]:
        directories.pop()
    return "/".join(directories)


def _find_listed(store: Store, base: str) -> set[str]:
    name = f"{base}/{MANIFEST}"
    try:
        infos = {name: store.look_up(name, store.show(name))}
    except SourceNotFound:
        return set()
    manifest = _read(store, name, infos)
    return set() if manifest is None else set(_resolve(base, manifest))


def _read(store: Store, name: str, infos: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest `name`, None if it is not there or another program's."""
    if name not in infos:
        return None
    path = store.show(name)
    return _understand(store.read(name, path, [(0, infos[name]["size"])])[0], path)


def _understand(data: bytes, path: str) -> dict[str, Any] | None:
    """Return the manifest that `data` is, None if it is another program's."""
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise ReadError(
            f"{path}: is not a valid manifest of a written dataset ({error}); write the dataset "
            "again",
            path=path,
        ) from error
    is_ours = isinstance(manifest, dict) and manifest.keys() >= _KEYS
    return manifest if is_ours else None


def _resolve(base: str, manifest: Mapping[str, Any]) -> dict[str, int]:
    return {f"{base}/{part['path']}": part["nbytes"] for part in manifest.get("parts", ())}


def _refuse_uncommitted(shown: str, base: str, infos: Mapping[str, Any]) -> None:
    """Raise if a run writes or has written here and has not committed."""
    is_marked = any(name.startswith(f"{base}/{MARKERS}/") for name in infos)
    if is_marked or any(_find_base(name) == base for name in infos):
        raise SourceNotFound(_describe_uncommitted(shown))


def _describe_uncommitted(shown: str) -> str:
    return (
        f"{shown}: a run has written files there and has not committed (there is no {MANIFEST}); "
        "wait until it has ended, or run it again: that removes what a dead one left"
    )
