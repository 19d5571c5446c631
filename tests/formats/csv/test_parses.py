"""How often pandas parses a piece that its own engine reads."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import taskinity_data as td
from taskinity_data.formats import sampling


@pytest.mark.parametrize("values", ["0;1", "0,5;1,5", ";", "1;", "0,0;x"])
@pytest.mark.parametrize("columns", [2, 40])
def test_a_piece_is_parsed_once_whatever_its_columns_hold(tmp_path, monkeypatch, values, columns):
    path = tmp_path / "data.csv"
    first, second = (";".join([value] * columns) for value in values.split(";"))
    header = ";".join(f"c{number}" for number in range(columns))
    # Floats in one row make floats of columns of which the others hold 0, 1 or nothing.
    path.write_text("\n".join([header, ";".join(["0,5"] * columns), *[first, second] * 20]))
    options = {"sep": ";", "decimal": ",", "thousands": "."}  # which pandas alone reads
    chunks = td.open_dataset(str(path), **options).plan(chunk_size=10 * columns).chunks
    assert count_parses(chunks, monkeypatch) == len(chunks) > 3


@pytest.mark.parametrize(
    ("values", "parses"), [("x;y", 1), ("x;", 1), (";", 1), ("x;1", 1), ("1;2", 2), ("True;", 2)]
)
def test_a_piece_is_parsed_again_only_where_a_column_of_texts_holds_none(
    tmp_path, monkeypatch, values, parses
):
    path = tmp_path / "data.csv"
    first, second = values.split(";")
    path.write_text(
        "\n".join(["a;b;c", "x;y;0,5", *[f"{first};{second};1", f"{second};{first};1"] * 20])
    )
    options = {"sep": ";", "decimal": ",", "thousands": "."}
    chunks = td.open_dataset(str(path), **options).plan(chunk_size=40).chunks[1:]
    whole = pd.read_csv(path, **options)
    assert count_parses(chunks, monkeypatch) == parses * len(chunks) > 3
    got = pd.concat([chunk.read() for chunk in chunks], ignore_index=True)
    assert_frame_equal(got, whole.tail(len(got)).reset_index(drop=True))


@pytest.mark.parametrize("dtype", [None, {"a": object}, {"a": "str"}])
def test_values_of_a_column_of_texts_may_all_be_missing_in_a_piece(tmp_path, dtype, monkeypatch):
    path = tmp_path / "data.csv"
    # The first slice does not settle that the column holds texts.
    monkeypatch.setattr(sampling, "SCAN_SLICE_NBYTES", 8)
    path.write_text("\n".join(["a;b", "1;2", *[";0,5"] * 20, "x;1", *[";0,5"] * 20]))
    options = {"sep": ";", "decimal": ",", "thousands": ".", "dtype": dtype}
    chunks = [chunk.read() for chunk in td.open_dataset(str(path), **options).plan(chunk_size=20)]
    assert any(chunk["a"].isna().all() for chunk in chunks)
    whole = pd.read_csv(path, **options)
    assert {chunk["a"].dtype for chunk in chunks} == {whole["a"].dtype}
    assert_frame_equal(pd.concat(chunks, ignore_index=True), whole)


@pytest.mark.parametrize("first", ["99999999999999999999", "18446744073709551615", "-1", "x"])
@pytest.mark.parametrize("options", [{}, {"na_values": ["-"]}, {"keep_default_na": False}], ids=str)
def test_values_are_missing_in_every_piece_of_a_column_of_texts(tmp_path, first, options):
    path = tmp_path / "data.csv"
    # pandas makes '' of missing values behind integers beyond int64, but not behind texts.
    rows = ["", "99999999999999999999", "", "-", "18446744073709551615", "", "hello", "-", "", "5"]
    path.write_text(
        "\n".join(["a;b", "hello;0,5", *[f"{value};1" for value in [first, *rows] * 4]])
    )
    options = {"sep": ";", "decimal": ",", "thousands": ".", **options}
    whole = pd.read_csv(path, low_memory=False, **options)
    for size in (1, 20, 50, 1000):
        dataset = td.open_dataset(str(path), **options)
        chunks = [chunk.read() for chunk in dataset.plan(chunk_size=size)]
        assert_frame_equal(pd.concat(chunks, ignore_index=True), whole)


def count_parses(chunks, monkeypatch):
    counted = []
    original = pd.read_csv
    with monkeypatch.context() as patched:
        patched.setattr(
            pd, "read_csv", lambda *args, **more: (counted.append(1), original(*args, **more))[1]
        )
        for chunk in chunks:
            chunk.read()
    return len(counted)
