"""Values as bytes and back, with their types kept exactly; nothing else than values comes back.

What is read can only become the kinds of values that stand here and in `tables`: no code is
run and nothing is imported by name, whatever the bytes are. It knows nothing of journals.
"""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["NoExactForm", "Reading", "TooLarge", "Writing", "decode", "encode"]

_LENGTH = struct.Struct("<Q")
_FLOAT = struct.Struct("<d")

_LARGE_NBYTES = 1 << 14
"""Buffers from this size on are handed over as they are, and not copied."""


class NoExactForm(Exception):  # noqa: N818 - says what is the matter
    """A value whose type has no exact form here."""


class TooLarge(NoExactForm):
    """A value that takes more bytes than were allowed."""


@cache
def _tables() -> Any:
    """What writes and reads frames: pandas is loaded for them alone."""
    from taskinity_data.checkpoints.value_kinds import tables as exact_tables

    return exact_tables


class Writing:
    """Bytes in the making: a list of buffers, small ones put together."""

    def __init__(self, most_nbytes: int | None = None) -> None:
        self._done: list[bytes | memoryview] = []
        self._open = bytearray()
        self._left = most_nbytes

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
        kind = type(value)
        known = _WRITERS.get(kind)
        if known is not None:
            tag, write = known
            self._open += tag
            write(self, value)
            return
        if not _tables().write(self, value):
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

    def __init__(self, data: bytes | memoryview) -> None:
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
        read = _READERS.get(tag)
        if read is not None:
            return read(self)
        return _tables().read(self, tag)

    def values(self) -> list[Any]:
        """Several values, after their number."""
        return [self.value() for _ in range(self.number())]

    @property
    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return self._place == len(self._data)


def encode(value: Any, most_nbytes: int | None = None) -> list[bytes | memoryview]:
    """`value` as buffers, which `decode` takes joined; large ones are views of the value's own.

    Parameters
    ----------
    value
    most_nbytes : int, optional
        What texts, arrays and tables may take together.

    Raises
    ------
    NoExactForm
        Its type, or that of something in it, has no exact form; the message says which.
    TooLarge
        It takes more than `most_nbytes`.
    """
    writing = Writing(most_nbytes)
    try:
        writing.value(value)
    except RecursionError as error:
        raise NoExactForm("a value that holds itself, or is nested too deeply") from error
    return writing.buffers()


def decode(data: bytes | memoryview) -> Any:
    """The value that `encode` wrote.

    Raises
    ------
    ValueError
        These bytes are none of `encode`'s.
    """
    reading = Reading(data)
    try:
        value = reading.value()
    except (struct.error, KeyError, IndexError, TypeError, ArithmeticError) as error:
        raise ValueError(f"no stored value: {error}") from error
    if not reading.is_at_end:
        raise ValueError("no stored value: something follows it")
    return value


# -- each kind -------------------------------------------------------------------------------------


def _write_int(writing: Writing, value: int) -> None:
    writing.raw(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _read_int(reading: Reading) -> int:
    return int.from_bytes(reading.raw(), "little", signed=True)


def _write_float(writing: Writing, value: float) -> None:
    writing._open += _FLOAT.pack(value)  # noqa: SLF001 - the same module


def _write_complex(writing: Writing, value: complex) -> None:
    _write_float(writing, value.real)
    _write_float(writing, value.imag)


def _write_items(writing: Writing, value: Any) -> None:
    writing.values(value, len(value))


def _write_dict(writing: Writing, value: Any) -> None:
    writing.number(len(value))
    for key, item in value.items():
        writing.value(key)
        writing.value(item)


def _read_pairs(reading: Reading) -> list[tuple[Any, Any]]:
    return [(reading.value(), reading.value()) for _ in range(reading.number())]


def _write_counter(writing: Writing, value: Counter[Any]) -> None:
    _write_dict(writing, value)


def _read_counter(reading: Reading) -> Counter[Any]:
    return Counter(dict(_read_pairs(reading)))


_FACTORIES: dict[str, Any] = {
    "int": int, "float": float, "list": list, "dict": dict, "set": set, "str": str, "tuple": tuple,
    "Counter": Counter, "None": None,
}  # fmt: skip


def _write_defaultdict(writing: Writing, value: defaultdict[Any, Any]) -> None:
    names = [name for name, made in _FACTORIES.items() if made is value.default_factory]
    if not names:
        raise NoExactForm(f"a defaultdict of {value.default_factory!r}")
    writing.text(names[0])
    _write_dict(writing, value)


def _read_defaultdict(reading: Reading) -> defaultdict[Any, Any]:
    return defaultdict(_FACTORIES[reading.text()], _read_pairs(reading))


def _write_deque(writing: Writing, value: deque[Any]) -> None:
    writing.value(value.maxlen)
    _write_items(writing, value)


def _read_deque(reading: Reading) -> deque[Any]:
    most = reading.value()
    return deque(reading.values(), most)


def _write_timedelta(writing: Writing, value: timedelta) -> None:
    writing.values((value.days, value.seconds, value.microseconds), 3)


def _write_datetime(writing: Writing, value: datetime) -> None:
    day = (value.year, value.month, value.day)
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    writing.values((*day, *clock, _zone_of(value)), 9)


def _read_datetime(reading: Reading) -> datetime:
    *numbers, fold, zone = reading.values()
    found = datetime(*numbers, tzinfo=_zone(zone))  # type: ignore[misc]  # seven numbers
    return found.replace(fold=fold)


def _write_time(writing: Writing, value: time) -> None:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    writing.values((*clock, _zone_of(value)), 6)


def _read_time(reading: Reading) -> time:
    *numbers, fold, zone = reading.values()
    found = time(*numbers, tzinfo=_zone(zone))  # type: ignore[misc]  # four numbers
    return found.replace(fold=fold)


def _zone_of(value: datetime | time) -> Any:
    return describe_zone(value.tzinfo)


def describe_zone(zone: Any) -> Any:
    """A time zone as a plain value.

    Raises
    ------
    NoExactForm
        It is none of Python's own.
    """
    if zone is None or zone is UTC:
        return "UTC" if zone is UTC else None
    if type(zone) is ZoneInfo and zone.key is not None:
        return ("key", zone.key)
    if type(zone) is timezone:
        return zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle would ask for
    raise NoExactForm(f"the time zone {zone!r}")


def _zone(plain: Any) -> Any:
    if plain is None:
        return None
    if plain == "UTC":
        return UTC
    if plain[0] == "key":
        return ZoneInfo(plain[1])
    return timezone(*plain)


zone_of_plain = _zone


def _write_decimal(writing: Writing, value: Decimal) -> None:
    writing.text(str(value))


def _write_nothing(writing: Writing, value: Any) -> None:
    """What the tag says is all."""


_KINDS: dict[bytes, tuple[type, Callable[[Writing, Any], None], Callable[[Reading], Any]]] = {
    b"N": (type(None), _write_nothing, lambda _: None),
    b"i": (int, _write_int, _read_int),
    b"f": (float, _write_float, Reading.float),
    b"c": (complex, _write_complex, lambda r: complex(r.float(), r.float())),
    b"s": (str, Writing.text, Reading.text),
    b"b": (bytes, Writing.raw, lambda r: bytes(r.raw())),
    b"B": (bytearray, Writing.raw, lambda r: bytearray(r.raw())),
    b"t": (tuple, _write_items, lambda r: tuple(r.values())),
    b"l": (list, _write_items, Reading.values),
    b"d": (dict, _write_dict, lambda r: dict(_read_pairs(r))),
    b"S": (set, _write_items, lambda r: set(r.values())),
    b"Z": (frozenset, _write_items, lambda r: frozenset(r.values())),
    b"O": (OrderedDict, _write_dict, lambda r: OrderedDict(_read_pairs(r))),
    b"C": (Counter, _write_counter, _read_counter),
    b"D": (defaultdict, _write_defaultdict, _read_defaultdict),
    b"q": (deque, _write_deque, _read_deque),
    b"a": (date, lambda w, v: w.number(v.toordinal()), lambda r: date.fromordinal(r.number())),
    b"e": (timedelta, _write_timedelta, lambda r: timedelta(*r.values())),
    b"E": (datetime, _write_datetime, _read_datetime),
    b"h": (time, _write_time, _read_time),
    b"m": (Decimal, _write_decimal, lambda r: Decimal(r.text())),
    b"F": (Fraction, lambda w, v: w.text(str(v)), lambda r: Fraction(r.text())),
    b"u": (UUID, lambda w, v: w.raw(v.bytes), lambda r: UUID(bytes=bytes(r.raw()))),
    b"r": (
        range,
        lambda w, v: w.values((v.start, v.stop, v.step), 3),
        lambda r: range(*r.values()),
    ),
    b"L": (
        slice,
        lambda w, v: w.values((v.start, v.stop, v.step), 3),
        lambda r: slice(*r.values()),
    ),
}


def _write_bool(writing: Writing, value: bool) -> None:
    writing._open += b"1" if value else b"0"  # noqa: SLF001 - the same module


_WRITERS: dict[type, tuple[bytes, Callable[[Writing, Any], None]]] = {
    kind: (tag, write) for tag, (kind, write, _) in _KINDS.items()
} | {bool: (b"", _write_bool)}
_READERS: dict[bytes, Callable[[Reading], Any]] = {
    tag: read for tag, (_, _, read) in _KINDS.items()
} | {b"1": lambda _: True, b"0": lambda _: False}
