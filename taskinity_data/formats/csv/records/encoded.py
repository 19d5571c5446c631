"""Where records end in a file of any encoding: its marks as bytes, found where the file has them.

It turns places among marks into places in the file; what marks mean is for `cuts` to know.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.encodings import (
    FIRST_SHARED,
    OTHER,
    characters_of,
    find_codec,
    mark_units,
    needs_mark,
    unit_nbytes,
)
from taskinity_data.formats.csv.records.blocks import open_source
from taskinity_data.formats.csv.records.cuts import find_grains
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.blocks import ReadInto
    from taskinity_data.formats.csv.records.cuts import Grain
    from taskinity_data.formats.csv.records.dialect import Dialect
    from taskinity_data.sources.file import SourceFile

__all__ = ["codec_of", "find_text_grains", "open_marks"]

LOOK_BACK_NBYTES = 1 << 10
"""Bytes before a place in which a character surely begins: texts have a blank or comma sooner."""


def codec_of(file: SourceFile | str, options: CsvOptions) -> tuple[str, int]:
    """Return the codec of `file`, and the bytes of its byte order mark; see `find_codec`.

    Raises
    ------
    PlanError
        The byte order depends on a mark, and there is none.
    """
    head = b""
    if needs_mark(options.encoding):
        with open_file(file) as opened:
            head = opened.read(4)
    codec = find_codec(options.encoding, head)
    if codec is None:
        raise PlanError(
            f"{file}: {options.encoding} text begins with a byte order mark, and this does not; "
            f"give encoding='{options.encoding}-le' or encoding='{options.encoding}-be'"
        )
    return codec


def find_text_grains(
    file: SourceFile | str, start: int, stop: int, options: CsvOptions, grain_nbytes: int
) -> Iterator[Grain]:
    """Yield the grains of a file's range, as `find_grains` gives them, in bytes of the file."""
    if is_plain(options):
        yield from find_grains(file, start, stop, options.dialect, grain_nbytes)
        return
    unit = unit_nbytes(options.encoding)
    with open_marks(file, options) as read:
        grains = find_grains(
            read, start // unit, -(-stop // unit), options.dialect, -(-grain_nbytes // unit)
        )
        for grain in grains:
            yield grain._replace(start=grain.start * unit, stop=min(grain.stop * unit, stop))


def is_plain(options: CsvOptions) -> bool:
    """Return whether every byte of a file that looks like a mark is one."""
    encoding = options.encoding
    return unit_nbytes(encoding) == 1 and characters_of(encoding, marks_of(options.dialect)) is None


def marks_of(dialect: Dialect) -> str:
    marks = [dialect.sep_bytes.decode(), dialect.quotechar, dialect.escapechar, dialect.comment]
    return "".join(mark for mark in marks if mark is not None)


@contextmanager
def open_marks(file: SourceFile | str, options: CsvOptions) -> Iterator[ReadInto]:
    """Yield a function that reads marks: a byte for each code unit, `OTHER` for all else.

    Notes
    -----
    Any place can be read, from any thread; nothing is remembered from one read to the next.
    """
    codec, _ = codec_of(file, options)
    characters = characters_of(codec, marks_of(options.dialect))
    with open_source(file) as read:
        if unit_nbytes(codec) > 1:
            yield read_units(read, codec)
        elif characters is None:
            yield read
        else:
            yield read_masked(read, characters)


def read_units(read: ReadInto, codec: str) -> ReadInto:
    unit = unit_nbytes(codec)

    def read_into(view: memoryview, offset: int) -> int:
        data = bytearray(len(view) * unit)
        n_read = read(memoryview(data), offset * unit)
        marks = mark_units(data[:n_read], codec)
        view[: len(marks)] = marks.data
        return len(marks)

    return read_into


def read_masked(read: ReadInto, characters: re.Pattern[bytes]) -> ReadInto:
    def read_into(view: memoryview, offset: int) -> int:
        before = find_character(read, offset)
        data = bytearray(offset - before + len(view))
        n_read = read(memoryview(data), before)
        masked = characters.sub(
            lambda character: bytes([OTHER]) * (character.end() - character.start()), data[:n_read]
        )
        part = masked[offset - before :]
        view[: len(part)] = part
        return len(part)

    return read_into


def find_character(read: ReadInto, offset: int) -> int:
    """Return a place at or before `offset` where a character begins."""
    stop = offset
    while stop > 0:
        start = max(stop - LOOK_BACK_NBYTES, 0)
        data = bytearray(stop - start)
        read(memoryview(data), start)
        sure = np.flatnonzero(np.frombuffer(data, np.uint8) < FIRST_SHARED)
        if len(sure):
            return start + int(sure[-1]) + 1
        stop = start
    return 0
