"""What every reader must do, as a class to inherit: give files by Hypothesis and an oracle.

A format's test class sets `cases`, a strategy of `Case`; everything else is inherited.
"""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.open_dataset import Dataset, open_dataset
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.errors import SourceChanged
from taskinity_data.sources.file import Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# One inherited test is run by several classes, each on cases of its own: that is the contract.
EXAMPLES = examples(15)


@dataclass
class Case:
    """One dataset.

    `write` puts it into a directory and gives back the source; `read_whole` is the oracle: the
    whole source, with the options, as one frame with a `RangeIndex`.
    """

    write: Callable[[str], Any]
    read_whole: Callable[[Any], pd.DataFrame]
    options: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def open(self) -> Iterator[tuple[Dataset, pd.DataFrame]]:
        with tempfile.TemporaryDirectory() as directory:
            source = self.write(directory)
            yield open_dataset(source, **self.options), self.read_whole(source)


def grains(dataset: Dataset, grain_nbytes: int) -> list[list[Piece]]:
    """The grains of each file."""
    return [list(dataset.reader.grains(extent, grain_nbytes)) for extent in dataset.extents]


def chunks(dataset: Dataset, grain_nbytes: int) -> list[Chunk]:
    """A chunk for each grain; a file without records is one empty grain."""
    return [Chunk(dataset.reader, (piece,)) for piece in dataset.iter_grains(grain_nbytes)]


def join(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True)


def assert_same(frame: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        frame, expected, check_exact=True, check_column_type=False, check_freq=False
    )


class ReaderContract:
    """Inherit and set `cases`."""

    cases: st.SearchStrategy[Case]

    sizes = st.one_of(st.just(1), st.integers(2, 200), st.integers(200, 20_000), st.just(1 << 40))

    @EXAMPLES
    @given(data=st.data())
    def test_chunks_together_are_the_whole(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            read = [chunk.read() for chunk in chunks(dataset, data.draw(self.sizes))]
            if len(whole):
                assert_same(join(read), whole)
            assert sum(map(len, read)) == len(whole)

    @EXAMPLES
    @given(data=st.data())
    def test_every_chunk_has_the_columns_and_dtypes_of_the_whole(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            for chunk in chunks(dataset, data.draw(self.sizes)):
                frame = chunk.read()
                pd.testing.assert_series_equal(frame.dtypes, whole.dtypes, check_index_type=False)
                assert frame.index.equals(pd.RangeIndex(len(frame)))

    @EXAMPLES
    @given(data=st.data())
    def test_grains_tile_each_file_in_order(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            found = grains(dataset, data.draw(self.sizes))
            for file, pieces in zip(dataset.sources, found, strict=True):
                extent = dataset.reader.extent(file)
                place = extent.start
                for piece in pieces:
                    assert piece.file == file
                    assert piece.start == place
                    place = piece.stop
                assert place == extent.stop
                assert sum(piece.nbytes for piece in pieces) == extent.nbytes

    @EXAMPLES
    @given(data=st.data())
    def test_finer_grains_are_never_fewer(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            fine, coarse = sorted([data.draw(self.sizes), data.draw(self.sizes)])
            counts = [sum(map(len, grains(dataset, size))) for size in (fine, coarse)]
            assert counts[0] >= counts[1]

    @EXAMPLES
    @given(data=st.data())
    def test_rows_are_conserved(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            rows = 0
            for chunk in chunks(dataset, data.draw(self.sizes)):
                result = chunk.load("arrow")
                assert result.rows == result.data.num_rows
                rows += result.rows
                if chunk.rows is not None and result.filtered is not None:
                    assert result.rows + result.filtered == chunk.rows
            assert rows == len(whole)

    @EXAMPLES
    @given(data=st.data())
    def test_the_kinds_hold_the_same_rows(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            for chunk in chunks(dataset, data.draw(self.sizes))[:5]:
                frame, table = chunk.read("pandas"), chunk.read("arrow")
                polars = chunk.read("polars")
                assert isinstance(table, pa.Table)
                assert isinstance(polars, pl.DataFrame)
                assert table.schema.equals(dataset.schema, check_metadata=False)
                assert table.num_rows == len(frame) == len(polars)
                assert table.schema.names == [str(name) for name in frame.columns]
                assert table.schema.names == polars.columns
                assert polars.rows() == pl.from_arrow(table).rows() or any(
                    pa.types.is_floating(one.type) for one in table.schema
                )
                missing = [column.null_count for column in table.columns]
                nans = frame.isna().sum().tolist()
                assert all(few <= many for few, many in zip(missing, nans, strict=True))

    @EXAMPLES
    @given(data=st.data())
    def test_a_split_loses_nothing(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            for chunk in chunks(dataset, data.draw(self.sizes))[:5]:
                parts = chunk.split()
                assert sum(part.nbytes for part in parts) == chunk.nbytes
                assert parts[0].start == chunk.start
                assert parts[-1].stop == chunk.stop
                assert join_tables(parts).equals(chunk.read("arrow").combine_chunks()) or (
                    has_floats(dataset)
                )
                assert_same(join_or_empty([part.read() for part in parts], chunk), chunk.read())

    @EXAMPLES
    @given(data=st.data())
    def test_splitting_on_and_on_ends_at_single_records(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            todo = chunks(dataset, 1 << 40)
            ends = []
            while todo:
                parts = todo.pop().split()
                (ends if len(parts) == 1 else todo).extend(parts)
            assert sum(chunk.load("arrow").rows for chunk in ends) == len(whole)
            assert all(chunk.rows in (None, 0, 1) for chunk in ends)

    @EXAMPLES
    @given(data=st.data())
    def test_recutting_a_piece_loses_nothing(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            for chunk in chunks(dataset, 1 << 40):
                piece = chunk.pieces[0]
                finer = list(dataset.reader.recut(piece, data.draw(self.sizes)))
                assert sum(part.nbytes for part in finer) == piece.nbytes
                if piece.rows is not None and finer:
                    assert sum(part.rows for part in finer) == piece.rows
                read = [Chunk(dataset.reader, (part,)).read() for part in finer]
                assert_same(join_or_empty(read, chunk), chunk.read())

    @EXAMPLES
    @given(data=st.data())
    def test_several_pieces_are_read_one_after_another(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            found = grains(dataset, data.draw(self.sizes))
            chunk = Chunk(dataset.reader, tuple(piece for pieces in found for piece in pieces))
            if chunk.pieces:
                assert_same(chunk.read(), whole)

    @EXAMPLES
    @given(data=st.data())
    def test_chunks_pickle_and_read_the_same(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            for chunk in chunks(dataset, data.draw(self.sizes))[:3]:
                again = pickle.loads(pickle.dumps(chunk))
                assert again.key == chunk.key
                assert_same(again.read(), chunk.read())

    @EXAMPLES
    @given(data=st.data())
    def test_keys_are_stable_and_differ_by_range_and_columns(self, data):
        case = data.draw(self.cases)
        with tempfile.TemporaryDirectory() as directory:
            source = case.write(directory)
            size = data.draw(self.sizes)
            dataset = open_dataset(source, **case.options)
            keys = [chunk.key for chunk in chunks(dataset, size)]
            assert len(set(keys)) == len(keys)
            if isinstance(source, (str, list)):
                again = open_dataset(source, **case.options)
                assert [chunk.key for chunk in chunks(again, size)] == keys
            names = dataset.schema.names
            if len(names) > 1:
                fewer = dataset.select(names[:1])
                others = [chunk.key for chunk in chunks(fewer, 1 << 40)]
                assert not {chunk.key for chunk in chunks(dataset, 1 << 40)} & set(others)

    @EXAMPLES
    @given(data=st.data())
    def test_selected_columns_are_those_of_the_whole(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            names = data.draw(st.permutations(dataset.schema.names))
            names = names[: data.draw(st.integers(1, len(names)))] if names else []
            if not names:
                return
            places = [dataset.schema.get_field_index(name) for name in names]
            read = [chunk.read() for chunk in chunks(dataset.select(names), 1 << 40)]
            if len(whole):
                assert_same(join(read), whole.iloc[:, places])

    @EXAMPLES
    @given(data=st.data())
    def test_an_empty_piece_has_columns_and_dtypes_but_no_rows(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            extent = dataset.extents[0]
            empty = Piece(extent.file, extent.stop, extent.stop, 0, 0)
            result = Chunk(dataset.reader, (empty,)).load()
            assert (result.rows, result.filtered, len(result.data)) == (0, 0, 0)
            pd.testing.assert_series_equal(result.data.dtypes, whole.dtypes, check_index_type=False)

    @EXAMPLES
    @given(data=st.data())
    def test_a_file_that_changed_or_went_since_the_plan_is_noticed(self, data):
        with data.draw(self.cases).open() as (dataset, _):
            chunk = chunks(dataset, 1 << 40)[0]
            stat = os.stat(chunk.path)
            os.utime(chunk.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
            with pytest.raises(SourceChanged, match="plan again"):
                chunk.read()
            copied = copy.copy(chunk)
            Path(chunk.path).unlink()
            with pytest.raises(SourceChanged, match="gone"):
                copied.read()

    @EXAMPLES
    @given(data=st.data())
    def test_plans_prove_their_ledger_at_any_size(self, data):
        with data.draw(self.cases).open() as (dataset, whole):
            size = data.draw(st.one_of(self.sizes, st.integers(1, 30).map("{} rows".format)))
            plan = pickle.loads(pickle.dumps(dataset.plan(chunk_size=size)))
            check_tiling(plan.extents, plan.chunks)
            assert plan.nbytes == dataset.nbytes
            read = [chunk.read() for chunk in plan]
            if len(whole):
                assert_same(join(read), whole)
            if isinstance(size, str) and len(plan) > 1:
                wanted = int(size.split()[0])
                assert {chunk.rows for chunk in plan[:-1]} == {wanted}
                assert 0 < plan[-1].rows <= wanted

    @EXAMPLES
    @given(data=st.data(), width=st.integers(1, 9))
    def test_a_fixed_width_gives_exactly_that_many_chunks_with_all_rows(self, data, width):
        with data.draw(self.cases).open() as (dataset, whole):
            parts = dataset.divide(width)
            assert len(parts) == width
            read = [part.read() for part in parts]
            assert sum(map(len, read)) == len(whole)
            if len(whole):
                assert_same(join(read), whole)


def has_floats(dataset: Dataset) -> bool:
    return any("float" in str(one.type) or "double" in str(one.type) for one in dataset.schema)


def join_tables(parts: tuple[Chunk, ...]) -> pa.Table:
    return pa.concat_tables([part.read("arrow") for part in parts]).combine_chunks()


def join_or_empty(frames: list[pd.DataFrame], chunk: Chunk) -> pd.DataFrame:
    """Chunks without rows join to the dtypes that they had."""
    full = [frame for frame in frames if len(frame)]
    if not full:
        return frames[0] if frames else chunk.read()
    return join(full)
