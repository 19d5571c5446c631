import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_index_equal, assert_series_equal
from properties import examples

import taskinity_data as td
from taskinity_data.errors import ReduceError
from taskinity_data.reducers.description import describe

TOTALS = {"sum": td.sum(), "mean": td.mean(), "min": td.min(), "max": td.max()}


def make_frame(rng, n):
    return pd.DataFrame(
        {
            "text": pd.Series(rng.choice(["a", "b"], n), dtype="str"),
            "int64": rng.integers(-(10**9), 10**9, n),
            "int8": rng.integers(-100, 100, n).astype("int8"),
            "uint64": rng.integers(0, 2**40, n).astype("uint64"),
            "float": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
            "float32": (rng.integers(0, 100, n) / 4).astype("float32"),
            "bool": rng.random(n) < 0.5,
            "Int64": pd.array(np.where(rng.random(n) < 0.3, None, 5), dtype="Int64"),
            "boolean": pd.array(np.where(rng.random(n) < 0.3, None, True), dtype="boolean"),
            "arrow": pd.array(rng.integers(0, 9, n), dtype="int64[pyarrow]"),
            "time": pd.to_datetime(rng.integers(0, 10**9, n), unit="s"),
            "span": pd.to_timedelta(rng.integers(0, 10**9, n), unit="s"),
        }
    )


@pytest.mark.parametrize("how", list(TOTALS))
@examples(25)
@given(n=st.integers(0, 20), seed=st.integers(0, 10**6), data=st.data())
def test_totals_of_frames_equal_pandas(how, n, seed, data, reduce, cut):
    frame = make_frame(np.random.default_rng(seed), n)
    names = data.draw(st.lists(st.sampled_from(list(frame.columns)), unique=True, min_size=1))
    cuts = data.draw(st.lists(st.integers(0, n), max_size=5))
    want = getattr(frame[names], how)(numeric_only=True)
    got = reduce(TOTALS[how], cut(frame[names], cuts))
    assert_series_equal(got, want, rtol=1e-12)


@pytest.mark.parametrize("how", list(TOTALS))
def test_totals_of_arrow_tables_equal_pandas(how, reduce):
    table = pa.table({"i": [1, None, 3], "f": [0.5, None, math.inf], "s": ["a", None, "b"]})
    want = getattr(table.to_pandas(), how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], [table.slice(0, 2), table.slice(2)]), want)


@pytest.mark.parametrize("how", list(TOTALS))
def test_labelled_series_are_brought_together_label_by_label(how, reduce):
    chunks = [
        pd.Series({"b": 1, "a": 5}, name="n"),
        pd.Series({"a": 3, "c": 4}, name="n"),
        pd.Series({}, dtype="int64", index=pd.Index([], dtype="str")),
    ]
    want = getattr(pd.concat(chunks).groupby(level=0), how)()
    assert_series_equal(reduce(TOTALS[how], chunks), want, check_names=False)


@pytest.mark.parametrize("how", list(TOTALS))
@pytest.mark.parametrize("names", [("n", "n", "n"), ("n", "m", "n"), (None, "n", "n"), (1, 1, 1)])
def test_series_keep_the_name_that_all_have_as_in_pandas(how, names, reduce):
    chunks = [pd.Series({"a": 1, "b": 2}, name=name).rename_axis(name) for name in names]
    want = getattr(pd.concat(chunks).groupby(level=0), how)()
    assert_series_equal(reduce(TOTALS[how], chunks), want)


@pytest.mark.parametrize("how", ["sum", "min", "max"])
def test_labelled_texts_that_are_objects_stay_objects(how, reduce):
    items = [{"a": "x"}, {"a": "y", "b": None}]
    chunks = [pd.Series(values, dtype=object).rename_axis("k") for values in items]
    want = getattr(pd.concat(chunks).groupby(level=0), how)()
    assert_series_equal(reduce(TOTALS[how], chunks), want)


def test_series_with_several_levels_keep_their_names(reduce):
    frame = pd.DataFrame({"k": ["a", "b", "a"], "l": [1, 1, 2], "x": [1, 2, 3]})
    want = frame.groupby(["k", "l"]).x.sum()
    chunks = [
        frame.iloc[:2].groupby(["k", "l"]).x.sum(),
        frame.iloc[2:].groupby(["k", "l"]).x.sum(),
    ]
    got = reduce(td.sum(), chunks)
    assert got.index.names == ["k", "l"]
    assert got.name == "x"
    assert_series_equal(got, want)


def test_numbers_are_brought_together(reduce):
    assert reduce(td.sum(), [1, 2, 3]) == 6
    assert reduce(td.sum(), [1, 2.5, np.int64(3), None, math.nan]) == 6.5
    assert reduce(td.mean(), [1, 2, 6]) == 3.0
    assert reduce(td.min(), [3, 1, 2]) == 1
    assert reduce(td.max(), [0.5, True]) == 1.0
    assert reduce(td.sum(), [Decimal("0.1"), Decimal("0.2")]) == Decimal("0.3")
    assert reduce(td.sum(), [0.1] * 1000) == pytest.approx(100, abs=1e-13)


@pytest.mark.parametrize("how", list(TOTALS))
def test_no_chunks_and_chunks_that_say_nothing_are_like_an_empty_frame(how, reduce):
    want = getattr(pd.DataFrame(), how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], []), want)
    assert_series_equal(reduce(TOTALS[how], [None, pd.DataFrame(), None]), want)


def test_integers_that_do_not_fit_are_refused_and_not_wrapped(reduce):
    chunks = [pd.DataFrame({"x": [2**63 - 1]}), pd.DataFrame({"x": [1]})]
    with pytest.raises(ReduceError, match=r"sum\(\) of column 'x' is 9223372036854775808"):
        reduce(td.sum(), chunks)
    assert reduce(td.mean(), chunks)["x"] == 2.0**62
    with pytest.raises(ReduceError, match="does not fit"):
        reduce(td.sum(), [np.int64(2**63 - 1), 1])


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_that_chunks_return_are_reduced_like_a_column_of_them(reduce, zone):
    times = pd.Series(pd.date_range("2026-03-28", periods=4, freq="D", tz=zone)[[2, 0, 3, 1]])
    chunks = [times[0], times[1].to_pydatetime(), pd.NaT, times[2], None, times[3]]
    for how in ("min", "max", "mean"):
        assert reduce(TOTALS[how], chunks) == getattr(times, how)()
    lengths = list(times - times.min())
    assert reduce(td.sum(), lengths) == sum(lengths, pd.Timedelta(0))
    with pytest.raises(ReduceError, match=r"^times can't be added"):
        reduce(td.sum(), chunks)
    with pytest.raises(ReduceError):
        reduce(td.max(), [times[0], 1])


def test_results_of_different_kinds_are_refused(reduce):
    with pytest.raises(ReduceError, match="frames and numbers"):
        reduce(td.sum(), [pd.DataFrame({"x": [1]}), 1])


def test_results_that_cannot_be_added_are_refused(reduce):
    with pytest.raises(
        ReduceError, match=r"a chunk returned dict; reduce with your own reducer\(\)"
    ):
        reduce(td.sum(), [{"a": 1}])


def test_a_column_that_only_some_chunks_have_counts_where_it_is(reduce):
    chunks = [pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [2.0], "b": [5.0]})]
    want = pd.concat(chunks, ignore_index=True).sum(numeric_only=True)
    assert_series_equal(reduce(td.sum(), chunks), want)


def test_describe_equals_pandas_but_for_the_tilde(reduce, cut, rng):
    frame = make_frame(rng, 500)
    numbers = frame[["int64", "int8", "float", "float32", "uint64"]]
    want = numbers.describe().astype("float64").rename(lambda row: f"~{row}" if "%" in row else row)
    for cuts in ([], range(0, 500, 7)):
        got = reduce(describe(), cut(frame[[*numbers, "text", "bool"]], cuts))
        assert_frame_equal(got, want, rtol=1e-6)


def test_describe_of_no_rows_equals_pandas(reduce):
    frame = pd.DataFrame({"x": pd.Series([], dtype="float64"), "i": pd.Series([], dtype="int64")})
    want = frame.describe().rename(lambda row: f"~{row}" if "%" in row else row)
    assert_frame_equal(reduce(describe(), [frame, frame]), want)
    assert list(reduce(describe(), []).index) == list(want.index)
    assert reduce(describe(), [pd.DataFrame()]).shape == (8, 0)


REDUCERS = {**TOTALS, "describe": describe()}
ONES = pd.Series([1.0, 2.0])


@pytest.mark.parametrize("name", list(REDUCERS))
@pytest.mark.parametrize(
    "other",
    [
        pd.Series([1.0, 2.0], dtype=object),
        pd.Series(["1", "2"], dtype="str"),
        pd.Series(["1", "2"], dtype="category"),
        pd.Series([Decimal(1), Decimal(2)]),
        pd.to_timedelta([1, 2], unit="s").to_series(index=[0, 1]),
        pd.to_datetime([1, 2], unit="s").to_series(index=[0, 1]),
        pd.Series([True, False]),
        pd.Series([True, None], dtype=object),
    ],
    ids=str,
)
@pytest.mark.parametrize("numbers", [ONES, ONES.astype("int64"), ONES.astype("Int64")], ids=str)
def test_a_column_of_numbers_in_some_chunks_only_is_refused(name, other, numbers, reduce):
    chunks = [pd.DataFrame({"i": 1, "x": x}) for x in (numbers, numbers, other, numbers, numbers)]
    for places in ([0, 2], [2, 0], [0, 1, 2, 3, 4], [2, 0, 1, 3, 4], [0, 1, 3, 4, 2]):
        with pytest.raises(ReduceError, match=r"\(\): column 'x' is .* in some chunks and .*dtype"):
            reduce(REDUCERS[name], [chunks[place] for place in places])


@pytest.mark.parametrize("how", list(TOTALS))
@pytest.mark.parametrize("other", [{"x": [None, True]}, {"x": [None]}, {"y": [1.0]}], ids=str)
def test_bools_that_miss_in_some_chunks_are_refused_since_pandas_has_objects(how, other, reduce):
    chunks = [pd.DataFrame({"i": 1, "x": [True, True]})] * 4 + [pd.DataFrame({"i": 1, **other})]
    with pytest.raises(ReduceError, match="column 'x' is bool in some chunks and "):
        reduce(TOTALS[how], chunks)
    with pytest.raises(ReduceError, match=r"column 'x' is .* in some chunks and "):
        reduce(TOTALS[how], chunks[::-1])
    with pytest.raises(ReduceError, match="column 'x' is bool in some chunks and "):
        reduce(getattr(td, how)("x"), [chunks[0], pd.DataFrame({"x": [1, 2]})])


@pytest.mark.parametrize("how", list(TOTALS))
@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_nulls_of_no_dtype_are_like_those_of_floats(how, dtype, reduce):
    numbers = pd.DataFrame({"x": pd.Series([1, 2], dtype=dtype), "i": [3, 4]})
    nulls = pd.DataFrame({"x": [None, None], "i": [5, 6]})
    frames = [numbers, nulls.astype({"x": "float64"}), numbers]
    want = getattr(pd.concat(frames), how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], [numbers, nulls, numbers]), want)
    assert_series_equal(reduce(TOTALS[how], [nulls, numbers, numbers]), want)
    assert reduce(describe(), [nulls, numbers])["x"]["count"] == 2


@pytest.mark.parametrize("how", list(TOTALS))
def test_columns_of_nulls_of_no_dtype_are_left_out_as_in_pandas(how, reduce):
    nulls = pd.DataFrame({"x": [None, None], "i": [5, 6]})
    want = getattr(pd.concat([nulls] * 3), how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], [nulls] * 3), want)


@pytest.mark.parametrize("how", list(TOTALS))
@pytest.mark.parametrize("empty", ["object", "str", "datetime64[us]"])
def test_chunks_without_rows_say_nothing_of_what_numbers_are(how, empty, reduce):
    filled = pd.DataFrame({"x": [1.5, 2.0], "i": [5, 6]})
    none = filled[:0].astype({"x": empty})
    want = getattr(filled, how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], [none, filled, none]), want)


@pytest.mark.parametrize("how", list(TOTALS))
@examples(10)
@given(n=st.integers(0, 20), seed=st.integers(0, 10**6), data=st.data())
def test_the_total_of_a_named_column_is_that_of_its_series(how, n, seed, data, reduce, cut):
    frame = make_frame(np.random.default_rng(seed), n)
    name = data.draw(st.sampled_from([name for name in frame.columns if name != "text"]))
    if (how, name) == ("sum", "time"):  # no sum in pandas either
        return
    cuts = data.draw(st.lists(st.integers(0, n), max_size=5))
    want = getattr(frame[name], how)()
    got = reduce(getattr(td, how)(name), cut(frame, cuts))
    assert_series_equal(pd.Series([got]), pd.Series([want]), check_dtype=False, rtol=1e-6)


@pytest.mark.parametrize("how", list(TOTALS))
@pytest.mark.parametrize(
    "dtype", ["int8", "uint32", "Int16", "float16", "float32", "bool", "int8[pyarrow]"]
)
def test_the_total_of_a_narrow_column_has_the_type_of_that_of_its_series(how, dtype, reduce, cut):
    frame = pd.DataFrame({"x": pd.Series([1, 0, 1, 1], dtype=dtype)})
    want = getattr(frame["x"], how)()
    got = reduce(getattr(td, how)("x"), cut(frame, [1]))
    assert (type(got), got) == (type(want), want)
    got = reduce(getattr(td, how)(), list(frame["x"]))
    want = getattr(pd.Series(list(frame["x"])), how)()
    assert (type(got), got) == (type(want), want)


def test_totals_of_named_columns_are_a_series_and_refuse_texts(reduce):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": ["x", "y"]})
    got = reduce(td.mean(["b", "a"]), [frame.iloc[:1], frame.iloc[1:]])
    assert_series_equal(got, frame[["b", "a"]].mean())
    with pytest.raises(ReduceError, match="column 'c' does not hold numbers"):
        reduce(td.mean(["a", "c"]), [frame])
    assert reduce(td.max("c"), [frame]) == "y"
    assert reduce(td.max(0), [frame.set_axis(range(3), axis=1)]) == 2
    assert (td.sum("a").columns(), td.sum().columns()) == (("a",), None)
    assert [repr(td.sum(one)) for one in (None, "a", ["a", "b"])] == [
        "sum()",
        "sum('a')",
        "sum(['a', 'b'])",
    ]


@pytest.mark.parametrize("how", list(TOTALS))
def test_columns_that_change_between_integers_and_floats_are_added_by_themselves(how, reduce):
    first = pa.table({"a": [1, 2], "b": [3, 4], "c": [0.5, None], "d": [5, 6]})
    second = pa.table({"a": [1, None], "b": [3, 4], "c": [0.5, 1.0], "d": [7, 8]})
    third = pa.table({"a": [None, None], "b": [9, 4], "c": [None, None], "d": [7, 8]})
    tables = [first, second, third.cast(first.schema)]
    want = getattr(pa.concat_tables(tables).to_pandas(), how)(numeric_only=True)
    assert_series_equal(reduce(TOTALS[how], tables), want)


def test_a_sum_that_does_not_fit_is_refused_by_its_columns_name(reduce):
    frame = pd.DataFrame({"a": [1, 2], "b": [2**62, 2**62], "c": [3, 4]})
    with pytest.raises(ReduceError, match="column 'b'"):
        reduce(TOTALS["sum"], [frame, frame])


@pytest.mark.parametrize("how", ["sum", "max"])
def test_totals_that_no_dtype_holds_together_are_refused_and_come_one_by_one(how):
    frame = pd.DataFrame({"b": [2**53 + 1, 1], "f": pd.array([1.5, 2.5], dtype="double[pyarrow]")})
    with pytest.raises(ValueError, match="exactly representable"):
        getattr(frame, how)()
    total = getattr(td, how)()
    with pytest.raises(ReduceError, match=rf"one Series can't .* such as {how}\('b'\)"):
        total.finish(total.partial(frame))
    for name in frame:
        total = getattr(td, how)(name)
        assert total.finish(total.partial(frame)) == getattr(frame[name], how)()


def test_the_smallest_of_no_rows_of_categories_is_refused():
    frame = pd.DataFrame({"c": pd.Categorical(["a"])}).iloc[:0]
    total = td.min("c")
    with pytest.raises(ReduceError, match="min of column"):
        total.finish(total.partial(frame))


@pytest.mark.parametrize("type_", [pa.time64("us"), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_sums_of_nulls_of_a_dtype_that_has_none_are_refused(type_):
    column = pa.nulls(2, type_)
    frame = pd.DataFrame({"k": [1, 2], "v": pd.arrays.ArrowExtensionArray(column)})
    with pytest.raises(TypeError):
        frame.groupby("k").sum()
    for total in (td.sum("v"), td.group_by("k", a=("v", "sum"))):
        with pytest.raises(ReduceError, match="sum"):
            total.finish(total.partial(frame))


def pivot(chunk):
    return chunk.groupby(["k", "l"], observed=True)["x"].sum().unstack()


@pytest.mark.parametrize(
    "labels", [pd.Categorical(list("abbaba")), list("abbaba"), pd.array([1, 2] * 3, dtype="Int64")]
)
@pytest.mark.parametrize("chunk_rows", [2, 3, 6])
def test_answers_have_the_labels_of_columns_as_pandas_has_them(labels, chunk_rows, reduce, cut):
    frame = pd.DataFrame({"k": [1, 1, 2, 2, 3, 3], "l": labels, "x": [1.5, 2, 3, 4, 5, None]})
    parts = [pivot(chunk) for chunk in cut(frame, range(chunk_rows, 6, chunk_rows))]
    whole = pd.concat(parts)
    for how, reducer in TOTALS.items():
        assert_series_equal(reduce(reducer, parts), getattr(whole, how)())
    assert_index_equal(reduce(td.describe(), parts).columns, whole.describe().columns)


def test_labels_that_are_tuples_are_no_levels_of_columns(reduce):
    labels = pd.Index([("a", 1), ("a", 2), "x"], dtype=object, tupleize_cols=False)
    frame = pd.DataFrame([[1, "s", 2.5], [3, "s", 0.5]], columns=labels)
    assert_series_equal(reduce(td.sum(), [frame]), frame.sum(numeric_only=True))
    assert_index_equal(reduce(td.describe(), [frame]).columns, labels[[0, 2]])
