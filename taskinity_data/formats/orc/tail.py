"""The contents of an ORC file's tail: rows of its stripes, nulls and sizes of its columns.

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
    """The contents of a tail.

    Attributes
    ----------
    rows : list of int
        Of each stripe.
    nulls : dict of str to int
        Of each column for which it has them.
    nbytes : list of int
        Of each column in memory, about.
    """

    rows: list[int]
    nulls: dict[str, int]
    nbytes: list[int]


def read_tail(tail: bytes, schema: pa.Schema) -> OrcTail:
    """Return what `tail`, a serialized ``FileTail`` of a file of `schema`, holds.

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
    numbers = [*_children(types[0]), len(types)]
    nulls, nbytes = {}, []
    for field, (number, end) in zip(schema, pairwise(numbers), strict=True):
        if 1 in statistics[number]:
            nulls[field.name] = total - _number(statistics[number], 1)
        fixed = fixed_nbytes(field.type)
        parts = (_nbytes(column, total) for column in statistics[number:end])
        nbytes.append(sum(parts) if fixed is None else int(fixed * total))
    if any(count < 0 for count in nulls.values()):
        raise ValueError("a column has more values than rows")
    return OrcTail(rows, nulls, nbytes)


def _nbytes(statistics: _Fields, total: int) -> int:
    """Return bytes of a column of texts, bytes, lists, structs or their children."""
    values = _number(statistics, 1) if 1 in statistics else total
    for kind, field in ((4, 3), (8, 1)):
        if kind in statistics:
            length = _number(_read_fields(_bytes(statistics, kind)), field)
            return _OFFSET_NBYTES * values + (length >> 1)  # zigzag
    return _NUMBER_NBYTES * values


def _children(type_: _Fields) -> list[int]:
    """Return the numbers of the columns directly within a type, some packed into bytes."""
    numbers: list[int] = []
    for packed in type_[2]:
        if isinstance(packed, int):
            numbers.append(packed)
            continue
        offset = 0
        while offset < len(packed):
            value, offset = _read_varint(packed, offset)
            numbers.append(value)
    return numbers


def _read_fields(data: bytes) -> _Fields:
    """Return the values of each field of a message: numbers, or bytes."""
    fields: _Fields = {}
    offset = 0
    while offset < len(data):
        tag, offset = _read_varint(data, offset)
        value: int | bytes
        wire = tag & 7
        if wire == 0:
            value, offset = _read_varint(data, offset)
        else:
            length, offset = (
                _read_varint(data, offset) if wire == 2 else ({1: 8, 5: 4}[wire], offset)
            )
            value = data[offset : offset + length]
            offset += length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _read_varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset


def _messages(fields: _Fields, number: int) -> list[_Fields]:
    values = fields.get(number, ())
    return [_read_fields(message) for message in values if isinstance(message, bytes)]


def _number(fields: _Fields, number: int) -> int:
    """Return the last value of a field, 0 where it is left out."""
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _bytes(fields: _Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    return value if isinstance(value, bytes) else b""
