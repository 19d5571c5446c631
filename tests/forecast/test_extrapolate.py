"""The chunks of a run and the sizes of slices: by hand, and against the simulator of sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from simulate_sizing import CHUNK_S, Workload, learned

from taskinity_data.chunks.size import Line
from taskinity_data.chunks.sizing import Learner, Size, first_size
from taskinity_data.forecast.extrapolate import LEARNED, expected_sizes, lay_out
from taskinity_data.forecast.slices import FIRST_NBYTES, SLICE_S, next_nbytes

MB = 1_000_000


def sizes_of(line, total_nbytes, workers):
    learner = Learner(Size(16 * MB, "for a test"))
    return [size.target_nbytes for size in expected_sizes(learner, line, total_nbytes, workers)]


def test_the_last_chunk_that_runs_alone_counts():
    assert lay_out([1.0, 1.0, 1.0], 2) == 2.0
    assert lay_out([1.0, 1.0, 5.0], 2) == 6.0


def test_a_chunk_s_fixed_cost_is_paid_as_often_as_a_run_would_pay_it():
    assert len(sizes_of(Line(0.05, 1e-9, 0.0), 1000 * MB, 2)) < 40
    assert len(sizes_of(Line(0.0, 1e-7, 0.0), 1000 * MB, 2)) > 400


def test_a_long_run_has_as_many_chunks_as_its_usual_size_makes():
    sizes = sizes_of(Line(0.003, 1e-8, 0.0), 200_000 * MB, 2)
    assert len(sizes) > 10 * LEARNED
    assert len(sizes) == pytest.approx(200_000 * MB / sizes[LEARNED], rel=0.1)


@given(
    fixed=st.floats(0, 0.1),
    rate=st.floats(20 * MB, 500 * MB),
    nbytes=st.integers(1, 100_000 * MB),
    workers=st.integers(1, 16),
)
@examples(25)
def test_chunks_together_have_all_bytes(fixed, rate, nbytes, workers):
    sizes = sizes_of(Line(fixed, 1 / rate, 0.0), nbytes, workers)
    assert nbytes <= sum(sizes) < nbytes + max(sizes)
    assert min(sizes) > 0


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("fixed", [0.003, 0.05])
def test_it_agrees_with_the_simulator_that_sizes_were_made_by(workers, fixed):
    workload = Workload("a job", 500 * MB, 100 * MB, fixed_s=fixed)
    first = first_size(500 * MB, workers, 2000 * MB, 3.0, 100 * MB)
    line = Line(fixed + CHUNK_S, 1 / (100 * MB), 0.0)
    learner = Learner(first, 2000 * MB, 3.0)
    sizes = [size.target_nbytes for size in expected_sizes(learner, line, 500 * MB, workers)]
    expected = learned(workload, workers)
    seconds = lay_out([line.predict(nbytes) for nbytes in sizes], workers)
    assert seconds == pytest.approx(expected.makespan_s, rel=0.05)
    assert len(sizes) == pytest.approx(expected.chunks, rel=0.15, abs=2)


def grow(cost, max_nbytes=64 * MB):
    """Return the points of slices that cost so much, until they do not grow any more."""
    points, is_growing = [], True
    while is_growing:
        nbytes, is_growing = next_nbytes(points, max_nbytes)
        points.append((nbytes, cost(nbytes)))
        assert len(points) < 20
    return points


def test_slices_grow_to_what_takes_as_long_as_a_usual_chunk():
    points = grow(lambda nbytes: 0.001 + nbytes / (40 * MB))
    assert points[0][0] == FIRST_NBYTES
    assert SLICE_S / 1.5 < max(seconds for _, seconds in points) < 1.1 * SLICE_S
    assert len(points) < 7


def test_slices_do_not_exceed_their_limit():
    assert max(nbytes for nbytes, _ in grow(lambda nbytes: nbytes / 1e12)) == 64 * MB
    assert max(nbytes for nbytes, _ in grow(lambda nbytes: nbytes / 1e12, 1000)) == 1000


def test_a_cost_by_the_chunk_lets_slices_grow():
    points = grow(lambda nbytes: 0.5 + nbytes / (1000 * MB))
    assert points[1][0] < FIRST_NBYTES
    assert max(nbytes for nbytes, _ in points) == 64 * MB


def test_records_that_take_long_make_small_slices():
    points = grow(lambda nbytes: nbytes * 250e-6)
    assert max(nbytes for nbytes, _ in points[1:]) < FIRST_NBYTES
    assert max(seconds for _, seconds in points[2:]) < 1.1 * SLICE_S


def test_a_first_slice_that_loads_code_does_not_keep_slices_small():
    costs = iter([2.0])
    points = grow(lambda nbytes: next(costs, 0.0) + nbytes / (40 * MB))
    assert SLICE_S / 1.5 < max(seconds for _, seconds in points[1:]) < 1.1 * SLICE_S
