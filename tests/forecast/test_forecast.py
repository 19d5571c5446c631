"""The arithmetic of forecasts, and the places of slices: pure, checked by cases and properties."""

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.forecast.forecast import (
    Range,
    RunSeconds,
    bound,
    doubts,
    spread,
    stretch,
    wall_seconds,
)
from taskinity_data.forecast.output import SizeEstimate
from taskinity_data.forecast.slices import slice_at, spread_positions

READING = RunSeconds(read=8.0, function=1.0, partial=1.0, here=0.5, start=0.0, finish=0.0)


def test_workers_share_the_work_and_their_machine_with_the_driver():
    assert wall_seconds(READING, 2, cores=None) == 5.0
    assert wall_seconds(READING, 2, cores=8) == 5.0
    assert wall_seconds(READING, 2, cores=2) == 5.25


def test_starting_and_finishing_are_added():
    work = READING._replace(start=1.0, finish=0.25)
    assert wall_seconds(work, 2, cores=None) == 6.25


def test_workers_that_wait_at_the_end_are_added():
    assert wall_seconds(READING._replace(idle=0.5), 2, cores=None) == 5.5


def test_a_driver_that_takes_longer_than_its_workers_is_the_bound():
    work = READING._replace(here=9.0)
    assert wall_seconds(work, 4, cores=None) == 9.0
    assert bound(work, 4) == "this process: finding cuts and combining take 9.0 s"
    small = RunSeconds(read=0.0, function=0.0, partial=0.0, here=0.00218, start=0.0, finish=0.0)
    assert bound(small, 4).endswith(" take 2 ms")


def test_the_largest_part_is_named_with_its_share():
    assert bound(READING, 2) == "reading: 80% of the work"
    assert bound(READING._replace(function=36.0), 2) == "the function: 80% of the work"


@given(
    middle=st.floats(1e-3, 1e6),
    ratios=st.lists(st.floats(1e-12, 1e-3), max_size=30),
)
def test_a_range_holds_its_middle_and_is_wider_than_a_factor_of_two_only_with_a_doubt(
    middle, ratios
):
    found = spread(middle, ratios)
    assert found.low < middle < found.high
    widest = 9 if list(doubts(ratios, SizeEstimate(1.0, 1.0))) else 2
    assert found.high <= found.low * widest * (1 + 1e-12)
    assert math.isclose(found.middle, middle, rel_tol=1e-9)


def test_even_slices_make_a_narrow_range():
    assert spread(10.0, [1.0, 1.0, 1.0]) == Range(10.0 / 1.3, 13.0)
    assert spread(10.0, [1.0, 5.0, 9.0]).high > 13.0


def test_slices_that_differ_widen_the_range_until_it_covers_what_they_do_not_show():
    # One slice of eight is ten times as expensive: a quarter of the data may be, or almost none.
    found = spread(17 / 8, [1.0] * 7 + [10.0])
    assert found.low < 1.0
    assert found.high > 0.75 * 1.0 + 0.25 * 10.0


def test_what_slices_can_not_tell_is_doubted():
    even, open_end = SizeEstimate(1e6, 1e6), SizeEstimate(1e6, 9e6)
    assert list(doubts([1.0, 1.1, 0.9], even)) == []
    assert "may take less or longer" in next(doubts([0.1, 0.1, 5.0], even))
    assert "the output is uncertain" in next(doubts([1.0], open_end))
    assert stretch(open_end) == Range(1e6 / 1.3, 9e6 * 1.3)


@given(st.integers(1, 200))
def test_places_are_one_in_each_share(count):
    places = list(spread_positions(count))
    assert sorted(math.floor(place * count) for place in places) == list(range(count))


def test_the_first_places_are_far_apart():
    first = list(spread_positions(16))[:4]
    assert sorted(math.floor(place * 4) for place in first) == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("slices") / "numbers.csv"
    path.write_text("a,b\n" + "".join(f"{n},{'x' * (n % 40)}\n" for n in range(20_000)))
    return open_dataset(path).plan(chunk_size=100_000)


@given(place=st.floats(0, 1), nbytes=st.integers(1, 400_000) | st.none())
def test_a_slice_is_whole_records_from_where_a_chunk_begins(plan, place, nbytes):
    found = slice_at(plan.chunks, place, nbytes)
    first = plan[found.index]
    assert found.start == first.start
    if nbytes is None:
        assert found == first
    else:
        assert min(nbytes, plan.nbytes) <= found.nbytes
        assert found.nbytes <= max(nbytes + nbytes // 8 + 100, 100)
    read = found.read()
    assert len(read) == found.rows
    assert (read.b.fillna("").str.len() == read.a % 40).all()


def test_a_slice_goes_on_over_chunks_and_does_not_reach_beyond_the_end(plan):
    found = slice_at(plan.chunks, 0.99, 250_000)
    assert found.nbytes >= 250_000
    assert found.stop <= plan[-1].stop
    assert len(found.pieces) == 1


def test_a_place_is_counted_in_bytes(plan):
    assert slice_at(plan.chunks, 0.0, 10).index == 0
    assert slice_at(plan.chunks, 0.999999, 10).index == len(plan) - 1


def test_a_slice_of_parquet_begins_with_a_row_group(tmp_path):
    path = tmp_path / "numbers.parquet"
    pd.DataFrame({"a": range(10_000)}).to_parquet(path, row_group_size=5_000)
    chunks = open_dataset(path).plan(chunk_size="1_000 rows").chunks
    starts = {slice_at(chunks, place, 100).start for place in spread_positions(16)}
    assert starts == {0, 5_000}
