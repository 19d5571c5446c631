"""Check what a plan can't hold: workers, memory, long records, ranges, parts that can't be read.

Files and parts that can't be read are kept as pieces with a failure, until a run handles them.
"""

from __future__ import annotations

import copy
import re
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError, ReadError, SettingsError
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.policy import parse_nbytes
from taskinity_data.sources.changed import explain_change
from taskinity_data.sources.file import Piece
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "UNREADABLE",
    "as_failure",
    "check_memory",
    "check_workers",
    "find_extent",
    "iter_pieces",
    "pick",
    "refuse_failures",
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


def _explain_record(piece: Piece, grain_nbytes: int, memory_nbytes: int) -> PlanError | None:
    """Return the error of a record in `piece` that is too large for a worker's memory, if any.

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
        return None
    return PlanError(
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
                raise PlanError(f"{text}: {path} has only {extent.start} to {extent.stop}")
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


UNREADABLE = (PlanError, ReadError, OSError)
"""The errors of files that can't be opened, cut or read."""


def find_extent(reader: Reader, file: SourceFile) -> Piece:
    """Return all data of `file` as one piece, with a failure if it can't be opened."""
    if file.failure is None:
        try:
            with explain_change(file):
                return reader.extent(file)
        except UNREADABLE as error:
            file = replace(file, failure=as_failure(file, error))
    # Its rows are unknown; the ledger counts its bytes.
    nbytes = file.fingerprint.nbytes
    return Piece(file, 0, nbytes if reader.unit == "bytes" else 0, nbytes, None, file.failure)


def iter_pieces(
    reader: Reader,
    extent: Piece,
    grains: Callable[[], Iterable[Piece]],
    grain_nbytes: int,
    memory_nbytes: int | None,
    *,
    tolerates: bool,
) -> Iterator[Piece]:
    """Yield the pieces that `grains` finds in `extent`, the last one with the failure of the rest.

    Parameters
    ----------
    reader : Reader
    extent : Piece
        All of one file, or its remainder.
    grains : callable
        Yields its pieces, none if it is empty.
    grain_nbytes, memory_nbytes
        See `Dataset.iter_grains`.
    tolerates : bool
        Whether failures are kept in pieces: of a record that is too long in the piece that holds
        it, of text that can't be cut in a piece of all that remains. Otherwise they are raised.
    """
    if extent.failure is not None:
        if not tolerates:
            refuse_failures([extent])
        yield extent
        return
    position, nbytes, rows = extent.start, 0, 0
    is_empty = True
    try:
        with explain_change(extent.file):
            for piece in grains():
                is_empty = False
                if memory_nbytes is not None and reader.unit == "bytes":
                    failure = _explain_record(piece, grain_nbytes, memory_nbytes)
                    if failure is not None and not tolerates:
                        raise failure
                    piece = replace(piece, failure=failure) if failure else piece
                position, nbytes = piece.stop, nbytes + piece.nbytes
                rows += piece.rows or 0
                yield piece
            if is_empty:
                yield replace(extent, rows=0) if extent.start == extent.stop else extent
    except UNREADABLE as error:
        if not tolerates:
            raise
        yield Piece(
            extent.file,
            position,
            extent.stop,
            extent.nbytes - nbytes,
            None if extent.rows is None else extent.rows - rows,
            as_failure(extent.file, error),
        )


def refuse_failures(items: Sequence[Piece] | Sequence[SourceFile]) -> None:
    """Raise the failure of the first of `items` that has one."""
    for item in items:
        if item.failure is not None:
            # A copy, since raising adds to an exception's traceback.
            raise copy.copy(item.failure)


def as_failure(file: SourceFile, error: Exception) -> PlanError | ReadError:
    """Return `error`, or a `ReadError` that names `file` if it is an error of the system."""
    if isinstance(error, PlanError | ReadError):
        return error.with_traceback(None)
    return ReadError(f"{file}: can't be read: {error}", path=file.path, start=0)
