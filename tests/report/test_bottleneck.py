"""What is said to have bounded a run, for runs whose times are known."""

import pytest

from taskinity_data.report.bottleneck import find_bound
from taskinity_data.report.html.attempts import AttemptRow


def attempt(
    number,
    started,
    took,
    *,
    read=0.0,
    function=0.0,
    partial=0.0,
    worker="w0",
    key=None,
):
    return AttemptRow(
        "Work", number, key or f"k{number}", "", "COMPLETED", 1, started, took, worker, read,
        function, partial, None, None, 1_000_000, 10, "",
    )  # fmt: skip


def two_workers(chunks=20, took=1.0, **parts):
    """`chunks` on two workers without a gap."""
    shares = {name: share * took for name, share in parts.items()}
    return [
        attempt(number, number // 2 * took, took, worker=f"w{number % 2}", **shares)
        for number in range(chunks)
    ]


def bound(attempts, *, workers=2, scheduler="threads", cores=2, total=None, **seconds):
    total = max((one.ended_s for one in attempts), default=0.0) if total is None else total
    return find_bound(
        {"total": total, **seconds}, attempts, workers=workers, scheduler=scheduler, cores=cores
    )


def test_reading_is_told_with_its_share_of_the_work_and_what_the_store_gave():
    found = bound(two_workers(read=0.71, function=0.29))
    assert found.headline.startswith("Reading took 71 % of the work: more workers won't ")
    assert "2.0 MB a second" in found.advice


def test_a_function_on_all_cores_gains_from_more_workers_only_where_it_waits():
    found = bound(two_workers(read=0.2, function=0.8))
    assert found.headline == (
        "The function took 80 % of the work: more workers help only while chunks wait for I/O."
    )
    assert "scheduler='processes'" in found.advice


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_a_function_that_computes_on_some_of_the_cores_would_gain(scheduler):
    found = bound(two_workers(function=1.0), scheduler=scheduler, cores=8, cpu=19.0, work=19.0)
    assert found.headline.endswith("up to 8 workers will help.")


@pytest.mark.parametrize(
    "known",
    [
        pytest.param({"cpu": 10.0}, id="threads waited for one another"),
        pytest.param({"cpu": 10.0, "work": 20.0}, id="chunks waited for something else too"),
        pytest.param({}, id="nothing was measured"),
    ],
)
def test_more_workers_are_not_promised_where_that_may_be_untrue(known):
    found = bound(two_workers(function=1.0), scheduler="threads", cores=8, **known)
    assert found.headline == "The function took 100 % of the work."


def test_a_function_that_waits_gains_from_more_workers_than_cores():
    waits = {"cpu": 1.0, "work": 20.0}
    found = bound(two_workers(function=1.0), **waits)
    assert found.headline == (
        "The function took 100 % of the work, mostly waiting: more workers help unless a "
        "service or disk is at its limit."
    )
    assert found.advice == "Try workers=8: what waits needs no core."
    # On a machine that is busy with other programs it waits for a core, not for a service.
    assert "waiting" not in bound(two_workers(function=1.0), **waits, queued=18.0).headline


def test_reading_that_computes_is_not_put_down_to_the_disk():
    found = bound(two_workers(read=1.0), cpu=12.0, queued=6.0, work=20.0)
    assert found.headline.endswith("mostly computing: more cores help, a faster disk does not.")
    assert found.advice == "Read less: columns=, filters=; Parquet reads faster than CSV or JSON."
    parquet = [row._replace(location="/a.parquet [rows 0 to 9]") for row in two_workers(read=1.0)]
    found = bound(parquet, cpu=12.0, queued=6.0, work=20.0)
    assert found.advice == "Read less: columns=, filters=."


def test_one_thread_does_not_show_whether_a_second_one_helps():
    attempts = [attempt(number, number, 1.0, function=1.0) for number in range(20)]
    seconds = {"cpu": 20.0, "work": 20.0}
    found = bound(attempts, workers=1, scheduler="threads", cores=8, **seconds)
    assert "help" not in found.headline
    found = bound(attempts, workers=1, scheduler="processes", cores=8, **seconds)
    assert found.headline.endswith("up to 8 workers will help.")


def test_nothing_is_said_of_the_cores_of_a_cluster_elsewhere():
    found = bound(two_workers(function=1.0), scheduler="tcp://10.0.0.1:8786")
    assert found.headline == "The function took 100 % of the work."


def test_reducing_and_writing_are_told_where_they_take_most():
    assert bound(two_workers(function=0.3, partial=0.7)).headline.startswith(
        "Reducing and writing took 70 %"
    )


@pytest.mark.parametrize(
    ("seconds", "begins"),
    [
        (
            {"start_workers": 6.0, "close": 2.0},
            "Starting and stopping workers took 80 % of the run",
        ),
        ({"plan": 1.0, "combine": 6.0}, "Planning and combining here took 70 % of the run"),
    ],
)
def test_what_happens_outside_of_the_workers_comes_first(seconds, begins):
    found = bound(two_workers(chunks=4, function=1.0), total=10.0, **seconds)
    assert found.headline.startswith(begins)
    assert len(found.rules) == 7


def test_single_tasks_bound_what_runs_beside_none():
    found = bound([attempt(None, 0.0, 9.0)], total=10.0)
    assert found.headline == "Single tasks took 90 % of the run: more workers will not help."
    assert found.advice == "Shorten Work (9.0 s), or divide its work among the chunks."


def test_single_tasks_side_by_side_are_not_said_to_run_alone():
    attempts = [attempt(None, at // 2 * 2.0, 2.0, key=f"t{at}") for at in range(4)]
    found = bound(attempts)
    assert found.headline == ("Up to 2 of 4 tasks ran in parallel, on 2 workers.")
    found = bound(attempts, workers=8, cores=8)
    assert found.headline == "At most 2 of 4 tasks ran in parallel: more workers will not help."


def test_single_tasks_beside_chunks_are_work():
    attempts = [attempt(0, 0.0, 10.0, function=10.0), attempt(None, 0.0, 10.0)]
    rules = {rule.name: rule for rule in bound(attempts).rules}
    assert rules["single tasks, one at a time"].share == 0.0
    assert rules["workers without work"].share == 0.0


def test_a_wait_for_another_attempt_is_named():
    attempts = []
    for number in range(8):
        at = number // 2 * 0.1
        attempts.append(attempt(number, at, 0.1, function=0.1))
        attempts.append(attempt(number, at + 5.0, 0.1, function=0.1))
    found = bound(attempts)
    assert found.headline == (
        "Workers were without work for 85 % of their time: failed chunks waited for their next "
        "attempt."
    )
    assert "retry_delay=" in found.advice


def test_parts_of_a_split_chunk_wait_for_nothing():
    attempts = [attempt(0, at * 2.0, 1.0, key=f"part{at}", function=1.0) for at in range(10)]
    assert "tried again" not in bound(attempts).headline


def test_long_chunks_that_end_last_are_named():
    attempts = [attempt(number, number // 4 * 1.0, 1.0, function=1.0) for number in range(16)]
    attempts += [attempt(16 + number, 4.0, 20.0 + number, function=20.0) for number in range(2)]
    found = bound(attempts, workers=4, cores=4)
    assert found.headline.endswith("no chunk was left to begin in the last 21.0 s.")
    assert "more workers will not help" in found.advice


def test_a_single_task_between_two_fan_outs_is_named():
    attempts = [attempt(number, 0.0, 1.0, function=1.0) for number in range(4)]
    attempts += [attempt(None, 1.0, 4.0)]
    attempts += [attempt(4 + number, 5.0 + number // 4, 1.0, function=1.0) for number in range(8)]
    found = bound(attempts, total=9.0, workers=4)
    assert found.headline.endswith(": single tasks ran meanwhile.")


def test_too_few_chunks_leave_workers_without_work():
    found = bound([attempt(0, 0.0, 1.0, function=1.0)])
    assert found.headline == (
        "Workers were without work for 50 % of their time: there was 1 chunk for 2 workers."
    )


def test_a_long_last_chunk_is_named():
    attempts = [*two_workers(chunks=4, function=1.0), attempt(4, 2.0, 10.0, function=10.0)]
    assert bound(attempts).headline.endswith("no chunk was left to begin in the last 10.0 s.")


def test_many_chunks_that_keep_all_busy_may_be_too_small_as_well():
    found = bound(two_workers(chunks=1_000, took=0.003, read=1.0))
    assert found.headline == (
        "Reading took 100 % of the work, 3 ms a chunk: larger chunks reduce the overhead "
        "of each chunk."
    )


def test_chunks_that_are_too_small_are_named():
    attempts = [attempt(number, number * 0.005, 0.001, function=0.001) for number in range(100)]
    found = bound(attempts)
    assert "a chunk took 1 ms" in found.headline
    assert "Larger chunks" in found.advice


def test_a_run_in_which_nothing_ran_is_bound_by_nothing():
    assert bound([]).headline == "No task was run, so there is no bottleneck."


def test_each_rule_is_given_with_what_was_measured_and_when_it_holds():
    rules = {rule.name: rule for rule in bound(two_workers(read=0.71, function=0.29)).rules}
    assert rules["reading"].share == pytest.approx(0.71)
    assert rules["reading"].holds
    assert not rules["the function"].holds
    assert rules["workers without work"].share == pytest.approx(0.0)
    assert rules["reading"].sums == "14.2 s of the work, which was 20.0 s"
