"""Whether a source holds rows rather than naming files."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pyarrow as pa

__all__ = [
    "is_dask",
    "is_in_memory",
]


def is_in_memory(source: Any) -> bool:
    """Return whether `source` holds rows rather than naming files."""
    polars = sys.modules.get("polars")
    kinds = [pd.DataFrame, pd.Series, pa.Table, pa.RecordBatch, pa.RecordBatchReader]
    kinds += [polars.DataFrame, polars.LazyFrame, polars.Series] if polars else []
    return issubclass(type(source), tuple(kinds))


def is_dask(source: Any) -> bool:
    """Return whether it is a Dask DataFrame, without loading Dask."""
    return hasattr(source, "npartitions") and hasattr(source, "partitions")
