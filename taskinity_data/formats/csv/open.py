"""Open CSV files as one dataset: options, heads, columns and their types."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.columns import (
    apply_usecols,
    by_label,
    check_index_dtype,
    check_same_columns,
    find_index,
    find_labels,
    select_labels,
    sort_layouts,
)
from taskinity_data.formats.csv.head import has_rows, read_head
from taskinity_data.formats.csv.options import parse_options
from taskinity_data.formats.csv.reader import CsvReader
from taskinity_data.formats.csv.records.rows import find_rows
from taskinity_data.formats.csv.sample import infer_columns
from taskinity_data.formats.schema import (
    arrow_schema,
    dtype_of_kind,
    given_column,
    given_columns,
    with_room,
)
from taskinity_data.sources.read import map_files
from taskinity_data.sources.row_cache import RowCache

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.schema import Column
    from taskinity_data.sources.file import SourceFile

__all__ = ["check_file", "open_csv"]


def open_csv(
    files: Sequence[SourceFile],
    columns: Sequence[Hashable] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
    *,
    caches_rows: bool = False,
) -> CsvReader:
    """Return the reader of a dataset of CSV files.

    Parameters
    ----------
    files : sequence of SourceFile
        At least one; their rows follow one another.
    columns : sequence of labels, or None for all
        Delivered in this order (``usecols=`` among `options` keeps the file's).
    filters : see `parse_filters`
        Rows that don't pass are counted as filtered.
    schema : None, "scan", pyarrow.Schema, or mapping of column to dtype
        A schema: these columns alone, in this order. What a mapping does not name is inferred.
        What it names files may lack; their rows then have missing values.
    options : mapping
        Of `pandas.read_csv`, see `parse_options`.
    caches_rows : bool
        Whether rows that are parsed for the schema are held for a run in this process.

    Raises
    ------
    PlanError
        An option, column, filter, type or file that can't be honoured, each with its name.

    Notes
    -----
    Reads the head of every file (about 1 ms each), and a sample or all of it for the schema:
    everything up to 64 MB, else up to 256 kB at head, middle and tail of up to 300 files.
    """
    parsed = parse_options(options)
    heads = read_heads(files, parsed)
    parsed = replace(parsed, usecols=apply_usecols(parsed.usecols, heads))
    is_arrow = isinstance(schema, pa.Schema)
    if is_arrow and parsed.usecols is not None:
        raise PlanError("usecols= and a pyarrow schema both select columns; keep one of them")
    labels = find_labels(heads, schema)
    selected = select_labels(labels, columns, parsed.usecols)
    shown = selected if parsed.usecols is not None else labels
    index = find_index(parsed.index_col, shown)
    named = name_types(heads, labels, schema, parsed)
    check_index_dtype(index, parsed, named)
    needed = list(labels) if filters is not None else list(dict.fromkeys([*index, *selected]))
    is_chosen = columns is not None or parsed.usecols is not None or is_arrow
    check_same_columns(
        files,
        heads,
        needed if is_chosen else labels,
        is_chosen=is_chosen,
        optional=labels if is_arrow else schema if isinstance(schema, dict) else (),
    )
    opened = list(zip(files, heads, strict=True))
    for file, head in opened:
        for label in needed:
            if label not in head.labels:
                named[label] = with_room(named[label], is_arrow=is_arrow, lacks=file.path)
    cache = make_cache(needed, named, parsed) if caches_rows else None
    types = find_types(opened, needed, named, shown, parsed, scan=is_scan(schema), row_cache=cache)
    if parsed.dtype_backend is not None:
        from taskinity_data.formats.csv.column_types.nullable import check_nullable_index

        check_nullable_index(types[label] for label in index)
    row_filters = find_filters(filters, [types[label] for label in needed])
    names = {str(label): label for label in labels}
    filtered_on = [] if row_filters is None else [names[name] for name in row_filters.columns]
    layouts, layout_of = sort_layouts(files, heads)
    return CsvReader(
        options=parsed,
        columns=tuple(types[label] for label in selected if label not in index),
        extra=tuple(types[label] for label in filtered_on if label not in selected),
        layouts=layouts,
        layout_of=layout_of,
        filters=row_filters,
        rows_of={file.path: head.rows for file, head in opened if head.rows is not None},
        index=tuple(types[label] for label in index),
        index_names=heads[0].index_names,
        level_names=heads[0].level_names,
        row_cache=cache,
    )


def find_filters(filters: Any, columns: Sequence[Column]) -> Filters | None:
    if filters is None:
        return None
    from taskinity_data.formats.filters import parse_filters

    return parse_filters(filters, arrow_schema(columns))


def make_cache(
    needed: Sequence[Hashable], named: Mapping[Hashable, Column], options: CsvOptions
) -> RowCache | None:
    """Return a cache for rows of `needed`, None if pandas may infer other values of some rows.

    It does with missing values that are numbers, and for `named` types that are not its own.
    """
    types = [named[label] for label in needed if label in named]
    is_own = all(kind.kind != "str" and kind.dtype == dtype_of_kind(kind.kind) for kind in types)
    is_inferred = options.dtype_backend is None and "na_values" not in options.per_chunk
    return RowCache(needed) if is_own and is_inferred else None


def is_scan(schema: Any) -> bool:
    """Return whether all values are to be looked at for the schema."""
    return isinstance(schema, str) and schema == "scan"


def read_heads(files: Sequence[SourceFile], options: CsvOptions) -> list[Head]:
    """Return the head of each file, and which of its rows are read."""

    def read(file: SourceFile) -> Head:
        head = read_head(file, options)
        return head._replace(rows=find_rows(file, head.data_start, options))

    return list(map_files(read, files))


def name_types(
    heads: Sequence[Head], labels: Sequence[Hashable], schema: Any, options: CsvOptions
) -> dict[Hashable, Column]:
    """Return the columns whose types `schema` or `dtype` names; repeated names have one `dtype`."""
    by_labels = by_label(options.dtype, heads)
    named = given_columns(by_labels, None if is_scan(schema) else schema, labels)
    for label, first in heads[0].repeated:
        if not (isinstance(schema, dict) and label in schema):
            column = named[first]
            # pandas makes str of the second of two columns of objects with that name.
            is_object = column.dtype == object
            named[label] = given_column(label, "str") if is_object else replace(column, label=label)
    return named


def find_types(
    opened: Sequence[tuple[SourceFile, Head]],
    needed: Sequence[Hashable],
    named_types: Mapping[Hashable, Column],
    shown: Sequence[Hashable],
    options: CsvOptions,
    *,
    scan: bool,
    row_cache: RowCache | None,
) -> dict[Hashable, Column]:
    """Return the columns `needed` and `named_types`, by label.

    Parameters
    ----------
    opened : sequence of (SourceFile, Head)
    needed : sequence of labels
        All that is read.
    named_types : mapping of label to Column
        Those whose types were named.
    shown : sequence of labels
        Those that pandas would read, of which dates must be some.
    scan : bool
        Look at all values, however many there are.
    row_cache : RowCache or None
        Gets the rows, if all are read.

    Raises
    ------
    PlanError
        A type that depends on the order of values, or dates whose format can't be inferred.
    """
    named = [named_types[label] for label in needed if label in named_types]
    backend = options.dtype_backend
    if backend is not None:
        from taskinity_data.formats.csv.column_types.nullable import check_given, no_rows

        check_given(named, backend)
    if named:
        from taskinity_data.formats.csv.column_types.categories import infer_categories

        named_types = {**named_types, **infer_categories(opened, named, options, scan=scan)}
    dates: list[Hashable] = []
    if options.parse_dates:
        from taskinity_data.formats.csv.column_types.dates import check_dates, date_labels

        dates = date_labels(options.parse_dates, opened[0][1].labels)
        check_dates(dates, named_types, shown)
    inferred = [label for label in needed if label not in named_types and label not in dates]
    types = infer_columns(opened, inferred, options, scan=scan, row_cache=row_cache)
    leaves_all = options.nrows == 0 and has_rows(*opened[0], options)
    if leaves_all:
        # With nrows=0, pandas makes integer columns, unless the file has no rows.
        none = {label: given_column(label, "int64") for label in types}
        types = none if backend is None else no_rows(types, backend)
    if dates:
        from taskinity_data.formats.csv.column_types.date_sample import infer_dates

        read = [label for label in needed if label in dates]
        types |= infer_dates(opened, read, options, scan=scan, has_rows=leaves_all)
        # An index without dates gets the dtype that it would have without `parse_dates`.
        index = [label for label in find_index(options.index_col, shown) if label in read]
        texts = [label for label in index if types[label].dtype == "str"]
        types |= infer_columns(opened, texts, options, scan=scan, row_cache=None)
    return {**types, **named_types}


def check_file(file: SourceFile, options: Mapping[str, Any]) -> None:
    """Raise what is wrong with `file` alone: it has no head that `options` can read."""
    read_head(file, parse_options(options))
