"""What the tail of an ORC file tells: rows of its stripes, nulls and sizes of its columns.

pyarrow hands the tail over, but does not parse it. Without it integers and booleans of a file would
have to be read before a plan is made.

References
----------
ORC specification, "File Tail"; fields are numbered as in ``orc_proto.proto``, and laid out as
Protocol Buffers have it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.formats.table_access import fixed_nbytes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["OrcTail", "read_tail"]

_OFFSET_NBYTES = 4
_NUMBER_NBYTES = 8

_Fields = dict[int, list[int | bytes]]


class OrcTail(NamedTuple):
    """What the tail tells.

    Attributes
    ----------
    rows : list of int
        Of each stripe.
    nulls : dict of str to int
        Of each column of which it tells them.
    nbytes : list of int
        Of each column in memory, about.
    """

    rows: list[int]
    nulls: dict[str, int]
    nbytes: list[int]


def read_tail(tail: bytes, schema: pa.Schema) -> OrcTail:
    """Return what `tail`, a serialized ``FileTail`` of a file of `schema`, tells.

    Raises
    ------
    ValueError, LookupError
        It is malformed.
    """
    footer = _read_fields(_bytes(_read_fields(tail), 2))
    rows = [_number(stripe, 5) for stripe in _messages(footer, 3)]
    total = _number(footer, 6)
    if sum(rows) != total:
        raise ValueError(f"its stripes have {sum(rows):,} rows, but the file {total:,}")
    types = list(_messages(footer, 4))
    statistics = list(_messages(footer, 7)) or [{} for _ in types]
    # Columns are numbered depth first: those within a column follow it.
    places = [*_children(types[0]), len(types)]
    nulls, nbytes = {}, []
    for field, (place, end) in zip(schema, pairwise(places), strict=True):
        if 1 in statistics[place]:
            nulls[field.name] = total - _number(statistics[place], 1)
        fixed = fixed_nbytes(field.type)
        parts = (_nbytes(one, total) for one in statistics[place:end])
        nbytes.append(sum(parts) if fixed is None else int(fixed * total))
    if any(count < 0 for count in nulls.values()):
        raise ValueError("a column has more values than rows")
    return OrcTail(rows, nulls, nbytes)


def _nbytes(statistics: _Fields, total: int) -> int:
    """Bytes of a column of texts, bytes, lists, structs or what stands in these."""
    values = _number(statistics, 1) if 1 in statistics else total
    for kind, field in ((4, 3), (8, 1)):
        if kind in statistics:
            length = _number(_read_fields(_bytes(statistics, kind)), field)
            return _OFFSET_NBYTES * values + (length >> 1)  # zigzag
    return _NUMBER_NBYTES * values


def _children(type_: _Fields) -> list[int]:
    """The places of the columns directly within a type: numbers, or several packed into bytes."""
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
    fields: _Fields = {}
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        value: int | bytes
        wire = tag & 7
        if wire == 0:
            value, place = _read_varint(data, place)
        else:
            length, place = _read_varint(data, place) if wire == 2 else ({1: 8, 5: 4}[wire], place)
            value = data[place : place + length]
            place += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _messages(fields: _Fields, number: int) -> list[_Fields]:
    return [_read_fields(one) for one in fields.get(number, ()) if isinstance(one, bytes)]


def _number(fields: _Fields, number: int) -> int:
    """The last value of a field, 0 where it is left out."""
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _bytes(fields: _Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""
