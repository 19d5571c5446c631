"""What a dataset of record batches or stripes is: columns, types, categories, where nulls are.

It knows nothing of chunks, nor of how one format or another is read. Columns of which metadata say
too little for the dtypes of the whole are read once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.casts import code_of, nullable_dtypes
from taskinity_data.formats.deliver import conform, drop_pandas_index, hidden_columns
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.parquet.open import may_be_float, read_schema, unify
from taskinity_data.formats.tables import TableReader, check_columns
from taskinity_data.sources.read import map_files

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.formats.tables import ReadsGroups, TableLayout
    from taskinity_data.sources.file import SourceFile

__all__ = ["open_tables"]


def open_tables(
    access: ReadsGroups,
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
) -> TableReader:
    """The reader of `files`, whose chunks together equal the files' tables, one after another.

    Parameters
    ----------
    access : ReadsGroups
    files : sequence of SourceFile
    columns : sequence of str or None
        Columns in the order wanted; None: all.
    filters : see `parse_filters`
    schema : None, "scan", pyarrow.Schema, or dict of str to type
        None and ``"scan"``: as the first file has it; others must have the same columns, with types
        that the first's can hold. A schema: these columns, null where a file has none of them. A
        dict: other types for some columns.

    Raises
    ------
    PlanError
        Metadata can't be read; columns differ between files; an unknown column; a wrong filter.

    Notes
    -----
    An index that pandas stored is no index here: a named one is an ordinary column, an unnamed one
    (``__index_level_0__``) is left out unless it is asked for. Integer and bool columns that hold
    a null in any row that passes are float64 and object in every chunk, as in the whole. With
    `filters`, columns that hold nulls are read up to the first that passes.
    """
    layouts = list(map_files(access.open_layout, files))
    first = layouts[0].schema
    base, retyped = read_schema(schema, first)
    hidden = hidden_columns(first)
    selected = check_columns(columns, base, [name for name in base.names if name not in hidden])
    parsed = parse_filters(filters, base)
    needed = {*selected, *(parsed.columns if parsed else ())}
    stored = pa.schema([one for one in base if one.name in needed])
    if not isinstance(schema, pa.Schema):
        found = [(layout.file.path, layout.schema) for layout in layouts]
        stored = unify(found, stored, retyped, must_be_all=columns is None)
    stored, categories = _find_categories(access, layouts, stored)
    reader = TableReader(
        access=access,
        schema=pa.schema(
            [stored.field(name) for name in selected],
            drop_pandas_index(first.metadata, retyped, nullable_dtypes(schema)),
        ),
        stored=stored,
        filters=parsed,
        categories=categories,
    )
    return replace(reader, with_nulls=_find_nulls(layouts, reader))


def _find_categories(
    access: ReadsGroups, layouts: Sequence[TableLayout], stored: pa.Schema
) -> tuple[pa.Schema, tuple[tuple[str, pa.Array], ...]]:
    """`stored` with indices wide enough, and the values of its dictionary-encoded columns."""
    found = []
    for place, field in enumerate(stored):
        if not pat.is_dictionary(field.type):
            continue
        alone = pa.schema([field])
        parts = [
            chunk.dictionary
            for layout in layouts
            if field.name in layout.schema.names
            for chunk in conform(
                access.read_dictionaries(layout, field.name), alone, layout.file.path
            )
            .column(0)
            .chunks
        ]
        joined = pa.concat_arrays(parts) if parts else pa.array([], field.type.value_type)
        try:
            values = pc.unique(joined)
        except pa.ArrowNotImplementedError as error:
            raise PlanError(
                f"column {field.name!r}: categories of {field.type.value_type} can't be brought "
                "together over chunks; leave it out by columns="
            ) from error
        if values.null_count:
            raise PlanError(
                f"column {field.name!r}: a null is among its categories, which pandas has not; "
                f"leave it out by columns= or give its plain type: "
                f'schema={{"{field.name}": {code_of(field.type.value_type)}}}'
            )
        index = field.type.index_type
        if len(values) > 2 ** (index.bit_width - 1):
            type_ = pa.dictionary(pa.int32(), field.type.value_type, field.type.ordered)
            stored = stored.set(place, field.with_type(type_))
        found.append((field.name, values))
    return stored, tuple(found)


def _find_nulls(layouts: Sequence[TableLayout], reader: TableReader) -> frozenset[str]:
    """The selected integer and bool columns that hold a null in some row that passes."""
    never = set(reader.filters.not_null) if reader.filters else set()
    selected = set(reader.schema.names)
    names = [
        one.name
        for one in reader.stored
        if one.name in selected and one.name not in never and may_be_float(one.type)
    ]
    found: set[str] = set()
    for layout in layouts:
        counts = _count_nulls(reader.access, layout, [name for name in names if name not in found])
        if reader.filters is None:
            found.update(name for name, count in counts.items() if count)
        suspects = [name for name, count in counts.items() if count != 0 and name not in found]
        if suspects:
            found |= _read_nulls(layout, reader.select(suspects))
    return frozenset(found)


def _read_nulls(layout: TableLayout, reader: TableReader) -> set[str]:
    """The columns of `reader` that hold a null in some row of the file that passes."""
    found: set[str] = set()
    for piece in reader.grains(layout.file, 1 << 62):
        table = reader.read([piece], "arrow").data
        found.update(name for name in table.schema.names if table[name].null_count)
        if len(found) == len(reader.schema):
            break
    return found


def _count_nulls(
    access: ReadsGroups, layout: TableLayout, names: Sequence[str]
) -> dict[str, int | None]:
    """Nulls of each of `names` in a file, None where only reading can tell."""
    fields = {one.name: one for one in layout.schema}
    there = [name for name in names if name in fields and not pat.is_null(fields[name].type)]
    told = access.null_counts(layout, there)
    return {name: told.get(name, None if name in there else layout.rows) for name in names}
