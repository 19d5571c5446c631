"""Forecasts of real runs: what is tried, what is refused, and that numbers mean what they say."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pyarrow.parquet as pq
import pytest

import taskinity_data as td
from taskinity_data.forecast import estimate as estimates
from taskinity_data.forecast import side_by_side as beside
from taskinity_data.forecast import trial as trials
from taskinity_data.forecast.extrapolate import estimate_memory, fit_seconds
from taskinity_data.forecast.output import SizeEstimate
from taskinity_data.forecast.trial import TrialResult

ROWS = 40_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("forecast") / "numbers.csv"
    frame = pd.DataFrame({"key": [f"k{n % 50}" for n in range(ROWS)], "a": range(ROWS)})
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(beside, "ALONE_S", 0.05)
    monkeypatch.setattr(beside, "PARALLEL_S", 0.05)


def is_range(found):
    # Slices that a busy machine held up make a range wide, by a factor of three to each side.
    return 0 < found.low <= found.high <= 9.01 * found.low


def test_a_reducer_alone_is_tried_in_threads(path):
    plan = td.open_dataset(path).plan(workers=2)
    found = plan.estimate(reduce=td.group_by("key", total=("a", "sum")), workers=2)
    assert (found.scheduler, found.workers) == ("threads", 2)
    assert is_range(found.seconds)
    assert is_range(found.memory_nbytes)
    assert found.work.function == 0
    assert found.work.read > 0
    # The answer has fifty rows, however much is read.
    real = td.process(path, reduce=td.group_by("key", total=("a", "sum"))).value
    nbytes = real.memory_usage().sum()
    assert found.output_nbytes.low / 2 < nbytes < found.output_nbytes.high * 2


def test_results_that_come_back_are_counted_for_the_whole(path, monkeypatch):
    monkeypatch.setattr(beside, "ALONE_S", 10.0)  # one slice of few rows says little
    plan = td.open_dataset(path).plan(workers=1)
    found = plan.estimate(lambda chunk: chunk[["a"]], workers=1, scheduler="synchronous")
    assert found.output_nbytes.low < ROWS * 8 < found.output_nbytes.high


def test_a_function_that_takes_long_is_what_bounds_it(path):
    def slow(chunk: pd.DataFrame):
        time.sleep(len(chunk) * 30e-6)  # a hundred times what reading takes
        return len(chunk)

    plan = td.open_dataset(path).plan(workers=1)
    found = plan.estimate(slow, workers=1, scheduler="synchronous")
    assert found.bottleneck.startswith("the function: ")
    assert "the function" in repr(found)
    assert "the function" in found._repr_html_()


def test_what_a_chunk_costs_beside_its_bytes_is_not_counted_by_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "ALONE_S", 10.0)  # all sixteen slices
    path = tmp_path / "long.csv"
    pd.DataFrame({"a": range(3_000_000)}).to_csv(path, index=False)

    def run(*args):
        completed, failed = run_as_ever(*args)
        return [(chunk, timed(outcome, chunk.nbytes)) for chunk, outcome in completed], failed

    def timed(outcome, nbytes):
        read_s = nbytes * 2e-7
        times = {
            "read_s": read_s,
            "function_s": 0.05,
            "partial_s": 0.0,
            "duration_s": read_s + 0.05,
        }
        return replace(outcome, attempts=(replace(outcome.attempts[-1], **times),))

    run_as_ever = trials._run
    monkeypatch.setattr(trials, "_run", run)
    found = td.open_dataset(path).plan(workers=1).estimate(len, workers=1, scheduler="synchronous")
    # Eight chunks; by the bytes of slices, which are smaller, it would be 1.8 s.
    assert 0.2 < found.work.function < 0.8


def test_a_given_chunk_size_is_kept(path):
    plan = td.open_dataset(path, chunk_size="5_000 rows").plan(workers=1)
    seen = []
    found = plan.estimate(lambda chunk: seen.append(len(chunk)), workers=1, scheduler="synchronous")
    assert found.chunk_nbytes == plan.nbytes // 8
    assert max(seen) == 5_000


@pytest.mark.parametrize("chunk_size", ["1_000 rows", 4_000])
def test_a_given_chunk_size_is_kept_for_the_columns_that_a_reducer_needs(chunk_size):
    frame = pd.DataFrame({"a": range(10_000), "b": 1, "c": "x"})
    plan = td.open_dataset(frame).plan(chunk_size=chunk_size)
    reduce = td.group_by("b", a=("a", "sum"))
    found = plan.estimate(None, reduce, workers=1, scheduler="synchronous")
    run = td.process(frame, reduce=reduce, chunk_size=chunk_size, scheduler="synchronous")
    assert found.chunk_nbytes == pytest.approx(run.plan.nbytes / len(run.plan), rel=0.1)
    assert found.chunk_reason == plan.reason


def test_the_plan_s_own_size_is_not_taken_for_one_that_was_given(path):
    assert not td.open_dataset(path).plan().is_given
    assert td.open_dataset(path).plan(chunk_size=1000).is_given
    assert td.open_dataset(path, chunk_size=1000).plan().is_given


def test_only_the_reducer_s_columns_are_read(tmp_path):
    frame = pd.DataFrame({"a": range(1000), "wide": ["x" * 1000] * 1000})
    frame.to_parquet(tmp_path / "wide.parquet", row_group_size=100)
    plan = td.open_dataset(tmp_path / "wide.parquet").plan(workers=1)
    found = plan.estimate(reduce=td.approx_distinct("a"), workers=1, scheduler="synchronous")
    columns = pq.ParquetFile(tmp_path / "wide.parquet").metadata.row_group(0)
    assert columns.column(1).total_uncompressed_size > 0
    assert found.chunk_nbytes < 20_000


@pytest.mark.thorough
def test_processes_are_tried_as_processes(path):
    pids = td.open_dataset(path).plan(workers=2)
    found = pids.estimate(lambda chunk: os.getpid(), workers=2, scheduler="processes")
    assert (found.scheduler, found.workers) == ("processes", 2)
    assert found.work.start > 0
    assert found.memory_nbytes.low > 10_000_000


def test_a_function_that_fails_says_where_before_anything_runs(path):
    def fail(chunk):
        raise ValueError("no such unit")

    plan = td.open_dataset(path).plan(workers=1)
    with pytest.raises(td.errors.PlanError, match=r"tried .*numbers\.csv .*no such unit") as caught:
        plan.estimate(fail, workers=1)
    assert "in fail" in str(caught.value)


def test_a_plain_aggregate_is_not_called(path):
    def never(parts):
        raise AssertionError(parts)

    plan = td.open_dataset(path).plan(workers=1)
    assert is_range(plan.estimate(len, never, workers=1, scheduler="synchronous").seconds)


def test_without_data_there_is_nothing_to_try(tmp_path):
    (tmp_path / "empty.csv").write_text("a,b\n")
    plan = td.open_dataset(tmp_path / "empty.csv").plan()
    with pytest.raises(td.errors.PlanError, match="no data"):
        plan.estimate(len)


def test_what_is_no_reducer_is_refused(path):
    with pytest.raises(td.errors.BindError, match="neither a reducer"):
        td.open_dataset(path).plan().estimate(len, 3)


def test_frames_in_memory_are_forecast_too():
    frame = pd.DataFrame({"a": range(10_000)})
    plan = td.open_dataset(frame).plan(workers=1)
    assert is_range(plan.estimate(reduce=td.sum(), workers=1).seconds)


@pytest.mark.parametrize(
    ("left_s", "is_shared", "expected"),
    [(0.0, True, "threads"), (1e9, True, "processes"), (1e9, False, "threads")],
)
def test_without_a_scheduler_the_rule_of_a_run_chooses_it(
    path, monkeypatch, left_s, is_shared, expected
):
    monkeypatch.setattr(beside, "_remaining_seconds", lambda *_: left_s)
    monkeypatch.setattr(beside, "_is_lock_shared", lambda *_: is_shared)
    found = td.open_dataset(path).plan(workers=2).estimate(len, workers=2)
    assert found.scheduler == expected


@pytest.mark.parametrize(
    ("alone", "together", "is_shared"),
    [
        ((1.0, 1.0), (2.0, 1.0), True),  # each computes half of the time
        ((1.0, 1.0), (1.05, 1.0), False),
        ((1.0, 0.02), (1.0, 0.02), False),  # they wait for a service
    ],
)
def test_slices_that_compute_less_in_parallel_share_a_lock(alone, together, is_shared):
    def tried(duration_s, cpu_s):
        return SimpleNamespace(attempts=[SimpleNamespace(duration_s=duration_s, cpu_s=cpu_s)])

    assert beside._is_lock_shared(tried(*alone), tried(*together), 2) is is_shared


def test_of_slices_that_take_long_computing_alone_decides():
    long = SimpleNamespace(attempts=[SimpleNamespace(duration_s=9.0, cpu_s=8.0)])
    assert beside._is_lock_shared(long, long, 2)


def test_kernels_alone_and_what_cannot_travel_stay_in_threads(path, monkeypatch):
    monkeypatch.setattr(beside, "_remaining_seconds", lambda *_: 1e9)
    monkeypatch.setattr(beside, "_is_lock_shared", lambda *_: True)
    plan = td.open_dataset(path).plan(workers=2)
    assert plan.estimate(reduce=td.count(), workers=2).scheduler == "threads"
    lock = threading.Lock()

    def holds(chunk: pd.DataFrame):
        with lock:
            return len(chunk)

    assert plan.estimate(holds, workers=2).scheduler == "threads"


def test_memory_that_is_new_is_reckoned_up_to_a_run_s_first_chunk():
    def tried(*points, warm_up_s=0.5):
        chunks = tuple(SimpleNamespace(nbytes=nbytes) for nbytes, _ in points)
        outcomes = tuple(SimpleNamespace(duration_s=seconds) for _, seconds in points)
        return TrialResult(chunks, outcomes, warm_up_s, None)

    # Each byte that is new takes as much again.
    grown = tried((1, 2.0), (10, 19.0), (10, 10.0), (5, 5.0), (10, 10.0))
    assert beside.cold_seconds(grown, 30) == pytest.approx(0.5 + 10 / 10 * 30)
    even = tried((10, 10.0), (10, 10.0), (5, 5.0))
    assert beside.cold_seconds(even, 30) == pytest.approx(0.5)
    assert beside.cold_seconds(tried((10, 10.0)), 30) == 0.5


def test_the_start_of_workers_for_which_the_first_slices_wait_is_counted(path):
    with ThreadPoolExecutor(2, initializer=lambda: time.sleep(0.5)) as executor:
        plan = td.open_dataset(path).plan(workers=2)
        found = plan.estimate(len, workers=2, scheduler=executor)
    assert found.work.start >= 0.5


def waits(chunk: pd.DataFrame):
    time.sleep(0.4)
    return len(chunk)


def test_a_slice_that_takes_long_is_tried_twice_at_most(path, monkeypatch):
    monkeypatch.setattr(beside, "LONG_S", 0.3)
    calls = []

    def long(chunk: pd.DataFrame):
        calls.append(len(chunk))
        time.sleep(0.3)

    found = td.open_dataset(path).plan(workers=4).estimate(long, workers=4, scheduler="threads")
    assert len(calls) == 2
    assert max(calls) < 3_000
    assert (found.workers, found.scheduler) == (4, "threads")
    assert "none were tried in parallel" in repr(found)


def test_where_no_slice_is_near_a_chunk_the_forecast_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(trials, "MAX_S", 0.1)
    path = tmp_path / "long.csv"
    pd.DataFrame({"a": range(300_000)}).to_csv(path, index=False)

    def long(chunk: pd.DataFrame):
        time.sleep(0.2)

    found = td.open_dataset(path).plan(workers=1).estimate(long, workers=1)
    assert "the time of one is a guess" in repr(found)
    assert found.seconds.low < 20 * 0.2


def test_where_time_goes_by_records_small_slices_tell_it(tmp_path):
    path = tmp_path / "long.csv"
    pd.DataFrame({"a": range(300_000)}).to_csv(path, index=False)

    def by_record(chunk: pd.DataFrame):
        time.sleep(0.0002 * len(chunk))

    found = td.open_dataset(path).plan(workers=1).estimate(by_record, workers=1)
    assert "a guess" not in repr(found)
    assert found.seconds.low / 1.5 < 60 < found.seconds.high * 1.5


def test_no_slice_is_begun_when_time_is_up(path, monkeypatch):
    monkeypatch.setattr(trials, "MAX_S", 0.1)
    calls = []

    def long(chunk: pd.DataFrame):
        calls.append(len(chunk))
        time.sleep(0.1)

    td.open_dataset(path).plan(workers=1).estimate(long, workers=1)
    assert len(calls) == 1


def test_what_a_function_changes_around_it_is_put_back_and_told(path, tmp_path, monkeypatch):
    monkeypatch.setenv("UNIT", "mile")

    def changes(chunk: pd.DataFrame):
        os.chdir(tmp_path)
        os.environ["UNIT"] = "km"
        return len(chunk)

    folder = os.getcwd()
    found = td.open_dataset(path).plan(workers=1).estimate(changes, workers=1)
    assert (os.getcwd(), os.environ["UNIT"]) == (folder, "mile")
    assert "changed the working directory" in repr(found)


def test_the_answer_is_held_where_threads_run():
    tried = TrialResult((), (), 0.0, 100)
    in_threads = beside.Trial("threads", 2, 1000, False, tried, 0.0, 0.0)
    in_processes = in_threads._replace(crosses_processes=True)
    assert estimate_memory(in_threads, None, SizeEstimate(1000, 1000), 10).low > 1000
    assert estimate_memory(in_processes, None, SizeEstimate(1000, 1000), 10).high < 200


def test_memory_is_reckoned_up_to_the_run_s_largest_chunk():
    chunks = tuple(SimpleNamespace(nbytes=nbytes) for nbytes in (50, 100))
    tried = TrialResult(chunks, (), 0.0, 500)
    trial = beside.Trial("threads", 2, 1000, False, tried, 0.0, 0.0)
    as_large, larger, smaller = (
        estimate_memory(trial, 300, SizeEstimate(0, 0), largest).high for largest in (100, 150, 50)
    )
    assert (larger - as_large) / as_large == pytest.approx(100 / 500)
    assert (as_large - smaller) / as_large == pytest.approx(40 / 500)


def test_of_a_plain_aggregate_the_output_is_what_chunks_return(path):
    plan = td.open_dataset(path).plan(workers=1)
    found = plan.estimate(len, sum, workers=1)
    assert not found.is_answer
    assert "of chunks' results" in repr(found)


def test_no_more_is_said_to_be_tried_than_there_is(path):
    plan = td.open_dataset(path).plan(workers=1)
    assert "as large as all" in plan.estimate(len, workers=1).tried


def test_settings_hold_for_a_forecast_as_for_a_run(path, monkeypatch):
    monkeypatch.setenv("TASKINITY_SCHEDULER", "threads")
    monkeypatch.setenv("TASKINITY_MAX_WORKERS", "3")
    found = td.open_dataset(path).plan().estimate(len)
    assert (found.scheduler, found.workers) == ("threads", 3)


def test_a_reducer_that_fails_says_so_and_where(path):
    def combine(parts):
        raise ValueError("no such unit")

    plan = td.open_dataset(path).plan(workers=1)
    with pytest.raises(td.errors.PlanError, match=r"combine .*no such unit") as caught:
        plan.estimate(len, td.reducer(combine), workers=1)
    assert "in combine" in str(caught.value)


def test_chunks_may_give_nothing(path):
    plan = td.open_dataset(path).plan(workers=1)
    found = plan.estimate(lambda chunk: None, td.concat(), workers=1)
    assert found.output_nbytes.low == 0


def test_nothing_is_unsure_of_what_was_tried_whole():
    found = td.open_dataset(pd.DataFrame({"a": [1]})).plan(workers=1).estimate(len, workers=1)
    assert found.doubts == ()


def test_dear_places_are_not_taken_for_a_cost_by_the_chunk():
    sizes = [8, 2, 4, 8, 2, 4, 8]
    cheap_or_dear = [1.0, 20.0, 1.0, 1.0, 20.0, 20.0, 1.0]
    points = [(size * 1000, size * cost) for size, cost in zip(sizes, cheap_or_dear, strict=True)]
    chunks = tuple(SimpleNamespace(nbytes=nbytes) for nbytes, _ in points)
    outcomes = tuple(SimpleNamespace(duration_s=seconds) for _, seconds in points)
    tried = TrialResult(chunks, outcomes, 0.0, None)
    assert fit_seconds(tried, tried).fixed < 8.0
    even = TrialResult(
        chunks, tuple(SimpleNamespace(duration_s=50.0 + x / 1000) for x, _ in points), 0.0, None
    )
    assert fit_seconds(even, even).fixed == pytest.approx(50.0)


def test_what_a_run_takes_to_look_at_many_files_is_counted(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("a\n1\n2\n")
    plan = td.open_dataset(tmp_path).plan(workers=1)
    first_size = estimates.Dataset.first_size

    def slow(self, *given):
        time.sleep(0.5)
        return first_size(self, *given)

    monkeypatch.setattr(estimates.Dataset, "first_size", slow)
    assert plan.estimate(len, workers=1).work.start >= 0.5


def test_a_plan_that_was_estimated_is_still_the_plan_that_it_was(path):
    plan = td.open_dataset(path).plan(workers=1)
    same = td.open_dataset(path).plan(workers=1)
    plan.estimate(len, sum, workers=1, scheduler="synchronous")
    assert plan == same
