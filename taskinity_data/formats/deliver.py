"""Arrow tables as what a function asked for, with the same dtypes whatever stands in the table.

It knows nothing of files. pandas has no integer or bool that may be missing (unless asked for):
a column with nulls anywhere in the dataset is float64 or object in every chunk, as in the whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taskinity_data.errors import PlanError, ReadError, SchemaError
from taskinity_data.formats.casts import cast
from taskinity_data.formats.frame_tables import find_rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskinity_data.sources.file import Piece

__all__ = [
    "conform",
    "copy_out",
    "count_only",
    "deliver",
    "deliver_rows",
    "drop_pandas_index",
    "gather",
    "hidden_columns",
    "recode",
]

_ATTRIBUTES = b"PANDAS_ATTRS"
_KEPT = (b"pandas", _ATTRIBUTES)
_NOTHING_TOLD = b'{"index_columns": [], "column_indexes": [], "columns": []}'


def deliver(table: pa.Table, as_: str, with_nulls: frozenset[str] = frozenset()) -> Any:
    """`table` as a pandas DataFrame, an Arrow table or a polars DataFrame.

    Parameters
    ----------
    table : pyarrow.Table
    as_ : {"pandas", "arrow", "polars"}
    with_nulls : frozenset of str
        Integer and bool columns that hold nulls somewhere in the dataset.

    Raises
    ------
    PlanError
        polars is asked for and not installed.
    """
    if as_ == "arrow":
        return table
    if as_ == "polars":
        try:
            import polars as pl
        except ImportError as error:
            raise PlanError(
                "a chunk is asked for as a polars.DataFrame but polars is not installed: "
                "pip install polars"
            ) from error
        if any("fixed_size_list" in str(one.type) for one in table.schema):
            table = copy_out(table)  # polars takes no part of such a column that holds nulls
        data: Any = pl.from_arrow(table)
        data.columns = table.schema.names  # it calls a column without a name by its number
        return data
    frame = table.to_pandas(use_threads=False)
    for place, name in enumerate(table.schema.names):
        if name not in with_nulls:
            continue
        column = frame.iloc[:, place]
        if not isinstance(column.dtype, np.dtype):
            continue
        if column.dtype == bool:
            frame.isetitem(place, column.astype(object))
        elif column.dtype.kind in "iu":
            frame.isetitem(place, column.astype("float64"))
    attributes = (table.schema.metadata or {}).get(_ATTRIBUTES)
    if attributes:
        frame.attrs = json.loads(attributes)
    return frame


def deliver_rows(
    table: pa.Table,
    as_: str,
    with_nulls: frozenset[str],
    pieces: Sequence[Piece],
    exact: frozenset[str] = frozenset(),
) -> Any:
    """As `deliver`, of rows read from `pieces`, where pandas may have no form for them.

    Columns in `exact` are taken from the table, not from what pandas makes of them.

    Raises
    ------
    ReadError
        The table holds what `as_` has no type for, or a nested integer that pandas would round.
    """
    path, start = pieces[0].path, pieces[0].start
    name = find_rounded(table.drop_columns(list(exact))) if as_ == "pandas" else None
    if name is not None:
        raise ReadError(
            f"{path}: column {name!r} [rows from {start:,}]: integers beyond 2**53 stand beside "
            "missing values within its lists or structs, where pandas would round them; read "
            'chunks "arrow" (annotate the chunk as pyarrow.Table), or leave it out by columns=',
            path=path,
            start=start,
            column=name,
        )
    try:
        return deliver(table, as_, with_nulls)
    except PlanError:
        raise
    # pandas raises the last three where what it noted of dtypes makes no sense to it.
    except (
        pa.ArrowException, ValueError, ArithmeticError, TypeError, LookupError, AttributeError
    ) as error:  # fmt: skip
        raise ReadError(
            f"{path}: what is read has no form in {as_}: {error}; leave such columns out by "
            'columns=, or read chunks "arrow"',
            path=path,
            start=start,
        ) from error


def gather(
    tables: Sequence[pa.Table], schema: pa.Schema, dictionaries: Iterable[tuple[str, pa.Array]]
) -> pa.Table:
    """The columns of `schema` out of `tables`, one after another, those named in `dictionaries`
    over one dictionary each.
    """
    selected = [table.select(schema.names) for table in tables]
    table = pa.concat_tables(selected) if selected else schema.empty_table()
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    for name, values in dictionaries:
        if name in columns:
            columns[name] = recode(columns[name], values, schema.field(name).type)
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def conform(table: pa.Table, schema: pa.Schema, path: str) -> pa.Table:
    """`table` with the columns, order and types of `schema`; columns that are missing are null.

    Raises
    ------
    SchemaError
        A value does not fit; numbers and texts are never changed to make them fit.
    """
    if not schema.names:
        return table.select([])
    if table.schema.equals(schema, check_metadata=False):
        return table.replace_schema_metadata(schema.metadata)
    columns = []
    names = set(table.schema.names)
    for one in schema:
        has_column = one.name in names
        column = table[one.name] if has_column else pa.nulls(table.num_rows, one.type)
        if column.null_count and not one.nullable:
            raise SchemaError(
                f"{path}: column {one.name!r} holds a null, but the schema has it as not null",
                path=path,
                column=one.name,
            )
        try:
            columns.append(cast(column, one.type))
        except pa.ArrowException as error:
            raise SchemaError(
                f"{path}: column {one.name!r} is {column.type} in this file and does not fit "
                f"{one.type}: {error}",
                path=path,
                column=one.name,
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def recode(column: pa.ChunkedArray, values: pa.Array, type_: pa.DataType) -> pa.ChunkedArray:
    """The dictionary-encoded `column` over the dictionary `values` instead of its own ones."""
    # Without a chunk there would be no dictionary, and pandas would see no categories.
    chunks = [
        pa.DictionaryArray.from_arrays(
            pa.array([], type_.index_type), values, ordered=type_.ordered
        )
    ]
    for chunk in column.chunks:
        codes = chunk.indices
        if not chunk.dictionary.equals(values):
            places = pc.index_in(chunk.dictionary, value_set=values)
            codes = places.take(codes)
            if codes.null_count > chunk.indices.null_count:
                raise ReadError("a category is not among those that were found when planning")
        codes = codes.cast(type_.index_type)
        chunks.append(pa.DictionaryArray.from_arrays(codes, values, ordered=type_.ordered))
    return pa.chunked_array(chunks, type_)


def copy_out(table: pa.Table) -> pa.Table:
    """`table` in memory of its own, without what lies around its rows.

    A table that lies in a mapped file would change with the file, after it was checked.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def count_only(rows: int) -> pa.Table:
    """A table of `rows` rows and no columns."""
    return pa.table({"rows": pa.nulls(rows)}).select([])


def hidden_columns(schema: pa.Schema) -> frozenset[str]:
    """Columns in which pandas stored an index without a name: no columns to who wrote them."""
    stored = (schema.pandas_metadata or {}).get("index_columns", [])
    return frozenset(
        name for name in stored if isinstance(name, str) and name.startswith("__index_level_")
    )


def drop_pandas_index(
    metadata: Mapping[bytes, bytes] | None,
    retyped: Iterable[str] = (),
    dtypes: Mapping[str, str] | None = None,
) -> dict[bytes, bytes] | None:
    """Schema `metadata` by which pandas restores dtypes but no index.

    Parameters
    ----------
    metadata : mapping of bytes, or None
    retyped : iterable of str
        Columns whose type is no longer the stored one.
    dtypes : mapping of str to str, or None
        Those of them that pandas is to have as one of its dtypes with missing values.
    """
    kept = {key: value for key, value in (metadata or {}).items() if key in _KEPT}
    if b"pandas" in kept or dtypes:
        told = json.loads(kept.get(b"pandas", _NOTHING_TOLD))
        names = set(retyped)
        told["index_columns"] = []
        columns = [one for one in told["columns"] if one.get("field_name") not in names]
        # An index without a name that is asked for as a column has its field's.
        told["columns"] = [
            {**one, "name": one["field_name"]} if one["name"] is None else one for one in columns
        ]
        told["columns"] += [
            {"name": name, "field_name": name, "numpy_type": dtype, "pandas_type": dtype.lower()}
            for name, dtype in (dtypes or {}).items()
        ]
        kept[b"pandas"] = json.dumps(told).encode()
    return kept or None
