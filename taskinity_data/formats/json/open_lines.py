"""JSON Lines as chunks whose rows, put together, are ``[json.loads(line) for line in file]``.

The rows are that list, without blank lines, as an Arrow table of the dataset's schema: a key that
a line lacks is null. It knows how lines lie in files; `reader` does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import PlanError
from taskinity_data.formats.json.cuts import BLANKS, BOM, RecordLayout, find_line_ends
from taskinity_data.formats.json.reader import open_records
from taskinity_data.sources.read import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.formats.json.reader import JsonReader
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = ["check_file", "open_jsonl"]

_HEAD_NBYTES = 4096


def open_jsonl(
    files: Sequence[SourceFile],
    columns: Sequence[str] | None,
    filters: Any,
    schema: Any,
    options: Mapping[str, Any],
) -> JsonReader:
    """The reader of a dataset of JSON Lines: an object a line, blank lines passed over.

    Parameters
    ----------
    files, columns, filters, schema, options
        See `open_records`.

    Raises
    ------
    PlanError
        See `open_records`; a file that holds an array.

    Notes
    -----
    Reads everything up to 64 MB for the schema, else 256 kB at head, middle and tail of up to 300
    files.
    """
    return open_records(_LINES, files, columns, filters, schema, options)


def _find_start(file: SourceFile) -> int:
    with open_file(file) as opened:
        head = opened.read(_HEAD_NBYTES)
    start = len(BOM) if head.startswith(BOM) else 0
    if head[start:].lstrip(BLANKS).startswith(b"["):
        raise PlanError(
            f"{file}: this begins with [, which is no line of JSON Lines; where it is one array of "
            'records, give format="json"'
        )
    return start


def _keep(_: Piece, text: bytes) -> bytes:
    return text


_LINES = RecordLayout("jsonl", "line", _find_start, find_line_ends, _keep, is_seekable=True)


def check_file(file: SourceFile, _options: Any) -> None:
    """Raise what is wrong with the beginning of `file`: it is an array."""
    _find_start(file)
