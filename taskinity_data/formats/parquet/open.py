"""What a Parquet dataset is, from its footers: columns, types, categories, where nulls are.

It knows nothing of chunks. Where a footer says too little for the dtypes of the whole (a category's
values, a column without statistics), those columns alone are read once.
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
from taskinity_data.formats.casts import advise, holds, nullable_dtypes, read_type
from taskinity_data.formats.deliver import conform, drop_pandas_index, hidden_columns
from taskinity_data.formats.filters import parse_filters
from taskinity_data.formats.parquet.footer import open_footer, read_groups
from taskinity_data.formats.parquet.options import parse_parquet_options
from taskinity_data.formats.parquet.reader import ParquetReader, surviving_groups
from taskinity_data.formats.tables import check_columns
from taskinity_data.sources.read import map_files
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskinity_data.formats.parquet.footer import Footer
    from taskinity_data.sources.file import Piece, SourceFile
    from taskinity_data.sources.hive import HiveColumn

__all__ = [
    "check_file",
    "may_be_float",
    "open_parquet",
    "read_schema",
    "unify",
]

_T = TypeVar("_T")

THREADS = 4
"""Footers read at a time: on a local disk one thread does as well (1,000 in 0.1 s); a network file
system waits for each."""


def open_parquet(
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    hive: tuple[HiveColumn, ...],
    options: Mapping[str, Any],
) -> ParquetReader:
    """The reader of `files`, whose chunks together equal `pandas.read_parquet`.

    Parameters
    ----------
    files : sequence of SourceFile
    columns : sequence of str or None
        Columns in the order wanted; None: all, hive keys last.
    filters : see `parse_filters`
    schema : None, "scan", pyarrow.Schema, or dict of str to type
        None and ``"scan"``: as the first file has it; others must have the same columns, with types
        that the first's can hold. A schema: these columns, null where a file has none of them. A
        dict: other types for some columns.

    hive : tuple of HiveColumn
        Columns that stand in directories' names.
    options : mapping
        See `parquet_options`.

    Raises
    ------
    PlanError
        A footer can't be read; columns differ between files; an unknown column; a wrong filter.

    Notes
    -----
    An index that pandas stored is no index here: a named one is an ordinary column, an unnamed one
    (``__index_level_0__``) is left out unless it is asked for. Integer and bool columns that hold
    a null in any row that passes are float64 and object in every chunk, as in the whole. Costs
    about 0.1 ms a footer; with `filters`, the columns of which footers tell nulls are read up to
    the first row group where one of them passes.
    """
    given = parse_parquet_options(options)

    def footer_of(file: SourceFile) -> Footer:
        return open_footer(file, given)

    if any(file.store is not None for file in files):
        _map(footer_of, files)  # all at a time, to be kept; the first alone would be waited for
    first = footer_of(files[0])
    clash = [one.name for one in hive if first.schema.get_field_index(one.name) >= 0]
    if clash:
        raise PlanError(
            f"{files[0].path}: {clash[0]!r} is a column and a hive key of the directories; name "
            "the files in a list, in which directories' names count for nothing"
        )
    base, retyped = read_schema(schema, first.schema)
    hidden = hidden_columns(first.schema)
    hive_fields = [pa.field(one.name, one.type) for one in hive]
    known = pa.schema([*base, *hive_fields])
    selected = check_columns(columns, known, [name for name in known.names if name not in hidden])
    parsed = parse_filters(filters, known)
    needed = {*selected, *(parsed.columns if parsed else ())}
    stored = pa.schema([one for one in base if one.name in needed])
    if not isinstance(schema, pa.Schema):
        schemas = _map(lambda file: (file.path, footer_of(file).schema), files)
        stored = unify(list(schemas), stored, retyped, must_be_all=columns is None)
    used_hive = tuple(one for one in hive if one.name in needed)
    full = pa.schema([*stored, *(one for one in hive_fields if one.name in needed)])

    def survivors(footer: Footer) -> list[int]:
        return surviving_groups(footer, parsed, full, used_hive)

    stored, categories = _find_categories(files, stored, footer_of, survivors)
    fields = {one.name: one for one in [*stored, *hive_fields]}
    reader = ParquetReader(
        schema=pa.schema(
            [fields[name] for name in selected],
            # What pandas' metadata say of a column that became a key is no longer true of it.
            drop_pandas_index(
                first.schema.metadata,
                {*retyped, *(one.name for one in hive_fields)},
                nullable_dtypes(schema),
            ),
        ),
        stored=stored,
        hive=used_hive,
        filters=parsed,
        categories=categories,
        options=given,
    )
    return replace(reader, with_nulls=_find_nulls(files, reader))


def read_schema(schema: Any, found: pa.Schema) -> tuple[pa.Schema, frozenset[str]]:
    """The schema to read by, and the columns whose type is not the stored one."""
    if schema is None or (isinstance(schema, str) and schema == "scan"):
        return found.remove_metadata(), frozenset()
    if isinstance(schema, pa.Schema):
        known = set(found.names)
        changed = {
            one.name for one in schema if one.name not in known or one != found.field(one.name)
        }
        return schema.remove_metadata(), frozenset(changed)
    if not isinstance(schema, dict):
        raise PlanError(
            f"schema={schema!r}: give None, 'scan', a pyarrow.Schema, or a dict of column to type, "
            'e.g. schema={"dep_delay": "float64"}'
        )
    check_columns(list(schema), found, found.names, "schema")
    fields = [
        one.with_type(read_type(one.name, schema[one.name])) if one.name in schema else one
        for one in found
    ]
    return pa.schema(fields), frozenset(schema)


def unify(
    found: Sequence[tuple[str, pa.Schema]],
    stored: pa.Schema,
    fixed: frozenset[str],
    *,
    must_be_all: bool,
) -> pa.Schema:
    """`stored`, some columns of the first file, with the types that hold those of all files.

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
    first_path, first = found[0]
    expected = set(first.names) - hidden_columns(first)
    fields = {one.name: one for one in stored}
    for path, schema in found:
        names = set(schema.names)
        known = expected | hidden_columns(schema) if must_be_all else names
        missing = [name for name in fields if name not in names]
        extra = [name for name in schema.names if name not in known]
        if missing or extra:
            name, what = (missing[0], "no") if missing else (extra[0], "an extra")
            raise PlanError(
                f"{path}: has {what} column {name!r}, unlike {first_path}."
                f"{suggest(name, schema.names if missing else first.names)} Select the columns "
                "that all files have by columns=, or give schema= (a pyarrow.Schema): what a file "
                "lacks is then null"
            )
        for name, one in fields.items():
            other = schema.field(name)
            one = one.with_nullable(one.nullable or other.nullable)
            if name not in fixed and not holds(one.type, other.type):
                if not pat.is_null(one.type):
                    raise PlanError(
                        f"{path}: column {name!r} is {other.type}, but {one.type} in {first_path}; "
                        f"{advise(name, one.type, other.type)}"
                    )
                one = one.with_type(other.type)
            fields[name] = one
    return pa.schema(list(fields.values()))


def may_be_float(type_: pa.DataType) -> bool:
    """Whether pandas has another dtype for a column of `type_` that holds nulls."""
    if isinstance(type_, pa.BaseExtensionType):
        return may_be_float(type_.storage_type)
    return bool(pat.is_integer(type_) or pat.is_boolean(type_))


def _find_categories(
    files: Sequence[SourceFile],
    stored: pa.Schema,
    footer_of: Callable[[SourceFile], Footer],
    survivors: Callable[[Footer], list[int]],
) -> tuple[pa.Schema, tuple[tuple[str, pa.Array], ...]]:
    """`stored` with indices wide enough, and the values of its dictionary-encoded columns."""
    found = []
    for place, field in enumerate(stored):
        if not pat.is_dictionary(field.type):
            continue

        def dictionaries(file: SourceFile, field: pa.Field = field) -> list[pa.Array]:
            return _dictionaries(footer_of(file), field, survivors)

        parts = list(chain.from_iterable(_map(dictionaries, files)))
        joined = pa.concat_arrays(parts) if parts else pa.array([], field.type.value_type)
        try:
            values = pc.unique(joined)
        except pa.ArrowNotImplementedError as error:
            raise PlanError(
                f"column {field.name!r}: categories of {field.type.value_type} can't be brought "
                "together over chunks; leave it out by columns="
            ) from error
        index = field.type.index_type
        if len(values) > 2 ** (index.bit_width - 1):
            type_ = pa.dictionary(pa.int32(), field.type.value_type, field.type.ordered)
            stored = stored.set(place, field.with_type(type_))
        found.append((field.name, values))
    return stored, tuple(found)


def _dictionaries(
    footer: Footer, field: pa.Field, survivors: Callable[[Footer], list[int]]
) -> list[pa.Array]:
    """The dictionaries of a column's row groups, up to the one that holds all values."""
    if field.name not in footer.leaves:
        return []
    told = (footer.schema.pandas_metadata or {}).get("columns", [])
    counts = [
        (one.get("metadata") or {}).get("num_categories")
        for one in told
        if one.get("field_name") == field.name
    ]
    found: list[pa.Array] = []
    for group in survivors(footer):
        table = read_groups(footer, [group], [field.name])
        chunks = conform(table, pa.schema([field]), footer.file.path)[field.name].chunks
        found += [chunk.dictionary for chunk in chunks]
        if found and counts == [len(found[0])]:
            break
    return found


def _find_nulls(files: Sequence[SourceFile], reader: ParquetReader) -> frozenset[str]:
    """The selected integer and bool columns that hold a null in some row that passes."""
    never = set(reader.filters.not_null) if reader.filters else set()
    selected = set(reader.schema.names)
    names = [
        one.name
        for one in reader.stored
        if one.name in selected and one.name not in never and may_be_float(one.type)
    ]
    if not names:
        return frozenset()

    def look(file: SourceFile) -> list[tuple[Piece, dict[str, int | None]]]:
        footer = open_footer(file, reader.options)
        survivors = reader.survivors(footer)
        groups = [group for group in survivors if footer.rows[group]]
        counts = [{name: _count_nulls(footer, group, name) for name in names} for group in groups]
        pieces = [footer.piece(group) for group in groups]
        return [
            (piece, {name: count for name, count in told.items() if count != 0})
            for piece, told in zip(pieces, counts, strict=True)
        ]

    found: set[str] = set()
    for piece, counts in chain.from_iterable(_map(look, files)):
        if reader.filters is None:
            found.update(name for name, count in counts.items() if count)
        suspects = counts.keys() - found
        if suspects:
            table = reader.select(sorted(suspects)).read([piece], "arrow").data
            found.update(name for name in suspects if table[name].null_count)
    return frozenset(found)


def _count_nulls(footer: Footer, group: int, name: str) -> int | None:
    if name not in footer.leaves or pat.is_null(footer.schema.field(name).type):
        return footer.rows[group]
    return footer.null_count(group, name)


def _map(function: Callable[[SourceFile], _T], files: Sequence[SourceFile]) -> Iterable[_T]:
    """`function` of each of `files`, in order, a few at a time."""
    if any(file.store is not None for file in files):
        return list(map_files(function, files))
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(function, files))


def check_file(file: SourceFile, options: Mapping[str, Any]) -> None:
    """Raise what is wrong with the footer of `file`."""
    open_footer(file, parse_parquet_options(options))
