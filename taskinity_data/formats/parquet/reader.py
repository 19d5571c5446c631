"""Parquet as pieces: row groups, or ranges of rows within them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.parquet.footer import read_footer, read_groups, read_rows
from taskinity_data.formats.parquet.options import parse_parquet_options
from taskinity_data.formats.table_access import TableAccess
from taskinity_data.sources.caches import Cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.parquet.footer import Footer
    from taskinity_data.formats.parquet.options import ParquetOptions
    from taskinity_data.formats.table_access import TableLayout
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["ParquetAccess"]

SURVIVORS = 1 << 20
"""Row groups that are remembered to survive a filter: to look at the statistics of 23 takes 10 ms,
a fifth of what their columns take, and each chunk needs them."""

_survivors: Cache[list[int]] = Cache(SURVIVORS)


@dataclass(frozen=True)
class ParquetAccess(TableAccess):
    """How `TableReader` looks into Parquet files, so that chunks equal `pandas.read_parquet`.

    Notes
    -----
    To open a dataset takes about 0.1 ms a footer; of columns of which footers tell too little, and
    with filters of those of which they tell nulls, row groups are read up to the first with a null
    that passes.
    """

    format: ClassVar[str] = "parquet"
    decodes_groups: ClassVar[bool] = True

    options: ParquetOptions = ()

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Return what looks into files with `options`: see `parse_parquet_options`."""
        return cls(parse_parquet_options(options))

    def describe(self, file: SourceFile) -> TableLayout:
        """Return what the footer of `file` describes."""
        return read_footer(file, self.options)

    def read_rows(
        self, layout: TableLayout, start: int, stop: int, names: Sequence[str]
    ) -> pa.Table:
        """Return rows `start` to `stop` of columns `names`."""
        footer = cast("Footer", layout)
        tables, whole = [], []
        for group in footer.groups(start, stop):
            first, last = int(footer.starts[group]), int(footer.starts[group + 1])
            low, high = max(start, first), min(stop, last)
            if low == first and high == last:
                whole.append(group)
                continue
            if whole:
                tables.append(read_groups(footer, whole, names))
                whole = []
            tables.append(read_rows(footer, group, low - first, high - first, names))
        if whole:
            tables.append(read_groups(footer, whole, names))
        return pa.concat_tables(tables)

    def null_counts(self, layout: TableLayout, names: Sequence[str]) -> dict[str, int]:
        """Nulls of those of columns `names` of which statistics tell enough."""
        footer = cast("Footer", layout)
        counts = {
            name: [footer.null_count(group, name) for group in _filled(footer)] for name in names
        }
        return {
            name: sum(count or 0 for count in nulls)
            for name, nulls in counts.items()
            if None not in nulls or any(nulls)
        }

    def may_hold_nulls(self, layout: TableLayout, groups: Sequence[int], name: str) -> bool:
        """Return whether statistics do not rule out that column `name` holds nulls in `groups`."""
        footer = cast("Footer", layout)
        return any(footer.null_count(group, name) != 0 for group in groups)

    def read_dictionaries(
        self, layout: TableLayout, name: str, groups: Sequence[int]
    ) -> Iterator[pa.Table]:
        """Column `name` of each of `groups`, up to the one whose dictionary holds all values."""
        footer = cast("Footer", layout)
        described = (footer.schema.pandas_metadata or {}).get("columns", [])
        counts = [
            (column.get("metadata") or {}).get("num_categories")
            for column in described
            if column.get("field_name") == name
        ]
        for group in groups:
            table = read_groups(footer, [group], [name])
            yield table
            chunks = table.column(0).chunks
            if chunks and counts == [len(getattr(chunks[0], "dictionary", ()))]:
                break

    def survivors(
        self,
        layout: TableLayout,
        filters: Filters,
        schema: pa.Schema,
        hive: Sequence[HiveColumn],
    ) -> Sequence[int]:
        """Return the row groups that statistics and hive keys don't rule out."""
        file = layout.file
        key = file.path, file.fingerprint, file.hive, self.options, filters.text, schema
        groups = _survivors.get(key)
        if groups is None:
            groups = _surviving_groups(cast("Footer", layout), filters, schema, hive)
            _survivors.put(key, groups, len(groups) + 1)
        return groups


def _filled(footer: Footer) -> list[int]:
    """Return the row groups that hold rows."""
    return [group for group in range(len(footer.sizes)) if footer.group_rows([group])]


def _surviving_groups(
    footer: Footer, filters: Filters, schema: pa.Schema, hive: Sequence[HiveColumn]
) -> list[int]:
    """Return the row groups of `footer` that statistics and hive keys don't rule out."""
    import pyarrow.dataset as pds  # 25 ms, which runs without filters don't need
    import pyarrow.fs as pfs

    partition = None
    for key in hive:
        value = key.repeat(footer.file, 1)[0].as_py()
        column = pds.field(key.name)
        claim = column.is_null() if value is None else column == value
        partition = claim if partition is None else partition & claim
    form = pds.ParquetFileFormat()
    if footer.file.store is None:
        fragment = form.make_fragment(
            footer.file.path, pfs.LocalFileSystem(), partition_expression=partition
        )
    else:
        alone = pa.BufferOutputStream()
        footer.metadata.write_metadata_file(alone)
        fragment = form.make_fragment(alone.getvalue(), partition_expression=partition)
    try:
        subset = fragment.subset(filter=filters.expression, schema=schema)
    except (pa.ArrowException, OverflowError) as error:
        raise PlanError(
            f"{footer.file.path}: the statistics can't be compared with the filter "
            f"{filters.expression}: {error}"
        ) from error
    return sorted(group.id for group in subset.row_groups)
