"""Whether one name looks like a slip of the fingers for another.

Narrower than closeness: ``Chunk1`` and ``Chunk2``, ``StageA`` and ``StageB`` are two names.
"""

from __future__ import annotations

__all__ = ["is_slip"]

_SHORTEST = 5
"""Shorter names are one letter apart too often by right: Load and Lead."""


def is_slip(name: str, other: str) -> bool:
    """Whether `name` is `other` with one letter missing, doubled, wrong or exchanged, or in
    another case. A digit, or the last letter being another, makes it a name of its own.

    >>> is_slip("ProcesChunk", "ProcessChunk"), is_slip("Chunk1", "Chunk2")
    (True, False)
    """
    if name == other:
        return False
    if name.lower() == other.lower():
        return True
    short, long = sorted((name, other), key=len)
    if len(short) < _SHORTEST or len(long) - len(short) > 1:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    if len(short) < len(long):
        return short[start:] == long[start + 1 :] and not long[start].isdecimal()
    one, two = name[start:], other[start:]
    if one[0].isdecimal() or two[0].isdecimal():
        return False
    if one[:2] == two[1::-1] and one[2:] == two[2:] and len(one) > 1:
        return True
    return len(one) > 1 and one[1:] == two[1:]
