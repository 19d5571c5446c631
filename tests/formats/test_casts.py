"""Types that are asked for of tables in files: values are theirs exactly, or stop their chunk."""

import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

import taskinity_data as td
from taskinity_data.errors import PlanError, SchemaError, TaskinityDataError

WRITERS = {
    "parquet": pq.write_table,
    "arrow": feather.write_feather,
    "orc": orc.write_table,
}
HUGE = 2**53 + 1
ZONE = "Europe/Berlin"


def write(directory, format_, *tables):
    paths = [str(directory / f"{place}.{format_}") for place in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        WRITERS[format_](table, path)
    return paths


def read_all(source, size="1 rows", **options):
    plan = td.open_dataset(source, chunk_size=size, **options).plan()
    return pd.concat([chunk.read() for chunk in plan], ignore_index=True)


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize("size", ["1 rows", "2 rows", "3 rows"])
def test_dtypes_with_missing_values_are_exact(tmp_path, format_, size):
    paths = write(tmp_path, format_, pa.table({"x": [HUGE, None, 3], "b": [True, None, False]}))
    schema = {"x": "Int64", "b": pd.BooleanDtype()}
    whole = pd.DataFrame(
        {"x": pd.array([HUGE, None, 3], "Int64"), "b": pd.array([True, None, False], "boolean")}
    )
    pd.testing.assert_frame_equal(read_all(paths, size, schema=schema), whole)
    run = td.process(
        paths, reduce=td.max(), columns=["x"], schema=schema, chunk_size=size,
        scheduler="synchronous", progress=False,
    )  # fmt: skip
    assert run.value.x == HUGE
    narrow = td.open_dataset(paths, schema=schema).select(["x"])
    assert narrow.head().x.tolist() == whole.x.tolist()


def test_a_dtype_with_missing_values_stands_beside_what_pandas_noted(tmp_path):
    path = str(tmp_path / "a.parquet")
    frame = pd.DataFrame(
        {"x": pd.array([1, None], "Int64"), "y": pd.array([1, None], "Int64"), "z": [0.5, 1.0]},
        index=pd.Index([5, 6], name="i"),
    )
    frame.to_parquet(path)
    read = read_all(path, schema={"y": "Float64", "z": "Float32"})
    assert read.dtypes.astype(str).to_dict() == {
        "x": "Int64", "y": "Float64", "z": "Float32", "i": "int64",
    }  # fmt: skip


@pytest.mark.parametrize("type_", ["Int65", "Period[foo]", "category", pd.ArrowDtype(pa.int64())])
def test_other_dtypes_of_pandas_are_refused(tmp_path, type_):
    paths = write(tmp_path, "parquet", pa.table({"x": [1]}))
    with pytest.raises(PlanError, match="for column 'x' is not an Arrow type"):
        td.open_dataset(paths, schema={"x": type_})


LOST = {
    "the time of a day": ([pd.Timestamp("2020-01-01 05:00")], "date32[day]"),
    "the day of a time": ([pd.Timestamp("2020-01-01 05:00")], "time64[us]"),
    "a time zone": (pa.array([0], pa.timestamp("us", ZONE)), "timestamp[us]"),
    "no time zone": (pa.array([0], pa.timestamp("us")), pa.timestamp("us", ZONE)),
    "a number": ([2], "bool"),
    "a fraction": ([0.5], "bool"),
    "a size": ([1e300], "float32"),
    "a digit": ([1.239], pa.decimal128(5, 2)),
    "a number of a list": ([[2]], pa.list_(pa.bool_())),
    "a size in a list": ([[1e300]], pa.large_list(pa.float32())),
    "a number of a struct": ([{"a": [2]}], pa.struct({"a": pa.large_list(pa.bool_())})),
    "a field": ([{"a": 1, "b": 2}], pa.struct({"a": pa.int64()})),
}


@pytest.mark.parametrize("name", LOST)
def test_what_would_be_lost_stops_its_chunk(tmp_path, name):
    values, type_ = LOST[name]
    paths = write(tmp_path, "parquet", pa.table({"x": values}))
    (chunk,) = td.open_dataset(paths, schema={"x": type_}).plan()
    with pytest.raises(SchemaError, match=r"0\.parquet: column 'x' is .* does not fit"):
        chunk.read()


def test_what_is_not_lost_is_read(tmp_path):
    table = pa.table(
        {
            "day": [pd.Timestamp("2020-01-01"), None],
            "bool": [1, 0],
            "float": [np.inf, 0.1],
            "zone": pa.array([0, None], pa.timestamp("us", "UTC")),
            "money": [1.25, None],
            "list": [[1.5, None], None],
            "struct": [{"a": [1]}, None],
        }
    )
    schema = pa.schema(
        {
            "day": pa.date32(), "bool": pa.bool_(), "float": pa.float32(),
            "zone": pa.timestamp("ns", ZONE), "money": pa.decimal128(5, 2),
            "list": pa.large_list(pa.float32()),
            "struct": pa.struct({"a": pa.list_(pa.int8()), "b": pa.string()}),
        }
    )  # fmt: skip
    read = read_all(write(tmp_path, "parquet", table), schema=schema)
    assert read.day.tolist() == [dt.date(2020, 1, 1), None]
    assert read.bool.tolist() == [True, False]
    assert read.float.tolist() == [np.inf, np.float32(0.1)]
    assert read.zone[0] == pd.Timestamp(0, tz=ZONE)
    assert (read.list[0][0], read.struct[0]["a"].tolist()) == (1.5, [1])
    assert read.money[0] == decimal.Decimal("1.25")


@pytest.mark.parametrize("order", [1, -1])
def test_files_of_two_types_are_refused_and_read_with_one_that_holds_both(tmp_path, order):
    both = [pa.table({"x": pa.array([1], type_)}) for type_ in ("uint64", "float64")][::order]
    paths = write(tmp_path, "parquet", *both)
    with pytest.raises(PlanError, match="give one type for all"):
        td.open_dataset(paths)
    assert read_all(paths, schema={"x": "float64"}).x.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("format_", WRITERS)
def test_a_column_of_the_schema_that_no_file_has_is_the_schemas(tmp_path, format_):
    with pytest.raises(PlanError, match=r"^schema: there is no column 'y' among x\."):
        td.open_dataset(write(tmp_path, format_, pa.table({"x": [1]})), schema={"y": "int64"})


def noted(change):
    """Damage what pandas noted in a file of one column."""
    table = pa.table({"x": [1, 2]})
    told = {
        "index_columns": [], "column_indexes": [],
        "columns": [
            {"name": "x", "field_name": "x", "pandas_type": "int64", "numpy_type": "int64",
             "metadata": None}
        ],
    }  # fmt: skip
    return table.replace_schema_metadata({"pandas": change(told)})


def without(name):
    return lambda told: json.dumps({key: value for key, value in told.items() if key != name})


def column_without(name):
    def change(told):
        del told["columns"][0][name]
        return json.dumps(told)

    return change


def column_with(name, value):
    def change(told):
        told["columns"][0][name] = value
        return json.dumps(told)

    return change


DAMAGED = {
    "no JSON": lambda told: json.dumps(told)[:-5],
    "no text": lambda told: b"\xff" + json.dumps(told).encode(),
    "a number": lambda _: "3",
    "no columns": without("columns"),
    "columns that are none": lambda told: json.dumps({**told, "columns": [3]}),
    "no list of columns": lambda told: json.dumps({**told, "columns": None}),
    "an index that is none": lambda told: json.dumps({**told, "index_columns": 5}),
    "no dtype": column_without("numpy_type"),
    "no type": column_without("pandas_type"),
    "no name": column_without("name"),
    "another dtype": column_with("numpy_type", "integer of sorts"),
    "a dtype that is a number": column_with("numpy_type", 5),
}


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
@pytest.mark.parametrize("name", DAMAGED)
def test_what_pandas_noted_and_was_damaged_is_an_error_of_its_file_or_does_no_harm(
    tmp_path, format_, name
):
    paths = write(tmp_path, format_, noted(DAMAGED[name]))
    told, read = "", None
    try:
        read = read_all(paths)
    except TaskinityDataError as error:
        told = str(error)
    assert paths[0] in told or read.x.tolist() == [1, 2]
