"""Flows from end to end: the answer against pandas over the whole, and the account of it."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.outcome import RunStatus

SCHEDULERS = ("synchronous", "threads", "processes")


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(7)
    return pd.DataFrame(
        {
            "key": rng.choice(["a", "b", "c", "d"], 5000),
            "x": rng.normal(size=5000).round(6),
            "n": rng.integers(-1000, 1000, 5000),
        }
    )


@pytest.fixture(scope="module")
def csv(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    frame.to_csv(path, index=False)
    return path


def demo_tasks():
    def data_preparation(data):
        return data

    def process_chunk(chunk):
        return chunk.groupby("key").n.sum()

    def aggregate_results(results):
        assert isinstance(results, list)
        return pd.concat(results).groupby(level=0).sum()

    return [data_preparation, process_chunk, aggregate_results]


# -- the flow that people bring --------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_the_demo_text_runs_as_one_fan_out_of_four(scheduler, csv, frame, demo_text):
    flow = td.parse_flow(demo_text).bind(demo_tasks())
    run = td.run_flow(flow, scheduler=scheduler, workers=2, data=str(csv))
    pd.testing.assert_series_equal(run.value, frame.groupby("key").n.sum())
    assert run.status is RunStatus.COMPLETED
    assert (run.outcomes.task.str.startswith("ProcessChunk")).sum() == 4
    assert len(run.results["ProcessChunk"]) == 4
    pd.testing.assert_series_equal(run.results["ProcessChunk2"], run.results["ProcessChunk"][1])


def test_numbered_siblings_may_each_have_a_function_of_their_own(csv, frame, demo_text):
    def make(number):
        def process(chunk):
            return number, len(chunk)

        process.__name__ = f"process_chunk{number}"
        return process

    def aggregate_results(results):
        return results

    tasks = [demo_tasks()[0], *(make(number) for number in (1, 2, 3, 4)), aggregate_results]
    run = td.run_flow(td.parse_flow(demo_text).bind(tasks), scheduler="threads", data=str(csv))
    assert [number for number, _ in run.value] == [1, 2, 3, 4]
    assert sum(rows for _, rows in run.value) == len(frame)


def test_numbered_siblings_divide_a_list_and_get_anything_else_whole(demo_text):
    def process_chunk(chunk):
        return chunk

    def aggregate_results(results):
        return results

    def flow_over(value):
        tasks = [lambda: value, process_chunk, aggregate_results]
        names = ["data_preparation", "process_chunk", "aggregate_results"]
        return td.parse_flow(demo_text).bind(dict(zip(names, tasks, strict=True)))

    assert td.run_flow(flow_over([1, 2, 3, 4, 5, 6]), scheduler="threads").value == [
        [1], [2, 3], [4], [5, 6],
    ]  # fmt: skip
    assert td.run_flow(flow_over({"a": 1}), scheduler="threads").value == [{"a": 1}] * 4


def test_every_tasks_result_comes_back_by_name_from_the_dsl(csv, frame, demo_text):
    results = td.run_flow_from_dsl(demo_text, {"data": str(csv)}, demo_tasks(), max_workers=2)
    assert set(results) >= {"DataPreparation", "ProcessChunk1", "ProcessChunk4"}
    pd.testing.assert_series_equal(results["AggregateResults"], frame.groupby("key").n.sum())
    one = td.run_parallel_flow_from_dsl(demo_text, str(csv), demo_tasks())
    pd.testing.assert_series_equal(one["AggregateResults"], results["AggregateResults"])


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_single_tasks_run_at_once_than_workers_says_where_there_is_room_for_more(workers):
    counting, running, most = threading.Lock(), [], []

    def work():
        with counting:
            running.append(1)
            most.append(len(running))
        time.sleep(0.1)
        with counting:
            running.pop()

    tasks = {**dict.fromkeys("abcd", work), "last": lambda: len(most)}
    flow = td.parse_flow("flow F:\n [a, b, c, d] -> last").bind(tasks)
    with ThreadPoolExecutor(4) as executor:
        assert td.run_flow(flow, scheduler=executor, workers=workers).value == 4
    assert max(most) <= workers


ONE = {"first": lambda numbers: numbers, "last": lambda first: first}
TWO = {"first": lambda low, high: (low, high), "last": lambda first: first}
NONE = {"first": lambda: 1, "last": lambda first: first}


@pytest.mark.parametrize(
    ("given", "tasks", "last"),
    [
        ({"numbers": [1, 2]}, ONE, [1, 2]),
        ([1, 2], ONE, [1, 2]),
        ({"rows": 2}, ONE, {"rows": 2}),  # the one input is a dict
        ({}, ONE, {}),
        ({"low": 1, "high": None}, TWO, (1, None)),
        (None, NONE, 1),
        ({}, NONE, 1),
    ],
)
def test_input_data_is_a_dict_of_inputs_or_the_one_input(given, tasks, last):
    assert td.run_flow_from_dsl("flow F:\n first -> last", given, tasks)["last"] == last


@pytest.mark.parametrize(
    ("given", "tasks", "says"),
    [
        ({"number": [1, 2]}, ONE, "needs numbers, not 'number': input_data={'numbers': ...}"),
        (None, ONE, "needs numbers: input_data={'numbers': ...}"),
        ([1, 2], TWO, "needs low, high: input_data={'low': ..., 'high': ...}"),
        (5, NONE, "needs no input: leave input_data out"),
    ],
)
def test_input_data_that_can_not_be_meant_is_told_with_the_names(given, tasks, says):
    with pytest.raises(td.errors.BindError) as caught:
        td.run_flow_from_dsl("flow F:\n first -> last", given, tasks)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flows/demo.dsl", r"td\.load_flow\(path\) reads it"),
        (td.parse_dsl("flow F:\n A -> B"), r"td\.run_flow\(flow\.bind\(tasks\), \.\.\.\)"),
    ],
)
def test_a_path_or_a_flow_in_place_of_a_text_is_told_what_takes_it(text, says):
    with pytest.raises(td.errors.FlowSyntaxError, match=says):
        td.run_flow_from_dsl(text)


# -- process ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("chunk_size", ["auto", "7kB", "999 rows", 1 << 40])
def test_a_group_by_equals_pandas_over_the_whole(scheduler, chunk_size, csv, frame):
    if scheduler == "processes" and chunk_size != "7kB":
        chunk_size = "20kB"
    run = td.process(
        str(csv),
        lambda chunk: chunk[chunk.n > 0],
        reduce=td.group_by("key", rows=("n", "count"), total=("n", "sum"), mean=("x", "mean")),
        scheduler=scheduler,
        workers=2,
        chunk_size=chunk_size,
    )
    expected = (
        frame[frame.n > 0]
        .groupby("key")
        .agg(rows=("n", "count"), total=("n", "sum"), mean=("x", "mean"))
    )
    pd.testing.assert_frame_equal(run.value, expected, rtol=1e-13)


def test_without_a_function_the_rows_are_reduced_and_only_the_columns_needed_are_read(csv, frame):
    run = td.process(str(csv), reduce=td.group_by("key", total=("n", "sum")), workers=2)
    pd.testing.assert_frame_equal(run.value, frame.groupby("key").agg(total=("n", "sum")))
    assert run.plan[0].reader.schema.names == ["key", "n"]
    assert run.scheduler == "threads"
    assert "release" in run.scheduler_reason


TEXTS = ["a", "b", "", "NA", "nan", "1", "01", "x,y", "é", "#N/A", "-0", "None", " a", "true"]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("numbers", [["1.5", "-0", "", "3"], ["1", "2"], ["NA", "nan", "7", "inf"]])
def test_keys_that_are_read_as_codes_group_as_texts_do(seed, numbers, tmp_path):
    rng = np.random.default_rng(seed)
    keys = rng.choice(TEXTS[: 3 + 2 * seed], 300)
    rows = [f'"{key}",{rng.choice(TEXTS)!s},{rng.choice(numbers)}' for key in keys]
    rows = [row if row.count(",") == 2 else row.replace(",x,y,", ",z,") for row in rows]
    path = tmp_path / "k.csv"
    path.write_text("k,m,v\n" + "\n".join(rows) + "\n")
    whole = pd.read_csv(path, low_memory=False)
    for by in (["k"], ["k", "m"], ["m"]):
        how = {"n": ("v", "count"), "s": ("v", "sum"), "low": ("v", "min")}
        expected = whole.groupby(by if len(by) > 1 else by[0]).agg(**how)
        for size in ("700 B", "1MB"):
            run = td.process(
                str(path), reduce=td.group_by(*by, **how), chunk_size=size, scheduler="threads"
            )
            pd.testing.assert_frame_equal(run.value, expected)


@pytest.mark.parametrize("kind", ["frame", "table", "dataset"])
def test_sources_in_memory_are_cut_like_files(kind, frame):
    source = {
        "frame": lambda: frame,
        "table": lambda: pa.Table.from_pandas(frame),
        "dataset": lambda: td.open_dataset(frame, chunk_size="500 rows"),
    }[kind]()
    run = td.process(source, lambda chunk: int(chunk.n.sum()), scheduler="threads", workers=2)
    assert sum(run.value) == frame.n.sum()
    if kind == "dataset":
        assert len(run.value) == 10


@pytest.mark.parametrize("kind", ["frame", "csv"])
def test_a_few_records_are_worked_on_by_all_workers(kind, tmp_path):
    few = pd.DataFrame({"asked": range(900)})
    if kind == "csv":
        few.to_csv(tmp_path / "few.csv", index=False)
    all_there, asked = threading.Barrier(3), iter(range(900))

    def ask(chunk):
        if next(asked) < 3:
            all_there.wait(20)  # the first three come together, or none goes on
        return chunk["asked"].sum()

    source = few if kind == "frame" else tmp_path / "few.csv"
    run = td.process(source, ask, reduce=sum, workers=3, scheduler="threads")
    assert run.value == sum(range(900))
    assert len(run.plan) <= 5


def test_a_chunk_comes_as_the_annotation_says(csv):
    def arrow(chunk: pa.Table):
        return type(chunk).__name__

    def described(chunk: td.Chunk):
        return len(chunk.read())

    assert set(td.process(str(csv), arrow, scheduler="threads").value) == {"Table"}
    assert sum(td.process(str(csv), described, scheduler="threads").value) == 5000


def test_a_source_that_is_missing_is_told_as_that_whether_opened_by_us_or_fanned_out():
    flow = td.parse_flow("flow F:\n    Part[*] -> Total").bind(
        {"part": lambda chunk: len(chunk), "total": lambda results: sum(results)}
    )
    for call in (
        lambda: td.process("no/such.csv", len),
        lambda: td.run_flow(flow, data="no/such.csv"),
    ):
        with pytest.raises(errors.SourceNotFound, match=r"such\.csv"):
            call()


def test_a_reducer_that_was_not_called_is_told_how_to(csv):
    with pytest.raises(errors.BindError, match=r"reduce=td.sum\(\.\.\.\)"):
        td.process(str(csv), reduce=td.sum)


def test_an_option_that_nothing_has_is_an_error_with_close_names(csv):
    with pytest.raises(errors.BindError, match="chunk_size"):
        td.process(str(csv), len, chunksiz="1MB")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"workers": 0}, errors.SettingsError, "workers: 0"),
        ({"chunk_size": 0}, errors.PlanError, "chunk_size"),
        ({"chunk_size": "64 MiBs"}, errors.PlanError, "64 MiBs"),
        ({"max_failures": "many"}, errors.SettingsError, "max_failures"),
        ({"run_timeout": "soon"}, errors.SettingsError, "run_timeout: 'soon' is not a duration"),
        ({"memory": "-1"}, errors.SettingsError, "memory: '-1' is not a size"),
        ({"memory": 7}, errors.SettingsError, "memory: 7 is less than 1 MiB"),
        ({"scheduler": "thread"}, errors.SchedulerError, "Did you mean 'threads'"),
        ({"reduce": 3}, errors.BindError, "reduce=3"),
        ({"retries": -1}, errors.SettingsError, "retries"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(options, error, says, csv):
    ran = []
    with pytest.raises(error, match=says):
        td.process(str(csv), ran.append, **options)
    assert ran == []


# -- any graph -------------------------------------------------------------------------------------


def test_sources_joins_and_side_by_side_tasks():
    @td.task
    def left(a):
        return a + 1

    @td.task
    def right(b):
        return b * 10

    @td.task
    def join(one, two):
        return one + two

    @td.task
    def both(joined, one):
        return joined, one

    @td.flow
    def graph(a, b):
        one, two = left(a), right(b)
        return both(join(one, two), one)

    run = td.run_flow(graph, scheduler="threads", a=1, b=2)
    assert run.value == (22, 2)
    assert set(run.outcomes.status) == {"COMPLETED"}


def test_the_time_of_tasks_that_run_once_is_kept_apart_from_what_chunks_cost():
    def prepare():
        time.sleep(0.3)
        return pd.DataFrame({"a": range(10)})

    flow = td.parse_flow("flow F:\n    DataPreparation -> ProcessChunk[*] -> AggregateResults\n")
    bound = flow.bind(
        {"data_preparation": prepare, "process_chunk": len, "aggregate_results": td.sum}
    )
    run = td.run_flow(bound, scheduler="threads", progress=False)
    assert run.timings["single"] >= 0.3
    assert run.timings["function"] < 0.3


def test_side_by_side_tasks_run_at_the_same_time():
    barrier = threading.Barrier(2, timeout=30)

    @td.task
    def one():
        return barrier.wait() >= 0

    @td.task
    def two():
        return barrier.wait() >= 0

    @td.task
    def meet(a, b):
        return a and b

    @td.flow
    def graph():
        return meet(one(), two())

    assert td.run_flow(graph, scheduler="threads", workers=2).value


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_a_fan_out_over_a_list_that_a_task_computed_and_then_another(scheduler):
    text = """
    flow Two:
        Names -> Measure[*] -> Longest -> Spell[*] -> Join
    """

    def names(count):
        return ["x" * number for number in range(1, count + 1)]

    def measure(item):
        return len(item)

    def longest(results):
        return [max(results), min(results)]

    def spell(item, prefix="n"):
        return f"{prefix}{item}"

    def join(results):
        return "-".join(results)

    flow = td.parse_flow(text).bind([names, measure, longest, spell, join])
    run = td.run_flow(flow, scheduler=scheduler, workers=2, count=7)
    assert run.value == "n7-n1"
    assert run.results["Measure"] == [1, 2, 3, 4, 5, 6, 7]


def test_chunk_wise_tasks_in_a_row_run_as_one_task(csv, frame):
    text = "flow Row:\n    Open -> Keep[*] -> Count[*] -> Sum"
    flow = td.parse_flow(text).bind(
        {
            "open": lambda data: td.open_dataset(data, chunk_size="10kB"),
            "keep": lambda chunk: (chunk[chunk.n > 0], threading.get_ident()),
            "count": lambda kept: (len(kept[0]), kept[1] == threading.get_ident()),
            "sum": lambda results: (sum(n for n, _ in results), all(same for _, same in results)),
        }
    )
    run = td.run_flow(flow, scheduler="threads", workers=2, data=str(csv))
    assert run.value == ((frame.n > 0).sum(), True)
    assert "Keep" not in run.results


def test_one_fan_out_feeds_several_reducers_and_a_plain_function(csv, frame):
    text = "flow Many:\n    Open -> Part[*]\n    Part -> [Total, Groups, Plain]\n"
    text += "    [Total, Groups, Plain] -> All"
    flow = td.parse_flow(text).bind(
        {
            "open": lambda data: td.open_dataset(data, chunk_size="10kB"),
            "part": lambda chunk: chunk[["key", "n"]],
            "total": td.count(),
            "groups": td.group_by("key", total=("n", "sum")),
            "plain": lambda part: len(part),
            "all": lambda total, groups, plain: (total, groups, plain),
        }
    )
    run = td.run_flow(flow, scheduler="threads", workers=2, data=str(csv))
    assert run.value[0] == len(frame)
    pd.testing.assert_frame_equal(run.value[1], frame.groupby("key").agg(total=("n", "sum")))
    assert run.value[2] == len(run.plan)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_small_inputs_reach_every_chunk(scheduler, csv, frame):
    text = "flow Small:\n    Open -> Join[*] -> Sum\n    Names -> Join"
    flow = td.parse_flow(text).bind(
        {
            "open": lambda data: td.open_dataset(data, chunk_size="20kB"),
            "names": lambda: pd.DataFrame({"key": list("abcd"), "weight": [1, 2, 3, 4]}),
            "join": lambda chunk, names: int(chunk.merge(names).weight.sum()),
            "sum": lambda results: sum(results),
        }
    )
    run = td.run_flow(flow, scheduler=scheduler, workers=2, data=str(csv))
    assert run.value == frame.key.map({"a": 1, "b": 2, "c": 3, "d": 4}).sum()


def test_what_cannot_be_fanned_out_says_so():
    flow = td.parse_flow("flow F:\n    Make -> Each[*] -> End").bind(
        {"make": lambda: 42, "each": lambda item: item, "end": lambda results: results}
    )
    with pytest.raises(errors.FlowFailed, match="Each: it fans out over int"):
        td.run_flow(flow, scheduler="threads")


# -- failures --------------------------------------------------------------------------------------


def fail_in_third(chunk):
    if chunk.at[0, "key"] == "!":
        raise ValueError("marked")
    return len(chunk)


@pytest.fixture
def marked(tmp_path):
    """Ten files of 20 rows; the third and the seventh are marked."""
    for number in range(10):
        key = "!" if number in (3, 7) else "a"
        pd.DataFrame({"key": [key] * 20, "n": range(20)}).to_csv(
            tmp_path / f"{number}.csv", index=False
        )
    return str(tmp_path / "*.csv")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_failed_chunk_fails_the_run_with_all_that_one_needs_to_know(scheduler, marked):
    with pytest.raises(errors.FlowFailed) as caught:
        td.process(
            td.open_dataset(marked, chunk_size="20 rows"),
            fail_in_third,
            scheduler=scheduler,
            workers=2,
        )
    run = caught.value.run
    text = str(caught.value)
    assert "marked" in text
    assert "fail_in_third" in text
    assert re.search(r"[37]\.csv \[bytes", text)
    assert "run_item" not in text
    assert run.status is RunStatus.FAILED
    assert run.failures.iloc[0].path.endswith(("3.csv", "7.csv"))
    ledger = run.ledger["bytes"]
    assert ledger["planned"] == ledger.drop("planned").sum()
    assert ledger["failed"] > 0


def test_a_failed_chunk_tells_how_to_get_its_rows(marked):
    data = td.open_dataset(marked, chunk_size="20 rows")
    with pytest.raises(errors.FlowFailed) as caught:
        td.process(data, fail_in_third, scheduler="synchronous")
    error = caught.value
    rows = eval(re.search(r"Its rows are (error\.run\.plan\[\d+\]\.read\(\))", str(error))[1])
    with pytest.raises(ValueError, match="marked"):
        fail_in_third(rows)


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_skipping_leaves_out_the_failed_chunks_and_says_so(scheduler, marked):
    run = td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        fail_in_third,
        scheduler=scheduler,
        workers=2,
        on_error="skip",
    )
    assert run.value == [20] * 8
    assert run.status is RunStatus.PARTIAL
    assert list(run.ledger.loc[["planned", "processed", "skipped"], "rows"]) == [200, 160, 40]
    assert len(run.failures) == 2
    assert set(run.failures.status) == {"SKIPPED"}


def test_failures_are_in_chunk_order_whichever_failed_first(tmp_path):
    pd.DataFrame({"n": range(80)}).to_csv(tmp_path / "n.csv", index=False)

    def fail(chunk):
        # The first chunk is tried again, so that it fails for good when others have ended.
        raise OSError("once more") if chunk.n.min() == 0 else ValueError("no")

    run = td.process(
        tmp_path / "n.csv", fail, chunk_size="10 rows", scheduler="synchronous", on_error="skip",
        retries=1, retry_delay="100ms", retry_on=(OSError,), reduce=len, run_dir=tmp_path / "runs",
    )  # fmt: skip
    assert run.outcomes["start"].iloc[0] != run.plan.chunks[0].start
    starts = [chunk.start for chunk in run.plan]
    assert run.failures["start"].tolist() == starts
    assert run.failures["error"].iloc[0] == "OSError: once more"
    assert run.failures["traceback"].str.contains("in fail").all()
    pd.testing.assert_frame_equal(
        run.failures.drop(columns="traceback"), run.outcomes.loc[run.failures.index]
    )
    assert td.load_run(run.run_id, tmp_path / "runs").failures["start"].tolist() == starts


def test_failures_of_two_fan_outs_stand_one_after_the_other():
    text = """flow Two:
    A -> One[*] -> End
    A -> Other[*] -> End
    """

    @td.task(retries=1, retry_delay="100ms", retry_on=(OSError,), on_error="skip")
    def fail(item):
        raise OSError(item) if item == 0 else ValueError(item)

    flow = td.parse_flow(text).bind(
        {"A": lambda: [0, 1, 2], "One": fail, "Other": fail, "End": lambda one, other: 0}
    )
    run = td.run_flow(flow, scheduler="synchronous", workers=1)
    ended = run.outcomes[run.outcomes["status"] == "SKIPPED"]
    assert ended["error"].tolist() != run.failures["error"].tolist()
    assert run.failures["task"].tolist() == ["One"] * 3 + ["Other"] * 3
    assert [one[-1] for one in run.failures["error"]] == list("012" * 2)


def test_a_fallback_stands_in_and_is_booked_apart(marked):
    run = td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        fail_in_third,
        scheduler="threads",
        on_error=lambda chunk: -1,
    )
    assert sorted(run.value) == [-1, -1] + [20] * 8
    assert run.status is RunStatus.PARTIAL
    assert run.ledger.at["fallback", "rows"] == 40
    by_value = td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        fail_in_third,
        scheduler="threads",
        on_error=td.value(0),
    )
    assert sum(by_value.value) == 160


def test_max_failures_as_a_count_and_as_a_share(marked):
    run = td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        fail_in_third,
        scheduler="threads",
        max_failures=2,
    )
    assert run.status is RunStatus.PARTIAL
    assert len(run.failures) == 2
    for allowed in (1, "15%"):
        with pytest.raises(errors.FlowFailed, match="max_failures"):
            td.process(
                td.open_dataset(marked, chunk_size="20 rows"),
                fail_in_third,
                scheduler="synchronous",
                max_failures=allowed,
            )
    assert td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        fail_in_third,
        scheduler="threads",
        max_failures="20%",
    ).value


def test_a_retry_is_another_attempt_and_is_recorded(tmp_path, marked):
    def flaky(chunk):
        path = tmp_path / f"seen-{chunk.key.iloc[0] == '!'}-{os.getpid()}"
        if not path.exists():
            path.touch()
            raise OSError("first time")
        return len(chunk)

    run = td.process(
        td.open_dataset(marked, chunk_size="20 rows"),
        flaky,
        scheduler="threads",
        workers=1,
        retries=2,
        retry_delay="1ms",
    )
    assert run.value == [20] * 10
    assert run.status is RunStatus.COMPLETED
    assert sorted(run.outcomes.attempts)[-2:] == [2, 2]
    tries = run.attempts[run.attempts.task == "ProcessChunk"]
    assert len(tries) == 12
    again = tries[tries.duplicated("key", keep=False)]
    assert again.attempt.tolist() == [1, 2, 1, 2]
    assert again.error.fillna("").tolist() == ["OSError: first time", ""] * 2
    assert again.path.str.endswith(".csv").all()
    assert again.started.is_monotonic_increasing
    assert (tries.duration_s >= tries.function_s).all()


def test_an_item_of_a_list_that_fails_is_named():
    @td.task
    def items():
        return [10, "two", 30]

    @td.task
    def double(item):
        return item + 1

    @td.flow
    def flow():
        return double.map(items())

    with pytest.raises(errors.FlowFailed) as caught:
        td.run_flow(flow, scheduler="synchronous")
    assert "in item 1, key " in str(caught.value)
    assert ": 'two'\n" in str(caught.value)


def test_a_failed_plain_task_fails_the_run_and_a_skipped_one_skips_what_follows():
    def build(on_error):
        @td.task(on_error=on_error)
        def broken():
            raise ValueError("no")

        @td.task
        def after(value):
            return value

        @td.flow
        def graph():
            return after(broken())

        return graph

    with pytest.raises(errors.FlowFailed, match="Broken failed: ValueError: no"):
        td.run_flow(build("fail"), scheduler="threads")
    run = td.run_flow(build("skip"), scheduler="threads")
    assert run.value is None
    assert list(run.outcomes.status) == ["SKIPPED", "SKIPPED"]
    assert td.run_flow(build(td.value(5)), scheduler="threads").value == 5


def test_a_run_that_takes_too_long_is_stopped(marked):
    done = threading.Event()

    def slow(chunk):
        done.wait(0.05)

    with pytest.raises(errors.FlowFailed, match="run_timeout") as caught:
        td.process(
            td.open_dataset(marked, chunk_size="20 rows"),
            slow,
            scheduler="threads",
            workers=1,
            run_timeout="60ms",
        )
    assert caught.value.run.ledger.at["not_run", "bytes"] > 0


def test_a_file_that_changes_between_plan_and_read_is_refused(marked, tmp_path):
    plan = td.open_dataset(marked, chunk_size="20 rows").plan()
    (tmp_path / "5.csv").write_text("key,n\na,1\n")
    with pytest.raises(errors.FlowFailed, match=r"5\.csv.*changed"):
        td.run_flow(
            td.parse_flow("flow F:\n    A -> B[*] -> C").bind(
                {"a": lambda: list(plan), "b": lambda item: len(item), "c": td.collect()}
            ),
            scheduler="threads",
        )


def test_a_broken_reducer_fails_the_run_with_its_own_error(csv):
    broken = td.reducer(lambda partials: 1 / 0)
    with pytest.raises(errors.FlowFailed, match="ZeroDivisionError"):
        td.process(str(csv), len, reduce=broken, scheduler="threads", chunk_size="5kB")


# -- the same answer, whoever runs it --------------------------------------------------------------

SUM = {"total": ("x", "sum"), "mean": ("x", "mean"), "var": ("x", "var")}


@pytest.mark.thorough
def test_the_answer_is_the_same_to_the_last_bit_on_every_scheduler(csv):
    dataset = td.open_dataset(str(csv), chunk_size="3kB")

    def keep(chunk):
        return chunk[chunk.n != 5]

    def answer(**options):
        run = td.process(dataset, keep, reduce=td.group_by("key", **SUM), **options)
        return run.value.to_numpy().tobytes()

    answers = {
        answer(scheduler="synchronous"),
        answer(scheduler="threads", workers=1),
        answer(scheduler="threads", workers=7),
        answer(scheduler="processes", workers=2),
    }
    assert len(answers) == 1


def test_the_static_graph_gives_the_same_answer_to_the_last_bit(csv):
    import dask

    dataset = td.open_dataset(str(csv), chunk_size="3kB")
    flow = td.parse_flow("flow F:\n    Open -> Part[*] -> Groups -> Finish").bind(
        {
            "open": lambda data: data,
            "part": lambda chunk: chunk[chunk.n != 5],
            "groups": td.group_by("key", **SUM),
            "finish": lambda groups: groups,
        }
    )
    run = td.run_flow(flow, scheduler="threads", workers=3, data=dataset)
    delayed = flow.to_delayed(data=dataset)
    with dask.config.set(scheduler="threads"):
        found = delayed.compute()
    assert found.to_numpy().tobytes() == run.value.to_numpy().tobytes()
    names = {dask.utils.key_split(key) for key in delayed.dask}
    assert {"Part", "Groups", "Finish"} <= names


@pytest.mark.parametrize("kind", ["frame", "compressed"])
def test_the_static_graph_holds_temporary_files_until_it_has_gone(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = pd.DataFrame({"n": range(10)})
    if kind == "compressed":
        data.to_csv(tmp_path / "data.csv.gz", index=False)
        data = str(tmp_path / "data.csv.gz")
    flow = td.parse_flow("flow F:\n    Part[*] -> Whole").bind(
        {"part": lambda chunk: int(chunk["n"].sum()), "whole": sum}
    )
    import dask

    delayed = dask.delayed(lambda value: 2 * value)(flow.to_delayed(data=data))
    gc.collect()
    assert len(list(tmp_path.glob("taskinity-*"))) == 1
    assert delayed.compute(scheduler="synchronous") == 90
    del delayed
    gc.collect()
    assert not list(tmp_path.glob("taskinity-*"))


def test_the_static_graph_refuses_a_width_that_only_a_run_knows():
    flow = td.parse_flow("flow F:\n    A -> B[*] -> C -> D[*] -> E").bind(
        {
            "a": lambda: [1, 2],
            "b": lambda item: item,
            "c": lambda results: results,
            "d": lambda item: item,
            "e": lambda results: sum(results),
        }
    )
    with pytest.raises(errors.PlanError, match="run_flow"):
        flow.to_delayed()


def test_a_fallback_in_a_static_graph_takes_what_its_task_does_not():
    def fail():
        raise ValueError("no")

    text = "flow F:\n    A -> B\n    task B:\n        on_error: Double"
    flow = td.parse_flow(text + "\n    task Double:")
    bound = flow.bind({"a": lambda: 3, "b": fail, "double": lambda a: 2 * a})
    assert bound.to_delayed().compute(scheduler="synchronous") == td.run_flow(bound).value == 6


def test_a_plan_of_an_earlier_run_repeats_its_cuts(csv):
    first = td.process(str(csv), len, scheduler="threads", chunk_size="4kB")
    again = td.process(str(csv), len, scheduler="threads", plan=first.plan)
    assert again.value == first.value
    assert [chunk.key for chunk in again.plan] == [chunk.key for chunk in first.plan]


def test_a_plan_of_all_columns_serves_a_reducer_that_needs_few(csv, frame):
    plan = td.open_dataset(str(csv)).plan(chunk_size="4kB")
    for reduce, expected in ((td.count(), len(frame)), (td.group_by("key", n=("n", "sum")), None)):
        run = td.process(str(csv), reduce=reduce, scheduler="threads", plan=plan)
        assert len(run.plan) == len(plan)
        if expected is not None:
            assert run.value == expected
    pd.testing.assert_frame_equal(run.value, frame.groupby("key").agg(n=("n", "sum")))
    narrow = td.open_dataset(str(csv), columns=["key"]).plan(chunk_size="4kB")
    with pytest.raises(errors.PlanError, match="other reader options"):
        td.process(str(csv), reduce=td.group_by("key", n=("n", "sum")), plan=narrow)


def test_a_plan_of_other_files_is_refused(csv, marked):
    plan = td.open_dataset(marked).plan()
    with pytest.raises(errors.PlanError, match="other files"):
        td.process(str(csv), len, scheduler="threads", plan=plan)


def test_outcomes_and_ledger_account_for_every_byte_and_row(csv, frame):
    run = td.process(str(csv), len, scheduler="threads", chunk_size="6kB")
    chunks = run.outcomes[run.outcomes.task == "ProcessChunk"].sort_values("start")
    assert chunks.rows.sum() == len(frame)
    assert (chunks.start.to_numpy()[1:] == chunks.stop.to_numpy()[:-1]).all()
    header = len("key,x,n\n")
    assert run.ledger.at["processed", "bytes"] == os.path.getsize(csv) - header
    assert run.ledger.at["processed", "rows"] == len(frame)


def test_sums_are_exact_however_many_chunks(tmp_path):
    values = np.random.default_rng(1).normal(size=2000) * 10.0 ** np.arange(2000) ** 0.5
    pd.DataFrame({"x": values}).to_parquet(tmp_path / "x.parquet", row_group_size=7)
    run = td.process(str(tmp_path / "x.parquet"), reduce=td.sum(), chunk_size="7 rows")
    assert abs(run.value["x"] - math.fsum(values)) <= 1e-13 * math.fsum(np.abs(values))


# -- choosing and sizing ---------------------------------------------------------------------------


@pytest.mark.thorough
def test_the_current_client_is_used_where_there_is_one(csv):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        run = td.process(str(csv), len, chunk_size="50kB")
        assert run.scheduler.startswith("tcp://")
        assert run.scheduler_reason == "the current Dask client"


def test_sizes_adapt_and_say_why(tmp_path):
    pd.DataFrame({"x": np.arange(400_000)}).to_csv(tmp_path / "x.csv", index=False)
    run = td.process(str(tmp_path / "x.csv"), len, scheduler="threads", workers=2)
    assert sum(run.value) == 400_000
    sizes = run.sizes["ProcessChunk"]
    assert len({target for _, target, _ in sizes}) > 1
    assert all(reason for _, _, reason in sizes)
    assert run.plan.rows == 400_000


def test_observers_get_every_event_in_order_and_one_that_raises_is_dropped(csv):
    seen = []

    class Recorder:
        def on_event(self, event):
            seen.append(type(event).__name__)

    class Broken:
        def on_event(self, event):
            raise RuntimeError("no")

    run = td.process(
        str(csv), len, scheduler="threads", chunk_size="20kB", observers=[Broken(), Recorder()]
    )
    assert seen[0] == "RunStarted"
    assert seen[-1] == "RunFinished"
    assert seen.count("ChunkFinished") == len(run.value)
    assert seen.count("ChunkSubmitted") == len(run.value)


# -- nothing is left behind ------------------------------------------------------------------------


def test_no_thread_or_file_is_left(frame, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    before = set(threading.enumerate())
    td.process(frame, len, scheduler="threads", chunk_size="100 rows")
    with pytest.raises(errors.FlowFailed):
        td.process(frame, lambda chunk: 1 / 0, scheduler="threads", chunk_size="100 rows")
    gc.collect()
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
@pytest.mark.parametrize(("scheduler", "timeout"), [("processes", None), ("threads", "5m")])
def test_a_driver_that_is_gone_leaves_no_process(scheduler, timeout, number, marked, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, time
        import taskinity_data as td

        # Who runs the tests may ignore it, as nohup does.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

        def slow(chunk):
            print("running\\n", end="", flush=True)  # a line is one write: two threads print
            time.sleep(600)

        if __name__ == "__main__":
            data = td.open_dataset({marked!r}, chunk_size="20 rows")
            td.process(data, slow, scheduler={scheduler!r}, workers=2, timeout={timeout!r})
        """)
    )
    with (
        open(tmp_path / "stderr", "w+") as stderr,
        subprocess.Popen(
            [sys.executable, str(script)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        ) as child,
    ):
        try:
            assert child.stdout.readline().strip() == "running"
            family = psutil.Process(child.pid).children(recursive=True)
            assert family
            child.send_signal(number)
            # A terminal that is closed interrupts a run as Ctrl-C does.
            ended = child.wait(60)
            said = (tmp_path / "stderr").read_text()
            assert ended == -{signal.SIGHUP: signal.SIGINT}.get(number, number), said
        finally:
            child.kill()
        _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


@pytest.mark.thorough
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_ctrl_c_stops_the_run_and_leaves_no_process(scheduler, marked, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time, threading
        import taskinity_data as td

        def slow(chunk):
            print("running", flush=True)
            time.sleep(0.3)
            return 1

        if __name__ == "__main__":
            try:
                data = td.open_dataset({marked!r}, chunk_size="20 rows")
                td.process(data, slow, scheduler={scheduler!r}, workers=2)
            except KeyboardInterrupt as error:
                run = error.run
                print(run.status, run.ledger.at["not_run", "bytes"] > 0, flush=True)
                sys.exit(130)
        """)
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        lines = iter(child.stdout.readline, "")
        assert next(lines).strip().startswith("running")
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
        os.killpg(child.pid, signal.SIGINT)
        rest = [line.strip() for line in lines]
        assert child.wait(60) == 130
    assert rest[-1] == "INTERRUPTED True"
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_a_combine_that_raises_fails_the_run_whenever_it_is_called(error, frame):
    def break_off(partials):
        raise error("no way")

    # Two chunks are combined when the end of the chunks is known, seventeen before.
    for rows in ("2_500 rows", "300 rows"):
        with pytest.raises(errors.FlowFailed, match=f"combining raised {error.__name__}: no way"):
            td.process(
                frame,
                len,
                reduce=td.reducer(break_off),
                chunk_size=rows,
                scheduler="synchronous",
                progress=False,
            )


@pytest.mark.filterwarnings("ignore:.*use of fork")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_processes_that_a_function_forks_end_by_signals(number):
    def hang():
        while True:
            time.sleep(0.05)

    def fork_and_end(_chunk):
        child = multiprocessing.get_context("fork").Process(target=hang)
        child.start()
        os.kill(child.pid, number)  # mostly before it is ready
        child.join(20)
        code = child.exitcode
        child.kill()
        child.join()
        return code

    frame = pd.DataFrame({"n": [1]})
    run = td.process(frame, fork_and_end, scheduler="threads", progress=False)
    assert run.value == [-number]
