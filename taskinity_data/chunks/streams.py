"""Frames and tables that come one after another, from an iterator, while the run goes.

It knows nothing of who asks for the next one; nothing is taken before it is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa

from taskinity_data.chunks.chunk import ReadResult
from taskinity_data.chunks.frames import deliver
from taskinity_data.chunks.memory_tables import is_in_memory, to_table
from taskinity_data.errors import PlanError, ReadError

__all__ = ["Block", "is_stream", "iter_blocks"]


def is_stream(source: Any) -> bool:
    """Whether `source` gives frames one after another: an iterator, or a Dask DataFrame."""
    if isinstance(source, io.IOBase):
        return False
    return isinstance(source, (Iterator, pa.RecordBatchReader)) or _is_dask(source)


@dataclass(frozen=True, slots=True)
class Block:
    """A frame or table of a stream, or the description of one (a partition of a Dask DataFrame)."""

    data: Any

    def load(self, as_: str) -> ReadResult:
        """Its rows as a kind, with an index from 0, a named index as columns.

        Parameters
        ----------
        as_ : {"pandas", "arrow", "polars", "native"}
            ``"native"``: as it came.

        Raises
        ------
        PlanError
            Another kind.
        """
        data = self.data.compute(scheduler="synchronous") if _is_dask(self.data) else self.data
        if as_ == "chunk":
            raise PlanError(
                "a function that takes a Chunk reads files; of an iterator of frames it gets each "
                "as DataFrame, Table or polars.DataFrame, by its annotation"
            )
        rows = data.num_rows if isinstance(data, (pa.Table, pa.RecordBatch)) else len(data)
        if as_ == "native" and not isinstance(data, pa.RecordBatch):
            return ReadResult(data, rows, 0)
        table, frame = to_table(data)
        if as_ == "pandas" and frame is not None:
            # Of the same memory until it is written to: a retry is to see it as it came.
            return ReadResult(frame.copy(deep=False), rows, 0)
        return ReadResult(deliver(table, "arrow" if as_ == "native" else as_), rows, 0)


def iter_blocks(stream: Any) -> Iterator[Any]:
    """What `stream` gives, each frame or table as a `Block`, when it is asked for.

    Raises
    ------
    ReadError
        The iterator raised.
    """
    parts = iter(stream.partitions) if _is_dask(stream) else iter(stream)
    count = 0
    while True:
        try:
            part = next(parts)
        except StopIteration:
            return
        except Exception as error:
            raise ReadError(
                f"source: the iterator raised {type(error).__name__} after {count} frames: {error}"
            ) from error
        count += 1
        is_table = (is_in_memory(part) and not isinstance(part, pd.Series)) or _is_dask(part)
        yield Block(part) if is_table else part


def _is_dask(source: Any) -> bool:
    """Whether it is a Dask DataFrame, told without loading Dask."""
    return hasattr(source, "npartitions") and hasattr(source, "partitions")
