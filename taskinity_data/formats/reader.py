"""What every format's reader offers, and the rows that one returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from taskinity_data.formats.schema import Column
    from taskinity_data.outcome import BadLines
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "KINDS",
    "LONGEST_SAMPLE_NBYTES",
    "Misfit",
    "ReadResult",
    "Reader",
    "refuse_quarantine",
]

KINDS = ("pandas", "arrow", "polars")


class ReadResult(NamedTuple):
    """A chunk's rows, and what the reader left out of them.

    `data` is of the kind that was asked for; `rows` its length; `filtered` the rows that filters
    and reader options dropped, None where that can't be known; `bad_lines` the records that did not
    parse and were set aside, None where there are none.
    """

    data: Any
    rows: int
    filtered: int | None
    bad_lines: BadLines | None = None


class Reader(Protocol):
    """How pieces of one dataset are found and read; frozen, picklable, stateless.

    Every reader passes the reader contract suite.
    """

    @property
    def format(self) -> str:
        """``"csv"``, ``"jsonl"``, ``"json"``, ``"parquet"``, ``"arrow"`` or ``"orc"``."""

    @property
    def unit(self) -> str:
        """What `start` and `stop` count: ``"bytes"`` or ``"rows"``."""

    @property
    def schema(self) -> pa.Schema:
        """The schema that every chunk keeps, after the selection of columns."""

    def identity(self) -> str:
        """A stable text of all that decides what a range reads as: options, columns, schema."""

    def select(self, columns: Sequence[str]) -> Reader:
        """The reader of `columns` alone, some of `schema`'s names, in that order."""

    def extent(self, file: SourceFile) -> Piece:
        """All data of `file` as one piece (without its header, footer, or ruled-out row groups)."""

    def grains(self, file: SourceFile, grain_nbytes: int) -> Iterator[Piece]:
        """The pieces of `file`, in order, as small as records and `grain_nbytes` allow.

        They tile `extent(file)`; each holds at least one record, or what no record follows. Where
        a footer rules ranges out, those are yielded too, with `nbytes` 0.
        """

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """`piece` in pieces as small as records and `grain_nbytes` allow; its rows stay known."""

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """The rows of `pieces`, one after another, as one frame or table with a fresh index."""

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """`piece` cut near its middle, or None where it is one record."""


def refuse_quarantine(reader: Reader, why: str) -> None:
    """Raise `PlanError` where `reader` hands over what does not parse: nobody would see it."""
    if getattr(reader, "keeps_bad_lines", False):
        raise PlanError(
            f"on_bad_lines='quarantine' hands over the lines that do not parse, and {why}; run the "
            "flow (td.run_flow, td.process), or use on_bad_lines='skip'"
        )


@dataclass
class Misfit(Exception):  # noqa: N818 - it becomes a SchemaError where the file is known
    """A value that does not fit its column.

    Attributes
    ----------
    column : Column
    row : int or None
        From 0, within what was parsed.
    value : text, None for a missing value
    fits : str
        A dtype that the column could be given instead.
    why : str
    """

    column: Column
    row: int | None
    value: Any
    fits: str
    why: str


LONGEST_SAMPLE_NBYTES = 64_000_000
"""Longer pieces of text are no sample: what they tell isn't worth what they take."""
