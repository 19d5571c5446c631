"""Runs that are played through: against counts by hand, and against the simulator of sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from taskinity_data.chunks.cost_line import Line
from taskinity_data.chunks.sizing import Learner, Size, first_size
from taskinity_data.forecast.simulate import SIMULATED, Costs, simulate

MB = 1_000_000
NO_MEMORY = Line(0.0, 1.0, 0.0)
SECOND_A_CHUNK = Costs(Line(1.0, 0.0, 0.0), [1.0], NO_MEMORY, 0.0, 0.0)


def fresh(nbytes=16 * MB):
    return Learner(Size(nbytes, "for a test"))


def test_the_last_chunk_that_runs_alone_counts():
    found = simulate(fresh(), SECOND_A_CHUNK, 3, 2, [1, 1, 1])
    assert found.seconds == pytest.approx(2.0)
    assert (found.chunks, found.by_workers) == (3, pytest.approx(3.0))
    assert found.usual_nbytes == 1


def test_a_driver_that_takes_longer_than_its_workers_holds_them_up():
    costs = SECOND_A_CHUNK._replace(combine_s=3.0)
    assert simulate(fresh(), costs, 4, 4, [1, 1, 1, 1]).seconds == pytest.approx(13.0)
    assert simulate(fresh(), costs, 4, 4, [1, 1, 1, 1]).here == pytest.approx(12.0)


def test_what_single_chunks_differ_by_is_in_the_answer():
    costs = SECOND_A_CHUNK._replace(ratios=[1.0, 3.0])
    assert simulate(fresh(), costs, 4, 1, [1, 1, 1, 1]).seconds == pytest.approx(8.0)


def test_a_chunk_s_fixed_cost_is_paid_as_often_as_a_run_would_pay_it():
    waits = Costs(Line(0.05, 1e-9, 0.0), [1.0], NO_MEMORY, 0.0, 0.0)
    computes = Costs(Line(0.0, 1e-7, 0.0), [1.0], NO_MEMORY, 0.0, 0.0)
    assert simulate(fresh(), waits, 1000 * MB, 2).chunks < 40
    assert simulate(fresh(), computes, 1000 * MB, 2).chunks > 400


@given(
    fixed=st.floats(0, 0.1),
    rate=st.floats(20 * MB, 500 * MB),
    megabytes=st.integers(1, 100_000),
    workers=st.integers(1, 16),
)
@examples(25)
def test_a_run_takes_no_less_than_its_share_of_the_work(fixed, rate, megabytes, workers):
    costs = Costs(Line(fixed, 1 / rate, 0.0), [1.0, 0.9, 1.1], NO_MEMORY, 0.0016, 0.0001)
    found = simulate(fresh(), costs, megabytes * MB, workers)
    assert found.seconds >= found.by_workers / workers * (1 - 1e-9)
    assert found.seconds >= found.here * (1 - 1e-9)


def test_a_long_run_is_played_in_part_and_comes_to_the_same():
    costs = Costs(Line(0.003, 1e-8, 0.0), [1.0], NO_MEMORY, 0.0016, 0.0)
    long = simulate(fresh(), costs, 200_000 * MB, 2)
    assert long.chunks > 10 * SIMULATED
    assert long.by_workers == pytest.approx(2000 + 0.003 * long.chunks, rel=0.02)
    assert long.seconds == pytest.approx(long.by_workers / 2, rel=0.02)


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("fixed", [0.003, 0.05])
def test_it_agrees_with_the_simulator_that_sizes_were_made_by(workers, fixed):
    from simulate_sizing import CHUNK_S, TASK_S, Workload, learned

    workload = Workload("a job", 500 * MB, 100 * MB, fixed_s=fixed)
    first = first_size(500 * MB, workers, 2000 * MB, 3.0, 100 * MB)
    memory = Line(workload.base_nbytes, 3.0, 0.0)
    costs = Costs(Line(fixed + CHUNK_S, 1 / (100 * MB), 0.0), [1.0], memory, TASK_S, 0.0)
    found = simulate(Learner(first, 2000 * MB, 3.0), costs, 500 * MB, workers)
    expected = learned(workload, workers)
    assert found.seconds == pytest.approx(expected.makespan_s, rel=0.02)
    assert found.chunks == pytest.approx(expected.chunks, abs=1)
