"""What reducers get where no function stands between: the dtypes of the whole, in every chunk."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.errors import FlowFailed

QUIET = {"scheduler": "synchronous", "progress": False}
CUTS = ("1 rows", "2 rows", "3 rows", "100 rows")
KINDS = ("csv", "parquet", "frame", "jsonl", "json", "feather", "orc", "table")
TOTALS = {"sum": td.sum, "mean": td.mean, "min": td.min, "max": td.max}

TABLE = pa.table(
    {
        "k": ["a", "a", "b", "b", "a", "a", "b"],
        "i": [1, 2, 3, 4, 5, 6, 7],
        "flag": [True, True, None, False, None, True, True],
        "n": [5, 6, 5, None, 7, 5, 6],
    }
)
WHOLE = TABLE.to_pandas()


def make_source(table, kind, directory):
    path = directory / f"made.{kind}"
    if kind == "csv":
        path.write_text(table.to_pandas().to_csv(index=False))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    elif kind == "json":
        path.write_text(json.dumps(table.to_pylist()))
    elif kind == "parquet":
        pa.parquet.write_table(table, path)
    elif kind == "feather":
        pa.feather.write_feather(table, path)
    elif kind == "orc":
        pa.orc.write_table(table, path)
    else:
        return table if kind == "table" else table.to_pandas()
    return str(path)


@pytest.fixture(params=mostly_thorough(KINDS, 3))
def source(request, tmp_path):
    return make_source(TABLE, request.param, tmp_path)


def run(source, reducer, cut, **options):
    return td.process(source, reduce=reducer, chunk_size=cut, **QUIET, **options).value


@pytest.mark.parametrize("how", list(TOTALS))
def test_totals_of_bools_and_integers_with_nulls_do_not_depend_on_the_cut(how, source):
    want = getattr(WHOLE, how)(numeric_only=True)
    for cut in CUTS:
        assert_series_equal(run(source, TOTALS[how](), cut), want)


def test_describe_takes_the_same_columns_in_every_cut(source):
    for cut in CUTS:
        assert list(run(source, td.describe(), cut).columns) == ["i", "n"]


@pytest.mark.parametrize("how", ["sum", "count", "min", "max", "first", "last", "nunique"])
@pytest.mark.parametrize("column", ["flag", "n"])
def test_groups_of_bools_and_integers_with_nulls_equal_pandas(how, column, source):
    want = WHOLE.groupby("k").agg(a=(column, how))
    for cut in CUTS:
        assert_frame_equal(
            run(source, td.group_by("k", a=(column, how)), cut), want, check_index_type=False
        )


@pytest.mark.parametrize("how", ["mean", "std", "var"])
def test_averages_of_bools_with_nulls_are_refused_in_every_cut(how, source):
    for cut in CUTS:
        with pytest.raises(FlowFailed, match=r"column 'flag' \(object\) holds boolean.*astype"):
            run(source, td.group_by("k", a=("flag", how)), cut)


def test_integer_keys_with_nulls_have_one_dtype_in_every_cut(source):
    want = WHOLE.groupby("n").agg(a=("i", "sum"))
    for cut in CUTS:
        assert_frame_equal(run(source, td.group_by("n", a=("i", "sum")), cut), want)


def test_wide_integers_with_nulls_are_those_of_pandas_in_every_cut(tmp_path):
    numbers = [2**53 + 1, 2**53, 2**62, 2**62, None]
    table = pa.table({"k": ["a"] * 5, "n": numbers, "i": [1, 2, 3, 4, 5]})
    whole = table.to_pandas()
    source = make_source(table, "parquet", tmp_path)
    for cut in CUTS:
        got = run(source, td.group_by("n", a=("i", "sum")), cut)
        assert_frame_equal(got, whole.groupby("n").agg(a=("i", "sum")))
        got = run(source, td.group_by("k", a=("n", "nunique")), cut)
        assert_frame_equal(got, whole.groupby("k").agg(a=("n", "nunique")))


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "Int64"])
@pytest.mark.parametrize("how", ["sum", "min", "max", "first", "last", "nunique"])
def test_integers_with_nulls_of_a_frame_stay_exact(how, dtype):
    frame = pd.DataFrame(
        {
            "k": pd.array([1, 2, None, 1], dtype=dtype),
            "v": pd.array([2**53 + 1, None, 5, 0], dtype=dtype),
        }
    )
    want = frame.groupby("k").agg(a=("v", how))
    for cut in CUTS:
        assert_frame_equal(run(frame, td.group_by("k", a=("v", how)), cut), want)


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "Int64"])
def test_totals_of_integers_with_nulls_of_a_frame_stay_exact(dtype):
    frame = pd.DataFrame({"v": pd.array([2**53 + 1, None, 5], dtype=dtype)})
    for cut in CUTS:
        assert_series_equal(run(frame, td.max(), cut), frame.max(numeric_only=True))
        assert_series_equal(run(frame, td.sum(), cut), frame.sum(numeric_only=True))


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_integers_that_a_schema_gives_room_for_nulls_stay_exact(kind, tmp_path):
    table = pa.table({"n": [2**53 + 1, None, 2**53], "i": [1, 2, 3]})
    source = make_source(table, kind, tmp_path)
    if kind == "csv":
        (tmp_path / "made.csv").write_text("n,i\n9007199254740993,1\n,2\n9007199254740992,3\n")
    for cut in CUTS:
        got = run(source, td.group_by("n", a=("i", "sum")), cut, schema={"n": "Int64"})
        assert got["a"].to_dict() == {2**53: 3, 2**53 + 1: 1}
        assert got.index.dtype == "Int64"


def test_objects_of_a_frame_are_no_numbers_as_in_pandas():
    frame = pd.DataFrame({"o": pd.Series([1, 2, 3], dtype=object), "i": [1, 2, 3]})
    for cut in CUTS:
        assert_series_equal(run(frame, td.sum(), cut), frame.sum(numeric_only=True))


@pytest.mark.parametrize("dtype", ["int64[pyarrow]", "bool[pyarrow]", "double[pyarrow]", "Int64"])
def test_an_output_keeps_dtypes_with_room_for_nulls(dtype, tmp_path):
    values = [True, None] if dtype == "bool[pyarrow]" else [2**53, None]
    values = [2**53 + 1, None] if "nt64" in dtype else values
    frame = pd.DataFrame({"v": pd.array(values, dtype=dtype), "i": [1, 2]})
    for cut in CUTS:
        out = str(tmp_path / cut.replace(" ", "_"))
        td.process(frame, output=out, chunk_size=cut, **QUIET)
        assert_frame_equal(pd.read_parquet(out), frame)


@pytest.mark.parametrize("dtype", ["float64", "int64[pyarrow]", object])
def test_columns_whose_labels_are_no_texts_have_the_same_names_for_any_dtype(dtype):
    frame = pd.DataFrame({0: pd.Series([1, None, 3], dtype=dtype), 1: [1, 2, 2]})
    for cut in CUTS:
        got = run(frame, td.group_by("1", a=("0", "sum")), cut)
        assert got["a"].tolist() == [1, 3]


def test_columns_of_a_file_without_header_have_names(tmp_path):
    path = tmp_path / "made.csv"
    path.write_text("True,1\n,2\nFalse,2\n")
    for cut in CUTS:
        got = run(str(path), td.group_by("1", a=("0", "count")), cut, header=None)
        assert got["a"].tolist() == [1, 1]


OBJECTS = pd.DataFrame(
    {"t": pd.Series(["b", "a", None, "b", "c"], dtype=object), "x": [1, 5, 3, 4, 2]}
)


@pytest.mark.parametrize(
    ("reducer", "want"),
    [
        (td.concat(), OBJECTS),
        (td.top_k(3, "x"), OBJECTS.nlargest(3, "x")),
        (td.group_by("x", t=("t", "first")), OBJECTS.groupby("x").agg(t=("t", "first"))),
        (td.group_by("x", t=("t", "max")), OBJECTS.groupby("x").agg(t=("t", "max"))),
        (td.group_by("t", x=("x", "sum")), OBJECTS.groupby("t").agg(x=("x", "sum"))),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, pd.DataFrame) else "",
)
def test_texts_of_dtype_object_keep_it(reducer, want):
    for cut in CUTS:
        assert_frame_equal(run(OBJECTS, reducer, cut), want)


NOTHING = pd.DataFrame(
    {"k": [1, 1, 2, 2], "n": pd.array([None] * 4, dtype=pd.ArrowDtype(pa.null()))}
)


@pytest.mark.parametrize("how", ["sum", "min", "max"])
def test_totals_of_a_column_of_arrow_nulls_equal_pandas(how):
    for cut in CUTS:
        for got in (
            run(NOTHING, TOTALS[how]("n"), cut),
            td.process(
                NOTHING, lambda chunk: chunk["n"], reduce=TOTALS[how](), chunk_size=cut, **QUIET
            ).value,
        ):
            assert repr(got) == repr(getattr(NOTHING["n"], how)())


@pytest.mark.parametrize("how", ["sum", "count", "min", "max", "first", "last", "nunique"])
def test_groups_of_a_column_of_arrow_nulls_equal_pandas(how):
    want = NOTHING.groupby("k").agg(a=("n", how))
    for cut in CUTS:
        assert_frame_equal(run(NOTHING, td.group_by("k", a=("n", how)), cut), want)


def test_means_of_a_column_of_arrow_nulls_are_refused_by_name():
    for reducer in (td.mean("n"), td.group_by("k", a=("n", "mean"))):
        with pytest.raises(FlowFailed, match=r"column .* \(null\[pyarrow\]\) holds no numbers"):
            run(NOTHING, reducer, "2 rows")


def test_lists_of_json_are_those_of_python_in_every_cut(tmp_path):
    path = tmp_path / "made.jsonl"
    records = [{"k": 1, "l": [1, 2]}, {"k": 2, "l": [3, None]}, {"k": 2, "l": [4]}]
    path.write_text("\n".join(map(json.dumps, records)))
    for cut in CUTS:
        rows = run(str(path), td.top_k(3, "k"), cut)
        assert repr(rows["l"].tolist()) == "[[3, None], [4], [1, 2]]"
        assert run(str(path), td.group_by("k", l=("l", "last")), cut)["l"].tolist() == [[1, 2], [4]]
        assert run(str(path), td.sum("l"), cut) == [1, 2, 3, None, 4]
