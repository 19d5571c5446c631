"""Checksums of files' blocks where chunks are cut: they tell a file that was changed in place, and
whose size and time were put back.

It knows nothing of what stands in the blocks. Files of stores have tags, unpacked and private ones
are ours: none of them is marked.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.errors import SourceChanged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.chunks.source_file import SourceFile

__all__ = ["check_mark", "mark_all", "mark_chunk", "mark_cut"]

BLOCK_NBYTES = 4 << 10
"""What is looked at on either side: a page. It takes 6 to 10 µs a chunk, 0.9 % of reading 100 rows
of text, 0.1 % of reading 100,000."""


def mark_cut(first: SourceFile, start: int, last: SourceFile, stop: int, unit: str) -> int | None:
    """The checksum of the blocks in which a chunk begins and ends; None where there is none.

    Where `unit` is rows, of the ends of its files: their footers say where row groups lie.
    """
    for file in (first, last):
        if file.store is not None or file.unpacked is not None or file.archive is not None:
            return None
    if unit == "rows":
        head, tail = (_last_block(file, 0, file.nbytes) for file in (first, last))
    elif first == last:
        head = first, start, min(start + BLOCK_NBYTES, stop)
        tail = _last_block(last, start, stop)
    else:
        head, tail = (first, start, start + BLOCK_NBYTES), _last_block(last, 0, stop)
    mark = 0
    try:
        # Of a small chunk both are one.
        for file, begin, end in (head,) if head == tail else (head, tail):
            opened = os.open(file.path, os.O_RDONLY)
            try:
                mark = zlib.crc32(os.pread(opened, end - begin, begin), mark)
            finally:
                os.close(opened)
    except OSError:
        return None  # reading will say more
    return mark


def _last_block(file: SourceFile, start: int, stop: int) -> tuple[SourceFile, int, int]:
    return file, max(start, stop - BLOCK_NBYTES), stop


def mark_chunk(chunk: Chunk) -> Chunk:
    """`chunk` with its mark."""
    return replace(chunk, mark=_mark(chunk))


def _mark(chunk: Chunk) -> int | None:
    if getattr(chunk.reader, "keeper", None) is not None:
        return None
    first, last = chunk.pieces[0], chunk.pieces[-1]
    return mark_cut(first.file, first.start, last.file, last.stop, chunk.reader.unit)


def mark_all(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """`chunks` with their marks, as they come; closing it closes `chunks`."""
    try:
        for chunk in chunks:
            yield mark_chunk(chunk)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def check_mark(chunk: Chunk) -> None:
    """Raise `SourceChanged` where the blocks are not those of when `chunk` was cut."""
    if chunk.mark is None or (now := _mark(chunk)) is None or now == chunk.mark:
        return
    raise SourceChanged(
        f"{chunk}: the file was changed in place after it was planned (its size and time are as "
        "they were, but where this chunk begins or ends the bytes are not: checksum "
        f"{chunk.mark:08x} then, {now:08x} now); plan again",
        path=chunk.path,
        start=chunk.start,
    )
