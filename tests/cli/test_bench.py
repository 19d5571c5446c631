"""``taskinity-data bench``: what it measures."""

import json
import os
import signal
from dataclasses import replace

import pytest

from taskinity_data.cli.commands import bench as command
from taskinity_data.cli.commands.bench_measure import (
    JOBS,
    Alone,
    Pools,
    in_sequence,
    measure,
)

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def pools():
    with Pools() as pools:
        yield pools


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_job_gives_the_same_answer_in_parallel_and_its_speed_up_is_measured(job, pools):
    alone = in_sequence(job, 40)
    found = measure(job, 40, alone, pools, "threads", 2)
    assert found.sequential_s == alone.seconds
    assert found.speed_up == alone.seconds / found.parallel_s
    assert found.chunks == 14  # 3 rows each


@pytest.mark.parametrize(("seconds", "chunks"), [(0.1, 16), (24.0, 24), (1000.0, 32)])
def test_long_work_is_more_chunks(seconds, chunks, pools):
    alone = in_sequence(JOBS[1], 960)._replace(seconds=seconds)
    assert measure(JOBS[1], 960, alone, pools, "threads", 2).chunks == chunks


def test_a_millisecond_of_waiting_is_one():
    assert in_sequence(JOBS[0], 20).seconds >= 0.020


def test_pools_are_started_once_and_timed_apart(pools):
    pools.get("threads", 2)
    before = dict(pools.started_s)
    pools.get("threads", 2)
    assert pools.started_s == before
    assert ("threads", 2) in before


def test_runs_are_not_stored_and_none_is_offered_to_resume(monkeypatch, tmp_path):
    def interrupt(chunk):
        # One interrupt: a second one, of another chunk, would stop the closing itself.
        if chunk["value"].iloc[0] == 0:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.chdir(tmp_path)
    job = replace(JOBS[0], function=interrupt)
    with pytest.raises(KeyboardInterrupt) as interrupted, Pools() as pools:
        measure(job, 40, Alone(0.1, 0), pools, "threads", 2)
    assert interrupted.value.args == ()
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_the_table(call, monkeypatch):
    monkeypatch.setattr(command, "RECORDS", (20, 40, 80))
    monkeypatch.setattr(command, "FEWER", dict.fromkeys(command.FEWER, 1))
    said = call("bench", "--quick", "--workers", "2", "--json")
    assert said.exit_code == 0
    answer = json.loads(said.stdout)
    found = [(one["job"], one["records"], one["pool"]) for one in answer["lines"]]
    assert found == [
        (job, records, pool)
        for job in ("wait", "python", "arrow")
        for records in (20, 40, 80)
        for pool in ("threads", "processes")
    ]
    assert answer["quick"] is True
    assert set(answer["pool_start_s"]) == {"threads 2", "processes 2"}
    assert "speed-up" in said.stderr
