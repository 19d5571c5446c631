"""A dataset cut where an earlier run has cut it, as far as its files are the same, and anew beyond.

It knows nothing of who kept the cuts, or why.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.chunks.chunk import Chunk, mark_chunk
from taskinity_data.chunks.cut import cut
from taskinity_data.chunks.dataset import FILES_AHEAD, GRAINS_AHEAD
from taskinity_data.chunks.unreadable import iter_pieces
from taskinity_data.sources.changed import mark_cut
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import open_unbuffered
from taskinity_data.sources.read_ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskinity_data.chunks.cut import ChunkSize
    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = [
    "IN_MEMORY",
    "EarlierCuts",
    "EarlierPiece",
    "earlier_piece",
    "find_altered",
    "identify_file",
    "repeat_cuts",
]

IN_MEMORY = "memory "
"""How the identities of tables in memory begin."""

_BLOCK_NBYTES = 8 << 20


class EarlierPiece(NamedTuple):
    """A piece as it was cut: of which file (see `identify_file`), and what `Piece` says of it."""

    file: str
    start: int
    stop: int
    nbytes: int
    rows: int | None
    mark: int | None = None
    """Of its chunk, where it is the first piece."""


@dataclass(frozen=True, slots=True)
class EarlierCuts:
    """The chunks of an earlier run, by the file and the place where each begins."""

    chunks: Mapping[tuple[str, int], tuple[EarlierPiece, ...]] = field(default_factory=dict)


def identify_file(reader: Reader, file: SourceFile) -> str:
    """What tells `file` from others in another process too: its path and fingerprint.

    A table in memory is told by its content, since its file is another one in each process.
    """
    digest = blake2b(digest_size=16)
    if getattr(reader, "keeper", None) is not None:
        with open_unbuffered(file) as opened:
            while block := opened.read(_BLOCK_NBYTES):
                digest.update(block)
        return f"{IN_MEMORY}{digest.hexdigest()}"
    print_ = file.fingerprint
    number = f"tag {print_.tag}" if print_.tag else print_.inode
    digest.update(
        f"{file.path}\0{print_.nbytes}\0{print_.mtime_ns}\0{number}\0{file.hive!r}".encode(
            "utf-8", "surrogateescape"
        )
    )
    return digest.hexdigest()


def repeat_cuts(
    dataset: Dataset,
    earlier: EarlierCuts,
    identify: Callable[[SourceFile], str],
    next_size: Callable[[], ChunkSize],
    size: ChunkSize | None = None,
    memory_nbytes: int | None = None,
    *,
    tolerates: bool = False,
) -> Iterator[Chunk]:
    """The chunks of `dataset`: those of `earlier` wherever they still fit, others cut as usual.

    Parameters
    ----------
    dataset : Dataset
    earlier : EarlierCuts
        Of a dataset with the same reader.
    identify : callable
        See `identify_file`.
    next_size, size, memory_nbytes, tolerates
        As in `Dataset.cut`.

    Notes
    -----
    A file that is covered whole is not looked at again. They tile every file, as those of
    `Dataset.cut` do; `ChunkPlan.ledger` and the run prove it.
    """
    parts = _lay_out(dataset.extents, earlier, [identify(one) for one in dataset.sources])
    grain_nbytes = dataset._grain_nbytes(size)  # noqa: SLF001 - the same grains as `Dataset.cut`

    def produce(numbered: tuple[int, _Rest]) -> Iterator[tuple[int, Piece]]:
        number, rest = numbered
        pieces = iter_pieces(
            dataset.reader,
            rest.whole,
            lambda: rest.grains(dataset.reader, grain_nbytes),
            grain_nbytes,
            memory_nbytes,
            tolerates=tolerates,
        )
        for piece in pieces:
            yield number, piece

    rests = [(number, one) for number, one in enumerate(parts) if isinstance(one, _Rest)]
    grains = read_ahead(rests, produce, threads=FILES_AHEAD, depth=GRAINS_AHEAD)
    try:
        yield from _chunks(dataset.reader, parts, _Ahead(grains), next_size)
    finally:
        grains.close()  # type: ignore[attr-defined]  # a generator


def _chunks(
    reader: Reader,
    parts: Sequence[tuple[Piece, ...] | _Rest],
    grains: _Ahead,
    next_size: Callable[[], ChunkSize],
) -> Iterator[Chunk]:
    index = 0
    for is_rest, run in groupby(enumerate(parts), key=lambda one: isinstance(one[1], _Rest)):
        found: Iterator[Chunk]
        if is_rest:
            *_, (last, _) = run
            found = cut(grains.until(last), reader, next_size)
        else:
            found = (Chunk(reader, pieces) for _, pieces in run if isinstance(pieces, tuple))
        for chunk in found:
            yield mark_chunk(replace(chunk, index=index))
            index += 1


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of a file from `start` on; `nbytes` of it stand before."""

    extent: Piece
    start: int
    nbytes: int

    def grains(self, reader: Reader, grain_nbytes: int) -> Iterator[Piece]:
        passed = 0
        is_empty = True
        for piece in reader.grains(self.extent.file, grain_nbytes):
            passed += piece.nbytes
            if piece.stop > self.start or (is_empty and self.start == self.extent.start):
                is_empty = False
                if piece.start >= self.start:
                    yield piece
                else:
                    yield self._end_of(piece, reader, passed - self.nbytes)

    @property
    def whole(self) -> Piece:
        """It as one piece; with rows where all of the file is left."""
        extent = self.extent
        if self.start == extent.start:
            return extent
        return replace(extent, start=self.start, nbytes=extent.nbytes - self.nbytes, rows=None)

    def _end_of(self, piece: Piece, reader: Reader, nbytes: int) -> Piece:
        """What of the grain `piece` comes after `start`; `nbytes` of it."""
        whole = Piece(piece.file, self.start, piece.stop, nbytes)
        if reader.unit == "rows":
            return replace(whole, rows=piece.stop - self.start)
        after = [one for one in reader.recut(piece, 1) if one.start >= self.start]
        counts = [one.rows for one in after]
        if not after or after[0].start != self.start or None in counts:
            return whole
        return replace(whole, rows=sum(count for count in counts if count is not None))


class _Ahead:
    """Numbered grains, of which the next one can be looked at."""

    def __init__(self, grains: Iterator[tuple[int, Piece]]) -> None:
        self._grains = grains
        self._next: tuple[int, Piece] | None = next(grains, None)

    def until(self, last: int) -> Iterator[Piece]:
        while self._next is not None and self._next[0] <= last:
            yield self._next[1]
            self._next = next(self._grains, None)


def _lay_out(
    extents: Sequence[Piece], earlier: EarlierCuts, names: Sequence[str]
) -> list[tuple[Piece, ...] | _Rest]:
    """Earlier chunks where they fit, and what is left of files."""
    parts: list[tuple[Piece, ...] | _Rest] = []
    number, place, before = 0, extents[0].start if extents else 0, 0
    while number < len(extents):
        extent = extents[number]
        pieces = earlier.chunks.get((names[number], place))
        found = None if pieces is None else _fit(pieces, extents, names, number)
        if found is None:
            parts.append(_Rest(extent, place, before))
            place = extent.stop
        else:
            parts.append(found)
            number += len(found) - 1
            extent, place = extents[number], found[-1].stop
            before = before + found[-1].nbytes if len(found) == 1 else found[-1].nbytes
        if place == extent.stop:
            number, before = number + 1, 0
            place = extents[number].start if number < len(extents) else 0
    return parts


def _fit(
    pieces: Sequence[EarlierPiece], extents: Sequence[Piece], names: Sequence[str], first: int
) -> tuple[Piece, ...] | None:
    """`pieces` as those of the files from number `first` on, None where they aren't."""
    found: list[Piece] = []
    for offset, one in enumerate(pieces):
        number = first + offset
        if number >= len(extents) or names[number] != one.file:
            return None
        extent = extents[number]
        is_last = offset == len(pieces) - 1
        follows = not offset or one.start == extent.start
        reaches = one.start <= one.stop <= extent.stop and (is_last or one.stop == extent.stop)
        moves = one.start < one.stop or extent.start == extent.stop
        if not (follows and reaches and moves):
            return None
        found.append(Piece(extent.file, one.start, one.stop, one.nbytes, one.rows, extent.failure))
    return tuple(found)


def earlier_piece(piece: Piece, name: str, mark: int | None = None) -> EarlierPiece:
    """`piece` of the file called `name`, as it is kept."""
    return EarlierPiece(name, piece.start, piece.stop, piece.nbytes, piece.rows, mark)


def find_altered(cuts: EarlierCuts, files: Mapping[str, SourceFile], unit: str) -> dict[str, str]:
    """Those of `files` that are others where they were cut, by name, with what they are now.

    They have the size and time of then, so that their fingerprints don't tell.
    """
    altered: dict[str, str] = {}
    for pieces in cuts.chunks.values():
        first, last = pieces[0], pieces[-1]
        ends = files.get(first.file), files.get(last.file)
        if first.mark is None or ends[0] is None or ends[1] is None:
            continue
        now = mark_cut(ends[0], first.start, ends[1], last.stop, unit)
        if now != first.mark:
            for name in (first.file, last.file):
                altered[name] = f"{altered.get(name, '')} {now}"
    return altered
