"""The framed format of snappy, undone and proved by its checksums.

It knows nothing of files. Arrow undoes the blocks; what frames them, and the CRC-32C that each
carries, no library that is needed anyway does.

References
----------
framing_format.txt of google/snappy; CRC-32C is that of RFC 3720.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from taskinity_data.sources.compression.codecs import BadStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["crc32c", "decode_snappy"]

BLOCK_NBYTES = 65_536
"""Bytes of a block, at most, before it is compressed."""

_LANE_NBYTES = 256
_LANES = BLOCK_NBYTES // _LANE_NBYTES
_POLYNOMIAL = 0x82F63B78
_IDENTIFIER = b"sNaPpY"
_COMPRESSED, _PLAIN, _BEGINNING, _PADDING = 0x00, 0x01, 0xFF, 0xFE
"""Kinds of blocks. Others that may be skipped are refused: none is in use, and a single flipped bit
would make one of a block of data."""


def decode_snappy(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The text of a framed snappy stream, a block at a time.

    Parameters
    ----------
    read : callable
        Takes a count; gives so many bytes, or fewer at the end.

    Raises
    ------
    BadStream
        A block ends early, is no snappy, does not have its checksum, or is of an unknown kind.
    """
    codec = pa.Codec("snappy")
    place = 0
    while True:
        head = read(4)
        if not head:
            return
        length = int.from_bytes(head[1:], "little")
        body = read(length) if len(head) == 4 else b""
        if len(head) < 4 or len(body) < length:
            raise BadStream("it ends in the middle of a block", place + len(head) + len(body))
        kind = head[0]
        if place == 0 and kind != _BEGINNING:
            raise BadStream("it does not begin with the mark of a stream", 0)
        if kind in (_COMPRESSED, _PLAIN):
            yield _decode_block(codec, kind, body, place)
        elif kind == _BEGINNING:
            if body != _IDENTIFIER:
                raise BadStream("a stream in it begins with another mark", place)
        elif kind != _PADDING:
            raise BadStream(f"a block is of the unknown kind {kind}", place)
        place += 4 + length


def _decode_block(codec: Any, kind: int, body: bytes, place: int) -> bytes:
    told, data = int.from_bytes(body[:4], "little"), body[4:]
    if kind == _COMPRESSED:
        nbytes = _told_nbytes(data)
        if not 0 <= nbytes <= BLOCK_NBYTES:
            raise BadStream("a block is larger than 64 KiB", place)
        try:
            data = codec.decompress(data, nbytes, asbytes=True) if nbytes else b""
        except (OSError, pa.ArrowException) as error:
            raise BadStream(f"a block can't be undone ({error})", place) from None
    if len(data) > BLOCK_NBYTES:
        raise BadStream("a block is larger than 64 KiB", place)
    crc = crc32c(data)
    if len(body) < 4 or told != (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF:
        raise BadStream("a block does not have its checksum", place)
    return data


def _told_nbytes(data: bytes) -> int:
    """The length that a raw snappy block begins with; -1 where there is none."""
    value = 0
    for place, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value
    return -1


def crc32c(data: bytes) -> int:
    """The CRC-32C of up to `BLOCK_NBYTES` bytes.

    Notes
    -----
    256 parts of the block go side by side through the table, then parts are joined pair by pair:
    CRCs are linear, and zeros before the data (with nothing in the register) change nothing.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    table, doublings = _tables()
    if len(data) < 4:
        crc = 0xFFFFFFFF
        for byte in data:
            crc = (crc >> 8) ^ int(table[(crc ^ byte) & 0xFF])
        return crc ^ 0xFFFFFFFF
    lanes = np.zeros(BLOCK_NBYTES, np.uint8)
    lanes[-len(data) :] = np.frombuffer(data, np.uint8)
    lanes[BLOCK_NBYTES - len(data) :][:4] ^= 0xFF
    crcs = np.zeros(_LANES, np.uint32)
    for column in np.ascontiguousarray(lanes.reshape(_LANES, _LANE_NBYTES).T):
        crcs = (crcs >> 8) ^ table[(crcs & 0xFF) ^ column]
    for shift in doublings:
        crcs = _shift(shift, crcs[::2]) ^ crcs[1::2]
    return int(crcs[0]) ^ 0xFFFFFFFF


def _shift(tables: Any, crcs: Any) -> Any:
    """Registers after as many zero bytes as `tables` are made for."""
    return (
        tables[0][crcs & 0xFF]
        ^ tables[1][(crcs >> 8) & 0xFF]
        ^ tables[2][(crcs >> 16) & 0xFF]
        ^ tables[3][crcs >> 24]
    )


@cache
def _tables() -> tuple[Any, list[Any]]:
    """The table of one byte, and those that shift by the lengths at which parts are joined."""
    table: Any = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    registers = np.stack([np.arange(256, dtype=np.uint32) << (8 * byte) for byte in range(4)])
    shifted = (registers >> 8) ^ table[registers & 0xFF]
    nbytes, doublings = 1, []
    while nbytes < BLOCK_NBYTES:
        if nbytes >= _LANE_NBYTES:
            doublings.append(shifted)
        shifted = _shift(shifted, shifted)
        nbytes *= 2
    return table, doublings
