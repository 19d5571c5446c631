"""Find where records end in any CSV, byte by byte, as pandas' C parser does.

This is the exact and slower of two searches for record ends (see `scan`); it can stop and resume
at any byte. A mark is a byte that changes the state: separator, quote, escape, comment, line end.

Notes
-----
What is particular to pandas 3 and is followed here: a quote opens a field only as its first
character; text after a closing quote continues as unquoted text, and its first character is always
text; a lone CR ends a record; a line of blanks is skipped only up to a mark that is not blank;
after a skipped line that a lone CR ends, a `sep` is swallowed.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from taskinity_data.formats.csv.records.dialect import WHITESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = ["State", "Walker", "get_walker"]

CR, LF, SPACE = b"\r\n "


class State(IntEnum):
    """The position within a record."""

    RECORD = 0  # at the beginning of a line
    FIELD = 1  # at the beginning of a field
    TEXT = 2  # in a field, outside quotes
    QUOTED = 3
    QUOTE = 4  # after a quote within quotes: a closing one, or half of a doubled one
    ESCAPE = 5
    QUOTED_ESCAPE = 6
    REMARK = 7  # in a comment after data
    SKIPPED_REMARK = 8  # in a comment line
    BLANK = 9  # in blanks that begin a line, all of them to be dropped from a field
    BLANK_TEXT = 10  # in blanks that begin a line, and would be text of a field
    RETURN = 11  # after the CR that ends a record
    SKIPPED_RETURN = 12  # after the CR that ends a skipped line


UNCLOSED = frozenset({State.QUOTED, State.ESCAPE, State.QUOTED_ESCAPE})
"""States in which pandas refuses the end of a file."""

BETWEEN = frozenset(
    {State.RECORD, State.BLANK, State.BLANK_TEXT, State.SKIPPED_REMARK, State.SKIPPED_RETURN}
)
"""States in which no record is open."""

# What a step does in addition to changing the state.
ENDS_HERE = 16
ENDS_BEFORE = 32
STATE_BITS = 15


class Walker:
    """The states and marks of one dialect as a table, with a shortcut for whole records."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._steps = [self._steps_from(state) for state in State]
        self._marks = [
            re.compile(_any_of(byte for byte in range(256) if steps[byte] != state))
            for state, steps in zip(State, self._steps, strict=True)
        ]
        self._line = _compile_line(dialect)

    def _steps_from(self, state: State) -> list[int]:
        """Return the steps that all bytes make; most of them are plain text."""
        dialect = self._dialect
        steps = [self._step(state, ord(dialect.plain_mark))] * 256
        marks = dialect.quote_byte, dialect.escape_byte, dialect.comment_byte
        for byte in (*b"\r\n \t", *dialect.sep_bytes, *marks):
            if byte is not None:
                steps[byte] = self._step(state, byte)
        return steps

    @cached_property
    def _marks_or_sep(self) -> list[re.Pattern[bytes]]:
        seps = self._dialect.sep_bytes
        return [
            re.compile(_any_of(byte for byte in range(256) if steps[byte] != state or byte in seps))
            for state, steps in zip(State, self._steps, strict=True)
        ]

    def walk(self, data: bytes | bytearray, state: State) -> tuple[list[int], State]:
        """Return the record ends in `data`, and the state after its last byte.

        Parameters
        ----------
        data : bytes
        state : State
            Where in a record `data` begins.

        Returns
        -------
        ends : list of int
            Offsets just after each record; 0 where the byte before `data` was a record's last.
        state : State
        """
        ends: list[int] = []
        offset, stop = 0, len(data)
        current = int(state)
        line = self._line
        while offset < stop:
            if current == State.RECORD and line is not None:
                match = line.match(data, offset)
                if match is not None:
                    offset = match.end()
                    if match.lastindex == 1:
                        ends.append(offset)
                    continue
            match = self._marks[current].search(data, offset)
            if match is None:
                break
            offset = match.end()
            step = self._steps[current][data[offset - 1]]
            current = step & STATE_BITS
            if step & ENDS_HERE:
                ends.append(offset)
            elif step & ENDS_BEFORE:
                ends.append(offset - 1)
        return ends, State(current)

    def count_fields(self, record: bytes) -> int:
        """Return how many fields a record has; blank lines and comment lines may precede it."""
        current, offset, count = int(State.RECORD), 0, 1
        dialect = self._dialect
        while (match := self._marks_or_sep[current].search(record, offset)) is not None:
            offset = match.end()
            byte = record[offset - 1]
            step = self._steps[current][byte]
            # A space at the start of a field is dropped and no separator, where both are set.
            is_dropped = current == State.FIELD and dialect.skipinitialspace and byte == SPACE
            if byte in dialect.sep_bytes and step & STATE_BITS == State.FIELD and not is_dropped:
                count += 1
            current = step & STATE_BITS
        return count

    def _step(self, state: State, byte: int) -> int:
        """Return the state after `byte`, and what `byte` ends."""
        if state == State.RETURN:
            return self._step_return(byte)
        if state == State.SKIPPED_RETURN:
            if byte == LF or byte in self._dialect.sep_bytes:
                return State.RECORD
            return self._step_record(byte)
        if state in (State.ESCAPE, State.QUOTED_ESCAPE):
            return State.TEXT if state == State.ESCAPE else State.QUOTED
        if state in (State.QUOTED, State.QUOTE):
            return self._step_quoted(state, byte)
        if byte == LF:
            if state == State.RECORD and not self._dialect.skip_blank_lines:
                return State.RECORD | ENDS_HERE
            return State.RECORD if state in BETWEEN else State.RECORD | ENDS_HERE
        if byte == CR:
            if state == State.RECORD and not self._dialect.skip_blank_lines:
                return State.RETURN
            return State.SKIPPED_RETURN if state in BETWEEN else State.RETURN
        if state in (State.REMARK, State.SKIPPED_REMARK):
            return state
        if state == State.RECORD:
            return self._step_record(byte)
        if state in (State.BLANK, State.BLANK_TEXT):
            return self._step_blank(state, byte)
        return self._step_field(state, byte)

    def _step_record(self, byte: int) -> int:
        if byte in (CR, LF):
            return self._step(State.RECORD, byte)
        if byte == self._dialect.comment_byte:
            return State.SKIPPED_REMARK
        if self._dialect.skip_blank_lines and byte in self._dialect.blank_bytes:
            return self._step_blank(State.BLANK, byte)
        return self._step_field(State.FIELD, byte)

    def _step_blank(self, state: State, byte: int) -> int:
        if byte in self._dialect.blank_bytes:
            dialect = self._dialect
            is_dropped = (byte == SPACE and dialect.skipinitialspace) or dialect.sep == WHITESPACE
            return state if is_dropped else State.BLANK_TEXT
        return self._step_field(State.FIELD if state == State.BLANK else State.TEXT, byte)

    def _step_field(self, state: State, byte: int) -> int:
        dialect = self._dialect
        is_first = state == State.FIELD
        if is_first and byte == dialect.quote_byte:
            return State.QUOTED
        if byte == dialect.escape_byte:
            return State.ESCAPE
        if is_first and byte == SPACE and dialect.skipinitialspace:
            return State.FIELD
        if byte in dialect.sep_bytes:
            return State.FIELD
        return State.REMARK if byte == dialect.comment_byte else State.TEXT

    def _step_quoted(self, state: State, byte: int) -> int:
        dialect = self._dialect
        if state == State.QUOTED:
            if byte == dialect.escape_byte:
                return State.QUOTED_ESCAPE
            if byte == dialect.quote_byte:
                return State.QUOTE if dialect.doublequote else State.TEXT
            return State.QUOTED
        if byte == dialect.quote_byte:
            return State.QUOTED
        if byte in dialect.sep_bytes:
            return State.FIELD
        if byte == LF:
            return State.RECORD | ENDS_HERE
        return State.RETURN if byte == CR else State.TEXT

    def _step_return(self, byte: int) -> int:
        if byte == LF:
            return State.RECORD | ENDS_HERE
        if byte in self._dialect.sep_bytes:
            return State.FIELD | ENDS_BEFORE
        return self._step_record(byte) | ENDS_BEFORE


@lru_cache(maxsize=64)
def get_walker(dialect: Dialect) -> Walker:
    """Return the walker of `dialect`, built once."""
    return Walker(dialect)


def _any_of(members: Iterable[int]) -> bytes:
    """Return a pattern for one byte among `members`; for no byte where there are none."""
    bytes_ = set(members)
    others = set(range(256)) - bytes_
    if not (bytes_ and others):
        return b"[\\s\\S]" if bytes_ else b"(?!)"
    # The fewer are listed, since compiling takes its time for each.
    is_short = len(bytes_) <= len(others)
    listed = sorted(bytes_ if is_short else others)
    return b"[%b%b]" % (b"" if is_short else b"^", b"".join(b"\\x%02x" % byte for byte in listed))


def _compile_line(dialect: Dialect) -> re.Pattern[bytes] | None:
    """Return a pattern for one whole line, group 1 where it is a record.

    It leaves to the table what it can't see whole, and all where a byte has two meanings.
    """
    if not dialect.is_plain:
        return None
    sep = re.escape(dialect.sep_bytes)
    quote, escape, comment = (
        None if mark is None else re.escape(mark.encode())
        for mark in (dialect.quotechar, dialect.escapechar, dialect.comment)
    )
    escaped = b"" if escape is None else b"|" + escape + b"[\\s\\S]"
    text = b"(?:[^\\r\\n%b%b%b]%b)*+" % (sep, escape or b"", comment or b"", escaped)
    field = text
    if quote is not None:
        doubled = b"|" + quote * 2 if dialect.doublequote else b""
        body = b"(?:[^%b%b]%b%b)*+" % (quote, escape or b"", escaped, doubled)
        rest = b"(?:[^\\r\\n%b%b]%b)?+" % (sep, quote, text) if dialect.doublequote else text
        field = b"(?:%b%b%b%b|(?!%b)%b)" % (quote, body, quote, rest, quote, text)
    if dialect.skipinitialspace:
        field = b" *+" + field
    remark = b"" if comment is None else b"(?:%b[^\\r\\n]*+)?+" % comment
    record = b"%b(?:[%b]%b)*+%b(?:\\r?\\n|\\r(?=[^\\n]))" % (field, sep, field, remark)
    skipped = [] if comment is None else [comment + b"[^\\r\\n]*+"]
    if dialect.skip_blank_lines:
        skipped.append(b"[%b]*+" % dialect.blank_bytes if dialect.blank_bytes else b"")
    if not skipped:
        return re.compile(b"(%b)" % record)
    any_skipped = b"(?:" + b"|".join(skipped) + b")"
    shut = b"(?:\\r?\\n|\\r(?=[^\\n%b]))" % sep
    return re.compile(b"%b%b|(?!%b[\\r\\n])(%b)" % (any_skipped, shut, any_skipped, record))
