"""ORC files as pieces: stripes, or ranges of rows within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.orc as po

from taskinity_data.errors import PlanError
from taskinity_data.formats.orc.tail import read_tail
from taskinity_data.formats.table_access import (
    TableAccess,
    TableLayout,
    check_schema,
    cut_group,
    reading,
    window_nbytes,
)
from taskinity_data.sources.caches import Cache
from taskinity_data.sources.file import StoreFile, open_tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.sources.file import SourceFile

__all__ = ["OrcAccess"]

STRIPES = 4
"""Decoded stripes that are kept while ranges within them are read in order."""

_stripes: Cache[Any] = Cache(STRIPES)


@dataclass(frozen=True, eq=False)
class OrcLayout(TableLayout):
    """What one ORC file holds, with the nulls of its columns that the tail tells."""

    nulls: dict[str, int]


@dataclass(frozen=True)
class OrcAccess(TableAccess):
    """How `TableReader` looks into ORC files, so that chunks together equal `pandas.read_orc`.

    Notes
    -----
    A dataset is opened by the tails of its files alone, but where there are filters, or statistics
    are missing: then integer and bool columns are read up to the first null.
    """

    format: ClassVar[str] = "orc"
    decodes_groups: ClassVar[bool] = True

    def describe(self, file: SourceFile) -> TableLayout:
        """Return what the tail of `file` describes."""
        return _open(file)

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` of columns `names`.

        Notes
        -----
        A stripe is decoded whole, unless the same process has just read up to `start`.
        """
        with reading(layout, start):
            return pa.Table.from_batches(
                list(_read_parts(cast("OrcLayout", layout), start, stop, names))
            )

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of those of columns `names` of which the tail tells."""
        nulls = cast("OrcLayout", layout).nulls
        return {name: nulls[name] for name in names if name in nulls}


def _open(file: SourceFile) -> OrcLayout:
    path = file.path
    try:
        opened = po.ORCFile(pa.OSFile(path) if file.store is None else open_tail(file))
        schema = opened.schema
        tail = read_tail(opened.reader.serialized_file_tail(), schema)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise PlanError(
            f"{path}: the ORC file's tail can't be read: {error}; the file is truncated or "
            "damaged; write or copy it again"
        ) from error
    check_schema(schema, path)
    shares = np.array(tail.rows, np.int64) / max(1, sum(tail.rows))
    return OrcLayout(
        file=file,
        schema=schema,
        starts=np.cumsum([0, *tail.rows], dtype=np.int64),
        sizes=np.ceil(np.outer(shares, tail.nbytes))
        .astype(np.int64)
        .reshape(len(shares), len(schema)),
        nulls=tail.nulls,
    )


def _read_parts(layout: OrcLayout, start: int, stop: int, names: Sequence[str]) -> Iterator[Any]:
    """Yield rows `start` to `stop` of columns `names`, a part for each stripe."""
    file = layout.file
    # By its path alone Arrow would map it, and a file that is cut short would end the process.
    is_here = file.store is None
    opened = po.ORCFile(
        pa.OSFile(file.path) if is_here else StoreFile(file, window_nbytes(layout, names))
    )
    # Arrow takes a dot in a name for a way into a struct; such files are read whole, then cut.
    is_plain = not any("." in name for name in layout.schema.names)
    columns = list(names) if is_plain else None
    for group in layout.groups(start, stop):
        key = file.path, file.fingerprint, group, tuple(names)
        batch = _stripes.take(key)
        if batch is None:
            batch = opened.read_stripe(group, columns=columns).select(list(names))
        yield cut_group(layout, group, batch, start, stop)
        if stop < layout.starts[group + 1]:
            _stripes.put(key, batch)
