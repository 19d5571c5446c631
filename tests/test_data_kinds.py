"""What frames and tables take in memory."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from taskinity_data.data_kinds import measure_nbytes


def test_a_frame_takes_what_pandas_counts_without_what_objects_point_to():
    frame = pd.DataFrame(
        {
            "n": range(100),
            "m": np.arange(100, dtype="int8"),
            "objects": [object()] * 100,
            "text": ["some text"] * 100,
            "missing": pd.array([1, None] * 50, dtype="Int16"),
            "kind": pd.Categorical(["a", "b"] * 50),
            "at": pd.date_range("2020", periods=100, tz="UTC"),
            "arrow": pd.array(range(100), dtype=pd.ArrowDtype(pa.int32())),
        }
    )
    for rows in (frame, frame[10:20], frame[:0], frame[["n", "m"]]):
        assert measure_nbytes(rows) == rows.memory_usage(index=False).sum()
    assert measure_nbytes(frame["n"]) == 800


def test_tables_take_what_their_libraries_count_and_other_values_nothing_known():
    table = pa.table({"n": range(100)})
    assert measure_nbytes(table) == measure_nbytes(pl.from_arrow(table)) == 800
    assert measure_nbytes([1, 2]) is None
