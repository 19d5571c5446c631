"""The rows of a piece of CSV by pandas' own parser, held to the frozen schema.

This is the engine whose word counts. It knows bytes and columns, not files or cuts.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.formats.csv.column_types.nullable import NullableColumn, nullable_floats
from taskinity_data.formats.csv.column_types.unfit_values import (
    check_floats,
    check_floats_of,
    check_wide,
    misfit,
)
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import BOOLS, is_nullable_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.schema import Column

__all__ = ["TooManyFields", "parse_exact", "parse_text"]

BOM = b"\xef\xbb\xbf"


class TooManyFields(ValueError):  # noqa: N818 - it becomes a ReadError where the file is known
    """The first row has more fields than there are columns."""


def parse_text(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions, **keywords: Any
) -> pd.DataFrame:
    """The records in `data`, UTF-8 without a header, by `pandas.read_csv`.

    Raises
    ------
    TooManyFields
        In the first row, where pandas alone would make an index of them.
    pandas.errors.ParserError
        In another row, or a quote that is not closed.
    """
    if data.startswith(BOM):
        # Here it is data: pandas drops a mark at the start of a file only.
        data = b"\n" + data
        keywords["skiprows"] = 1
    keywords = {**options.for_pandas(), **keywords}
    if options.dtype_backend is not None:
        keywords["dtype_backend"] = options.dtype_backend
    frame: pd.DataFrame = pd.read_csv(io.BytesIO(data), header=None, names=list(labels), **keywords)
    may_be_wide = len(frame) > 0 and not has_narrow_start(data, len(labels), options)
    if may_be_wide and count_first_fields(data, keywords) > len(labels):
        raise TooManyFields
    return frame


def has_narrow_start(data: bytes, width: int, options: CsvOptions) -> bool:
    """Whether the first line is a record and has too few separators for more than `width` fields.

    It spares a parse of the first record, where nothing in it needs one.
    """
    dialect = options.dialect
    start = len(BOM) + 1 if data.startswith(b"\n" + BOM) else 0
    feed, back = data.find(b"\n", start), data.find(b"\r", start)
    line = data[start : min((end for end in (feed, back) if end >= 0), default=len(data))]
    marks = (dialect.quote_byte, dialect.escape_byte, dialect.comment_byte)
    is_plain = bool(line.strip()) and not any(mark is not None and mark in line for mark in marks)
    return is_plain and sum(map(line.count, dialect.sep_bytes)) < width


def count_first_fields(data: bytes, keywords: Mapping[str, Any]) -> int:
    """The fields of the first record in `data`.

    The index does not tell: of extra fields that count evenly pandas makes the same `RangeIndex`
    that rows without any have.
    """
    try:
        first: pd.DataFrame = pd.read_csv(
            io.BytesIO(data), header=None, **{**keywords, "dtype": str, "nrows": 1}
        )
    except pd.errors.EmptyDataError:
        return 0  # a blank line that counts as a row
    return first.shape[1]


def parse_exact(
    data: bytes, labels: Sequence[Hashable], columns: Sequence[Column], options: CsvOptions
) -> pd.DataFrame:
    """The rows in `data` with the columns and dtypes of the frozen schema.

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
    context = Context(data, labels, columns, options)
    frame = infer_frame(context)
    changed: dict[Hashable, pd.Series] = {}
    dtypes = dict(zip(labels, frame.dtypes.tolist(), strict=True))
    for column in columns:
        if not is_settled(dtypes[column.label], column, options):
            values = frame[column.label]
            fitted = conform(values, column, context)
            if fitted is not values:
                changed[column.label] = fitted
    wanted = [column.label for column in columns]
    if changed:
        series = {label: changed[label] if label in changed else frame[label] for label in wanted}
        frame = pd.DataFrame(series, index=frame.index, copy=False)
    elif wanted != list(labels):
        places = {label: place for place, label in enumerate(labels)}
        frame = frame.iloc[:, [places[label] for label in wanted]]
    frame.columns = label_index(wanted)
    return frame


def infer_frame(context: Context) -> pd.DataFrame:
    """All columns as pandas infers them here, but for texts, which are texts."""
    data, labels, options = context.data, context.labels, context.options
    texts = [column for column in context.columns if column.kind == "str"]
    # An inferred text costs pandas a twentieth of one whose dtype is given; those that were given
    # are mostly numbers, which it would infer.
    given = texts if options.dtype_backend else [column for column in texts if column.is_given]
    dtype: dict[Hashable, Any] = {column.label: str for column in given}
    try:
        # An empty dict costs pandas 15 microseconds a column.
        frame = parse_text(data, labels, options, dtype=dtype or None)
    except OverflowError:
        # Of integers that are no int64 pandas makes floats where they stand behind one.
        for column in context.columns:
            if column.kind == "int64":
                check_wide(context.texts(column), column, options)
        dtype = dict.fromkeys(labels, str)
        for column in context.columns:
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
    """Whether `values` are the texts that stand there, or missing."""
    if isinstance(values.dtype, pd.StringDtype):
        return True
    # Of na_values that are numbers more is missing among floats.
    is_missing = values.dtype.kind == "f" and bool(values.isna().all())
    return is_missing and "na_values" not in options.per_chunk


def is_settled(dtype: Any, column: Column, options: CsvOptions) -> bool:
    """Whether values of that inferred dtype are the column's without a look at them."""
    if column.kind == "float64" and (not column.is_proven or "na_values" in options.per_chunk):
        return False
    if column.kind == "str" and not column.is_proven:
        return False
    return column.kind in PLAIN_KINDS and bool(dtype == column.dtype)


PLAIN_KINDS = {"int64", "float64", "bool", "str"}


def label_index(labels: Sequence[Hashable]) -> pd.Index:
    """The index of column labels as `pandas.read_csv` makes it."""
    return pd.Index(list(labels))


@dataclass
class Context:
    """What to look at again where a value is suspicious, for all columns together."""

    data: bytes
    labels: Sequence[Hashable]
    columns: Sequence[Column]
    options: CsvOptions

    @cached_property
    def all_texts(self) -> pd.DataFrame:
        """All columns as texts."""
        return parse_text(self.data, self.labels, self.options, dtype=str)

    @cached_property
    def has_negative_zero(self) -> bool:
        """Whether an integer -0 may stand among the data."""
        decimal = re.escape(self.options.per_chunk.get("decimal", ".").encode())
        pattern = rb"(?<![0-9A-Za-z])-[^0-9]?0+(?![0-9eE%b])" % decimal
        return b"-" in self.data and re.search(pattern, self.data) is not None

    @cached_property
    def all_floats(self) -> pd.DataFrame:
        """The columns of floats as those, however their values are written here.

        Raises
        ------
        Misfit
            One is no number.
        """
        told: dict[Hashable, Any] = dict.fromkeys(self.labels, str)
        floats = [column for column in self.columns if column.kind == "float64"]
        told |= {column.label: np.float64 for column in floats}
        try:
            return parse_text(self.data, self.labels, self.options, dtype=told)
        except (ValueError, OverflowError):
            for column in floats:
                check_floats(self.all_texts, column, self.options)
            raise

    def texts(self, column: Column) -> pd.Series:
        values: pd.Series = self.all_texts[column.label]
        return values

    def floats(self, column: Column) -> pd.Series:
        values: pd.Series = self.all_floats[column.label]
        return values


def conform(values: pd.Series, column: Column, context: Context) -> pd.Series:
    """`values` as the column's dtype, where that is what pandas would have made of the file."""
    if len(values) == 0:
        empty: pd.Series = pd.Series([], dtype=column.dtype, index=values.index)
        return empty
    if isinstance(column, NullableColumn) and column.kind != "str":
        return conform_nullable(values, column, context)
    return CONFORM[column.kind](values, column, context)


def conform_nullable(values: pd.Series, column: Column, context: Context) -> pd.Series:
    if values.isna().all():
        missing: pd.Series = pd.Series(pd.NA, index=values.index, dtype=column.dtype)
        return missing
    if column.kind == "float64" and values.dtype.kind != "b":
        has_na_values = "na_values" in context.options.per_chunk
        is_same = values.dtype == column.dtype and not has_na_values
        floats = values.to_numpy(np.float64, na_value=np.nan) if is_same else None
        floats = context.floats(column).to_numpy() if floats is None else floats
        check_floats_of(floats, column, context)
        made = nullable_floats(floats, column.dtype)
        return values if is_same else pd.Series(made, values.index)
    if values.dtype != column.dtype:
        raise misfit(column, context)
    return values


def conform_int64(values: pd.Series, column: Column, context: Context) -> pd.Series:
    if values.dtype != np.int64:
        raise misfit(column, context)
    return narrowed(values, column)


def conform_uint64(values: pd.Series, column: Column, context: Context) -> pd.Series:
    is_unsigned = values.dtype == np.uint64
    if not is_unsigned and not (values.dtype == np.int64 and values.min() >= 0):
        raise misfit(column, context)
    return narrowed(values.astype(np.uint64), column)


def narrowed(values: pd.Series, column: Column) -> pd.Series:
    limits = np.iinfo(column.dtype)
    outside = (values < limits.min) | (values > limits.max)
    if outside.any():
        row = int(outside.to_numpy().argmax())
        why = f"is beyond {column.dtype}"
        raise Misfit(column, row, str(values.iloc[row]), values.dtype.name, why)
    return values.astype(column.dtype)


def conform_float64(values: pd.Series, column: Column, context: Context) -> pd.Series:
    has_na_values = "na_values" in context.options.per_chunk
    if values.dtype.kind == "f":
        if has_na_values and not (values % 1 > 0).any():
            # What is missing among integers pandas tells by their texts alone.
            values = context.floats(column)
    elif values.dtype == bool or (
        values.dtype == object and any(isinstance(value, BOOLS) for value in values)
    ):
        raise misfit(column, context)
    else:
        values = from_integers(values, column, context)
    check_floats_of(values.to_numpy(), column, context)
    return values if values.dtype == column.dtype else values.astype(column.dtype)


def from_integers(values: pd.Series, column: Column, context: Context) -> pd.Series:
    """A column of floats of which this piece holds integers alone, or something else."""
    # As floats, -0 keeps its sign, and na_values are compared as numbers.
    numbers = values.to_numpy()
    is_same = numbers.dtype.kind in "iu" and "na_values" not in context.options.per_chunk
    if is_same and bool((numbers == 0).any()):
        is_same = not context.has_negative_zero
    if is_same:
        return pd.Series(numbers.astype(np.float64), values.index, copy=False)
    return context.floats(column)


def conform_bool(values: pd.Series, column: Column, context: Context) -> pd.Series:
    if values.dtype != bool:
        raise misfit(column, context)
    return values


def conform_maybe_bool(values: pd.Series, column: Column, context: Context) -> pd.Series:
    is_missing = values.isna()
    if values.dtype == bool or is_missing.all():
        return values.astype(object)
    if values.dtype != object or not isinstance(values[~is_missing].iloc[0], bool | np.bool_):
        raise misfit(column, context)
    return values


def conform_str(values: pd.Series, column: Column, context: Context) -> pd.Series:
    if not column.is_proven:
        check_wide(values, column, context.options)
    if is_nullable_integer(column.dtype):
        return to_nullable(values, column)
    if isinstance(column.dtype, pd.CategoricalDtype):
        result = values.astype(column.dtype)
        lost = (result.isna() & values.notna()).to_numpy()
        if lost.any():
            row = int(lost.argmax())
            raise Misfit(column, row, values.iloc[row], "str", "is none of the categories")
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
            raise Misfit(column, row, text, "str", f"is no {column.dtype}")
        numbers.append(number)
    return pd.Series(pd.array(numbers, dtype=column.dtype), index=texts.index)


CONFORM: dict[str, Callable[[pd.Series, Column, Context], pd.Series]] = {
    "int64": conform_int64,
    "uint64": conform_uint64,
    "float64": conform_float64,
    "bool": conform_bool,
    "maybe_bool": conform_maybe_bool,
    "str": conform_str,
}
