"""Whether the footer of an ORC stripe is true to what the file's tail tells of the stripe.

It knows nothing of rows. Arrow believes a stripe's footer, and a wrong one can end the process.

References
----------
ORC specification, "Stripe Footer" and "Compression"; fields are numbered as in ``orc_proto.proto``.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pyarrow as pa

from taskinity_data.formats.file_layouts.orc_tail import TailError, read_fields, read_number

if TYPE_CHECKING:
    from taskinity_data.formats.file_layouts.orc_tail import OrcTail, Stripe

__all__ = ["check_stripe"]

_NONE, _ZLIB, _SNAPPY, _ZSTD = 0, 1, 2, 5
_STREAM_KINDS = 11
_ENCODINGS = 4


def check_stripe(footer: bytes, stripe: Stripe, tail: OrcTail) -> None:
    """Raise `TailError` where `footer`, as it stands in the file, is not that of `stripe`.

    Its streams together have to be as long as the stripe, each of a column that there is.

    Notes
    -----
    What LZ4 or LZO have packed is not looked at: nothing tells how long it was.
    """
    plain = _unpack(footer, tail.compression)
    if plain is None:
        return
    fields = read_fields(plain)
    streams = [read_fields(one) for one in fields[1] if isinstance(one, bytes)]
    encodings = [read_fields(one) for one in fields[2] if isinstance(one, bytes)]
    if sum(read_number(one, 3) for one in streams) != stripe.index_nbytes + stripe.data_nbytes:
        raise TailError("the streams of a stripe are not as long as it")
    if any(
        read_number(one, 2) >= tail.columns or read_number(one, 1) >= _STREAM_KINDS
        for one in streams
    ):
        raise TailError("a stripe has a stream of no column")
    is_known = all(read_number(one, 1) < _ENCODINGS for one in encodings)
    if len(encodings) != tail.columns or not is_known:
        raise TailError("a stripe does not tell how its columns are written")


def _unpack(data: bytes, compression: int) -> bytes | None:
    if compression == _NONE:
        return data
    if compression not in (_ZLIB, _SNAPPY, _ZSTD):
        return None
    parts = []
    place = 0
    while place < len(data):
        head = int.from_bytes(data[place : place + 3], "little")
        part = data[place + 3 : place + 3 + (head >> 1)]
        if not part or len(part) != head >> 1:
            raise TailError("the footer of a stripe is cut short")
        parts.append(part if head & 1 else _decompress(part, compression))
        place += 3 + len(part)
    return b"".join(parts)


def _decompress(part: bytes, compression: int) -> bytes:
    try:
        if compression == _ZLIB:
            return zlib.decompress(part, -zlib.MAX_WBITS)
        if compression == _ZSTD:
            return bytes(pa.CompressedInputStream(pa.BufferReader(part), "zstd").read())
        length = shift = 0
        for byte in part[:5]:
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if length > 1 << 24:
            raise TailError("the footer of a stripe is longer than can be")
        return bytes(pa.decompress(part, decompressed_size=length, codec="snappy"))
    except (zlib.error, pa.ArrowException, OSError) as error:
        raise TailError("the footer of a stripe can't be unpacked") from error
