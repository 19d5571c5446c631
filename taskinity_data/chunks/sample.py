"""Measure a dataset by its first pieces: bytes in memory, and bytes of a group of rows."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from taskinity_data.data_kinds import kind_of
from taskinity_data.errors import ReadError
from taskinity_data.formats.sampling import MAX_SAMPLE_NBYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import Piece

__all__ = ["SAMPLE_NBYTES", "enough_nbytes", "mean_group_nbytes", "measure_expansion"]

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
