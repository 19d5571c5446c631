"""What the tail of an ORC file tells: rows of its stripes, nulls and sizes of its columns.

It knows nothing of Arrow's types: columns are told by their place.

References
----------
ORC specification, "File Tail"; fields are numbered as in ``orc_proto.proto``, and laid out as
Protocol Buffers have it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

__all__ = ["OrcTail", "TailError", "read_tail"]

_FIXED_NBYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 8, 9: 8, 14: 16, 15: 4, 18: 8}
"""Bytes of a value in Arrow, by the number of ORC's kind: boolean, byte, short, int, long, float,
double, timestamp, decimal, date, instant; of others, its offset's and what statistics tell."""
_OFFSET_NBYTES = 4
_STRUCT = 12


class TailError(ValueError):
    """The bytes are no file tail."""


class OrcTail(NamedTuple):
    """What the tail tells.

    Attributes
    ----------
    rows : list of int
        Of each stripe.
    null_counts : list of int or None
        Of each top column in the file, None where it isn't told.
    nbytes : list of int
        Of each top column in memory, about.
    """

    rows: list[int]
    null_counts: list[int | None]
    nbytes: list[int]


def read_tail(tail: bytes) -> OrcTail:
    """What `tail`, a serialized ``FileTail``, tells.

    Raises
    ------
    TailError
        It is malformed.
    """
    footer = _read_fields(_bytes(_read_fields(tail), 2))
    stripes = [_read_fields(one) for one in footer[3] if isinstance(one, bytes)]
    rows = [_int(stripe, 5) for stripe in stripes]
    types = [_read_fields(one) for one in footer[4] if isinstance(one, bytes)]
    statistics = [_read_fields(one) for one in footer[7] if isinstance(one, bytes)]
    if not types or _int(types[0], 1) != _STRUCT:
        raise TailError("its rows have no columns")
    tops = _children(types[0])
    if any(not 0 < top < len(types) for top in tops):
        raise TailError("a column of it has no type")
    total = _int(footer, 6)
    if sum(rows) != total:
        raise TailError(f"its stripes have {sum(rows):,} rows, but it {total:,}")
    has_statistics = len(statistics) == len(types)
    values = [_int(one, 1) if 1 in one else total for one in statistics]
    nulls = [
        total - values[top] if has_statistics and 1 in statistics[top] else None for top in tops
    ]
    if not has_statistics:
        statistics, values = [defaultdict(list)] * len(types), [total] * len(types)
    ends = [*tops[1:], len(types)]
    nbytes = [
        sum(_nbytes(types[one], statistics[one], values[one]) for one in range(top, end))
        for top, end in zip(tops, ends, strict=True)
    ]
    if any(count is not None and count < 0 for count in nulls):
        raise TailError("a column of it has more values than rows")
    return OrcTail(rows, nulls, nbytes)


_Fields = dict[int, list[int | bytes]]


def _nbytes(type_: _Fields, statistics: _Fields, values: int) -> int:
    fixed = _FIXED_NBYTES.get(_int(type_, 1))
    if fixed is not None:
        return fixed * values
    texts = _zigzag(_int(_read_fields(_bytes(statistics, 4)), 3))
    binary = _zigzag(_int(_read_fields(_bytes(statistics, 8)), 1))
    return _OFFSET_NBYTES * values + max(0, texts) + max(0, binary)


def _children(type_: _Fields) -> list[int]:
    found: list[int] = []
    for one in type_[2]:
        if isinstance(one, int):
            found.append(one)
            continue
        place = 0
        while place < len(one):
            value, place = _read_varint(one, place)
            found.append(value)
    return found


def _read_fields(data: bytes) -> _Fields:
    """The values of each field of a message: numbers, or bytes."""
    fields: _Fields = defaultdict(list)
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _read_varint(data, place)
            fields[number].append(value)
            continue
        if wire == 2:
            length, place = _read_varint(data, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise TailError("it holds a field of no known form")
        if place + length > len(data):
            raise TailError("a field of it is longer than it")
        fields[number].append(data[place : place + length])
        place += length
    return fields


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data):
            raise TailError("it ends within a number")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _int(fields: _Fields, number: int) -> int:
    found = fields.get(number) or [0]
    return found[-1] if isinstance(found[-1], int) else 0


def _bytes(fields: _Fields, number: int) -> bytes:
    found = fields.get(number) or [b""]
    return found[-1] if isinstance(found[-1], bytes) else b""


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
