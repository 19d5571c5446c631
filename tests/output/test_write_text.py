"""CSV and JSON lines read back as what was written, by readers of others."""

import csv
import datetime as dt
import io
import json
import math

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import taskinity_data as td
from taskinity_data.errors import SchemaError
from taskinity_data.output.sink import open_sink
from taskinity_data.output.write_formats import write_csv, write_jsonl

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
FLOATS = st.floats(width=64)


def _csv(columns, **options):
    file = io.BytesIO()
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    write_csv(table, file, **options)
    return file.getvalue().decode()


def _jsonl(columns):
    file = io.BytesIO()
    write_jsonl(pa.table(columns), file)
    return [json.loads(line) for line in file.getvalue().decode().splitlines(keepends=False)]


@given(st.lists(st.tuples(st.none() | TEXT, st.none() | FLOATS, st.integers(-(2**63), 2**63 - 1))))
def test_csv_keeps_texts_numbers_and_rows(rows):
    texts, floats, whole = ([row[place] for row in rows] for place in range(3))
    written = _csv(
        {
            "te,xt": pa.array(texts, pa.large_string()),
            "float": pa.array(floats, pa.float64()),
            "whole": pa.array(whole, pa.int64()),
        }
    )
    header, *records = csv.reader(io.StringIO(written, newline=""))
    assert header == ["te,xt", "float", "whole"]
    assert [record[0] for record in records] == [text or "" for text in texts]
    read = [math.nan if record[1] == "" else float(record[1]) for record in records]
    np.testing.assert_array_equal(read, [math.nan if one is None else one for one in floats])
    assert [int(record[2]) for record in records] == whole


@given(st.lists(st.none() | FLOATS, min_size=1))
def test_pandas_reads_every_row_of_a_lone_column_with_nulls(values):
    written = _csv({"a": pa.array(values, pa.float64())})
    read = pd.read_csv(io.StringIO(written))
    expected = np.array([math.nan if one is None else one for one in values])
    np.testing.assert_array_equal(read.a.to_numpy("float64"), expected)


def test_csv_of_all_kinds_of_columns(tmp_path):
    frame = pd.DataFrame(
        {
            "flag": [True, False],
            "day": [dt.date(2013, 1, 1), None],
            "at": pd.to_datetime(["2013-01-01 12:00:00.000000001", None]),
            "zone": pd.to_datetime(["2013-01-01 12:00", None]).tz_localize("Europe/Warsaw"),
            "kind": pd.Categorical(["x", None]),
            "none": pd.Series([None, None], dtype=object),
            "half": np.array([0.1, 2], "float16"),
        }
    )
    with open_sink(tmp_path / "out", format="csv") as sink:
        sink.commit([sink.writer.write(f"k{i}", i, frame) for i in range(2)])
    read = pd.concat([chunk.read() for chunk in td.open_dataset(tmp_path / "out").plan()])
    assert read.flag.tolist() == [True, False] * 2
    assert read.day.tolist()[0] == "2013-01-01"
    assert pd.Timestamp(read["at"].iloc[0]) == frame["at"][0]
    assert pd.Timestamp(read.zone.iloc[0]) == frame.zone[0]
    assert read.kind.tolist()[::2] == ["x", "x"]
    assert read.none.isna().all()
    assert read.half.astype("float16").tolist() == frame.half.tolist() * 2


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"x"], pa.large_binary()),
        pa.array([[1]], pa.large_list(pa.int64())),
        pa.array([dt.timedelta(1)]),
    ],
)
def test_what_csv_has_no_form_for_is_refused(column, tmp_path):
    said = pytest.raises(SchemaError, match=r"chunk 4 \(k\): column 'odd' is")
    with open_sink(tmp_path / "out", format="csv") as sink, said as caught:
        sink.writer.write("k", 4, pa.table({"odd": column}))
    assert caught.value.column == "odd"


@given(
    st.lists(
        st.tuples(
            st.none() | TEXT,
            st.none() | st.floats(allow_infinity=False),
            st.integers(0, 2**64 - 1),
            st.none() | st.lists(st.none() | st.integers(-5, 5), max_size=2),
        ),
        min_size=1,
    )
)
def test_json_lines_keep_texts_numbers_and_rows(rows):
    columns = [[row[place] for row in rows] for place in range(4)]
    types = [pa.large_string(), pa.float64(), pa.uint64(), pa.large_list(pa.int64())]
    arrays = map(pa.array, columns, types)
    file = io.BytesIO()
    write_jsonl(pa.table(dict(zip("tfil", arrays, strict=True))), file)
    assert file.getvalue().count(b"\n") == len(rows)
    read = [json.loads(line) for line in file.getvalue().split(b"\n")[:-1]]
    expected = [
        {"t": t, "f": None if f is None or math.isnan(f) else f, "i": i, "l": l}
        for t, f, i, l in rows  # noqa: E741
    ]
    assert read == expected


def test_json_lines_of_all_kinds_of_columns(tmp_path):
    zone = pd.to_datetime(["2013-01-01 12:00", None]).tz_localize("Europe/Warsaw")
    frame = pd.DataFrame(
        {
            "flag": [True, None],
            "day": [dt.date(2013, 1, 1), None],
            "at": pd.to_datetime(["2013-01-01 12:00:00.5", None]),
            "zone": zone,
            "kind": pd.Categorical(["x", None]),
            "none": pd.Series([None, None], dtype=object),
            "nested": [{"a": [1.5, math.nan], "b": "y"}, None],
        }
    )
    with open_sink(tmp_path / "out", format="jsonl") as sink:
        sink.commit([sink.writer.write("k", 0, frame)])
    (path,) = (tmp_path / "out").glob("*.jsonl")
    first, second = map(json.loads, path.read_text().splitlines())
    assert list(first) == frame.columns.tolist()
    assert set(second.values()) == {None}
    assert first["day"] == "2013-01-01"
    assert pd.Timestamp(first["at"]) == frame["at"][0]
    assert "T" in first["at"]
    assert pd.Timestamp(first["zone"]) == zone[0]
    assert first["nested"] == {"a": [1.5, None], "b": "y"}
    found = duckdb.sql(f"select kind, flag from read_json('{path}')").fetchall()
    assert found == [("x", True), (None, None)]


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([math.inf]), "infinity"),
        (pa.array([[math.inf]], pa.large_list(pa.float64())), "infinity"),
        (pa.array([b"x"], pa.large_binary()), "no form in JSON"),
        (pa.array([dt.timedelta(1)]), "no form in JSON"),
        (pa.array([[dt.date(2013, 1, 1)]], pa.large_list(pa.date32())), "no form in JSON"),
    ],
)
def test_what_json_has_no_form_for_is_refused(column, said):
    with pytest.raises(SchemaError, match=said):
        _jsonl({"odd": column})


def test_decimals_keep_their_digits():
    column = pa.array(["0.10", "123456789012345678.90"]).cast(pa.decimal128(22, 2))
    assert [row["d"] for row in _jsonl({"d": column})] == ["0.10", "123456789012345678.90"]
    assert _csv({"d": column}).split() == ['"d"', "0.10", "123456789012345678.90"]
