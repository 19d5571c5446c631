"""A frame or table that is already in memory, as chunks: written once as Arrow IPC, read mapped.

Local workers map the file, so that rows are never sent to them.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.types as pat
from pandas.api.types import is_object_dtype, pandas_dtype

from taskinity_data.data_kinds import measure_nbytes
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.deliver import deliver_rows, drop_pandas_index
from taskinity_data.formats.frame_tables import restore_objects, to_table
from taskinity_data.formats.open_tables import open_tables
from taskinity_data.formats.reader import ReadResult
from taskinity_data.formats.table_access import TableAccess, TableLayout, check_schema
from taskinity_data.formats.tables import TableReader
from taskinity_data.sources.file import SourceFile
from taskinity_data.sources.fingerprint import Fingerprint
from taskinity_data.sources.temporary import OwnDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.sources.file import Piece

__all__ = ["MemoryReader", "open_memory"]

BATCH_NBYTES = 1 << 20
"""Arrow bytes of a record batch: mapping one costs 20 µs, and a range maps whole batches."""

FRAME_NBYTES, FEW_SHARE = 64 << 10, 4
"""Arrow bytes of the frames that are kept, and of which share rows are given from one: to make it
takes 0.1 to 0.2 ms, hardly more than to make one of a single row; to give rows takes 0.01.
"""


class _ThreadFrame(threading.local):
    """The frame of which this thread gives rows, each of them once: functions may change them."""

    key: tuple[Any, ...] | None = None
    frame: pd.DataFrame
    nbytes = stop = 0


_thread = _ThreadFrame()


@dataclass(frozen=True)
class MappedAccess(TableAccess):
    """How `TableReader` looks into the one Arrow IPC file that `open_memory` wrote.

    Attributes
    ----------
    stored : pyarrow.Schema
    rows : int
    sizes : tuple of int
        Arrow bytes of each column.
    batch_rows : int
        Rows of each record batch but the last.
    """

    format: ClassVar[str] = "arrow"

    stored: pa.Schema = field(repr=False)
    rows: int = field(repr=False)
    sizes: tuple[int, ...] = field(repr=False)
    batch_rows: int = field(repr=False)

    def open_layout(self, file: SourceFile) -> TableLayout:
        """Return the table as one group, since a part of it costs no more than that part."""
        starts = np.array([0, self.rows], np.int64)
        return TableLayout(file, self.stored, starts, np.array([self.sizes], np.int64))

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` of columns `names`, from the mapped file."""
        first, last = start // self.batch_rows, (stop - 1) // self.batch_rows
        with pa.memory_map(layout.file.path) as mapped:
            opened = pa.ipc.open_file(mapped)
            batches = [opened.get_batch(number) for number in range(first, last + 1)]
        table = pa.Table.from_batches(batches, opened.schema).select(list(names))
        return table.slice(start - first * self.batch_rows, stop - start)

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of columns `names`, as the record batches' headers have them."""
        table = self.read_rows(layout, 0, self.rows, names)
        return {name: table[name].null_count for name in names}

    def read_dictionaries(self, *_: Any) -> Iterator[pa.Table]:
        """Yield none: `open_memory` takes those of the table, which all batches share."""
        yield from ()


@dataclass(frozen=True)
class MemoryReader(TableReader):
    """How the rows of a frame or table are read: see `open_memory`.

    Attributes
    ----------
    objects : frozenset of str
        Columns that were of dtype object in pandas; Arrow holds them by a type of its own.
    arrow_dtyped : frozenset of str
        Columns of a `pandas.ArrowDtype`, not all of which pandas' metadata describe.
    labels : pandas.Index or None
        pandas' names of the columns, where they are not plain texts.
    keeper : OwnDirectory or None
        The file's directory; None in other processes.
    """

    objects: frozenset[str] = frozenset()
    arrow_dtyped: frozenset[str] = frozenset()
    labels: pd.Index | None = field(default=None, compare=False)
    keeper: OwnDirectory | None = field(default=None, compare=False, repr=False)

    access: MappedAccess
    is_in_memory: ClassVar[bool] = True

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not show what pandas holds of the whole."""
        names = self.with_nulls | self.arrow_dtyped | self.objects
        return not names.isdisjoint(self.schema.names)

    @cached_property
    def _identity(self) -> str:
        described = sorted(self.objects), sorted(self.arrow_dtyped), self.labels
        digest = blake2b(repr(described).encode(), digest_size=16)
        return f"{super()._identity} {digest.hexdigest()}"

    def select(self, columns: Sequence[str]) -> MemoryReader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order."""
        indexes = [self.schema.get_field_index(name) for name in columns]
        labels = None if self.labels is None else self.labels[indexes]
        return replace(cast("MemoryReader", super().select(columns)), labels=labels)

    def frame_nbytes(self, piece: Piece) -> int | None:
        """Return bytes of all rows of `piece` as a pandas frame, None if unknown before reading."""
        return None if self.objects or self.arrow_dtyped else super().frame_nbytes(piece)

    def pack_rows(self) -> bytes | None:
        """Return the content of the file, if it is this process's."""
        return None if self.keeper is None else Path(_path_in(self.keeper)).read_bytes()

    def keep_rows(self, rows: bytes) -> tuple[SourceFile, MemoryReader]:
        """Return a file of this process that holds `rows`, and its reader."""
        keeper = OwnDirectory("memory")
        path = _path_in(keeper)
        Path(path).write_bytes(rows)
        return SourceFile(path, Fingerprint.of(path)), replace(self, keeper=keeper)

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`: see `TableReader.read`.

        A few rows as pandas are cut from a frame of those around them, which is kept.
        """
        rows = pieces[0].stop - pieces[0].start
        if as_ == "pandas" and len(pieces) == 1 and 0 < rows <= self._few_rows:
            with suppress(ReadError):  # other rows may be the cause
                return self._give_rows(pieces[0], rows)
        pieces[0].file.check(pieces[0].start)
        return super().read(pieces, as_)

    @cached_property
    def _few_rows(self) -> int:
        """The most rows that are few; 0 where some are left out, or values are objects."""
        names = self.schema.names
        has_mutable = self.objects or any(pat.is_nested(column.type) for column in self.schema)
        if has_mutable or self.filters is not None or not names:
            return 0
        # Nulls take nothing in Arrow, and bools a bit.
        row_nbytes = max(8, sum(self.access.sizes) // max(1, self.access.rows))
        return FRAME_NBYTES // row_nbytes // FEW_SHARE

    def _give_rows(self, piece: Piece, rows: int) -> ReadResult:
        number, first = divmod(piece.start, FEW_SHARE * self._few_rows)
        key = piece.path, piece.file.fingerprint, self.identity(), number
        if _thread.key != key or first < _thread.stop:
            start = piece.start - first
            piece.file.check(start)
            # More rows, so that a few are never in two frames.
            stop = min(self.access.rows, start + (FEW_SHARE + 1) * self._few_rows)
            around = super().read([replace(piece, start=start, stop=stop)], "pandas").data
            _thread.frame, _thread.nbytes = around.copy(), measure_nbytes(around) or 0
        _thread.key, _thread.stop = key, first + rows
        frame = _thread.frame[first : first + rows]  # iloc takes 1 µs more, RangeIndex(rows) 2
        frame.index = pd.RangeIndex.from_range(range(rows))
        # Measuring it takes longer than cutting it. Texts count with the mean of those around them.
        return ReadResult(frame, rows, 0, nbytes=_thread.nbytes * rows // len(_thread.frame))

    def deliver(self, table: pa.Table, as_: str, pieces: Sequence[Piece]) -> Any:
        """Return `table`, rows of `pieces`, as one of `KINDS`; Arrow is in the mapped file."""
        data = deliver_rows(table, as_, self.with_nulls, pieces, exact=self.arrow_dtyped)
        if as_ != "pandas":
            return data
        for index, name in enumerate(self.schema.names):
            if name in self.objects:
                data.isetitem(index, restore_objects(table.column(index), data.iloc[:, index]))
            elif name in self.arrow_dtyped:
                values = pd.arrays.ArrowExtensionArray(table.column(index))
                data.isetitem(index, pd.Series(values, index=data.index))
        if self.labels is not None:
            data.columns = self.labels
        return data


def open_memory(
    source: Any, columns: Sequence[str] | None = None, filters: Any = None
) -> tuple[SourceFile, MemoryReader]:
    """Return `source` written as Arrow IPC, and the reader of its rows.

    The file is in a private temporary directory, which is removed when the last reader that refers
    to it in this process is gone.

    Parameters
    ----------
    source : pandas.DataFrame, pyarrow.Table, pyarrow.RecordBatch or polars.DataFrame
        Of a pandas index, named levels come as columns, before the others; the rest is dropped.
    columns, filters
        As in `open_dataset`.

    Raises
    ------
    PlanError
        A column that Arrow can't hold unchanged (values of mixed types, complex numbers), two
        columns of one name, a lazy or streamed source.

    Notes
    -----
    Writes uncompressed, a batch at a time. Missing values in columns of dtype object come back as
    None, whatever they were.
    """
    table, frame = to_table(source)
    _refuse_categories(frame)
    check_schema(table.schema, "source")
    table = table.unify_dictionaries()
    keeper = OwnDirectory("memory")
    path = _path_in(keeper)
    try:
        batch_rows = _write(table, path)
    except OSError as error:
        Path(path).unlink(missing_ok=True)
        raise PlanError(
            f"source: it can't be written to {keeper.path} for the workers ({error}); free some "
            "space, or set TMPDIR to another directory"
        ) from error
    dtypes = {} if frame is None else dict(zip(table.schema.names, frame.dtypes, strict=True))
    objects = frozenset(name for name, dtype in dtypes.items() if is_object_dtype(dtype))
    of_arrow = {name: each for name, each in dtypes.items() if isinstance(each, pd.ArrowDtype)}
    unparsable = [name for name, dtype in of_arrow.items() if not _is_parsable(dtype)]
    metadata = drop_pandas_index(table.schema.metadata, unparsable)
    access = MappedAccess(
        stored=table.schema.with_metadata(metadata),
        rows=table.num_rows,
        sizes=tuple(column.nbytes for column in table.columns),
        batch_rows=batch_rows,
    )
    file = SourceFile(path, Fingerprint.of(path))
    reader = open_tables(access, [file], columns, filters, None)
    reader = replace(reader, categories=_find_categories(table, reader.stored.names))
    return file, MemoryReader(
        **{field.name: getattr(reader, field.name) for field in fields(reader)},
        objects=objects,
        arrow_dtyped=frozenset(of_arrow),
        labels=_find_labels(frame, table, reader.schema.names),
        keeper=keeper,
    )


def _path_in(keeper: OwnDirectory) -> str:
    return os.path.join(keeper.path, "source.arrow")


def _refuse_categories(frame: pd.DataFrame | None) -> None:
    """Raise `PlanError` for categories that Arrow's files have no dictionary of."""
    dtypes = [] if frame is None else frame.dtypes.items()
    for label, dtype in dtypes:
        if isinstance(dtype, pd.CategoricalDtype) and isinstance(
            dtype.categories.dtype, pd.IntervalDtype | pd.PeriodDtype
        ):
            kind = dtype.categories.dtype
            raise PlanError(
                f"source: column {label!r} has categories of dtype {kind}, as pandas.cut makes "
                f'them, which Arrow can\'t hold; convert it: .astype("{kind}"), or .astype(str)'
            )


def _is_parsable(dtype: pd.ArrowDtype) -> bool:
    """Return whether pandas can parse `dtype` from its name."""
    try:
        return bool(pandas_dtype(str(dtype)) == dtype)
    except (TypeError, NotImplementedError):
        return False


def _find_labels(
    frame: pd.DataFrame | None, table: pa.Table, selected: Sequence[str]
) -> pd.Index | None:
    if frame is None:
        return None
    labels = frame.columns[[table.schema.get_field_index(name) for name in selected]]
    is_plain = labels.name is None and list(labels) == list(selected)
    return None if is_plain and labels.dtype == "str" else labels


def _find_categories(table: pa.Table, names: Sequence[str]) -> tuple[tuple[str, pa.Array], ...]:
    categories = []
    for name in names:
        column = table[name]
        if pat.is_dictionary(column.type):
            empty = pa.array([], column.type.value_type)
            categories.append((name, column.chunk(0).dictionary if column.num_chunks else empty))
    return tuple(categories)


def _write(table: pa.Table, path: str) -> int:
    """Write `table` in even record batches; the rows of each."""
    rows = table.num_rows
    batch_rows = max(1, rows * BATCH_NBYTES // max(BATCH_NBYTES, table.nbytes))
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for start in range(0, rows, batch_rows):
            part = table.slice(start, batch_rows).combine_chunks()
            for batch in part.to_batches():
                writer.write_batch(batch)
    return int(batch_rows)
