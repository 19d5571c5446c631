"""A dataset of a frame that a task opened in another process, which has gone when it is read."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import taskinity_data as td
from tests.support.real_cluster import start_cluster

FRAME = pd.DataFrame(
    {
        "n": np.arange(3000),
        "text": pd.Series(["a", None, "ä"] * 1000, dtype=object),
        "kind": pd.Categorical(["x", "y", "z"] * 1000),
        "mixed": pd.Series([1, None, 3] * 1000, dtype=object),
        "day": pd.Series([dt.date(2024, 2, 29)] * 3000, dtype=pd.ArrowDtype(pa.date32())),
        "more": np.random.default_rng(5).normal(size=3000),
    }
)
OPTIONS = {"columns": ["text", "kind", "mixed", "day", "n"], "filters": [("n", ">=", 10)]}


def run(scheduler, **options):
    @td.task
    def data_preparation(frame):
        return td.open_dataset(frame, **options, chunk_size="700 rows")

    @td.task
    def process_chunk(chunk):
        return chunk

    @td.task
    def aggregate_results(chunks, dataset):
        return pd.concat(chunks, ignore_index=True), dataset.rows, dataset.head(1)

    @td.flow
    def again(frame):
        dataset = data_preparation(frame)
        return aggregate_results(process_chunk.map(dataset), dataset)

    return td.run_flow(again, frame=FRAME, scheduler=scheduler, workers=2).value


@pytest.mark.parametrize("options", [{}, OPTIONS])
def test_its_rows_come_back_from_a_process(options):
    frame, rows, head = run("processes", **options)
    expected = FRAME[FRAME.n >= 10][options["columns"]] if options else FRAME
    pd.testing.assert_frame_equal(frame, expected.reset_index(drop=True))
    pd.testing.assert_frame_equal(head, frame.head(1))
    assert rows == (None if options else 3000)


@pytest.mark.thorough
def test_its_rows_come_back_from_a_cluster(tmp_path):
    with start_cluster(tmp_path) as client:
        frame, _, _ = run(client)
    pd.testing.assert_frame_equal(frame, FRAME)


def test_it_stays_where_it_is_in_threads():
    frame, rows, _ = run("threads")
    pd.testing.assert_frame_equal(frame, FRAME)
    assert rows == 3000
