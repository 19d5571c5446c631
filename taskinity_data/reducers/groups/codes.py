"""Encode the values of keys: a small number for each row, and the values that occur."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import ReduceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

__all__ = [
    "Codes", "blocks", "count_codes", "encode", "encode_near_integers", "encode_texts",
    "factorize", "is_plain", "make_dense", "narrow_dtype", "unique_near_integers",
]  # fmt: skip

Codes = tuple["NDArray[np.integer[Any]]", Any]
"""For each row the position of its key among the unique ones (-1: null), and these."""


def encode(column: pd.Series[Any]) -> Codes:
    """Return the codes of a column; of categories, some of the unique values may not occur."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        categorical: Any = column.array
        every: Any = np.arange(len(categorical.categories))
        return categorical.codes, pd.Categorical.from_codes(every, dtype=column.dtype)
    # Arrow's encoder makes a key of the null of a column that has no type.
    if getattr(column.dtype, "storage", None) == "pyarrow" and column.dtype != "null[pyarrow]":
        array: Any = column.array
        with suppress(pa.ArrowNotImplementedError):  # lists and structs, as `factorize` says
            codes, texts = encode_texts(array.__arrow_array__())
            return codes, pd.Series(texts, dtype=column.dtype).array
    near = encode_near_integers(column.to_numpy()) if is_plain(column.dtype) else None
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
    except (TypeError, pa.ArrowNotImplementedError) as error:
        text = f"column {column.name!r} can't be grouped: {error}; convert it by .map(str)"
        raise ReduceError(text, column=column.name) from error


def encode_near_integers(values: NDArray[Any]) -> Codes | None:
    """Return the codes of integers that are near each other, and those that occur, sorted.

    Numbers of parts, customers and days are such. None for any others.
    """
    near = _shift_near(values)
    if near is None:
        return None
    codes, numbers = make_dense(*near)
    return codes, _shift_back(numbers, values)


def unique_near_integers(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return the integers that occur, as `encode_near_integers` does."""
    near = _shift_near(values)
    return None if near is None else _shift_back(_find_occurring(*near), values)


def _shift_near(values: NDArray[Any]) -> tuple[NDArray[np.integer[Any]], int] | None:
    """Return integers that are near each other minus the lowest, and how many there may be."""
    if values.dtype.kind not in "iu" or not len(values):
        return None
    low, high = values.min(), values.max()
    n_values = int(high) - int(low) + 1
    if n_values > _table_size(len(values)):
        return None
    # What is cut off of wide numbers makes no difference to one that the narrow dtype holds.
    return np.subtract(values, low, dtype=narrow_dtype(n_values), casting="unsafe"), n_values


def _shift_back(numbers: NDArray[np.intp], values: NDArray[Any]) -> NDArray[Any]:
    shifted: NDArray[Any] = numbers.astype(values.dtype) + values.min()
    return shifted.astype(values.dtype, copy=False)


def encode_texts(texts: Any) -> tuple[NDArray[np.integer[Any]], pa.Array]:
    """Return the codes of a column of Arrow texts (-1: null), and the texts that occur."""
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.chunk(0) if texts.num_chunks == 1 else texts.combine_chunks()
    # pandas has integers, bytes and all else in Arrow's arrays too.
    is_text = str(texts.type) in ("string", "large_string", "string_view")
    is_dense = is_text and len(texts) and not texts.null_count
    numbers = _short_texts_as_numbers(texts) if is_dense else None
    if numbers is not None:
        codes, occurring = make_dense(numbers, 1 << 8 * numbers.itemsize)
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


def make_dense(
    joint: NDArray[np.integer[Any]], n_values: int
) -> tuple[NDArray[np.integer[Any]], NDArray[np.intp]]:
    """Return codes without gaps for numbers below `n_values` (-1 stays), and the numbers."""
    if n_values <= _table_size(len(joint)):
        numbers = _find_occurring(joint, n_values)
        if len(numbers) == n_values:
            return joint, numbers
        new_codes: Any = np.full(n_values + 1, -1, narrow_dtype(len(numbers)))  # of -1 too
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


def _find_occurring(joint: NDArray[np.integer[Any]], n_values: int) -> NDArray[np.intp]:
    """Return the numbers below `n_values` that occur, sorted; -1 may, too."""
    numbers = _find_few(joint)
    if numbers is None:
        occurs = np.zeros(n_values + 1, dtype=np.bool_)  # of -1 too, which is the last
        occurs[joint] = True
        numbers = np.flatnonzero(occurs[:-1])
    return numbers


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


def narrow_dtype(n_values: int) -> Any:
    """Return the narrowest dtype of numbers below `n_values` and of -1: the less memory they take,
    the less of it is new to the process, and the more is in caches.
    """
    return next(dtype for dtype in _CODES if n_values <= np.iinfo(dtype).max)


_CODES: Any = (np.int8, np.int16, np.int32, np.int64)


def is_plain(dtype: Any) -> bool:
    """Return whether `dtype` is one of NumPy's numbers."""
    return isinstance(dtype, np.dtype) and dtype.kind in "iuf"
