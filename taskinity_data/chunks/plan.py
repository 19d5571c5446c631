"""The chunks of a dataset, in order, why they have that size, and the proof that none is missing.

It knows nothing of how chunks were cut or of who will read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any, overload

import pandas as pd

from taskinity_data.chunks.cut import ChunkSize, cut, divide, parse_chunk_size
from taskinity_data.errors import LedgerError
from taskinity_data.wording import format_nbytes, inert_line, to_html, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.forecast.estimate import Forecast
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "ChunkPlan",
    "ChunkSize",
    "check_tiling",
    "cut",
    "describe_files",
    "divide",
    "parse_chunk_size",
    "tell_unpacked",
]

_SHOWN = 5


@dataclass(frozen=True)
class ChunkPlan:
    """The pieces of a dataset. A sequence of `Chunk`; holds no data, pickles, can be repeated.

    Attributes
    ----------
    chunks : tuple of Chunk
        In order; together they tile every file.
    extents : tuple of Piece
        All data of each file, in order: what the chunks must tile.
    target_nbytes : int or None
        The size that was aimed at, None where it was rows.
    reason : str
        Why that size.
    is_given : bool
        The size was asked for, so a run keeps it.
    """

    chunks: tuple[Chunk, ...]
    extents: tuple[Piece, ...]
    target_nbytes: int | None
    reason: str
    is_given: bool = False
    _forecasts: list[Forecast] = field(default_factory=list, init=False, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)

    @overload
    def __getitem__(self, place: int) -> Chunk: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Chunk, ...]: ...

    def __getitem__(self, place: int | slice) -> Chunk | tuple[Chunk, ...]:
        return self.chunks[place]

    @property
    def forecast(self) -> Forecast | None:
        """The newest that `estimate` has made, None without."""
        return self._forecasts[-1] if self._forecasts else None

    def forecast_of(self, work: str) -> Forecast | None:
        """The newest of `work`, or of any other where there is none; a run is set against it."""
        return next((one for one in self._forecasts[::-1] if one.of == work), self.forecast)

    @property
    def nbytes(self) -> int:
        """Planned bytes of all chunks: see `Piece`."""
        return sum(chunk.nbytes for chunk in self.chunks)

    @property
    def rows(self) -> int | None:
        """Rows of all chunks, those that a filter will drop among them; None where unknown."""
        return _sum_rows([chunk.rows for chunk in self.chunks])

    @property
    def files(self) -> list[str]:
        """The files' paths, in order."""
        return [extent.path for extent in self.extents]

    def to_frame(self) -> pd.DataFrame:
        """A row for each chunk.

        Returns
        -------
        pandas.DataFrame
            Columns ``key`` (str), ``path`` (str: the first file), ``start``, ``stop`` (int64: in
            bytes for text, in rows for Parquet and tables; `stop` in the last file), ``files``
            (int64: how many it lies in), ``nbytes`` (int64: planned), ``rows`` (Int64, <NA> where
            unknown).
        """
        chunks = self.chunks
        files = [len({piece.path for piece in chunk.pieces}) for chunk in chunks]
        columns = {
            "key": pd.Series([chunk.key for chunk in chunks], dtype="str"),
            "path": pd.Series([chunk.path for chunk in chunks], dtype="str"),
            "start": pd.Series([chunk.start for chunk in chunks], dtype="int64"),
            "stop": pd.Series([chunk.stop for chunk in chunks], dtype="int64"),
            "files": pd.Series(files, dtype="int64"),
            "nbytes": pd.Series([chunk.nbytes for chunk in chunks], dtype="int64"),
            "rows": pd.Series([chunk.rows for chunk in chunks], dtype="Int64"),
        }
        return pd.DataFrame(columns)

    def ledger(self) -> pd.DataFrame:
        """A row for each file, after proof that the chunks tile it.

        Returns
        -------
        pandas.DataFrame
            Columns ``path`` (str), ``start``, ``stop`` (int64: as in `Piece`), ``nbytes`` (int64),
            ``rows`` (Int64, <NA> where unknown), ``pieces`` (int64).

        Raises
        ------
        LedgerError
            A range is missing, read twice or out of order, or bytes or rows don't add up.
        """
        found = check_tiling(self.extents, self.chunks)
        rows = [_sum_rows([piece.rows for piece in pieces]) for pieces in found]
        columns = {
            "path": pd.Series([extent.path for extent in self.extents], dtype="str"),
            "start": pd.Series([extent.start for extent in self.extents], dtype="int64"),
            "stop": pd.Series([extent.stop for extent in self.extents], dtype="int64"),
            "nbytes": pd.Series([extent.nbytes for extent in self.extents], dtype="int64"),
            "rows": pd.Series(rows, dtype="Int64"),
            "pieces": pd.Series([len(pieces) for pieces in found], dtype="int64"),
        }
        return pd.DataFrame(columns)

    def estimate(
        self,
        function: Callable[..., Any] | None = None,
        reduce: Any = None,
        *,
        workers: int | None = None,
        memory: int | str | None = None,
        scheduler: Any = None,
    ) -> Forecast:
        """What a run over this data will take: time, memory and size of the output, as ranges.

        `function` and the reducer are really called, on slices of some tenths of a second from
        places spread over all files, alone and side by side, by whoever would run them: two to five
        seconds, or two slices where each takes longer. Nothing is kept. A plain function as
        `reduce` is not called: the output is then what all chunks return.

        Parameters
        ----------
        function, reduce, workers, memory, scheduler
            As in `td.process`.

        Returns
        -------
        Forecast
            ``.seconds``, ``.memory_nbytes``, ``.output_nbytes``: ranges with ``.low`` and
            ``.high``; ``.chunk_nbytes``, ``.bottleneck``, ``.more_workers``; ``.doubts`` says why a
            number may lie outside of its range, or has a wide one.

        Raises
        ------
        PlanError
            There is no data, or the function fails on a slice.
        """
        from taskinity_data.forecast.estimate import estimate

        found = estimate(
            self, function, reduce, workers=workers, memory=memory, scheduler=scheduler
        )
        self._forecasts.append(found)
        return found

    def _facts(self) -> list[tuple[str, str]]:
        files = self.files
        more = "" if len(files) == 1 else f" … {files[-1]}"
        sizes = sorted(chunk.nbytes for chunk in self.chunks)
        facts = [("files", f"{len(files):,}  {files[0]}{more}")] if files else []
        unpacked = tell_unpacked([extent.file for extent in self.extents])
        facts.append(("bytes", format_nbytes(self.nbytes) + unpacked))
        facts.append(("rows", "unknown before reading" if self.rows is None else f"{self.rows:,}"))
        if sizes:
            spread = [format_nbytes(size) for size in (sizes[0], int(median(sizes)), sizes[-1])]
            facts.append(("chunk", "min {}, median {}, max {}".format(*spread)))
        facts.append(("why", self.reason))
        return facts

    def __repr__(self) -> str:
        what = "chunk" if len(self) == 1 else "chunks"
        return to_text(f"ChunkPlan of {len(self):,} {what}", self._facts())

    def _repr_html_(self) -> str:
        rows = "".join(_to_row(chunk) for chunk in self.chunks[:_SHOWN])
        left = len(self) - _SHOWN
        more = f"<tr><td colspan='5'>… and {left:,} more</td></tr>" if left > 0 else ""
        head = "".join(f"<th>{name}</th>" for name in ("path", "start", "stop", "bytes", "rows"))
        return (
            to_html(f"ChunkPlan of {len(self):,} chunks", self._facts())
            + f"<table><thead><tr>{head}</tr></thead><tbody>{rows}{more}</tbody></table>"
        )


def check_tiling(extents: Sequence[Piece], chunks: Sequence[Chunk]) -> list[list[Piece]]:
    """The pieces of each of `extents`, after proof that they tile it, in order.

    Raises
    ------
    LedgerError
        A range is missing, read twice or out of order, or bytes or rows don't add up.
    """
    pieces = iter([piece for chunk in chunks for piece in chunk.pieces])
    piece = next(pieces, None)
    found: list[list[Piece]] = []
    for extent in extents:
        mine: list[Piece] = []
        place = extent.start
        while piece is not None and piece.file == extent.file:
            if piece.start != place or not place <= piece.stop <= extent.stop:
                break
            mine.append(piece)
            place, piece = piece.stop, next(pieces, None)
        if place != extent.stop:
            raise LedgerError(
                f"{extent.path}: the chunks cover it up to {place:,} of {extent.stop:,}"
            )
        if sum(one.nbytes for one in mine) != extent.nbytes:
            raise LedgerError(
                f"{extent.path}: the chunks hold {sum(one.nbytes for one in mine):,} bytes of "
                f"{extent.nbytes:,}"
            )
        rows = _sum_rows([one.rows for one in mine])
        if extent.rows is not None and rows != extent.rows:
            raise LedgerError(f"{extent.path}: the chunks hold {rows} rows of {extent.rows:,}")
        found.append(mine)
    if piece is not None:
        raise LedgerError(
            f"{piece.path}: {piece.start:,} to {piece.stop:,} is read once more than it is there"
        )
    return found


def _sum_rows(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _to_row(chunk: Chunk) -> str:
    rows = "?" if chunk.rows is None else f"{chunk.rows:,}"
    cells = (
        inert_line(chunk.path),
        f"{chunk.start:,}",
        f"{chunk.stop:,}",
        f"{chunk.nbytes:,}",
        rows,
    )
    return "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


MAX_COLUMNS = 50
"""Columns that are named where a dataset shows itself."""


def describe_files(
    files: Sequence[SourceFile], schema: pa.Schema, nbytes: int, rows: int | None
) -> list[tuple[str, str]]:
    """The facts of a dataset."""
    first, *others = (file.path for file in files)
    shown = first if not others else f"{first} … {others[-1]}"
    facts = [("files", f"{len(files):,}  {shown}")]
    failures = [file.failure for file in files if file.failure is not None]
    if failures:
        facts.append(("unreadable", f"{len(failures):,}  {failures[0]}"))
    names = [f"{field.name}: {field.type}" for field in list(schema)[:MAX_COLUMNS]]
    more = len(schema) - len(names)
    columns = ", ".join([*names, *([f"and {more:,} more"] if more else [])])
    return [
        *facts,
        ("bytes", format_nbytes(nbytes) + tell_unpacked(files)),
        ("rows", "unknown before reading" if rows is None else f"{rows:,}"),
        ("columns", f"{len(schema)}  {columns}"),
    ]


def tell_unpacked(files: Sequence[SourceFile]) -> str:
    """What to say behind the bytes of `files`: that, and from how much, they are unpacked."""
    packed = {file: file.unpacked.codec for file in files if file.unpacked is not None}
    if not packed:
        return ""
    nbytes = sum(file.fingerprint.nbytes for file in packed)
    codecs = ", ".join(sorted(set(packed.values())))
    return f", unpacked from {format_nbytes(nbytes)} of {codecs}; places count unpacked bytes"
