"""Make the items of a fan-out: of chunks, of the values of a list, of what an iterator brings."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from taskinity_data.execution.worker.job import Item
from taskinity_data.formats.stream import count_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from taskinity_data.chunks.chunk import Chunk

__all__ = ["chunk_items", "list_items", "same_items", "stream_items"]


def chunk_items(chunks: Iterable[Chunk]) -> Iterator[Item]:
    """Yield an item for each chunk, in order; closing it closes `chunks`."""
    try:
        for position, chunk in enumerate(chunks):
            yield Item(key=chunk.key, data=chunk, position=position)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def list_items(values: Sequence[Any], width: int | None) -> Iterator[Item]:
    """Yield an item for each value, or for each of `width` slices of nearly equal length."""
    if width is None:
        pieces: list[Any] = list(values)
    else:
        ends = [len(values) * number // width for number in range(width + 1)]
        pieces = [list(values[a:b]) for a, b in pairwise(ends)]
    for item in same_items(pieces):
        yield item if width is None else replace(item, counted_rows=_count_all(item.data))


def _count_all(values: Sequence[Any]) -> int | None:
    counts = [count_rows(value) for value in values]
    return None if None in counts else sum(count for count in counts if count is not None)


def same_items(pieces: Sequence[Any]) -> Iterator[Item]:
    """Yield an item for each of `pieces` as it is, named by its position."""
    for position, value in enumerate(pieces):
        key = blake2b(f"item {position} of {len(pieces)}".encode(), digest_size=16).hexdigest()
        yield Item(key=key, data=value, position=position, counted_rows=count_rows(value))


def stream_items(parts: Iterable[Any]) -> Iterator[Item]:
    """Yield an item for each of `parts`, none taken before it is needed."""
    for position, value in enumerate(parts):
        key = blake2b(f"item {position} of a stream".encode(), digest_size=16).hexdigest()
        yield Item(key=key, data=value, position=position, counted_rows=count_rows(value))
