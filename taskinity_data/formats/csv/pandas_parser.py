"""A piece of CSV by pandas' own parser, and what is looked at again where a value is suspicious."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from taskinity_data.reducers.cached_property import cached_property

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.schema import Column

__all__ = ["PieceParser", "TooManyFields", "count_fields", "parse_column", "parse_text"]


class TooManyFields(ValueError):  # noqa: N818 - it becomes a ReadError where the file is known
    """The first row has more fields than there are columns."""


class AllAtOnce:
    """UTF-8 that pandas reads at once: at the ends of its buffers of 256 KiB it loses blanks."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, _size: int = -1) -> bytes:
        """Return all bytes the first time, then none."""
        data, self._data = self._data, b""
        return data

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over nothing: pandas takes only what has this for a file."""
        return iter(())


def parse_text(
    data: bytes, labels: Sequence[Hashable], options: CsvOptions, **keywords: Any
) -> pd.DataFrame:
    """Return the records in `data`, UTF-8 without a header, by `pandas.read_csv`.

    Raises
    ------
    TooManyFields
        In the first row, where pandas alone would make an index of them.
    pandas.errors.ParserError
        In another row, or a quote that is not closed.
    """
    skipped = int(data.startswith(BOM_UTF8))
    if skipped:
        # Here it is data: pandas drops a mark at the start of a file only.
        data = b"\n" + data
    keywords = {**options.for_pandas(), "skiprows": skipped, **keywords}
    if options.dtype_backend is not None:
        keywords["dtype_backend"] = options.dtype_backend
    text: Any = AllAtOnce(data)
    frame: pd.DataFrame = pd.read_csv(text, header=None, names=list(labels), **keywords)
    may_be_wide = len(frame) > 0 and not has_narrow_start(data, len(labels), options)
    if may_be_wide and (count_fields(data, options, skiprows=skipped) or 0) > len(labels):
        raise TooManyFields
    return frame


def has_narrow_start(data: bytes, width: int, options: CsvOptions) -> bool:
    """Return whether the first line is a record and can't have more than `width` fields.

    It spares a parse of the first record, where nothing in it needs one.
    """
    dialect = options.dialect
    start = len(BOM_UTF8) + 1 if data.startswith(b"\n" + BOM_UTF8) else 0
    feed, back = data.find(b"\n", start), data.find(b"\r", start)
    line = data[start : min((end for end in (feed, back) if end >= 0), default=len(data))]
    marks = (dialect.quote_byte, dialect.escape_byte, dialect.comment_byte)
    is_plain = bool(line.strip()) and not any(mark is not None and mark in line for mark in marks)
    return is_plain and sum(map(line.count, dialect.sep_bytes)) < width


def count_fields(data: bytes, options: CsvOptions, *, skiprows: int = 0) -> int | None:
    """Return how many fields the first record in `data` (UTF-8) has, None if it does not parse.

    A blank line has none.

    The index does not tell: of extra fields that count evenly pandas makes the same `RangeIndex`
    that rows without any have.
    """
    keywords = {**options.for_pandas(), "skiprows": skiprows}
    try:
        first = pd.read_csv(io.BytesIO(data), header=None, nrows=1, dtype=str, **keywords)
    except pd.errors.EmptyDataError:
        return 0
    except ValueError:
        return None
    return int(first.shape[1])


def parse_column(
    texts: Iterable[str], options: CsvOptions, names: Collection[str], **keywords: Any
) -> pd.Series:
    """Return what `pandas.read_csv` makes of a column of `texts`, by those of `options` alone."""
    data = io.StringIO()
    csv.writer(data, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
    data.seek(0)
    chosen = {name: value for name, value in options.per_chunk.items() if name in names}
    values: pd.Series = pd.read_csv(data, header=None, low_memory=False, **chosen, **keywords)[0]
    return values


@dataclass(repr=False, eq=False)
class PieceParser:
    """The text of a piece, and what pandas makes of it with other dtypes, each parsed once."""

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
        """Whether the data may have an integer -0."""
        decimal = re.escape(self.options.per_chunk.get("decimal", ".").encode())
        pattern = rb"-(?<![0-9A-Za-z]-)[^0-9]?0+(?![0-9eE%b])" % decimal
        return re.search(pattern, self.data) is not None

    @cached_property
    def all_floats(self) -> pd.DataFrame:
        """The columns of floats as those, however their values are written here."""
        dtype: dict[Hashable, Any] = dict.fromkeys(self.labels, str)
        for column in self.columns:
            if column.kind == "float64":
                dtype[column.label] = np.float64
        return parse_text(self.data, self.labels, self.options, dtype=dtype)

    def texts(self, column: Column) -> pd.Series:
        values: pd.Series = self.all_texts[column.label]
        return values
