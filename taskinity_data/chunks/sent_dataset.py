"""Pickle a dataset so that it outlives the process in which it was opened."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any

from taskinity_data.sources.temporary import is_leaving

if TYPE_CHECKING:
    from taskinity_data.chunks.cut import ChunkSize
    from taskinity_data.formats.reader import Reader

__all__ = ["reduce_dataset"]


def reduce_dataset(dataset: Any) -> tuple[Any, ...]:
    """Return how `dataset` is pickled: where it leaves, with rows that this process alone holds."""
    rows = dataset.reader.pack_rows() if is_leaving() else None
    if rows is None:
        return copyreg.__newobj__, (type(dataset),), dataset.__dict__  # type: ignore[attr-defined]
    return _receive, (type(dataset), rows, dataset.reader, dataset.chunk_size)


def _receive(kind: type, rows: bytes, reader: Reader, chunk_size: ChunkSize | None) -> Any:
    file, own_reader = reader.keep_rows(rows)
    return kind((file,), own_reader, chunk_size)
