"""Arrow IPC files (Feather too) and streams as pieces: ranges of rows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.deliver import copy_out
from taskinity_data.formats.table_access import (
    TableAccess,
    TableLayout,
    check_schema,
    cut_group,
    fixed_nbytes,
    reading,
    window_nbytes,
)
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.file import HEAD_NBYTES, StoreFile
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = ["IpcAccess"]

_MAGIC = b"ARROW1"
_FEATHER_V1 = b"FEA1"

CURSORS = 4
"""Open files that are kept, each with the last record batch that was read from it: one that is
compressed is decompressed once while ranges within it are read in order."""


@dataclass(frozen=True, eq=False)
class IpcLayout(TableLayout):
    """What one file or stream holds, with the nulls of the column that rows were counted by."""

    is_stream: bool
    nulls: dict[str, int]


class _Cursor:
    """Columns `names` of the record batches of a file by number; of a stream, in ascending order.

    Notes
    -----
    A local file is mapped: columns that are not wanted, and rows that are not looked at, are not
    read from the disk. Of a store's file only the wanted columns are read, but for a stream.
    """

    def __init__(
        self,
        file: SourceFile,
        indexes: Sequence[int],
        *,
        is_stream: bool,
        window: int = HEAD_NBYTES,
    ) -> None:
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=sorted(indexes))
        self._source: Any = (
            pa.memory_map(file.path)
            if file.store is None
            else pa.PythonFile(StoreFile(file, window), mode="r")
        )
        self._is_stream = is_stream
        new = pa.ipc.open_stream if is_stream else pa.ipc.open_file
        self._reader = new(self._source, options=options)
        self.schema: pa.Schema = self._reader.schema
        self._batch: Any = None
        self.number = -1

    def get(self, number: int) -> Any:
        """Return the record batch `number`, not before the last one of a stream."""
        while self.number != number:
            self._batch = (
                self._reader.read_next_batch()
                if self._is_stream
                else self._reader.get_batch(number)
            )
            self.number = self.number + 1 if self._is_stream else number
            # Headers may have other lengths than buffers: Arrow looks at neither by itself.
            self._batch.validate()
        return self._batch

    def __iter__(self) -> Iterator[Any]:
        """Yield all record batches; `ValueError` where a stream does not end with its mark."""
        if not self._is_stream:
            yield from map(self.get, range(self._reader.num_record_batches))
            return
        start = self._source.tell()
        with suppress(StopIteration):
            while True:
                yield self.get(self.number + 1)
                start = self._source.tell()
        end = self._source.tell()
        if end == start:
            raise ValueError("the end-of-stream marker is missing")
        if end != self._source.size():
            raise ValueError(
                f"the stream ends at byte {end:,} of {self._source.size():,}; if several streams "
                "were written to one file, split them"
            )


_cursors: Cache[_Cursor] = Cache(CURSORS)


@dataclass(frozen=True)
class IpcAccess(TableAccess):
    """How `TableReader` looks into Arrow IPC, so that chunks equal `pandas.read_feather`.

    Notes
    -----
    To open a dataset takes about 25 µs a record batch. Of compressed files, and of those in stores,
    one column is read to count rows, the first batch for sizes of texts, and the selected columns
    of integers and booleans for nulls; a stream in a store is read whole. Dictionaries of
    categories are read.
    """

    format: ClassVar[str] = "arrow"

    def describe(self, file: SourceFile) -> TableLayout:
        """Return what the record batches of `file` hold."""
        return _open(file)

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` of columns `names`.

        Notes
        -----
        A record batch that is compressed is decompressed whole, and of a stream all those before
        it, unless the same process has just read up to `start`.
        """
        ipc = cast("IpcLayout", layout)
        with reading(layout, start):
            return copy_out(pa.Table.from_batches(list(_read_parts(ipc, start, stop, names))))

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of columns `names`, as the record batches' headers have them."""
        ipc = cast("IpcLayout", layout)
        counts = {name: ipc.nulls.get(name, 0) for name in names}
        others = [name for name in names if name not in ipc.nulls]
        with reading(layout, 0):
            for batch in _open_cursor(ipc, others) if others else ():
                for name, column in zip(batch.schema.names, batch.columns, strict=True):
                    counts[name] += column.null_count
        return counts

    def read_dictionaries(
        self, layout: TableLayout, name: str, groups: Sequence[int]
    ) -> Iterator[pa.Table]:
        """Yield the first row of column `name` under each dictionary."""
        field = layout.schema.field(name)
        if not pat.is_dictionary(field.type):
            yield from super().read_dictionaries(layout, name, groups)
            return
        last = None
        with reading(layout, 0):
            for batch in _open_cursor(cast("IpcLayout", layout), [name]):
                values = batch[name].dictionary
                where = len(values), [buffer and buffer.address for buffer in values.buffers()]
                if where != last:
                    part = batch.slice(0, 1)
                    part.validate(full=True)
                    yield pa.Table.from_batches([part])
                last = where


def _open_cursor(layout: IpcLayout, names: Sequence[str]) -> _Cursor:
    indexes = [layout.schema.get_field_index(name) for name in names]
    if len(indexes) == len(layout.schema):
        indexes = []  # all, read at once
    window = window_nbytes(layout, names)
    return _Cursor(layout.file, indexes, is_stream=layout.is_stream, window=window)


def _open(file: SourceFile) -> IpcLayout:
    path = file.path
    try:
        with open_file(file) as opened:
            head = opened.read(len(_MAGIC))
        if head.startswith(_FEATHER_V1):
            line = f"feather.write_feather(feather.read_table({path!r}), {path + '.arrow'!r})"
            raise PlanError(
                f"{path}: this is Feather version 1, which is not supported; convert it: "
                f"from pyarrow import feather; {line}"
            )
        is_stream = head != _MAGIC
        schema = _Cursor(file, [], is_stream=is_stream).schema
        check_schema(schema, path)
        cheapest = sorted(range(len(schema)), key=lambda index: _cost(schema.field(index)))[:1]
        rows, nulls = [], dict.fromkeys((schema.names[index] for index in cheapest), 0)
        for batch in _Cursor(file, cheapest, is_stream=is_stream):
            rows.append(batch.num_rows)
            for name in nulls:
                nulls[name] += batch[name].null_count
        widths = _widths(file, schema, rows, is_stream=is_stream)
    # Extension types are built from what the file says by any class that is registered.
    except Exception as error:
        if isinstance(error, (PlanError, ReadError)):
            raise
        raise PlanError(
            f"{path}: the Arrow data can't be read: {error}; if the file is truncated or damaged, "
            "write or copy it again"
        ) from error
    return IpcLayout(
        file=file,
        schema=schema,
        starts=np.cumsum([0, *rows], dtype=np.int64),
        sizes=np.ceil(np.outer(rows, widths)).astype(np.int64).reshape(len(rows), len(schema)),
        is_stream=is_stream,
        nulls=nulls,
    )


def _cost(field: pa.Field) -> float:
    """About the bytes that a row of a column takes."""
    nbytes = fixed_nbytes(field.type)
    return float("inf") if nbytes is None else nbytes


def _widths(
    file: SourceFile, schema: pa.Schema, rows: Sequence[int], *, is_stream: bool
) -> list[float]:
    """Return bytes of a row of each column in memory; of texts and the like, of the first rows."""
    widths = [fixed_nbytes(field.type) for field in schema]
    unknown = [index for index, width in enumerate(widths) if width is None]
    number = next((number for number, count in enumerate(rows) if count), None)
    if unknown and number is not None:
        batch = _Cursor(file, unknown, is_stream=is_stream).get(number)
        for index, column in zip(unknown, batch.columns, strict=True):
            widths[index] = column.get_total_buffer_size() / rows[number]
    return [width or 0 for width in widths]


def _read_parts(layout: IpcLayout, start: int, stop: int, names: Sequence[str]) -> Iterator[Any]:
    """Yield rows `start` to `stop` of columns `names`, a part for each record batch."""
    groups = layout.groups(start, stop)
    key = layout.file.path, layout.file.fingerprint, tuple(names)
    cursor = _cursors.take(key)
    if cursor is None or (layout.is_stream and cursor.number > groups[0]):
        cursor = _open_cursor(layout, names)
    for group in groups:
        batch = cursor.get(group)
        for column in batch.columns:
            # A part counts its nulls, the whole has what the batch's header tells.
            nulls = column.null_count
            if nulls and nulls != column[:1].null_count + column[1:].null_count:
                raise ValueError("the nulls of a column differ from its header")
        yield cut_group(layout, group, batch, start, stop)
    _cursors.put(key, cursor)
