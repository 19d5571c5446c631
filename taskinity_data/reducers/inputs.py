"""Convert chunk results to pandas frames, without decoding columns that are not needed."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.data_kinds import describe_kind, kind_of
from taskinity_data.errors import PlanError, ReduceError
from taskinity_data.reducers.column_values import Values
from taskinity_data.reducers.groups.codes import encode_texts
from taskinity_data.reducers.row_labels import as_table
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskinity_data.reducers.groups.codes import Codes
    from taskinity_data.reducers.groups.grouping import Grouping

__all__ = [
    "ChunkColumns", "as_dtype", "check_columns", "check_exact", "check_unique", "empty_of",
    "encode_keys", "exact_rows", "join_empty", "make_empty", "to_arrow", "to_columns", "to_frame",
]  # fmt: skip


def check_columns(needed: Iterable[str], names: Iterable[str], caller: str) -> None:
    """Raise `PlanError` if a needed column is not among `names`."""
    available = list(names)
    for column in needed:
        if column not in available:
            raise PlanError(_missing(column, available, caller), column=column)


def to_frame(
    data: Any, columns: Sequence[str] | None, caller: str, *, is_exact: bool = False
) -> pd.DataFrame | None:
    """Return `columns` of a frame, table or Series (None: all) as a frame with a fresh index.

    Arrow numbers without nulls and texts are not copied. Levels of an index with a needed name are
    columns too, as in ``pandas.DataFrame.groupby``. None for None, and for a frame with neither
    rows nor columns.

    Integers with nulls in an Arrow table are floats, as in pandas; if `is_exact`, they stay
    integers, and only `empty_of` the frame has floats.

    Raises
    ------
    ReduceError
        `data` is not a frame, or a column is missing, or `read_result` refuses it.
    """
    if data is None:
        return None
    data = as_table(data, caller)
    kind = kind_of(data)
    if kind == "polars":
        data, kind = to_arrow(data), "arrow"
    if kind == "arrow":
        return _from_arrow(data, columns, caller, is_exact=is_exact)
    if kind != "pandas":
        raise ReduceError(
            f"{caller} reduces frames and tables, but a chunk returned {describe_kind(data)}; "
            "return a DataFrame or an Arrow table, or reduce with collect() or your own reducer()"
        )
    frame: pd.DataFrame = data
    if not frame.shape[0] and not frame.shape[1]:
        return None
    if columns is None:
        return frame.reset_index(drop=True)
    levels = [name for name in frame.index.names if name in columns and name not in frame.columns]
    if levels:
        frame = frame.reset_index(level=levels)
    labels = frame.columns.to_flat_index()  # of several levels, one label alone is several columns
    for column in columns:
        if column not in labels:
            raise ReduceError(_missing(column, list(labels), caller), column=column)
    selected = frame[list(columns)].reset_index(drop=True)
    check_unique(selected.columns, caller)
    return selected


class ChunkColumns(NamedTuple):
    """Columns of a chunk, the dtypes that pandas has for them, and the number of rows.

    These differ if integers with nulls stay exact, see `to_frame`. `labels` are those of a frame if
    they have a name or are no texts. Columns of an Arrow table become arrays each time that they
    are read: together they would take as much memory as the table, where it has several chunks.
    """

    values: Mapping[Any, pd.Series[Any] | pa.ChunkedArray]
    dtypes: dict[Any, Any]
    n_rows: int
    labels: pd.Index[Any] | None = None

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> ChunkColumns:
        """Return all columns of `frame`, which may come from `to_frame` with `is_exact`."""
        dtypes: dict[Any, Any] = dict(frame.dtypes)
        exact = frame.attrs.get(_EXACT_NAMES, ())
        dtypes |= dict.fromkeys(exact, np.dtype(np.float64))
        labels = frame.columns
        is_plain = labels.name is None and labels.dtype == "str"
        return cls(dict(frame.items()), dtypes, len(frame), None if is_plain else labels)

    def group(self, name: Any, grouping: Grouping) -> Values:
        """Return the column `name` with the groups of its rows."""
        return Values(self._read(name), grouping, name)

    def series(self, name: Any) -> pd.Series[Any]:
        """Return the column `name`."""
        column = self._read(name)
        return column if isinstance(column, pd.Series) else pd.Series(column, name=name, copy=False)

    def _read(self, name: Any) -> Any:
        """Return an array of an Arrow table's column: a Series takes 17 µs."""
        column = self.values[name]
        if isinstance(column, pd.Series):
            return column
        parts = [chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks]
        if len(parts) > 1:
            return np.concatenate(parts)  # half the time that Arrow takes
        return parts[0] if parts else column.to_numpy()

    def empty(self, names: Iterable[Any]) -> pd.DataFrame:
        """Return a frame without rows, with the dtypes that pandas has."""
        return make_empty([(name, self.dtypes[name]) for name in names])


def to_columns(data: Any, columns: Sequence[Any] | None, caller: str) -> ChunkColumns | None:
    """Return `columns` of a frame, table or Series (None: all), as `to_frame` with `is_exact`.

    Floats of an Arrow table, and integers without nulls, don't pass through pandas, unless it has
    another dtype for them: for small chunks a frame takes longer than all sums.
    """
    plain: dict[Any, Any] = {}
    dtypes: dict[Any, Any] = {}
    names = columns
    if kind_of(data) == "arrow" and data.num_columns:
        if names is None:
            names = data.column_names
        counts = Counter(data.column_names)
        if columns is None and len(counts) < len(names):
            check_unique(pd.Index(names), caller)
        noted = _find_dtypes((data.schema.metadata or {}).get(b"pandas"))
        for name in names:
            column = data.column(name) if counts[name] == 1 else None
            if column is None or not _is_plain(column):
                continue
            dtype = np.dtype(column.type.to_pandas_dtype())
            if noted.get(name, dtype.name) == dtype.name:
                plain[name], dtypes[name] = column, dtype
    rest = None if names is None else [name for name in names if name not in plain]
    if plain and not rest:
        return ChunkColumns(plain, dtypes, data.num_rows)
    frame = to_frame(data, rest, caller, is_exact=True)
    if frame is None:
        return None
    check_unique(frame.columns, caller)
    others = ChunkColumns.of_frame(frame)
    if not plain:
        return others
    values = {**others.values, **plain}
    in_order = {name: values[name] for name in names or values}
    return ChunkColumns(in_order, dtypes | others.dtypes, others.n_rows)


def _is_plain(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return kind in _FLOATS or (kind in _INTEGERS and not column.null_count)


@lru_cache(maxsize=16)
def _find_dtypes(noted: bytes | None) -> dict[str, str]:
    """Return the dtypes of columns that pandas `noted` in a table, such as Int64 for int64."""
    columns = [] if noted is None else json.loads(noted)["columns"]
    return {column["name"]: column["numpy_type"] for column in columns}


_FLOATS = frozenset({pa.float32(), pa.float64()})
_INTEGERS = frozenset(
    pa.from_numpy_dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)
)


def make_empty(dtypes: Sequence[tuple[Any, Any]]) -> pd.DataFrame:
    """Return a frame without rows with these columns; most frames of the same dtypes share it."""
    if any(isinstance(dtype, pd.CategoricalDtype) for _, dtype in dtypes):
        return _make_empty(dtypes)  # a hash of all categories takes longer
    return _make_shared_empty(tuple(dtypes))


def _make_empty(dtypes: Sequence[tuple[Any, Any]]) -> pd.DataFrame:
    series = {i: pd.Series([], dtype=dtype) for i, (_, dtype) in enumerate(dtypes)}
    frame = pd.DataFrame(series, copy=False)
    frame.columns = pd.Index([name for name, _ in dtypes])
    return frame


@lru_cache(maxsize=256)
def _make_shared_empty(dtypes: tuple[tuple[Any, Any], ...]) -> pd.DataFrame:
    return _make_empty(dtypes)


def check_unique(names: pd.Index[Any], caller: str) -> None:
    """Raise `ReduceError` if two columns have the same name, or one has none."""
    if not isinstance(names, pd.MultiIndex) and names.hasnans:
        missing = names[names.isna()][0]
        raise ReduceError(f"{caller}: a column is called {missing}; rename it in the function")
    if not names.is_unique:
        twice = names[names.duplicated()][0]
        raise ReduceError(
            f"{caller}: there are several columns {twice!r}; rename them in the function",
            column=twice,
        )


def to_arrow(data: Any, columns: Iterable[Any] | None = None) -> pa.Table:
    """Return a polars frame, or `columns` of it where it has all of them, as a table, with
    categories as texts.

    The categories of such a column, and their order, depend on all frames of the process.
    """
    import polars as pl

    if columns is not None and set(columns) <= set(data.columns):
        data = data.select(*columns)
    if pl.Categorical in data.dtypes:
        data = data.with_columns(pl.col(pl.Categorical).cast(pl.String))
    return data.to_arrow()


def _from_arrow(
    table: Any, columns: Sequence[str] | None, caller: str, *, is_exact: bool
) -> pd.DataFrame | None:
    """Return an Arrow table as a frame with only `columns`, None for a table without any.

    If `is_exact`, integers that pandas would round to floats get a nullable dtype; their columns
    are listed in `attrs`.
    """
    if not table.num_rows and not table.num_columns:
        return None
    if columns is not None:
        for column in columns:
            if column not in table.column_names:
                raise ReduceError(_missing(column, table.column_names, caller), column=column)
        check_unique(pd.Index([x for x in table.column_names if x in columns]), caller)
        table = table.select(list(columns))
    table = table.combine_chunks()
    frame: pd.DataFrame = table.to_pandas(split_blocks=True).reset_index(drop=True)
    if is_exact:
        exact = [
            field.name
            for field in table.schema
            if _is_rounded(table[field.name], frame, field.name)
        ]
        for name in exact:
            dtype: Any = (
                pd.UInt64Dtype() if pa.types.is_uint64(table[name].type) else pd.Int64Dtype()
            )
            frame[name] = dtype.__from_arrow__(table[name].cast(str(dtype).lower()))
        frame.attrs = {_EXACT_NAMES: exact} if exact else {}
    return frame


_EXACT_NAMES = "integers kept beside nulls"


def exact_rows(
    rows: pa.Table, table: pa.Table, caller: str
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return `rows`, some rows of `table`, as a frame with exact integers, and the names of the
    integer columns that pandas has as floats, since `table` has nulls there.
    """
    frame = to_frame(rows, None, caller, is_exact=True)
    assert frame is not None
    exact = frame.attrs.pop(_EXACT_NAMES, [])
    floats = [
        field.name
        for field in table.schema
        if pa.types.is_integer(field.type)
        and table[field.name].null_count
        and (field.name in exact or isinstance(frame[field.name].dtype, np.dtype))
    ]
    return frame, tuple(floats)


def _is_rounded(column: Any, frame: pd.DataFrame, name: str) -> bool:
    is_null = column.null_count and pa.types.is_integer(column.type)
    return bool(is_null) and frame[name].dtype == np.float64


def empty_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` without rows, with the dtypes that pandas has for its columns."""
    # A slice would keep the memory of all rows until the partial is combined.
    empty = frame.take(np.empty(0, np.intp)).reset_index(drop=True)
    exact = [name for name in frame.attrs.get(_EXACT_NAMES, ()) if name in frame]
    return empty.astype(dict.fromkeys(exact, np.float64)) if exact else empty


def as_dtype(column: pd.Series[Any], dtype: Any, label: str) -> pd.Series[Any]:
    """Return `column` as `dtype`.

    Raises
    ------
    ReduceError
        An integer is not exact as such a float; `label` is for the message.
    """
    check_exact(column, dtype, label)
    return column if column.dtype == dtype else column.astype(dtype)


def check_exact(column: pd.Series[Any], dtype: Any, label: str) -> None:
    """Raise `ReduceError`, with `label`, if `column` holds an integer that is not exact as a float
    of `dtype`.
    """
    values = getattr(column.dtype, "categories", column).dtype
    if values.kind not in "iu" or dtype.kind != "f":
        return
    integers = column.dropna().astype(values)
    for value in integers[(integers > _FLOAT_EXACT) | (integers < -_FLOAT_EXACT)].tolist():
        if int(float(value)) != value:
            raise ReduceError(
                f"{label} is {value}, which has no exact float64, the dtype of integers with nulls "
                "or floats in pandas; fill the nulls, or return pandas frames with dtype 'Int64'"
            )


_FLOAT_EXACT = 1 << 53


def encode_keys(data: Any, keys: Sequence[Any]) -> dict[Any, Codes]:
    """Return the codes of those of `keys` that are texts in a table of Arrow or polars, and the
    texts as pandas has them.

    Those that the reader encoded are named in the table's metadata.
    """
    if kind_of(data) == "polars":
        data = _view_texts(data, keys)
    if kind_of(data) != "arrow":
        return {}
    metadata = data.schema.metadata or {}
    codes_of = metadata.get(b"encoded_columns")
    named = [] if codes_of is None else codes_of.decode().split("\0")
    encoded = {}
    for name in keys:
        if data.column_names.count(name) != 1:
            continue
        column, field = data.column(name), data.schema.field(name)
        if name in named:
            column = column.unify_dictionaries().combine_chunks()
            field = pa.field(name, column.type.value_type)
            indices = column.indices
            codes = (indices.fill_null(-1) if indices.null_count else indices).to_numpy()
            texts = column.dictionary
        elif column.type in _TEXTS:
            codes, texts = encode_texts(column)
        else:
            continue
        uniques = texts.to_pandas()
        if b"pandas" in metadata:
            table = pa.Table.from_arrays([texts], schema=pa.schema([field], metadata))
            uniques = table.to_pandas().iloc[:, 0]
        encoded[name] = codes, pd.Index(uniques)
    return encoded


_TEXTS = (pa.string(), pa.large_string(), pa.string_view())


def _view_texts(data: Any, names: Sequence[Any]) -> pa.Table:
    """Return those of columns `names` of a polars frame that are texts, in polars' own memory."""
    import polars as pl

    columns = {
        name: data[name].cast(pl.String).to_arrow(compat_level=pl.CompatLevel.newest())
        for name in names
        if data.schema.get(name) in (pl.String, pl.Categorical)
    }
    return pa.table(columns)


def join_empty(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a frame without rows with the dtypes of all chunks' rows concatenated."""
    first = frames[0]
    if all(frame is first or frame.dtypes.equals(first.dtypes) for frame in frames[1:]):
        return first
    return pd.concat(frames, ignore_index=True)


def _missing(column: object, available: Sequence[Any], caller: str) -> str:
    texts = [str(name) for name in available]
    hint = suggest(str(column), texts) or f" There are: {', '.join(map(repr, texts[:20]))}"
    return f"{caller}: there is no column {column!r}.{hint}"
