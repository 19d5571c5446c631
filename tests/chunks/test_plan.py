"""Cutting grains to chunks, and the plan that proves that none is missing."""

import pickle
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.chunks.cut import MAX_RANGES, ChunkSize, cut, divide, parse_chunk_size
from taskinity_data.chunks.plan import ChunkPlan, check_tiling
from taskinity_data.errors import LedgerError, PlanError
from taskinity_data.formats.reader import divide_rows
from taskinity_data.sources.file import Piece, SourceFile
from taskinity_data.sources.fingerprint import Fingerprint
from taskinity_data.wording import format_nbytes


@dataclass(frozen=True)
class Rows:
    """A reader of pieces that count rows, without files."""

    unit = "rows"

    def identity(self):
        return "rows"

    def recut(self, piece, grain_nbytes):
        yield from divide_rows(piece, -(-piece.nbytes // grain_nbytes))


@dataclass(frozen=True)
class Texts:
    """A reader of pieces that count bytes, in which each record has ten."""

    unit = "bytes"

    def identity(self):
        return "texts"

    def recut(self, piece, grain_nbytes):
        step = max(1, -(-grain_nbytes // 10)) * 10
        for start in range(piece.start, piece.stop, step):
            stop = min(piece.stop, start + step)
            yield Piece(piece.file, start, stop, stop - start, (stop - start) // 10)


def file(name="a"):
    return SourceFile(f"/{name}", Fingerprint(1, 2, 3))


def texts(counts, name="a"):
    """Consecutive pieces of so many records of ten bytes."""
    stops = np.cumsum([0, *counts]) * 10
    return [
        Piece(file(name), int(start), int(stop), int(stop - start), int(stop - start) // 10)
        for start, stop in pairwise(stops)
    ]


def groups(sizes, name="a"):
    """Consecutive row groups of (rows, bytes)."""
    start, found = 0, []
    for rows, nbytes in sizes:
        found.append(Piece(file(name), start, start + rows, nbytes, rows))
        start += rows
    return found


def whole(pieces):
    rows = sum(piece.rows for piece in pieces)
    nbytes = sum(piece.nbytes for piece in pieces)
    return Piece(pieces[0].file, pieces[0].start, pieces[-1].stop, nbytes, rows)


def cut_all(pieces, reader, size):
    return list(cut(pieces, reader, lambda: parse_chunk_size(size)))


ROW_GROUPS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 500)), min_size=1, max_size=12)
RECORDS = st.lists(st.integers(1, 20), min_size=1, max_size=30)
SIZES = st.integers(1, 600)


@given(ROW_GROUPS, SIZES)
def test_chunks_of_row_groups_tile_and_are_not_larger_than_asked_for(sizes, size):
    pieces = groups(sizes)
    chunks = cut_all(pieces, Rows(), size)
    check_tiling([whole(pieces)], chunks)
    largest_row = max(nbytes / rows for rows, nbytes in sizes)
    assert all(chunk.nbytes <= max(size, 2 * largest_row + 1) for chunk in chunks)


@given(RECORDS, SIZES)
def test_chunks_of_text_tile_and_are_not_larger_than_asked_for(counts, size):
    pieces = texts(counts)
    chunks = cut_all(pieces, Texts(), size)
    check_tiling([whole(pieces)], chunks)
    assert all(chunk.nbytes <= max(size, 10) for chunk in chunks)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))


@given(st.lists(st.integers(1, 3), min_size=1, max_size=60), st.integers(60, 600))
def test_fine_grains_give_sizes_near_what_was_asked_for(counts, size):
    chunks = cut_all(texts(counts), Texts(), size)
    total = 10 * sum(counts)
    assert all(chunk.nbytes > size - 30 for chunk in chunks[:-2])
    if total > size:
        assert min(chunk.nbytes for chunk in chunks) >= min(size, total) / 2 - 40


@given(ROW_GROUPS, st.integers(1, 70))
def test_rows_are_exact_in_row_groups(sizes, rows):
    pieces = groups(sizes)
    chunks = cut_all(pieces, Rows(), f"{rows} rows")
    check_tiling([whole(pieces)], chunks)
    assert all(chunk.rows == rows for chunk in chunks[:-1])
    assert 1 <= chunks[-1].rows <= rows


@given(RECORDS, st.integers(1, 30))
def test_rows_are_exact_in_texts(counts, rows):
    pieces = texts(counts)
    chunks = cut_all(pieces, Texts(), f"{rows} rows")
    check_tiling([whole(pieces)], chunks)
    assert all(chunk.rows == rows for chunk in chunks[:-1])
    assert 1 <= chunks[-1].rows <= rows


@given(ROW_GROUPS, RECORDS, st.lists(SIZES, min_size=1))
def test_sizes_that_change_while_the_cuts_go_on_lose_nothing(sizes, counts, targets):
    for pieces, reader in ((groups(sizes), Rows()), (texts(counts), Texts())):
        left = iter(targets * 1000)
        chunks = list(cut(iter(pieces), reader, lambda left=left: ChunkSize(next(left))))
        check_tiling([whole(pieces)], chunks)


@given(st.integers(2, 40), st.integers(1, 100))
def test_the_last_chunk_is_neither_giant_nor_tiny(count, rest):
    chunks = cut_all(groups([(100, 100)] * count + [(rest, rest)]), Rows(), 100)
    sizes = [chunk.nbytes for chunk in chunks]
    assert min(sizes) >= 50
    assert max(sizes) <= 100


def test_small_row_groups_stay_whole():
    chunks = cut_all(groups([(10, 10)] * 20), Rows(), 35)
    assert {chunk.start % 10 for chunk in chunks} == {0}


def test_a_large_row_group_is_cut_in_even_parts():
    chunks = cut_all(groups([(100, 1000)]), Rows(), 300)
    assert [chunk.rows for chunk in chunks] == [25] * 4


def test_ruled_out_row_groups_travel_with_their_neighbours():
    pieces = groups([(10, 0), (10, 100), (10, 0), (10, 0), (10, 100), (10, 0)])
    chunks = cut_all(pieces, Rows(), 100)
    assert [chunk.rows for chunk in chunks] == [40, 20]
    assert [len(chunk.pieces) for chunk in chunks] == [1, 1]


def test_a_dataset_without_rows_is_one_chunk():
    assert [chunk.rows for chunk in cut_all(groups([(0, 0)]), Rows(), 100)] == [0]


def test_small_files_go_together_up_to_a_limit():
    pieces = [groups([(1, 1)], str(place))[0] for place in range(MAX_RANGES + 10)]
    chunks = cut_all(pieces, Rows(), "1GB")
    assert [len(chunk.pieces) for chunk in chunks] == [(MAX_RANGES + 10) // 2] * 2


def test_a_size_is_asked_for_when_a_chunk_begins():
    asked = []

    def next_size():
        asked.append(len(asked))
        return ChunkSize(100)

    chunks = cut(texts([10] * 5), Texts(), next_size)
    next(chunks)
    assert len(asked) <= 3
    assert len(list(chunks)) == 4


def test_rows_that_are_unknown_are_refused_with_the_way_out():
    pieces = [replace(piece, rows=None) for piece in texts([5])]
    with pytest.raises(PlanError, match=r"newlines_in_values=False.*64MiB"):
        cut_all(pieces, Texts(), "3 rows")


@given(ROW_GROUPS, st.integers(1, 12))
def test_a_fixed_width_tiles_in_exactly_so_many_chunks(sizes, width):
    pieces = groups(sizes)
    chunks = divide(pieces, Rows(), width)
    assert len(chunks) == width
    check_tiling([whole(pieces)], chunks)


def test_a_fixed_width_is_even_where_grains_are_fine():
    chunks = divide(texts([1] * 400), Texts(), 4)
    assert [chunk.nbytes for chunk in chunks] == [1000] * 4


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("auto", None),
        (None, None),
        (64_000_000, ChunkSize(64_000_000)),
        (1, ChunkSize(1)),
        (np.int64(7), ChunkSize(7)),
        ("64MiB", ChunkSize(64 << 20)),
        ("1.5 kB", ChunkSize(1500)),
        ("100_000 rows", ChunkSize(100_000, "rows")),
        ("100,000 rows", ChunkSize(100_000, "rows")),
        (" 1 Row", ChunkSize(1, "rows")),
    ],
)
def test_sizes_that_are_understood(text, size):
    assert parse_chunk_size(text) == size


@pytest.mark.parametrize(
    "text", [0, -1, True, False, 1.5, "64 MiBs", "", "0", "0 rows", "-5 rows", "rows", "big", [1]]
)
def test_sizes_that_are_not_say_how_to_write_one(text):
    with pytest.raises(PlanError, match=r'chunk_size=.*write "auto".*64MiB.*100_000 rows'):
        parse_chunk_size(text)


def make_plan(pieces=None, size=100):
    pieces = pieces or groups([(10, 100)] * 3)
    return ChunkPlan(tuple(cut_all(pieces, Rows(), size)), (whole(pieces),), size, "as requested")


def test_a_plan_is_a_sequence_of_chunks_that_pickles():
    plan = make_plan()
    assert len(plan) == 3
    assert [chunk.index for chunk in plan] == [0, 1, 2]
    assert plan[1:] == plan.chunks[1:]
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_a_plan_as_a_frame_has_documented_columns():
    frame = make_plan().to_frame()
    assert frame.dtypes.astype(str).to_dict() == {
        "key": "str", "path": "str", "start": "int64", "stop": "int64", "files": "int64",
        "nbytes": "int64", "rows": "Int64",
    }  # fmt: skip
    assert frame.start.tolist() == [0, 10, 20]
    assert frame.rows.tolist() == [10, 10, 10]
    assert make_plan().chunks[:0] == ()


def test_rows_that_are_unknown_are_missing_and_never_zero():
    pieces = [replace(piece, rows=None) for piece in groups([(10, 100)] * 2)]
    extent = Piece(file(), 0, 20, 200, None)
    plan = ChunkPlan(tuple(Chunk(Rows(), (piece,)) for piece in pieces), (extent,), 100, "")
    assert plan.rows is None
    assert plan.to_frame().rows.isna().all()
    assert "unknown before reading" in repr(plan)


@given(ROW_GROUPS, st.data())
def test_a_missing_doubled_or_swapped_piece_breaks_the_ledger(sizes, data):
    pieces = groups(sizes)
    plan = make_plan(pieces, data.draw(SIZES))
    assume(len(plan) > 1)
    place = data.draw(st.integers(0, len(plan) - 2))
    chunks = list(plan.chunks)
    match data.draw(st.sampled_from(["missing", "doubled", "swapped", "bytes", "rows"])):
        case "missing":
            del chunks[place]
        case "doubled":
            chunks.insert(place, chunks[place])
        case "swapped":
            chunks[place : place + 2] = chunks[place + 1], chunks[place]
        case "bytes":
            piece = chunks[place].pieces[0]
            chunks[place] = Chunk(Rows(), (replace(piece, nbytes=piece.nbytes + 1),))
        case _:
            piece = chunks[place].pieces[0]
            chunks[place] = Chunk(Rows(), (replace(piece, rows=piece.rows + 1),))
    with pytest.raises(LedgerError, match="/a: "):
        check_tiling(plan.extents, chunks)


def test_the_text_of_a_plan_tells_files_bytes_rows_sizes_and_why():
    assert repr(make_plan()).splitlines() == [
        "ChunkPlan of 3 chunks",
        "  files  1  /a",
        "  bytes  300 B",
        "  rows   30",
        "  chunk  min 100 B, median 100 B, max 100 B",
        "  why    as requested",
    ]


def test_the_html_of_a_plan_escapes_names():
    pieces = groups([(10, 100)] * 9, "<script>")
    html = make_plan(pieces)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "… and 4 more" in html


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (5e12, "5.0 TB")],
)
def test_bytes_for_people(nbytes, text):
    assert format_nbytes(nbytes) == text


def test_frames_of_plans_join_with_outcomes_by_key():
    plan = make_plan()
    keys = pd.Series([chunk.key for chunk in plan])
    assert plan.to_frame().key.tolist() == keys.tolist()
    assert keys.is_unique
