"""Columns of dates: which are named, and texts turned into the type that is frozen for them.

The date format is inferred in `date_sample`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.schema import Column
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

__all__ = [
    "UNITS",
    "DateColumn",
    "check_dates",
    "date_labels",
    "has_clock_words",
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
"""Strings that are missing dates, in addition to those that are missing in every column."""


@dataclass(frozen=True, slots=True)
class DateColumn(Column):
    """A column of dates and times; its `kind` is that of the texts which it is read from.

    Attributes
    ----------
    format : str or None
        As `pandas.to_datetime` takes it; None if no value has been seen.
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
    """Return the unit of a dtype of dates."""
    return str(dtype.unit if isinstance(dtype, pd.DatetimeTZDtype) else np.datetime_data(dtype)[0])


def zone_of(dtype: Any) -> Any:
    """Return the time zone of a dtype of dates, None if it has none."""
    return dtype.tz if isinstance(dtype, pd.DatetimeTZDtype) else None


def date_labels(requested: Sequence[Any], labels: Sequence[Hashable]) -> list[Hashable]:
    """Return the labels that `parse_dates` means.

    Raises
    ------
    PlanError
        There is no such column.
    """
    dates: list[Hashable] = []
    for column in requested:
        is_position = isinstance(column, int) and column not in labels
        if is_position and 0 <= column < len(labels):
            dates.append(labels[column])
        elif column in labels:
            dates.append(column)
        else:
            raise PlanError(
                f"parse_dates: there is no column {column!r} among {', '.join(map(repr, labels))}."
                f"{suggest(str(column), map(str, labels))}"
            )
    return list(dict.fromkeys(dates))


def check_dates(
    dates: Sequence[Hashable], named: Mapping[Hashable, Column], labels: Sequence[Hashable]
) -> None:
    """Raise `PlanError` if a column of dates has another type too, or is not read."""
    for label in dates:
        if label in named:
            raise PlanError(
                f"column {label!r}: parse_dates= and dtype= (or schema=) both set its type; keep "
                "one"
            )
        if label not in labels:
            raise PlanError(
                f"parse_dates: column {label!r} is not in usecols= or schema=; add it there"
            )


def with_dates(part: pd.DataFrame | pa.Table, columns: Sequence[Column]) -> pd.DataFrame | pa.Table:
    """Return `part` with the dates among `columns` made from their texts.

    Raises
    ------
    Misfit
        A text is not a date of the frozen format, unit or time zone.
    """
    dates = [column for column in columns if isinstance(column, DateColumn)]
    for column in dates:
        if isinstance(part, pd.DataFrame):
            part[column.label] = convert(part[column.label], column)
        else:
            values = convert(part.column(column.name).to_pandas(), column)
            position = part.schema.get_field_index(column.name)
            field = pa.field(column.name, column.arrow_type)
            made = pa.array(values, from_pandas=True).cast(column.arrow_type)
            part = part.set_column(position, field, made)
    return part


def convert(texts: pd.Series, column: DateColumn) -> pd.Series:
    """Return the dates that `texts` are, of the column's dtype."""
    if has_clock_words(texts):
        row = int(texts.isin(CLOCK_WORDS).to_numpy().argmax())
        raise Misfit(column, row, texts.iloc[row], "str", "differs from chunk to chunk")
    try:
        return fit(texts, column)
    except (ValueError, TypeError):
        # The rows up to the first that does not fit do; each look costs as much as a conversion.
        counts = range(len(texts) + 1)
        count = bisect_left(counts, True, key=lambda rows: not fits(texts.iloc[:rows], column))
        value = texts.iloc[count - 1]
        why = f"is not a valid {column.dtype}" + (
            f" of format {column.format!r}" if column.format else ""
        )
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
    """Return those of `texts` that are not missing dates."""
    values: pd.Series = texts[~(texts.isna() | texts.isin(NO_DATES))]
    return values


def has_clock_words(texts: pd.Series) -> bool:
    """Return whether a text means the time at which it is read."""
    return bool(texts.isin(CLOCK_WORDS).any())
