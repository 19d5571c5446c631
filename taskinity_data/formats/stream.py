"""Frames and tables that come one after another, from an iterator, while the run goes.

Nothing is taken from the iterator before it is needed.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import pandas as pd
import pyarrow as pa

from taskinity_data.data_kinds import is_dask, is_in_memory
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.formats.reader import ReadResult
from taskinity_data.wording import format_count

__all__ = [
    "StreamBlock",
    "count_rows",
    "is_stream",
    "iter_blocks",
    "listed_paths",
]


def is_stream(source: Any) -> bool:
    """Return whether `source` gives frames one after another: an iterator, or a Dask DataFrame."""
    if isinstance(source, io.IOBase):
        return False
    return isinstance(source, (Iterator, pa.RecordBatchReader)) or is_dask(source)


def listed_paths(source: Any) -> Any:
    """Return the list of the paths that the iterator `source` yields, else an equal of `source`.

    The first that it gives tells: an iterator of paths means the files, as a list of them does.

    Raises
    ------
    PlanError
        A reader of the module csv, whose rows are not frames.
    """
    if isinstance(source, pa.RecordBatchReader) or is_dask(source) or not is_stream(source):
        return source
    if type(source).__module__ == "_csv":
        raise PlanError(
            "source: a csv.reader yields lists of strings, not frames or paths; give the path of "
            "its file"
        )
    try:
        first = next(source)
    except StopIteration:
        return iter(())
    except Exception as error:  # noqa: BLE001 - raised where the run takes it
        return _raises(error)
    every = chain([first], source)
    return list(every) if isinstance(first, str | os.PathLike) else every


def _raises(error: Exception) -> Iterator[Any]:
    raise error
    yield


class StreamBlock:
    """A frame or table of a stream, or the description of one (a partition of a Dask DataFrame)."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __repr__(self) -> str:
        rows = count_rows(self)
        return f"a {type(self.data).__name__}" + (
            "" if rows is None else f" of {format_count(rows, 'row')}"
        )

    def load(self, as_: str) -> ReadResult:
        """Return its rows as a kind, with an index from 0, a named index as columns.

        Parameters
        ----------
        as_ : {"pandas", "arrow", "polars", "native"}
            ``"native"``: as it came.

        Raises
        ------
        PlanError
            Another kind.
        """
        data = self.data.compute(scheduler="synchronous") if is_dask(self.data) else self.data
        if as_ == "chunk":
            raise PlanError(
                "a function that takes a Chunk reads files; for an iterator of frames, annotate it "
                "with DataFrame, Table or polars.DataFrame"
            )
        rows = data.shape[0]
        if as_ == "native" and not isinstance(data, pa.RecordBatch):
            return ReadResult(data, rows, 0)
        from taskinity_data.formats.deliver import deliver
        from taskinity_data.formats.frame_tables import to_table

        table, frame = to_table(data)
        if as_ == "pandas" and frame is not None:
            # Copies on write: a retry must see the frame unchanged.
            return ReadResult(frame.copy(deep=False), rows, 0)
        return ReadResult(deliver(table, "arrow" if as_ == "native" else as_), rows, 0)


def count_rows(item: Any) -> int | None:
    """Return how many rows `item` has: those of a frame or table, 1 of any other value.

    None for a partition of a Dask DataFrame, whose rows nobody knows before it is computed.
    """
    data = item.data if type(item) is StreamBlock else item
    if is_dask(data):
        return None
    shape = getattr(data, "shape", None)
    is_table = type(shape) is tuple and len(shape) == 2 and is_in_memory(data)
    return int(data.shape[0]) if is_table else 1


def iter_blocks(stream: Any) -> Iterator[Any]:
    """Yield what `stream` gives, each frame or table as a `StreamBlock`, when it is needed.

    What waits is safe from an iterator that changes the frame that it gave, and gives it again.

    Raises
    ------
    ReadError
        The iterator raised.
    """
    parts = iter(stream.partitions) if is_dask(stream) else iter(stream)
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
        is_table = (is_in_memory(part) and not isinstance(part, pd.Series)) or is_dask(part)
        yield StreamBlock(_copy(part)) if is_table else part


def _copy(part: Any) -> Any:
    """Return `part` with values that its producer can't change; Arrow's never change."""
    if isinstance(part, pd.DataFrame):
        return part.copy()
    polars = sys.modules.get("polars")
    return part.clone() if polars and isinstance(part, polars.DataFrame) else part
