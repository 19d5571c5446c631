"""A run's output: parts written by workers, made visible together by one commit, or not at all.

It knows nothing of flows, chunks and schedulers: a chunk is an index, a key, and a table.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from taskinity_data.errors import PlanError, suggest
from taskinity_data.records import commit as steps
from taskinity_data.records.formats import check_format
from taskinity_data.records.manifest import MANIFEST, Manifest, read_manifest
from taskinity_data.records.partitions import check_partition_by
from taskinity_data.records.parts import Writer, check_added
from taskinity_data.records.places import enter
from taskinity_data.records.schemas import CommonSchema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from taskinity_data.records.parts import Part
    from taskinity_data.records.places import Place

__all__ = ["IF_EXISTS", "Sink", "open_sink"]

IF_EXISTS = ("error", "overwrite", "append")

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


class Sink:
    """A target that is locked for one run; `open_sink` makes one.

    As a context it ends itself: what was not committed is dropped.

    Attributes
    ----------
    target : str
        Absolute, links resolved.
    writer : Writer
        For workers: frozen and picklable.
    """

    def __init__(self, place: Place, writer: Writer, mode: str, existing: Manifest | None) -> None:
        self.target = place.target
        self.writer = writer
        self._place, self._mode, self._existing = place, mode, existing
        self._seen = CommonSchema()
        self._is_open = True

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
            self._seen.add(part.schema, part.who, has_rows=part.rows > 0)

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

        Notes
        -----
        Files are renamed, not copied; only those with a column that got its type from other chunks
        are written anew. Whatever is raised, the sink has ended, and the target is what it was.
        """
        if not self._is_open:
            raise PlanError(f"output={self.target!r}: this sink has ended; open another one")
        try:
            return self._commit(tuple(parts), dict(meta or {}))
        finally:
            self.abort()

    def _commit(self, parts: Sequence[Part], meta: dict[str, Any]) -> Manifest:
        json.dumps(meta, allow_nan=False)  # before anything is moved
        place, writer, existing = self._place, self.writer, self._existing
        steps.check_order(parts)
        schema = steps.agree(parts, writer.partition_by)
        is_added = existing is not None and self._mode == "append"
        if is_added and schema is not None and writer.expected is not None:
            rows = any(part.rows for part in parts)
            check_added(writer.expected, schema, "this run", writer.format, has_rows=rows)
            schema = writer.expected
        stored = steps.gather(place, parts, schema, writer.format, writer.partition_by)
        if not stored and schema is not None and not is_added and writer.format.name != "jsonl":
            stored = (steps.write_empty(place, schema, writer.format, writer.partition_by),)
        manifest = Manifest(writer.format.name, schema, writer.partition_by, stored, meta)
        steps.describe(place, manifest)
        if is_added:
            steps.publish_added(place)
        elif self._mode == "overwrite" and _has_entries(place.target):
            steps.publish_over(place)
        else:
            steps.publish_new(place)
        return manifest

    def abort(self) -> None:
        """Drop what was not committed and unlock the target; nothing happens the second time."""
        if self._is_open:
            self._is_open = False
            self._place.leave()


def open_sink(
    target: str | os.PathLike[str],
    *,
    format: str = "parquet",  # noqa: A002 - as in open_dataset
    partition_by: str | Sequence[str] = (),
    if_exists: str = "error",
    max_rows_per_file: int | None = None,
    compression: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    spreadsheet_safe: bool = False,
) -> Sink:
    """Lock `target` for a run that writes it; all that can be refused is refused now.

    Parameters
    ----------
    target : str or os.PathLike
        A directory, or its ``file://`` URL. It appears when the run commits.
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
        For URLs, which this version does not write.
    spreadsheet_safe : bool
        CSV alone: texts that a spreadsheet would take for a formula get a single quote before them.

    Returns
    -------
    Sink
        To be ended by `Sink.commit` or `Sink.abort`.

    Raises
    ------
    PlanError
        Any of these can't be; the target exists, or is another's, or is being written.

    Notes
    -----
    What dead runs left beside the target is removed, and a target that one of them had put aside is
    brought back. Processes that this one forks hold the lock with it, until they or it end.
    """
    chosen = check_format(format, compression, spreadsheet_safe=spreadsheet_safe)
    names = check_partition_by(partition_by)
    if if_exists not in IF_EXISTS:
        raise PlanError(
            f"if_exists={if_exists!r} is none of {', '.join(IF_EXISTS)}."
            f"{suggest(str(if_exists), IF_EXISTS)}"
        )
    most = max_rows_per_file
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise PlanError(f"max_rows_per_file={most!r}: give a whole number from 1 up")
    path = _find_directory(target)
    if storage_options:
        raise PlanError("storage_options mean nothing for a local directory; leave them out")
    place = enter(path)
    try:
        place.prepare()
        existing = _look_at(path, if_exists)
        if existing is not None and if_exists == "append":
            _check_same(path, existing, format, names)
        expected = existing.schema if existing is not None and if_exists == "append" else None
    except BaseException:
        place.leave()
        raise
    return Sink(place, Writer(place.parts, chosen, names, most, expected), if_exists, existing)


def _find_directory(target: str | os.PathLike[str]) -> str:
    if not isinstance(target, (str, os.PathLike)):
        raise PlanError(f"output={target!r} is no path; name a directory")
    text = os.fsdecode(target)
    scheme = _SCHEME.match(text)
    if scheme is not None:
        url = urlsplit(text)
        if scheme.group(1).lower() != "file" or url.netloc not in ("", "localhost"):
            raise PlanError(
                f"output={text!r}: only local directories are written in this version; name one, "
                "and copy it when the run has ended"
            )
        text = unquote(url.path)
    if not text:
        raise PlanError("output: the path is empty; name a directory")
    if "\0" in text:
        raise PlanError(f"output={text!r} is no path; name a directory")
    path = os.path.realpath(os.path.expanduser(text))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise PlanError(f"output={text!r} is a file; name a directory")
    if os.path.ismount(path):
        raise PlanError(
            f"output={text!r} is where a file system is mounted, which can't be exchanged in one "
            "step; name a directory in it"
        )
    return path


def _has_entries(path: str) -> bool:
    return os.path.isdir(path) and bool(os.listdir(path))


def _look_at(path: str, if_exists: str) -> Manifest | None:
    """The manifest of what stands at `path`, None where nothing does."""
    if not _has_entries(path):
        return None
    if if_exists == "error":
        is_ours = os.path.isfile(os.path.join(path, MANIFEST))
        ways = ", or say if_exists='overwrite' or if_exists='append'" if is_ours else ""
        raise PlanError(
            f"output={path!r} is there already and not empty; name another directory{ways}"
        )
    try:
        existing = read_manifest(path)
    except FileNotFoundError as error:
        raise PlanError(
            f"output={path!r} holds files that no run of this library wrote (no {MANIFEST}); "
            f"if_exists={if_exists!r} changes none of them: name another directory"
        ) from error
    if if_exists == "overwrite":
        _check_all_ours(path, existing)
    return existing


def _check_all_ours(path: str, existing: Manifest) -> None:
    ours = {part.path for part in existing.parts}
    for parent, directories, names in os.walk(path):
        directories[:] = [name for name in directories if not name.startswith((".", "_"))]
        for name in names:
            relative = os.path.relpath(os.path.join(parent, name), path)
            if not name.startswith((".", "_")) and relative not in ours:
                raise PlanError(
                    f"output={path!r} holds {relative}, which no run wrote; overwriting would "
                    "remove it: move it, or name another directory"
                )


def _check_same(path: str, existing: Manifest, format_: str, names: Sequence[str]) -> None:
    for option, there, asked in (
        ("output_format", existing.format, format_),
        ("partition_by", list(existing.partition_by), list(names)),
    ):
        if there != asked:
            way = f"say {option}={there!r}" if there else f"leave {option}= out"
            raise PlanError(
                f"output={path!r} was written with {option}={there!r}, and {asked!r} can't be "
                f"added to it; {way}, or name another directory"
            )
