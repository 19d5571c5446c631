"""Arrow tables as the kind that a function takes, with the same dtypes whatever the table holds.

pandas has no integer or bool that may be missing (unless requested by dtype):
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
_METADATA_KEYS = (b"pandas", _ATTRIBUTES)
_NO_DESCRIPTION = b'{"index_columns": [], "column_indexes": [], "columns": []}'


def deliver(table: pa.Table, as_: str, with_nulls: frozenset[str] = frozenset()) -> Any:
    """Return `table` as a pandas DataFrame, an Arrow table or a polars DataFrame.

    Parameters
    ----------
    table : pyarrow.Table
    as_ : {"pandas", "arrow", "polars"}
    with_nulls : frozenset of str
        Integer and bool columns that hold nulls somewhere in the dataset.

    Raises
    ------
    PlanError
        polars is requested and not installed.
    pyarrow.ArrowNotImplementedError
        polars has no such type; pyarrow raises it where pandas has none.
    """
    if as_ == "arrow":
        return table
    if as_ == "polars":
        try:
            import polars as pl
        except ImportError as error:
            raise PlanError(
                "a chunk is requested as a polars.DataFrame but polars is not installed: "
                "pip install polars"
            ) from error
        if any("fixed_size_list" in str(field.type) for field in table.schema):
            table = copy_out(table)  # polars takes no part of such a column that holds nulls
        try:
            data: Any = pl.from_arrow(_view_texts(table))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise pa.ArrowNotImplementedError(str(error).partition("\n")[0]) from error
        data.columns = table.schema.names  # it calls a column without a name by its number
        return data
    frame = table.to_pandas(use_threads=False)
    for index, name in enumerate(table.schema.names):
        if name not in with_nulls:
            continue
        column = frame.iloc[:, index]
        if not isinstance(column.dtype, np.dtype):
            continue
        if column.dtype == bool:
            frame.isetitem(index, column.astype(object))
        elif column.dtype.kind in "iu":
            frame.isetitem(index, column.astype("float64"))
    attributes = (table.schema.metadata or {}).get(_ATTRIBUTES)
    if attributes:
        frame.attrs = json.loads(attributes)
    return frame


def _view_texts(table: pa.Table) -> pa.Table:
    """Return `table` with texts as polars has them: views, which Arrow makes in a sixth of the time
    (262,144 texts: 0.3 ms for 2.2).
    """
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if field.type in _TEXTS and column.nbytes <= _MAX_OFFSET:
            views = column.cast(pa.string_view())
            table = table.set_column(index, field.with_type(views.type), views)
    return table


_TEXTS = (pa.string(), pa.large_string())
_MAX_OFFSET = (1 << 31) - 1


def deliver_rows(
    table: pa.Table,
    as_: str,
    with_nulls: frozenset[str],
    pieces: Sequence[Piece],
    exact: frozenset[str] = frozenset(),
) -> Any:
    """Return rows of `pieces` as `deliver` does, where pandas may have no form for them.

    Columns in `exact` are taken from the table, not from what pandas makes of them.

    Raises
    ------
    ReadError
        The table holds what `as_` has no type for, or a nested integer that pandas would round.
    """
    path, start = pieces[0].path, pieces[0].start
    others = table.drop_columns([*exact.intersection(table.column_names)])
    name = find_rounded(others) if as_ == "pandas" else None
    if name is not None:
        raise ReadError(
            f"{path}: column {name!r} [rows from {start:,}]: its lists or structs have integers "
            "beyond 2**53 and missing values, and pandas would round the integers; read chunks as "
            '"arrow" (annotate the chunk as pyarrow.Table), or leave it out with columns=',
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
            f"{path}: the data can't be converted to {as_}: {error}; leave such columns out with "
            'columns=, or read chunks as "arrow"',
            path=path,
            start=start,
        ) from error


def gather(
    tables: Sequence[pa.Table], schema: pa.Schema, dictionaries: Iterable[tuple[str, pa.Array]]
) -> pa.Table:
    """Return the columns of `schema` of `tables`, concatenated.

    Those named in `dictionaries` are over one dictionary each.
    """
    selected = [table.select(schema.names) for table in tables]
    table = pa.concat_tables(selected) if selected else schema.empty_table()
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    for name, values in dictionaries:
        if name in columns:
            columns[name] = recode(columns[name], values, schema.field(name).type)
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def conform(table: pa.Table, schema: pa.Schema, path: str) -> pa.Table:
    """Return `table` with the columns, order and types of `schema`; missing columns are null.

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
    for field in schema:
        has_column = field.name in names
        column = table[field.name] if has_column else pa.nulls(table.num_rows, field.type)
        if column.null_count and not field.nullable:
            raise SchemaError(
                f"{path}: column {field.name!r} has a null, but is not nullable in the schema",
                path=path,
                column=field.name,
            )
        try:
            columns.append(cast(column, field.type))
        except pa.ArrowException as error:
            raise SchemaError(
                f"{path}: column {field.name!r} is {column.type} in this file and does not fit "
                f"{field.type}: {error}",
                path=path,
                column=field.name,
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def recode(column: pa.ChunkedArray, values: pa.Array, type_: pa.DataType) -> pa.ChunkedArray:
    """Return the dictionary-encoded `column` over the dictionary `values`."""
    # Without a chunk there would be no dictionary, and pandas would see no categories.
    chunks = [
        pa.DictionaryArray.from_arrays(
            pa.array([], type_.index_type), values, ordered=type_.ordered
        )
    ]
    for chunk in column.chunks:
        codes = chunk.indices
        if not chunk.dictionary.equals(values):
            codes_of_all = pc.index_in(chunk.dictionary, value_set=values)
            codes = codes_of_all.take(codes)
            if codes.null_count > chunk.indices.null_count:
                raise ReadError("a category is not among those that were found when planning")
        codes = codes.cast(type_.index_type)
        chunks.append(pa.DictionaryArray.from_arrays(codes, values, ordered=type_.ordered))
    return pa.chunked_array(chunks, type_)


def copy_out(table: pa.Table) -> pa.Table:
    """Return `table` in memory of its own, without surrounding rows.

    A table in a mapped file would change with the file, after it was checked.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def count_only(rows: int) -> pa.Table:
    """Return a table of `rows` rows and no columns."""
    return pa.table({"rows": pa.nulls(rows)}).select([])


def hidden_columns(schema: pa.Schema) -> frozenset[str]:
    """Return columns in which pandas stored an index without a name, which users don't see."""
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
    retained = {key: value for key, value in (metadata or {}).items() if key in _METADATA_KEYS}
    if b"pandas" in retained or dtypes:
        described = json.loads(retained.get(b"pandas", _NO_DESCRIPTION))
        names = set(retyped)
        described["index_columns"] = []
        columns = [each for each in described["columns"] if each.get("field_name") not in names]
        # An index without a name that is selected as a column has its field's.
        described["columns"] = [
            {**column, "name": column["field_name"]} if column["name"] is None else column
            for column in columns
        ]
        described["columns"] += [
            {"name": name, "field_name": name, "numpy_type": dtype, "pandas_type": dtype.lower()}
            for name, dtype in (dtypes or {}).items()
        ]
        retained[b"pandas"] = json.dumps(described).encode()
    return retained or None
