"""Columns of dates: which are asked for, and texts turned into the type that is frozen for them.

It knows texts and formats, not files; how a format is found is for `date_sample`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.label_options import parse_index_col
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import Column, dtype_of_kind
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

__all__ = [
    "UNITS",
    "DateColumn",
    "as_text",
    "check_dates",
    "date_labels",
    "has_clock_words",
    "parse_date_options",
    "unit_of",
    "values_of",
    "with_dates",
    "zone_of",
]

UNITS = ("s", "ms", "us", "ns")
"""From the coarsest to the finest."""

CLOCK_WORDS = ("now", "today")
"""What pandas reads as the time at which it reads it."""


NO_DATES = ("", "NaT", "nat", "NAT", "nan", "NaN", "NAN")
"""Texts that are missing dates, beside those that are missing in every column."""


@dataclass(frozen=True, slots=True)
class DateColumn(Column):
    """A column of dates and times; its `kind` is that of the texts which it is read from.

    Attributes
    ----------
    format : str or None
        As `pandas.to_datetime` takes it; None where no value has been seen.
    """

    format: str | None = None

    @property
    def is_made_of_texts(self) -> bool:
        """True."""
        return True

    @property
    def details(self) -> str:
        """Its format."""
        return repr(self.format)

    @property
    def arrow_type(self) -> Any:
        """Its type in Arrow: a timestamp of the same unit and time zone."""
        unit, zone = unit_of(self.dtype), zone_of(self.dtype)
        if zone is None:
            return pa.timestamp(unit)
        return pa.array(pd.DatetimeIndex([], dtype=self.dtype)).type


def unit_of(dtype: Any) -> str:
    """The unit of a dtype of dates."""
    return str(dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0])


def zone_of(dtype: Any) -> Any:
    """The time zone of a dtype of dates, None where it has none."""
    return dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None


def parse_date_options(given: Mapping[str, Any]) -> tuple[tuple[Any, ...], Any]:
    """The names or positions of columns of dates, and their formats.

    Raises
    ------
    PlanError
        What is no list of columns, or a format without columns.
    """
    columns, formats = given.get("parse_dates"), given.get("date_format")
    if columns is True:
        columns = list(parse_index_col(given.get("index_col")))
    if columns is None or columns is False:
        columns = []
    if not isinstance(columns, list) or not all(
        isinstance(one, str) or (isinstance(one, int) and not isinstance(one, bool))
        for one in columns
    ):
        raise PlanError(f"parse_dates={columns!r}: must be a list of column names or positions")
    if formats is not None and not columns:
        raise PlanError(f"date_format={formats!r}: parses nothing unless parse_dates names columns")
    texts = formats.values() if isinstance(formats, dict) else [formats or ""]
    if not all(isinstance(text, str) for text in texts):
        raise PlanError(f"date_format={formats!r}: must be a format, or a dict of column to format")
    if "mixed" in texts:
        raise PlanError(
            "date_format='mixed': each value would be guessed alone; give a format, or 'ISO8601'"
        )
    if given.get("usecols") is not None and any(isinstance(one, int) for one in columns):
        raise PlanError(
            f"parse_dates={columns!r}: positions mean others beside usecols=; give names"
        )
    return tuple(columns), dict(formats) if isinstance(formats, dict) else formats


def date_labels(asked: Sequence[Any], labels: Sequence[Hashable]) -> list[Hashable]:
    """The labels that `parse_dates` means.

    Raises
    ------
    PlanError
        There is no such column.
    """
    found: list[Hashable] = []
    for one in asked:
        is_position = isinstance(one, int) and one not in labels
        if is_position and 0 <= one < len(labels):
            found.append(labels[one])
        elif one in labels:
            found.append(one)
        else:
            raise PlanError(
                f"parse_dates: there is no column {one!r} among {', '.join(map(repr, labels))}."
                f"{suggest(str(one), map(str, labels))}"
            )
    return list(dict.fromkeys(found))


def check_dates(
    dates: Sequence[Hashable], given: Mapping[Hashable, Column], labels: Sequence[Hashable]
) -> None:
    """Raise `PlanError` where a column of dates has another type too, or is not read."""
    for label in dates:
        if label in given:
            raise PlanError(
                f"column {label!r}: parse_dates= and dtype= (or schema=) both name its type; keep "
                "one"
            )
        if label not in labels:
            raise PlanError(
                f"parse_dates: column {label!r} is not among those of usecols= or schema=; add it "
                "there"
            )


def as_text(column: Column) -> Column:
    """The column of texts that `column` is made of, where it is made of such; else itself."""
    if not column.is_made_of_texts:
        return column
    return Column(column.label, "str", dtype_of_kind("str"), is_proven=True)


def with_dates(part: pd.DataFrame | pa.Table, columns: Sequence[Column]) -> pd.DataFrame | pa.Table:
    """`part` with the dates among `columns` made from their texts.

    Raises
    ------
    Misfit
        A text is no date of the frozen format, unit or time zone.
    """
    dates = [column for column in columns if isinstance(column, DateColumn)]
    for column in dates:
        if isinstance(part, pd.DataFrame):
            part[column.label] = convert(part[column.label], column)
        else:
            values = convert(part.column(column.name).to_pandas(), column)
            place = part.schema.get_field_index(column.name)
            field = pa.field(column.name, column.arrow_type)
            made = pa.array(values, from_pandas=True).cast(column.arrow_type)
            part = part.set_column(place, field, made)
    return part


def convert(texts: pd.Series, column: DateColumn) -> pd.Series:
    """The dates that `texts` are, of the column's dtype."""
    if has_clock_words(texts):
        row = int(texts.isin(CLOCK_WORDS).to_numpy().argmax())
        raise Misfit(column, row, texts.iloc[row], "str", "is another time in each chunk")
    try:
        return fit(texts, column)
    except (ValueError, TypeError):
        # The rows up to the first that does not fit do; each look costs as much as a conversion.
        counts = range(len(texts) + 1)
        count = bisect_left(counts, True, key=lambda rows: not fits(texts.iloc[:rows], column))
        value = texts.iloc[count - 1]
        why = f"is no {column.dtype}" + (f" of format {column.format!r}" if column.format else "")
        raise Misfit(column, count - 1, value, "str", why) from None


def fits(texts: pd.Series, column: DateColumn) -> bool:
    try:
        fit(texts, column)
    except (ValueError, TypeError):
        return False
    return True


def fit(texts: pd.Series, column: DateColumn) -> pd.Series:
    made: pd.Series
    if values_of(texts).empty:
        made = pd.Series(pd.NaT, index=texts.index, dtype=column.dtype)
        return made
    if column.format is None:
        raise ValueError("no value was seen before")
    dates = pd.to_datetime(texts, format=column.format)
    if zone_of(dates.dtype) != zone_of(column.dtype):
        raise ValueError("another time zone")
    if UNITS.index(unit_of(dates.dtype)) > UNITS.index(unit_of(column.dtype)):
        raise ValueError("a finer unit")
    made = dates.astype(column.dtype)
    return made


def values_of(texts: pd.Series) -> pd.Series:
    """Those of `texts` that are not missing dates."""
    values: pd.Series = texts[~(texts.isna() | texts.isin(NO_DATES))]
    return values


def has_clock_words(texts: pd.Series) -> bool:
    """Whether a text stands for the time at which it is read."""
    return bool(texts.isin(CLOCK_WORDS).any())
