"""Which columns a CSV dataset has and which are selected; frames and tables of a fixed schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.schema import is_nullable_integer
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Mapping, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.schema import Column
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "apply_usecols",
    "by_label",
    "check_index_dtype",
    "check_same_columns",
    "concat_tables",
    "decode",
    "deliver_columns",
    "fill",
    "find_index",
    "find_labels",
    "join_native",
    "select_labels",
    "sort_layouts",
    "to_array",
    "to_frame",
    "to_table",
    "with_index",
]


def find_labels(heads: Sequence[Head], schema: Any) -> list[Hashable]:
    """Return the labels of the dataset, in order.

    Those of an Arrow schema where there is one, whatever files have; else the first file's, and
    after them what a dict names and another file has, as it comes up.
    """
    first = heads[0].labels
    by_name = {str(label): label for head in heads for label in head.labels}
    if isinstance(schema, pa.Schema):
        if len(set(schema.names)) < len(schema.names):
            raise PlanError(f"schema={schema.names}: has a column twice; name each once")
        return [by_name.get(name, name) for name in schema.names]
    labels = dict.fromkeys(first)
    if isinstance(schema, dict):
        for head in heads[1:]:
            labels |= dict.fromkeys(label for label in head.labels if label in schema)
    return list(labels)


def by_label(dtype: Any, heads: Sequence[Head]) -> Any:
    """Return `dtype` by labels alone: in pandas a key may be a position that is not a label."""
    labels = heads[0].labels
    if type(dtype) is not dict or any(head.labels != labels for head in heads):
        return dtype
    positions = {position for position in range(len(labels)) if position in dtype}
    if any(dtype[key] in (object, "object", "O") and key not in labels for key in positions):
        raise PlanError(f"dtype={dtype!r}: pandas ignores object dtypes by position; give names")
    named = {key: dtype[key] for key in dtype if key in labels or key not in positions}
    return {labels[position]: dtype[position] for position in sorted(positions)} | named


def apply_usecols(usecols: Any, heads: Sequence[Head]) -> Any:
    """Return `usecols`, where it is a function the labels that it takes.

    Raises
    ------
    PlanError
        It fails, or takes other columns of another file.
    """
    if not callable(usecols):
        return usecols
    try:
        chosen = [tuple(label for label in head.labels if usecols(label)) for head in heads]
    except Exception as error:
        raise PlanError(f"usecols=: the function failed: {error!r}; give a list") from error
    if any(set(labels) != set(chosen[0]) for labels in chosen):
        raise PlanError(
            "usecols=: the function selects different columns in different files; give a list"
        )
    return chosen[0]


def select_labels(
    labels: Sequence[Hashable], columns: Sequence[Hashable] | None, usecols: Sequence[Any] | None
) -> list[Hashable]:
    """Return the labels that are requested, in the order of delivery."""
    if columns is not None and usecols is not None:
        raise PlanError("columns= and usecols= both select columns; keep one of them")
    if usecols is not None:
        chosen = {
            labels[column] if isinstance(column, int) and 0 <= column < len(labels) else column
            for column in usecols
        }
        check_known("usecols", chosen, labels)
        return [label for label in labels if label in chosen]
    if columns is None:
        return list(labels)
    if isinstance(columns, str):
        raise PlanError(f"columns={columns!r}: must be a list, such as [{columns!r}]")
    check_known("columns", columns, labels)
    if len(set(columns)) != len(columns):
        raise PlanError(f"columns={list(columns)!r}: has a column twice")
    return list(columns)


def find_index(index_col: Sequence[Any], labels: Sequence[Hashable]) -> list[Hashable]:
    """Return the labels of the columns that `index_col` means among those that are read."""
    for column in index_col:
        if isinstance(column, int) and column >= len(labels):
            raise PlanError(f"index_col={column!r}: there are {len(labels)} columns, from 0")
    index = [labels[column] if isinstance(column, int) else column for column in index_col]
    if index:
        check_known("index_col", index, labels)
    if len(set(index)) < len(index):
        raise PlanError(f"index_col={list(index_col)!r}: has a column twice")
    return index


def check_index_dtype(
    index: Sequence[Hashable], options: CsvOptions, named: Mapping[Hashable, Column]
) -> None:
    """Refuse an index that pandas gives another dtype than a column.

    That is objects as the one dtype of all columns, and categories that it finds itself and holds
    as Arrow's.
    """
    for label in [label for label in index if label in named]:
        categories = getattr(named[label].dtype, "categories", ())
        if named[label].dtype == object and not isinstance(options.dtype, dict | None):
            raise PlanError(
                f"index_col={label!r}: with dtype={options.dtype!r}, pandas infers the type of the "
                f"index; give dtypes by column, dtype={{{label!r}: 'str'}}"
            )
        if categories is None and options.dtype_backend == "pyarrow":
            raise PlanError(
                f"index_col={label!r}: with dtype_backend='pyarrow', pandas infers other "
                f"categories for an index; give them, dtype={{{label!r}: CategoricalDtype([...])}}"
            )


def check_known(option: str, chosen: Any, labels: Sequence[Hashable]) -> None:
    if not chosen:
        raise PlanError(f"{option}=[]: select at least one column")
    for label in chosen:
        if label not in labels:
            raise PlanError(
                f"{option}: there is no column {label!r} among {', '.join(map(repr, labels))}."
                f"{suggest(str(label), map(str, labels))}"
            )


def check_same_columns(
    files: Sequence[SourceFile],
    heads: Sequence[Head],
    needed: Sequence[Hashable],
    *,
    is_chosen: bool,
    optional: Collection[Hashable] = (),
) -> None:
    """Raise `PlanError` if a file lacks a column, or has one that nobody asked about.

    Those of `optional` it may lack.
    """
    requested = set(needed)
    for file, head in zip(files, heads, strict=True):
        missing = [label for label in needed if label not in head.labels and label not in optional]
        extra = [] if is_chosen else [label for label in head.labels if label not in requested]
        if missing or extra:
            parts = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
            parts += [f"has also {', '.join(map(repr, extra))}"] if extra else []
            raise PlanError(
                f"{file.path}: its columns are not those of {files[0].path}: it "
                f"{' and '.join(parts)}; open these files separately, select common columns with "
                f"columns=, or give the type, schema={{{(missing or extra)[0]!r}: 'float64'}}: "
                "rows of files that lack the column then have missing values"
            )


def sort_layouts(
    files: Sequence[SourceFile], heads: Sequence[Head]
) -> tuple[tuple[tuple[Hashable, ...], ...], dict[str, int]]:
    """Return the distinct orders of columns, and the files that don't have the commonest."""
    counts: dict[tuple[Hashable, ...], int] = {}
    for head in heads:
        counts[head.labels] = counts.get(head.labels, 0) + 1
    layouts = tuple(sorted(counts, key=lambda labels: -counts[labels]))
    positions = {labels: position for position, labels in enumerate(layouts)}
    layout_of = {
        file.path: positions[head.labels]
        for file, head in zip(files, heads, strict=True)
        if positions[head.labels]
    }
    return layouts, layout_of


def fill(part: pd.DataFrame | pa.Table, columns: Sequence[Column]) -> pd.DataFrame | pa.Table:
    """Return the rows of `part` with `columns` alone, missing values in those that it lacks."""
    if isinstance(part, pa.Table):
        for column in columns:
            if column.name not in part.schema.names:
                nulls = pa.nulls(len(part), column.arrow_type)
                part = part.append_column(column.name, nulls)
        return part.select([column.name for column in columns])
    series = {
        column.label: part[column.label]
        if column.label in part.columns
        else pd.Series(np.nan, part.index, column.dtype)
        for column in columns
    }
    frame = pd.DataFrame(series, index=part.index, copy=False)
    frame.columns = pd.Index([column.label for column in columns])
    return frame


def concat_tables(tables: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return the rows of `tables`, one after another; an empty table where there are none."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def join_native(parts: Sequence[pd.DataFrame | pa.Table]) -> pd.DataFrame | pa.Table | None:
    """Return the only one of `parts`, or tables that are alike as one, else None."""
    if len(parts) == 1:
        return parts[0]
    tables = [part for part in parts if isinstance(part, pa.Table)]
    if not parts or len(tables) < len(parts):
        return None
    schema = tables[0].schema
    is_alike = all(table.schema.equals(schema, check_metadata=True) for table in tables)
    return pa.concat_tables(tables) if is_alike else None


def decode(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with texts where it has their codes."""
    return table if table.schema.metadata is None else table.cast(schema)


def to_table(frame: pd.DataFrame, columns: Sequence[Column]) -> pa.Table:
    """Return `frame` as a table of the Arrow types of `columns`; missing values become nulls."""
    arrays = {}
    for column in columns:
        values = to_array(frame[column.label])
        arrays[column.name] = values.cast(column.arrow_type)
    return pa.table(arrays)


def to_array(values: pd.Series) -> Any:
    """Return `values` as Arrow holds them; missing values become nulls."""
    if values.dtype != np.float64:
        return pa.array(values, from_pandas=True)
    # It would take ten times as long for floats.
    floats = np.ascontiguousarray(values.to_numpy())
    is_valid = np.packbits(~np.isnan(floats), bitorder="little")
    buffers = [pa.py_buffer(is_valid), pa.py_buffer(floats)]
    return pa.Array.from_buffers(pa.float64(), len(floats), buffers)


def to_frame(table: pa.Table, columns: Sequence[Column]) -> pd.DataFrame:
    """Return `table` as a frame of the dtypes of `columns`, as `pandas.read_csv` gives them."""
    frame: pd.DataFrame = table.to_pandas()
    frame.columns = pd.Index([column.label for column in columns])
    # All at once: a column of a frame costs pandas 10 microseconds.
    for column, dtype in zip(columns, frame.dtypes.tolist(), strict=True):
        label = column.label
        if column.kind == "maybe_bool":
            values = table.column(column.name).to_pandas().astype(object)
            frame[label] = values.where(values.notna(), np.nan)
        elif is_nullable_integer(column.dtype):
            # By way of Python's integers: floats, which hold missing values, can't hold large
            # integers.
            frame[label] = pd.array(table.column(column.name).to_pylist(), dtype=column.dtype)
        elif dtype != column.dtype:
            frame[label] = frame[label].astype(column.dtype)
    return frame


def with_index(
    frame: pd.DataFrame,
    index: Sequence[Column],
    names: Sequence[Hashable],
    level_names: Sequence[Hashable] = (),
) -> pd.DataFrame:
    """Return `frame` with the columns `index` as its index, whose levels are called `names`.

    Those of nested columns are called `level_names`.
    """
    if not index:
        return frame
    # pandas converts an index of bools with missing values to floats.
    floats = [
        column.label for column in index if column.kind == "maybe_bool" and not column.is_given
    ]
    frame = frame.astype(dict.fromkeys(floats, "float64"))
    indexed = frame.set_index([column.label for column in index])
    if any(column.is_given for column in index):
        # pandas would infer str for an index of objects that are strings.
        values = [frame[column.label] for column in index]
        levels = [pd.Index(level.array, dtype=level.dtype) for level in values]
        indexed.index = levels[0] if len(levels) == 1 else pd.MultiIndex.from_arrays(levels)
    indexed.index.names = list(names)
    if not len(indexed.columns):
        indexed.columns = pd.Index([])
    elif level_names:
        indexed.columns = indexed.columns.set_names(list(level_names))
    return indexed


def deliver_columns(table: pa.Table, columns: Sequence[Column], as_: str) -> Any:
    """Return `table` as what a function reads: ``"arrow"``, ``"pandas"`` or ``"polars"``."""
    if as_ == "pandas":
        return to_frame(table, columns)
    from taskinity_data.formats.deliver import deliver

    return deliver(table, as_)
