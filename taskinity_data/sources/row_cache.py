"""Cache the rows that were parsed for a schema, for a run in this process."""

from __future__ import annotations

from itertools import accumulate
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    import pyarrow as pa

    from taskinity_data.sources.file import Piece

__all__ = ["GRAIN_NBYTES", "CachedRows", "RowCache"]

GRAIN_NBYTES = 256 << 10
"""Text between possible cuts while sizes may still change: a grain costs 5 µs, so 20 µs a MB."""

MAX_CACHED_NBYTES = 128_000_000
"""Memory of what is held between opening a dataset and the chunks of its run."""


class RowCache:
    """Rows that were parsed for the schema, for the run that follows in this process.

    They can be taken once. What is not there (it was taken, exceeds `MAX_CACHED_NBYTES`, or this is
    another process, since copies are empty) is read from the file.

    Parameters
    ----------
    labels : sequence
        The columns that are held.
    """

    def __init__(self, labels: Sequence[Hashable] = ()) -> None:
        self.labels = tuple(labels)
        self._lock = Lock()
        self._room = MAX_CACHED_NBYTES
        self._grains: dict[tuple[str, int], CachedRows] = {}

    def __reduce__(self) -> tuple[type[RowCache], tuple[()]]:
        return RowCache, ()

    def add(self, table: pa.Table, grains: Sequence[Piece]) -> None:
        """Hold `table`, the rows of `grains`, unless there is no room for it."""
        rows = [grain.rows or 0 for grain in grains]
        if sum(rows) != table.num_rows:
            return
        with self._lock:
            if table.nbytes > self._room:
                return
            self._room -= table.nbytes
            for grain, count, stop in zip(grains, rows, accumulate(rows), strict=True):
                entry = CachedRows(grain, table, stop - count, stop)
                self._grains[grain.path, grain.start] = entry

    def find(self, pieces: Sequence[Piece]) -> list[CachedRows]:
        """Return the grains that make up `pieces`, none where one is missing."""
        grains: list[CachedRows] = []
        for piece in pieces:
            start = piece.start
            while start < piece.stop:
                grain = self._grains.get((piece.path, start))
                if grain is None or grain.piece.stop > piece.stop:
                    return []
                grains.append(grain)
                start = grain.piece.stop
        return grains

    def take(self, pieces: Sequence[Piece]) -> list[CachedRows]:
        """Return what `find` does, grains that follow one another as one, and forget it."""
        with self._lock:
            grains = self.find(pieces)
            for grain in grains:
                # A file that is named twice may be there twice.
                self._grains.pop((grain.piece.path, grain.piece.start), None)
        joined: list[CachedRows] = []
        for grain in grains:
            if joined and joined[-1].table is grain.table and joined[-1].stop == grain.start:
                grain = joined.pop()._replace(stop=grain.stop)
            joined.append(grain)
        return joined

    def clear(self) -> None:
        """Drop all that was not taken."""
        with self._lock:
            self._grains.clear()


class CachedRows(NamedTuple):
    """A piece that can be a part of chunks, and the rows of a table that are its own."""

    piece: Piece
    table: pa.Table
    start: int
    stop: int

    @property
    def rows(self) -> pa.Table:
        """Its rows alone."""
        return self.table.slice(self.start, self.stop - self.start)

    def select(self, fields: pa.Schema, strict: Iterable[str]) -> pa.Table | None:
        """Return its rows with `fields` alone.

        None if one is not there or has another type, or one of `strict` has nulls.
        """
        if not set(fields.names) <= set(self.table.schema.names):
            return None
        table = self.rows.select(fields.names)
        if table.schema != fields or any(table[name].null_count for name in strict):
            return None
        return table
