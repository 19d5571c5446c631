r"""Heads of CSV files that begin as another one did, so that pandas is asked once for many files.

It knows nothing of files. What it takes for alike is narrow: a header in the first line and a first
row of as many fields in the second, without any mark but separators and line ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.formats.csv.records.dialect import WHITESPACE

if TYPE_CHECKING:
    from taskinity_data.formats.csv.options import CsvOptions

__all__ = ["plain_header"]


def plain_header(data: bytes, options: CsvOptions) -> bytes | None:
    r"""The first line of `data`, with its end, where it and its number of fields tell the head.

    Parameters
    ----------
    data : bytes
        The beginning of a file in which marks are ASCII.
    options : CsvOptions

    Returns
    -------
    bytes or None
        None where more than these two lines may count: what surrounds them, names given beside the
        file, another number of fields in the first row (of which pandas may make an index), quotes,
        escapes, comments, blanks at the beginning of a line, byte order marks, a lone ``\r``.
    """
    if options.header not in ("infer", 0) or options.names is not None or options.skiprows:
        return None
    if options.dialect.sep == WHITESPACE or callable(options.usecols):
        return None
    end = data.find(b"\n") + 1
    stop = data.find(b"\n", end) + 1
    if not end or not stop:
        return None
    dialect = options.dialect
    sep = dialect.sep.encode()
    widths = []
    for line in (data[:end], data[end:stop]):
        text = line[:-2] if line.endswith(b"\r\n") else line[:-1]
        if not text[:1].strip() or text[0] > 127 or b"\r" in text:
            return None
        marks = (dialect.quote_byte, dialect.escape_byte, dialect.comment_byte)
        if any(mark is not None and mark in text for mark in marks):
            return None
        widths.append(text.count(sep))
    return data[:end] if widths[0] == widths[1] else None
