"""What a dataset of tables is: columns, types, categories, where nulls are.

Columns whose metadata are not enough for the dtypes of the whole (a category's values, a column
without statistics) are read once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from taskinity_data.errors import PlanError
from taskinity_data.formats.casts import holds, nullable_dtypes, read_type
from taskinity_data.formats.deliver import conform, drop_pandas_index, hidden_columns
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.reader import check_columns
from taskinity_data.formats.tables import TableReader
from taskinity_data.sources.read import map_files
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from taskinity_data.formats.table_access import TableAccess, TableLayout
    from taskinity_data.sources.file import SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = ["open_tables"]

_T = TypeVar("_T")

THREADS = 4
"""Files looked into at a time: on a local disk one thread does as well (1,000 Parquet footers in
0.1 s); a network file system waits for each."""

FILES_AT_ONCE = 64
"""Files whose nulls are counted before it is known which columns need not be looked at further."""


def open_tables(
    access: TableAccess,
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    hive: tuple[HiveColumn, ...] = (),
) -> TableReader:
    """Return the reader of `files`, whose chunks together equal their tables, one after another.

    Parameters
    ----------
    access : TableAccess
    files : sequence of SourceFile
    columns : sequence of str or None
        Columns in the order wanted; None: all, hive keys last.
    filters : see `parse_filters`
    schema : None, "scan", pyarrow.Schema, or dict of str to type
        None and ``"scan"``: as the first file has it; others must have the same columns, with types
        that the first's can hold. A schema: these columns, null where a file has none of them. A
        dict: other types for some columns.
    hive : tuple of HiveColumn
        Columns in directories' names.

    Raises
    ------
    PlanError
        Metadata can't be read; columns differ between files; an unknown column; a wrong filter.

    Notes
    -----
    An index that pandas stored is not an index here: a named one is an ordinary column, an unnamed
    one (``__index_level_0__``) is left out unless it is selected. Integer and bool columns that
    hold a null in any row that passes are float64 and object in every chunk, as in the whole. With
    `filters`, columns that may hold nulls are read up to the first that passes.
    """
    if any(file.store is not None for file in files):
        _map(access.open_layout, files)  # all at a time, to be kept; one alone would be waited for
    first = access.open_layout(files[0]).schema
    refuse_clash(files[0].path, first, hive)
    base, retyped = read_schema(schema, first)
    hidden = hidden_columns(first)
    hive_fields = [pa.field(column.name, column.type) for column in hive]
    every = pa.schema([*base, *hive_fields])
    selected = check_columns(columns, every, [name for name in every.names if name not in hidden])
    parsed = parse_filters(filters, every)
    needed = {*selected, *(parsed.columns if parsed else ())}
    stored = pa.schema([field for field in base if field.name in needed])
    if not isinstance(schema, pa.Schema):
        schemas = _map(lambda file: (file.path, access.open_layout(file).schema), files)
        stored = unify(schemas, stored, retyped, must_be_all=columns is None)
    used_hive = tuple(column for column in hive if column.name in needed)
    whole = TableReader(access=access, schema=stored, stored=stored, hive=used_hive, filters=parsed)
    stored, categories = _find_categories(files, whole)
    fields = {column.name: column for column in [*stored, *hive_fields]}
    # What pandas' metadata say of a column that became a key is no longer true of it.
    changed = {*retyped, *(column.name for column in hive)}
    metadata = drop_pandas_index(first.metadata, changed, nullable_dtypes(schema))
    reader = replace(
        whole,
        schema=pa.schema([fields[name] for name in selected], metadata),
        stored=stored,
        categories=categories,
    )
    return replace(reader, with_nulls=_find_nulls(files, reader))


def refuse_clash(path: str, schema: pa.Schema, hive: Sequence[HiveColumn]) -> None:
    """Raise `PlanError` if one of the `hive` keys is a column of the file too."""
    clash = [column.name for column in hive if column.name in schema.names]
    if clash:
        raise PlanError(
            f"{path}: {clash[0]!r} is a column and a hive key of the directories; pass the files "
            "as a list, which ignores directory names"
        )


def read_schema(schema: Any, stored: pa.Schema) -> tuple[pa.Schema, frozenset[str]]:
    """Return the schema to read by, and the columns whose type is not the stored one."""
    if schema is None or (isinstance(schema, str) and schema == "scan"):
        return stored.remove_metadata(), frozenset()
    if isinstance(schema, pa.Schema):
        names = set(stored.names)
        changed = {
            field.name
            for field in schema
            if field.name not in names or field != stored.field(field.name)
        }
        return schema.remove_metadata(), frozenset(changed)
    if not isinstance(schema, dict):
        raise PlanError(
            f"schema={schema!r}: give None, 'scan', a pyarrow.Schema, or a dict of column to type, "
            'e.g. schema={"dep_delay": "float64"}'
        )
    check_columns(list(schema), stored, stored.names, "schema")
    fields = [
        field.with_type(read_type(field.name, schema[field.name]))
        if field.name in schema
        else field
        for field in stored
    ]
    return pa.schema(fields), frozenset(schema)


def unify(
    schemas: Sequence[tuple[str, pa.Schema]],
    stored: pa.Schema,
    fixed: frozenset[str],
    *,
    must_be_all: bool,
) -> pa.Schema:
    """Return `stored`, some columns of the first file, with the types that hold those of all files.

    Parameters
    ----------
    found : sequence of (str, pyarrow.Schema)
        Path and schema of each file.
    stored : pyarrow.Schema
    fixed : frozenset of str
        Columns whose type is given and stays.
    must_be_all : bool
        Whether a column that is not in the first file is an error.

    Raises
    ------
    PlanError
        A file lacks a column, has one too many, or one of another type.
    """
    first_path, first = schemas[0]
    expected = set(first.names) - hidden_columns(first)
    fields = {field.name: field for field in stored}
    for path, schema in schemas:
        names = set(schema.names)
        allowed = expected | hidden_columns(schema) if must_be_all else names
        missing = [name for name in fields if name not in names]
        extra = [name for name in schema.names if name not in allowed]
        if missing or extra:
            name, article = (missing[0], "no") if missing else (extra[0], "an extra")
            raise PlanError(
                f"{path}: has {article} column {name!r}, unlike "
                f"{first_path}.{suggest(name, schema.names if missing else first.names)} Select "
                "common columns with columns=, or give schema= (a pyarrow.Schema): missing columns "
                "are then null"
            )
        for name, field in fields.items():
            other = schema.field(name)
            field = field.with_nullable(field.nullable or other.nullable)
            if name not in fixed and not holds(field.type, other.type):
                if not pat.is_null(field.type):
                    raise PlanError(
                        f"{path}: column {name!r} is {other.type}, but {field.type} in "
                        f"{first_path}; give one type for all with schema={{{name!r}: ...}}, or "
                        "leave it out with columns="
                    )
                field = field.with_type(other.type)
            fields[name] = field
    return pa.schema(list(fields.values()))


def may_be_float(type_: pa.DataType) -> bool:
    """Return whether pandas has another dtype for a column of `type_` that holds nulls."""
    if isinstance(type_, pa.BaseExtensionType):
        return may_be_float(type_.storage_type)
    return bool(pat.is_integer(type_) or pat.is_boolean(type_))


def _find_categories(
    files: Sequence[SourceFile], reader: TableReader
) -> tuple[pa.Schema, tuple[tuple[str, pa.Array], ...]]:
    """Return the stored schema with indices wide enough, and the values of its dictionaries."""
    stored, categories = reader.stored, []
    for column, field in enumerate(stored):
        if not pat.is_dictionary(field.type):
            continue

        def dictionaries(file: SourceFile, field: pa.Field = field) -> list[pa.Array]:
            return _dictionaries(file, reader, field)

        parts = list(chain.from_iterable(_map(dictionaries, files)))
        nothing = pa.array([], field.type.value_type)
        try:
            values = pc.unique(pa.concat_arrays(parts)) if parts else nothing
        except pa.ArrowNotImplementedError as error:
            raise PlanError(
                f"column {field.name!r}: categories of {field.type.value_type} can't be combined "
                "over chunks; leave it out with columns="
            ) from error
        if values.null_count:
            raise PlanError(
                f"column {field.name!r}: its categories include a null, which pandas does not "
                f"allow; leave it out with columns=, or read it as {field.type.value_type} with "
                "schema="
            )
        index = field.type.index_type
        if len(values) > 2 ** (index.bit_width - 1):
            type_ = pa.dictionary(pa.int32(), field.type.value_type, field.type.ordered)
            stored = stored.set(column, field.with_type(type_))
        categories.append((field.name, values))
    return stored, tuple(categories)


def _dictionaries(file: SourceFile, reader: TableReader, field: pa.Field) -> list[pa.Array]:
    """Return the dictionaries that a column has in the rows of `file` that are not ruled out."""
    layout = reader.access.open_layout(file)
    if field.name not in layout.columns:
        return []
    groups = reader.survivors(layout)
    tables = reader.access.read_dictionaries(layout, field.name, groups)
    alone = pa.schema([field])
    return [
        chunk.dictionary
        for table in tables
        for chunk in conform(table, alone, file.path).column(0).chunks
    ]


def _find_nulls(files: Sequence[SourceFile], reader: TableReader) -> frozenset[str]:
    """Return the selected integer and bool columns that hold a null in some row that passes."""
    never = set(reader.filters.not_null) if reader.filters else set()
    selected = set(reader.schema.names)
    names = [
        field.name
        for field in reader.stored
        if field.name in selected and field.name not in never and may_be_float(field.type)
    ]
    with_nulls: set[str] = set()
    for start in range(0, len(files), FILES_AT_ONCE):
        left = [name for name in names if name not in with_nulls]
        some = files[start : start + FILES_AT_ONCE] if left else []

        def count(file: SourceFile, left: list[str] = left) -> dict[str, int | None]:
            return _count_nulls(reader.access, reader.access.open_layout(file), left)

        for file, counts in zip(some, _map(count, some), strict=True):
            if reader.filters is None:
                with_nulls.update(name for name, nulls in counts.items() if nulls)
            suspects = [
                name for name, nulls in counts.items() if nulls != 0 and name not in with_nulls
            ]
            if suspects:
                with_nulls |= _read_nulls(reader, file, suspects)
    return frozenset(with_nulls)


def _read_nulls(reader: TableReader, file: SourceFile, suspects: Sequence[str]) -> set[str]:
    """Return those of `suspects` that hold a null in some row of the file that passes."""
    layout = reader.access.open_layout(file)
    columns = layout.columns
    with_nulls: set[str] = set()
    suspect = reader.select(suspects)
    for piece in suspect.grains(suspect.extent(file), 1 << 62):
        groups = layout.groups(piece.start, piece.stop) if piece.rows else range(0)
        left = [
            name
            for name in suspects
            if name not in with_nulls
            and (name not in columns or reader.access.may_hold_nulls(layout, groups, name))
        ]
        if not left:
            continue
        table = reader.select(left).read([piece], "arrow").data
        with_nulls.update(name for name in left if table[name].null_count)
        if len(with_nulls) == len(suspects):
            break
    return with_nulls


def _count_nulls(
    access: TableAccess, layout: TableLayout, names: Sequence[str]
) -> dict[str, int | None]:
    """Nulls of each of `names` in a file, None if only reading can tell."""
    nulls = {field.name for field in layout.schema if pat.is_null(field.type)}
    columns = layout.columns
    there = {name: None for name in names if name in columns and name not in nulls}
    counts = access.null_counts(layout, list(there))
    return {name: counts.get(name, None if name in there else layout.rows) for name in names}


def _map(function: Callable[[SourceFile], _T], files: Sequence[SourceFile]) -> list[_T]:
    """Return `function` of each of `files`, in order, a few at a time."""
    if len(files) < 2 or any(file.store is not None for file in files):
        return list(map_files(function, files))
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, files))
