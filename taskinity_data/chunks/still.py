"""Whether files are still those that were planned, asked as seldom as that can be known.

It knows nothing of rows. A local file is looked at before and after it is read, and so is an object
of a store whose answers don't tell; where each answer carries the entity tag, reading is proof
enough, and only an object of which nothing had to be read is asked after.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskinity_data.chunks.files import map_files
from taskinity_data.errors import PlanError, ReadError, SourceChanged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.chunks.source_file import Piece, SourceFile

__all__ = ["check_after", "check_before", "explain_change", "refuse_changed"]


def check_before(pieces: Sequence[Piece]) -> None:
    """Raise `SourceChanged` where that shows before `pieces` are read."""
    _check({one: at for one, at in _find_files(pieces).items() if not _tells(one)})


def check_after(pieces: Sequence[Piece], since: float) -> None:
    """Raise `SourceChanged` where `pieces`, read from `since` on, may be those of other files.

    Parameters
    ----------
    pieces : sequence of Piece
    since : float
        Of `time.monotonic`, before anything was read.

    Notes
    -----
    An object of which the plan rules out all rows is not asked after where answers tell tags: what
    is said of it is what its footer said when it was planned.
    """
    read = _find_files([piece for piece in pieces if piece.nbytes or not _tells(_source(piece))])
    _check({one: at for one, at in read.items() if not _is_proven(one, since)})


def refuse_changed(pieces: Sequence[Piece]) -> None:
    """Raise `SourceChanged` where that may be why `pieces` can't be read.

    Notes
    -----
    Libraries tell what went wrong beneath them as damage of the file. Other files were looked at
    before they were read.
    """
    try:
        _check({one: at for one, at in _find_files(pieces).items() if _tells(one)})
    except SourceChanged:
        raise
    except ReadError:
        # The store does not answer this either: what failed first says more.
        return


@contextmanager
def explain_change(file: SourceFile, start: int = 0) -> Iterator[None]:
    """Raise `SourceChanged` with the name of `file` for an error within that its change explains.

    For what looks into a planned file without reading a chunk: cutting, splitting, its extent.
    """
    try:
        yield
    except (PlanError, ReadError, OSError) as error:
        try:
            (file.archive or file).check(start)
        except SourceChanged as change:
            raise change from error
        except ReadError:
            pass  # The store does not answer this either.
        raise


def _source(piece: Piece) -> SourceFile:
    """The file whose fingerprint was planned: the archive of a member."""
    return piece.file if piece.file.archive is None else piece.file.archive


def _find_files(pieces: Sequence[Piece]) -> dict[SourceFile, int]:
    """The files that `pieces` lie in, each with where the first piece of it begins."""
    found: dict[SourceFile, int] = {}
    for piece in pieces:
        found.setdefault(_source(piece), piece.start)
    return found


def _tells(file: SourceFile) -> bool:
    """Whether answers tell if it is still the same."""
    tag = file.fingerprint.tag
    return file.store is not None and file.store.tells_tags and tag not in ("", "-")


def _is_proven(file: SourceFile, since: float) -> bool:
    if not _tells(file):
        return False
    from taskinity_data.chunks.tagged import is_seen_since

    return is_seen_since(file.path, file.fingerprint.tag, since)


def _check(files: dict[SourceFile, int]) -> None:
    for _ in map_files(lambda file: file.check(files[file]), list(files)):
        pass
