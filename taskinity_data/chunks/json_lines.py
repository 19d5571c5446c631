"""Lines of JSON Lines that are no object of JSON, told apart from the others.

It knows lines and where they lie, not columns or types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.chunks.json_cuts import find_lines
from taskinity_data.chunks.json_exact import LineParser, Trouble
from taskinity_data.outcome import MOST_LINE_NBYTES, MOST_LINES, BadLine, BadLines, take_first

if TYPE_CHECKING:
    from taskinity_data.chunks.source_file import Piece

__all__ = ["blank_bad_lines"]


def blank_bad_lines(text: bytes, piece: Piece, place: int, rows: int) -> tuple[bytes, BadLines]:
    """`text` with spaces for each line that can't be read, and these lines.

    Parameters
    ----------
    text : bytes
        Whole lines of `piece`.
    piece : Piece
    place : int
        Where `text` begins, from the piece's start.
    rows : int
        The lines of `piece` before it that are not blank.

    Notes
    -----
    All other lines stay where they are, so that what is said of them later holds for the file.
    """
    parser, lines = LineParser(), find_lines(text)
    blanked, count, nbytes = bytearray(text), 0, 0
    kept: list[BadLine] = []
    pairs = zip(lines.begins.tolist(), lines.ends.tolist(), strict=True)
    for row, (begin, end) in enumerate(pairs):
        try:
            parser.read(text, begin, end, row)
        except Trouble as trouble:
            is_closed = text[end - 1 : end] == b"\n"
            blanked[begin : end - is_closed] = b" " * (end - is_closed - begin)
            count += 1
            nbytes += end - begin
            if len(kept) < MOST_LINES:
                start = piece.start + place
                raw = text[begin : min(end, begin + MOST_LINE_NBYTES)]
                kept.append(
                    BadLine(
                        piece.path,
                        start + begin,
                        start + end,
                        rows + row,
                        raw,
                        "utf-8",
                        trouble.why,
                    )
                )
    return bytes(blanked), BadLines(count, nbytes, take_first(kept))
