"""The account of lists and iterators: all that comes in is somewhere, and that is proved."""

from __future__ import annotations

from concurrent.futures import Executor, Future

import dask.dataframe as dd
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.errors import FlowFailed

FRAMES = [
    pd.DataFrame({"n": range(start, start + rows)}) for start, rows in [(0, 3), (3, 0), (3, 4)]
]
FLOW = """
flow Items:
    task Prepare:
        description: "A list"
    task Work[{width}]:
        on_error: {on_error}
    task Gather:
        description: "All of it"
    Prepare -> Work[{width}] -> Gather
"""


def account(run):
    """Rows by place, without the zeros; what was planned is checked against the sum of the rest."""
    rows = run.ledger["rows"]
    assert rows["planned"] == rows.drop("planned").sum()
    return {place: int(count) for place, count in rows.items() if count}


def process(source, function=lambda item: item, **options):
    return td.process(source, function, scheduler="synchronous", progress=False, **options)


def run_items(items, work, width="*", on_error="skip"):
    tasks = {"prepare": lambda data: items, "work": work, "gather": lambda parts: parts}
    flow = td.parse_flow(FLOW.format(width=width, on_error=on_error)).bind(tasks)
    return td.run_flow(flow, data=0, scheduler="synchronous", progress=False)


def refuse_four(item):
    if len(item) == 4:
        raise ValueError("no")
    return len(item)


@pytest.mark.parametrize(
    "convert",
    [lambda one: one, pa.Table.from_pandas, pl.from_pandas],
    ids=["pandas", "arrow", "polars"],
)
def test_rows_of_frames_are_counted_as_they_come_in(convert):
    frames = [convert(frame) for frame in FRAMES]
    assert account(process(iter(frames), len)) == {"planned": 7, "processed": 7}
    assert account(run_items(frames, len)) == {"planned": 7, "processed": 7}


def test_rows_of_frames_that_fail_are_skipped_in_the_account():
    run = process(iter(FRAMES), refuse_four, on_error="skip")
    assert account(run) == {"planned": 7, "processed": 3, "skipped": 4}


def test_rows_of_frames_that_a_fallback_stood_in_for_are_its_own():
    run = process(iter(FRAMES), refuse_four, on_error=td.value(0))
    assert account(run) == {"planned": 7, "processed": 3, "fallback": 4}


def test_items_count_as_one_row_each():
    assert account(process(iter(range(5)))) == {"planned": 5, "processed": 5}


@pytest.mark.parametrize("width", ["*", "2"])
def test_the_items_of_a_list_are_all_accounted_for(width):
    def work(item):
        if item in (3, [4, 5, 6, 7]):
            raise ValueError("no")
        return item

    lost = 1 if width == "*" else 4
    run = run_items(list(range(8)), work, width)
    assert account(run) == {"planned": 8, "processed": 8 - lost, "skipped": lost}


def test_items_that_did_not_run_before_a_failure_are_counted():
    def work(item):
        raise ValueError("no")

    with pytest.raises(FlowFailed) as raised:
        run_items(list(range(8)), work, on_error="fail")
    assert account(raised.value.run) == {"planned": 8, "failed": 1, "not_run": 7}


def test_an_iterator_that_was_not_taken_to_its_end_has_no_known_plan():
    with pytest.raises(FlowFailed) as raised:
        process(iter(FRAMES * 20), refuse_four)
    rows = raised.value.run.ledger["rows"]
    assert rows["planned"] is pd.NA
    assert rows["not_run"] is pd.NA
    assert (rows["processed"], rows["failed"]) == (3, 4)


def test_partitions_of_a_dask_frame_are_counted_once_they_are_computed():
    frame = dd.from_pandas(pd.DataFrame({"n": range(30)}), npartitions=3)
    rows = process(frame, len).ledger["rows"]
    assert rows["planned"] is pd.NA
    assert rows["processed"] == 30


class Lossy(pd.DataFrame):
    """A frame whose last row does not travel."""

    @property
    def _constructor(self):
        return Lossy

    def __reduce__(self):
        return pd.DataFrame, ({"n": self.n.to_numpy()[:-1]},)


class Here(Executor):
    """Runs what is submitted at once, after it has travelled as to another process."""

    def submit(self, function, /, *args, **options):
        future = Future()
        future.set_result(function(*args, **options))
        return future


def test_a_row_that_is_lost_on_the_way_to_a_worker_fails_the_run():
    frames = [Lossy(frame) for frame in (FRAMES[0], FRAMES[2])]
    with pytest.raises(FlowFailed, match="7 rows were planned, but not all are accounted for"):
        td.process(iter(frames), len, scheduler=Here(), workers=1, progress=False)


def test_the_summary_and_the_report_show_where_items_have_gone(tmp_path):
    run = process(iter(FRAMES), refuse_four, on_error="skip")
    assert "7 planned = 3 processed + 4 skipped" in str(run)
    page = run.report(tmp_path / "run.html").read_text(encoding="utf-8")
    assert ">Ledger<" in page
