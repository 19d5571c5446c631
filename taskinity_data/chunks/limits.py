"""How many workers a plan is made for, what each may use, and what no worker can hold.

It knows nothing of who runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.policy import parse_nbytes

if TYPE_CHECKING:
    from taskinity_data.chunks.source_file import Piece

__all__ = ["LONGEST_SAMPLE_NBYTES", "check_memory", "check_record", "check_workers"]

RECORD_GROWTH = 4
"""Bytes that reading takes for each byte of a long record: one line of 300 MB took 1,190 MB of CSV
and 900 MB of JSON Lines."""

LONGEST_SAMPLE_NBYTES = 64_000_000
"""Longer pieces of text are no sample: what they tell isn't worth what they take."""


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
