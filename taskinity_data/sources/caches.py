"""The last few values of a kind, by a key, up to a total weight; safe between threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any, Generic, TypeVar

__all__ = ["Cache"]

_V = TypeVar("_V")


class Cache(Generic[_V]):
    """The last values put in, up to a total weight; one taken out is its taker's alone."""

    def __init__(self, limit: int) -> None:
        self._limit, self._total, self._lock = limit, 0, Lock()
        self._values: OrderedDict[Any, tuple[_V, int]] = OrderedDict()

    def take(self, key: Any) -> _V | None:
        """Remove and return the value under `key`; None if there is none."""
        with self._lock:
            value, weight = self._values.pop(key, (None, 0))
            self._total -= weight
            return value

    def put(self, key: Any, value: _V, weight: int = 1) -> None:
        """Keep `value`, and drop the oldest if that is too much."""
        with self._lock:
            _, replaced = self._values.pop(key, (None, 0))
            self._values[key] = value, weight
            self._total += weight - replaced
            while self._total > self._limit:
                _, (_, dropped) = self._values.popitem(last=False)
                self._total -= dropped

    def clear(self) -> list[_V]:
        """Empty it and return what was in it."""
        with self._lock:
            values = [value for value, _ in self._values.values()]
            self._values.clear()
            self._total = 0
            return values

    def get(self, key: Any) -> _V | None:
        """Return the value under `key`, which stays; None if there is none."""
        with self._lock:
            value, _ = self._values.get(key, (None, 0))
            if value is not None:
                self._values.move_to_end(key)
            return value
