"""All ways of doing a job of `make bench` give one answer."""

from __future__ import annotations

import bench
import bench_data
import bench_jobs
import pytest

SCALE = 0.002


@pytest.fixture(scope="module", autouse=True)
def little_data(tmp_path_factory):
    """Inputs of few rows, in a directory of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_data, "DIRECTORY", tmp_path_factory.mktemp("data"))
        patch.setattr(bench_jobs, "ITEMS", 100)
        patch.setattr(bench_jobs, "RECORDS", 100)
        yield


@pytest.mark.thorough
@pytest.mark.parametrize("name", bench_jobs.JOBS)
@pytest.mark.filterwarnings("default")
def test_all_ways_of_a_job_that_need_no_cluster_give_one_answer(name):
    job = bench_jobs.JOBS[name]
    inputs = [bench_data.find(job.data, SCALE)] if job.data else []
    answers = {
        way_name: bench.make_comparable(way.run(*inputs), job.keys)
        for way_name, way in job.ways.items()
        if not way.on_cluster
    }
    bench.check_equal(name, job, answers)


def test_what_is_accepted_names_ways_that_there_are():
    for accepted in bench.read_accepted():
        ways = bench_jobs.JOBS[accepted["job"]].ways
        assert accepted["way"] in ways
        assert accepted.get("beside") in {None, *ways}
