"""Define the plan: the chunks of a dataset, in order, the reason for their size, and its check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import pandas as pd

from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import LedgerError
from taskinity_data.wording import format_nbytes, inert_line, to_html, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.forecast.estimate import Forecast
    from taskinity_data.sources.file import Piece, SourceFile

__all__ = [
    "ChunkPlan",
    "check_tiling",
    "describe_files",
    "describe_unpacked",
]

_SHOWN = 5


@dataclass(frozen=True)
class ChunkPlan:
    """The pieces of a dataset. A sequence of `Chunk`; holds no data, can be pickled.

    Attributes
    ----------
    chunks : sequence of Chunk
        In order; together they tile every file.
    extents : tuple of Piece
        All data of each file, in order: what the chunks must tile.
    target_nbytes : int or None
        The size that was targeted, None if it was in rows.
    reason : str
        The reason for that size.
    is_given : bool
        Whether the user chose the size, so that a run keeps it.
    """

    chunks: Sequence[Chunk]
    extents: tuple[Piece, ...]
    target_nbytes: int | None
    reason: str
    is_given: bool = False

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self.chunks)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Chunk]: ...

    def __getitem__(self, index: int | slice) -> Chunk | Sequence[Chunk]:
        return self.chunks[index]

    @property
    def nbytes(self) -> int:
        """Planned bytes of all chunks: see `Piece`."""
        return sum(chunk.nbytes for chunk in self.chunks)

    @property
    def rows(self) -> int | None:
        """Rows of all chunks, including those that a filter will drop; None if unknown."""
        return add_counts(chunk.rows for chunk in self.chunks)

    @property
    def files(self) -> list[str]:
        """The files' paths, in order."""
        return [extent.path for extent in self.extents]

    def to_frame(self) -> pd.DataFrame:
        """Return a frame with a row for each chunk.

        Returns
        -------
        pandas.DataFrame
            Columns ``key`` (str), ``path`` (str: the first file), ``start``, ``stop`` (int64: in
            bytes for text, in rows for Parquet and tables; `stop` in the last file), ``files``
            (int64: how many files it spans), ``nbytes`` (int64: planned), ``rows`` (Int64, <NA>
            where unknown).
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

    def estimate(
        self,
        function: Callable[..., Any] | None = None,
        reduce: Any = None,
        *,
        workers: int | None = None,
        memory: int | str | None = None,
        scheduler: Any = None,
    ) -> Forecast:
        """Forecast time, memory and size of the output of a run over this data, as ranges.

        `function` and the reducer are called on slices of some tenths of a second from positions
        spread over all files, one at a time and in parallel, by the scheduler that would run them:
        for two to five seconds, or on two slices if each takes longer. No results are kept. A
        plain function as `reduce` is not called: the output is then what all chunks return.

        Parameters
        ----------
        function, reduce, workers, memory, scheduler
            As in `td.process`.

        Returns
        -------
        Forecast
            ``.seconds``, ``.memory_nbytes``, ``.output_nbytes``: ranges with ``.low`` and
            ``.high``; ``.chunk_nbytes``, ``.bottleneck``; ``.doubts`` are the
            reasons why a number may be outside of its range, or has a wide one.

        Raises
        ------
        PlanError
            There is no data, or the function fails on a slice.
        """
        from taskinity_data.forecast.estimate import estimate

        return estimate(self, function, reduce, workers=workers, memory=memory, scheduler=scheduler)

    def _fields(self) -> list[tuple[str, str]]:
        files = self.files
        more = "" if len(files) == 1 else f" … {files[-1]}"
        sizes = sorted(chunk.nbytes for chunk in self.chunks)
        fields = [("files", f"{len(files):,}  {files[0]}{more}")] if files else []
        unpacked = describe_unpacked([extent.file for extent in self.extents])
        fields.append(("bytes", format_nbytes(self.nbytes) + unpacked))
        fields.append(("rows", "unknown before reading" if self.rows is None else f"{self.rows:,}"))
        if sizes:
            # 2 ms to load, which runs that show no plan need not spend.
            from statistics import median

            spread = [format_nbytes(size) for size in (sizes[0], int(median(sizes)), sizes[-1])]
            fields.append(("chunk", "min {}, median {}, max {}".format(*spread)))
        fields.append(("why", self.reason))
        return fields

    def __repr__(self) -> str:
        noun = "chunk" if len(self) == 1 else "chunks"
        return to_text(f"ChunkPlan of {len(self):,} {noun}", self._fields())

    def _repr_html_(self) -> str:
        rows = "".join(_to_row(chunk) for chunk in self.chunks[:_SHOWN])
        remaining = len(self) - _SHOWN
        more = f"<tr><td colspan='5'>… and {remaining:,} more</td></tr>" if remaining > 0 else ""
        head = "".join(f"<th>{name}</th>" for name in ("path", "start", "stop", "bytes", "rows"))
        return (
            to_html(f"ChunkPlan of {len(self):,} chunks", self._fields())
            + f"<table><thead><tr>{head}</tr></thead><tbody>{rows}{more}</tbody></table>"
        )


def check_tiling(extents: Sequence[Piece], chunks: Iterable[Chunk]) -> None:
    """Check that the pieces of `chunks` tile `extents`, in order.

    Raises
    ------
    LedgerError
        A range is missing, read twice or out of order, or bytes or rows don't add up.
    """
    if isinstance(chunks, CutColumns):
        pieces = chunks.iter_pieces()
    else:
        pieces = (piece for chunk in chunks for piece in chunk.pieces)
    piece = next(pieces, None)
    for extent in extents:
        position, nbytes = extent.start, 0
        rows: int | None = 0
        while piece is not None and (piece.file is extent.file or piece.file == extent.file):
            if piece.start != position or not position <= piece.stop <= extent.stop:
                break
            nbytes += piece.nbytes
            rows = None if rows is None or piece.rows is None else rows + piece.rows
            position, piece = piece.stop, next(pieces, None)
        if position != extent.stop:
            raise LedgerError(
                f"{extent.path}: the chunks cover it up to {position:,} of {extent.stop:,}"
            )
        if nbytes != extent.nbytes:
            raise LedgerError(
                f"{extent.path}: the chunks hold {nbytes:,} bytes of {extent.nbytes:,}"
            )
        if extent.rows is not None and rows != extent.rows:
            raise LedgerError(f"{extent.path}: the chunks hold {rows} rows of {extent.rows:,}")
    if piece is not None:
        raise LedgerError(f"{piece.path}: {piece.start:,} to {piece.stop:,} is read more than once")


def _to_row(chunk: Chunk) -> str:
    """Return `chunk` as a row of the HTML table."""
    from html import escape

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
"""The most columns that the repr of a dataset names."""


def describe_files(
    files: Sequence[SourceFile], schema: pa.Schema, nbytes: int, rows: int | None
) -> list[tuple[str, str]]:
    """Return the fields of a dataset's repr."""
    first, *others = (file.path for file in files)
    shown = first if not others else f"{first} … {others[-1]}"
    fields = [("files", f"{len(files):,}  {shown}")]
    failures = [file.failure for file in files if file.failure is not None]
    if failures:
        fields.append(("unreadable", f"{len(failures):,}  {failures[0]}"))
    names = [f"{field.name}: {field.type}" for field in list(schema)[:MAX_COLUMNS]]
    more = len(schema) - len(names)
    columns = ", ".join([*names, *([f"and {more:,} more"] if more else [])])
    return [
        *fields,
        ("bytes", format_nbytes(nbytes) + describe_unpacked(files)),
        ("rows", "unknown before reading" if rows is None else f"{rows:,}"),
        ("columns", f"{len(schema)}  {columns}"),
    ]


def describe_unpacked(files: Sequence[SourceFile]) -> str:
    """Return text to follow the bytes of `files`: what they were converted from, if anything."""
    packed = {file: str(file.unpacked.conversion) for file in files if file.unpacked is not None}
    if not packed:
        return ""
    nbytes = sum(file.fingerprint.nbytes for file in packed)
    codecs = ", ".join(sorted(set(packed.values())))
    return f", converted from {format_nbytes(nbytes)} of {codecs}; offsets are in the text"
