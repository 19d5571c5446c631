"""Define an open dataset: its files and their reader, which a plan turns into chunks.

`open_dataset` opens it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk, mark_chunk
from taskinity_data.chunks.cut import ChunkSize, cut, divide, parse_chunk_size
from taskinity_data.chunks.cut_columns import CutColumns
from taskinity_data.chunks.plan import ChunkPlan, describe_files
from taskinity_data.chunks.plan_limits import (
    check_memory,
    check_workers,
    find_extent,
    iter_pieces,
    pick,
    refuse_failures,
)
from taskinity_data.chunks.sent_dataset import reduce_dataset
from taskinity_data.chunks.sizing import MAX_SHARERS, MIN_NBYTES, Learner, Size, first_size
from taskinity_data.data_kinds import add_counts
from taskinity_data.errors import PlanError
from taskinity_data.formats.reader import check_columns
from taskinity_data.formats.sampling import (
    SAMPLE_NBYTES,
    enough_nbytes,
    mean_group_nbytes,
    measure_expansion,
)
from taskinity_data.sources.file import Extent, Piece
from taskinity_data.sources.read import read_ahead
from taskinity_data.sources.row_cache import GRAIN_NBYTES
from taskinity_data.wording import to_html, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd
    import pyarrow as pa

    from taskinity_data.formats.reader import Reader
    from taskinity_data.sources.file import SourceFile

__all__ = ["Dataset", "Extent"]

GRAINS_A_CHUNK = 16
"""Grains in a chunk of a given size: it is then at least 15/16 of the requested size."""

MAX_GRAIN_NBYTES = 4 << 20
WHOLE = 1 << 62
"""More bytes than any piece has: pieces counted in rows are cut by arithmetic alone."""

HEAD_NBYTES = 64 << 10
"""Read of a file at least to find where its records begin."""

FILES_AHEAD = 2
GRAINS_AHEAD = 1024
FEW_AHEAD = 4
"""Where the first grains are enough: with a thousand, 256 MB of each file were passed over."""

FRAME_RATES = {"parquet": 600e6, "arrow": 3000e6}
"""Bytes of pandas frame that one core produces in a second if the source isn't text (measured on
the flights by month: 590 MB/s of Parquet, 2,950 of a mapped table). Constants, so that two plans
of the same files are equal."""


@dataclass(frozen=True)
class Dataset:
    """Files of one format and schema, or a table, not yet read: see `open_dataset`. Pickles.

    Attributes
    ----------
    sources : tuple of SourceFile
        The files, in order.
    reader : Reader
    chunk_size : ChunkSize or None
        The requested size, None for ``"auto"``.
    """

    sources: tuple[SourceFile, ...]
    reader: Reader
    chunk_size: ChunkSize | None = None
    __reduce__ = reduce_dataset

    def _find_secrets(self) -> Iterator[Any]:
        """Yield values that may hold secrets: names of files and options of their stores."""
        yield from {file.store for file in self.sources if file.store is not None}
        yield [file.name for file in self.sources]

    @property
    def files(self) -> list[str]:
        """The files' paths, in order; of a frame or table, the file that it was written to."""
        return [file.path for file in self.sources]

    @property
    def format(self) -> str:
        """Its name, as ``format=`` takes it: ``"csv"``, ``"parquet"``, ..."""
        return self.reader.format

    @property
    def schema(self) -> pa.Schema:
        """The selected columns, as every chunk has them."""
        return self.reader.schema

    @property
    def nbytes(self) -> int:
        """Planned bytes: file bytes for text, uncompressed bytes of the selected columns for
        Parquet (without row groups that the filter rules out), Arrow bytes in memory.
        """
        return self.extent.nbytes

    @property
    def rows(self) -> int | None:
        """The number of rows, None if it is only known after reading: for text, and filters."""
        return None if self._is_filtered else self.extent.rows

    @property
    def _is_filtered(self) -> bool:
        return self.reader.filters is not None

    @cached_property
    def extents(self) -> tuple[Piece, ...]:
        """All data of each file, in order, each as one piece, which may carry a failure."""
        if len(self.sources) == 1:
            return (find_extent(self.reader, self.sources[0]),)
        return tuple(
            read_ahead(
                self.sources,
                lambda file: [find_extent(self.reader, file)],
                threads=FILES_AHEAD,
                depth=GRAINS_AHEAD,
                nbytes_of=lambda file: min(file.nbytes, HEAD_NBYTES),
            )
        )

    def refuse_unreadable(self) -> None:
        """Raise the failure of the first file that can't be opened, if there is one."""
        refuse_failures(self.extents)

    @property
    def extent(self) -> Extent:
        """Planned bytes and rows of all files (including rows that a filter will drop)."""
        rows = add_counts(extent.rows for extent in self.extents)
        return Extent(sum(extent.nbytes for extent in self.extents), rows)

    @cached_property
    def expansion(self) -> float:
        """Bytes in memory, as a pandas frame, per planned byte, of a sample."""
        enough = enough_nbytes(self.nbytes)
        is_cached = self.reader.row_cache is not None
        grain_nbytes = GRAIN_NBYTES if is_cached else min(SAMPLE_NBYTES // 4, enough)
        grains = self.iter_grains(grain_nbytes, tolerates=True, ahead=FEW_AHEAD)
        return measure_expansion(self.reader, grains, enough)

    @cached_property
    def group_nbytes(self) -> int:
        """Bytes of a usual group of rows that is decoded as a whole, 0 if there are none."""
        if not self.reader.has_groups:
            return 0
        return mean_group_nbytes(self.iter_grains(WHOLE, tolerates=True, ahead=FEW_AHEAD))

    def select(self, columns: Sequence[str]) -> Dataset:
        """Return the dataset with only `columns` (of those that are selected), in that order.

        Raises
        ------
        PlanError
            A column is not among them.
        """
        names = check_columns(columns, self.schema, self.schema.names)
        return replace(self, reader=self.reader.select(names))

    def encode(self, columns: Sequence[str]) -> Dataset:
        """Return the dataset with these text columns read as codes for a reducer, if that is
        faster.
        """
        return replace(self, reader=self.reader.encode(columns))

    def head(self, n: int = 5) -> pd.DataFrame:
        """Return the first `n` rows; reads little more than those, unless a filter drops most."""
        import pandas as pd

        frames: list[pd.DataFrame] = []
        missing = n
        for piece in self.iter_grains(GRAIN_NBYTES, ahead=FEW_AHEAD):
            frame = Chunk(self.reader, (piece,)).read()
            frames.append(frame.iloc[:missing])
            missing -= len(frames[-1])
            if missing <= 0:
                break
        nonempty = [frame for frame in frames if len(frame)] or frames[:1]
        return pd.concat(nonempty, ignore_index=True) if len(nonempty) > 1 else nonempty[0]

    def iter_grains(
        self,
        grain_nbytes: int,
        memory_nbytes: int | None = None,
        *,
        tolerates: bool = False,
        ahead: int = GRAINS_AHEAD,
    ) -> Iterator[Piece]:
        """Yield the finest pieces of all files, in order.

        Parameters
        ----------
        grain_nbytes : int
            Planned bytes of a piece, as close as records allow.
        memory_nbytes : int or None
            Memory that one worker may use: a longer record of text raises a `PlanError`.
        tolerates : bool
            Whether files that can't be opened or cut are yielded as pieces with their failures,
            or raise.
        ahead : int
            Grains of a file that the pass over text, which runs ahead in threads, finds before
            they are taken. Closing the iterator stops it.
        """

        def produce(extent: Piece) -> Iterator[Piece]:
            return iter_pieces(
                self.reader,
                extent,
                lambda: self.reader.grains(extent, grain_nbytes),
                grain_nbytes,
                memory_nbytes,
                tolerates=tolerates,
            )

        return read_ahead(
            self.extents,
            produce,
            threads=FILES_AHEAD,
            depth=ahead,
            nbytes_of=lambda extent: extent.nbytes,
        )

    def cut(
        self,
        next_size: Callable[[], ChunkSize],
        size: ChunkSize | None = None,
        memory_nbytes: int | None = None,
        *,
        tolerates: bool = False,
    ) -> Iterator[Chunk]:
        """Yield chunks, in order, during the pass over the files.

        Parameters
        ----------
        next_size : callable
            Returns the size of the next chunk, called when it begins.
        size : ChunkSize or None
            The size of all chunks, if it is fixed: grains are then chosen for it.
        memory_nbytes, tolerates
            See `iter_grains`.
        """
        grains = self.iter_grains(self.grain_nbytes(size), memory_nbytes, tolerates=tolerates)
        return map(mark_chunk, cut(grains, self.reader, next_size))

    def grain_nbytes(self, size: ChunkSize | None) -> int:
        """Return how many bytes the grains have of which `cut` makes chunks."""
        if self.reader.unit == "rows":
            return WHOLE
        if size is None or size.unit == "rows":
            is_small = self.nbytes < MAX_SHARERS * MIN_NBYTES
            return max(1, self.nbytes // (4 * MAX_SHARERS)) if is_small else GRAIN_NBYTES
        return max(1, min(size.target // GRAINS_A_CHUNK, MAX_GRAIN_NBYTES))

    def divide(self, width: int, *, tolerates: bool = False) -> tuple[Chunk, ...]:
        """Return exactly `width` chunks of about equal bytes, in order.

        Parameters
        ----------
        width : int
            At least 1. If there are fewer records, some chunks hold none.
        tolerates : bool
            See `iter_grains`; each piece with a failure is an additional chunk.

        Raises
        ------
        PlanError
            `width` is not a whole number from 1 up.
        """
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise PlanError(f"width={width!r}: give a whole number from 1 up")
        grain = max(1, self.nbytes // (width * GRAINS_A_CHUNK))
        chunks = divide(list(self.iter_grains(grain, tolerates=tolerates)), self.reader, width)
        return tuple(map(mark_chunk, chunks))

    def pick(self, ranges: Sequence[str]) -> Chunk:
        """Return one chunk by its ranges, as in `Chunk.ranges` of a chunk of this dataset.

        Parameters
        ----------
        ranges : sequence of str
            Each ``PATH:START-STOP``.

        Raises
        ------
        PlanError
            No file of the dataset has that range, or it cuts a record.

        Notes
        -----
        For text it takes the pass over everything before the range's end.
        """
        return Chunk(self.reader, tuple(pick(self.reader, self.extents, text) for text in ranges))

    def first_size(self, workers: int, memory_nbytes: int | None) -> Size:
        """Return the size of chunks before any is read, for `workers` with `memory_nbytes` each."""
        frame_rate = FRAME_RATES.get(self.format)
        rate = None if frame_rate is None else frame_rate / self.expansion
        return first_size(
            self.nbytes, workers, memory_nbytes, self.expansion, rate, self.group_nbytes
        )

    def learner(self, workers: int, memory_nbytes: int | None) -> Learner:
        """Return the learner at the start of a run by `workers` with `memory_nbytes` each."""
        return Learner(
            self.first_size(workers, memory_nbytes),
            memory_nbytes,
            self.expansion,
            total_nbytes=self.nbytes,
            group_nbytes=self.group_nbytes,
        )

    def plan(
        self,
        workers: int | None = None,
        memory: int | str | None = None,
        chunk_size: Any = None,
    ) -> ChunkPlan:
        """Cut all chunks, without reading them.

        Parameters
        ----------
        workers : int or None
            How many read at the same time; None: the cores of this process.
        memory : int, str or None
            Memory of one worker, in bytes or as ``"2GiB"``; None: its share of this machine.
        chunk_size : "auto", int, str, or None
            Bytes, ``"64MiB"`` or ``"100_000 rows"``; None: what `open_dataset` was given.

        Returns
        -------
        ChunkPlan

        Raises
        ------
        PlanError
            An invalid size or count, a file that can't be cut, a record of text that is too
            long for a worker's memory (`.path`, `.start`).
        """
        self.refuse_unreadable()
        size = self.chunk_size if chunk_size is None else parse_chunk_size(chunk_size)
        is_given = size is not None
        workers = check_workers(workers)
        memory_nbytes = check_memory(memory, workers)
        if size is not None:
            reason = f"{size}, as requested"
        else:
            first = self.first_size(workers, memory_nbytes)
            size = ChunkSize(first.target_nbytes, whole_nbytes=first.whole_nbytes)
            reason = first.reason
        chunks = CutColumns(self.cut(lambda: size, size, memory_nbytes))
        target = size.target if size.unit == "bytes" else None
        return ChunkPlan(chunks, self.extents, target, reason, is_given)

    def to_dask(self) -> Any:
        """Return a `dask.dataframe.DataFrame` with a partition for each chunk of `plan()`.

        Raises
        ------
        ImportError
            dask.dataframe is not installed.
        PlanError
            ``on_bad_lines="quarantine"`` is set, which needs a run.
        """
        from taskinity_data.chunks.dask_frame import make_dask_frame

        self.refuse_unreadable()
        return make_dask_frame(self.reader, self.extents[0], self.plan())

    def _fields(self) -> list[tuple[str, str]]:
        return describe_files(self.sources, self.schema, self.nbytes, self.rows)

    @property
    def _title(self) -> str:
        if self.reader.is_in_memory:
            return "Dataset in memory"
        return f"Dataset of {self.format} files"

    def __repr__(self) -> str:
        return to_text(self._title, self._fields())

    def _repr_html_(self) -> str:
        return to_html(self._title, self._fields())
