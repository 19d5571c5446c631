"""Tables that files hold in groups of rows (record batches, stripes), read by ranges of rows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.deliver import conform, count_only, deliver_rows, gather
from taskinity_data.formats.reader import ReadResult
from taskinity_data.sources.file import Piece
from taskinity_data.sources.raw import HEAD_NBYTES, WINDOW_NBYTES
from taskinity_data.sources.read import read_pieces
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "ReadsGroups",
    "TableLayout",
    "TableReader",
    "check_columns",
    "check_schema",
    "divide_rows",
    "fixed_nbytes",
    "read_all",
    "unreadable",
    "window_nbytes",
]

SMALL_NBYTES = 256 << 10
"""Bytes up to which groups are one piece together: reading one by itself costs 0.5 ms, as much as
400 KB of it do."""


class ReadsGroups(Protocol):
    """How files of one format are looked into: stateless, and pickled with the reader."""

    @property
    def format(self) -> str:
        """``"arrow"``, ``"orc"``."""

    def open_layout(self, file: SourceFile) -> TableLayout:
        """What `file` holds; `PlanError` where its metadata can't be read."""

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Rows `start` to `stop` (at least one) of columns `names` (at least one, in any order);
        `ReadError` where they can't be read.
        """

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of those of columns `names` for which that is known without looking at rows."""

    def read_dictionaries(self, layout: TableLayout, name: str) -> pa.Table:
        """Rows of column `name` whose dictionaries hold all its categories, in order."""


@dataclass(frozen=True)
class TableReader:
    """How the pieces of a dataset are found and read: see `open_tables`.

    Attributes
    ----------
    access : ReadsGroups
    schema : pyarrow.Schema
        The selected columns, in the order asked for, with pandas' metadata but for the index.
    stored : pyarrow.Schema
        The columns that are read from the files: the selected and the filter's.
    filters : Filters or None
    categories : tuple of (str, pyarrow.Array)
        All values of each dictionary-encoded column, in the order of their first appearance.
    with_nulls : frozenset of str
        Integer and bool columns that hold a null somewhere.
    """

    access: ReadsGroups
    schema: pa.Schema
    stored: pa.Schema
    filters: Filters | None = None
    categories: tuple[tuple[str, pa.Array], ...] = ()
    with_nulls: frozenset[str] = frozenset()

    @property
    def format(self) -> str:
        """``"arrow"`` or ``"orc"``."""
        return self.access.format

    @property
    def unit(self) -> str:
        """``"rows"``."""
        return "rows"

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return not self.with_nulls.isdisjoint(self.schema.names)

    def identity(self) -> str:
        """A stable text of all that decides what a range reads as."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        digest = blake2b(digest_size=16)
        for schema in (self.schema, self.stored):
            digest.update(schema.serialize())
        for name, values in self.categories:
            digest.update(f"\0{name}\0{values.to_pylist()!r}".encode())
        filters = "" if self.filters is None else self.filters.text
        digest.update(f"\0{filters}\0{sorted(self.with_nulls)}".encode())
        return f"{self.format} file {digest.hexdigest()}"

    def select(self, columns: Sequence[str]) -> TableReader:
        """The reader of `columns` alone, some of `schema`'s names, in that order."""
        needed = {*columns, *(self.filters.columns if self.filters else ())}
        return replace(
            self,
            schema=pa.schema([self.schema.field(name) for name in columns], self.schema.metadata),
            stored=pa.schema([one for one in self.stored if one.name in needed]),
            categories=tuple(one for one in self.categories if one[0] in needed),
        )

    def extent(self, file: SourceFile) -> Piece:
        """All rows of `file`."""
        layout = self.access.open_layout(file)
        nbytes = sum(layout.group_nbytes(self.schema.names))
        return Piece(file, 0, layout.rows, nbytes, layout.rows)

    def grains(self, file: SourceFile, grain_nbytes: int) -> Iterator[Piece]:
        """The groups of `file` in order: small ones together, large ones in even parts.

        A piece has at most `grain_nbytes`, or one row. A file without rows is one empty piece.
        """
        layout = self.access.open_layout(file)
        stops = layout.starts[1:].tolist()
        limit = min(grain_nbytes, SMALL_NBYTES)
        start = stop = size = 0
        for end, nbytes in zip(stops, layout.group_nbytes(self.schema.names), strict=True):
            if nbytes and start < stop and size + nbytes > limit:
                yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)
                start, size = stop, 0
            stop, size = end, size + nbytes
        yield from self.recut(Piece(file, start, stop, size, stop - start), grain_nbytes)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """`piece` in even parts of at most `grain_nbytes`, or of one row."""
        yield from divide_rows(piece, -(-piece.nbytes // grain_nbytes))

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """`piece` as two halves by rows, None where it is one row or none."""
        halves = divide_rows(piece, 2)
        return (halves[0], halves[1]) if len(halves) == 2 else None

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """The rows of `pieces`, one after another, in memory of their own.

        Raises
        ------
        ReadError
            They can't be read, or hold what `as_` has no type for.
        SchemaError
            A value does not fit the schema.
        """
        tables = read_pieces(self._read_one, [one for one in pieces if one.start < one.stop])
        rows = sum(table.num_rows for table in tables)
        planned = sum(piece.stop - piece.start for piece in pieces)
        named = bool(self.schema.names)
        table = gather(tables, self.schema, self.categories) if named else count_only(rows)
        data = deliver_rows(table, as_, self.with_nulls, pieces)
        return ReadResult(data, rows, planned - rows)

    def _read_one(self, piece: Piece) -> pa.Table:
        """The rows of `piece` that pass."""
        layout = self.access.open_layout(piece.file)
        there = set(layout.schema.names)
        names = [name for name in self.stored.names if name in there]
        rows = piece.stop - piece.start
        if names:
            table = self.access.read_rows(layout, piece.start, piece.stop, names)
        else:
            table = count_only(rows)
        table = conform(table, self.stored, piece.path)
        return table if self.filters is None else self.filters.apply(table)


def read_all(access: ReadsGroups, layout: TableLayout, name: str) -> pa.Table:
    """Column `name` of a whole file."""
    if layout.rows == 0:
        return pa.schema([layout.schema.field(name)]).empty_table()
    return access.read_rows(layout, 0, layout.rows, [name])


def unreadable(layout: TableLayout, start: int, error: Exception) -> ReadError:
    """The error that rows of a file, from `start` on, can't be read because of `error`."""
    path = layout.file.path
    return ReadError(
        f"{path}: rows from {start:,} on can't be read: {error}; the file is damaged: write or "
        "copy it again",
        path=path,
        start=start,
    )


@dataclass(frozen=True, eq=False)
class TableLayout:
    """What one file holds.

    Attributes
    ----------
    file : SourceFile
    schema : pyarrow.Schema
        With the metadata that pandas left, where there are some.
    starts : numpy.ndarray
        Shape (groups + 1,), int64: the row at which each group (record batch, stripe) begins, and
        the number of rows.
    sizes : numpy.ndarray
        Shape (groups, columns), int64: bytes in memory of each column in each group, about.
    """

    file: SourceFile
    schema: pa.Schema
    starts: np.ndarray[Any, np.dtype[np.int64]]
    sizes: np.ndarray[Any, np.dtype[np.int64]]

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return int(self.starts[-1])

    def group_nbytes(self, names: Sequence[str]) -> list[int]:
        """Bytes of columns `names` in each group; rows where the file has none of them.

        A group without rows has none: its buffers may hold an offset.
        """
        rows = np.diff(self.starts)
        wanted = set(names)
        places = [place for place, name in enumerate(self.schema.names) if name in wanted]
        sizes = self.sizes[:, places].sum(axis=1) if places else rows
        return [int(nbytes) for nbytes in np.where(rows > 0, sizes, 0)]

    def groups(self, start: int, stop: int) -> range:
        """The groups that hold rows `start` to `stop`, of which there is at least one."""
        first = int(np.searchsorted(self.starts, start, "right")) - 1
        return range(first, int(np.searchsorted(self.starts, stop, "left")))


def fixed_nbytes(type_: pa.DataType) -> float | None:
    """Bytes of a value of `type_` in memory, None where they differ."""
    if pat.is_null(type_):
        return 0
    try:
        return float(type_.bit_width) / 8
    except ValueError:
        return None


def window_nbytes(layout: TableLayout, names: Sequence[str]) -> int:
    """Bytes to read ahead in a store: about those of columns `names` in one group."""
    whole = sum(layout.group_nbytes(layout.schema.names))
    share = sum(layout.group_nbytes(names)) / whole if whole else 1
    group_nbytes = layout.file.nbytes // max(1, len(layout.sizes))
    return max(HEAD_NBYTES, min(WINDOW_NBYTES, int(group_nbytes * share)))


def check_schema(schema: pa.Schema, path: str) -> None:
    """Raise `PlanError` where two columns of `schema` have one name, or where what pandas noted in
    it is damaged.
    """
    names = schema.names
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise PlanError(f"{path}: there are several columns {twice!r}; rename them first")
    noted = (schema.metadata or {}).get(b"pandas")
    if noted is not None and not _is_sound(noted):
        raise PlanError(
            f"{path}: what pandas noted of its columns (the metadata 'pandas') is damaged; write "
            "or copy the file again"
        )


def _is_sound(noted: bytes) -> bool:
    """Whether pandas' metadata have the form that dtypes are restored by."""
    try:
        told = json.loads(noted)
        columns = [(one["name"], one["numpy_type"], one["pandas_type"]) for one in told["columns"]]
    except (ValueError, TypeError, KeyError):
        return False
    is_typed = all(isinstance(dtype, str) for _, *dtypes in columns for dtype in dtypes)
    return is_typed and isinstance(told.get("index_columns"), list)


def divide_rows(piece: Piece, parts: int) -> list[Piece]:
    """`piece`, whose unit is rows, in `parts` even parts, or one for each row if they are fewer."""
    rows = piece.stop - piece.start
    parts = max(1, min(parts, rows))
    if parts == 1:
        return [piece]
    cuts = [rows * part // parts for part in range(parts + 1)]
    sizes = [piece.nbytes * cut // rows for cut in cuts]
    return [
        replace(
            piece,
            start=piece.start + cuts[part],
            stop=piece.start + cuts[part + 1],
            nbytes=sizes[part + 1] - sizes[part],
            rows=cuts[part + 1] - cuts[part],
        )
        for part in range(parts)
    ]


def check_columns(
    columns: Sequence[str] | None,
    schema: pa.Schema,
    default: Sequence[str],
    option: str = "columns",
) -> list[str]:
    """The names that `columns` selects of `schema`, `default` where it is None.

    `option` is what a message calls them.

    Raises
    ------
    PlanError
        A name that is not there, or stands twice; no list of names.
    """
    if columns is None:
        return list(default)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise PlanError(f'columns={columns!r}: give a list of names, e.g. columns=["carrier"]')
    names = list(columns)
    known = set(schema.names)
    seen: set[str] = set()
    for name in names:
        if name not in known:
            raise PlanError(
                f"{option}: there is no column {name!r} among {', '.join(default)}."
                f"{suggest(name, schema.names)}"
            )
        if name in seen:
            raise PlanError(f"columns: {name!r} is named twice; name each column once")
        seen.add(name)
    return names
