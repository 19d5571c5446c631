"""Keep files and parts of files that can't be read as pieces, until a run handles them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.chunks.plan_limits import check_record
from taskinity_data.errors import PlanError, ReadError
from taskinity_data.sources.changed import explain_change
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = ["UNREADABLE", "as_failure", "find_extent", "iter_pieces", "refuse_failures"]

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
                    piece = _judge_record(piece, grain_nbytes, memory_nbytes, tolerates=tolerates)
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


def _judge_record(piece: Piece, grain_nbytes: int, memory_nbytes: int, *, tolerates: bool) -> Piece:
    try:
        check_record(piece, grain_nbytes, memory_nbytes)
    except PlanError as error:
        if not tolerates:
            raise
        return replace(piece, failure=error)
    return piece


def as_failure(file: SourceFile, error: Exception) -> PlanError | ReadError:
    """Return `error`, or a `ReadError` that names `file` if it is an error of the system."""
    if isinstance(error, PlanError | ReadError):
        return error.with_traceback(None)
    return ReadError(f"{file}: can't be read: {error}", path=file.path, start=0)
