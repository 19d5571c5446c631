"""Collect the bytes after a value's JSON, and find them again; see `values`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NoExactForm", "TooLarge", "ValueReader", "ValueWriter"]


class NoExactForm(Exception):  # noqa: N818 - says what is the matter
    """A value that would not read back with equal value and types."""


class TooLarge(NoExactForm):
    """A value that takes more bytes than were allowed."""


class ValueWriter:
    """Turns values into JSON, and collects the bytes that follow it.

    Parameters
    ----------
    write : callable
        Gets this writer and a value that is neither None nor a bool, float or text; returns JSON.
    max_nbytes : int, optional
        What texts, arrays and tables may take together.
    """

    def __init__(
        self, write: Callable[[ValueWriter, Any], Any], max_nbytes: int | None = None
    ) -> None:
        self.blobs: list[memoryview] = []
        self._write = write
        self._left = max_nbytes

    def value(self, value: Any) -> Any:
        """Return `value` as JSON.

        Raises
        ------
        NoExactForm
            It has no such form, or something in it.
        """
        kind = type(value)
        if kind in _AS_THEY_ARE or (kind is int and _MIN_PLAIN <= value <= _MAX_PLAIN):
            if kind is str and self._left is not None:
                self._count(len(value))
            return value
        return self._write(self, value)

    def values(self, values: Iterable[Any]) -> list[Any]:
        """Return several values as JSON."""
        return [self.value(value) for value in values]

    def blob(self, data: Any) -> int:
        """Keep bytes; return their number among all."""
        view = memoryview(data)
        if view.ndim != 1 or view.format != "B":
            view = view.cast("B") if view.nbytes else memoryview(b"")
        self._count(view.nbytes)
        self.blobs.append(view)
        return len(self.blobs) - 1

    def _count(self, nbytes: int) -> None:
        if self._left is not None:
            self._left -= nbytes
            if self._left < 0:
                raise TooLarge("more bytes than are stored")


class ValueReader:
    """Turns JSON back into values.

    Parameters
    ----------
    read : callable
        Gets this reader, the tag of a list and its other items; returns the value.
    blobs : list of memoryview
        What the writer collected.
    """

    def __init__(
        self, read: Callable[[ValueReader, str, list[Any]], Any], blobs: list[memoryview]
    ) -> None:
        self.blobs = blobs
        self._read = read

    def value(self, plain: Any) -> Any:
        """Return the value that `plain` was made of."""
        return self._read(self, plain[0], plain[1:]) if type(plain) is list else plain

    def values(self, plain: Iterable[Any]) -> list[Any]:
        """Return several values."""
        return [self.value(part) for part in plain]


_AS_THEY_ARE = frozenset({type(None), bool, float, str})

_MIN_PLAIN, _MAX_PLAIN = -(1 << 63), (1 << 63) - 1
"""Integers that are written as they are without a look at their length."""
