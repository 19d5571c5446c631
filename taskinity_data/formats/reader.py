"""What every format's reader offers, and the rows that one returns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import PlanError
from taskinity_data.sources.row_cache import GRAIN_NBYTES, RowCache
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from taskinity_data.formats.filters import Filters
    from taskinity_data.formats.schema import Column
    from taskinity_data.outcome import BadLines
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "KINDS",
    "Misfit",
    "ReadResult",
    "Reader",
    "RowReader",
    "check_columns",
    "divide_rows",
    "refuse_quarantine",
]

KINDS = ("pandas", "arrow", "polars")

SPLIT_PARTS = 64
"""Text is split at one of so many places, the one next to its middle."""


class ReadResult(NamedTuple):
    """A chunk's rows, and what the reader left out of them.

    `data` is of the kind that was requested; `rows` its length; `filtered` the rows that filters
    and reader options dropped, None if that can't be known; `bad_lines` the records that did not
    parse and were quarantined, None if there are none. `nbytes` is what `data` takes, None if
    that is to be measured.
    """

    data: Any
    rows: int
    filtered: int | None
    bad_lines: BadLines | None = None
    nbytes: int | None = None


class Reader:
    """How pieces of one dataset are found and read; frozen, picklable, stateless.

    Every reader inherits this and passes the reader contract suite. What only some of them have has
    a default here.

    Attributes
    ----------
    unit : {"bytes", "rows"}
        What `start` and `stop` count.
    reads_native : bool
        Whether it reads as "native", a frame or a table, whichever it makes faster.
    is_in_memory : bool
        Whether its rows were a frame or table in memory, so that no other call finds their file.
    """

    unit: ClassVar[str] = "bytes"
    reads_native: ClassVar[bool] = False
    is_in_memory: ClassVar[bool] = False

    if TYPE_CHECKING:  # a dataclass field would hide the property

        @property
        def format(self) -> str:
            """A key of `registry.FORMATS`."""

        @property
        def schema(self) -> pa.Schema:
            """The schema that every chunk keeps, after the selection of columns."""

    @property
    def has_groups(self) -> bool:
        """Whether rows lie in groups that are decoded as a whole, which the grains are."""
        return False

    @property
    def filters(self) -> Filters | None:
        """What rows have to pass."""
        return None

    @property
    def row_cache(self) -> RowCache | None:
        """Rows that were parsed for the schema, if they are cached for a run."""
        return None

    @property
    def index(self) -> tuple[Column, ...]:
        """The columns that are the index of a pandas chunk."""
        return ()

    @property
    def keeps_bad_lines(self) -> bool:
        """Whether it hands over what does not parse."""
        return False

    @property
    def needs_pandas(self) -> bool:
        """Whether an Arrow table of some rows does not tell what pandas holds of the whole."""
        return False

    def identity(self) -> str:
        """Return a stable text of all that decides how a range reads: options, columns, schema."""
        raise NotImplementedError

    def select(self, columns: Sequence[str]) -> Reader:
        """Return the reader of `columns` alone, some of `schema`'s names, in that order."""
        raise NotImplementedError

    def encode(self, columns: Sequence[str]) -> Reader:  # noqa: ARG002 - for readers that can
        """Return the reader that may give these text columns as codes if it reads as "native"."""
        return self

    def pack_rows(self) -> bytes | None:
        """Return rows whose file goes with this process, None if there are none."""
        return None

    def keep_rows(self, rows: bytes) -> tuple[SourceFile, Reader]:
        """Return the file and the reader of `rows` from another process: see `pack_rows`."""
        raise NotImplementedError

    def extent(self, file: SourceFile) -> Piece:
        """Return all data of `file` as one piece, without header, footer, or ruled-out groups."""
        raise NotImplementedError

    def grains(self, extent: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield the pieces of a file, in order, as small as records and `grain_nbytes` allow.

        They tile its `extent`; each holds at least one record, or what no record follows. Where
        a footer rules ranges out, those are yielded too, with `nbytes` 0.

        Notes
        -----
        One pass over a file of text, streamed.
        """
        cache = self.row_cache if grain_nbytes == GRAIN_NBYTES else None
        cached = [] if cache is None else cache.find([extent])
        yield from (part.piece for part in cached) if cached else self.recut(extent, grain_nbytes)

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield `piece` in pieces as small as records and `grain_nbytes` allow; rows stay known."""
        raise NotImplementedError

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """Return `piece` cut near its middle, or None if it is one record.

        Notes
        -----
        One pass over a range of text, and more where a record is longer than a part of it.
        """
        nbytes = piece.nbytes
        while nbytes > 1:
            nbytes = -(-nbytes // SPLIT_PARTS)
            parts = list(self.recut(piece, nbytes))
            if len(parts) > 1:
                middle = (piece.start + piece.stop) // 2
                index = min(
                    range(1, len(parts)), key=lambda index: abs(parts[index].start - middle)
                )
                return join_pieces(parts[:index]), join_pieces(parts[index:])
        return None

    def read(self, pieces: Sequence[Piece], as_: str) -> ReadResult:
        """Return the rows of `pieces`, in order, as one frame or table with a fresh index."""
        raise NotImplementedError

    def begins_anew(self, piece: Piece) -> bool:  # noqa: ARG002 - for formats with groups of rows
        """Return whether nothing before `piece` has to be decoded to read it."""
        return True

    def frame_nbytes(self, piece: Piece) -> int | None:  # noqa: ARG002 - for those that know
        """Return bytes of all rows of `piece` as a pandas frame, None if unknown before reading."""
        return None


class RowReader(Reader):
    """A reader of pieces that are ranges of rows, cut by arithmetic."""

    unit: ClassVar[str] = "rows"

    def recut(self, piece: Piece, grain_nbytes: int) -> Iterator[Piece]:
        """Yield `piece` in even parts of at most `grain_nbytes`, or of one row."""
        yield from divide_rows(piece, -(-piece.nbytes // grain_nbytes))

    def split(self, piece: Piece) -> tuple[Piece, Piece] | None:
        """Return `piece` as two halves by rows, None if it is one row or none."""
        halves = divide_rows(piece, 2)
        return (halves[0], halves[1]) if len(halves) == 2 else None


def join_pieces(pieces: Sequence[Piece]) -> Piece:
    """Return `pieces` of one file, which follow one another, as one."""
    return replace(
        pieces[0],
        stop=pieces[-1].stop,
        nbytes=sum(piece.nbytes for piece in pieces),
        rows=add_counts(piece.rows for piece in pieces),
    )


def divide_rows(piece: Piece, parts: int) -> list[Piece]:
    """Return `piece`, whose unit is rows, in `parts` even parts, or in rows if these are fewer."""
    rows = piece.stop - piece.start
    parts = max(1, min(parts, rows))
    if parts == 1:
        return [piece]
    cuts = [rows * part // parts for part in range(parts + 1)]
    sizes = [piece.nbytes * cut // rows for cut in cuts]
    return [
        replace(
            piece,
            start=piece.start + cuts[part],
            stop=piece.start + cuts[part + 1],
            nbytes=sizes[part + 1] - sizes[part],
            rows=cuts[part + 1] - cuts[part],
        )
        for part in range(parts)
    ]


def check_columns(
    columns: Sequence[str] | None,
    schema: pa.Schema,
    default: Sequence[str],
    option: str = "columns",
) -> list[str]:
    """Return the names that `columns` selects of `schema`, `default` where it is None.

    `option` is what a message calls them.

    Raises
    ------
    PlanError
        A name that does not exist or is repeated; not a list of names.
    """
    if columns is None:
        return list(default)
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise PlanError(f'columns={columns!r}: give a list of names, e.g. columns=["carrier"]')
    names = list(columns)
    all_names = set(schema.names)
    visited: set[str] = set()
    for name in names:
        if name not in all_names:
            raise PlanError(
                f"{option}: there is no column {name!r} among {', '.join(default)}."
                f"{suggest(name, schema.names)}"
            )
        if name in visited:
            raise PlanError(f"columns: {name!r} is listed twice; list each column once")
        visited.add(name)
    return names


def refuse_quarantine(reader: Reader, why: str) -> None:
    """Raise `PlanError` if `reader` hands over what does not parse: nobody would see it."""
    if reader.keeps_bad_lines:
        raise PlanError(
            f"on_bad_lines='quarantine' returns the lines that do not parse, and {why}; run the "
            "flow (td.run_flow, td.process), or use on_bad_lines='skip'"
        )


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

    def __init__(self, column: Column, row: int | None, value: Any, fits: str, why: str) -> None:
        super().__init__(column, row, value, fits, why)
        self.column, self.row, self.value, self.fits, self.why = column, row, value, fits, why
