"""The exact forms of the values of Python itself, and of its standard library."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from taskinity_data.checkpoints.value_kinds.stream import NoExactForm, Reading, Writing

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["READERS", "WRITERS", "describe_zone", "zone_of_plain"]


def _write_int(writing: Writing, value: int) -> None:
    writing.raw(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _read_int(reading: Reading) -> int:
    return int.from_bytes(reading.raw(), "little", signed=True)


def _write_float(writing: Writing, value: float) -> None:
    writing.float(value)


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
    found = datetime(*numbers, tzinfo=zone_of_plain(zone))  # type: ignore[misc]  # seven numbers
    return found.replace(fold=fold)


def _write_time(writing: Writing, value: time) -> None:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    writing.values((*clock, _zone_of(value)), 6)


def _read_time(reading: Reading) -> time:
    *numbers, fold, zone = reading.values()
    found = time(*numbers, tzinfo=zone_of_plain(zone))  # type: ignore[misc]  # four numbers
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


def zone_of_plain(plain: Any) -> Any:
    """Return the time zone that `describe_zone` made `plain` of."""
    if plain is None:
        return None
    if plain == "UTC":
        return UTC
    if plain[0] == "key":
        return ZoneInfo(plain[1])
    return timezone(*plain)


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
    writing.tag(b"1" if value else b"0")


WRITERS: dict[type, tuple[bytes, Callable[[Writing, Any], None]]] = {
    kind: (tag, write) for tag, (kind, write, _) in _KINDS.items()
} | {bool: (b"", _write_bool)}
READERS: dict[bytes, Callable[[Reading], Any]] = {
    tag: read for tag, (_, _, read) in _KINDS.items()
} | {b"1": lambda _: True, b"0": lambda _: False}
