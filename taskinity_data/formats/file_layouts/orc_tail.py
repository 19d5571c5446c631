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

__all__ = ["OrcTail", "Stripe", "TailError", "read_fields", "read_number", "read_tail"]

_FIXED_NBYTES = {0: 1, 1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 8, 9: 8, 14: 16, 15: 4, 18: 8}
"""Bytes of a value in Arrow, by the number of ORC's kind: boolean, byte, short, int, long, float,
double, timestamp, decimal, date, instant; of others, its offset's and what statistics tell."""
_OFFSET_NBYTES = 4
_STRUCT = 12


class TailError(ValueError):
    """The bytes are no file tail."""


class Stripe(NamedTuple):
    """Where a stripe lies: its first byte, and the bytes of its three parts, in order."""

    start: int
    index_nbytes: int
    data_nbytes: int
    footer_nbytes: int

    @property
    def footer(self) -> tuple[int, int]:
        """From and to where its footer goes."""
        start = self.start + self.index_nbytes + self.data_nbytes
        return start, start + self.footer_nbytes


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
    stripes : list of Stripe
    columns : int
        All of them, those within others and the row itself too.
    compression : int
        ORC's number of it, 0 for none.
    bounds : list of (int, int) or None
        Of each top column of integers the least and the most, where they are told.
    """

    rows: list[int]
    null_counts: list[int | None]
    nbytes: list[int]
    stripes: list[Stripe]
    columns: int
    compression: int
    bounds: list[tuple[int, int] | None]


def read_tail(tail: bytes) -> OrcTail:
    """What `tail`, a serialized ``FileTail``, tells.

    Raises
    ------
    TailError
        It is malformed.
    """
    whole = read_fields(tail)
    footer = read_fields(_bytes(whole, 2))
    stripes = [read_fields(one) for one in footer[3] if isinstance(one, bytes)]
    rows = [read_number(stripe, 5) for stripe in stripes]
    types = [read_fields(one) for one in footer[4] if isinstance(one, bytes)]
    statistics = [read_fields(one) for one in footer[7] if isinstance(one, bytes)]
    if not types or read_number(types[0], 1) != _STRUCT:
        raise TailError("its rows have no columns")
    tops = _children(types[0])
    if any(not 0 < top < len(types) for top in tops):
        raise TailError("a column of it has no type")
    total = read_number(footer, 6)
    if sum(rows) != total:
        raise TailError(f"its stripes have {sum(rows):,} rows, but it {total:,}")
    has_statistics = len(statistics) == len(types)
    values = [read_number(one, 1) if 1 in one else total for one in statistics]
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
    places = [Stripe(*(read_number(stripe, field) for field in (1, 2, 3, 4))) for stripe in stripes]
    compression = read_number(read_fields(_bytes(whole, 1)), 2)
    bounds = [_bounds(statistics[top]) for top in tops]
    return OrcTail(rows, nulls, nbytes, places, len(types), compression, bounds)


_Fields = dict[int, list[int | bytes]]


def _nbytes(type_: _Fields, statistics: _Fields, values: int) -> int:
    fixed = _FIXED_NBYTES.get(read_number(type_, 1))
    if fixed is not None:
        return fixed * values
    texts = _zigzag(read_number(read_fields(_bytes(statistics, 4)), 3))
    binary = _zigzag(read_number(read_fields(_bytes(statistics, 8)), 1))
    return _OFFSET_NBYTES * values + max(0, texts) + max(0, binary)


def _bounds(statistics: _Fields) -> tuple[int, int] | None:
    """The least and the most of a column of integers."""
    told = read_fields(_bytes(statistics, 2))
    if 1 not in told or 2 not in told:
        return None
    return _zigzag(read_number(told, 1)), _zigzag(read_number(told, 2))


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


def read_fields(data: bytes) -> _Fields:
    """The values of each field of a message: numbers, or bytes.

    Raises
    ------
    TailError
        It is malformed.
    """
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


def read_number(fields: _Fields, number: int) -> int:
    """The last value of the field `number`, 0 where it is left out."""
    found = fields.get(number) or [0]
    return found[-1] if isinstance(found[-1], int) else 0


def _bytes(fields: _Fields, number: int) -> bytes:
    found = fields.get(number) or [b""]
    return found[-1] if isinstance(found[-1], bytes) else b""


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
