"""The headers of Arrow IPC messages and footers: what a message holds, without its body.

It knows nothing of schemas, columns or files' names: it reads numbers out of bytes.

References
----------
Arrow columnar format, "Serialization and Interprocess Communication"; the tables' fields are
numbered as in ``Message.fbs`` and ``File.fbs``, and laid out as FlatBuffers have it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from taskinity_data.sources.read import Bytes

__all__ = ["IpcFooter", "Message", "MessageError", "MessageRange", "read_footer", "read_message"]

_CONTINUATION = -1
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_KINDS = {_SCHEMA: "schema", _DICTIONARY: "dictionary", _BATCH: "batch"}
_PREFIX_NBYTES = 8
_OLD_PREFIX_NBYTES = 4
_WRAP = struct.Struct("<I2H4HihBxI4xq")
_WRAP_HEADER = 24
"""Where the table's offset, size and fields (version, kind, header, body's length) stand, then they
themselves; the header's is at byte 24, and counts from there."""


class MessageError(ValueError):
    """The bytes are no message."""


class MessageRange(NamedTuple):
    """Where a footer says that a message lies, in bytes."""

    start: int
    header_nbytes: int
    body_nbytes: int


class IpcFooter(NamedTuple):
    """What a file's footer tells: where messages lie, and the schema as a message of its own."""

    schema: bytes
    dictionaries: list[MessageRange]
    batches: list[MessageRange]


@dataclass(frozen=True, slots=True)
class Message:
    """One message's header.

    Attributes
    ----------
    kind : {"schema", "dictionary", "batch", "end"}
    start, body, stop : int
        Bytes in the file where it begins, where its body begins and where it ends.
    rows : int
        Of a batch, else 0.
    nodes : tuple of (int, int)
        Length and nulls of each field of a batch, those within others among them.
    buffers : tuple of (int, int)
        Place in the body and length, in bytes, of each buffer of a batch.
    variadic : tuple of int
        Data buffers of each column of views of a batch.
    is_compressed : bool
    dictionary : int
        Id of a dictionary.
    is_delta : bool
        Whether a dictionary adds to the one before instead of replacing it.
    """

    kind: str
    start: int
    body: int
    stop: int
    rows: int = 0
    nodes: tuple[tuple[int, int], ...] = ()
    buffers: tuple[tuple[int, int], ...] = ()
    variadic: tuple[int, ...] = ()
    is_compressed: bool = False
    dictionary: int = 0
    is_delta: bool = False


class _Table:
    """A FlatBuffers table at byte `place` of `data`."""

    def __init__(self, data: memoryview, place: int) -> None:
        self._data, self._place = data, place
        self._vtable = place - _number(data, place, "i")
        self._size = _number(data, self._vtable, "H")

    def _find(self, field: int) -> int:
        """Where `field` stands, 0 where it is left out."""
        entry = 4 + 2 * field
        offset = _number(self._data, self._vtable + entry, "H") if entry < self._size else 0
        return self._place + offset if offset else 0

    @property
    def place(self) -> int:
        return self._place

    def number(self, field: int, code: str) -> int:
        place = self._find(field)
        return _number(self._data, place, code) if place else 0

    def table(self, field: int) -> _Table | None:
        place = self._find(field)
        return _Table(self._data, place + _number(self._data, place, "I")) if place else None

    def rows_of(self, field: int, codes: str) -> tuple[tuple[int, ...], ...]:
        """A vector of structs, each of the numbers `codes`."""
        place = self._find(field)
        if not place:
            return ()
        place += _number(self._data, place, "I")
        count = _number(self._data, place, "I")
        packed = struct.Struct(f"<{codes}")
        first, last = place + 4, place + 4 + count * packed.size
        if last > len(self._data):
            raise MessageError("a list in its header is longer than the header")
        return tuple(packed.iter_unpack(self._data[first:last]))


def _number(data: memoryview, place: int, code: str) -> int:
    if place < 0:
        raise MessageError("its header points outside itself")
    try:
        return int(struct.unpack_from(f"<{code}", data, place)[0])
    except struct.error as error:
        raise MessageError("its header points outside itself") from error


def read_message(data: Bytes, start: int) -> Message:
    """The message that begins at byte `start` of the file `data`.

    Raises
    ------
    MessageError
        The file ends within it, or it is malformed.
    """
    if start + _OLD_PREFIX_NBYTES > len(data):
        raise MessageError("the file ends before the mark that ends it")
    begin = data[start : start + _PREFIX_NBYTES]
    nbytes, prefix = _number(begin, 0, "i"), _OLD_PREFIX_NBYTES
    if nbytes == _CONTINUATION:
        nbytes, prefix = _number(begin, prefix, "i"), _PREFIX_NBYTES
    first = start + prefix
    if nbytes == 0:
        return Message("end", start, first, first)
    body = first + nbytes
    if nbytes < 0 or body > len(data):
        raise MessageError(f"its header should have {nbytes:,} bytes, but the file ends before")
    header = data[first:body]
    message = _Table(header, _number(header, 0, "I"))
    kind = _KINDS.get(message.number(1, "B"))
    content = message.table(2)
    stop = body + message.number(3, "q")
    if kind is None or content is None:
        raise MessageError("it is neither a schema nor a dictionary nor a record batch")
    if not body <= stop <= len(data):
        raise MessageError(f"its body should have {stop - body:,} bytes, but the file ends before")
    if kind == "dictionary":
        is_delta = bool(content.number(2, "B"))
        return Message(
            kind, start, body, stop, dictionary=content.number(0, "q"), is_delta=is_delta
        )
    if kind == "schema":
        return Message(kind, start, body, stop)
    rows = content.number(0, "q")
    nodes = content.rows_of(1, "qq")
    buffers = content.rows_of(2, "qq")
    if rows < 0 or any(length < 0 or not 0 <= nulls <= length for length, nulls in nodes):
        raise MessageError("it counts fewer rows than none, or more nulls than rows")
    if any(place < 0 or length < 0 or body + place + length > stop for place, length in buffers):
        raise MessageError("a buffer of it lies outside of its body")
    return Message(
        kind,
        start,
        body,
        stop,
        rows,
        tuple((length, nulls) for length, nulls in nodes),
        tuple((place, length) for place, length in buffers),
        tuple(count for (count,) in content.rows_of(4, "q")),
        content.table(3) is not None,
    )


def read_footer(data: memoryview) -> IpcFooter:
    """What the footer `data` of a file tells.

    Raises
    ------
    MessageError
        It is malformed.

    Notes
    -----
    The schema that stands before the batches is not looked at: not all writers make it a message.
    """
    table = _Table(data, _number(data, 0, "I"))
    schema = table.table(1)
    if schema is None:
        raise MessageError("it has no schema")
    dictionaries, batches = (
        [MessageRange(start, header, body) for start, header, body in table.rows_of(field, "qi4xq")]
        for field in (2, 3)
    )
    # A message whose header is the footer's schema, wherever that stands: FlatBuffers' offsets are
    # relative, so that the footer may follow as it is.
    begin = _WRAP.size + schema.place - _WRAP_HEADER
    wrap = _WRAP.pack(16, 12, 24, 4, 6, 8, 16, 12, table.number(0, "h"), _SCHEMA, begin, 0)
    message = wrap + bytes(data)
    message += bytes(-len(message) % _PREFIX_NBYTES)
    return IpcFooter(
        struct.pack("<ii", _CONTINUATION, len(message)) + message, dictionaries, batches
    )
