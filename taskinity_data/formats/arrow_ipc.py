"""Arrow IPC files (Feather too) and streams as pieces: ranges of rows.

It knows nothing of how many pieces make a chunk, nor of where messages lie: `ipc_layout` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.formats.deliver import copy_out
from taskinity_data.formats.file_layouts.ipc_layout import open_ipc_layout
from taskinity_data.formats.file_layouts.ipc_splice import read_batches
from taskinity_data.formats.open_tables import open_tables
from taskinity_data.formats.tables import read_all, unreadable
from taskinity_data.sources.caches import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.formats.file_layouts.ipc_layout import IpcLayout
    from taskinity_data.formats.tables import TableLayout, TableReader
    from taskinity_data.sources.file import SourceFile

__all__ = ["IpcAccess", "check_file", "open_ipc"]

BATCHES = 4
"""Decompressed record batches that are kept while ranges within them are read in order."""

_batches: Cache[Any] = Cache(BATCHES)


def open_ipc(
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any] | None = None,  # noqa: ARG001 - Arrow IPC has none
) -> TableReader:
    """The reader of `files`, whose chunks together equal `pandas.read_feather`.

    Parameters
    ----------
    files : sequence of SourceFile
        Arrow IPC files or streams, or both.
    columns, filters, schema
        As in `open_tables`.

    Raises
    ------
    PlanError
        A file is truncated, malformed or of Feather's first version; besides as in `open_tables`.

    Notes
    -----
    Reads the headers of all record batches, about 25 µs each, and the dictionaries of categories.
    """
    return open_tables(IpcAccess(), files, columns, filters, schema)


@dataclass(frozen=True)
class IpcAccess:
    """How `TableReader` looks into Arrow IPC files and streams."""

    @property
    def format(self) -> str:
        """``"arrow"``."""
        return "arrow"

    def open_layout(self, file: SourceFile) -> TableLayout:
        """What `file` holds."""
        return open_ipc_layout(file)

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Rows `start` to `stop` of columns `names`.

        Notes
        -----
        A record batch that is compressed is decompressed whole, unless the same process has just
        read up to `start`.
        """
        ipc = cast("IpcLayout", layout)
        groups = layout.groups(start, stop)
        try:
            parts = list(_read_parts(ipc, groups, start, stop, names))
            return copy_out(pa.Table.from_batches(parts))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise unreadable(layout, start, error) from error

    def read_dictionaries(self, layout: TableLayout, name: str) -> pa.Table:
        """The first rows of column `name` under each dictionary."""
        if not pat.is_dictionary(layout.schema.field(name).type):
            return read_all(self, layout, name)
        ipc = cast("IpcLayout", layout)
        wanted = ipc.first_of_each_dictionary()
        try:
            batches = [batch.slice(0, 1) for batch in read_batches(ipc, wanted, [name])]
            for batch in batches:
                batch.validate(full=True)
            return pa.Table.from_batches(batches, pa.schema([layout.schema.field(name)]))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise unreadable(layout, 0, error) from error


def _read_parts(
    layout: IpcLayout, groups: range, start: int, stop: int, names: Sequence[str]
) -> Iterator[Any]:
    """Rows `start` to `stop` of columns `names`, a part for each of the record batches `groups`."""
    file, order = layout.file, tuple(names)
    key = file.path, file.fingerprint, groups[0], order
    batch = _batches.take(key)
    others = groups if batch is None else groups[1:]
    batches = chain(() if batch is None else (batch,), read_batches(layout, others, names))
    for group, batch in zip(groups, batches, strict=True):
        first, last = int(layout.starts[group]), int(layout.starts[group + 1])
        if batch.num_rows != last - first:
            raise ValueError(f"a batch of {last - first:,} rows has {batch.num_rows:,}")
        for column in batch.columns:
            # A part counts its nulls, the whole has what the batch's header tells.
            nulls = column.null_count
            if nulls and nulls != column[:1].null_count + column[1:].null_count:
                raise ValueError("a column has other nulls than its header tells")
        low, high = max(first, start), min(last, stop)
        part = batch.slice(low - first, high - low)
        # Arrow follows offsets and codes without a look: wrong ones would end the process.
        part.validate(full=True)
        yield part
        if high < last and layout.is_compressed:
            _batches.put((file.path, file.fingerprint, group, order), batch)


def check_file(file: SourceFile, _options: Any) -> None:
    """Raise what is wrong with the metadata of `file`; there are no options."""
    IpcAccess().open_layout(file)
