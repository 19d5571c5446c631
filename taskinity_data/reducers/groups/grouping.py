"""Assign rows to groups: keys to codes, and groups to the order in which pandas lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from taskinity_data.errors import ReduceError
from taskinity_data.reducers.cached_property import cached_property

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "Grouping", "Merging", "blocks", "encode_texts", "factorize", "group_rows", "order_groups",
    "regroup",
]  # fmt: skip


class Grouping:
    """A code from 0 to ``n_groups - 1`` for every row, -1 for a row of no group."""

    def __init__(self, codes: NDArray[np.integer[Any]], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups

    @classmethod
    def of_one(cls, n_rows: int) -> Grouping:
        """Return a grouping of all rows in a single group."""
        grouping = cls(np.zeros(n_rows, dtype=np.int8), 1)
        grouping.is_grouped, grouping.counts = None, np.array([n_rows])
        return grouping

    @cached_property
    def is_grouped(self) -> NDArray[np.bool_] | None:
        """Which rows have a group; None: all of them."""
        is_grouped = self.codes >= 0
        return None if is_grouped.all() else is_grouped

    @cached_property
    def grouped_codes(self) -> NDArray[np.integer[Any]]:
        """The codes of the rows that have a group."""
        return self.codes if self.is_grouped is None else self.codes[self.is_grouped]

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """The number of rows of each group."""
        return count_codes(self.grouped_codes, self.n_groups)


class Merging:
    """The merged groups of the groups of several states, in chunk order.

    Group j of state i becomes group ``codes[i][j]`` of `n_groups`.
    """

    def __init__(self, codes: Sequence[NDArray[np.intp]], n_groups: int) -> None:
        self.codes = codes
        self.n_groups = n_groups
        self._merged: dict[tuple[int, ...], Any] = {}

    @classmethod
    def of_one(cls, n_states: int) -> Merging:
        """Return a merging of states of a single group."""
        return cls([np.zeros(1, dtype=np.intp)] * n_states, 1)

    def once(self, arrays: Sequence[NDArray[Any]], merge: Callable[[], Any]) -> Any:
        """Return what `merge` returns; it is called once for the same arrays.

        ``"sum"`` and ``"mean"`` of a column share their sums, and all columns without nulls their
        counts.
        """
        key = tuple(map(id, arrays))
        if key not in self._merged:
            self._merged[key] = merge()
        return self._merged[key]


Codes = tuple["NDArray[np.integer[Any]]", Any]
"""For each row the position of its key among the unique ones (-1: null), and these."""


def group_rows(
    keys: Sequence[pd.Series[Any] | Codes], names: Sequence[Any]
) -> tuple[Grouping, pd.DataFrame]:
    """Group rows by equal keys, as ``pandas.DataFrame.groupby(..., dropna=True, observed=True)``.

    Parameters
    ----------
    keys : sequence of Series or Codes
        Of encoded keys each unique value occurs.
    names : sequence
        Of the keys.

    Returns
    -------
    grouping : Grouping
        Rows with a null among their keys have no group.
    groups : pandas.DataFrame
        The keys of each group, with the dtypes of `keys`; sorted if it is one column of numbers.
    """
    labels: Any = pd.Index(list(names))
    encoded_keys = [key if isinstance(key, tuple) else _encode(key) for key in keys]
    only = keys[0] if len(keys) == 1 else None
    if isinstance(only, pd.Series) and _is_plain(only.dtype):
        codes, uniques = _sort_codes(*encoded_keys[0])
        return Grouping(codes, len(uniques)), _frame([uniques], labels)
    joint, rows_of_columns = _join_codes(encoded_keys)
    selected = [
        uniques.take(rows) for (_, uniques), rows in zip(encoded_keys, rows_of_columns, strict=True)
    ]
    return Grouping(joint, len(rows_of_columns[0])), _frame(selected, labels)


def _join_codes(
    encoded_keys: Sequence[Codes],
) -> tuple[NDArray[np.integer[Any]], list[NDArray[np.intp]]]:
    """Return the group of each row, and of each group the position of its key in each column."""
    codes, uniques = encoded_keys[0]
    if len(encoded_keys) == 1:
        if not isinstance(uniques, pd.Categorical):  # then every value occurs
            return codes, [np.arange(len(uniques))]
        codes, numbers = _dense(codes, len(uniques))
        return codes, [numbers]
    rows_of_columns: list[NDArray[np.intp]] = [np.arange(len(uniques))]
    for more, more_uniques in encoded_keys[1:]:
        # Codes are made dense after each column, so that their product can't outgrow 64 bits.
        width = max(len(more_uniques), 1)
        n_values = max(len(rows_of_columns[0]), 1) * width
        joint = codes.astype(_narrow_dtype(n_values))
        joint *= width
        joint += more.astype(joint.dtype, copy=False)
        if len(codes) and (codes.min() < 0 or more.min() < 0):
            joint[(codes < 0) | (more < 0)] = -1
        codes, pairs = _dense(joint, n_values)
        rows_of_columns = [rows[pairs // width] for rows in rows_of_columns]
        rows_of_columns.append(pairs % width)
    return codes, rows_of_columns


def _narrow_dtype(n_values: int) -> Any:
    """Return the narrowest dtype of numbers below `n_values` and of -1: the less memory they take,
    the less of it is new to the process, and the more is in caches.
    """
    return next(dtype for dtype in _CODES if n_values <= np.iinfo(dtype).max)


_CODES: Any = (np.int8, np.int16, np.int32, np.int64)


def _dense(
    joint: NDArray[np.integer[Any]], n_values: int
) -> tuple[NDArray[np.integer[Any]], NDArray[np.intp]]:
    """Return codes without gaps for numbers below `n_values` (-1 stays), and the numbers."""
    if n_values <= _table_size(len(joint)):
        numbers = _find_few(joint)
        if numbers is None:
            occurs = np.zeros(n_values + 1, dtype=np.bool_)  # of -1 too, which is the last
            occurs[joint] = True
            numbers = np.flatnonzero(occurs[:-1])
        if len(numbers) == n_values:
            return joint, numbers
        new_codes: Any = np.full(n_values + 1, -1, _narrow_dtype(len(numbers)))  # of -1 too
        new_codes[numbers] = np.arange(len(numbers))
        codes = np.empty(len(joint), dtype=new_codes.dtype)
        for rows in blocks(len(joint)):
            new_codes.take(joint[rows], out=codes[rows], mode="wrap")
        return codes, numbers
    codes, uniques = pd.factorize(joint)
    null = np.flatnonzero(uniques < 0)
    if len(null):
        codes = np.where(codes == null[0], -1, codes - (codes > null[0]))
        uniques = np.delete(uniques, null)
    return codes, uniques.astype(np.intp, copy=False)


def _find_few(joint: NDArray[np.integer[Any]]) -> NDArray[np.intp] | None:
    """Return the numbers from 0 up that occur if they are narrow and few; None for others."""
    if joint.itemsize > _NARROW_NBYTES:
        return None
    numbers = np.unique(joint[:: len(joint) // _SAMPLE_ROWS + 1])
    if len(numbers) > _FEW or sum(_count_each(joint, numbers)) < len(joint):
        return None
    return numbers[numbers >= 0].astype(np.intp)


def _count_each(codes: NDArray[np.integer[Any]], numbers: Iterable[Any]) -> list[int]:
    return [int(np.count_nonzero(codes == number)) for number in numbers]


_NARROW_NBYTES, _FEW, _SAMPLE_ROWS = 2, 16, 1024
"""Bytes of numbers, and how many, that are compared one by one: 0.02 ms each for 262,144 rows, a
count of all takes 0.45."""


def count_codes(codes: NDArray[np.integer[Any]], n_values: int) -> NDArray[np.int64]:
    """Return how often each number below `n_values` occurs."""
    if n_values <= _FEW and codes.itemsize <= _NARROW_NBYTES:
        return np.array(_count_each(codes, range(n_values)), dtype=np.int64)
    if n_values > _BLOCK_ROWS:
        return np.bincount(codes, minlength=n_values)
    counts = np.zeros(n_values, dtype=np.int64)
    for rows in blocks(len(codes)):
        counts += np.bincount(codes[rows], minlength=n_values)
    return counts


def blocks(n_rows: int) -> list[slice]:
    """Return all rows in blocks that caches hold: NumPy makes 64-bit indexes of narrow ones."""
    return [slice(start, start + _BLOCK_ROWS) for start in range(0, n_rows, _BLOCK_ROWS)]


_BLOCK_ROWS = 12_288
"""Their indexes have less than the 128 KiB from which on the C library maps memory each time."""


def _table_size(n_rows: int) -> int:
    """Return how many values a table may have for so many rows."""
    return max(_TABLE_ROWS * n_rows, _MIN_TABLE)


_MIN_TABLE = 1 << 12
_TABLE_ROWS = 8
"""How many values of a table a row pays for: 262,144 rows of eight times as many numbers take a
third of the time that hashing them does."""


def _is_plain(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf"


def _sort_codes(
    codes: NDArray[np.integer[Any]], uniques: NDArray[Any]
) -> tuple[NDArray[np.integer[Any]], NDArray[Any]]:
    """Return codes in the order of the unique values, and these sorted."""
    if (uniques[1:] >= uniques[:-1]).all():
        return codes, uniques
    order = np.argsort(uniques)
    new_codes = np.empty(len(order) + 1, dtype=np.intp)
    new_codes[order] = np.arange(len(order))
    new_codes[-1] = -1
    return new_codes[codes], uniques[order]


def regroup(joined: pd.DataFrame) -> tuple[Grouping, pd.DataFrame]:
    """Group keys that were concatenated from several groupings, as `group_rows` does.

    A single key of numbers is sorted in each of them, and merging them takes a fifth of the time of
    hashing.
    """
    if joined.shape[1] > 1 or not _is_plain(joined.dtypes.iloc[0]):
        keys = [joined.iloc[:, position] for position in range(joined.shape[1])]
        return group_rows(keys, list(joined.columns))
    values = joined.iloc[:, 0].to_numpy()
    near = _encode_near_integers(values)
    if near is not None:
        return Grouping(near[0], len(near[1])), _frame([near[1]], joined.columns)
    order = np.argsort(values, kind="stable")
    values = values[order]
    is_first = np.ones(len(values), dtype=np.bool_)
    np.not_equal(values[1:], values[:-1], out=is_first[1:])
    codes = np.empty(len(values), dtype=np.intp)
    codes[order] = np.cumsum(is_first) - 1
    uniques = values[is_first]
    return Grouping(codes, len(uniques)), _frame([uniques], joined.columns)


def _encode(column: pd.Series[Any]) -> Codes:
    """Return the codes of a column; of categories, some of the unique values may not occur."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        categorical: Any = column.array
        every: Any = np.arange(len(categorical.categories))
        return categorical.codes, pd.Categorical.from_codes(every, dtype=column.dtype)
    # Arrow's encoder makes a key of the null of a column that has no type.
    if getattr(column.dtype, "storage", None) == "pyarrow" and column.dtype != "null[pyarrow]":
        array: Any = column.array
        codes, texts = encode_texts(array.__arrow_array__())
        return codes, pd.Series(texts, dtype=column.dtype).array
    near = _encode_near_integers(column.to_numpy()) if _is_plain(column.dtype) else None
    if near is not None:
        return near
    codes, uniques = factorize(column)
    if getattr(uniques.dtype, "kind", "O") == "f":
        # -0.0 and 0.0 are one key; which of them is first would be chance.
        uniques = uniques + 0.0
    return codes, uniques


def factorize(column: pd.Series[Any]) -> Codes:
    """Return the codes and values of `column`; raise `ReduceError` if they are lists or dicts."""
    try:
        return pd.factorize(column)
    except TypeError as error:
        text = f"column {column.name!r} can't be grouped: {error}; convert it by .map(str)"
        raise ReduceError(text, column=column.name) from error


def _encode_near_integers(
    values: NDArray[Any],
) -> tuple[NDArray[np.integer[Any]], NDArray[Any]] | None:
    """Return the codes of integers that are near each other, and those that occur, sorted.

    Numbers of parts, customers and days are such. None for any others.
    """
    if values.dtype.kind not in "iu" or not len(values):
        return None
    low, high = values.min(), values.max()
    n_values = int(high) - int(low) + 1
    if n_values > _table_size(len(values)):
        return None
    # What is cut off of wide numbers makes no difference to one that the narrow dtype holds.
    near = np.subtract(values, low, dtype=_narrow_dtype(n_values), casting="unsafe")
    codes, numbers = _dense(near, n_values)
    return codes, (numbers.astype(values.dtype) + low).astype(values.dtype, copy=False)


def encode_texts(texts: Any) -> tuple[NDArray[np.integer[Any]], pa.Array]:
    """Return the codes of a column of Arrow texts (-1: null), and the texts that occur."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
    # pandas has integers, bytes and all else in Arrow's arrays too.
    is_text = str(texts.type) in ("string", "large_string", "string_view")
    is_dense = is_text and len(texts) and not texts.null_count
    numbers = _short_texts_as_numbers(texts) if is_dense else None
    if numbers is not None:
        codes, occurring = _dense(numbers, 1 << 8 * numbers.itemsize)
        uniques = [number.tobytes().decode() for number in occurring.astype(numbers.dtype)]
        return codes, pa.array(uniques, texts.type)
    if pa.types.is_string_view(texts.type):
        texts = texts.cast(pa.large_string())
    encoded = texts.dictionary_encode()
    codes = encoded.indices
    return (codes.fill_null(-1) if codes.null_count else codes).to_numpy(), encoded.dictionary


def _short_texts_as_numbers(texts: pa.Array) -> NDArray[np.unsignedinteger[Any]] | None:
    """Return texts of one byte each, or of two, as numbers of as many; None for any others.

    Flags, grades and codes of countries are such: 3 ns a row by a table, hashing takes 17.
    """
    _, positions, *data = texts.buffers()
    if pa.types.is_string_view(texts.type):
        views = np.frombuffer(positions, np.int32).reshape(-1, _VIEW_WORDS)
        views = views[texts.offset : texts.offset + len(texts)]
        width = int(views[0, 0])
        if width not in (1, 2) or (views[:, 0] != width).any():
            return None
        start = views.itemsize  # of the text, after its length
        return views.view(np.uint8)[:, start : start + width].copy().view(f"u{width}")[:, 0]
    dtype = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    starts = np.frombuffer(positions, dtype)[texts.offset : texts.offset + len(texts) + 1]
    first, stop = int(starts[0]), int(starts[-1])
    width = int(starts[1]) - first
    if width not in (1, 2) or stop - first != width * len(texts):
        return None
    if (starts != np.arange(first, stop + 1, width, dtype=dtype)).any():
        return None
    return np.frombuffer(data[0], np.uint8)[first:stop].view(f"u{width}")


_VIEW_WORDS = 4
"""32-bit words of the view of a text: its length, and the text where it has no more than three."""


def _frame(columns: Sequence[Any], names: pd.Index[Any]) -> pd.DataFrame:
    series = {i: pd.Series(column, copy=False) for i, column in enumerate(columns)}
    frame = pd.DataFrame(series, copy=False)
    frame.columns = names
    return frame


def order_groups(groups: pd.DataFrame) -> tuple[NDArray[np.intp], pd.Index[Any]]:
    """Return the order in which pandas lists these groups, and their index.

    This calls pandas with one row a group, so that sorting, categories, time zones and names are
    the same. (A single key of plain numbers or texts is sorted directly: for many millions of
    them, pandas' hash table would need several times the memory of the answer.)
    """
    only = groups.iloc[:, 0]
    order: NDArray[np.intp] | None = None
    if groups.shape[1] > 1:
        pass
    elif only.dtype in (np.int64, np.int32, np.float64):
        order = np.argsort(only.to_numpy(), kind="stable")
    elif getattr(only.dtype, "storage", None) == "pyarrow":
        # By UTF-8's bytes, which is by code points, as Python compares texts.
        order = pc.sort_indices(pa.array(only)).to_numpy().astype(np.intp)
    if order is not None:
        return order, pd.Index(only.take(order), name=groups.columns[0])
    keys = [groups.iloc[:, position] for position in range(groups.shape[1])]
    positions = pd.Series(np.arange(len(groups)))
    by: Any = keys if len(keys) > 1 else keys[0]
    first = positions.groupby(by, sort=True, dropna=True, observed=True).first()
    return first.to_numpy(dtype=np.intp), first.index
