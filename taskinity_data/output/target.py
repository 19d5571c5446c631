"""A target that is locked for one run: its contents, and the commit of what was written.

How files get there and become visible is in `local/commit.py` and `store/commit.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError
from taskinity_data.output.common_schema import CommonSchema
from taskinity_data.output.complete import RETYPED, Mending
from taskinity_data.output.existing import (
    check_all_ours,
    check_all_there,
    check_allowed,
    check_same,
)
from taskinity_data.output.manifest import Manifest, StoredPart
from taskinity_data.output.partitions import empty_directory
from taskinity_data.output.parts import PartWriter, agree, check_added, check_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    import pyarrow as pa

    from taskinity_data.output.complete import Earlier
    from taskinity_data.output.parts import Part
    from taskinity_data.output.staging import Staging
    from taskinity_data.output.write_formats import Format

__all__ = ["Sink"]


class Sink:
    """A target that is locked for one run; `open_sink` makes one.

    As a context it ends itself: what was not committed is dropped.

    Attributes
    ----------
    target : str
        Absolute, links resolved; of a store, its URL without secrets.
    is_in_process : bool
        Whether only threads of this process can write to it.
    writer : PartWriter
        For workers: frozen and picklable.
    mending : Mending or None
        What the run has committed before, of which parts can be reused; else None.
    """

    is_in_process = False
    staging: Staging
    writer: PartWriter

    def __init__(self, target: str) -> None:
        self.target = target
        self.mending: Mending | None = None
        self._existing: Manifest | None = None
        self._is_added = False
        self._schema = CommonSchema()
        self._is_open = True

    def begin(
        self,
        format_: Format,
        partition_by: tuple[str, ...],
        max_rows: int | None,
        if_exists: str,
        earlier: Earlier | None,
    ) -> None:
        """Read the existing output, and make the writer; see `open_sink`."""
        existing = self._look(if_exists, earlier)
        self._existing = existing
        expected = None
        if existing is not None and (self._is_added or self.mending is not None):
            check_same(self.target, existing, format_.name, partition_by)
            expected = existing.schema if self._is_added else None
        self.writer = PartWriter(self.staging, format_, partition_by, max_rows, expected)

    def _look(self, if_exists: str, earlier: Earlier | None) -> Manifest | None:
        """Return the manifest of the existing output, None if there is none."""
        existing = self._read_existing()
        if earlier is not None:
            number = None if existing is None else earlier.find(self.target, existing)
            if existing is not None and number is not None:
                self._mend(existing, number, earlier)
                return existing
            earlier.check_there(self.target)
        if not self._has_files():
            return None
        existing = check_allowed(self.target, if_exists, existing)
        self._is_added = if_exists == "append"
        files = self._list_files()
        if self._shows_all_files or not self._is_added:
            check_all_ours(self.target, existing, files, if_exists)
        if self._is_added:
            check_all_there(self.target, existing, files)
        self._follow(existing)
        return existing

    def _mend(self, existing: Manifest, number: int, earlier: Earlier) -> None:
        """Let the parts that run `number` has committed be reused, if all are as they were."""
        files = self._list_files()
        check_all_ours(self.target, existing, files)
        self._is_added = number > 0
        self.mending = Mending(existing, number, self._bring)
        for part in self.mending.parts:
            if files.get(part.path, -1) != part.nbytes or not self._is_whole(part):
                state = "was changed" if part.path in files else "is gone"
                raise earlier.refuse(self.target, f"{self.target}/{part.path} {state} since")
        self._follow(existing)

    @property
    def others(self) -> Sequence[Mapping[str, Any]]:
        """The facts of the other runs whose parts stay there after the commit."""
        if self.mending is not None:
            return self.mending.others
        return self._existing.metas if self._existing is not None and self._is_added else ()

    def holds(self, path: str) -> bool:
        """Return whether the file or URL `path` is in it."""
        return path.startswith(self.target.rstrip("/") + "/")

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
            A chunk twice, or out of order; two files would have the same name, as on a file system
            that ignores case.
        PlanError
            The sink has ended before; something has come to the target meanwhile; another run took
            this one for dead.
        ReadError
            A part's file is missing, or has another size than when it was written.
        OSError
            The disk or the store failed.

        Notes
        -----
        Files are not copied; only those with a column that got its type from other chunks are
        written again. Whatever is raised, the sink has ended, and the target is what it was (where
        a store fails while it gets the manifest: or what it was to be).
        """
        if not self._is_open:
            raise PlanError(f"output={self.target!r}: this sink is closed; open another one")
        try:
            return self._commit(tuple(parts), dict(meta or {}))
        finally:
            self.abort()

    def _commit(self, parts: Sequence[Part], meta: dict[str, Any]) -> Manifest:
        json.dumps(meta, allow_nan=False)  # before anything is moved
        writer = self.writer
        check_order(parts)
        schema = agree(parts)
        if schema is not None and writer.expected is not None:
            rows = any(part.rows for part in parts)
            check_added(writer.expected, schema, "this run", writer.format, has_rows=rows)
            schema = writer.expected
        stored = self._gather(parts, schema)
        if not stored and schema is not None and not self._is_added:
            stored = self._write_empty(schema)
        retyped = _find_retyped(parts, stored)
        meta |= {RETYPED: retyped} if retyped else {}
        manifest = Manifest(writer.format.name, schema, writer.partition_by, stored, meta)
        self._publish(manifest)
        return manifest

    def _write_empty(self, schema: pa.Schema) -> tuple[StoredPart, ...]:
        """Write a file without rows, from which readers know the columns; JSON lines can't tell."""
        if self.writer.format.name == "jsonl":
            return ()
        names = self.writer.partition_by
        table = schema.empty_table().drop_columns(list(names))
        name, nbytes, checksum = self._put_empty(table, empty_directory(schema, names))
        return (StoredPart(name, 0, "empty", 0, nbytes, checksum),)

    def _join(self, manifest: Manifest) -> Manifest:
        """Return the manifest after the commit."""
        if self.mending is not None:
            return self.mending.put(manifest)
        if self._existing is not None and self._is_added:
            return self._existing.joined(manifest)
        return manifest

    def abort(self) -> None:
        """Drop what was not committed and unlock the target; nothing happens the second time."""
        if self._is_open:
            self._is_open = False
            self._leave()

    # -- how a kind of target does it --------------------------------------------------------------

    _shows_all_files = True
    """Whether readers of the directory read files too that no manifest lists."""

    def _read_existing(self) -> Manifest | None:
        """Remove what dead runs left, and return the manifest, if there is one."""
        raise NotImplementedError

    def _has_files(self) -> bool:
        """Return whether there is anything."""
        raise NotImplementedError

    def _list_files(self) -> Mapping[str, int | None]:
        """Return the bytes of each file there, None if unknown, by its path in the target."""
        raise NotImplementedError

    def _follow(self, existing: Manifest) -> None:
        """Let the names of new files sort after those of `existing`, or with those it completes."""

    def _is_whole(self, part: StoredPart) -> bool:  # noqa: ARG002 - of a store the bytes tell
        """Return whether the file of `part`, which has as many bytes, is as it was committed."""
        return True

    def _bring(self, part: StoredPart, name: str) -> str:  # noqa: ARG002 - needed on disks
        """Return the name under which `_gather` finds an existing file; `name` is free."""
        return part.path

    def _gather(self, parts: Sequence[Part], schema: pa.Schema | None) -> tuple[StoredPart, ...]:
        """Return the files of `parts` under their last names; rewrite those that lack types."""
        raise NotImplementedError

    def _put_empty(self, table: pa.Table, directory: str) -> tuple[str, int, str]:
        """Write `table`, which has no rows; return the file's name, bytes and checksum."""
        raise NotImplementedError

    def _publish(self, manifest: Manifest) -> None:
        """Make what was gathered visible in one step."""

    def _leave(self) -> None:
        """Drop what was not committed, and unlock."""


def _find_retyped(parts: Sequence[Part], stored: Sequence[StoredPart]) -> dict[str, str]:
    """Return the checksums that chunks wrote, by the path of each file that has another one now."""
    files = [file for part in parts for file in part.files]
    written = [file.written or file.checksum for file in files]
    pairs = zip(stored, written, strict=False)  # a file without rows is not a chunk's
    return {part.path: checksum for part, checksum in pairs if part.checksum != checksum}
