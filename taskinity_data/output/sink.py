"""A run's output: parts written by workers, made visible together by one commit, or not at all.

A chunk is an index, a key, and a table here.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from taskinity_data.errors import PlanError
from taskinity_data.output.common_schema import CommonSchema
from taskinity_data.output.complete import RETYPED
from taskinity_data.output.existing import check_same
from taskinity_data.output.local.target import LocalTarget, find_directory
from taskinity_data.output.manifest import Manifest, read_manifest
from taskinity_data.output.partitions import check_partition_by
from taskinity_data.output.parts import PartWriter, agree, check_added, check_order
from taskinity_data.output.write_formats import check_format
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from taskinity_data.output.complete import Earlier, Mending
    from taskinity_data.output.manifest import StoredPart
    from taskinity_data.output.parts import Part
    from taskinity_data.output.store.target import StoreTarget

__all__ = ["IF_EXISTS", "Sink", "is_in_store", "open_sink", "read_facts"]

IF_EXISTS = ("error", "overwrite", "append")

_SCHEME = re.compile(r"((?:[A-Za-z0-9+.-]+::)*[A-Za-z][A-Za-z0-9+.-]+)://")

_CRUSHED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""What `pathlib` makes of a URL."""


class Sink:
    """A target that is locked for one run; `open_sink` makes one.

    As a context it ends itself: what was not committed is dropped.

    Attributes
    ----------
    target : str
        Absolute, links resolved; of a store, its URL without secrets.
    writer : PartWriter
        For workers: frozen and picklable.
    """

    def __init__(
        self,
        target: LocalTarget | StoreTarget,
        writer: PartWriter,
        if_exists: str,
        existing: Manifest | None,
    ) -> None:
        self.target = target.shown
        self.writer = writer
        self._target, self._if_exists, self._existing = target, if_exists, existing
        self._schema = CommonSchema()
        self._is_open = True

    @property
    def is_in_process(self) -> bool:
        """Whether only threads of this process can write to it."""
        return self._target.is_in_process

    @property
    def mending(self) -> Mending | None:
        """What the run has committed before, of which parts can be reused; else None."""
        return self._target.mending

    @property
    def others(self) -> Sequence[Mapping[str, Any]]:
        """The facts of the other runs whose parts stay there behind the commit."""
        if self.mending is not None:
            return self.mending.others
        is_added = self._existing is not None and self._if_exists == "append"
        return self._existing.metas if self._existing is not None and is_added else ()

    def holds(self, path: str) -> bool:
        """Return whether the file or URL `path` lies in it."""
        return self._target.holds(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.abort()

    def check(self, part: Part) -> None:
        """Compare `part` with those given before, to end a run early that can't be committed.

        Raises
        ------
        SchemaError
            It has other columns or types.
        """
        if part.schema is not None:
            self._schema.add(part.schema, part.label, has_rows=part.rows > 0)

    def commit(self, parts: Iterable[Part], meta: Mapping[str, Any] | None = None) -> Manifest:
        """Make `parts` visible in the target, all at once.

        Parameters
        ----------
        parts : iterable of Part
            In chunk order, one of each chunk. Whatever else was written is dropped.
        meta : mapping or None
            The caller's own facts, of plain JSON: what the parts were made of.

        Returns
        -------
        Manifest
            Of these parts, with paths relative to their directory.

        Raises
        ------
        SchemaError
            Chunks differ in columns or types.
        LedgerError
            A chunk twice, or out of order.
        PlanError
            The sink has ended before; something has come to the target meanwhile.
        ReadError
            A part's file is missing.
        OSError
            The disk or the store failed.

        Notes
        -----
        Files are not copied; only those with a column that got its type from other chunks are
        written again. Whatever is raised, the sink has ended, and the target is what it was (where
        a store fails while it gets the manifest: or what it was to be).
        """
        if not self._is_open:
            raise PlanError(f"output={self.target!r}: this sink has ended; open another one")
        try:
            return self._commit(tuple(parts), dict(meta or {}))
        finally:
            self.abort()

    def _commit(self, parts: Sequence[Part], meta: dict[str, Any]) -> Manifest:
        json.dumps(meta, allow_nan=False)  # before anything is moved
        target, writer, existing = self._target, self.writer, self._existing
        check_order(parts)
        schema = agree(parts)
        is_added = existing is not None and self._if_exists == "append"
        if target.mending is not None:
            is_added = target.mending.is_added
        if is_added and schema is not None and writer.expected is not None:
            rows = any(part.rows for part in parts)
            check_added(writer.expected, schema, "this run", writer.format, has_rows=rows)
            schema = writer.expected
        stored = target.gather(parts, schema, writer.format, writer.partition_by)
        if not stored and schema is not None and not is_added and writer.format.name != "jsonl":
            stored = (target.write_empty(schema, writer.format, writer.partition_by),)
        retyped = _find_retyped(parts, stored)
        meta |= {RETYPED: retyped} if retyped else {}
        manifest = Manifest(writer.format.name, schema, writer.partition_by, stored, meta)
        target.publish(manifest, existing, self._if_exists)
        return manifest

    def abort(self) -> None:
        """Drop what was not committed and unlock the target; nothing happens the second time."""
        if self._is_open:
            self._is_open = False
            self._target.leave()


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
        What `earlier` has committed is not what stands there, or leaves nothing to do.

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
            f"if_exists={if_exists!r} is none of {', '.join(IF_EXISTS)}."
            f"{suggest(str(if_exists), IF_EXISTS)}"
        )
    max_rows = max_rows_per_file
    if max_rows is not None and (
        isinstance(max_rows, bool) or not isinstance(max_rows, int) or max_rows < 1
    ):
        raise PlanError(f"max_rows_per_file={max_rows!r}: give a whole number from 1 up")
    opened = _open_target(target, dict(storage_options or {}))
    try:
        existing = opened.look(if_exists, earlier)
        mending = opened.mending
        is_added = existing is not None and if_exists == "append"
        if existing is not None and (is_added or mending is not None):
            check_same(opened.shown, existing, format, names)
        expected = existing.schema if existing is not None and is_added else None
        if mending is not None:
            expected = mending.expected
    except BaseException:
        opened.leave()
        raise
    return Sink(
        opened, PartWriter(opened.staging, chosen, names, max_rows, expected), if_exists, existing
    )


def _find_retyped(parts: Sequence[Part], stored: Sequence[StoredPart]) -> dict[str, str]:
    """Return the checksums that chunks wrote, by the path of each file that has another one now."""
    files = [file for part in parts for file in part.files]
    written = [file.written or file.checksum for file in files]
    pairs = zip(stored, written, strict=False)  # a file without rows is not a chunk's
    return {part.path: checksum for part, checksum in pairs if part.checksum != checksum}


def read_facts(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Sequence[dict[str, Any]]:
    """Return the facts of the runs whose parts stand at `target`, which is only looked at.

    Raises
    ------
    PlanError
        It can't be a target, or a store does not answer.
    ReadError
        Its manifest can't be understood.
    """
    if is_in_store(target):
        from taskinity_data.output.store.remote import open_remote
        from taskinity_data.output.store.target import read_standing

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


def _open_target(output: Any, options: Mapping[str, Any]) -> LocalTarget | StoreTarget:
    if not isinstance(output, (str, os.PathLike)):
        raise PlanError(f"output={output!r} is not a path; name a directory")
    text = os.fsdecode(output)
    if is_in_store(text):
        from taskinity_data.output.store.remote import open_remote
        from taskinity_data.output.store.target import StoreTarget

        return StoreTarget(open_remote(text, options))
    if not isinstance(output, str) and _CRUSHED.match(text):
        raise PlanError(
            f"output={output!r}: a path keeps one slash alone, so that this is not a URL any more; "
            "give the URL as a text"
        )
    path = find_directory(_local_path(text))
    if options:
        raise PlanError("storage_options are not for local directories; leave them out")
    return LocalTarget(path)


def _local_path(text: str) -> str:
    if not _SCHEME.match(text):
        return text
    url = urlsplit(text)
    if url.netloc not in ("", "localhost"):
        raise PlanError(f"output={text!r}: file:// is for this machine; write file:///PATH")
    return unquote(url.path)
