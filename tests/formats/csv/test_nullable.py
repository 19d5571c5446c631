"""With `dtype_backend` every chunk has the nullable dtypes that pandas gives the whole file."""

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.errors import PlanError, SchemaError

COLUMNS = {
    "integers": ["1", "", "-3", "9223372036854775807", " 7", "+2"],
    "integers alone": ["1", "2", "0", "4", "5", "6"],
    "floats": ["1", "", "-0", "2.5", "9007199254740993", "1e400"],
    "floats at the end": ["1", "2", "", "-0", "5", "0.1"],
    "bools": ["True", "", "false", "TRUE", "", "False"],
    "bools and numbers": ["True", "", "1", "2", "", "False"],
    "texts": ["x", "", "1", "2.5", "True", "é"],
    "missing": ["", "NA", "", "", "nan", ""],
    "missing but one": ["", "NA", "", "", "", "3"],
    "integers beyond int64 behind a float": ["1.5", "", "18446744073709551616", "2", "", "3"],
    "integers beyond int64 behind a text": ["y", "", "18446744073709551616", "2", "", "3"],
}
BACKENDS = ["numpy_nullable", "pyarrow"]
FLOATS = {("pyarrow", name) for name in ("integers", "integers alone", "missing but one")}
OPTIONS = [
    {},
    {"na_values": [1, "x"]},
    {"keep_default_na": False},
    {"na_filter": False},
    {"true_values": ["x"], "false_values": ["é"]},
    {"dtype": {"n": str}},
    {"dtype": {"a": "category"}},
    {"dtype": {"n": "Int64"}},
    {"nrows": 2},
    {"nrows": 0},
    {"usecols": ["a"]},
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.csv"


def write(path, values):
    path.write_text("a,n\n" + "".join(f"{value},{row}\n" for row, value in enumerate(values)))


def rows_of(path, chunk_size, **options):
    dataset = td.open_dataset(str(path), **options)
    return pd.concat([chunk.read() for chunk in dataset.plan(chunk_size=chunk_size)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("options", mostly_thorough(OPTIONS, 4), ids=repr)
@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_every_chunk_has_the_nullable_dtypes_of_the_whole_file(path, backend, values, options):
    write(path, values)
    whole = pd.read_csv(path, low_memory=False, dtype_backend=backend, **options)
    dataset = td.open_dataset(str(path), dtype_backend=backend, **options)
    for chunk_size in (1, 12, 10_000):
        frames = [chunk.read() for chunk in dataset.plan(chunk_size=chunk_size)]
        rows = pd.concat(frames, ignore_index=True)
        assert_frame_equal(rows, whole, check_exact=True)


@pytest.mark.parametrize(
    ("backend", "name"),
    [(backend, name) for backend in BACKENDS for name in COLUMNS if (backend, name) not in FLOATS],
)
def test_an_index_has_the_nullable_dtype_of_the_whole_file(path, backend, name):
    write(path, COLUMNS[name])
    whole = pd.read_csv(path, low_memory=False, dtype_backend=backend, index_col="a")
    rows = rows_of(path, 12, dtype_backend=backend, index_col="a")
    assert_frame_equal(rows, whole, check_exact=True)


@pytest.mark.parametrize("name", ["integers", "missing but one"])
def test_an_index_of_arrow_integers_of_which_pandas_makes_floats_is_refused(path, name):
    write(path, COLUMNS[name])
    with pytest.raises(PlanError, match=r"index_col='a'.*dtype_backend='pyarrow'"):
        td.open_dataset(str(path), dtype_backend="pyarrow", index_col="a")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_filtered_rows_have_the_same_dtypes(path, backend, values):
    write(path, values)
    whole = pd.read_csv(path, low_memory=False, dtype_backend=backend)
    rows = rows_of(path, 12, dtype_backend=backend, filters=[("n", ">", 2)])
    expected = whole[whole["n"] > 2].reset_index(drop=True)
    assert_frame_equal(rows.reset_index(drop=True), expected, check_exact=True)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS)
def test_arrow_chunks_have_nulls_where_values_are_missing(path, backend, values):
    write(path, values)
    whole = pd.read_csv(path, low_memory=False, dtype_backend=backend)
    (chunk,) = td.open_dataset(str(path), dtype_backend=backend).plan(chunk_size=10_000)
    told = [None if value is pd.NA else value for value in whole["a"]]
    assert chunk.read(as_="arrow")["a"].to_pylist() == told


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", [["18446744073709551615", "1"], ["99999999999999999999", "1"]])
def test_integers_beyond_int64_are_refused_beside_dtype_backend(path, backend, values):
    write(path, values)
    with pytest.raises(PlanError, match=r"integers beyond int64.*dtype_backend="):
        td.open_dataset(str(path), dtype_backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dtypes_that_pandas_reads_as_others_are_refused_beside_dtype_backend(path, backend):
    write(path, ["1", "2"])
    with pytest.raises(PlanError, match=r"column 'n': dtype='int64'.*dtype_backend="):
        td.open_dataset(str(path), dtype_backend=backend, dtype={"n": "int64"})


@pytest.mark.parametrize("backend", ["numpy", None, "arrow"])
def test_another_dtype_backend_is_refused(path, backend):
    write(path, ["1", "2"])
    with pytest.raises(PlanError, match=r"dtype_backend=.*numpy_nullable.*pyarrow"):
        td.open_dataset(str(path), dtype_backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("first", "later"), [("1", "2.5"), ("1", "x"), ("True", "1"), ("1.5", "x"), ("", "x")]
)
def test_a_value_outside_the_sample_that_is_of_another_type_is_an_error(
    path, monkeypatch, backend, first, later
):
    path.write_text("a,n\n" + f"{first},1\n" * 50 + f"{later},2\n" + f"{first},3\n" * 50)
    monkeypatch.setattr("taskinity_data.formats.sampling.SCAN_NBYTES", 3)
    monkeypatch.setattr("taskinity_data.formats.sampling.SLICE_NBYTES", 30)
    with pytest.raises(SchemaError, match=f"column 'a': {later!r} is no"):
        rows_of(path, 60, dtype_backend=backend)


def test_a_nullable_dataset_of_several_files_is_as_one_file(tmp_path):
    (tmp_path / "1.csv").write_text("a,n\n,1\n")
    (tmp_path / "2.csv").write_text("a,n\n7,1\n")
    rows = rows_of(tmp_path / "*.csv", 1, dtype_backend="pyarrow").reset_index(drop=True)
    expected = pd.DataFrame({"a": [None, 7], "n": [1, 1]}, dtype="int64[pyarrow]")
    assert_frame_equal(rows, expected)


def test_totals_of_nullable_columns_are_those_of_the_whole(path):
    write(path, ["1", "", "5", "7"])
    dataset = td.open_dataset(str(path), dtype_backend="numpy_nullable")
    run = td.process(
        dataset, lambda chunk: chunk["a"], reduce=td.sum(), chunk_size=6, scheduler="synchronous"
    )
    assert run.value == 13
