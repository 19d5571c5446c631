"""Combine grains, as a reader streams them, into chunks of the size that is requested for each."""

from __future__ import annotations

import operator
import re
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.policy import parse_nbytes
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.formats.reader import Reader

__all__ = ["ChunkSize", "cut", "divide", "parse_chunk_size"]

MAX_RANGES = 256
"""The most files (or separate ranges) in one chunk: opening one costs about 0.1 ms."""

TINY_SHARE = 0.5
"""A last chunk below this share of the size is balanced with the chunk before it."""

UNEVEN_SHARE = 0.15
"""How far from the middle the last two chunks may be divided to avoid cutting a row group."""

_ROWS = re.compile(r"\s*([0-9][0-9_,]*)\s*rows?\s*", re.IGNORECASE)


class ChunkSize(NamedTuple):
    """The size of chunks: `target` many of `unit`, ``"bytes"`` (planned) or ``"rows"``.

    Groups of rows that are decoded as a whole are not cut up to `whole_nbytes`, whatever the
    target; 0 in sizes that the user chose.
    """

    target: int
    unit: str = "bytes"
    whole_nbytes: int = 0

    def __str__(self) -> str:
        return f"{self.target:,} {self.unit}"

    def measure(self, piece: Piece) -> int:
        """Return the size of `piece` in this unit."""
        if self.unit == "bytes":
            return piece.nbytes
        if piece.rows is None:
            raise PlanError(
                f"{piece.path}: chunks of {self} require row positions, which "
                "newlines_in_values=False does not find; leave it out, or give bytes, e.g. "
                'chunk_size="64MiB"'
            )
        return piece.rows


def parse_chunk_size(size: Any) -> ChunkSize | None:
    """Parse ``"auto"`` (None), bytes, ``"64MiB"`` or ``"100_000 rows"``.

    Raises
    ------
    PlanError
        It is something else, or not positive.

    Examples
    --------
    >>> print(parse_chunk_size("64MiB"), parse_chunk_size("100_000 rows"), sep=", ")
    67,108,864 bytes, 100,000 rows
    """
    if size is None or isinstance(size, ChunkSize):
        return size
    if isinstance(size, str):
        if size.strip().lower() == "auto":
            return None
        rows = _ROWS.fullmatch(size)
        if rows:
            count = int(re.sub("[_,]", "", rows.group(1)))
            if count > 0:
                return ChunkSize(count, "rows")
    elif not isinstance(size, bool) and hasattr(size, "__index__"):
        size = operator.index(size)
    try:
        return ChunkSize(parse_nbytes(size))
    except SettingsError as error:
        raise PlanError(
            f'chunk_size={size!r}: write "auto", bytes from 1 up (64_000_000, "64MiB"), or rows '
            '("100_000 rows")'
        ) from error


def cut(
    pieces: Iterable[Piece],
    reader: Reader,
    next_size: Callable[[], ChunkSize],
) -> Iterator[Chunk]:
    """Yield chunks of consecutive `pieces`, each of the size that `next_size` returns at its start.

    Parameters
    ----------
    pieces : iterable of Piece
        Consecutive grains of a dataset, as `Reader.grains` yields them.
    reader : Reader
    next_size : callable
        Called once for each chunk, one chunk ahead.

    Yields
    ------
    Chunk
        In bytes: the longest run of grains that is not larger than the size, and at least one
        grain. In rows: exactly as many, except in the last. Pieces counted in rows are cut at
        exactly that size, in even parts, unless they are groups that `ChunkSize.whole_nbytes`
        keeps whole; others between records, if they are larger than the size. A record is never
        cut.

    Notes
    -----
    A chunk is yielded when the next one is complete, so that a last one below half the size can be
    balanced with the one before.
    """
    cutter = _Cutter(reader, next_size)
    for piece in pieces:
        yield from cutter.add(piece)
    yield from cutter.finish()


class _Cutter:
    def __init__(self, reader: Reader, next_size: Callable[[], ChunkSize]) -> None:
        self._reader, self._next_size = reader, next_size
        self._size: ChunkSize | None = None
        self._previous: list[Piece] = []
        self._parts: list[Piece] = []
        self._measured = 0
        self._ranges = 0
        self._index = 0

    def add(self, piece: Piece) -> Iterator[Chunk]:
        if piece.failure is not None:
            # A chunk of its own, so that no other data fails with it.
            yield from self.finish()
            yield self._make([piece])
            self._previous, self._parts = [], []
            self._size, self._measured, self._ranges = None, 0, 0
            return
        todo = [piece]
        while todo:
            if self._size is None:
                self._size = self._next_size()
            size, piece = self._size, todo.pop()
            room = size.target - self._measured
            if self._ranges >= MAX_RANGES and not self._follows(piece):
                yield from self._close()
                todo.append(piece)
            elif size.measure(piece) <= room:
                self._take(piece, size)
            else:
                head, rest = self._divide_piece(piece, size, room)
                todo += reversed(rest)
                if head:
                    self._take(head, size)
                if head or len(rest) == 1:
                    yield from self._close()

    def _divide_piece(
        self, piece: Piece, size: ChunkSize, room: int
    ) -> tuple[Piece | None, list[Piece]]:
        """Divide `piece`, which is too large: return what ends this chunk, and the rest."""
        measured = size.measure(piece)
        if size.unit == "rows":
            return _split_rows(self._reader, piece, room, size.target) if room else (None, [piece])
        if self._reader.unit == "rows":
            if self._measured >= TINY_SHARE * size.target:
                return None, [piece]
            if _is_whole(self._reader, piece, size):
                return piece, []
            share = room if self._measured else measured / -(-measured // size.target)
            rows = max(1, int((piece.stop - piece.start) * share / measured))
            return _split_rows(self._reader, piece, rows)
        if measured > size.target and piece.rows != 1:
            finer = list(self._reader.recut(piece, max(1, size.target // 4)))
            if len(finer) > 1:
                return None, finer
        return (None, [piece]) if self._measured else (piece, [])

    def _follows(self, piece: Piece) -> bool:
        return bool(self._parts) and self._parts[-1].joined(piece) is not None

    def _take(self, piece: Piece, size: ChunkSize) -> None:
        if not self._follows(piece):
            self._ranges += 1
        self._parts.append(piece)
        self._measured += size.measure(piece)

    def _close(self) -> Iterator[Chunk]:
        if self._previous:
            yield self._make(self._previous)
        self._previous, self._parts = self._parts, []
        self._size, self._measured, self._ranges = None, 0, 0

    def finish(self) -> Iterator[Chunk]:
        size, parts = self._size, self._parts
        is_tiny = size is not None and self._measured < TINY_SHARE * size.target
        if parts and self._previous and is_tiny and size is not None:
            both = [*self._previous, *parts]
            if self._measured == 0:
                parts = []
                self._previous = both
            elif size.unit == "bytes":
                self._previous, parts = _halve(self._reader, both, size)
        if self._previous:
            yield self._make(self._previous)
        if parts:
            yield self._make(parts)

    def _make(self, parts: Sequence[Piece]) -> Chunk:
        self._index += 1
        return Chunk(self._reader, _join(parts), self._index - 1)


def _is_whole(reader: Reader, piece: Piece, size: ChunkSize) -> bool:
    """Return whether `piece` is a group, or small ones, that chunks of `size` do not cut."""
    return piece.nbytes <= size.whole_nbytes and reader.has_groups and reader.begins_anew(piece)


def divide(pieces: Sequence[Piece], reader: Reader, width: int) -> tuple[Chunk, ...]:
    """Return `width` chunks of about equal bytes, in order; some may hold only an empty piece.

    There are more if pieces have failures: each of these is a separate chunk.

    Parameters
    ----------
    pieces : sequence of Piece
        At least one.
    reader : Reader
    width : int
    """
    weights = [piece.nbytes for piece in pieces]
    if not any(weights):
        weights = [piece.rows or 0 for piece in pieces]
    total = sum(weights) or 1
    groups: list[list[Piece]] = [[] for _ in range(width)]
    for piece, weight, after in zip(pieces, weights, accumulate(weights), strict=True):
        middle = after - weight / 2
        groups[min(width - 1, int(middle * width / total))].append(piece)
    chunks: list[Chunk] = []
    last = pieces[0]
    position = (last.start, last.file)
    for group in groups:
        empty = Piece(position[1], position[0], position[0], 0, 0)
        for run in _isolate_failures(group) or [[empty]]:
            chunks.append(Chunk(reader, _join(run), len(chunks)))
        if group:
            position = (group[-1].stop, group[-1].file)
    return tuple(chunks)


def _isolate_failures(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return `pieces` as runs without failures, each piece with a failure as a separate run."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        if piece.failure is None and runs and runs[-1][-1].failure is None:
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return runs


def _join(parts: Sequence[Piece]) -> tuple[Piece, ...]:
    joined = [parts[0]]
    for part in parts[1:]:
        both = joined[-1].joined(part)
        if both is None:
            joined.append(part)
        else:
            joined[-1] = both
    return tuple(joined)


def _halve(
    reader: Reader, parts: Sequence[Piece], size: ChunkSize
) -> tuple[list[Piece], list[Piece]]:
    """Return `parts` as two runs of about equal bytes, cut within a part if possible."""
    sums = list(accumulate(part.nbytes for part in parts))
    middle = sums[-1] / 2
    split = min(range(len(parts)), key=lambda index: abs(sums[index] - middle))
    head_parts, tail_parts = list(parts[: split + 1]), list(parts[split + 1 :])
    if reader.unit == "rows" and abs(sums[split] - middle) > UNEVEN_SHARE * sums[-1]:
        split = next(split for split, after in enumerate(sums) if after >= middle)
        part = parts[split]
        if _is_whole(reader, part, size):
            return head_parts, tail_parts
        missing = middle - (sums[split] - part.nbytes)
        head, rest = _split_rows(
            reader, part, round((part.stop - part.start) * missing / part.nbytes)
        )
        head_parts = [*parts[:split], *([head] if head else [])]
        tail_parts = [*rest, *parts[split + 1 :]]
    return head_parts, tail_parts


def _split_rows(
    reader: Reader, piece: Piece, rows: int, then: int | None = None
) -> tuple[Piece | None, list[Piece]]:
    """Return the first `rows` rows of `piece`, and the remaining ones, if there are any.

    Text is divided into parts of `then` rows: finding its records again for each chunk would
    multiply the time by the number of chunks in a grain.
    """
    if rows <= 0:
        return None, [piece]
    if piece.rows is not None and rows >= piece.rows:
        return piece, []
    if reader.unit == "rows":
        # Whole bytes for a part of the rows; the remainder keeps the sum exact.
        span = piece.stop - piece.start
        nbytes = piece.nbytes * rows // span
        head = Piece(piece.file, piece.start, piece.start + rows, nbytes, rows)
        remaining = piece.nbytes - nbytes
        return head, [Piece(piece.file, head.stop, piece.stop, remaining, span - rows)]
    records = list(reader.recut(piece, 1))
    counts = list(accumulate(record.rows or 0 for record in records))
    begin, target = 0, rows
    parts: list[Piece] = []
    while begin < len(records):
        stop = min(bisect_left(counts, target), len(records) - 1) + 1 if target else len(records)
        parts += _join(records[begin:stop])
        begin, target = stop, target + then if then else 0
    return parts[0], parts[1:]
