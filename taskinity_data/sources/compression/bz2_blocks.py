"""Where the blocks of a bz2 file lie, bit by bit, so that threads can undo several at a time.

It knows nothing of where the text goes. A file whose blocks, ends and checksums do not fit together
to the last bit is not cut at all: undoing it as one stream tells what is wrong with it.

References
----------
The layout is that of bzip2 1.0: a block begins with 48 bits of pi, a stream ends with 48 of its
root; the checksum of a stream is made of those of its blocks.
"""

from __future__ import annotations

import bz2
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.sources.compression.codecs import BadStream

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

__all__ = ["Bz2Block", "decode_blocks", "find_blocks"]

_BLOCK, _END = 0x314159265359, 0x177245385090
_MAGIC_BITS, _CRC_BITS, _HEAD_NBYTES = 48, 32, 4
_WINDOW_NBYTES = 4 << 20


class Bz2Block(NamedTuple):
    """A block's bits, from `start` to `stop`; its checksum; the digit that tells its size."""

    start: int
    stop: int
    crc: int
    level: bytes


def find_blocks(number: int, nbytes: int) -> list[Bz2Block]:
    """All blocks of the open file `number`, in order; none where it does not add up.

    Notes
    -----
    One pass over the file, at 130 MB/s; undoing it goes at about 1 MB/s a core (7 MB/s of text).
    """
    blocks: list[Bz2Block] = []
    marks = iter([*_find_marks(number, nbytes), (nbytes * 8, 0)])
    place = 0
    while place < nbytes:
        head = os.pread(number, _HEAD_NBYTES, place)
        start, magic = next(marks)
        if head[:3] != b"BZh" or head[3:] not in b"123456789" or start != (place + 4) * 8:
            return []
        combined = 0
        while magic == _BLOCK:
            crc = _read_bits(number, start + _MAGIC_BITS, _CRC_BITS)
            combined = (combined << 1 | combined >> 31) & 0xFFFFFFFF ^ crc
            stop, magic = next(marks)
            blocks.append(Bz2Block(start, stop, crc, head[3:]))
            start = stop
        end = start + _MAGIC_BITS + _CRC_BITS
        if magic != _END or end > nbytes * 8:
            return []
        if _read_bits(number, end - _CRC_BITS, _CRC_BITS) != combined:
            return []
        place = -(-end // 8)
    return blocks


def _find_marks(number: int, nbytes: int) -> list[tuple[int, int]]:
    """Where, in bits, the marks of blocks and of ends are, in order."""
    patterns = []
    for magic in (_BLOCK, _END):
        for shift in range(8):
            # At each shift five whole bytes are known, and bits of one before and one behind.
            value = magic << (8 - shift)
            mask = ((1 << _MAGIC_BITS) - 1) << (8 - shift)
            patterns.append((value.to_bytes(7, "big")[1:6], value, mask, shift, magic))
    found = []
    for window in range(0, nbytes, _WINDOW_NBYTES):
        data = os.pread(number, _WINDOW_NBYTES + 8, window)
        for needle, value, mask, shift, magic in patterns:
            at = data.find(needle, 1)
            while 0 < at <= _WINDOW_NBYTES:
                around = int.from_bytes(data[at - 1 : at + 6].ljust(7, b"\0"), "big")
                if around & mask == value:
                    found.append(((window + at - 1) * 8 + shift, magic))
                at = data.find(needle, at + 1)
    return sorted(found)


def _read_bits(number: int, start: int, count: int) -> int:
    first, last = start // 8, -(-(start + count) // 8)
    data = os.pread(number, last - first, first)
    value = int.from_bytes(data, "big") >> (last * 8 - start - count)
    return value & ((1 << count) - 1)


def decode_blocks(number: int, blocks: list[Bz2Block], threads: int) -> Generator[bytes]:
    """The text of each of `blocks`, in order, undone by `threads`, a few blocks ahead.

    Raises
    ------
    BadStream
        A block is damaged.

    Notes
    -----
    A block is at most 900 kB of text, and 46 MB where bytes repeat.
    """
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads, "taskinity-bz2") as pool:
        try:
            for block in blocks:
                waiting.append(pool.submit(_decode_block, number, block))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _decode_block(number: int, block: Bz2Block) -> bytes:
    """A stream of that block alone, undone."""
    count = block.stop - block.start
    bits = _read_bits(number, block.start, count)
    bits = (bits << _MAGIC_BITS | _END) << _CRC_BITS | block.crc
    count += _MAGIC_BITS + _CRC_BITS
    stream = (bits << -count % 8).to_bytes(-(-count // 8), "big")
    one = bz2.BZ2Decompressor()
    try:
        text = one.decompress(b"BZh" + block.level + stream)
    except (OSError, ValueError) as error:
        raise BadStream(f"a block of it is damaged ({error})", block.start // 8) from None
    if not one.eof:
        raise BadStream("a block of it ends early", block.start // 8)
    return text
