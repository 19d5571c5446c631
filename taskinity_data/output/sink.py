"""A run's output: parts written by workers, made visible together by one commit, or not at all.

A chunk is an index, a key, and a table here.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from taskinity_data.errors import PlanError
from taskinity_data.output.local.commit import LocalSink, find_directory
from taskinity_data.output.manifest import read_manifest
from taskinity_data.output.partitions import check_partition_by
from taskinity_data.output.write_formats import check_format
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.output.complete import Earlier
    from taskinity_data.output.target import Sink

__all__ = ["IF_EXISTS", "is_in_store", "open_sink", "read_facts"]

IF_EXISTS = ("error", "overwrite", "append")

_SCHEME = re.compile(r"((?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+)://")

_CRUSHED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""What `pathlib` makes of a URL."""


def open_sink(
    target: str | os.PathLike[str],
    *,
    format: str = "parquet",  # noqa: A002 - as in open_dataset
    partition_by: str | Sequence[str] = (),
    if_exists: str = "error",
    max_rows_per_file: int | None = None,
    compression: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    earlier: Earlier | None = None,
) -> Sink:
    """Lock `target` for a run that writes it; all that can be refused is refused now.

    Parameters
    ----------
    target : str or os.PathLike
        A directory, its ``file://`` URL, or the URL of one in a store. It appears when the run
        commits.
    format : {"parquet", "csv", "jsonl", "arrow"}
    partition_by : str, or sequence of str
        Columns whose values name directories (``year=2013/``) instead of standing in the files.
    if_exists : {"error", "overwrite", "append"}
        What to do where `target` holds something: refuse; replace what an earlier run wrote; add
        to it.
    max_rows_per_file : int or None
        None: a file a chunk (and directory).
    compression : str or None
        None: ``"snappy"`` for Parquet, none for others.
    storage_options : mapping or None
        For URLs of stores: what fsspec's file system of that protocol takes.
    earlier : Earlier or None
        The run that goes on. Where it has committed, and left something out, what is committed
        now takes the place of that, whatever `if_exists` says: all files of it are looked at.

    Returns
    -------
    Sink
        To be ended by `Sink.commit` or `Sink.abort`.

    Raises
    ------
    PlanError
        Any of these can't be; the target exists, or is another's, or is being written; a store
        can't be reached, or not be written to.
    ResumeError
        What `earlier` committed has changed since, or leaves nothing to do.

    Notes
    -----
    What dead runs left is removed, and a target that one of them had moved away is brought back.
    Processes that this one forks hold the lock of a local target with it, until they or it end.
    For a store a thread keeps up a marker until the sink ends.
    """
    chosen = check_format(format, compression)
    names = check_partition_by(partition_by)
    if if_exists not in IF_EXISTS:
        raise PlanError(
            f"if_exists={if_exists!r} is not one of "
            f"{', '.join(IF_EXISTS)}.{suggest(str(if_exists), IF_EXISTS)}"
        )
    max_rows = max_rows_per_file
    if max_rows is not None and (
        isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 1
    ):
        raise PlanError(f"max_rows_per_file={max_rows!r}: give a whole number from 1 up")
    sink = _open_target(target, dict(storage_options or {}))
    try:
        sink.begin(chosen, names, max_rows, if_exists, earlier)
    except BaseException:
        sink.abort()
        raise
    return sink


def read_facts(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Sequence[dict[str, Any]]:
    """Return the facts of the runs whose parts are at `target`, which is only read.

    Raises
    ------
    PlanError
        It can't be a target, or a store does not answer.
    ReadError
        Its manifest can't be understood.
    """
    if is_in_store(target):
        from taskinity_data.output.store.commit import read_standing
        from taskinity_data.output.store.remote import open_remote

        manifest = read_standing(open_remote(os.fsdecode(target), dict(storage_options or {})))
        return () if manifest is None else manifest.metas
    try:
        return read_manifest(find_directory(_local_path(os.fsdecode(target)))).metas
    except FileNotFoundError:
        return ()


def is_in_store(target: Any) -> bool:
    """Return whether `target` is a URL beyond the local file system."""
    if not isinstance(target, (str, os.PathLike)):
        return False
    scheme = _SCHEME.match(os.fsdecode(target))
    return scheme is not None and scheme.group(1).lower() != "file"


def _open_target(output: Any, options: Mapping[str, Any]) -> Sink:
    if not isinstance(output, (str, os.PathLike)):
        raise PlanError(f"output={output!r} is not a path; give a directory")
    text = os.fsdecode(output)
    if is_in_store(text):
        from taskinity_data.output.store.commit import StoreSink
        from taskinity_data.output.store.remote import open_remote

        return StoreSink(open_remote(text, options))
    if not isinstance(output, str) and _CRUSHED.match(text):
        raise PlanError(
            f"output={output!r}: a Path can't hold a URL (it drops a slash); give the URL as a "
            "string"
        )
    path = find_directory(_local_path(text))
    if options:
        raise PlanError("storage_options are not for local directories; leave them out")
    return LocalSink(path)


def _local_path(text: str) -> str:
    if not _SCHEME.match(text):
        return text
    url = urlsplit(text)
    if url.netloc not in ("", "localhost"):
        raise PlanError(f"output={text!r}: file:// is for this machine; write file:///PATH")
    return unquote(url.path)
