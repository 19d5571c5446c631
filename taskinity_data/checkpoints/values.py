"""Values as bytes and back, with their types kept exactly; nothing else than values comes back.

What is read can only become the kinds of values of `value_kinds`: no code is run and nothing is
imported by name, whatever the bytes are.
"""

from __future__ import annotations

import struct
from typing import Any

from taskinity_data.checkpoints.value_kinds import plain
from taskinity_data.checkpoints.value_kinds.stream import NoExactForm, Reading, TooLarge, Writing

__all__ = ["NoExactForm", "TooLarge", "decode", "encode"]


class _Kinds:
    """Plain values, and tables, for which alone pandas is loaded."""

    @staticmethod
    def write(writing: Writing, value: Any) -> bool:
        kind = plain.WRITERS.get(type(value))
        if kind is None:
            from taskinity_data.checkpoints.value_kinds import tables

            return tables.write(writing, value)
        tag, write = kind
        writing.tag(tag)
        write(writing, value)
        return True

    @staticmethod
    def read(reading: Reading, tag: bytes) -> Any:
        read = plain.READERS.get(tag)
        if read is None:
            from taskinity_data.checkpoints.value_kinds import tables

            return tables.read(reading, tag)
        return read(reading)


def encode(value: Any, max_nbytes: int | None = None) -> list[bytes | memoryview]:
    """Return `value` as buffers, to be joined for `decode`; large ones are views of the value's.

    Parameters
    ----------
    value
    max_nbytes : int, optional
        What texts, arrays and tables may take together.

    Raises
    ------
    NoExactForm
        Its type, or that of something in it, has no exact form; the message says which.
    TooLarge
        It takes more than `max_nbytes`.
    """
    writing = Writing(_Kinds, max_nbytes)
    try:
        writing.value(value)
    except RecursionError as error:
        raise NoExactForm("a value that holds itself, or is nested too deeply") from error
    return writing.buffers()


def decode(data: bytes | memoryview) -> Any:
    """Return the value that `encode` wrote.

    Raises
    ------
    ValueError
        These bytes are none of `encode`'s.
    """
    reading = Reading(_Kinds, data)
    try:
        value = reading.value()
    except (struct.error, KeyError, IndexError, TypeError, ArithmeticError) as error:
        raise ValueError(f"no stored value: {error}") from error
    if not reading.is_at_end:
        raise ValueError("no stored value: something follows it")
    return value
