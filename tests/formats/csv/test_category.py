"""Categories that pandas takes from the whole file are those of every chunk."""

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.errors import PlanError, TaskinityDataError

CATEGORY = pd.CategoricalDtype()
TEXTS = {
    "texts": "b,n\nz,1\na,2\nz,3\n,4\nm,5\n",
    "integers, each written in several ways": "b,n\n7,1\n07,2\n+3,3\n,4\n 7,5\n",
    "integers that become floats at the end": "b,n\n2,1\n1,2\n2.0,3\n,4\n1.5,5\n",
    "integers that become texts at the end": "b,n\n2,1\n10,2\n2.0,3\n,4\nx,5\n",
    "bools": "b,n\nTrue,1\nFALSE,2\ntrue,3\n,4\nFalse,5\n",
    "bools and a number": "b,n\nTrue,1\nFALSE,2\n1,3\n",
    "signed zeros": "b,n\n-0.0,1\n0.0,2\n1.5,3\n",
    "nothing but missing values": "b,n\n,1\nNA,2\n",
    "no rows": "b,n\n",
    "quotes and line ends": 'b,n\n"x ""y""",1\n"p\nq",2\n"x ""y""",3\n',
    "texts with NUL": 'b,n\n"x\0y",1\nx,2\n"x\0z",3\nx\0y,4\n',
    "integers beyond int64": "b,n\n18446744073709551615,1\n2,2\n",
    "integers of both signs beyond int64": "b,n\n18446744073709551615,1\n-2,2\n",
}
OPTIONS = [
    {"dtype": "category"},
    {"dtype": {"b": "category"}},
    {"dtype": {"b": pd.CategoricalDtype(ordered=True)}},
    {"dtype": {"b": "category"}, "na_values": [1, "x"], "keep_default_na": False},
    {"dtype": {"b": "category"}, "na_filter": False},
    {"dtype": {"b": "category"}, "true_values": ["x"], "thousands": "."},
    {"dtype": {"b": "category"}, "index_col": "b"},
]


def rows_of(dataset, chunk_size):
    frames = [chunk.read() for chunk in dataset.plan(chunk_size=chunk_size)]
    return pd.concat(frames) if frames else None


@pytest.mark.parametrize("options", mostly_thorough(OPTIONS, 4), ids=repr)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_categories_of_every_chunk_are_those_of_the_whole_file(tmp_path, text, options):
    path = tmp_path / "data.csv"
    path.write_text(text)
    whole = pd.read_csv(path, low_memory=False, **options)
    dataset = td.open_dataset(str(path), format="csv", **options)
    for chunk_size in (1, 12, 10_000):
        rows = rows_of(dataset, chunk_size)
        if options.get("index_col") is None:
            rows = rows.reset_index(drop=True)
        assert_frame_equal(rows, whole, check_exact=True)


def test_named_numbers_are_categories(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("b,n\n7,1\n3,2\n7.0,3\n,4\n")
    dtype = {"b": pd.CategoricalDtype([3, 5, 7], ordered=True)}
    rows = rows_of(td.open_dataset(str(path), dtype=dtype), 1).reset_index(drop=True)
    assert_frame_equal(rows, pd.read_csv(path, dtype=dtype, low_memory=False))


def test_a_value_that_is_none_of_the_named_numbers_is_an_error_that_shows_it(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("b,n\n7,1\n4,2\n")
    dtype = {"b": pd.CategoricalDtype([3, 7])}
    with pytest.raises(TaskinityDataError, match=r"'4' is not one of the categories"):
        rows_of(td.open_dataset(str(path), dtype=dtype), 10_000)


def test_categories_of_several_files_are_those_of_all(tmp_path):
    for name, text in {"1": "b,n\nz,1\na,2\n", "2": "b,n\nm,3\n"}.items():
        (tmp_path / f"{name}.csv").write_text(text)
    dataset = td.open_dataset(str(tmp_path / "*.csv"), dtype={"b": "category"})
    frames = [chunk.read() for chunk in dataset.plan(chunk_size=1)]
    assert {tuple(frame["b"].cat.categories) for frame in frames} == {("a", "m", "z")}
    assert pd.concat(frames)["b"].tolist() == ["z", "a", "m"]


@pytest.mark.parametrize("schema", [None, "scan"])
def test_categories_of_a_large_file_are_looked_for_only_where_that_is_asked_for(
    tmp_path, monkeypatch, schema
):
    path = tmp_path / "data.csv"
    path.write_text("b,n\nz,1\na,2\n")
    monkeypatch.setattr("taskinity_data.formats.sampling.SCAN_NBYTES", 3)
    if schema is None:
        with pytest.raises(PlanError, match=r"(?s)column 'b'.*dtype='category'.*schema='scan'"):
            td.open_dataset(str(path), dtype={"b": "category"})
    else:
        rows = rows_of(td.open_dataset(str(path), dtype={"b": "category"}, schema=schema), 1)
        assert list(rows["b"].cat.categories) == ["a", "z"]


def test_a_column_of_too_many_different_values_is_refused(tmp_path):
    path = tmp_path / "data.csv"
    pd.DataFrame({"b": np.arange(100_001), "n": 1}).to_csv(path, index=False)
    with pytest.raises(PlanError, match=r"column 'b': dtype='category'.*100,000 different"):
        td.open_dataset(str(path), dtype={"b": "category"})


def test_rows_are_filtered_and_handed_over_as_arrow_by_their_category(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("b,n\n7,1\n3,2\n7.0,3\n,4\nTrue,5\n")
    dtype = {"b": "category"}
    dataset = td.open_dataset(str(path), dtype=dtype, filters=[("n", "<", 4)])
    whole = pd.read_csv(path, dtype=dtype, low_memory=False)
    rows = rows_of(dataset, 1).reset_index(drop=True)
    assert_frame_equal(rows, whole[whole["n"] < 4].reset_index(drop=True))
    (chunk,) = td.open_dataset(str(path), dtype=dtype).plan(chunk_size=10_000)
    assert chunk.read(as_="arrow")["b"].to_pylist() == ["7", "3", "7.0", None, "True"]


@pytest.mark.parametrize("text", ["b,n\nTrue,1\nFalse,2\n", "b,n\n1.5,1\n2,2\n", "b,n\n3,1\n1,2\n"])
def test_categories_of_any_type_are_handed_over_as_arrow_and_filtered(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(text)
    dtype = {"b": "category"}
    whole = pd.read_csv(path, dtype=dtype, low_memory=False)
    (chunk,) = td.open_dataset(str(path), dtype=dtype).plan(chunk_size=10_000)
    assert chunk.read(as_="arrow")["b"].to_pylist() == whole["b"].tolist()
    dataset = td.open_dataset(str(path), dtype=dtype, filters=[("n", "==", 2)])
    rows = rows_of(dataset, 1).reset_index(drop=True)
    assert_frame_equal(rows, whole[1:].reset_index(drop=True))
