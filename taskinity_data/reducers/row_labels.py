"""How a Series that a chunk gave is read: as rows, as labelled numbers, or not at all.

Labels alone can't decide: the first rows of a chunk and ``pd.Series(np.bincount(...))`` may both be
labelled 0, 1, 2. So a function gets its chunk with marked labels. Whatever pandas selects from them
is marked too, and nothing else is, which makes the reading independent of where chunks are cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pandas.api.types import infer_dtype, is_integer_dtype, is_object_dtype

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReduceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Rows",
    "as_item",
    "as_table",
    "call_traced",
    "is_numbering",
    "make_partial",
    "plain",
    "read_result",
]


@dataclass(frozen=True, slots=True)
class Rows:
    """A Series, or a column of Arrow or polars, that is known to be rows."""

    data: Any

    def __len__(self) -> int:
        return len(self.data)

    def to_table(self, name: str | None = None) -> Any:
        """A frame or table of that one column, called `name`; None: as it is."""
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
            # Beside nulls pandas would have objects, in the chunks that have some.
            dtype: Any = pd.BooleanDtype()
            return pd.DataFrame({name: dtype.__from_arrow__(column)})
        return pa.table({name: column})


def read_result(data: Any, who: str) -> Any:
    """`data` as a reducer reads it: `Rows`, a Series of labelled numbers, or what is no Series.

    A column of Arrow or polars has no labels, so it is rows.

    Raises
    ------
    ReduceError
        A Series whose labels are integers without a name, and not those of the chunk's rows.
    """
    if _is_of_arrow(data) or _is_of_polars(data):
        return Rows(data)
    if kind_of(data) != "series" or not is_numbering(data.index):
        return data
    if not len(data):
        return Rows(data)
    labels = ", ".join(map(repr, data.index[:3].tolist())) + (", ..." if len(data) > 3 else "")
    name = "value" if data.name is None else data.name
    raise ReduceError(
        f"{who}: a chunk gave a Series of {len(data)} items labelled {labels}, integers without a "
        "name that were not taken from the chunk's index. If its items are rows, make it with "
        "index=chunk.index, or return a frame:\n"
        f"    result.to_frame({name!r})\n"
        "If they are numbers to be combined label by label, name the labels:\n"
        f"    result.rename_axis({'bin' if data.index.nlevels == 1 else ['bin', 'part']!r})"
    )


def as_table(data: Any, who: str) -> Any:
    """`data` as `read_result` reads it, Series as frames of one column."""
    read = read_result(data, who)
    if isinstance(read, Rows):
        return read.to_table()
    return read.to_frame() if kind_of(read) == "series" else read


def make_partial(reducer: Any, read: Any) -> Any:
    """What `reducer` keeps of `read`; one that reads no Series by this rule gets it as it came."""
    return reducer.partial(read if getattr(reducer, "reads_series", False) else plain(read))


def plain(read: Any) -> Any:
    """What the function returned."""
    return read.data if type(read) is Rows else read


def as_item(data: Any) -> Any:
    """What a chunk is before any function: a Series that is numbered is rows."""
    return Rows(data) if kind_of(data) == "series" and is_numbering(data.index) else data


def call_traced(function: Callable[[Any], Any], read: Any) -> Any:
    """What `function` makes of `read`, a Series being `Rows` where its labels are from `read`'s."""
    given = plain(read)
    if kind_of(given) == "pandas" or (kind_of(given) == "series" and isinstance(read, Rows)):
        given = given.set_axis(_mark(given.index))
    result = function(given)
    kind = kind_of(result)
    if kind == "pandas" and isinstance(result.columns, _RowLabels):
        result = result.set_axis(_unmark(result.columns), axis=1)
    if kind not in ("pandas", "series"):
        return result
    labels = result.index
    if isinstance(labels, _RowLabels):
        result = result.set_axis(_unmark(labels))
    if kind == "series" and _are_rows_of(labels, given):
        return Rows(result)
    return result


def _are_rows_of(labels: Any, given: Any) -> bool:
    """Whether `labels` are those of rows of `given`, in order."""
    own: Any = getattr(given, "index", None)
    if not (_is_marked(labels) and _is_marked(own)):
        return False
    if labels.names != own.names and any(name is not None for name in labels.names):
        return False  # named on purpose
    if labels.is_(own) or not own.is_unique:
        return True
    places = own.get_indexer(labels)
    return bool((places >= 0).all() and (places[1:] >= places[:-1]).all())


def is_numbering(labels: pd.Index[Any]) -> bool:
    """Whether they hold integers without a name."""
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
    """Mixed into a class of pandas' indexes: the labels of a chunk's rows.

    Slices keep the class by themselves. Pickled it is the plain index.
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
        return _mark(joined) if all(isinstance(one, _RowLabels) for one in others) else joined

    def _get_engine_target(self) -> Any:
        # pandas has a case of its own for texts in its class Index, and not in those made of it.
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
