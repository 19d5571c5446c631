"""The reader options of Parquet: those of pyarrow that say as which types values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PARQUET_OPTIONS", "ParquetOptions", "parse_parquet_options", "pass_on"]

PARQUET_OPTIONS = (
    "arrow_extensions_enabled",
    "binary_type",
    "coerce_int96_timestamp_unit",
    "list_type",
    "read_dictionary",
)

ParquetOptions = tuple[tuple[str, Any], ...]
"""Names and values, sorted by name; values hashable."""


def parse_parquet_options(options: Mapping[str, Any]) -> ParquetOptions:
    """Return `options` that have a value, so that they can be compared and sent.

    Raises
    ------
    PlanError
        One that is not in `PARQUET_OPTIONS`.
    """
    specified = {name: value for name, value in options.items() if value is not None}
    for name, value in specified.items():
        if name not in PARQUET_OPTIONS:
            close = suggest(name, (*PARQUET_OPTIONS, "chunk_size", "columns", "filters"))
            raise PlanError(f"{name}={value!r} is not an option for Parquet; leave it out.{close}")
    if isinstance(specified.get("read_dictionary"), str):
        raise PlanError('read_dictionary: give a list of columns, e.g. read_dictionary=["carrier"]')
    return tuple(
        (name, tuple(value) if name == "read_dictionary" else value)
        for name, value in sorted(specified.items())
    )


def pass_on(options: ParquetOptions) -> dict[str, Any]:
    """Return `options` as `pyarrow.parquet.ParquetFile` takes them."""
    return {name: list(value) if name == "read_dictionary" else value for name, value in options}
