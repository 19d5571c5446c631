"""What a plan is made for: workers, memory, records that fit, and a range that a report names."""

from __future__ import annotations

import re
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.policy import parse_nbytes
from taskinity_data.sources.file import Piece
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.formats.reader import Reader

__all__ = [
    "check_memory",
    "check_record",
    "check_workers",
    "pick",
]

RECORD_GROWTH = 4
"""Bytes that reading takes for each byte of a long record: one line of 300 MB took 1,190 MB of CSV
and 900 MB of JSON Lines."""


def check_workers(workers: Any) -> int:
    """`workers`, or the cores that this process may use where it is None.

    Raises
    ------
    PlanError
        It is no whole number from 1 up.
    """
    if workers is None:
        return count_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise PlanError(f"workers={workers!r}: give a whole number from 1 up")
    return workers


def check_memory(memory: Any, workers: int) -> int:
    """Bytes that one worker may use: `memory`, or its share of the machine where it is None.

    Raises
    ------
    PlanError
        It is no size.
    """
    if memory is None:
        return share_memory(workers)
    try:
        return parse_nbytes(memory)
    except SettingsError as error:
        raise PlanError(f"memory: {error}") from error


def check_record(piece: Piece, grain_nbytes: int, memory_nbytes: int) -> None:
    """Raise `PlanError` where `piece` holds a record that no worker can hold.

    Parameters
    ----------
    piece : Piece
        The shortest run of records with at least `grain_nbytes` bytes of text.
    grain_nbytes : int
    memory_nbytes : int
        What one worker may use.
    """
    nbytes = piece.stop - piece.start - grain_nbytes
    if nbytes * RECORD_GROWTH <= memory_nbytes:
        return
    raise PlanError(
        f"{piece.path}: a record of at least {nbytes:,} bytes begins within {grain_nbytes:,} bytes "
        f"of byte {piece.start:,}; to read it takes {RECORD_GROWTH} times that, a worker may use "
        f"{memory_nbytes:,} bytes. See what stands there: where a quote is never closed, give "
        "quoting=3 (CSV), where line ends are missing, mend the file; else let a worker use more: "
        "memory=, or fewer workers",
        path=piece.path,
        start=piece.start,
    )


_RANGE = re.compile(r"(.+):([0-9]+)-([0-9]+)", re.DOTALL)

_GRAIN_NBYTES = 256 << 10
"""Text that is cut in one go while a place is looked for."""


def pick(reader: Reader, extents: Sequence[Piece], text: str) -> Piece:
    """The piece that `text`, ``PATH:START-STOP``, names.

    Parameters
    ----------
    reader : Reader
    extents : sequence of Piece
        All data of each file.
    text : str

    Raises
    ------
    PlanError
        No file has that range, or it cuts a record.
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise PlanError(f"{text!r} is no range of a file: write PATH:START-STOP")
    path, start, stop = found[1], int(found[2]), int(found[3])
    for extent in extents:
        if extent.path in (path, str(Path(path).absolute())):
            if not extent.start <= start <= stop <= extent.stop:
                raise PlanError(f"{text}: {path} has {extent.start} to {extent.stop}; nothing else")
            for place in (start, stop) if extent.failure is None else ():
                _check_cut(reader, extent, place, text)
            share = (stop - start) / max(1, extent.stop - extent.start)
            nbytes = round(extent.nbytes * share)
            return Piece(extent.file, start, stop, nbytes, failure=extent.failure)
    files = [extent.path for extent in extents]
    raise PlanError(f"{text}: the dataset has no such file.{suggest(path, files)}")


def _check_cut(reader: Reader, extent: Piece, place: int, text: str) -> None:
    """Raise `PlanError` where no record of `extent` begins or ends at byte `place`."""
    if reader.unit != "bytes" or place in (extent.start, extent.stop):
        return
    for around in reader.recut(extent, _GRAIN_NBYTES):
        if around.start < place < around.stop:
            cuts = [*(one.start for one in reader.recut(around, 1)), around.stop]
            if place not in cuts:
                behind = bisect_left(cuts, place)
                raise PlanError(
                    f"{text}: byte {place} is in the middle of a record, which lies at "
                    f"{cuts[behind - 1]}-{cuts[behind]}; was the file edited since?"
                )
        if around.stop >= place:
            return
