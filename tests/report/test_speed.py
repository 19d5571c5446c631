"""What is said of a run's speed holds, whoever its threads waited for."""

from __future__ import annotations

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.outcome import Attempt
from taskinity_data.report.speed import speed_up
from taskinity_data.run.ended_run import measure_work


def _chunks(count, workers, *, seconds, cpu_s, process_cpu_s, processes=1, host="here"):
    """So many attempts shared by workers in so many processes, with times that are given."""
    return [
        Attempt(
            1,
            0.0,
            seconds,
            f"{host}:{n % workers % processes}/thread-{n % workers}",
            cpu_s=cpu_s,
            process_cpu_s=process_cpu_s,
        )
        for n in range(count)
    ]


def _work(attempts, *, workers, cores):
    return measure_work(attempts, workers=workers, cores=cores, host="here").get("work")


def test_a_run_knows_the_cpu_time_of_its_functions():
    frame = pd.DataFrame({"n": range(16)})
    run = td.process(frame, len, scheduler="threads", workers=1, chunk_size="1 rows")
    assert 0 < run.timings["cpu"] <= run.timings["total"]


@pytest.mark.parametrize("workers", [2, 8])
def test_threads_that_wait_for_the_lock_have_no_known_work(workers):
    # One computes at a time: a chunk takes as many times its own CPU time as there are threads.
    attempts = _chunks(80, workers, seconds=workers * 0.1, cpu_s=0.1, process_cpu_s=workers * 0.1)
    assert _work(attempts, workers=workers, cores=8) is None


def test_threads_that_release_the_lock_have_all_their_computing_as_work():
    attempts = _chunks(80, 4, seconds=0.1, cpu_s=0.098, process_cpu_s=0.39)
    assert _work(attempts, workers=4, cores=4) == pytest.approx(80 * 0.098)


def test_threads_that_wait_for_a_service_have_their_waiting_as_work():
    attempts = _chunks(80, 8, seconds=0.5, cpu_s=0.0005, process_cpu_s=0.004)
    assert _work(attempts, workers=8, cores=2) == pytest.approx(80 * 0.5, rel=0.1)


def test_processes_that_wait_for_a_service_have_their_waiting_as_work():
    attempts = _chunks(80, 2, seconds=0.5, cpu_s=0.2, process_cpu_s=0.2, processes=2)
    assert _work(attempts, workers=2, cores=2) == pytest.approx(80 * 0.5)


def test_more_processes_than_cores_wait_for_one_another():
    attempts = _chunks(80, 4, seconds=0.4, cpu_s=0.2, process_cpu_s=0.2, processes=4)
    assert _work(attempts, workers=4, cores=4) == pytest.approx(80 * 0.4)
    assert _work(attempts, workers=4, cores=2) is None


def test_of_a_machine_whose_cores_are_not_known_only_computing_is():
    waits = _chunks(80, 4, seconds=0.4, cpu_s=0.2, process_cpu_s=0.2, processes=4, host="there")
    computes = _chunks(
        80, 4, seconds=0.4, cpu_s=0.39, process_cpu_s=0.39, processes=4, host="there"
    )
    assert _work(waits, workers=4, cores=64) is None
    assert _work(computes, workers=4, cores=64) == pytest.approx(80 * 0.39)


def test_a_library_with_threads_of_its_own_makes_the_work_unknown():
    # Two processes on two cores, polars in each with two threads: each waits for both cores.
    attempts = _chunks(80, 2, seconds=1.0, cpu_s=0.05, process_cpu_s=1.0, processes=2)
    assert _work(attempts, workers=2, cores=2) is None


def test_attempts_of_runs_before_cpu_time_was_measured_have_no_known_work():
    attempts = [
        *_chunks(2, 1, seconds=1.0, cpu_s=1.0, process_cpu_s=1.0),
        Attempt(1, 0.0, 1.0, "w"),
    ]
    assert measure_work(attempts, workers=1, cores=2, host="here") == {}
    assert speed_up({"total": 4.0, "function": 8.0}, 2) is None


def test_a_speed_up_is_never_above_the_workers_where_single_tasks_ran_beside_the_chunks():
    assert speed_up({"total": 4.0, "single": 3.9, "work": 2.0}, 2) == 2.0
    assert speed_up({"total": 4.0, "single": 3.9}, 2) is None
