"""What pandas would make of columns of dates over a whole file, from a sample or from all of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.column_types.dates import (
    UNITS,
    DateColumn,
    has_clock_words,
    unit_of,
    values_of,
    zone_of,
)
from taskinity_data.formats.csv.sample import iter_texts
from taskinity_data.formats.schema import Column, dtype_of_kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.sources.file import SourceFile

__all__ = ["infer_dates"]


def infer_dates(
    files: Sequence[tuple[SourceFile, Head]],
    labels: Sequence[Hashable],
    options: CsvOptions,
    *,
    scan: bool,
    has_rows: bool,
) -> dict[Hashable, Column]:
    """Return the columns `labels`, of dates or, as pandas leaves them where one is none, of texts.

    Parameters
    ----------
    scan : bool
        Read all; else only what is sampled for other columns.
    has_rows : bool
        Whether there are rows, although none is read.

    Raises
    ------
    PlanError
        The answer would depend on values outside the sample, or pandas guesses no format.

    Notes
    -----
    As pandas has it, the first value of all gives the format where none is given, and a column
    in which any value does not fit stays text.
    """
    if not labels:
        return {}
    formats = options.date_format
    observations = {
        label: DateObservation(
            label,
            formats.get(label) if isinstance(formats, dict) else formats,
            options.dayfirst,
            has_rows,
        )
        for label in labels
    }
    for texts, is_known_first in iter_texts(files, options, scan=scan):
        for label, observation in observations.items():
            observation.look(texts[label], is_known_first=is_known_first)
    return {label: observation.freeze() for label, observation in observations.items()}


@dataclass
class DateObservation:
    """What has been seen of one column so far."""

    label: Hashable
    format: str | None
    dayfirst: bool
    has_rows: bool
    is_text: bool = False
    dtype: Any = None
    is_far: bool = False

    def look(self, texts: pd.Series, *, is_known_first: bool) -> None:
        """See some more texts, which come right after the last ones where `is_known_first`."""
        self.has_rows |= len(texts) > 0
        values = values_of(texts)
        if self.is_text or values.empty:
            return
        if has_clock_words(values):
            raise PlanError(
                f"column {self.label!r}: 'now' and 'today' differ from chunk to chunk; leave it "
                "out of parse_dates and convert it in the chunk function"
            )
        if self.format is None:
            self.guess(values, is_known_first=is_known_first)
        if not self.is_text:
            self.add(values)

    def guess(self, values: pd.Series, *, is_known_first: bool) -> None:
        if not is_known_first:
            raise PlanError(
                f"column {self.label!r}: pandas infers its format from its first value, which is "
                "not in the sample; give date_format=, or schema='scan'"
            )
        first = values.iloc[0]
        self.format = guess_datetime_format(first, dayfirst=self.dayfirst)
        if self.format is not None:
            return
        if are_dates_one_by_one(values, dayfirst=self.dayfirst):
            raise PlanError(
                f"column {self.label!r}: pandas infers no format from its first value {first!r} "
                "and would parse each value individually; give date_format="
            )
        self.is_text = True

    def add(self, values: pd.Series) -> None:
        try:
            dates = pd.to_datetime(values, format=self.format)
        except (ValueError, TypeError):
            self.is_text = True
            return
        dtype = dates.dtype
        if self.dtype is None:
            self.dtype = dtype
        elif zone_of(self.dtype) != zone_of(dtype):
            # pandas does not parse several offsets as dates.
            self.is_text = True
        elif UNITS.index(unit_of(dtype)) > UNITS.index(unit_of(self.dtype)):
            self.dtype = dtype
        self.is_far |= not fits_nanoseconds(dates)

    def freeze(self) -> Column:
        if self.is_text:
            return Column(self.label, "str", dtype_of_kind("str"), is_proven=True)
        if not self.has_rows:
            return Column(self.label, "str", np.dtype(object), is_proven=True)
        if self.dtype is None:
            return DateColumn(self.label, "str", np.dtype("datetime64[s]"))
        if self.is_far and unit_of(self.dtype) == "ns":
            raise PlanError(
                f"column {self.label!r}: some dates need nanoseconds and some are out of their "
                "range; leave it out of parse_dates and convert it in the chunk function"
            )
        return DateColumn(self.label, "str", self.dtype, format=self.format)


def are_dates_one_by_one(values: pd.Series, *, dayfirst: bool) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            pd.to_datetime(values, dayfirst=dayfirst)
        except (ValueError, TypeError):
            return False
    return True


def fits_nanoseconds(dates: pd.Series) -> bool:
    try:
        dates.dt.as_unit("ns")
    except pd.errors.OutOfBoundsDatetime:
        return False
    return True
