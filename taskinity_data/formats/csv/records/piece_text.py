"""The text of one piece of a CSV file: its bytes, read, decoded and found fit for a parser.

It knows nothing of columns or types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.errors import ReadError
from taskinity_data.formats.csv.encodings import to_utf8
from taskinity_data.formats.csv.fast import has_lone_return
from taskinity_data.formats.csv.hints import hint_encoding
from taskinity_data.formats.csv.messages import text_error
from taskinity_data.formats.csv.records.dialect import WHITESPACE
from taskinity_data.formats.csv.records.encoded import codec_of
from taskinity_data.sources.read import read_range

if TYPE_CHECKING:
    from taskinity_data.formats.csv.options import CsvOptions
    from taskinity_data.formats.csv.records.rows import RowRange
    from taskinity_data.sources.file import Piece

__all__ = ["read_text"]


def read_text(piece: Piece, options: CsvOptions, rows: RowRange | None = None) -> bytes:
    """The whole records of `piece` as UTF-8, without lines that `rows` leaves out.

    Raises
    ------
    ReadError
        A byte that belongs to no text, or lines that can't be cut with these options.
    """
    data = read_range(piece.file, piece.start, piece.stop)
    if rows is not None:
        data = rows.blank_out(data, piece.start, piece.file, options)
    codec, _ = codec_of(piece.file, options)
    try:
        text = to_utf8(data, codec, options.encoding_errors)
    except UnicodeDecodeError as error:
        step = hint_encoding(data, error.start, options.encoding)
        raise text_error(piece, error.start, f"is no {options.encoding} text", step) from error
    check_returns(piece, text, options)
    return text


def check_returns(piece: Piece, data: bytes, options: CsvOptions) -> None:
    r"""Raise `ReadError` where pandas' parser reads a record by what stood before it.

    After a lone ``\r`` it takes a space for the separator that it is; at the start of a text, or
    after ``\n``, `skipinitialspace` or ``sep=r"\s+"`` drops it.
    """
    dialect = options.dialect
    drops_blanks = dialect.sep == WHITESPACE or (dialect.sep == " " and dialect.skipinitialspace)
    if drops_blanks and has_lone_return(data):
        beside = " and skipinitialspace=True" if dialect.sep == " " else ""
        raise ReadError(
            f"{piece.path} [bytes {piece.start:,} to {piece.stop:,}]: lines end with \\r alone, "
            f"which can't be cut together with sep={dialect.sep!r}{beside}; write the file with "
            "\\n",
            path=piece.path,
            start=piece.start,
        )
