"""Which separator and quote would do for a text that does not parse: words for an error message.

It looks at a few kilobytes, and only where something is wrong already.
"""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import LOOK_NBYTES
from taskinity_data.formats.csv.options import parse_options

if TYPE_CHECKING:
    from taskinity_data.formats.csv.options import CsvOptions

__all__ = ["hint_dialect"]

SEPARATORS, QUOTES = ",;\t|", "\"'"
"""Those that are tried; others are seldom meant."""


def hint_dialect(text: bytes, options: CsvOptions) -> str:
    """Return what to give for ``sep=`` and ``quotechar=``, as the end of a sentence, or nothing.

    Parameters
    ----------
    text : bytes
        Some records, UTF-8; `LOOK_NBYTES` of them are looked at.
    options : CsvOptions
        Those with which they do not parse.
    """
    sample = text[:LOOK_NBYTES]
    if len(text) > LOOK_NBYTES:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    dialect, columns, best = options.dialect, 1, ""
    # Quotes as they are come first, so that no more is named than is needed.
    for quote, sep in product(
        sorted(QUOTES, key=lambda mark: mark != dialect.quotechar), SEPARATORS
    ):
        marks = {"sep": sep, "quotechar": quote}
        other = {name: mark for name, mark in marks.items() if mark != getattr(dialect, name)}
        count = _count_columns(sample, other, options) if other else 0
        if count > columns:
            columns, best = count, ", ".join(f"{name}={mark!r}" for name, mark in other.items())
    return best and f"; it reads as {columns} columns with {best}"


def _count_columns(sample: bytes, marks: dict[str, Any], options: CsvOptions) -> int:
    """Return how many columns `sample` has with `marks`, 0 where few rows have as many."""
    try:
        checked = parse_options(marks).dialect
        dialect = replace(options.dialect, **{name: getattr(checked, name) for name in marks})
        keywords = replace(options, dialect=dialect, skips_bad_lines=False).for_pandas()
        frame = pd.read_csv(
            io.BytesIO(sample), header=None, dtype=str, skiprows=options.skiprows, **keywords
        )
    except (PlanError, ValueError):
        return 0
    return len(frame.columns) if frame.iloc[:, -1].notna().mean() > 0.5 else 0
