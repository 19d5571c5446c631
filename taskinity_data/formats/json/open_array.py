"""JSON arrays of records as chunks whose rows, put together, are ``json.load(file)``.

The rows are that list as an Arrow table of the dataset's schema: a key that an element lacks is
null. It knows how the array lies in its file; `reader` does the rest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError
from taskinity_data.formats.json.array import find_element_ends, to_lines
from taskinity_data.formats.json.cuts import BLANKS, BOM, RecordLayout
from taskinity_data.formats.json.reader import open_records
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.formats.json.reader import JsonReader
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = ["check_file", "open_json"]

_LINE_NBYTES = 1 << 20
"""A first line longer than this is not looked at for whether it is an object by itself."""


def open_json(
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
) -> JsonReader:
    """The reader of a dataset of files that hold one array of objects each.

    Parameters
    ----------
    files, columns, filters, schema, options
        See `open_records`.

    Raises
    ------
    PlanError
        See `open_records`; a file that holds anything but an array.

    Notes
    -----
    Reads everything up to 64 MB for the schema, else 256 kB at the head of up to 300 files: where
    elements begin elsewhere only a pass over all before tells.
    """
    return open_records(_ARRAY, files, columns, filters, schema, options)


def _find_start(file: SourceFile) -> int:
    """The byte behind the array's first bracket."""
    with open_file(file) as opened:
        place = len(BOM) if opened.read(len(BOM)) == BOM else 0
        opened.seek(place)
        line = opened.readline(_LINE_NBYTES)
        while line and not line.strip(BLANKS):
            place += len(line)
            line = opened.readline(_LINE_NBYTES)
    text = line.lstrip(BLANKS)
    if text.startswith(b"["):
        return place + len(line) - len(text) + 1
    if not text.startswith(b"{"):
        raise PlanError(
            f"{file}: an array [{{...}}, {{...}}] was expected, but it begins with {text[:20]!r}"
        )
    convert = f"jq -c '.KEY[]' {file} > {file}l"
    if not _is_object(text):
        raise PlanError(
            f"{file}: this is one object, no array of records; write the list in it as JSON Lines: "
            f"{convert}"
        )
    raise PlanError(
        f'{file}: this is no array, its first line is an object; give format="jsonl" where each '
        f"line is a record. Where a list of records lies in it, write that one: {convert}"
    )


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _to_lines(piece: Piece, text: bytes) -> bytes:
    return to_lines(text, is_last=piece.stop == piece.file.nbytes)


_ARRAY = RecordLayout(
    "json", "element", _find_start, find_element_ends, _to_lines, is_seekable=False
)


def check_file(file: SourceFile, _options: Any) -> None:
    """Raise what is wrong with the beginning of `file`: it holds no array."""
    _find_start(file)
