"""What one file of tables holds, and how files of a format are looked into."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.file import HEAD_NBYTES, WINDOW_NBYTES

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "TableAccess",
    "TableLayout",
    "check_schema",
    "cut_group",
    "fixed_nbytes",
    "reading",
    "window_nbytes",
]


LAYOUTS_NBYTES = 16 << 20
"""Bytes of layouts that are kept in a process: a thousand Parquet files of 20 columns have 10 MB, a
million record batches of one column 16. Opening and planning look at each file four times, and each
chunk once more."""


class TableAccess:
    """How files of one format are looked into: stateless, and pickled with the reader.

    Attributes
    ----------
    format : str
    decodes_groups : bool
        Whether a group of rows is decoded from its beginning, so that a part of it costs more.
    """

    format: ClassVar[str]
    decodes_groups: ClassVar[bool] = False

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:  # noqa: ARG003 - for formats that have some
        """Return what looks into files with reader `options`; `PlanError` where one is wrong."""
        return cls()

    def open_layout(self, file: SourceFile) -> TableLayout:
        """Return what `file` holds, from the cache of this process where it is there."""
        key = self, file.path, file.fingerprint
        layout = _layouts.get(key)
        if layout is None:
            layout = self.describe(file)
            _layouts.put(key, layout, layout.nbytes)
        return layout if layout.file is file else replace(layout, file=file)

    def describe(self, file: SourceFile) -> TableLayout:
        """Return what `file` holds; `PlanError` where its metadata can't be read."""
        raise NotImplementedError

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` (at least one) of columns `names` (at least one).

        Raises `ReadError` where they can't be read.
        """
        raise NotImplementedError

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of those of columns `names` for which that is known without looking at rows; where
        only that there are some is known, any number but 0.
        """
        raise NotImplementedError

    def may_hold_nulls(
        self,
        layout: TableLayout,  # noqa: ARG002 - this and the others for formats that know more
        groups: Sequence[int],  # noqa: ARG002
        name: str,  # noqa: ARG002
    ) -> bool:
        """Return whether column `name` may hold nulls in `groups`."""
        return True

    def read_dictionaries(
        self,
        layout: TableLayout,
        name: str,
        groups: Sequence[int],  # noqa: ARG002 - for formats that have dictionaries by groups
    ) -> Iterator[pa.Table]:
        """Yield rows of column `name` in `groups`; their dictionaries hold all its categories.

        Of a column without dictionaries all its rows.
        """
        if layout.rows:
            yield self.read_rows(layout, 0, layout.rows, [name])

    def survivors(
        self,
        layout: TableLayout,
        filters: Filters,  # noqa: ARG002 - this and the others for formats with statistics
        schema: pa.Schema,  # noqa: ARG002
        hive: Sequence[HiveColumn],  # noqa: ARG002
    ) -> Sequence[int]:
        """Return the groups in which rows may pass `filters`, over `schema` and `hive` keys."""
        return range(len(layout.starts) - 1)


@contextmanager
def reading(layout: TableLayout, start: int) -> Iterator[None]:
    """Raise `ReadError` if rows of a file, from `start` on, can't be read within the block."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        path = layout.file.path
        raise ReadError(
            f"{path}: rows from {start:,} on can't be read: {error}; the file is damaged; write or "
            "copy it again",
            path=path,
            start=start,
        ) from error


@dataclass(frozen=True, eq=False)
class TableLayout:
    """What one file holds.

    Attributes
    ----------
    file : SourceFile
    schema : pyarrow.Schema
        With the metadata that pandas left, where there are some.
    starts : numpy.ndarray
        Shape (groups + 1,), int64: the row at which each group begins, and the number of rows.
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

    @property
    def nbytes(self) -> int:
        """About the bytes that it takes itself."""
        return self.starts.nbytes + self.sizes.nbytes + 1000

    @property
    def columns(self) -> Container[str]:
        """The columns that can be read; others of `schema` are null."""
        return set(self.schema.names)

    def group_nbytes(self, names: Sequence[str]) -> list[int]:
        """Return bytes of columns `names` in each group; rows where the file has none of them.

        A group without rows has none: its buffers may hold an offset.
        """
        rows = np.diff(self.starts)
        columns = self.columns
        selected = {name for name in names if name in columns}
        indexes = [index for index, name in enumerate(self.schema.names) if name in selected]
        sizes = self.sizes[:, indexes].sum(axis=1) if indexes else rows
        return [int(nbytes) for nbytes in np.where(rows > 0, sizes, 0)]

    def groups(self, start: int, stop: int) -> range:
        """Return the groups that hold rows `start` to `stop`, of which there is at least one."""
        first = int(np.searchsorted(self.starts, start, "right")) - 1
        return range(first, int(np.searchsorted(self.starts, stop, "left")))


def cut_group(layout: TableLayout, group: int, batch: Any, start: int, stop: int) -> Any:
    """Return those rows of `batch`, which is `group` whole, that are among `start` to `stop`.

    Raises `ValueError` or `pyarrow.ArrowInvalid` where it is not what it seems.
    """
    first, last = int(layout.starts[group]), int(layout.starts[group + 1])
    if batch.num_rows != last - first:
        raise ValueError(f"a group of {last - first:,} rows has {batch.num_rows:,}")
    low = max(first, start)
    part = batch.slice(low - first, min(last, stop) - low)
    # Arrow follows offsets and codes without a look: wrong ones would end the process.
    part.validate(full=True)
    return part


_layouts: Cache[TableLayout] = Cache(LAYOUTS_NBYTES)


def fixed_nbytes(type_: pa.DataType) -> float | None:
    """Return bytes of a value of `type_` in memory, None if they differ."""
    if pat.is_null(type_):
        return 0
    try:
        return float(type_.bit_width) / 8
    except ValueError:
        return None


def window_nbytes(layout: TableLayout, names: Sequence[str]) -> int:
    """Return bytes to read ahead in a store: about those of columns `names` in one group."""
    whole = sum(layout.group_nbytes(layout.schema.names))
    share = sum(layout.group_nbytes(names)) / whole if whole else 1
    group_nbytes = layout.file.nbytes // max(1, len(layout.sizes))
    return max(HEAD_NBYTES, min(WINDOW_NBYTES, int(group_nbytes * share)))


def check_schema(schema: pa.Schema, path: str) -> None:
    """Raise `PlanError` if two columns of `schema` have one name, or where what pandas noted in
    it is damaged.
    """
    names = schema.names
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise PlanError(f"{path}: there are several columns {twice!r}; rename them first")
    noted = (schema.metadata or {}).get(b"pandas")
    if noted is not None and not _is_sound(noted):
        raise PlanError(f"{path}: the metadata 'pandas' is damaged; write or copy the file again")


def _is_sound(noted: bytes) -> bool:
    """Return whether pandas' metadata have the form that dtypes are restored by."""
    try:
        described = json.loads(noted)
        columns = [
            (column["name"], column["numpy_type"], column["pandas_type"])
            for column in described["columns"]
        ]
    except (ValueError, TypeError, KeyError):
        return False
    is_typed = all(isinstance(dtype, str) for _, *dtypes in columns for dtype in dtypes)
    return is_typed and isinstance(described.get("index_columns"), list)
