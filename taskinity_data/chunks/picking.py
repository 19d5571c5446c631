"""A range of a file by its name, as a person read it in a report, and whether records end there.

It knows nothing of plans, or of chunks of several ranges.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from pathlib import Path
from typing import TYPE_CHECKING

from taskinity_data.chunks.source_file import Piece
from taskinity_data.errors import PlanError, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.chunks.chunk import Reader

__all__ = ["pick"]

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
