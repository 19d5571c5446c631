"""Values as directories' names: none leaves the target, none is taken for another."""

import datetime as dt
import os
import warnings

import dask.dataframe as dd
import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples

import taskinity_data as td
from taskinity_data.errors import SchemaError
from taskinity_data.output.manifest import read_manifest
from taskinity_data.output.partitions import NULL
from taskinity_data.output.sink import open_sink


def _write(target, table, partition_by, **options):
    with open_sink(target, partition_by=partition_by, **options) as sink:
        return sink.commit([sink.writer.write("k", 0, table)])


def _pairs(table, key="key"):
    return sorted(zip(table["n"].to_pylist(), map(_text, table[key].to_pylist()), strict=True))


def _text(value):
    return "null" if value is None or value != value else f"= {value}"


TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["..", ".", "a/b", "/etc", "x=y", "a\nb", "50%", "%2F", "😀", " ", "", "A", "a"]
    ),
)


@examples(40)
@given(st.lists(st.none() | TEXTS, min_size=1, max_size=8))
@example(["..", "../..", "/", "a" * 200, None])
@example(["%2F", "/", "%252F", "\0", "\x7f", "\\", ":", "*"])
def test_any_text_is_read_back_by_us_arrow_and_duckdb(tmp_path_factory, values):
    texts = [*values, "no number"]  # else texts of digits are numbers to every reader
    table = pa.table({"key": pa.array(texts, pa.string()), "n": range(len(texts))})
    folder = tmp_path_factory.mktemp("texts")
    told = _write(folder / "out", table, "key")
    assert os.listdir(folder) == ["out"]
    for part in told.parts:
        assert (folder / "out" / part.path).resolve().is_relative_to(folder / "out")
        assert part.path.count("/") == 1
    expected = _pairs(table)
    assert _pairs(ds.dataset(folder / "out", partitioning="hive").to_table()) == expected
    ours = [chunk.read("arrow") for chunk in td.open_dataset(folder / "out").plan()]
    assert sorted(pair for one in ours for pair in _pairs(one)) == expected
    files = f"{folder}/out/**/*.parquet"
    found = duckdb.execute(
        "select n, key from read_parquet(?, hive_partitioning=true, hive_types_autocast=false)",
        [files],
    ).fetchall()
    assert sorted((n, _text(key)) for n, key in found) == expected


@pytest.mark.parametrize(
    "values",
    [
        [2013, -1, None, 2013],
        [dt.date(2013, 1, 1), None, dt.date(1969, 12, 31)],
        pa.array([1, 2, 1], pa.uint8()),
        pa.array(["x", None, "x"]).dictionary_encode(),
    ],
)
def test_numbers_dates_and_categories_are_read_back(tmp_path, values):
    table = pa.table({"key": values, "n": range(len(values))})
    _write(tmp_path / "out", table, ["key"])
    found = ds.dataset(tmp_path / "out", partitioning="hive").to_table()
    assert _pairs(found) == _pairs(table)


def test_rows_keep_their_order_within_a_directory_and_files_their_size(tmp_path):
    frame = pd.DataFrame({"y": [1, 2] * 5, "m": ["a", "a", "b", "b", "a"] * 2, "n": range(10)})
    told = _write(tmp_path / "out", frame, ["y", "m"], max_rows_per_file=2)
    for (year, month), rows in frame.groupby(["y", "m"]):
        files = [part for part in told.parts if part.path.startswith(f"y={year}/m={month}/")]
        read = [pd.read_parquet(tmp_path / "out" / p.path, partitioning=None) for p in files]
        assert pd.concat(read)["n"].tolist() == rows["n"].tolist()
        assert max(len(one) for one in read) <= 2
    assert told.rows == 10
    assert read_manifest(tmp_path / "out").partition_by == ("y", "m")


def test_a_named_index_can_name_directories(tmp_path):
    frame = pd.DataFrame({"n": [1, 2]}, index=pd.Index([7, 8], name="id"))
    _write(tmp_path / "out", frame, "id")
    found = td.open_dataset(tmp_path / "out")
    assert found.schema.names == ["n", "id"]


def _read_ours(source, **options):
    chunks = [chunk.read("arrow") for chunk in td.open_dataset(source, **options).plan()]
    return pa.concat_tables(chunks, promote_options="permissive")


@pytest.mark.parametrize("texts", [["007", "8"], ["-0"], ["0x10", None], ["12", "13"]])
def test_texts_that_look_like_numbers_are_read_back_by_us_as_texts(tmp_path, texts):
    table = pa.table({"key": texts, "n": range(len(texts))})
    _write(tmp_path / "out", table, "key")
    for source in ("out", "out/*/*.parquet"):
        assert _pairs(_read_ours(tmp_path / source)) == _pairs(table)


def test_keys_of_digits_are_numbers_where_no_manifest_has_them_as_texts(tmp_path):
    _write(tmp_path / "ints", pa.table({"key": [7, 8], "n": [0, 1]}), "key")
    assert _read_ours(tmp_path / "ints")["key"].to_pylist() == [7, 8]
    _write(tmp_path / "texts", pa.table({"key": ["007", "8"], "n": [0, 1]}), "key")
    (tmp_path / "texts" / "_manifest.json").unlink()
    assert _read_ours(tmp_path / "texts")["key"].to_pylist() == [7, 8]


def test_texts_that_were_appended_are_read_back_too_and_can_be_filtered_by(tmp_path):
    _write(tmp_path / "out", pa.table({"key": ["007"], "n": [0]}), "key")
    _write(tmp_path / "out", pa.table({"key": ["07", "7"], "n": [1, 2]}), "key", if_exists="append")
    whole = _read_ours(tmp_path / "out")
    assert _pairs(whole) == [(0, "= 007"), (1, "= 07"), (2, "= 7")]
    picked = _read_ours(tmp_path / "out", filters=[("key", "==", "07")])
    assert picked["n"].to_pylist() == [1]


def test_texts_that_look_like_numbers_are_read_back_by_us_from_a_store(tmp_path):
    url = f"local://{tmp_path}/out"
    _write(url, pa.table({"key": ["007", "8"], "n": [0, 1]}), "key")
    assert _pairs(_read_ours(url)) == [(0, "= 007"), (1, "= 8")]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.5], "integers, strings or dates"),
        ([True], "integers, strings or dates"),
        ([NULL], "treat as null"),
        (["x" * 255], "limit of 255"),
        (["😀" * 30], "limit of 255"),
    ],
)
def test_values_without_a_directory_are_refused(tmp_path, values, said):
    with pytest.raises(SchemaError, match=said) as caught:
        _write(tmp_path / "out", pa.table({"key": values, "n": [1]}), "key")
    assert caught.value.column == "key"
    assert "chunk 0 (k)" in str(caught.value)


def test_columns_that_rows_cant_be_parted_by_are_told(tmp_path):
    table = pa.table({"carrier": ["x"]})
    with pytest.raises(SchemaError, match="Did you mean 'carrier'"):
        _write(tmp_path / "out", table, "carier")
    with pytest.raises(SchemaError, match="There are: 'carrier'"):
        _write(tmp_path / "out", table, "zzz")
    with pytest.raises(SchemaError, match="uses all columns"):
        _write(tmp_path / "out", table, "carrier")


def _read_by_dask(path):
    with warnings.catch_warnings(action="ignore"):  # Dask's own, of this pandas
        return dd.read_parquet(path).compute(scheduler="synchronous")


@pytest.mark.parametrize("store", [False, True])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (pd.Series(["1", "2"]), [1, 2]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        (pd.Series(["a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series(["1", "2"], dtype="category"), [1, 2]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index([1, 2], name="key"), [1, 2]),
    ],
)
def test_dask_reads_what_directories_are_named_by(tmp_path, key, expected, store):
    # The second chunk's `late` has no type, so that its file is written anew.
    frames = [pd.DataFrame({"n": [0, 1], "late": ["x", None]}) for _ in range(2)]
    frames[1]["late"] = pd.Series([None, None], dtype=object)
    if isinstance(key, pd.Index):
        frames = [frame.set_index(key) for frame in frames]
    else:
        frames = [frame.assign(key=key) for frame in frames]
    target = f"local://{tmp_path}/out" if store else str(tmp_path / "out")
    with open_sink(target, partition_by="key") as sink:
        sink.commit([sink.writer.write(f"k{i}", i, frame) for i, frame in enumerate(frames)])
    for path in (tmp_path / "out").rglob("*.parquet"):
        told = pq.read_schema(path).pandas_metadata
        assert {one["name"] for one in told["columns"]} == {"n", "late"}
    read = _read_by_dask(tmp_path / "out").reset_index()
    found = sorted(zip(read["n"].tolist(), read["key"].tolist(), strict=True))
    assert found == sorted([*zip([0, 1], expected, strict=True)] * 2)


def test_dask_reads_a_dataset_without_rows(tmp_path):
    frame = pd.DataFrame({"n": [1], "key": pd.Categorical(["a"])})
    _write(tmp_path / "out", frame[:0], "key")
    read = _read_by_dask(tmp_path / "out")
    assert len(read) == 0
    assert sorted(read.columns) == ["key", "n"]


@pytest.mark.parametrize(
    "texts",
    [["1.0"], ["1e5", "7"], [".5", None], ["true", "False"], ["1.50", "x"], ["+1x"], ["a", "nan"]],
)
def test_texts_that_others_take_for_something_else_come_back_as_texts(tmp_path, texts):
    table = pa.table({"key": pa.array(texts), "n": range(len(texts))})
    _write(tmp_path / "out", table, "key")
    assert _pairs(_read_ours(tmp_path / "out")) == _pairs(table)
