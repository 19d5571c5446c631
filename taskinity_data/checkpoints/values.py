"""Values as bytes and back: a small tagged JSON, with the bytes of arrays and tables after it.

Whatever is read can only become values of the kinds below: no code is run and nothing is imported
by name. A JSON list encodes anything but None, bools, numbers and strings; its first item names the
kind, the others are what the kind's reader in `_READERS` gets. Frames, tables and NumPy arrays are
in `value_kinds/tables`, for which alone pandas is loaded; outcomes in `value_kinds/records`.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from taskinity_data.checkpoints.value_kinds import records
from taskinity_data.checkpoints.value_kinds.codec import (
    NoExactForm,
    TooLarge,
    ValueReader,
    ValueWriter,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NoExactForm", "TooLarge", "decode", "encode"]

_LENGTH = struct.Struct("<Q")

_MAX_INTEGER_BITS = 4096
"""Python limits the digits of integers in texts; larger ones are written in hexadecimal."""


def encode(value: Any, max_nbytes: int | None = None) -> list[bytes | memoryview]:
    """Return `value` as buffers, which `decode` takes joined; large ones are views of its own.

    Parameters
    ----------
    value
    max_nbytes : int, optional
        What texts, arrays and tables may take together.

    Raises
    ------
    NoExactForm
        It, or something in it, would not read back with equal value and types; the message says
        which type.
    TooLarge
        It takes more than `max_nbytes`.
    """
    writer = ValueWriter(_write, max_nbytes)
    try:
        plain = writer.value(value)
        sizes = [blob.nbytes for blob in writer.blobs]
        # Escaped, two halves of a surrogate pair would be read as one character.
        text = json.dumps([sizes, plain], ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )
    except RecursionError as error:
        raise NoExactForm("a value that contains itself, or is nested too deeply") from error
    return [_LENGTH.pack(len(text)) + text, *writer.blobs]


def decode(data: bytes | memoryview) -> Any:
    """Return the value that `encode` wrote.

    Raises
    ------
    ValueError
        These bytes are not `encode`'s.
    """
    view = memoryview(data)
    try:
        (length,) = _LENGTH.unpack_from(view)
        start = _LENGTH.size + length
        sizes, plain = json.loads(bytes(view[_LENGTH.size : start]))
        blobs = []
        for nbytes in sizes:
            blobs.append(view[start : start + nbytes])
            start += nbytes
        if start != len(view):
            raise ValueError("its length is wrong")
        return ValueReader(_read, blobs).value(plain)
    except (struct.error, ValueError, KeyError, IndexError, TypeError, ArithmeticError) as error:
        raise ValueError(f"no stored value: {error}") from error


def _write(writer: ValueWriter, value: Any) -> Any:
    write = _WRITERS.get(type(value))
    if write is None:
        from taskinity_data.checkpoints.value_kinds import tables  # pandas is loaded for it

        return tables.write(writer, value)
    return write(writer, value)


def _read(reader: ValueReader, tag: str, parts: list[Any]) -> Any:
    read = _READERS.get(tag)
    if read is None:
        from taskinity_data.checkpoints.value_kinds import tables

        read = tables.READERS[tag]
    return read(reader, parts)


def _write_integer(_writer: ValueWriter, value: int) -> Any:
    return value if value.bit_length() <= _MAX_INTEGER_BITS else ["integer", hex(value)]


def _write_items(tag: str) -> Callable[[ValueWriter, Any], Any]:
    def write(writer: ValueWriter, value: Any) -> Any:
        return [tag, *writer.values(value)]

    return write


def _write_pairs(tag: str) -> Callable[[ValueWriter, Any], Any]:
    def write(writer: ValueWriter, value: Any) -> Any:
        return [tag, *(writer.value(part) for pair in value.items() for part in pair)]

    return write


def _read_pairs(reader: ValueReader, parts: list[Any]) -> dict[Any, Any]:
    items = reader.values(parts)
    return dict(zip(items[::2], items[1::2], strict=True))


def _write_datetime(_writer: ValueWriter, value: datetime) -> Any:
    zone = value.tzinfo
    name = zone.key if type(zone) is ZoneInfo else "UTC" if zone is UTC else None
    if zone is not None and name is None:
        raise NoExactForm(f"the time zone {zone!r}")
    naive = value.replace(tzinfo=None, fold=0).isoformat()
    return ["datetime", naive, value.fold, name, zone is UTC]


def _read_datetime(_reader: ValueReader, parts: list[Any]) -> datetime:
    text, fold, name, is_utc = parts
    zone = UTC if is_utc else None if name is None else ZoneInfo(name)
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


_WRITERS: dict[type, Callable[[ValueWriter, Any], Any]] = records.WRITERS | {
    int: _write_integer,
    list: _write_items("list"),
    tuple: _write_items("tuple"),
    set: _write_items("set"),
    frozenset: _write_items("frozenset"),
    dict: _write_pairs("dict"),
    Counter: _write_pairs("counter"),
    bytes: lambda writer, value: ["bytes", writer.blob(value)],
    array: lambda writer, value: ["numbers", value.typecode, writer.blob(value)],
    complex: lambda _, value: ["complex", value.real, value.imag],
    Decimal: lambda _, value: ["decimal", str(value)],
    date: lambda _, value: ["date", value.toordinal()],
    datetime: _write_datetime,
    timedelta: lambda _, value: ["timedelta", value.days, value.seconds, value.microseconds],
}

_READERS: dict[str, Callable[[ValueReader, list[Any]], Any]] = records.READERS | {
    "integer": lambda _, parts: int(parts[0], 16),
    "list": lambda reader, parts: reader.values(parts),
    "tuple": lambda reader, parts: tuple(reader.values(parts)),
    "set": lambda reader, parts: set(reader.values(parts)),
    "frozenset": lambda reader, parts: frozenset(reader.values(parts)),
    "dict": _read_pairs,
    "counter": lambda reader, parts: Counter(_read_pairs(reader, parts)),
    "bytes": lambda reader, parts: bytes(reader.blobs[parts[0]]),
    "numbers": lambda reader, parts: array(parts[0], bytes(reader.blobs[parts[1]])),
    "complex": lambda _, parts: complex(*parts),
    "decimal": lambda _, parts: Decimal(parts[0]),
    "date": lambda _, parts: date.fromordinal(parts[0]),
    "datetime": _read_datetime,
    "timedelta": lambda _, parts: timedelta(*parts),
}
