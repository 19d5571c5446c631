"""Iterators of frames as a source: all rows, in order, and never more of them than workers use."""

import csv
import io
import threading
import time
from pathlib import Path

import dask.dataframe as dd
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.errors import FlowFailed, PlanError, SourceNotFound

FRAME = pd.DataFrame({"a": range(100), "g": list("xyzz") * 25, "f": [0.5, None] * 50})
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)
KINDS = {"pandas": pd.DataFrame, "arrow": pa.Table, "polars": pl.DataFrame}


def frames():
    return (FRAME.iloc[place : place + 7] for place in range(0, len(FRAME), 7))


STREAMS = {
    "generator of frames": frames,
    "generator of tables": lambda: (TABLE.slice(place, 9) for place in range(0, 100, 9)),
    "generator of batches": lambda: iter(TABLE.to_batches(max_chunksize=13)),
    "generator of polars frames": lambda: (
        pl.from_arrow(TABLE.slice(p, 30)) for p in (0, 30, 60, 90)
    ),
    "record batch reader": lambda: pa.RecordBatchReader.from_batches(
        TABLE.schema, TABLE.to_batches(max_chunksize=11)
    ),
    "Dask DataFrame": lambda: dd.from_pandas(FRAME, npartitions=5),
}


def process(stream, function=None, **options):
    options = {"scheduler": "threads", "workers": 2, "progress": False, **options}
    return td.process(stream, function, **options)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_the_rows_of_all_parts_come_in_order_whoever_runs(name, scheduler):
    done = process(
        STREAMS[name](), lambda c: c.assign(b=2), reduce=td.concat(), scheduler=scheduler
    )
    # Dask makes texts a dtype of its own.
    is_same = name != "Dask DataFrame"
    pd.testing.assert_frame_equal(done.value, FRAME.assign(b=2), check_dtype=is_same)
    assert done.outcomes.rows.sum() == len(FRAME)


@pytest.mark.parametrize("name", STREAMS)
def test_a_reducer_takes_the_parts_as_they_are(name):
    told = process(STREAMS[name](), reduce=td.group_by("g", s=("f", "sum"), n=("a", "count"))).value
    pd.testing.assert_frame_equal(
        told, FRAME.groupby("g").agg(s=("f", "sum"), n=("a", "count")), check_index_type=False
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", STREAMS)
def test_a_function_gets_what_its_annotation_says(name, kind):
    def tell(chunk):
        return type(chunk), len(chunk)

    tell.__annotations__["chunk"] = KINDS[kind]
    told = process(STREAMS[name](), tell).value
    assert {one for one, _ in told} == {KINDS[kind]}
    assert sum(rows for _, rows in told) == len(FRAME)


def test_no_more_is_taken_than_workers_can_use():
    taken, done, most = [0], [0], [0]
    lock = threading.Lock()

    def parts():
        for number in range(60):
            taken[0] += 1
            with lock:
                most[0] = max(most[0], taken[0] - done[0])
            yield pd.DataFrame({"a": [number]})

    def slow(chunk):
        time.sleep(0.002)
        with lock:
            done[0] += 1
        return int(chunk.a.iloc[0])

    assert process(parts(), slow).value == list(range(60))
    # Two that run, two that wait, two that came back and were not looked at, one just made.
    assert most[0] <= 7


def test_other_values_go_as_they_are():
    assert process(iter(range(5)), lambda value: value * 2).value == [0, 2, 4, 6, 8]


def test_an_iterator_without_parts_is_an_answer_of_nothing():
    assert process(iter([]), len).value == []


def test_an_iterator_that_raises_stops_the_run_and_says_after_how_many():
    def parts():
        yield FRAME
        raise OSError("the disk is gone")

    with pytest.raises(FlowFailed, match=r"raised OSError after 1 frames: the disk is gone"):
        process(parts(), len)


@pytest.mark.parametrize(
    "options",
    [{"chunk_size": "10 rows"}, {"columns": ["a"]}, {"sep": ";"}],
    ids=str,
)
def test_options_that_cut_or_read_are_refused(options):
    with pytest.raises(PlanError, match=next(iter(options))):
        process(frames(), len, **options)


def test_a_function_of_chunks_is_told_that_there_are_none():
    def read(chunk: td.Chunk):
        return chunk.read()

    with pytest.raises(
        FlowFailed, match=r"reads files[^\n]*\nin item 0, .*: a DataFrame of 7 rows"
    ):
        process(frames(), read, workers=1)


def test_a_flow_fans_out_over_an_iterator_that_its_first_task_returns():
    flow = td.parse_flow("flow F:\n    Prepare -> Count[*] -> Total\n").bind(
        {"prepare": frames, "count": len, "total": sum}
    )
    assert td.run_flow(flow, scheduler="threads", progress=False).value == len(FRAME)
    with pytest.raises(PlanError, match="no graph"):
        flow.to_delayed()


def test_a_fixed_width_is_refused():
    flow = td.parse_flow("flow F:\n    Prepare -> Count[4] -> Total\n").bind(
        {"prepare": frames, "count": len, "total": sum}
    )
    with pytest.raises((PlanError, FlowFailed), match="width"):
        td.run_flow(flow, scheduler="threads", progress=False)


def test_an_open_file_is_no_stream_of_frames(tmp_path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    for opening in (process, td.open_dataset):
        with (
            open(tmp_path / "a.csv") as file,
            pytest.raises(PlanError, match=r"an open file \(TextIOWrapper\) .* give its path"),
        ):
            opening(file)
        with pytest.raises(PlanError, match=r"an open file \(StringIO\) .* give its path"):
            opening(io.StringIO("a\n1\n"))
        with pytest.raises(PlanError, match="of type Chunk is not a source"):
            opening(td.open_dataset(tmp_path / "a.csv").plan()[0])


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("again", [lambda one: one, lambda one: one[:]], ids=["same", "view"])
def test_a_frame_that_is_changed_and_given_again_is_each_time_what_it_was(scheduler, again):
    def parts():
        frame = pd.DataFrame({"a": [0, 0]})
        values = frame["a"].to_numpy()
        values.flags.writeable = True
        for number in range(30):
            values[:] = number
            yield again(frame)

    assert process(parts(), reduce=td.concat(), scheduler=scheduler).value.a.tolist() == [
        number for number in range(30) for _ in range(2)
    ]


def test_a_polars_frame_that_is_changed_and_given_again_is_each_time_what_it_was():
    def parts():
        frame = pl.DataFrame({"a": [0]})
        for number in range(30):
            frame[0, "a"] = number
            yield frame

    assert process(parts(), reduce=td.concat()).value.a.tolist() == list(range(30))


@pytest.mark.parametrize("kind", [str, Path])
def test_an_iterator_of_paths_is_the_list_of_them(tmp_path, kind):
    for number in range(2):
        (tmp_path / f"{number}.csv").write_text(f"a\n{number}\n5\n6\n")
    paths = sorted(tmp_path.glob("*.csv"))
    assert process(map(kind, paths), reduce=td.count()).value == 6
    done = process(map(kind, paths), reduce=td.concat(), columns=["a"], chunk_size="2 rows")
    assert done.value.a.tolist() == [0, 5, 6, 1, 5, 6]
    with pytest.raises(SourceNotFound, match="no such file"):
        process(iter(["nowhere.csv"]), len)
    with pytest.raises(PlanError, match="5 in the list is not a path"):
        process(iter([str(paths[0]), 5]), len)


def test_a_reader_of_the_module_csv_is_refused():
    with pytest.raises(PlanError, match=r"a csv\.reader yields lists .* the path of its file"):
        process(csv.reader(["a", "1"]), reduce=td.count())


def test_tables_that_no_dataset_can_be_made_of_are_refused_with_who_takes_them():
    with pytest.raises(PlanError, match=r"a Dask DataFrame .* pass it to process\(\)"):
        td.open_dataset(dd.from_pandas(FRAME, npartitions=2))
    for opening in (process, td.open_dataset):
        with pytest.raises(PlanError, match=r"list of tables \(DataFrame\) .* iter\(") as caught:
            opening([FRAME])
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("write", [pd.DataFrame.to_csv, pd.DataFrame.to_parquet])
@pytest.mark.parametrize("kind", [list, iter])
def test_chunks_that_a_task_gives_are_read_and_their_rows_accounted_for(tmp_path, write, kind):
    write(FRAME, tmp_path / "data", index=False)
    text = "flow F:\n    DataPreparation -> ProcessChunk[*] -> AggregateResults\n"
    format_ = "csv" if write is pd.DataFrame.to_csv else "parquet"

    def data_preparation(path):
        return kind(td.open_dataset(path, format=format_, chunk_size="30 rows").plan())

    tasks = {"data_preparation": data_preparation, "process_chunk": lambda chunk: chunk.a.sum()}
    flow = td.parse_flow(text).bind(tasks | {"aggregate_results": sum})
    for scheduler in ("synchronous", "threads"):
        run = td.run_flow(flow, path=str(tmp_path / "data"), scheduler=scheduler)
        assert run.value == FRAME.a.sum()
        assert run.ledger.at["processed", "rows"] == len(FRAME)
