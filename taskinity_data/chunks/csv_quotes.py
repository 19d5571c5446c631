"""Whether the quotes in some bytes of CSV stand only where every parser agrees on what they mean.

It knows bytes, not pandas, Arrow or files.
"""

from __future__ import annotations

import numpy as np

__all__ = ["are_regular", "has_lone_return", "trim_to_records"]


def are_regular(data: bytes, sep: str, quotechar: str | None) -> bool:
    r"""Whether each quote opens a field, closes one, or is half of a doubled quote inside one.

    Parameters
    ----------
    data : bytes
        Whole records, of which the first begins outside quotes.

    Examples
    --------
    >>> are_regular(b'"a,b",1\n', ",", '"'), are_regular(b'a"b,1\n', ",", '"')
    (True, False)
    """
    if quotechar is None:
        return True
    quote = quotechar.encode()
    if quote not in data:
        return True
    values = np.frombuffer(data, dtype=np.uint8)
    at = np.flatnonzero(values == quote[0])
    if len(at) % 2:
        return False
    borders = np.zeros(256, dtype=bool)
    borders[[ord(sep), 10, 13, quote[0]]] = True
    # Quotes open and close in turn; a doubled one closes and opens at once, which is why a quote
    # counts as a border.
    opens, closes = at[::2], at[1::2]
    before = np.where(opens > 0, values[opens - 1], 10)
    after = np.where(closes + 1 < len(values), values[np.minimum(closes + 1, len(values) - 1)], 10)
    return bool(borders[before].all() and borders[after].all())


def has_lone_return(data: bytes) -> bool:
    r"""Whether a ``\r`` stands without a ``\n`` after it."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def trim_to_records(window: bytes, sep: str, quotechar: str | None) -> bytes | None:
    """The whole records inside a window that begins anywhere, or None where that can't be told.

    With quotes in the window, the bytes after its first line end must read regularly from outside
    quotes and irregularly from inside. Without any, they are taken for records.
    """
    first = window.find(b"\n")
    if first < 0:
        return None
    body = window[first + 1 :]
    quote = None if quotechar is None else quotechar.encode()
    if quote is None or quote not in body:
        return body[: body.rfind(b"\n") + 1] or None
    values = np.frombuffer(body, dtype=np.uint8)
    is_inside = np.cumsum(values == quote[0]) % 2
    ends = np.flatnonzero((values == 10) & (is_inside == 0))
    if not len(ends):
        return None
    body = body[: int(ends[-1]) + 1]
    if are_regular(body, sep, quotechar) and not are_regular(quote + body + quote, sep, quotechar):
        return body
    return None
