"""What of files is looked at before they are cut: for a schema, and for their size in memory."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReadError
from taskinity_data.machine import count_cores
from taskinity_data.sources.read import read_ahead
from taskinity_data.sources.row_cache import GRAIN_NBYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import Piece

__all__ = [
    "MAX_SAMPLE_NBYTES",
    "SAMPLE_NBYTES",
    "SCAN_NBYTES",
    "Slices",
    "enough_nbytes",
    "find_ranges",
    "map_ahead",
    "mean_group_nbytes",
    "measure_expansion",
    "plan_slices",
    "spread",
]

T = TypeVar("T")
R = TypeVar("R")

SCAN_NBYTES = 64_000_000
"""Up to this all text is read for the schema.

pandas parses and infers about 100 MB/s a core (flights: 90, numbers and short texts: 160), so that
two cores read it in under half a second. A size, not a stopwatch: the schema is part of a chunk's
identity and must not change because the machine was busy.
"""

SLICE_NBYTES, MIN_SLICE_NBYTES = 256_000, 32_000
"""Of a larger file head, middle and tail are read. pandas takes 2.5 ms for each."""

ALL_SLICES_NBYTES = 32_000_000
"""What is read of all files, where not all is read: with more than 40 files their slices are
smaller. 108 files of 2.8 MB had samples of 83 MB, more than what is read whole."""

MAX_FILES = 300
"""So many of the files are looked into, where not all is read."""

SCAN_SLICE_NBYTES, MIN_SCAN_SLICE_NBYTES = 8_000_000, 1_000_000
"""What is read whole comes in four slices or more, so that two threads have as much to do; a column
costs 50 µs a slice. By its size alone: the schema must not depend on the machine."""

MAX_SAMPLE_NBYTES = 64_000_000
"""Longer records are no sample: an open quote or bracket makes such, which reading reports."""


class Slices(NamedTuple):
    """What is looked at: slices of `nbytes`, of all or (head, middle and tail) of each file."""

    nbytes: int
    is_whole: bool


class RecordRange(Protocol):
    """Whole records, from byte `start` to `stop`; their number, None if it is unknown."""

    @property
    def start(self) -> int: ...
    @property
    def stop(self) -> int: ...
    @property
    def rows(self) -> int | None: ...


class ByteRange(NamedTuple):
    """A `RecordRange` of which the rows are not counted."""

    start: int
    stop: int
    rows: int | None = None


def find_ranges(
    start: int,
    stop: int,
    cut: Callable[[int], Iterable[RecordRange]],
    trim: Callable[[int, int], tuple[int, int] | None] | None,
    slices: Slices,
    *,
    in_grains: bool = False,
) -> Iterator[Sequence[RecordRange]]:
    """Yield the ranges of a file to look at, from its byte `start` to `stop`.

    Each comes in one part or several: if all is read, in the grains that a run has, always if
    `in_grains`, else if they were cut anyway.

    Parameters
    ----------
    start, stop : int
    cut : callable of nbytes
        All records of the file in ranges of about so many bytes.
    trim : callable of start and stop, or None
        The whole records within a range, None if it can't tell which these are. None: it never
        can, so that only the file's head is looked at.
    slices : Slices
        From `plan_slices`.
    in_grains : bool
    """
    nbytes = slices.nbytes
    is_one = stop <= start + (nbytes if slices.is_whole else 3 * nbytes)
    if is_one and not (slices.is_whole and in_grains):
        # There is nothing to cut.
        if start < stop:
            yield [ByteRange(start, stop)]
        return
    if slices.is_whole:
        for grains in join_grains(cut(min(GRAIN_NBYTES, nbytes)), nbytes):
            if grains[-1].stop - grains[0].start <= MAX_SAMPLE_NBYTES:
                yield grains
        return
    for head in islice(cut(nbytes), 1):
        if head.stop - head.start <= MAX_SAMPLE_NBYTES:
            yield [head]
    if trim is not None:
        middle, tail = (start + stop) // 2, stop - nbytes
        for records in map(trim, (middle, tail), (middle + nbytes, stop)):
            if records is not None:
                yield [ByteRange(*records)]


def join_grains(grains: Iterable[RecordRange], nbytes: int) -> Iterator[list[RecordRange]]:
    """Yield the fewest consecutive `grains` that have at least `nbytes`."""
    some: list[RecordRange] = []
    for grain in grains:
        some.append(grain)
        if grain.stop - some[0].start >= nbytes:
            yield some
            some = []
    if some:
        yield some


def plan_slices(nbytes: int, files: int, *, scan: bool, are_short: bool = False) -> Slices:
    """Return what is looked at of `files` of `nbytes` together; with `scan` all, whatever it is.

    Slices of all `are_short` where a slice costs little more than reading its bytes.

    Examples
    --------
    >>> plan_slices(3_000_000, 1, scan=False), plan_slices(300_000_000, 108, scan=False)
    (Slices(nbytes=1000000, is_whole=True), Slices(nbytes=98765, is_whole=False))
    """
    if scan or nbytes <= SCAN_NBYTES:
        fourth = 0 if are_short else -(-nbytes // 4)
        return Slices(min(SCAN_SLICE_NBYTES, max(MIN_SCAN_SLICE_NBYTES, fourth)), is_whole=True)
    share = ALL_SLICES_NBYTES // (3 * min(files, MAX_FILES))
    return Slices(min(SLICE_NBYTES, max(MIN_SLICE_NBYTES, share)), is_whole=False)


def spread(items: Sequence[T]) -> list[T]:
    """Return at most `MAX_FILES` of `items`, the first and the last among them."""
    if len(items) <= MAX_FILES:
        return list(items)
    step = (len(items) - 1) / (MAX_FILES - 1)
    return [items[round(index * step)] for index in range(MAX_FILES)]


def map_ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield ``map(function, items)`` in threads, in order, few items ahead to bound memory."""
    cores = count_cores()
    return read_ahead(items, lambda item: (function(item),), threads=cores, depth=1, queued=cores)


SAMPLE_NBYTES = 1 << 20
"""Planned bytes that are read to measure their size in memory: 10 to 30 ms of CSV."""

SAMPLE_SHARE, MIN_SAMPLE_NBYTES = 8, 64 << 10
"""For small data a share of it, since reading it twice would take longer than it saves; with fewer
bytes the 132 of an empty frame would count."""

SAMPLE_PIECES = 32
"""The most pieces that are read for it: a megabyte in files of 2 kB took a second to read."""


def enough_nbytes(total_nbytes: int) -> int:
    """Return the planned bytes to sample of data of `total_nbytes`."""
    return min(SAMPLE_NBYTES, max(MIN_SAMPLE_NBYTES, total_nbytes // SAMPLE_SHARE))


def measure_expansion(reader: Reader, grains: Iterable[Piece], enough: int) -> float:
    """Return bytes in memory, as a pandas frame, per planned byte, computed from types or measured.

    Parameters
    ----------
    reader : Reader
    grains : iterable of Piece
        Those that can't be read are left out: the run reports them.
    enough : int
        Planned bytes after which no more are taken.
    """
    planned = used = pieces = 0
    for piece in grains:
        if piece.failure is not None:
            continue
        if reader.unit == "bytes" and piece.nbytes > MAX_SAMPLE_NBYTES:
            continue
        try:
            used += _measure(reader, piece)
        except ReadError:
            continue
        planned += piece.nbytes
        pieces += 1
        if planned >= enough or pieces == SAMPLE_PIECES:
            break
    return max(used / planned, 1e-3) if planned else 1.0


def _measure(reader: Reader, piece: Piece) -> int:
    """Return the bytes of `piece` as a pandas frame."""
    cached = [] if reader.row_cache is None else reader.row_cache.find([piece])
    if cached:
        names = set(reader.schema.names)
        tables = [part.rows for part in cached]
        return sum(int(x[name].nbytes) for x in tables for name in names & set(x.schema.names))
    nbytes = reader.frame_nbytes(piece)
    if nbytes is not None:
        return nbytes
    as_ = "native" if reader.reads_native and not reader.needs_pandas else "pandas"
    data = reader.read([piece], as_).data
    is_table = kind_of(data) == "arrow"
    return int(data.nbytes if is_table else data.memory_usage(deep=True).sum())


def mean_group_nbytes(grains: Iterable[Piece]) -> int:
    """Return the mean bytes of the first groups that the filter does not rule out, 0 without."""
    sizes = [piece.nbytes for piece in islice(grains, SAMPLE_PIECES) if piece.nbytes]
    return sum(sizes) // len(sizes) if sizes else 0
