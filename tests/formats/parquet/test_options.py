"""Options of Parquet that say as what values are read: as `pandas.read_parquet` with the same."""

import datetime as dt
import pickle

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import taskinity_data as td

TABLE = pa.table(
    {
        "t": pa.array([dt.date(2013, 1, 1), None, dt.date(2999, 12, 31)] * 4).cast(
            pa.timestamp("us")
        ),
        "s": pa.array(["x", None, "y", "z"] * 3),
        "b": pa.array([b"1", b"22", None] * 4),
        "l": pa.array([[1], [], None] * 4),
    }
)
OPTIONS = [
    {"coerce_int96_timestamp_unit": "ms"},
    {"coerce_int96_timestamp_unit": "us", "read_dictionary": ["s"]},
    {"read_dictionary": ["s"]},
    {"binary_type": pa.large_binary(), "list_type": pa.LargeListType},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        TABLE, path, use_deprecated_int96_timestamps=True, row_group_size=5, store_schema=False
    )
    return path


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ", ".join(options))
@pytest.mark.parametrize("size", ["1 rows", "7 rows", "100 rows"])
def test_chunks_have_the_types_that_pandas_reads_with_the_same_options(path, options, size):
    expected = pd.read_parquet(path, **options)
    plan = td.open_dataset(path, **options).plan(chunk_size=size)
    frames = [pickle.loads(pickle.dumps(chunk)).read() for chunk in plan]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), expected)
    tables = pa.concat_tables([chunk.read("arrow") for chunk in plan])
    if "read_dictionary" not in options:
        assert tables.equals(pq.read_table(path, **options))


def test_without_the_option_a_late_int96_is_another_time_as_in_pandas(path):
    # The two are read one after the other: what is kept of a footer must not be mixed up.
    late = td.open_dataset(path, coerce_int96_timestamp_unit="ms").head(20)["t"]
    wrapped = td.open_dataset(path).head(20)["t"]
    assert late.equals(pd.read_parquet(path, coerce_int96_timestamp_unit="ms")["t"])
    assert wrapped.equals(pd.read_parquet(path)["t"])
    assert late[2].year == 2999
    assert wrapped[2].year != 2999


def test_an_option_that_parquet_does_not_have_is_refused_with_close_names(path):
    with pytest.raises(td.errors.PlanError, match=r"sep=',' is not an option for Parquet"):
        td.open_dataset(path, sep=",")
    with pytest.raises(td.errors.PlanError, match="Did you mean 'read_dictionary'"):
        td.open_dataset(path, read_dictionaries=["s"])
    with pytest.raises(td.errors.PlanError, match="read_dictionary: give a list"):
        td.open_dataset(path, read_dictionary="s")


def test_a_run_takes_them_too(path):
    run = td.process(
        path,
        lambda chunk: chunk["t"].dt.year.max(),
        coerce_int96_timestamp_unit="ms",
        scheduler="synchronous",
        progress=False,
    )
    assert max(run.value) == 2999
