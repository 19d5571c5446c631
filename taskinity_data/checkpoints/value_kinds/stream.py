"""Bytes in the making and on their way back, whatever kinds of values they hold."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Kinds", "NoExactForm", "Reading", "TooLarge", "Writing"]

_LENGTH = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")

_LARGE_NBYTES = 1 << 14
"""Buffers from this size on are handed over as they are, and not copied."""


class NoExactForm(Exception):  # noqa: N818 - says what is the matter
    """A value whose type has no exact form here."""


class TooLarge(NoExactForm):
    """A value that takes more bytes than were allowed."""


class Kinds(Protocol):
    """What knows the exact form of each kind of value."""

    def write(self, writing: Writing, value: Any) -> bool:
        """Write `value` behind its tag, if it is of a kind that is known; return whether it was."""

    def read(self, reading: Reading, tag: bytes) -> Any:
        """Return the value behind `tag`; raise `KeyError` where no kind has it."""


class Writing:
    """Bytes in the making: a list of buffers, small ones put together."""

    def __init__(self, kinds: Kinds, max_nbytes: int | None = None) -> None:
        self._kinds = kinds
        self._done: list[bytes | memoryview] = []
        self._open = bytearray()
        self._left = max_nbytes

    def tag(self, tag: bytes) -> None:
        """One byte that says what follows."""
        self._open += tag

    def raw(self, data: Any) -> None:
        """Bytes, after their number."""
        view = memoryview(data)
        if view.ndim != 1 or view.format != "B":
            view = view.cast("B") if view.nbytes else memoryview(b"")
        if self._left is not None:
            self._left -= view.nbytes
            if self._left < 0:
                raise TooLarge("more bytes than are kept")
        self._open += _LENGTH.pack(view.nbytes)
        if view.nbytes < _LARGE_NBYTES:
            self._open += view
        else:
            self._done.append(bytes(self._open))
            self._done.append(view)
            self._open = bytearray()

    def number(self, number: int) -> None:
        """A number from 0 up."""
        self._open += _LENGTH.pack(number)

    def float(self, number: float) -> None:
        """A float."""
        self._open += _FLOAT.pack(number)

    def text(self, text: str) -> None:
        """A text, lone surrogates too."""
        self.raw(text.encode("utf-8", "surrogatepass"))

    def value(self, value: Any) -> None:
        """Any value that has an exact form.

        Raises
        ------
        NoExactForm
            It has none, or something in it.
        """
        if not self._kinds.write(self, value):
            kind = type(value)
            raise NoExactForm(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))

    def values(self, values: Iterable[Any], count: int) -> None:
        """That many values, after their number."""
        self.number(count)
        for value in values:
            self.value(value)

    def buffers(self) -> list[bytes | memoryview]:
        """All that was written."""
        return [*self._done, bytes(self._open)]


class Reading:
    """Bytes on their way back."""

    def __init__(self, kinds: Kinds, data: bytes | memoryview) -> None:
        self._kinds = kinds
        self._data = memoryview(data)
        self._place = 0

    def raw(self) -> memoryview:
        """Bytes, after their number."""
        nbytes = self.number()
        start, self._place = self._place, self._place + nbytes
        if self._place > len(self._data):
            raise ValueError("a value ends too early")
        return self._data[start : self._place]

    def number(self) -> int:
        """A number from 0 up."""
        (number,) = _LENGTH.unpack_from(self._data, self._place)
        self._place += _LENGTH.size
        return int(number)

    def float(self) -> float:
        """A float."""
        (number,) = _FLOAT.unpack_from(self._data, self._place)
        self._place += _FLOAT.size
        return float(number)

    def text(self) -> str:
        """A text."""
        return str(self.raw(), "utf-8", "surrogatepass")

    def value(self) -> Any:
        """The next value."""
        tag = bytes(self._data[self._place : self._place + 1])
        self._place += 1
        return self._kinds.read(self, tag)

    def values(self) -> list[Any]:
        """Several values, after their number."""
        return [self.value() for _ in range(self.number())]

    @property
    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return self._place == len(self._data)
