"""Chunks that are split where they fail: only bad rows are lost, what is too large gets smaller."""

from __future__ import annotations

import math
import sys
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data import errors
from taskinity_data.chunks.plan import check_tiling
from taskinity_data.chunks.sizing import Learner, Size
from taskinity_data.execution import fan_out as fan_out_module
from taskinity_data.execution.fan_out import RunningFanOut
from taskinity_data.execution.worker.job import Job
from taskinity_data.outcome import RunStatus

ROWS = 400
FRAME = pd.DataFrame({"n": range(ROWS), "v": np.arange(ROWS) % 7, "t": ["ä,b", "c"] * (ROWS // 2)})
BAD = (17, 200, 201, 399)
GOOD = FRAME[~FRAME.n.isin(BAD)].reset_index(drop=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splitting")
    FRAME.to_csv(folder / "a.csv", index=False)
    FRAME.to_parquet(folder / "a.parquet")
    FRAME.to_json(folder / "a.jsonl", orient="records", lines=True)
    return {"csv": folder / "a.csv", "parquet": folder / "a.parquet", "jsonl": folder / "a.jsonl"}


def refuse(chunk):
    for n in BAD:
        if (chunk.n == n).any():
            raise ValueError(f"row {n} is bad")
    return chunk


def process(source, function, **options):
    return td.process(source, function, **{"scheduler": "threads", "workers": 2} | options)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "frame"])
@pytest.mark.parametrize("chunk_size", ["150 rows", "auto"])
def test_bisect_loses_the_bad_rows_alone(kind, chunk_size, files):
    run = process(
        FRAME if kind == "frame" else files[kind], refuse,
        chunk_size=chunk_size, on_error="bisect", reduce=td.concat(),
    )  # fmt: skip
    pd.testing.assert_frame_equal(run.value, GOOD, check_dtype=kind != "jsonl")
    assert run.status is RunStatus.PARTIAL
    assert sorted(run.failures.error) == sorted(f"ValueError: row {n} is bad" for n in BAD)
    assert run.ledger.at["quarantined", "rows"] == len(BAD)
    assert run.ledger.at["processed", "rows"] == len(GOOD)
    assert run.ledger.at["planned", "rows"] == ROWS


def test_each_bad_row_is_told_with_its_place(files):
    run = process(files["csv"], refuse, chunk_size="150 rows", on_error="bisect")
    text = files["csv"].read_bytes()
    for row in run.failures.to_dict("records"):
        line = text[row["start"] : row["stop"]].decode()
        assert row["error"] == f"ValueError: row {line.split(',')[0]} is bad"
        assert row["path"] == str(files["csv"])
    rows = process(files["parquet"], refuse, chunk_size="150 rows", on_error="bisect").failures
    assert sorted(rows.start) == list(BAD)
    assert sorted(rows.stop) == [n + 1 for n in BAD]


def test_bisect_costs_few_extra_calls(files):
    run = process(files["parquet"], refuse, chunk_size="100 rows", on_error="bisect")
    most = 2 * len(BAD) * math.ceil(math.log2(100)) + 4
    assert len(run.outcomes) <= most
    calls: Counter[int] = Counter()

    def count(chunk):
        calls[len(chunk)] += 1
        return refuse(chunk)

    process(files["parquet"], count, chunk_size="100 rows", on_error="bisect")
    assert calls.total() <= most
    assert calls[100] == 4


def test_a_split_chunk_is_combined_in_its_place(files):
    def join(siblings):
        return "(" + "".join(siblings) + ")"

    reducer = td.reducer(join, partial=lambda chunk: f"{chunk.n.min()}-{chunk.n.max()} ")
    run = process(
        files["parquet"], refuse, chunk_size="100 rows", on_error="bisect", reduce=reducer
    )
    numbers = [part.split("-") for part in run.value.replace("(", "").replace(")", "").split()]
    covered = [n for first, last in numbers for n in range(int(first), int(last) + 1)]
    assert covered == list(GOOD.n)
    # The first chunk's parts stand in brackets of their own before the second chunk comes.
    assert "18-24 )" in run.value


def test_a_plain_aggregate_gets_the_parts_in_order(files):
    run = process(
        files["csv"], lambda chunk: list(refuse(chunk).n), chunk_size="100 rows",
        on_error="bisect", reduce=lambda parts: [n for part in parts for n in part],
    )  # fmt: skip
    assert run.value == list(GOOD.n)


def test_an_output_holds_the_parts_in_order(files, tmp_path):
    run = process(
        files["csv"], refuse, chunk_size="100 rows", on_error="bisect", output=tmp_path / "out"
    )
    back = pd.concat(
        [pd.read_parquet(path) for path in sorted((tmp_path / "out").glob("*.parquet"))]
    )
    assert sorted(back.n) == list(GOOD.n)
    assert run.output.rows == len(GOOD)


@pytest.mark.thorough
def test_a_row_that_kills_its_worker_is_found_too(files):
    def die(chunk):
        if (chunk.n == 201).any():
            import os

            os._exit(5)
        return chunk

    run = process(
        files["parquet"], die, chunk_size="200 rows", on_error="bisect", timeout="60s",
        reduce=td.count(),
    )  # fmt: skip
    assert run.value == ROWS - 1
    assert run.failures.start.item() == 201
    assert "worker process died, exit code 5" in run.failures.error.item()


def test_what_cannot_be_halved_refuses_bisect(files):
    flow = td.parse_flow("flow F:\n  task B[2]:\n    on_error: bisect\n  A -> B[2] -> C\n").bind(
        {"A": lambda: FRAME, "B": lambda chunk: chunk, "C": len}
    )
    with pytest.raises(errors.TaskinityDataError, match="F: B: on_error bisect of B requires chu"):
        td.run_flow(flow, scheduler="threads")
    with pytest.raises(errors.TaskinityDataError, match="bisect of ProcessChunk requires chunks"):
        process(iter([FRAME]), refuse, on_error="bisect")


def test_max_failures_counts_a_chunk_of_which_nothing_is_left(files):
    def refuse_first(chunk):
        if chunk.n.min() < 8:
            raise ValueError("bad")
        return chunk

    options = {"chunk_size": "4 rows", "on_error": "bisect", "reduce": td.count()}
    assert process(files["parquet"], refuse_first, max_failures=2, **options).value == ROWS - 8
    with pytest.raises(errors.FlowFailed, match=r"2 chunks failed, max_failures allows 1\)\nin /"):
        process(files["parquet"], refuse_first, max_failures=1, **options)
    # Four bad rows in three chunks, none of which is lost whole.
    assert process(files["parquet"], refuse, max_failures=0, **options | {"chunk_size": "50 rows"})


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", ["150 rows", "auto"])
@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_what_does_not_fit_is_split_and_later_chunks_are_smaller(kind, chunk_size, files):
    tried: list[int] = []

    def need_memory(chunk):
        tried.append(len(chunk))
        if len(chunk) > 20:
            raise MemoryError("too much")
        return chunk

    run = process(
        FRAME if kind == "frame" else files[kind], need_memory,
        chunk_size=chunk_size, reduce=td.concat(), workers=1,
    )  # fmt: skip
    pd.testing.assert_frame_equal(run.value, FRAME)
    assert run.status is RunStatus.COMPLETED
    assert len(run.failures) == 0
    # Each size fails a few times at most, not once for each chunk.
    assert sum(rows > 20 for rows in tried) <= 16
    assert "chunks were too large for this function: " in run.explain()
    assert run.explain().count("too large") == 1
    assert "died" not in run.explain()
    check_tiling(run.plan.extents, run.plan.chunks)


def test_one_row_that_does_not_fit_fails_or_is_left_out(files):
    def need_memory(chunk):
        if (chunk.n == 3).any():
            raise MemoryError("too much")
        return chunk

    with pytest.raises(errors.FlowFailed, match="MemoryError"):
        process(files["parquet"], need_memory, chunk_size="8 rows")
    for on_error, place in (("skip", "skipped"), ("bisect", "quarantined")):
        run = process(
            files["parquet"], need_memory, chunk_size="8 rows", on_error=on_error,
            reduce=td.count(),
        )  # fmt: skip
        assert run.value == ROWS - 1
        assert run.ledger.at[place, "rows"] == 1


def test_a_row_that_does_not_fit_makes_the_other_chunks_no_smaller_than_half(files):
    calls: list[int] = []

    def need_memory(chunk):
        calls.append(len(chunk))
        if chunk.n.isin((3, 251)).any():
            raise MemoryError("too much")
        return chunk

    run = process(
        files["parquet"], need_memory, chunk_size="8 rows", on_error="skip", reduce=td.count(),
        workers=1,
    )  # fmt: skip
    assert run.value == ROWS - 2
    # Two of 8 rows, their halves down to the row, all others as 8 or as 4.
    assert len(calls) <= ROWS / 4 + 2 * 6
    assert run.sizes["ProcessChunk"][-1][0] == 1


def test_a_fixed_number_of_pieces_is_never_split():
    def need_memory(chunk):
        raise MemoryError("too much")

    flow = td.parse_flow("flow F:\n  A -> B[2] -> C\n").bind(
        {"A": lambda: td.open_dataset(FRAME), "B": need_memory, "C": len}
    )
    with pytest.raises(errors.FlowFailed, match="MemoryError") as caught:
        td.run_flow(flow, scheduler="synchronous")
    assert len(caught.value.run.plan) <= 2


def test_halves_of_text_keep_their_counts_of_rows(files):
    (chunk,) = td.open_dataset(files["csv"]).plan(chunk_size="1000 rows")
    todo, leaves = [chunk], []
    while todo:
        halves = todo.pop().split()
        if len(halves) == 1:
            leaves += halves
        todo += halves if len(halves) > 1 else ()
    assert len(leaves) == ROWS
    assert {leaf.rows for leaf in leaves} == {1}


# -- all alike -------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_error", ["skip", "bisect"])
def test_the_same_error_in_all_chunks_stops_the_run_early(on_error, files):
    calls: list[int] = []

    def ask(chunk):
        calls.append(1)
        raise KeyError("Carrier")

    with pytest.raises(errors.FlowFailed, match=r"the first 1\d chunks all failed") as caught:
        process(files["csv"], ask, chunk_size="5 rows", on_error=on_error, max_failures=1000)
    assert "KeyError: 'Carrier'" in str(caught.value)
    assert len(calls) < 20


def test_different_errors_or_one_success_let_the_run_go_on(files):
    def differ(chunk):
        raise ValueError("odd" if chunk.n.min() % 2 else "even")

    assert process(files["csv"], differ, chunk_size="5 rows", on_error="skip").value == []

    def most(chunk):
        if chunk.n.min():
            raise ValueError("not the first")
        return 1

    run = process(files["csv"], most, chunk_size="5 rows", on_error="skip", workers=1)
    assert run.value == [1]


@pytest.mark.thorough
def test_an_error_of_every_row_ends_after_a_thousand_tries(tmp_path):
    path = tmp_path / "many.parquet"
    pd.DataFrame({"n": range(4000)}).to_parquet(path)

    def ask(chunk):
        raise KeyError("Carrier")

    with pytest.raises(errors.FlowFailed, match=r"in 1,?\d+ pieces"):
        process(path, ask, chunk_size="2000 rows", on_error="bisect")


def test_a_share_is_judged_again_when_the_number_of_chunks_is_known(files):
    def refuse_three(chunk):
        if chunk.n.min() in (0, 50, 100):
            raise ValueError("bad")
        return chunk

    for share, allowed in ("20%", 1), ("1%", 0):
        with pytest.raises(errors.FlowFailed, match=f"max_failures allows {allowed}") as caught:
            process(
                files["csv"], refuse_three, chunk_size="50 rows", on_error="skip",
                max_failures=share,
            )  # fmt: skip
        # Chunks that were skipped are the cause here.
        assert "in refuse_three\n" in str(caught.value)


def test_what_stopped_the_run_is_shown_and_not_the_first_failure(files):
    def refuse_two(chunk):
        if (chunk.n == 3).any():
            raise KeyError("allowed")
        if (chunk.n == 90).any():
            raise ValueError("one too many")
        return chunk

    with pytest.raises(errors.FlowFailed) as caught:
        process(files["csv"], refuse_two, chunk_size="10 rows", max_failures=1)
    assert 'raise ValueError("one too many")' in str(caught.value)
    assert "allowed" not in str(caught.value).partition("max_failures allows 1)")[2]


def test_a_run_whose_chunks_all_fail_alike_shows_where(files):
    def refuse_all(chunk):
        raise ValueError("never")

    with pytest.raises(errors.FlowFailed) as caught:
        process(files["csv"], refuse_all, chunk_size="5 rows", on_error="skip")
    first, second, *_ = str(caught.value).splitlines()
    assert first.startswith("refuse_all failed: ValueError: never (the first 10 chunks all failed")
    assert second.startswith("in /")


def _count_steps_of_a_split(chunks):
    """How many byte codes of the fan-out's module run while its last chunk is split."""
    frame = pd.DataFrame({"n": range(4 * chunks)})
    plan = td.open_dataset(frame).plan(chunk_size="4 rows")
    learner = Learner(Size(1, "given"))
    fan_out = RunningFanOut(
        Job("ProcessChunk", ((),)),
        plan,
        total_items=chunks,
        learner=learner,
        splits=True,
    )
    items = []
    while not fan_out.is_cut:
        items += fan_out.take_batch(1)
    assert len(items) == chunks
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != fan_out_module.__file__:
            return None
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        parts = fan_out.split(items[-1])
    finally:
        sys.settrace(before)
    assert len(parts) == 2
    assert len(fan_out.chunks) == chunks + 1
    assert list(fan_out.chunks[-2:]) == [part.data for part in parts]
    return count


def test_splitting_a_chunk_costs_the_same_however_many_chunks_there_are():
    assert 0 < _count_steps_of_a_split(400) == _count_steps_of_a_split(10)
