"""A range of bytes as blocks that end where lines do, read one after another.

Whether a block's first byte is within quotes is not known here.
"""

from __future__ import annotations

import os
import re
from codecs import BOM_UTF8
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from taskinity_data.errors import SourceChanged
from taskinity_data.sources.file import WINDOW_NBYTES, SourceFile, StoreFile
from taskinity_data.sources.read import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = [
    "Buffer",
    "ReadInto",
    "RecordBlock",
    "Source",
    "find_last_line_end",
    "get_line_end",
    "open_source",
    "read_blocks",
    "round_up",
    "skip_bom",
]

WORD = 64
CR, LF = b"\r\n"

FILL = b"\xff"
"""What follows a block in its buffer: no mark, and no blank."""

ROOM_NBYTES = 1 << 12
"""How much longer than a block its buffer is, for the beginning of the line that it was cut in."""


class ReadInto(Protocol):
    """Fills `view` with the bytes from `offset` on; says how many there were."""

    def __call__(self, view: memoryview, offset: int) -> int: ...


Source = str | os.PathLike[str] | SourceFile | bytes | bytearray | memoryview | ReadInto
"""A file or the path of a local one, its bytes, or what reads them."""


class Buffer:
    """Memory for a block and its comparisons; buffers are reused, since fresh memory is slow.

    Touching new pages took longer than all else that is done to a plain block.

    Parameters
    ----------
    nbytes : int
        Rounded up to a whole number of 64-byte words.
    """

    __slots__ = ("array", "data", "scratch")

    def __init__(self, nbytes: int) -> None:
        self.data = bytearray(round_up(nbytes))
        self.array = np.frombuffer(self.data, np.uint8)
        self.scratch = np.empty(len(self.data), np.bool_)


class RecordBlock(NamedTuple):
    """A run of bytes.

    It is the first `nbytes` bytes of the buffer, with `FILL` up to a whole number of 64-byte words.
    `is_closed`: it ends with a line end, which may be within quotes.
    """

    buffer: Buffer
    nbytes: int
    is_closed: bool

    def copy(self, start: int, stop: int, *, is_closed: bool) -> RecordBlock:
        """Return a part of it, with memory of its own."""
        part = Buffer(stop - start)
        part.data[:] = self.buffer.data[start:stop].ljust(len(part.data), FILL)
        return RecordBlock(part, stop - start, is_closed)


def round_up(nbytes: int) -> int:
    """Return `nbytes` as a whole number of 64-byte words."""
    return -(-nbytes // WORD) * WORD


@contextmanager
def open_source(source: Source) -> Iterator[ReadInto]:
    """Yield a function that reads from `source` at any place; safe to use from several threads."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = memoryview(source)

        def copy_into(view: memoryview, offset: int) -> int:
            part = content[offset : offset + len(view)]
            view[: len(part)] = part
            return len(part)

        yield copy_into
        return
    if callable(source):
        yield source
        return
    if isinstance(source, SourceFile):
        local = local_path(source)
        if local is None:
            yield StoreFile(source, WINDOW_NBYTES).read_into
            return
        source = local
    file = os.open(source, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:

        def read_into(view: memoryview, offset: int) -> int:
            done = 0
            while done < len(view):
                count = os.preadv(file, [view[done:]], offset + done)
                if count == 0:
                    break
                done += count
            return done

        yield read_into
    finally:
        os.close(file)


def skip_bom(read: ReadInto, start: int, stop: int) -> int:
    """Return where data begin in a range: after a byte order mark at 0."""
    head = bytearray(len(BOM_UTF8))
    if start > 0 or stop < len(head) or read(memoryview(head), 0) < len(head):
        return start
    return len(head) if head == BOM_UTF8 else start


def read_blocks(
    read: ReadInto,
    start: int,
    stop: int,
    dialect: Dialect,
    block_nbytes: int,
    spare: list[Buffer],
) -> Iterator[RecordBlock]:
    """Yield the bytes from `start` to `stop` as blocks of about `block_nbytes`.

    Parameters
    ----------
    read : ReadInto
    start, stop : int
    dialect : Dialect
    block_nbytes : int
    spare : list of Buffer
        Buffers that may be reused; whoever is done with a block puts its buffer here.

    Raises
    ------
    SourceChanged
        The source ends before `stop`.

    Notes
    -----
    A block is longer by what the one before left after its last line end, never by more than
    `block_nbytes`; a line longer than that goes out in blocks that are not closed. No block that is
    not the last ends with a CR of which the next byte could change the meaning.
    """
    rest = b""
    offset = start
    while offset < stop:
        count = min(block_nbytes, stop - offset)
        have = len(rest) + count
        buffer = spare.pop() if spare else Buffer(min(block_nbytes, stop - offset) + ROOM_NBYTES)
        if len(buffer.data) < have:
            buffer = Buffer(have)
        data = buffer.data
        data[: len(rest)] = rest
        n_read = read(memoryview(data)[len(rest) : have], offset)
        if n_read < count:
            raise SourceChanged(
                f"the file ends at byte {offset + n_read:,}, but {stop:,} were expected: it was "
                "truncated after it was planned; plan again",
                start=offset,
            )
        offset += count
        nbytes = find_last_line_end(data, have, dialect)
        is_closed = nbytes > 0
        if not is_closed and offset < stop:
            nbytes = have
            while nbytes and data[nbytes - 1] == CR:
                nbytes -= 1
        rest = bytes(data[nbytes:have])
        if nbytes:
            padded = round_up(nbytes)
            data[nbytes:padded] = FILL * (padded - nbytes)
            yield RecordBlock(buffer, nbytes, is_closed)
    if rest:
        buffer = Buffer(len(rest))
        buffer.data[:] = rest.ljust(len(buffer.data), FILL)
        yield RecordBlock(buffer, len(rest), is_closed=False)


def find_last_line_end(data: bytearray, stop: int, dialect: Dialect) -> int:
    r"""Return the offset after the last sure line end in ``data[:stop]``, 0 where there is none.

    Notes
    -----
    After a sure line end pandas is at the beginning of a record or within quotes, and nowhere
    else. Not sure are those that may be escaped, and a CR before a LF, before a `sep` (which pandas
    swallows after a blank line), or before an unseen byte.
    """
    escape = dialect.escape_byte
    first = 0 if escape is None else 1
    position = data.rfind(b"\n", first, stop)
    while position > 0 and data[position - 1] == escape:
        position = data.rfind(b"\n", first, position)
    if position >= 0:
        return position + 1
    position = data.rfind(b"\r", first, stop - 1)
    while position >= 0:
        is_escaped = position > 0 and data[position - 1] == escape
        if not is_escaped and data[position + 1] not in b"\n" + dialect.sep_bytes:
            return position + 1
        position = data.rfind(b"\r", first, position)
    return 0


@lru_cache(maxsize=64)
def get_line_end(dialect: Dialect) -> re.Pattern[bytes]:
    """Return a pattern for a sure line end: see `find_last_line_end`."""
    unescaped = b""
    if dialect.escapechar is not None:
        unescaped = b"(?<=[^%b])" % re.escape(dialect.escapechar.encode())
    sep = re.escape(dialect.sep_bytes)
    return re.compile(unescaped + b"(?:\\n|\\r(?=[^\\n" + sep + b"]))")
