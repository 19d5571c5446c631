"""What the footer of a Parquet file tells of its row groups: sizes, places and nulls of columns.

It knows nothing of Arrow. pyarrow tells the same, but ends the process where a damaged footer
contradicts itself; here each number is looked at before anything else is done with the file.

References
----------
``parquet.thrift``; fields are numbered as there, and laid out as Thrift's compact protocol has it.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

__all__ = ["ColumnChunk", "FooterError", "RowGroup", "read_footer"]

_MAX_DEPTH = 32
_BYTE_ARRAY = 6
_REPEATED, _OPTIONAL = 2, 1
_TYPES = 8
_CODECS = 8


class FooterError(ValueError):
    """The bytes are no footer, or it contradicts itself."""


class ColumnChunk(NamedTuple):
    """A column of a row group: from and to where its bytes go, and what they hold.

    `null_count` is None where it isn't told.
    """

    start: int
    stop: int
    nbytes: int
    null_count: int | None


class RowGroup(NamedTuple):
    """Rows, and the columns (leaves of nested ones) in the schema's order."""

    rows: int
    columns: tuple[ColumnChunk, ...]


class _Leaf(NamedTuple):
    type: int
    repetitions: int
    definitions: int


def read_footer(data: bytes, file_nbytes: int) -> tuple[RowGroup, ...]:
    """The row groups that the footer `data` of a file of `file_nbytes` tells of.

    Raises
    ------
    FooterError
        It is malformed; a column's type is not the schema's, its bytes lie outside of the file, or
        the file has other rows than its row groups together.

    Notes
    -----
    About 20 µs a column of a row group.
    """
    try:
        told, _ = _read_struct(data, 0, 0)
        leaves = _read_leaves(told[2])
        groups = tuple(_read_group(one, leaves, file_nbytes) for one in told.get(4, []))
        rows = told[3]
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, struct.error) as error:
        if isinstance(error, FooterError):
            raise
        raise FooterError("it is malformed") from error
    if sum(group.rows for group in groups) != rows:
        raise FooterError(f"it tells of {rows} rows, but its row groups have others")
    return groups


def _read_leaves(elements: list[dict[int, Any]]) -> list[_Leaf]:
    """The columns with values, with the most levels that each can have."""
    leaves: list[_Leaf] = []
    open_: list[list[int]] = []  # children that are still to come, and levels, of each parent
    for place, one in enumerate(elements):
        repetitions, definitions = open_[-1][1:] if open_ else (0, 0)
        if place:
            if not open_:
                raise FooterError("its schema has more columns than it says")
            open_[-1][0] -= 1
            repetitions += one.get(3) == _REPEATED
            definitions += one.get(3) in (_OPTIONAL, _REPEATED)
        children = one.get(5, 0)
        if children or 1 not in one:
            # A group may have no fields: other writers than Arrow make such, without a value.
            open_.append([children, repetitions, definitions])
        else:
            leaves.append(_Leaf(one[1], repetitions, definitions))
        while open_ and open_[-1][0] == 0:
            open_.pop()
    if open_:
        raise FooterError("its schema has fewer columns than it says")
    return leaves


def _read_group(group: dict[int, Any], leaves: list[_Leaf], file_nbytes: int) -> RowGroup:
    rows = group[3]
    chunks = group[1]
    if rows < 0 or len(chunks) != len(leaves):
        raise FooterError(f"a row group of it has {rows} rows and {len(chunks)} columns")
    if any(8 in one for one in chunks):
        raise FooterError("columns of it are encrypted, which this version can't read")
    columns = [
        _read_chunk(one[3], leaf, rows, file_nbytes)
        for one, leaf in zip(chunks, leaves, strict=True)
    ]
    return RowGroup(rows, tuple(columns))


def _read_chunk(told: dict[int, Any], leaf: _Leaf, rows: int, file_nbytes: int) -> ColumnChunk:
    if told[1] != leaf.type or not 0 <= leaf.type < _TYPES or not 0 <= told[4] < _CODECS:
        raise FooterError("a column of it is of another type than its schema tells")
    values, nbytes, compressed, start = told[5], told[6], told[7], told[9]
    # Writers that have no dictionary page may tell its place as 0, which is the file's mark.
    if told.get(11):
        start = min(start, told[11])
    if values < 0 or nbytes < 0 or compressed < 0 or start < 0 or start + compressed > file_nbytes:
        raise FooterError("a column of it lies outside of the file")
    if leaf.repetitions == 0 and values != rows:
        raise FooterError(f"a column of it has {values} values in {rows} rows")
    nulls = told.get(12, {}).get(3)
    if nulls is not None and not 0 <= nulls <= values:
        raise FooterError(f"a column of it has {nulls} nulls among {values} values")
    sizes = told.get(16, {})
    if 1 in sizes and leaf.type != _BYTE_ARRAY:
        raise FooterError("a column of it tells of bytes that its type has not")
    for field, levels in ((2, leaf.repetitions), (3, leaf.definitions)):
        if len(sizes.get(field, ())) not in (0, levels + 1):
            raise FooterError("a column of it tells of levels that it has not")
    return ColumnChunk(start, start + compressed, nbytes, nulls)


def _read_struct(data: bytes, place: int, depth: int) -> tuple[dict[int, Any], int]:
    """The fields of a struct by number, and where it ends."""
    if depth > _MAX_DEPTH:
        raise FooterError("it is nested too deep")
    fields: dict[int, Any] = {}
    number = 0
    while True:
        head = data[place]
        place += 1
        if head == 0:
            return fields, place
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, place = _read_integer(data, place)
        if kind <= 2:
            fields[number] = kind == 1
        else:
            fields[number], place = _read_value(data, place, kind, depth)


def _read_value(data: bytes, place: int, kind: int, depth: int) -> tuple[Any, int]:
    if 4 <= kind <= 6:
        return _read_integer(data, place)
    if kind == 8:
        length, place = _read_varint(data, place)
        stop = place + length
        if stop > len(data):
            raise FooterError("a text of it is longer than it")
        return data[place:stop], stop
    if kind == 12:
        return _read_struct(data, place, depth + 1)
    if kind in (9, 10):
        return _read_list(data, place, depth)
    if kind == 7:
        return struct.unpack_from("<d", data, place)[0], place + 8
    if kind in (1, 2, 3):
        return data[place], place + 1
    raise FooterError("it holds a field of no known form")


def _read_list(data: bytes, place: int, depth: int) -> tuple[list[Any], int]:
    head = data[place]
    place += 1
    count, kind = head >> 4, head & 15
    if count == 15:
        count, place = _read_varint(data, place)
    if count > len(data):
        raise FooterError("a list of it is longer than it")
    found = []
    for _ in range(count):
        value, place = _read_value(data, place, kind, depth + 1)
        found.append(value)
    return found, place


def _read_integer(data: bytes, place: int) -> tuple[int, int]:
    value, place = _read_varint(data, place)
    return (value >> 1) ^ -(value & 1), place


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    byte = data[place]
    place += 1
    if byte < 0x80:
        return byte, place
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if shift > 70:
            raise FooterError("a number of it is too long")
    return value, place
