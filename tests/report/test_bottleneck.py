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
):
    return AttemptRow(
        "Work", number, "", "COMPLETED", 1, started, took, worker, read, function, partial, None,
        1_000_000, 10, "",
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


def test_reading_is_told_with_its_share_of_the_work():
    found = bound(two_workers(read=0.71, function=0.29))
    assert found.headline == "Reading took 71 % of the work."
    assert found.advice == "Read less: columns=, filters=; Parquet reads faster than CSV or JSON."


def test_a_function_in_threads_is_told_with_what_else_there_is():
    found = bound(two_workers(read=0.2, function=0.8))
    assert found.headline == "The function took 80 % of the work."
    shown = found.advice.split(". ")[0]  # in the summary
    assert "scheduler='processes'" in shown
    assert "if it waits for a service, more workers" in shown


def test_more_workers_are_advised_for_processes_on_this_machine_alone():
    found = bound(two_workers(function=1.0), scheduler="processes", cores=8)
    assert found.advice == "Try workers=8, one per core."
    found = bound(two_workers(function=1.0), scheduler="tcp://10.0.0.1:8786", cores=8)
    assert "workers=" not in found.advice


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


def test_single_tasks_bound_what_runs_beside_no_chunk():
    attempts = [attempt(None, at, 3.0) for at in (0.0, 1.0, 2.0, 6.0)]
    found = bound([*attempts, attempt(0, 9.0, 1.0, function=1.0)])
    assert found.headline == "Single tasks took 80 % of the run."
    assert found.advice == "Shorten Work (3.0 s), or divide its work among the chunks."


def test_single_tasks_beside_chunks_are_work():
    attempts = [attempt(0, 0.0, 10.0, function=10.0), attempt(None, 0.0, 10.0)]
    assert bound(attempts).headline == "The function took 100 % of the work."


def test_what_the_driver_runs_keeps_no_worker_busy():
    attempts = [*two_workers(chunks=4, function=1.0), attempt(None, 2.0, 6.0, worker="driver")]
    attempts += [attempt(4 + n, 8.0, 1.0, function=1.0, worker=f"w{n}") for n in range(2)]
    assert bound(attempts).headline.startswith("Workers were without work for 67 % of their time")


def test_too_few_chunks_leave_workers_without_work():
    found = bound([attempt(0, 0.0, 1.0, function=1.0)])
    assert found.headline == (
        "Workers were without work for 50 % of their time: 1 chunk for 2 workers."
    )
    assert found.advice.startswith("Smaller chunks")


def test_a_long_last_chunk_leaves_the_others_without_work():
    attempts = [*two_workers(chunks=4, function=1.0), attempt(4, 2.0, 10.0, function=10.0)]
    found = bound(attempts)
    assert found.headline == (
        "Workers were without work for 42 % of their time, waiting for their next chunk."
    )
    assert "a few long chunks at the end" in found.advice


def test_many_chunks_that_keep_all_busy_may_be_too_small_as_well():
    found = bound(two_workers(chunks=1_000, took=0.003, read=1.0))
    assert found.headline == "Reading took 100 % of the work, 3 ms a chunk."
    assert found.advice.startswith("Larger chunks")


def test_chunks_that_are_too_small_are_named():
    attempts = [attempt(number, number * 0.005, 0.001, function=0.001) for number in range(100)]
    found = bound(attempts)
    assert "a chunk took 1 ms" in found.headline
    assert "Larger chunks" in found.advice


def test_a_run_without_chunks_is_bound_by_nothing():
    assert bound([]) is None
    assert bound([attempt(None, 0.0, 9.0)]) is None
