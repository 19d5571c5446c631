"""Count how often each digest has come, in 8 to 24 bytes for each that has come once."""

from __future__ import annotations

from array import array
from collections import Counter

__all__ = ["DigestCounts"]


class DigestCounts:
    """Counts of hexadecimal digests, of which most come once.

    A table with the first 64 bits of each: two that have these in common count as equal.

    Examples
    --------
    >>> counts = DigestCounts()
    >>> [counts.add(digest) for digest in ("0f" * 16, "ff" * 16, "0f" * 16, "0f" * 16)]
    [0, 0, 1, 2]
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 6))
        self._count = 0
        self._repeats: Counter[int] = Counter()

    def add(self, digest: str) -> int:
        """Return how often `digest` has come before."""
        key = int(digest[:16], 16) or 1  # 0 is an empty place
        index = self._find(key)
        if self._table[index]:
            self._repeats[key] += 1
            return self._repeats[key]
        self._table[index] = key
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            before, self._table = self._table, array("Q", bytes(16 * len(self._table)))
            for stored in before:
                if stored:
                    self._table[self._find(stored)] = stored
        return 0

    def _find(self, key: int) -> int:
        """Return where `key` is, or the empty place where it belongs."""
        table = self._table
        last = len(table) - 1
        index = key & last
        while (stored := table[index]) and stored != key:
            index = (index + 1) & last
        return index
