"""Check the limits of a plan: workers, memory, records that fit, and the ranges that a report
names.
"""

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
"""Memory that reading needs for each byte of a long record: a line of 300 MB took 1,190 MB as CSV
and 900 MB as JSON Lines."""


def check_workers(workers: Any) -> int:
    """Return `workers`, or the cores that this process may use if it is None.

    Raises
    ------
    PlanError
        It is not a whole number from 1 up.
    """
    if workers is None:
        return count_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise PlanError(f"workers={workers!r}: give a whole number from 1 up")
    return workers


def check_memory(memory: Any, workers: int) -> int:
    """Return the bytes that one worker may use: `memory`, or its share of the machine if it is
    None.

    Raises
    ------
    PlanError
        It is not a size.
    """
    if memory is None:
        return share_memory(workers)
    try:
        return parse_nbytes(memory)
    except SettingsError as error:
        raise PlanError(f"memory: {error}") from error


def check_record(piece: Piece, grain_nbytes: int, memory_nbytes: int) -> None:
    """Raise `PlanError` if `piece` holds a record that is too large for a worker's memory.

    Parameters
    ----------
    piece : Piece
        The shortest run of records with at least `grain_nbytes` bytes of text.
    grain_nbytes : int
    memory_nbytes : int
        Memory that one worker may use.
    """
    nbytes = piece.stop - piece.start - grain_nbytes
    if nbytes * RECORD_GROWTH <= memory_nbytes:
        return
    raise PlanError(
        f"{piece.path}: a record of at least {nbytes:,} bytes begins within {grain_nbytes:,} bytes "
        f"of byte {piece.start:,}; to read it takes {RECORD_GROWTH} times that, a worker may use "
        f"{memory_nbytes:,} bytes. Look at the file there: if a quote is never closed, give "
        "quoting=3 (CSV); if line ends are missing, repair the file; else let a worker use more: "
        "memory=, or fewer workers",
        path=piece.path,
        start=piece.start,
    )


_RANGE = re.compile(r"(.+):([0-9]+)-([0-9]+)", re.DOTALL)

_GRAIN_NBYTES = 256 << 10
"""Bytes of text that are cut at a time while an offset is searched."""


def pick(reader: Reader, extents: Sequence[Piece], text: str) -> Piece:
    """Return the piece that `text`, ``PATH:START-STOP``, names.

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
    match = _RANGE.fullmatch(text)
    if match is None:
        raise PlanError(f"{text!r} is not a range of a file: write PATH:START-STOP")
    path, start, stop = match[1], int(match[2]), int(match[3])
    for extent in extents:
        if extent.path in (path, str(Path(path).absolute())):
            if not extent.start <= start <= stop <= extent.stop:
                raise PlanError(f"{text}: {path} has {extent.start} to {extent.stop}; nothing else")
            for offset in (start, stop) if extent.failure is None else ():
                _check_cut(reader, extent, offset, text)
            share = (stop - start) / max(1, extent.stop - extent.start)
            nbytes = round(extent.nbytes * share)
            return Piece(extent.file, start, stop, nbytes, failure=extent.failure)
    files = [extent.path for extent in extents]
    raise PlanError(f"{text}: the dataset has no such file.{suggest(path, files)}")


def _check_cut(reader: Reader, extent: Piece, offset: int, text: str) -> None:
    """Raise `PlanError` if no record of `extent` begins or ends at byte `offset`."""
    if reader.unit != "bytes" or offset in (extent.start, extent.stop):
        return
    for around in reader.recut(extent, _GRAIN_NBYTES):
        if around.start < offset < around.stop:
            cuts = [*(record.start for record in reader.recut(around, 1)), around.stop]
            if offset not in cuts:
                after = bisect_left(cuts, offset)
                raise PlanError(
                    f"{text}: byte {offset} is in the middle of a record, which is at "
                    f"{cuts[after - 1]}-{cuts[after]}; was the file edited since?"
                )
        if around.stop >= offset:
            return
