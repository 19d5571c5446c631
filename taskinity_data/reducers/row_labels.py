"""Decide whether a Series that a chunk returned is rows or labelled numbers, or refuse it.

Labels alone can't decide: the first rows of a chunk and ``pd.Series(np.bincount(...))`` may both be
labelled 0, 1, 2. So a function gets its chunk with marked labels. Any selection of them by pandas
is marked too, and nothing else is, which makes the decision independent of the cuts.
"""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype, is_integer_dtype, is_object_dtype

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReduceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "SeriesRows",
    "as_item",
    "as_table",
    "call_traced",
    "is_numbering",
    "make_partial",
    "plain",
    "read_result",
]


class SeriesRows:
    """A Series, or a column of Arrow or polars, that is known to be rows."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def to_table(self, name: str | None = None) -> Any:
        """Return a frame or table of this column, called `name`; None: its own name."""
        if kind_of(self.data) == "series":
            return self.data.to_frame() if name is None else self.data.to_frame(name)
        column = self.data
        if _is_of_polars(column):
            name = column.name if name is None else name
            if str(column.dtype) != "Boolean":
                return column.alias(name).to_frame()
            column = column.to_arrow()
        name = "values" if name is None else name
        if pa.types.is_boolean(column.type):
            # pandas would have objects in the chunks that have nulls.
            dtype: Any = pd.BooleanDtype()
            return pd.DataFrame({name: dtype.__from_arrow__(column)})
        return pa.table({name: column})


def read_result(data: Any, caller: str) -> Any:
    """Return `data` as `SeriesRows` or a Series of labelled numbers; unchanged if not a Series.

    A column of Arrow or polars has no labels, so it is rows. An Arrow table has all columns that it
    shows, whatever index and labels pandas noted in it.

    Raises
    ------
    ReduceError
        A Series whose labels are integers without a name, and not those of the chunk's rows.
    """
    if _is_of_arrow(data) or _is_of_polars(data):
        return SeriesRows(data)
    if kind_of(data) == "arrow":
        return _without_index(data)
    if kind_of(data) != "series" or not is_numbering(data.index):
        return data
    if not len(data):
        return SeriesRows(data)
    labels = ", ".join(map(repr, data.index[:3].tolist())) + (", ..." if len(data) > 3 else "")
    name = "value" if data.name is None else data.name
    raise ReduceError(
        f"{caller}: a chunk returned a Series of {len(data)} items labelled {labels}, integers "
        "without a name that are not from the chunk's index. If its items are rows, make it with "
        "index=chunk.index, or return a frame:\n"
        f"    result.to_frame({name!r})\n"
        "If they are numbers to be combined label by label, name the labels:\n"
        f"    result.rename_axis({'bin' if data.index.nlevels == 1 else ['bin', 'part']!r})"
    )


def _without_index(table: Any) -> Any:
    """Return an Arrow table in which pandas notes no index: levels with a name are columns."""
    metadata = table.schema.metadata or {}
    if b"pandas" not in metadata:
        return table
    noted, hidden = _find_columns(metadata[b"pandas"])
    if noted != metadata[b"pandas"]:
        table = table.replace_schema_metadata({**metadata, b"pandas": noted})
    return table.drop_columns([name for name in table.column_names if name in hidden])


@lru_cache(maxsize=16)
def _find_columns(noted: bytes) -> tuple[bytes, frozenset[str]]:
    """Return what pandas `noted` in a table, but for index and labels, and hidden columns."""
    described = json.loads(noted)
    levels = [name for name in described["index_columns"] if isinstance(name, str)]
    labels = described.get("column_indexes", ())
    columns = [{**each, "name": each["field_name"]} for each in described["columns"]]
    is_named = any(each["pandas_type"] != "unicode" or each["name"] is not None for each in labels)
    if not levels and not is_named and columns == described["columns"]:
        return noted, frozenset()
    plain = json.dumps(
        {**described, "index_columns": [], "column_indexes": [], "columns": columns}
    ).encode()
    return plain, frozenset(name for name in levels if name.startswith("__index_level_"))


def as_table(data: Any, caller: str) -> Any:
    """Return `data` as `read_result` does, with Series as frames of one column."""
    read = read_result(data, caller)
    if isinstance(read, SeriesRows):
        return read.to_table()
    return read.to_frame() if kind_of(read) == "series" else read


def make_partial(reducer: Any, read: Any) -> Any:
    """Return the partial of `read`; a reducer without `reads_series` gets a Series unchanged."""
    return reducer.partial(read if getattr(reducer, "reads_series", False) else plain(read))


def plain(read: Any) -> Any:
    """Return the function's result, without `SeriesRows` around it."""
    return read.data if type(read) is SeriesRows else read


def as_item(data: Any) -> Any:
    """Return a chunk as `SeriesRows` if it is a Series with integer labels, else unchanged."""
    return SeriesRows(data) if kind_of(data) == "series" and is_numbering(data.index) else data


def call_traced(function: Callable[[Any], Any], read: Any) -> Any:
    """Call `function` with `read`; return a Series with labels of `read` as `SeriesRows`."""
    data = plain(read)
    if kind_of(data) == "pandas" or (kind_of(data) == "series" and isinstance(read, SeriesRows)):
        data = data.set_axis(_mark(data.index))
    result = function(data)
    kind = kind_of(result)
    if kind == "pandas" and isinstance(result.columns, _RowLabels):
        result = result.set_axis(_unmark(result.columns), axis=1)
    if kind not in ("pandas", "series"):
        return result
    labels = result.index
    if isinstance(labels, _RowLabels):
        result = result.set_axis(_unmark(labels))
    if kind == "series" and _are_rows_of(labels, data):
        return SeriesRows(result)
    return result


def _are_rows_of(labels: Any, data: Any) -> bool:
    """Return whether `labels` are those of rows of `data`, in order."""
    data_labels: Any = getattr(data, "index", None)
    if not (_is_marked(labels) and _is_marked(data_labels)):
        return False
    if labels.names != data_labels.names and any(name is not None for name in labels.names):
        return False  # named on purpose
    if labels.is_(data_labels) or not data_labels.is_unique:
        return True
    positions = data_labels.get_indexer(labels)
    return bool((positions >= 0).all() and (positions[1:] >= positions[:-1]).all())


def is_numbering(labels: pd.Index[Any]) -> bool:
    """Return whether a level of `labels` holds integers and has no name."""
    levels = [labels.get_level_values(level) for level in range(labels.nlevels)]
    return any(level.name is None and _holds_integers(level) for level in levels)


def _holds_integers(labels: pd.Index[Any]) -> bool:
    dtype: Any = getattr(labels, "categories", labels).dtype
    return is_integer_dtype(dtype) or (is_object_dtype(dtype) and infer_dtype(labels) == "integer")


def _is_of_arrow(data: Any) -> bool:
    return isinstance(data, (pa.Array, pa.ChunkedArray))


def _is_of_polars(data: Any) -> bool:
    kind = type(data)
    return kind.__name__ == "Series" and kind.__module__.partition(".")[0] == "polars"


def _is_marked(labels: Any) -> bool:
    return isinstance(labels, _RowLabels)


class _RowLabels:
    """A mixin for classes of pandas indexes: the labels of a chunk's rows.

    Slices keep the class. It is pickled as the plain index.
    """

    def __getitem__(self, key: Any) -> Any:
        return _mark(super().__getitem__(key))  # type: ignore[misc]

    def take(self, *args: Any, **kwargs: Any) -> Any:
        return _mark(super().take(*args, **kwargs))  # type: ignore[misc]

    def delete(self, loc: Any) -> Any:
        return _mark(super().delete(loc))  # type: ignore[misc]

    def repeat(self, *args: Any, **kwargs: Any) -> Any:
        return _mark(super().repeat(*args, **kwargs))  # type: ignore[misc]

    def append(self, other: pd.Index[Any] | Sequence[pd.Index[Any]]) -> Any:
        joined = super().append(other)  # type: ignore[misc]
        others = other if isinstance(other, (list, tuple)) else [other]
        return _mark(joined) if all(isinstance(index, _RowLabels) for index in others) else joined

    def _get_engine_target(self) -> Any:
        # pandas has a special case for texts in its class Index, but not in subclasses
        # (pandas-dev/pandas#48472).
        return _unmark(self)._get_engine_target()  # noqa: SLF001

    def __reduce__(self) -> Any:
        return _unmark(self).__reduce__()


@cache
def _marked(kind: Any) -> type:
    return type(kind.__name__, (_RowLabels, kind), {"__module__": kind.__module__})


def _mark(labels: Any) -> Any:
    if not isinstance(labels, pd.Index) or isinstance(labels, _RowLabels):
        return labels
    kind: Any = type(labels)
    view: Any = labels.view()
    view.__class__ = _marked(kind)
    return view


def _unmark(labels: Any) -> Any:
    view = labels.view()
    view.__class__ = next(
        kind for kind in type(labels).__mro__[1:] if not issubclass(kind, _RowLabels)
    )
    return view
