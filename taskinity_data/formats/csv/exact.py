"""Read the rows of a piece of CSV with pandas' own parser, and check them against the schema.

This is the reference engine: the fast one must return the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.formats.csv.column_types.nullable import NullableColumn, nullable_floats
from taskinity_data.formats.csv.fast import check_wide, has_wide_integers
from taskinity_data.formats.csv.pandas_parser import PieceParser, parse_text
from taskinity_data.formats.csv.unfit_values import check_floats, check_floats_of, misfit
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import BOOLS, dtype_of_kind, is_nullable_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.schema import Column

__all__ = ["parse_exact"]


def parse_exact(
    data: bytes, labels: Sequence[Hashable], columns: Sequence[Column], options: CsvOptions
) -> pd.DataFrame:
    """Return the rows in `data` with the columns and dtypes of the frozen schema.

    Parameters
    ----------
    data : bytes
        Whole records, UTF-8.
    labels : sequence
        All columns of the file, in its order.
    columns : sequence of Column
        Those that are wanted, in the order that is wanted.

    Raises
    ------
    Misfit
        A value does not fit its column.
    TooManyFields, pandas.errors.ParserError
        As `parse_text`.

    Notes
    -----
    One parse where all values fit, but for texts of which a piece holds numbers alone. Dtypes of
    numbers are left to pandas: given them, it would make 1 of ``1.0`` and of ``True``. All columns
    are parsed, since with `usecols` pandas lets rows with too many fields pass.
    """
    piece = PieceParser(data, labels, columns, options)
    frame = infer_frame(piece)
    changed: dict[Hashable, pd.Series] = {}
    dtypes = dict(zip(labels, frame.dtypes.tolist(), strict=True))
    for column in columns:
        if not is_settled(dtypes[column.label], column, options):
            values = frame[column.label]
            fitted = conform(values, column, piece)
            if fitted is not values:
                changed[column.label] = fitted
    requested = [column.label for column in columns]
    if changed:
        series = {
            label: changed[label] if label in changed else frame[label] for label in requested
        }
        frame = pd.DataFrame(series, index=frame.index, copy=False)
    elif requested != list(labels):
        positions = {label: position for position, label in enumerate(labels)}
        frame = frame.iloc[:, [positions[label] for label in requested]]
    frame.columns = label_index(requested)
    return frame


def infer_frame(piece: PieceParser) -> pd.DataFrame:
    """Return all columns as pandas infers them here, but for texts, which are texts."""
    data, labels, options = piece.data, piece.labels, piece.options
    texts = [column for column in piece.columns if column.kind == "str"]
    # An inferred text costs pandas a twentieth of one whose dtype is given; those that were given
    # are mostly numbers, which it would infer.
    named = texts if options.dtype_backend else [column for column in texts if column.is_given]
    dtype: dict[Hashable, Any] = {column.label: str for column in named}
    try:
        # An empty dict costs pandas 15 microseconds a column.
        frame = parse_text(data, labels, options, dtype=dtype or None)
    except OverflowError:
        # pandas makes floats of integers beyond int64 that follow an int64.
        for column in piece.columns:
            if column.kind == "int64":
                check_wide(piece.texts(column), column, options)
        dtype = dict.fromkeys(labels, str)
        for column in piece.columns:
            if column.kind == "float64":
                dtype[column.label] = np.float64
            elif column.kind != "str":
                del dtype[column.label]
        return parse_text(data, labels, options, dtype=dtype)
    lost = [column.label for column in texts if not is_text(frame[column.label], options)]
    if lost and options.dtype_backend is None:
        again = parse_text(data, labels, options, dtype=dict.fromkeys(lost, str))
        for label in lost:
            frame[label] = again[label]
    return frame


def is_text(values: pd.Series, options: CsvOptions) -> bool:
    """Return whether `values` are the file's texts, or missing."""
    if isinstance(values.dtype, pd.StringDtype):
        # After an integer beyond int64 among the first of them, none is missing in pandas.
        return not has_wide_integers(values, options)
    # Numbers in na_values make more values missing in float columns.
    is_missing = values.dtype.kind == "f" and bool(values.isna().all())
    return is_missing and "na_values" not in options.per_chunk


def is_settled(dtype: Any, column: Column, options: CsvOptions) -> bool:
    """Return whether values of that inferred dtype are the column's without a look at them."""
    if column.kind == "float64" and (not column.is_proven or "na_values" in options.per_chunk):
        return False
    if column.kind == "str" and not column.is_proven:
        return False
    return column.kind in PLAIN_KINDS and bool(dtype == column.dtype)


PLAIN_KINDS = {"int64", "float64", "bool", "str"}


def label_index(labels: Sequence[Hashable]) -> pd.Index:
    """Return the index of column labels as `pandas.read_csv` makes it."""
    return pd.Index(list(labels))


def conform(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    """Return `values` as the column's dtype, as pandas would have made them of the file."""
    if len(values) == 0:
        empty: pd.Series = pd.Series([], dtype=column.dtype, index=values.index)
        return empty
    if isinstance(column, NullableColumn) and column.kind != "str":
        return conform_nullable(values, column, piece)
    return CONFORM[column.kind](values, column, piece)


def conform_nullable(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    if values.isna().all():
        missing: pd.Series = pd.Series(pd.NA, index=values.index, dtype=column.dtype)
        return missing
    if column.kind == "float64" and values.dtype.kind != "b":
        has_na_values = "na_values" in piece.options.per_chunk
        is_same = values.dtype == column.dtype and not has_na_values
        floats = values.to_numpy(np.float64, na_value=np.nan) if is_same else None
        floats = floats_of(column, piece).to_numpy() if floats is None else floats
        check_floats_of(floats, column, piece)
        made = nullable_floats(floats, column.dtype)
        return values if is_same else pd.Series(made, values.index)
    if values.dtype != column.dtype:
        raise misfit(column, piece)
    return values


def conform_int64(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    if values.dtype != np.int64:
        raise misfit(column, piece)
    return narrowed(values, column)


def conform_uint64(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    is_fit = values.dtype == np.uint64 or (values.dtype == np.int64 and values.min() >= 0)
    may_be_negative = not column.is_given and piece.has_negative_zero
    if not is_fit or (may_be_negative and piece.texts(column).str.contains("-").any()):
        raise misfit(column, piece)
    return narrowed(values.astype(np.uint64), column)


def narrowed(values: pd.Series, column: Column) -> pd.Series:
    limits = np.iinfo(column.dtype)
    outside = (values < limits.min) | (values > limits.max)
    if outside.any():
        row = int(outside.to_numpy().argmax())
        why = f"is beyond {column.dtype}"
        raise Misfit(column, row, str(values.iloc[row]), values.dtype.name, why)
    return values.astype(column.dtype)


def conform_float64(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    has_na_values = "na_values" in piece.options.per_chunk
    if values.dtype.kind == "f":
        if has_na_values and not (values % 1 > 0).any():
            # What is missing among integers pandas tells by their texts alone.
            values = floats_of(column, piece)
    elif values.dtype == bool or (
        values.dtype == object and any(isinstance(value, BOOLS) for value in values)
    ):
        raise misfit(column, piece)
    else:
        values = from_integers(values, column, piece)
    check_floats_of(values.to_numpy(), column, piece)
    return values if values.dtype == column.dtype else values.astype(column.dtype)


def from_integers(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    """Return a column of floats of which this piece holds integers alone, or something else."""
    # As floats, -0 keeps its sign, and na_values are compared as numbers.
    numbers = values.to_numpy()
    is_same = numbers.dtype.kind in "iu" and "na_values" not in piece.options.per_chunk
    if is_same and bool((numbers == 0).any()):
        is_same = not piece.has_negative_zero
    if is_same:
        return pd.Series(numbers.astype(np.float64), values.index, copy=False)
    return floats_of(column, piece)


def floats_of(column: Column, piece: PieceParser) -> pd.Series:
    """Return the column as floats, however they are written; `Misfit` where one is not a number."""
    try:
        values: pd.Series = piece.all_floats[column.label]
    except (ValueError, OverflowError):
        for other in piece.columns:
            if other.kind == "float64":
                check_floats(piece.all_texts, other, piece.options)
        raise
    return values


def conform_bool(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    if values.dtype != bool:
        raise misfit(column, piece)
    return values


def conform_maybe_bool(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    is_missing = values.isna()
    if values.dtype == bool or is_missing.all():
        return values.astype(object)
    if values.dtype != object or not isinstance(values[~is_missing].iloc[0], bool | np.bool_):
        raise misfit(column, piece)
    return values


def conform_str(values: pd.Series, column: Column, piece: PieceParser) -> pd.Series:
    if values.dtype.kind == "f":
        # All are missing: see `is_text`.
        values = values.astype(dtype_of_kind("str"))
    if not column.is_proven:
        check_wide(values, column, piece.options)
    if is_nullable_integer(column.dtype):
        return to_nullable(values, column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        result = values.astype(column.dtype)
        lost = (result.isna() & values.notna()).to_numpy()
        if lost.any():
            row = int(lost.argmax())
            raise Misfit(column, row, values.iloc[row], "str", "is not one of the categories")
        return result
    if values.dtype == column.dtype:
        return values
    return values.astype(column.dtype)


def to_nullable(texts: pd.Series, column: Column) -> pd.Series:
    limits = np.iinfo(column.dtype.numpy_dtype)
    numbers: list[int | None] = []
    for row, text in enumerate(texts.tolist()):
        if not isinstance(text, str):
            numbers.append(None)
            continue
        try:
            number = int(text) if text.isascii() and "_" not in text else None
        except ValueError:
            number = None
        if number is None or not limits.min <= number <= limits.max:
            raise Misfit(column, row, text, "str", f"is not a valid {column.dtype}")
        numbers.append(number)
    return pd.Series(pd.array(numbers, dtype=column.dtype), index=texts.index)


CONFORM: dict[str, Callable[[pd.Series, Column, PieceParser], pd.Series]] = {
    "int64": conform_int64,
    "uint64": conform_uint64,
    "float64": conform_float64,
    "bool": conform_bool,
    "maybe_bool": conform_maybe_bool,
    "str": conform_str,
}
