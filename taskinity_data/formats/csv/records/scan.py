"""The record ends of a range, block after block: fast where a block is regular, exact everywhere.

It knows how the two ways of finding record ends are put together, and nothing of grains.
"""

from __future__ import annotations

import re
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

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
    BOM,
    Buffer,
    ReadInto,
    RecordBlock,
    Source,
    find_last_line_end,
    open_source,
    read_blocks,
    round_up,
)
from taskinity_data.formats.csv.records.dialect import Facts
from taskinity_data.formats.csv.records.state_machine import BETWEEN, UNCLOSED, State, get_walker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = ["BLOCK_NBYTES", "Scan", "count_rows", "scan_range"]

BLOCK_NBYTES = 1 << 20
"""Bytes of a block, and with the masks made of it about what a core's second cache holds."""

LEAF_NBYTES = 1 << 15
"""An irregular block is halved down to this: below, going from mark to mark costs less."""

LONE_CR = re.compile(rb"\r(?!\n)")


class Scan(NamedTuple):
    """What was found in a run of bytes.

    `bits` marks the last byte of each record, the lowest bit of its first word being the first
    byte; where it is None, any records that `rows` counts end in front of the run.
    """

    nbytes: int
    rows: int
    facts: Facts
    bits: Words | None

    def find_ends(self) -> npt.NDArray[np.int64]:
        """The offsets behind each record, from the run's first byte; shape (rows,)."""
        if self.bits is None:
            return np.zeros(self.rows, np.int64)
        return unpack_bits(self.bits) + 1

    def find_first(self, offset: int) -> tuple[int, int] | None:
        """The first end at or behind `offset`, and how many ends there are up to it; None for none.

        Costs a look at each word; `find_ends` costs a look at each bit.
        """
        if self.bits is None:
            return (0, self.rows) if self.rows and offset <= 0 else None
        word, bit = divmod(max(offset - 1, 0), 64)
        if word >= len(self.bits):
            return None
        found = int(self.bits[word]) >> bit << bit
        if not found:
            word += 1
            word += int((self.bits[word:] != 0).argmax()) if word < len(self.bits) else 0
            found = int(self.bits[word]) if word < len(self.bits) else 0
            if not found:
                return None
        lowest = found & -found
        count = int(np.bitwise_count(self.bits[:word]).sum())
        count += (int(self.bits[word]) & (2 * lowest - 1)).bit_count()
        return word * 64 + lowest.bit_length(), count


class Guess(NamedTuple):
    """A block, and its record ends should it begin within quotes, or not."""

    block: RecordBlock
    bits: BlockBits | None
    ends: Ends | None
    is_quoted: bool


def scan_range(
    read: ReadInto,
    start: int,
    stop: int,
    dialect: Dialect,
    *,
    threads: int = 1,
    block_nbytes: int = BLOCK_NBYTES,
) -> Iterator[Scan]:
    """The record ends from `start`, which is a record's beginning, to `stop`; the scans tile it.

    Notes
    -----
    Whether a block begins within quotes is known only when the one before is done. Each block is
    therefore tried on its own, in any thread, under the assumption that fits it; going through the
    results in order then costs next to nothing, unless an assumption was wrong.

    References
    ----------
    Ge, Li, Eilebrecht, Chandramouli, Kossmann: "Speculative Distributed CSV Data Parsing for Big
    Data Analytics", SIGMOD 2019.
    """
    head = bytearray(len(BOM))
    if start == 0 and stop >= len(BOM) and read(memoryview(head), 0) == len(BOM) and head == BOM:
        yield Scan(len(BOM), 0, Facts.NONE, None)
        start = len(BOM)
    spare: list[Buffer] = []
    blocks = read_blocks(read, start, stop, dialect, block_nbytes, spare)
    state = State.RECORD
    for guess in _guess_all(blocks, dialect, threads):
        scans, state = _settle(guess, state, dialect)
        yield from scans
        spare.append(guess.block.buffer)
    if state not in BETWEEN:
        facts = Facts.UNCLOSED if state in UNCLOSED else Facts.NONE
        yield Scan(0, 1, facts, None)


def count_rows(source: Source, start: int, stop: int, dialect: Dialect) -> tuple[int, Facts]:
    r"""The rows that pandas makes of a range that begins at a record, and what is in it.

    Parameters
    ----------
    source : path or bytes
    start, stop : int
        Bytes. A byte order mark at 0 is no data.
    dialect : Dialect

    Notes
    -----
    One pass, gigabytes a second where the text is regular.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> rows, facts = count_rows(b'a,"b"\n\nc,d', 0, 10, Dialect())
    >>> rows, Facts.SKIPPED_LINES in facts, Facts.ODD in facts
    (2, True, False)
    """
    rows = 0
    facts = Facts.NONE
    with open_source(source) as read:
        for scan in scan_range(read, start, stop, dialect):
            rows += scan.rows
            facts |= scan.facts
    return rows, facts


def _guess_all(blocks: Iterable[RecordBlock], dialect: Dialect, threads: int) -> Iterator[Guess]:
    if threads == 1:
        for block in blocks:
            yield _guess(block, dialect)
        return
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="csv-cuts") as pool:
        try:
            for block in blocks:
                waiting.append(pool.submit(_guess, block, dialect))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _guess(block: RecordBlock, dialect: Dialect) -> Guess:
    """The block's ends under the first assumption that it bears out."""
    if not (block.is_aligned and block.is_closed and dialect.is_plain):
        return Guess(block, None, None, is_quoted=False)
    bits = BlockBits(block, dialect)
    ends = bits.find_ends(is_quoted=False)
    if ends is not None:
        return Guess(block, bits, ends, is_quoted=False)
    return Guess(block, bits, bits.find_ends(is_quoted=True), is_quoted=True)


def _settle(guess: Guess, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    """The block's ends, now that its first byte's state is known, and the state behind it."""
    block, bits, ends, was_quoted = guess
    if bits is not None:
        is_quoted = state == State.QUOTED
        if was_quoted != is_quoted:
            ends = bits.find_ends(is_quoted)
        if ends is not None:
            return _scan_of(block.nbytes, ends)
    return _divide(block, state, dialect)


def _divide(block: RecordBlock, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    """The ends of an irregular block, half by half, so that little of it has to be walked."""
    middle = 0
    if block.nbytes > LEAF_NBYTES:
        middle = find_last_line_end(block.buffer.data, block.nbytes // 2, dialect)
    if not middle:
        return _look_closely(block, state, dialect)
    parts = (
        block.copy(0, middle, is_closed=True),
        block.copy(middle, block.nbytes, is_closed=block.is_closed),
    )
    scans: list[Scan] = []
    for part in parts:
        ends = None
        if _has_bits(part, state, dialect):
            ends = BlockBits(part, dialect).find_ends(state == State.QUOTED)
        found, state = (
            _divide(part, state, dialect) if ends is None else _scan_of(part.nbytes, ends)
        )
        scans += found
    return scans, state


def _has_bits(block: RecordBlock, state: State, dialect: Dialect) -> bool:
    return block.is_closed and dialect.is_plain and state in (State.RECORD, State.QUOTED)


def _look_closely(block: RecordBlock, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    if _has_bits(block, state, dialect):
        bits = BlockBits(block, dialect)
        ends = bits.find_odd_ends(state == State.QUOTED)
        if ends is not None:
            return _scan_of(block.nbytes, ends)
    return _walk(block, state, dialect)


def _scan_of(nbytes: int, ends: Ends) -> tuple[list[Scan], State]:
    count = int(np.bitwise_count(ends.bits).sum())
    after = State.QUOTED if ends.is_quoted else State.RECORD
    return [Scan(nbytes, count, ends.facts, ends.bits)], after


def _walk(block: RecordBlock, state: State, dialect: Dialect) -> tuple[list[Scan], State]:
    data = block.buffer.data[: block.nbytes]
    ends, after = get_walker(dialect).walk(data, state)
    if block.is_closed and after in (State.RETURN, State.SKIPPED_RETURN):
        # What follows a line end that is sure is neither a LF nor a `sep`: the record ends here.
        if after == State.RETURN:
            ends.append(block.nbytes)
        after = State.RECORD
    facts = _look(data, dialect)
    if block.is_last and not data.endswith(b"\r"):
        # A last line without a line end is as regular as it is with one.
        closed = block.close()
        if _has_bits(closed, state, dialect):
            regular = BlockBits(closed, dialect).find_ends(state == State.QUOTED)
            facts = facts if regular is None else regular.facts
    marks = np.zeros(round_up(block.nbytes), np.bool_)
    marks[np.array(ends, np.intp) - 1] = True
    return [Scan(block.nbytes, len(ends), facts, pack_bits(marks))], after


def _look(data: bytearray, dialect: Dialect) -> Facts:
    """What is in `data`, where its record ends were walked to."""
    facts = Facts.ODD | Facts.SKIPPED_LINES
    if dialect.quotechar is not None and dialect.quotechar.encode() in data:
        facts |= Facts.QUOTES | Facts.QUOTED_LINES
    if b"\r" in data:
        facts |= Facts.CR
        if LONE_CR.search(data):
            facts |= Facts.LONE_CR
    if b"\0" in data:
        facts |= Facts.NUL
    return facts
