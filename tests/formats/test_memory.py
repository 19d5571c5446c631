"""Frames and tables in memory: the reader contract, and what Arrow can't hold."""

import datetime as dt
import decimal
import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from reader_contract import Case, ReaderContract, assert_same, chunks, join

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError
from taskinity_data.formats.memory import MemoryReader

COLUMNS = {
    "int": st.integers(-5, 5).map(lambda n: ("int64", n)),
    "Int": st.one_of(st.none(), st.integers(-5, 5)).map(lambda n: ("Int16", n)),
    "float": st.floats(width=32).map(lambda n: ("float64", n)),
    "str": st.one_of(st.none(), st.text("ab\u017c", max_size=2)).map(lambda s: ("str", s)),
    "bool": st.one_of(st.none(), st.booleans()).map(lambda n: ("boolean", n)),
    "big": st.one_of(st.none(), st.integers(2**60, 2**61)).map(lambda n: ("object", n)),
    "text": st.one_of(st.none(), st.sampled_from(["a", "b"])).map(lambda s: ("object", s)),
    "kind": st.one_of(st.none(), st.sampled_from("xyz")).map(lambda s: ("category", s)),
}


@st.composite
def frames(draw):
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(0, 30))
    columns = {}
    for name in names:
        dtype = draw(COLUMNS[name])[0]
        values = [value for _, value in draw(st.lists(COLUMNS[name], min_size=rows, max_size=rows))]
        columns[name] = pd.Series(values, dtype=dtype)
    return pd.DataFrame(columns)


@st.composite
def cases(draw):
    frame = draw(frames())
    options = {}
    if "int" in frame and draw(st.booleans()):
        options["filters"] = [("int", ">", 0)]

    def read_whole(frame):
        passed = frame[frame["int"] > 0] if options else frame
        return passed.reset_index(drop=True)

    return Case(lambda _: frame, read_whole, options)


class TestMemory(ReaderContract):
    cases = cases()


def read_all(dataset, grain_nbytes=20):
    return join([chunk.read() for chunk in chunks(dataset, grain_nbytes)])


def test_every_dtype_that_arrow_holds_comes_back(tmp_path):
    frame = pd.DataFrame(
        {
            "bytes": [b"x", b"y", None],
            "date": [dt.date(2020, 1, 1)] * 3,
            "time": [dt.time(1, 2)] * 3,
            "decimal": [decimal.Decimal("1.2")] * 3,
            "yes": pd.Series([True, None, False], dtype=object),
            "real": pd.Series([1.5, None, 2.0], dtype=object),
            "stamp": pd.Series([pd.Timestamp("2020"), None, pd.Timestamp("2021")], dtype=object),
            "none": pd.Series([None] * 3, dtype=object),
            "month": pd.period_range("2020-01", periods=3, freq="M"),
            "between": pd.interval_range(0, 3),
            "zoned": pd.date_range("2020", periods=3, tz="Europe/Warsaw"),
            "span": pd.to_timedelta([1, 2, 3], unit="s"),
            "ordered": pd.Categorical(["a", None, "b"], ["b", "a"], ordered=True),
            "numbers": pd.Categorical([3, 1, 3]),
            "arrow": pd.array([1, 2, None], dtype=pd.ArrowDtype(pa.int16())),
            "half": np.array([1, 2, 3], "f2"),
            "seconds": np.array(["2020", "2021", "2022"], dtype="M8[s]"),
            "arrays": [np.array([1, 2])] * 3,
        }
    )
    dataset = open_dataset(frame)
    for chunk in chunks(dataset, 1):
        assert chunk.read().dtypes.equals(frame.dtypes)
    assert_same(read_all(dataset), frame)
    for name in ("yes", "real", "none"):
        assert list(map(type, read_all(dataset)[name])) == list(map(type, frame[name]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1, "a", 2.5], r"column 'x' holds Python objects \(float, int, str\)"),
        ([1, 2.5, 3], r"column 'x' holds Python objects \(float, int\)"),
        ([[1], [2], [3]], r"column 'x' holds Python objects \(list\)"),
        ([{1}, {2}, {3}], r"column 'x' holds Python objects \(set\)"),
        ([2**70] * 3, "Arrow can't hold column 'x' of dtype object"),
        ([dt.date(2020, 1, 1), pd.Timestamp("2020-01-01 05:00"), None], r"\(Timestamp, date\)"),
        ([dt.time(1, tzinfo=dt.UTC)] * 3, r"column 'x' holds Python objects \(time\)"),
        ([pd.Timestamp(0, tz="UTC"), pd.Timestamp(0), None], r"\(Timestamp\)"),
        ([pd.Timestamp(0, tz="UTC"), pd.Timestamp(0, tz="Asia/Tokyo"), None], r"\(Timestamp\)"),
        ([pd.Timestamp(0).to_pydatetime(), pd.Timestamp(1), None], r"\(Timestamp, datetime\)"),
        ([dt.timedelta(1), pd.Timedelta(1), None], r"\(Timedelta, timedelta\)"),
    ],
)
def test_objects_that_arrow_would_change_are_refused_by_column(values, words):
    frame = pd.DataFrame({"a": [1, 2, 3], "x": pd.Series(values, dtype=object)})
    with pytest.raises(PlanError, match=words):
        open_dataset(frame)


@pytest.mark.parametrize("values", [[1j, 2j], pd.arrays.SparseArray([0, 1])])
def test_dtypes_that_arrow_has_not_are_refused_by_column(values):
    with pytest.raises(PlanError, match="Arrow can't hold column 'x' of dtype"):
        open_dataset(pd.DataFrame({"a": [1, 2], "x": values}))


def test_named_levels_of_an_index_are_columns_and_others_are_dropped():
    frame = pd.DataFrame({"v": [1, 2]}, index=pd.Index(["x", "y"], name="k"))
    assert_same(read_all(open_dataset(frame)), frame.reset_index())
    assert_same(read_all(open_dataset(frame.rename_axis(None))), frame.reset_index(drop=True))
    levels = pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
    both = frame.set_index(levels)
    assert_same(read_all(open_dataset(both)), frame.reset_index())


@pytest.mark.parametrize(
    "labels",
    [[1, 2], pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]), pd.Index(["a", "b"], name="n")],
)
def test_labels_that_are_no_plain_texts_come_back(labels):
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=labels)
    read = read_all(open_dataset(frame))
    pd.testing.assert_index_equal(read.columns, frame.columns)
    assert read.to_numpy().tolist() == [[1, 2], [3, 4]]


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(PlanError, match="several columns 'a'"):
        open_dataset(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    with pytest.raises(PlanError, match="several columns 'a'"):
        open_dataset(pa.table([[1], [2]], names=["a", "a"]))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (pd.Series([1]), r"Series.*to_frame"),
        (pl.LazyFrame({"a": [1]}), r"LazyFrame.*collect"),
        (pa.table({"a": [1]}).to_reader(), r"RecordBatchReader.*read_all"),
    ],
)
def test_what_is_almost_a_table_is_refused_with_the_call_that_makes_it_one(source, words):
    with pytest.raises(PlanError, match=words):
        open_dataset(source)


def test_arrow_tables_and_batches_come_back_as_pandas_would_have_them():
    table = pa.table({"n": [1, None, 3], "c": pa.array(["x", "y", "x"]).dictionary_encode()})
    assert_same(read_all(open_dataset(table), 1), table.to_pandas())
    batch = table.to_batches()[0]
    assert_same(read_all(open_dataset(batch), 1), table.to_pandas())
    assert join_arrow(open_dataset(table)).equals(table)
    storage = pa.array([1, None, 0], pa.int8())
    typed = pa.table({"b": pa.ExtensionArray.from_storage(pa.bool8(), storage)})
    assert_same(read_all(open_dataset(typed), 1), typed.to_pandas())


def join_arrow(dataset):
    parts = [chunk.read("arrow") for chunk in chunks(dataset, 1)]
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def test_dictionaries_that_differ_between_batches_are_brought_together():
    parts = [pa.array(list(text)).dictionary_encode() for text in ("xy", "yw")]
    table = pa.table({"c": pa.chunked_array(parts)})
    for chunk in chunks(open_dataset(table), 1):
        assert list(chunk.read().c.cat.categories) == ["x", "y", "w"]


def test_polars_frames_come_back():
    frame = pl.DataFrame({"a": ["x", "y", None], "n": [1, 2, 3]})
    read = [chunk.read("polars") for chunk in chunks(open_dataset(frame), 1)]
    assert pl.concat(read).equals(frame)


def test_large_frames_are_written_in_batches_and_read_by_ranges():
    frame = pd.DataFrame({"n": np.arange(400_000), "s": ["text"] * 400_000})
    dataset = open_dataset(frame)
    assert dataset.reader.access.batch_rows < 200_000
    assert_same(join([chunk.read() for chunk in dataset.plan(chunk_size="77_777 rows")]), frame)


@pytest.fixture
def many_rows():
    numbers = np.arange(20_000)
    frame = pd.DataFrame(
        {
            "n": numbers,
            "missing": pd.array(np.where(numbers % 7 == 0, None, numbers), dtype="Int64"),
            "yes": pd.array(np.where(numbers % 5 == 0, None, numbers % 2 == 0), dtype="boolean"),
            "text": [f"{number}" if number % 3 else None for number in range(20_000)],
            "kind": pd.Categorical(["x", "y"] * 10_000),
            "at": pd.date_range("2020", periods=20_000, freq="min", tz="Europe/Warsaw"),
        }
    )
    frame.attrs = {"unit": ["m"]}
    return frame


@pytest.mark.parametrize("rows", [1, 37, 400, 5_000])
def test_chunks_of_few_rows_are_those_rows_in_any_order_of_reading(many_rows, rows):
    plan = open_dataset(many_rows).plan(chunk_size=f"{rows} rows")
    numbers = np.random.default_rng(5).permutation(len(plan))[:80].tolist()
    for number in [0, 1, *numbers, len(plan) - 1]:
        chunk = plan[number]
        read = chunk.read()
        assert_same(read, many_rows[chunk.start : chunk.stop].reset_index(drop=True))
        assert read.attrs == many_rows.attrs


def test_arrow_tables_of_few_rows_are_those_rows(many_rows):
    table = pa.Table.from_pandas(many_rows).replace_schema_metadata()
    table = table.append_column("null", pa.array([None, 1] * 10_000))
    whole = table.to_pandas()
    for chunk in open_dataset(table).plan(chunk_size="300 rows")[::9]:
        assert_same(chunk.read(), whole[chunk.start : chunk.stop].reset_index(drop=True))


def test_a_chunk_of_few_rows_is_copied_from_few_where_arrow_needs_no_memory(monkeypatch):
    dataset = open_dataset(pa.table({"null": pa.nulls(2_000_000)}))
    chunk = dataset.pick([f"{dataset.sources[0].path}:5-10"])
    deliver, rows = MemoryReader.deliver, []

    def counted(reader, table, as_, pieces):
        rows.append(len(table))
        return deliver(reader, table, as_, pieces)

    monkeypatch.setattr(MemoryReader, "deliver", counted)
    assert chunk.read().null.isna().tolist() == [True] * 5
    assert 5 <= sum(rows) < 100_000


def test_who_changes_a_chunk_in_place_changes_no_other(many_rows):
    plan = open_dataset(many_rows).plan(chunk_size="10 rows")
    for _ in range(2):
        chunk = plan[1].read()
        assert_same(chunk, many_rows[10:20].reset_index(drop=True))
        assert chunk.attrs == many_rows.attrs
        assert chunk.columns.name is None
        values = chunk["n"].to_numpy()
        values.flags.writeable = True
        values[:] = -1
        chunk.loc[3, "text"] = "changed"
        chunk.columns.name = chunk.index.name = "changed"
        chunk.attrs["unit"].append("s")


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.string(), ["a", None]),
        (pa.bool_(), [True, None]),
        (pa.int8(), [1, None]),
        (pa.list_(pa.int64()), [[1, 2], None]),
        (pa.timestamp("us", "Europe/Warsaw"), [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None]),
        (pa.decimal128(5, 2), [decimal.Decimal("1.50"), None]),
    ],
)
def test_columns_of_arrow_dtypes_come_back(type_, values):
    frame = pd.DataFrame({"n": [1, 2], "x": pd.array(values, dtype=pd.ArrowDtype(type_))})
    for source in (frame, frame.iloc[:0], frame.iloc[:1]):
        assert_same(read_all(open_dataset(source)), source)
        assert_same(read_all(open_dataset(source, columns=["n"])), source[["n"]])


def test_rows_without_columns_are_refused_since_their_number_would_be_lost():
    with pytest.raises(PlanError, match=r"5 rows has no column.*reset_index"):
        open_dataset(pd.DataFrame(index=range(5)))
    assert open_dataset(pd.DataFrame()).rows == 0


def test_an_empty_frame_has_one_chunk_with_its_dtypes():
    frame = pd.DataFrame({"a": [1], "b": ["x"]}).iloc[:0]
    plan = open_dataset(frame).plan()
    assert len(plan) == 1
    assert plan[0].read().dtypes.equals(frame.dtypes)


def test_the_private_file_goes_with_its_last_reader_and_a_copy_does_not_own_it():
    plan = open_dataset(pd.DataFrame({"a": [1, 2]})).plan(chunk_size="2 rows")
    directory = Path(plan[0].path).parent
    copied = pickle.loads(pickle.dumps(plan[0]))
    gc.collect()
    assert copied.read().a.tolist() == [1, 2]
    del copied
    gc.collect()
    assert plan[0].read().a.tolist() == [1, 2]
    del plan
    gc.collect()
    assert not directory.exists()


def test_options_of_files_are_refused():
    with pytest.raises(PlanError, match="sep=';' has no effect on a table in memory"):
        open_dataset(pd.DataFrame({"a": [1]}), sep=";")


@pytest.mark.parametrize(
    "categories", [pd.interval_range(0, 2), pd.period_range("2020", periods=2, freq="D")], ids=str
)
def test_categories_that_arrow_cannot_hold_are_refused_by_name_and_the_advice_works(categories):
    frame = pd.DataFrame({"y": [1, 2], "x": pd.Categorical(categories)})
    with pytest.raises(PlanError, match=r"column 'x' has categories of dtype .* convert it"):
        open_dataset(frame)
    for dtype in (str(categories.dtype), str):
        plain = frame.astype({"x": dtype})
        pd.testing.assert_frame_equal(open_dataset(plain).head(), plain)


def test_a_disk_that_is_full_is_told_with_what_to_do(tmp_path):
    script = """
import resource, pandas as pd, taskinity_data as td
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a disk with so much left
try:
    td.open_dataset(pd.DataFrame({"a": range(100_000)}))
except td.errors.PlanError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"source: it can't be written to {tmp_path}" in done.stdout
    assert "TMPDIR" in done.stdout
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
