"""Where records end in a block of CSV, found a machine word of 64 bytes at a time.

It answers if there are no comments and quotes are only at the edges of fields; of other blocks it
answers None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from taskinity_data.formats.csv.records.blocks import round_up

if TYPE_CHECKING:
    from taskinity_data.formats.csv.records.blocks import RecordBlock
    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = ["BlockBits", "Ends", "Words", "pack_bits", "unpack_bits"]

Words = npt.NDArray[np.uint64]

LAST = np.uint64(63)
UNIT = np.uint64(1)
ZERO = np.uint64(0)


class Ends(NamedTuple):
    """Where records end in a block.

    `bits` has a bit for each byte (the lowest bit of the first word is the first byte), set at the
    last byte of each record; `is_quoted` says that the block ends within quotes.
    """

    bits: Words
    is_quoted: bool


class BlockBits:
    """The marks of one block as bits, from which its record ends follow.

    Parameters
    ----------
    block : RecordBlock
        One that is closed, and begins within quotes or with a record.
    dialect : Dialect
        One whose bytes have one meaning at most (`is_plain`).

    Notes
    -----
    One comparison of the block for each kind of mark that occurs, then some ten to forty passes
    over an eighth of its size. numpy runs them without the interpreter lock; the looks for absent
    marks hold it for about 10 microseconds a megabyte.

    References
    ----------
    Quoted regions as a prefix xor of the quote bits, escapes by the carry of a sum: Langdale and
    Lemire, "Parsing Gigabytes of JSON per Second", VLDB Journal 28 (2019).
    """

    def __init__(self, block: RecordBlock, dialect: Dialect) -> None:
        self._data = block.buffer.data
        self._nbytes = block.nbytes
        padded = round_up(block.nbytes)
        self._block = block.buffer.array[:padded]
        self._scratch = block.buffer.scratch[:padded]
        self._dialect = dialect
        self._unescaped = None
        if dialect.escape_byte is not None and self._has(dialect.escape_byte):
            self._unescaped = ~_find_escaped(self._find(dialect.escape_byte))
        line_feeds = self._find_mark(ord("\n"))
        self._line_ends = self._line_marks = line_feeds
        self._returns = None
        if self._has(ord("\r")):
            self._returns = self._find_mark(ord("\r"))
            self._line_ends = line_feeds | self._returns & ~_before(line_feeds)
            self._line_marks = line_feeds | self._returns
        self._quotes = None
        if dialect.quote_byte is not None and self._has(dialect.quote_byte):
            self._quotes = self._find_mark(dialect.quote_byte)
            self._edges = self._line_marks
            for byte in dialect.sep_bytes:
                self._edges = self._edges | self._find_mark(byte)

    def find_ends(self, is_quoted: bool) -> Ends | None:
        """Return the record ends, if quotes are only at the edges of fields.

        Parameters
        ----------
        is_quoted : bool
            The block begins within quotes; else it begins with a record.

        Returns
        -------
        Ends or None
            None if the block is not regular under this assumption.
        """
        if self._quotes is None:
            inside = np.full_like(self._line_ends, ~ZERO) if is_quoted else None
        else:
            inside = _prefix_xor(self._quotes)
            if is_quoted:
                inside = ~inside
            opening = self._quotes & inside
            closing = self._quotes & ~inside
            may_open = self._find_field_starts(is_quoted=is_quoted)
            may_close = _before(self._edges)
            if self._dialect.doublequote:
                may_open |= _after(closing, 0)
                may_close |= _before(opening)
            if (opening & ~may_open).any() or (closing & ~may_close).any():
                return None
        return self._end_records(inside, is_quoted=is_quoted)

    def _end_records(self, inside: Words | None, *, is_quoted: bool) -> Ends | None:
        """Return the line ends outside quotes, without those of blank lines."""
        if self._is_commented(inside):
            return None
        ends = self._line_ends
        ends_quoted = False
        if inside is not None:
            ends = ends & ~inside
            ends_quoted = bool(inside[-1] >> LAST)
        if self._dialect.skip_blank_lines:
            blank = self._find_blank(ends, is_quoted=is_quoted)
            if blank is not None:
                if self._hides_sep(blank):
                    return None
                ends = ends & ~blank
        return Ends(ends, ends_quoted)

    def _has(self, byte: int | None) -> bool:
        return byte is not None and self._data.find(byte, 0, self._nbytes) >= 0

    def _find(self, byte: int) -> Words:
        return pack_bits(np.equal(self._block, byte, out=self._scratch))

    def _find_mark(self, byte: int) -> Words:
        """Return where `byte` is and is not escaped."""
        bits = self._find(byte)
        return bits if self._unescaped is None else bits & self._unescaped

    def _find_field_starts(self, *, is_quoted: bool) -> Words:
        """Return where a quote would open, as far as the bytes before it tell."""
        starts = _after(self._edges, 0 if is_quoted else 1)
        if self._dialect.skipinitialspace:
            spaces = self._find(ord(" "))
            starts |= _after_runs(starts & spaces, spaces)
        return starts

    def _is_commented(self, inside: Words | None) -> bool:
        byte = self._dialect.comment_byte
        if byte is None or not self._has(byte):
            return False
        return inside is None or bool((self._find_mark(byte) & ~inside).any())

    def _find_blank(self, ends: Words, *, is_quoted: bool) -> Words | None:
        """Return the ends of blank lines, among `ends`; None if there are none."""
        firsts = _after(ends, 0 if is_quoted else 1)
        # Line ends, spaces and tabs are all below: most blocks have no such byte at a line's start.
        low = pack_bits(np.less_equal(self._block, ord(" "), out=self._scratch))
        if not (firsts & low).any():
            return None
        for runs in self._find_blanks():
            firsts |= _after_runs(firsts & runs, runs)
        if self._returns is not None:
            firsts |= _after(firsts & self._returns, 0)
        blank = firsts & ends
        return blank if blank.any() else None

    def _find_blanks(self) -> list[Words]:
        """Spaces and tabs, as far as lines of them are blank; none or one array."""
        bits = [self._find(byte) for byte in self._dialect.blank_bytes]
        return [bits[0] | bits[-1]] if bits else []

    def _hides_sep(self, blank: Words) -> bool:
        """Return whether pandas swallows a `sep`, as after a blank line that a lone CR ends."""
        if self._returns is None:
            return False
        after = _after(blank & self._returns, 0)
        return any((after & self._find(byte)).any() for byte in self._dialect.sep_bytes)


def pack_bits(flags: npt.NDArray[np.bool_]) -> Words:
    """Return a bit for each of a whole number of 64 booleans, lowest first."""
    words: Words = np.packbits(flags, bitorder="little").view("<u8")
    return words


def unpack_bits(bits: Words) -> npt.NDArray[np.intp]:
    """Return the places of the set bits, ascending."""
    return np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little").view(np.bool_))


def _after(bits: Words, first: int) -> Words:
    """Return the bits that follow set bits; `first` is the block's first."""
    moved = bits << UNIT
    moved[1:] |= bits[:-1] >> LAST
    moved[0] |= np.uint64(first)
    return moved


def _before(bits: Words) -> Words:
    """Return the bits that precede set bits."""
    moved = bits >> UNIT
    moved[:-1] |= bits[1:] << LAST
    return moved


def _after_runs(starts: Words, runs: Words) -> Words:
    """Return the bits right after those runs of set bits whose first bits are in `starts`.

    A sum carries through a run and comes out after it; whole numbers of any length carry across
    words. A run that reaches the block's end has nothing after it.
    """
    total = int.from_bytes(starts.tobytes(), "little") + int.from_bytes(runs.tobytes(), "little")
    carried = np.frombuffer(total.to_bytes(runs.nbytes + 1, "little"), np.uint8, runs.nbytes)
    moved: Words = carried.view("<u8") & ~runs
    return moved


def _find_escaped(escapes: Words) -> Words:
    """Return the bits after runs of an odd number of escapes, the last of which is not escaped."""
    starts = escapes & ~_after(escapes, 0)
    even = np.uint64(0x5555_5555_5555_5555)
    from_even = _after_runs(starts & even, escapes) & ~even
    return from_even | _after_runs(starts & ~even, escapes) & even


def _prefix_xor(bits: Words) -> Words:
    """Return each bit: whether an odd number of bits is set up to it and with it."""
    parity = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        parity ^= parity << np.uint64(shift)
    flips = np.bitwise_xor.accumulate(parity >> LAST)
    # 0 - 1 is all ones: words after an odd number of quotes are turned over.
    parity[1:] ^= ZERO - flips[:-1]
    return parity
