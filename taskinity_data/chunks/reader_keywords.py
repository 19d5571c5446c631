"""The names and types of reader options, for editors and type checkers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

__all__ = ["DatasetKeywords", "ReaderKeywords"]


class ReaderKeywords(TypedDict, total=False):
    """The options of `open_dataset` that depend on the format: of CSV, JSON and Parquet."""

    # Of CSV: those of pandas.read_csv that can be honoured chunk by chunk.
    sep: str
    delimiter: str | None
    header: int | Sequence[int] | Literal["infer"] | None
    names: Sequence[Hashable] | None
    index_col: Hashable | Sequence[Hashable] | Literal[False] | None
    usecols: Sequence[Hashable] | Callable[[Hashable], bool] | None
    dtype: Any
    engine: Literal["c"] | None
    true_values: Sequence[str] | None
    false_values: Sequence[str] | None
    skipinitialspace: bool
    skiprows: int | Sequence[int] | Callable[[int], bool] | None
    nrows: int | None
    na_values: Any
    keep_default_na: bool
    na_filter: bool
    skip_blank_lines: bool
    parse_dates: bool | Sequence[Hashable] | None
    dayfirst: bool
    date_format: str | Mapping[Hashable, str] | None
    cache_dates: bool
    thousands: str | None
    decimal: str
    quotechar: str | None
    quoting: int
    doublequote: bool
    escapechar: str | None
    comment: str | None
    encoding: str | None
    encoding_errors: str | None
    dialect: Any
    on_bad_lines: Literal["error", "skip", "warn", "quarantine"]
    low_memory: bool
    memory_map: bool
    float_precision: Literal["round_trip"] | None
    dtype_backend: Literal["numpy_nullable", "pyarrow"]
    newlines_in_values: bool
    # Of CSV and JSON.
    compression: str | Mapping[str, Any] | None
    # Of Parquet: those of pyarrow.parquet.read_table that decide on types.
    arrow_extensions_enabled: bool
    binary_type: Any
    coerce_int96_timestamp_unit: str | None
    list_type: Any
    read_dictionary: Sequence[str] | str | None


class DatasetKeywords(ReaderKeywords, total=False):
    """The options of `open_dataset` that are not those of a run, too."""

    format: str | None
    columns: Sequence[str] | None
    filters: Any
    schema: Any
