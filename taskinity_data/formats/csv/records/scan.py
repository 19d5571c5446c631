"""Find the ends of records in a range, block by block.

Regular blocks are searched with vectorised bit marks, all others byte by byte with the state
machine; both return the same record ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from taskinity_data.formats.csv.records.bit_marks import (
    BlockBits,
    Ends,
    Words,
    pack_bits,
    unpack_bits,
)
from taskinity_data.formats.csv.records.blocks import (
    Buffer,
    ReadInto,
    RecordBlock,
    Source,
    find_last_line_end,
    open_source,
    read_blocks,
    round_up,
    skip_bom,
)
from taskinity_data.formats.csv.records.state_machine import BETWEEN, UNCLOSED, State, get_walker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = [
    "BLOCK_NBYTES",
    "Scan",
    "are_regular",
    "count_rows",
    "ends_open",
    "join_texts",
    "scan_range",
    "trim_to_records",
]

BLOCK_NBYTES = 1 << 20
"""Bytes of a block, and with the masks made of it about what a core's second cache holds."""

LEAF_NBYTES = 1 << 15
"""An irregular block is halved down to this."""


class Scan(NamedTuple):
    """The record ends in a run of bytes.

    `bits` marks the last byte of each record, the lowest bit of its first word being the first
    byte; where it is None, any records that `rows` counts end in front of the run. `is_open`: the
    range ends within quotes or after an escape, which pandas refuses.
    """

    nbytes: int
    rows: int
    bits: Words | None
    is_open: bool = False

    def find_ends(self) -> npt.NDArray[np.int64]:
        """Return the offsets after each record, from the run's first byte; shape (rows,)."""
        if self.bits is None:
            return np.zeros(self.rows, np.int64)
        return unpack_bits(self.bits) + 1

    def find_first(self, offset: int) -> tuple[int, int] | None:
        """Return the first end at or after `offset`, and how many ends are up to it, or None.

        Costs a look at each word; `find_ends` costs a look at each bit.
        """
        if self.bits is None:
            return (0, self.rows) if self.rows and offset <= 0 else None
        word, bit = divmod(max(offset - 1, 0), 64)
        if word >= len(self.bits):
            return None
        ends = int(self.bits[word]) >> bit << bit
        if not ends:
            word += 1
            word += int((self.bits[word:] != 0).argmax()) if word < len(self.bits) else 0
            ends = int(self.bits[word]) if word < len(self.bits) else 0
            if not ends:
                return None
        lowest = ends & -ends
        count = int(np.bitwise_count(self.bits[:word]).sum())
        count += (int(self.bits[word]) & (2 * lowest - 1)).bit_count()
        return word * 64 + lowest.bit_length(), count


def scan_range(
    read: ReadInto,
    start: int,
    stop: int,
    dialect: Dialect,
    *,
    block_nbytes: int = BLOCK_NBYTES,
) -> Iterator[Scan]:
    """Yield the record ends from `start`, where a record begins, to `stop`.

    Parameters
    ----------
    read : callable
        Reads bytes of the file into a buffer.
    start, stop : int
        Bytes. A byte order mark at 0 is a scan without rows.
    dialect : Dialect
    block_nbytes : int
        Bytes that are searched at once.

    Yields
    ------
    Scan
        In order and without gaps: their `nbytes` add up to the range.
    """
    begin = skip_bom(read, start, stop)
    if begin > start:
        yield Scan(begin - start, 0, None)
    spare: list[Buffer] = []
    state = State.RECORD
    for block in read_blocks(read, begin, stop, dialect, block_nbytes, spare):
        scans, state = _find_ends(block, state, dialect)
        yield from scans
        spare.append(block.buffer)
    if state not in BETWEEN:
        yield Scan(0, 1, None, is_open=state in UNCLOSED)


def count_rows(source: Source, start: int, stop: int, dialect: Dialect) -> int:
    r"""Count the rows that pandas makes of a range that begins at a record.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes. A byte order mark at 0 is not data.
    dialect : Dialect

    Notes
    -----
    One pass, gigabytes a second where the text is regular.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> count_rows(b'a,"b"\n\nc,d', 0, 10, Dialect())
    2
    """
    with open_source(source) as read:
        return sum(scan.rows for scan in scan_range(read, start, stop, dialect))


def ends_open(data: bytes, dialect: Dialect) -> bool:
    r"""Return whether records end within quotes, or after an escape; the first begins outside.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> ends_open(b'a,"b"\n', Dialect()), ends_open(b'a,"b\n', Dialect())
    (False, True)
    """
    with open_source(data) as read:
        return any(scan.is_open for scan in scan_range(read, 0, len(data), dialect))


def _find_ends(block: RecordBlock, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    """Return the block's ends, and the state after it; half by half where it is irregular.

    So little of it has to be walked.
    """
    has_bits = block.is_closed and dialect.is_plain and state in (State.RECORD, State.QUOTED)
    if has_bits:
        ends = BlockBits(block, dialect).find_ends(state == State.QUOTED)
        if ends is not None:
            return _scan_of(block.nbytes, ends)
    middle = 0
    if block.nbytes > LEAF_NBYTES:
        middle = find_last_line_end(block.buffer.data, block.nbytes // 2, dialect)
    if not middle:
        return _walk(block, state, dialect)
    scans: list[Scan] = []
    for part in (
        block.copy(0, middle, is_closed=True),
        block.copy(middle, block.nbytes, is_closed=block.is_closed),
    ):
        part_scans, state = _find_ends(part, state, dialect)
        scans += part_scans
    return scans, state


def _scan_of(nbytes: int, ends: Ends) -> tuple[list[Scan], State]:
    count = int(np.bitwise_count(ends.bits).sum())
    after = State.QUOTED if ends.is_quoted else State.RECORD
    return [Scan(nbytes, count, ends.bits)], after


def _walk(block: RecordBlock, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    data = block.buffer.data[: block.nbytes]
    ends, after = get_walker(dialect).walk(data, state)
    if block.is_closed and after in (State.RETURN, State.SKIPPED_RETURN):
        # What follows a line end that is sure is neither a LF nor a `sep`: the record ends here.
        if after == State.RETURN:
            ends.append(block.nbytes)
        after = State.RECORD
    marks = np.zeros(round_up(block.nbytes), np.bool_)
    marks[np.array(ends, np.intp) - 1] = True
    return [Scan(block.nbytes, len(ends), pack_bits(marks))], after


def are_regular(data: bytes, seps: bytes, quotechar: str | None) -> bool:
    r"""Return whether each quote opens a field, closes it, or is half of a doubled one inside it.

    Parameters
    ----------
    data : bytes
        Whole records, of which the first begins outside quotes.
    seps : bytes
        Each separates fields.

    Examples
    --------
    >>> are_regular(b'"a,b",1\n', b",", '"'), are_regular(b'a"b,1\n', b",", '"')
    (True, False)
    """
    if quotechar is None:
        return True
    quote = quotechar.encode()
    if quote not in data:
        return True
    values = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(values == quote[0])
    if len(at) % 2:
        return False
    borders = np.zeros(256, dtype=bool)
    borders[[*seps, 10, 13, quote[0]]] = True
    # Quotes open and close in turn; a doubled one closes and opens at once, which is why a quote
    # counts as a border.
    opens, closes = at[::2], at[1::2]
    before = np.where(opens > 0, values[opens - 1], 10)
    after = np.where(closes + 1 < len(values), values[np.minimum(closes + 1, len(values) - 1)], 10)
    return bool(borders[before].all() and borders[after].all())


def join_texts(texts: Sequence[bytes], dialect: Dialect) -> bytes | None:
    r"""Return whole records as one text, or None if one of `texts` may end within quotes.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> join_texts([b"1,2", b"", b"3,4\n"], Dialect()), join_texts([b'1,"2', b'"'], Dialect())
    (b'1,2\n3,4\n', None)
    """
    if dialect.escapechar is not None:
        return None
    quote = dialect.quote_byte
    if quote is not None and any(quote in text for text in texts):
        is_plain = dialect.comment is None and dialect.doublequote
        seps = dialect.sep_bytes
        if not is_plain or not all(are_regular(text, seps, dialect.quotechar) for text in texts):
            return None
    return b"".join(text + b"\n" * (not text.endswith(b"\n")) for text in texts if text)


def trim_to_records(window: bytes, seps: bytes, quotechar: str | None) -> bytes | None:
    """Return the whole records inside a window that begins anywhere, None if it is unclear.

    With quotes in the window, the bytes after its first line end must read regularly from outside
    quotes and irregularly from inside. Without any, they are taken for records.
    """
    first = window.find(b"\n")
    if first < 0:
        return None
    body = window[first + 1 :]
    quote = None if quotechar is None else quotechar.encode()
    if quote is None or quote not in body:
        return body[: body.rfind(b"\n") + 1] or None
    values = np.frombuffer(body, dtype=np.uint8)
    is_inside = np.logical_xor.accumulate(values == quote[0])
    ends = np.flatnonzero((values == 10) & ~is_inside)
    if not len(ends):
        return None
    body = body[: int(ends[-1]) + 1]
    is_outside = are_regular(body, seps, quotechar)
    return body if is_outside and not are_regular(quote + body + quote, seps, quotechar) else None
