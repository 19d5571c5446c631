"""Columns of categories that the values of the whole file give: which these are, and texts as such.

pandas takes them from all values of a column, so they are known only where all were looked at.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.columns import to_frame
from taskinity_data.formats.csv.pandas_parser import parse_column
from taskinity_data.formats.csv.records.texts import nbytes_of
from taskinity_data.formats.csv.sample import iter_texts
from taskinity_data.formats.reader import Misfit
from taskinity_data.formats.sampling import SCAN_NBYTES, plan_slices
from taskinity_data.formats.schema import Column, dtype_of_kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from taskinity_data.formats.csv.head import Head
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.sources.file import SourceFile

__all__ = ["CategoryColumn", "infer_categories", "with_categories"]

# They travel with every chunk; more are an identifier rather than a category.
MAX_CATEGORIES = 100_000


@dataclass(frozen=True, slots=True)
class CategoryColumn(Column):
    """A column of categories; its `kind` is that of the texts which it is read from.

    Attributes
    ----------
    codes : dict of text to int
        The category of each text of the file: `1` and `1.0` may be one.
    digest : str
        Of the categories and `codes`.
    """

    codes: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""

    @property
    def details(self) -> str:
        """The digest, since each chunk's key asks for it."""
        return self.digest

    @property
    def is_made_of_texts(self) -> bool:
        """True."""
        return True

    @property
    def needs_pandas(self) -> bool:
        """True."""
        return True

    @property
    def arrow_type(self) -> Any:
        """A dictionary of the type of its categories."""
        categories = self.dtype.categories
        values = pa.large_string() if are_texts(categories) else pa.array(categories).type
        return pa.dictionary(pa.int32(), values, ordered=bool(self.dtype.ordered))


def are_texts(categories: pd.Index) -> bool:
    return len(categories) == 0 or bool(pd.api.types.is_string_dtype(categories.dtype))


def is_open(column: Column) -> bool:
    """Return whether it depends on the whole file which text is which category of `column`."""
    dtype = column.dtype
    if not isinstance(dtype, pd.CategoricalDtype) or isinstance(column, CategoryColumn):
        return False
    return dtype.categories is None or not pd.api.types.is_string_dtype(dtype.categories.dtype)


def infer_categories(
    files: Sequence[tuple[SourceFile, Head]],
    columns: Sequence[Column],
    options: CsvOptions,
    *,
    scan: bool,
) -> dict[Hashable, Column]:
    """Return those of `columns` whose categories are not named, with those that the files have.

    Raises
    ------
    PlanError
        Not all of the files is looked at, or there are too many categories.

    Notes
    -----
    One more look at the files, as texts. What pandas makes of the distinct ones, in their order, is
    what it makes of all: it finds the distinct texts first, and infers a type from those.
    """
    unsettled = [column for column in columns if is_open(column)]
    if not unsettled:
        return {}
    if not plan_slices(nbytes_of(files), len(files), scan=scan).is_whole:
        raise PlanError(
            f"column {unsettled[0].label!r}: dtype='category' takes its categories from the whole "
            f"file, but at most {SCAN_NBYTES // 1_000_000} MB are read before a run; give "
            "schema='scan' to read all of it, name the categories, pandas.CategoricalDtype(['a', "
            "'b']), or read 'str'"
        )
    texts: dict[Hashable, dict[str, None]] = {column.label: {} for column in unsettled}
    for frame, _ in iter_texts(files, options, scan=scan):
        for label, distinct in texts.items():
            distinct |= dict.fromkeys(frame[label].dropna().unique())
            if len(distinct) > MAX_CATEGORIES:
                raise PlanError(
                    f"column {label!r}: dtype='category', but it has more than "
                    f"{MAX_CATEGORIES:,} different values; read 'str'"
                )
    return {
        column.label: settle(column, list(texts[column.label]), options) for column in unsettled
    }


def settle(column: Column, texts: Sequence[str], options: CsvOptions) -> CategoryColumn:
    """Return the column of the categories that pandas makes of `texts`."""
    values = parse_categories(texts, column.dtype, options)
    codes = dict(zip(texts, values.codes.tolist(), strict=True))
    description = repr((list(values.categories), codes))
    result = CategoryColumn(
        column.label,
        "str",
        values.dtype,
        is_given=True,
        is_proven=True,
        codes=codes,
        digest=blake2b(description.encode(), digest_size=16).hexdigest(),
    )
    try:
        _ = result.arrow_type
    except (pa.ArrowException, OverflowError) as error:
        raise PlanError(
            f"column {column.label!r}: dtype='category' makes categories that Arrow can't hold "
            f"({error}); read 'str'"
        ) from error
    return result


def parse_categories(texts: Sequence[str], dtype: Any, options: CsvOptions) -> Any:
    """Return `texts` as an array of categories, as pandas reads them."""
    if not texts:
        none: Any = pd.Series([], dtype=object).astype(dtype).array
        return none
    names = ("true_values", "false_values", "decimal", "thousands")
    with warnings.catch_warnings():
        # Values that are not among the given categories warn here; reading reports them.
        warnings.simplefilter("ignore")
        return parse_column(texts, options, names, dtype=dtype, na_filter=False).array


def with_categories(
    part: pd.DataFrame | pa.Table, columns: Sequence[Column]
) -> pd.DataFrame | pa.Table:
    """Return `part` with the categories among `columns` made from their texts.

    Raises
    ------
    Misfit
        A string was not there when the categories were found, or is not a given category.
    """
    categories = [column for column in columns if isinstance(column, CategoryColumn)]
    if categories and isinstance(part, pa.Table):
        # Arrow has no category of every type.
        plain = [
            column.as_text() if isinstance(column, CategoryColumn) else column for column in columns
        ]
        part = to_frame(part, plain)
    for column in categories:
        part[column.label] = convert(part[column.label], column)
    return part


def convert(texts: pd.Series, column: CategoryColumn) -> pd.Series:
    index = pd.Index(list(column.codes), dtype=dtype_of_kind("str"))
    # The last one is for what is not among them.
    codes = np.array([*column.codes.values(), -1], dtype=np.int64)[index.get_indexer(texts)]
    lost = (codes < 0) & texts.notna().to_numpy()
    if lost.any():
        row = int(lost.argmax())
        raise Misfit(column, row, texts.iloc[row], "str", "is not one of the categories")
    return pd.Series(pd.Categorical.from_codes(codes, dtype=column.dtype), index=texts.index)
