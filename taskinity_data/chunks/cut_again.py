"""Cut a dataset as an earlier run has cut it, wherever its files are unchanged."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from taskinity_data.chunks.chunk import Chunk, mark_chunk
from taskinity_data.chunks.cut import cut
from taskinity_data.chunks.dataset import FILES_AHEAD, GRAINS_AHEAD
from taskinity_data.chunks.plan_limits import iter_pieces
from taskinity_data.data_kinds import add_counts
from taskinity_data.sources.changed import mark_cut
from taskinity_data.sources.file import Piece
from taskinity_data.sources.read import open_unbuffered, read_ahead

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
    "find_altered",
    "identify_file",
    "repeat_cuts",
]

IN_MEMORY = "memory "
"""The prefix of the identities of tables in memory."""

_BLOCK_NBYTES = 8 << 20


class EarlierPiece(NamedTuple):
    """A piece as it was cut: its file (see `identify_file`), and the fields of `Piece`."""

    file: str
    start: int
    stop: int
    nbytes: int
    rows: int | None
    mark: int | None = None
    """The mark of its chunk, if it is the first piece."""


EarlierCuts: TypeAlias = "Mapping[tuple[str, int], tuple[EarlierPiece, ...]]"
"""The chunks of an earlier run, by the file and the position where each begins."""


def identify_file(reader: Reader, file: SourceFile) -> str:
    """Return a digest that identifies `file` in any process: of its path and fingerprint.

    A table in memory is identified by its content, since its file differs in each process.
    """
    digest = blake2b(digest_size=16)
    if reader.is_in_memory:
        # That of a worker's table may be gone, which each of its chunks reports.
        with suppress(FileNotFoundError), open_unbuffered(file) as opened:
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
    """Yield the chunks of `dataset`: those of `earlier` if they still fit, others cut as usual.

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
    A file that earlier chunks cover whole is not read. The chunks tile every file, as those of
    `Dataset.cut` do; `check_tiling` and the run check it.
    """
    parts = _match_chunks(dataset.extents, earlier, [identify(file) for file in dataset.sources])
    grain_nbytes = dataset.grain_nbytes(size)

    def produce(numbered: tuple[int, _Remainder]) -> Iterator[tuple[int, Piece]]:
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

    rests = [(number, file) for number, file in enumerate(parts) if isinstance(file, _Remainder)]
    grains = read_ahead(
        rests,
        produce,
        threads=FILES_AHEAD,
        depth=GRAINS_AHEAD,
        nbytes_of=lambda rest: rest[1].whole.nbytes,
    )
    try:
        yield from _chunks(dataset.reader, parts, _NumberedGrains(grains), next_size)
    finally:
        grains.close()  # type: ignore[attr-defined]  # a generator


def _chunks(
    reader: Reader,
    parts: Sequence[tuple[Piece, ...] | _Remainder],
    grains: _NumberedGrains,
    next_size: Callable[[], ChunkSize],
) -> Iterator[Chunk]:
    index = 0
    for is_rest, run in groupby(enumerate(parts), key=lambda part: isinstance(part[1], _Remainder)):
        chunks: Iterator[Chunk]
        if is_rest:
            *_, (last, _) = run
            chunks = cut(grains.until(last), reader, next_size)
        else:
            chunks = (Chunk(reader, pieces) for _, pieces in run if isinstance(pieces, tuple))
        for chunk in chunks:
            yield mark_chunk(replace(chunk, index=index))
            index += 1


@dataclass(frozen=True, slots=True)
class _Remainder:
    """The remainder of a file from `start` on; `nbytes` of it are before."""

    extent: Piece
    start: int
    nbytes: int

    def grains(self, reader: Reader, grain_nbytes: int) -> Iterator[Piece]:
        passed = 0
        is_empty = True
        for piece in reader.grains(self.extent, grain_nbytes):
            passed += piece.nbytes
            if piece.stop > self.start or (is_empty and self.start == self.extent.start):
                is_empty = False
                if piece.start >= self.start:
                    yield piece
                else:
                    yield self._end_of(piece, reader, passed - self.nbytes)

    @property
    def whole(self) -> Piece:
        """The remainder as one piece; with rows if it is the whole file."""
        extent = self.extent
        if self.start == extent.start:
            return extent
        return replace(extent, start=self.start, nbytes=extent.nbytes - self.nbytes, rows=None)

    def _end_of(self, piece: Piece, reader: Reader, nbytes: int) -> Piece:
        """Return the part of the grain `piece` after `start`; `nbytes` of it."""
        whole = Piece(piece.file, self.start, piece.stop, nbytes)
        if reader.unit == "rows":
            return replace(whole, rows=piece.stop - self.start)
        after = [record for record in reader.recut(piece, 1) if record.start >= self.start]
        if not after or after[0].start != self.start:
            return whole
        return replace(whole, rows=add_counts(record.rows for record in after))


class _NumberedGrains:
    """Numbered grains with a lookahead of one."""

    def __init__(self, grains: Iterator[tuple[int, Piece]]) -> None:
        self._grains = grains
        self._next: tuple[int, Piece] | None = next(grains, None)

    def until(self, last: int) -> Iterator[Piece]:
        while self._next is not None and self._next[0] <= last:
            yield self._next[1]
            self._next = next(self._grains, None)


def _match_chunks(
    extents: Sequence[Piece], earlier: EarlierCuts, names: Sequence[str]
) -> list[tuple[Piece, ...] | _Remainder]:
    """Return the earlier chunks that fit, and the remainders of files."""
    parts: list[tuple[Piece, ...] | _Remainder] = []
    number, position, before = 0, extents[0].start if extents else 0, 0
    while number < len(extents):
        extent = extents[number]
        pieces = earlier.get((names[number], position))
        fitting = None if pieces is None else _fit(pieces, extents, names, number)
        if fitting is None:
            parts.append(_Remainder(extent, position, before))
            position = extent.stop
        else:
            parts.append(fitting)
            number += len(fitting) - 1
            extent, position = extents[number], fitting[-1].stop
            before = before + fitting[-1].nbytes if len(fitting) == 1 else fitting[-1].nbytes
        if position == extent.stop:
            number, before = number + 1, 0
            position = extents[number].start if number < len(extents) else 0
    return parts


def _fit(
    pieces: Sequence[EarlierPiece], extents: Sequence[Piece], names: Sequence[str], first: int
) -> tuple[Piece, ...] | None:
    """Return `pieces` as pieces of the files from number `first` on, None if they don't fit."""
    fitting: list[Piece] = []
    for offset, piece in enumerate(pieces):
        number = first + offset
        if number >= len(extents) or names[number] != piece.file:
            return None
        extent = extents[number]
        is_last = offset == len(pieces) - 1
        follows = not offset or piece.start == extent.start
        reaches = piece.start <= piece.stop <= extent.stop and (
            is_last or piece.stop == extent.stop
        )
        moves = piece.start < piece.stop or extent.start == extent.stop
        if not (follows and reaches and moves):
            return None
        fitting.append(
            Piece(extent.file, piece.start, piece.stop, piece.nbytes, piece.rows, extent.failure)
        )
    return tuple(fitting)


def find_altered(cuts: EarlierCuts, files: Mapping[str, SourceFile], unit: str) -> dict[str, str]:
    """Return the `files` that changed where they were cut, by name, with their marks of now.

    Their sizes and times are unchanged, so that their fingerprints are equal.
    """
    altered: dict[str, str] = {}
    for pieces in cuts.values():
        first, last = pieces[0], pieces[-1]
        ends = files.get(first.file), files.get(last.file)
        if first.mark is None or ends[0] is None or ends[1] is None:
            continue
        now = mark_cut(ends[0], first.start, ends[1], last.stop, unit)
        if now != first.mark:
            for name in (first.file, last.file):
                altered[name] = f"{altered.get(name, '')} {now}"
    return altered
