"""The types of the columns of CSV files: those that were named, dates, and what pandas infers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.formats.csv.column_types.categories import infer_categories
from taskinity_data.formats.csv.column_types.date_sample import infer_dates
from taskinity_data.formats.csv.column_types.dates import check_dates, date_labels
from taskinity_data.formats.csv.column_types.nullable import check_given, no_rows
from taskinity_data.formats.csv.head import has_rows
from taskinity_data.formats.csv.sample import infer_columns
from taskinity_data.formats.schema import given_column

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.schema import Column
    from taskinity_data.sources.file import SourceFile

__all__ = ["find_types"]


def find_types(
    opened: Sequence[tuple[SourceFile, Head]],
    needed: Sequence[Hashable],
    given: Mapping[Hashable, Column],
    shown: Sequence[Hashable],
    options: CsvOptions,
    *,
    scan: bool,
) -> dict[Hashable, Column]:
    """The columns `needed` and `given`, by label.

    Parameters
    ----------
    opened : sequence of (SourceFile, Head)
    needed : sequence of labels
        All that is read.
    given : mapping of label to Column
        Those whose types were named.
    shown : sequence of labels
        Those that pandas would read, of which dates must be some.
    scan : bool
        Look at all values, however many there are.

    Raises
    ------
    PlanError
        A type that depends on the order of values, or dates that nothing can be known of.
    """
    named = [given[label] for label in needed if label in given]
    check_given(named, options.dtype_backend)
    given = {**given, **infer_categories(opened, named, options, scan=scan)}
    dates = date_labels(options.parse_dates, opened[0][1].labels)
    check_dates(dates, given, shown)
    inferred = [label for label in needed if label not in given and label not in dates]
    found = infer_columns(opened, inferred, options, scan=scan)
    if options.nrows == 0 and has_rows(*opened[0], options):
        # Of no rows of a file that has some pandas makes integers.
        none = {label: given_column(label, "int64") for label in found}
        found = none if options.dtype_backend is None else no_rows(found, options.dtype_backend)
    found |= infer_dates(opened, [one for one in needed if one in dates], options, scan=scan)
    return {**found, **given}
