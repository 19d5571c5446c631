"""``taskinity-data bench``: what it measures, and what it says of it."""

import json

import pytest

from taskinity_data.cli.commands import bench as command
from taskinity_data.cli.commands.bench import advise
from taskinity_data.cli.commands.bench_measure import (
    JOBS,
    Measured,
    Pools,
    in_sequence,
    measure,
)

pytestmark = pytest.mark.thorough

ENDS = {"useful": 0.5, "slower": 0.1, "reading": 0.1, "reducing": 0.1, "without_work": 0.2}


def line(job, records, pool, speed_up, *, is_auto=False, sequential_s=10.0, workers=2, chunks=16):
    return Measured(
        job, records, pool, workers, is_auto, 2, sequential_s, sequential_s / speed_up, chunks,
        0.1, **ENDS,
    )  # fmt: skip


def lines_of(job, *, threads=2.0, processes=1.5, auto=2.0, large=2.0, **options):
    pool = "threads" if threads >= 0.95 * processes else "processes"
    return [
        line(job, 10, pool, 1.0, **options),
        line(job, 100, "threads", threads, **options),
        line(job, 100, "processes", processes, **options),
        line(job, 100, pool, auto, is_auto=True, **options),
        line(job, 1000, pool, large, **options),
    ]


def advice_of(**jobs):
    lines = [
        one for name in ("wait", "python", "arrow") for one in lines_of(name, **jobs.get(name, {}))
    ]
    return advise(lines, {("threads", 2): 0.1, ("processes", 2): 1.5})


@pytest.fixture(scope="module")
def pools():
    with Pools() as pools:
        yield pools


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
@pytest.mark.parametrize("is_auto", [False, True])
def test_a_job_gives_the_same_answer_in_parallel_and_its_time_is_accounted_for(job, is_auto, pools):
    alone = in_sequence(job, 40)
    found = measure(job, 40, alone, pools, "threads", 2, is_auto=is_auto)
    shares = (
        found.useful, found.slower, found.reading, found.reducing, found.without_work,
    )  # fmt: skip
    assert sum(shares) == pytest.approx(1.0)
    assert found.sequential_s == alone.seconds
    assert found.speed_up == alone.seconds / found.parallel_s
    if not is_auto:
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


def test_the_command_prints_the_table_and_ends_with_advice(call, monkeypatch):
    monkeypatch.setattr(command, "RECORDS", (20, 40, 80))
    monkeypatch.setattr(command, "FEWER", dict.fromkeys(command.FEWER, 1))
    said = call("bench", "--quick", "--workers", "2", "--json")
    assert said.exit_code == 0
    answer = json.loads(said.stdout)
    found = {(one["job"], one["records"], one["pool"], one["is_auto"]) for one in answer["lines"]}
    for job in ("wait", "python", "arrow"):
        assert {(job, 40, "threads", False), (job, 40, "processes", False)} <= found
        assert {records for name, records, _, _ in found if name == job} == {20, 40, 80}
    assert ("python", 80, "processes", False) in found
    assert answer["quick"] is True
    assert set(answer["pool_start_s"]) == {"threads 2", "processes 2"}
    for text in answer["advice"]:
        assert text in said.stderr
    assert "fewer records" in said.stderr
    assert "speed-up" in said.stderr


def test_the_faster_pool_is_advised_with_both_numbers():
    told = advice_of(python={"threads": 1.0, "processes": 1.9, "large": 1.95})
    (python,) = [one for one in told if "computes in Python" in one]
    assert "scheduler='processes' (1.00× in threads, 1.90× in processes at 100 records" in python
    assert "More than 2 workers do not help" in python


def test_threads_are_advised_where_processes_win_by_little():
    (told,) = [
        one for one in advice_of(wait={"threads": 3.90, "processes": 3.99}) if "waits" in one
    ]
    assert "scheduler='threads' (3.90× in threads, 3.99× in processes" in told


def test_a_function_that_waits_is_told_to_take_more_workers_than_cores():
    assert any("workers=4 would wait less" in one for one in advice_of())


def test_work_that_is_too_little_to_share_out_is_told_so():
    told = advice_of(arrow={"large": 0.4, "sequential_s": 0.02})
    assert any("0.02 s in sequence: too little to share out" in one for one in told)


def test_long_work_without_gain_is_laid_to_the_machine():
    assert any("no core to spare" in one for one in advice_of(python={"large": 1.05}))


def test_a_size_is_advised_where_the_automatic_one_was_slower():
    told = advice_of(wait={"auto": 1.0})
    assert any("chunk_size='7 rows'" in one for one in told)
    assert not any("name a size" in one for one in advice_of())


def test_the_start_of_the_slowest_pool_is_described():
    told = advice_of()
    assert any("Starting 2 processes took 1.5 s" in one for one in told)


@pytest.mark.parametrize(("load", "is_printed"), [(0.0, False), (1e3, True)])
def test_figures_of_a_busy_machine_are_called_worthless(call, monkeypatch, load, is_printed):
    monkeypatch.setattr("os.getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(command, "_measure_job", lambda job, *_: iter(lines_of(job.name)))
    monkeypatch.setattr(command, "advise", lambda *_: ["threads"])
    said = call("bench")
    assert ("Other work keeps this machine busy" in said.stdout) is is_printed
    assert ("- Measure again while this machine is idle" in said.stdout) is is_printed
    assert "- threads" in said.stdout
