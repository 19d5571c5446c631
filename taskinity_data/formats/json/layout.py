"""How records lie in their files: as lines, or as the elements of an array."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError
from taskinity_data.formats.json.array import find_element_ends, to_lines
from taskinity_data.formats.json.cuts import BLANKS, BOM, find_line_ends
from taskinity_data.sources.read import open_file, read_range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskinity_data.formats.json.cuts import Offsets
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = ["ARRAY", "LINES", "RecordLayout"]

HEAD_NBYTES = 4096

LINE_NBYTES = 1 << 20
"""A first line longer than this is not looked at for whether it is an object by itself."""


@dataclass(frozen=True, slots=True)
class RecordLayout:
    """How records lie in files of a format.

    Attributes
    ----------
    format : str
    record : str
        What a record is called where it lies in a piece: ``"line"``, ``"element"``.
    find_start : callable of file
        The first byte of a file that may belong to a record; raises `PlanError` where the file is
        of the other layout, or none.
    find_ends : callable of file, start, stop
        As `find_line_ends`.
    is_array : bool
        Whether pieces are rewritten as JSON Lines, and no record can be found in the middle of a
        file.
    """

    format: str
    record: str
    find_start: Callable[[SourceFile], int]
    find_ends: Callable[[SourceFile, int, int], Iterator[Offsets]]
    is_array: bool

    def read_lines(self, piece: Piece) -> bytes:
        """Return the records of `piece` as JSON Lines, each byte at its place; see `to_lines`."""
        text = read_range(piece.file, piece.start, piece.stop)
        if not self.is_array:
            return text
        return to_lines(text, is_last=piece.stop == piece.file.nbytes)


def find_lines_start(file: SourceFile) -> int:
    """Return the byte behind a byte order mark."""
    with open_file(file) as opened:
        head = opened.read(HEAD_NBYTES)
    start = len(BOM) if head.startswith(BOM) else 0
    if head[start:].lstrip(BLANKS).startswith(b"["):
        raise PlanError(
            f"{file}: this begins with [, which is not a line of JSON Lines; if it is an array of "
            'records, give format="json"'
        )
    return start


def find_array_start(file: SourceFile) -> int:
    """Return the byte behind the array's first bracket."""
    with open_file(file) as opened:
        offset = len(BOM) if opened.read(len(BOM)) == BOM else 0
        opened.seek(offset)
        line = opened.readline(LINE_NBYTES)
        while line and not line.strip(BLANKS):
            offset += len(line)
            line = opened.readline(LINE_NBYTES)
    text = line.lstrip(BLANKS)
    if text.startswith(b"["):
        return offset + len(line) - len(text) + 1
    if not text.startswith(b"{"):
        raise PlanError(
            f"{file}: an array [{{...}}, {{...}}] was expected, but it begins with {text[:20]!r}"
        )
    convert = f"jq -c '.KEY[]' {file} > {file}l"
    if not is_object(text):
        raise PlanError(
            f"{file}: this is one object, no array of records; write the list in it as JSON Lines: "
            f"{convert}"
        )
    raise PlanError(
        f'{file}: this is not an array, its first line is an object; give format="jsonl" if each '
        f"line is a record. Where a list of records lies in it, write that one: {convert}"
    )


def is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


LINES = RecordLayout("jsonl", "line", find_lines_start, find_line_ends, is_array=False)
ARRAY = RecordLayout("json", "element", find_array_start, find_element_ends, is_array=True)
