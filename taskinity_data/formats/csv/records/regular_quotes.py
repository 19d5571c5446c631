"""Text whose quotes stand at the edges of fields, so that it can be joined, or begun anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.formats.csv.records.dialect import Dialect

__all__ = ["are_regular", "join_texts", "trim_to_records"]


def are_regular(data: bytes, seps: bytes, quotechar: str | None) -> bool:
    r"""Return whether each quote opens a field, closes it, or is half of a doubled one inside it.

    Parameters
    ----------
    data : bytes
        Whole records, of which the first begins outside quotes.
    seps : bytes
        Each separates fields.

    Examples
    --------
    >>> are_regular(b'"a,b",1\n', b",", '"'), are_regular(b'a"b,1\n', b",", '"')
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
    borders[[*seps, 10, 13, quote[0]]] = True
    # Quotes open and close in turn; a doubled one closes and opens at once, which is why a quote
    # counts as a border.
    opens, closes = at[::2], at[1::2]
    before = np.where(opens > 0, values[opens - 1], 10)
    after = np.where(closes + 1 < len(values), values[np.minimum(closes + 1, len(values) - 1)], 10)
    return bool(borders[before].all() and borders[after].all())


def join_texts(texts: Sequence[bytes], dialect: Dialect) -> bytes | None:
    r"""Return whole records as one text, or None where one of `texts` may end within quotes.

    Examples
    --------
    >>> from taskinity_data.formats.csv.records.dialect import Dialect
    >>> join_texts([b"1,2", b"", b"3,4\n"], Dialect()), join_texts([b'1,"2', b'"'], Dialect())
    (b'1,2\n3,4\n', None)
    """
    if dialect.escapechar is not None:
        return None
    quote = dialect.quote_byte
    if quote is not None and any(quote in text for text in texts):
        is_plain = dialect.comment is None and dialect.doublequote
        seps = dialect.sep_bytes
        if not is_plain or not all(are_regular(text, seps, dialect.quotechar) for text in texts):
            return None
    return b"".join(text + b"\n" * (not text.endswith(b"\n")) for text in texts if text)


def trim_to_records(window: bytes, seps: bytes, quotechar: str | None) -> bytes | None:
    """Return the whole records inside a window that begins anywhere, None where it is unclear.

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
    is_inside = np.logical_xor.accumulate(values == quote[0])
    ends = np.flatnonzero((values == 10) & ~is_inside)
    if not len(ends):
        return None
    body = body[: int(ends[-1]) + 1]
    is_outside = are_regular(body, seps, quotechar)
    return body if is_outside and not are_regular(quote + body + quote, seps, quotechar) else None
