"""Columns that some files lack, named by schema=: missing values, as pandas joins such files."""

import pandas as pd
import pyarrow as pa
import pytest
from csv_oracle import chunks_of, write
from pandas.testing import assert_frame_equal

import taskinity_data as td
from taskinity_data.errors import PlanError
from taskinity_data.formats.csv.open import open_csv

FILES = {
    "a.csv": "a,b\n1,x\n2,y\n",
    "b.csv": "c,a,b\n1,3,z\n,4,w\n5,5,v\n",
    "c.csv": "b,a,d\nu,6,0.5\n",
}
KINDS = {
    "floats": ("float64", "1"),
    "small floats": ("float32", "1"),
    "texts": ("str", "1"),
    "objects": (object, "1"),
    "integers with room": ("Int64", "1"),
    "small integers with room": ("UInt8", "1"),
    "categories": (pd.CategoricalDtype(["1", "5"]), "1"),
}


def files_of(directory, names=FILES):
    return [write(directory, FILES[name], name) for name in names]


def read(files, size, as_="pandas", columns=None, filters=None, options=None, **keywords):
    reader = open_csv(files, columns, filters, keywords.get("schema"), options or {})
    chunks = chunks_of(reader, files, size)
    frames = [chunk.read(as_) for chunk in chunks]
    if as_ == "arrow":
        return pa.concat_tables(frames)
    for frame in frames:
        assert frame.dtypes.equals(frames[0].dtypes)
    return pd.concat(frames, ignore_index=True)


def joined(files, dtype, columns):
    """What pandas makes of the files joined, with the types that are asked for."""
    frames = []
    for file in files:
        frame = pd.read_csv(file.path)
        there = {name: one for name, one in dtype.items() if name in frame.columns}
        frames.append(pd.read_csv(file.path, dtype=there).reindex(columns=columns))
    whole = pd.concat(frames, ignore_index=True)
    return whole.astype({name: one for name, one in dtype.items() if name in columns})


@pytest.mark.parametrize("size", [1, 1 << 30])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_files_that_lack_a_column_have_missing_values_of_its_type(kind, size, tmp_path):
    dtype, _ = KINDS[kind]
    files = files_of(tmp_path, ["a.csv", "b.csv"])
    got = read(files, size, schema={"c": dtype})
    assert_frame_equal(got, joined(files, {"c": dtype}, ["a", "b", "c"]))


@pytest.mark.parametrize("size", [1, 1 << 30])
def test_columns_are_those_of_the_first_file_and_then_as_they_come_up(size, tmp_path):
    files = files_of(tmp_path)
    schema = {"d": "float64", "c": "float64"}
    got = read(files, size, schema=schema)
    assert_frame_equal(got, joined(files, schema, ["a", "b", "c", "d"]))
    turned = read(files[::-1], size, schema=schema)
    assert_frame_equal(turned, joined(files[::-1], schema, ["b", "a", "d", "c"]))


@pytest.mark.parametrize("columns", [["c"], ["c", "a"], ["a"], ["d", "b"]], ids=str)
@pytest.mark.parametrize("as_", ["pandas", "arrow"])
def test_selected_columns_may_be_lacking_and_others_are_dropped(columns, as_, tmp_path):
    files = files_of(tmp_path)
    schema = {name: "float64" for name in "cd" if name in columns}
    got = read(files, 1, as_, columns=columns, schema=schema)
    expected = joined(files, {"c": "float64", "d": "float64"}, columns)
    if as_ == "arrow":
        assert got.column_names == columns
        assert got.num_rows == len(expected)
        got = got.to_pandas()
    assert_frame_equal(got, expected)


def test_filters_see_missing_values(tmp_path):
    files = files_of(tmp_path)
    schema = {"c": "float64", "d": "float64"}
    got = read(files, 1, filters=[("c", ">", 0)], schema=schema)
    assert got["a"].tolist() == [3, 5]
    got = read(files, 1, columns=["a"], filters=[("d", "<", 1)], schema=schema)
    assert got["a"].tolist() == [6]


def test_an_arrow_schema_says_all_columns_whatever_files_have(tmp_path):
    files = files_of(tmp_path)
    schema = pa.schema({"c": pa.int64(), "a": pa.int32(), "e": pa.string(), "d": pa.float32()})
    table = read(files, 1, "arrow", schema=schema)
    assert table.schema.names == ["c", "a", "e", "d"]
    assert table.schema.field("c").type == pa.int64()
    assert table["c"].to_pylist() == [None, None, 1, None, 5, None]
    assert table["a"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert table["e"].null_count == 6
    frame = read(files, 1, schema=schema)
    assert frame.dtypes.map(str).to_dict() == {
        "c": "Int64", "a": "int32", "e": "str", "d": "float32",
    }  # fmt: skip
    frame = read(files, 1, schema=pa.schema({"a": pa.int64(), "e": pa.bool_()}))
    assert frame.dtypes.map(str).to_dict() == {"a": "int64", "e": "object"}
    assert frame["e"].isna().all()


def test_an_arrow_schema_of_columns_that_all_files_have_drops_the_others(tmp_path):
    (file,) = files_of(tmp_path, ["b.csv"])
    frame = read([file], 1, schema=pa.schema({"b": pa.string(), "a": pa.int64()}))
    assert frame.to_dict("list") == {"b": ["z", "w", "v"], "a": [3, 4, 5]}


def test_columns_without_names_are_found_by_their_place(tmp_path):
    files = [write(tmp_path, "1,2\n", "a.csv"), write(tmp_path, "3,4,5\n", "b.csv")]
    schema = pa.schema({"0": pa.int64(), "2": pa.float64()})
    frame = read(files, 1, schema=schema, options={"header": None})
    assert frame[2].isna().tolist() == [True, False]
    frame = read(files, 1, schema={2: "float64"}, options={"header": None})
    assert list(frame.columns) == [0, 1, 2]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"c": "int64"}, "'Int64'} or 'float64'"),
        ({"c": "uint8"}, "'UInt8'} or 'float64'"),
        ({"c": "bool"}, "schema={'c': 'str'}"),
        ({"e": "float64"}, "there is no column 'e'"),
        ({"a": "float64"}, r"has also 'c'"),
        (None, r"schema={'c': 'float64'}"),
        (pa.schema([("a", pa.int64()), ("a", pa.int64())]), "twice"),
    ],
    ids=str,
)
def test_what_cannot_be_kept_is_refused_with_what_to_give(schema, said, tmp_path):
    files = files_of(tmp_path, ["a.csv", "b.csv"])
    with pytest.raises(PlanError) as caught:
        open_csv(files, None, None, schema, {})
    assert said in str(caught.value)
    assert "a.csv" in str(caught.value) or "c" not in (schema or "c")


@pytest.mark.parametrize("options", [{"usecols": ["a"]}, {"parse_dates": ["b"]}], ids=str)
def test_options_that_name_columns_beside_an_arrow_schema_are_refused(options, tmp_path):
    files = files_of(tmp_path, ["a.csv"])
    with pytest.raises(PlanError, match="schema"):
        open_csv(files, None, None, pa.schema({"a": pa.int64()}), options)


def test_a_run_groups_by_a_column_that_a_file_lacks(tmp_path):
    files_of(tmp_path)
    run = td.process(
        str(tmp_path / "*.csv"),
        reduce=td.group_by("c", n=("a", "count")),
        schema={"c": "str", "d": "float64"},
        chunk_size=1,
        progress=False,
    )
    assert run.value.reset_index().to_dict("list") == {"c": ["1", "5"], "n": [1, 1]}


def test_wide_texts_are_lacking_too(tmp_path):
    files = [write(tmp_path, 'a,b\n1,"x\ny"\n', "a.csv"), write(tmp_path, "b,c\n0x1,2\n", "b.csv")]
    got = read(files, 1, schema={"a": "float64", "c": "str"})
    assert_frame_equal(got, joined(files, {"a": "float64", "c": "str"}, ["a", "b", "c"]))
