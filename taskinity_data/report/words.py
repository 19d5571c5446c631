"""How numbers are told to a person: bytes, seconds, rates, counts.

It knows nothing of what is counted.
"""

from __future__ import annotations

__all__ = ["tell_count", "tell_nbytes", "tell_number", "tell_seconds"]


def tell_nbytes(nbytes: float) -> str:
    """`nbytes` in the unit that keeps it short, in powers of 1000 as plans tell it.

    >>> tell_nbytes(1_572_864), tell_nbytes(17)
    ('1.6 MB', '17 B')
    """
    if nbytes < 1000:
        return f"{nbytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        nbytes /= 1000
        if nbytes < 999.95:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1000:,.1f} TB"


def tell_seconds(seconds: float) -> str:
    """`seconds` as a person would say it.

    >>> tell_seconds(0.0213), tell_seconds(3.21), tell_seconds(75), tell_seconds(7_260)
    ('21 ms', '3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def tell_number(number: float) -> str:
    """A rate or an amount with two or three digits.

    >>> tell_number(1_234_567), tell_number(45_600), tell_number(3.21)
    ('1.23 M', '45.6 k', '3.21')
    """
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def tell_count(count: int, noun: str) -> str:
    """``"1 chunk"``, ``"3 chunks"``; `noun` takes an s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
