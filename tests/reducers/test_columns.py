from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from properties import examples

import taskinity_data as td
from taskinity_data.errors import PlanError, ReduceError
from taskinity_data.reducers.columns import approx_distinct, approx_quantiles, histogram, top_k
from taskinity_data.reducers.description import describe
from taskinity_data.reducers.grouped import group_by


@examples(60)
@given(
    rows=st.lists(
        st.tuples(st.integers(-2, 2), st.sampled_from([0.5, -0.5, np.inf, np.nan])), max_size=25
    ),
    k=st.integers(1, 8),
    by=st.sampled_from(["i", "f", "u", ["i", "f"], ["f", "i"]]),
    as_arrow=st.booleans(),
    data=st.data(),
)
def test_top_k_is_the_largest_rows_with_their_places(rows, k, by, as_arrow, data, reduce, cut):
    frame = pd.DataFrame(
        {
            "i": pd.Series([i for i, _ in rows], dtype="int64"),
            "f": pd.Series([f for _, f in rows], dtype="float64"),
            "u": pd.Series([i % 2**64 for i, _ in rows], dtype="uint64"),
            "s": pd.Series([f"row {n}" for n in range(len(rows))], dtype="str"),
        }
    )
    chunks = cut(frame, data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    if as_arrow:
        chunks = [pa.Table.from_pandas(chunk) for chunk in chunks]
    # By several columns pandas' nlargest returns more rows than k, or others, beside NaN.
    ranks = list(frame[[by] if isinstance(by, str) else by].fillna(-np.inf).itertuples(index=False))
    want = frame.take(sorted(range(len(rows)), key=ranks.__getitem__, reverse=True)[:k])
    assert_frame_equal(reduce(top_k(k, by), chunks), want, check_index_type=False)


@examples(40)
@given(
    rows=st.lists(st.tuples(*[st.sampled_from([None, 0, 1])] * 2), max_size=12),
    dtypes=st.tuples(*[st.sampled_from(["boolean", "Int64", "Float64", "M8[s]", "arrow"])] * 2),
    k=st.integers(1, 5),
    data=st.data(),
)
def test_nulls_are_the_last_of_top_k_in_every_cut(rows, dtypes, k, data, reduce, cut):
    columns = {}
    for number, dtype in enumerate(dtypes):
        values = [row[number] for row in rows]
        if dtype == "arrow":  # whose NaN is none of its nulls
            values = pd.arrays.ArrowExtensionArray(
                pa.array([np.nan if x is None and i % 2 else x for i, x in enumerate(values)], "f8")
            )
            dtype = None
        columns[f"by{number}"] = pd.Series(values, dtype=dtype)
    chunks = cut(pd.DataFrame(columns), data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    for n in (1, 2):
        ranks = [[-1 if x is None else x for x in row[:n]] for row in rows]
        largest = sorted(range(len(rows)), key=ranks.__getitem__, reverse=True)[:k]
        assert reduce(top_k(k, ["by0", "by1"][:n]), chunks).index.tolist() == largest


def test_top_k_of_times_polars_frames_and_chunks_that_say_nothing(reduce):
    times = pd.DataFrame({"t": pd.to_datetime(["2013-01-02", "2013-01-05", "2013-01-01"])})
    chunks = [times.iloc[:1], pd.DataFrame(), times.iloc[1:].reset_index(drop=True)]
    assert_frame_equal(reduce(top_k(2, "t"), chunks), times.nlargest(2, "t"))
    pl = pytest.importorskip("polars")
    got = reduce(top_k(1, "x"), [pl.DataFrame({"x": [1, 5]}), pl.DataFrame({"x": [7, 3]})])
    assert got.to_dict("index") == {2: {"x": 7}}
    assert len(reduce(top_k(1, "x"), [])) == 0
    assert top_k(1, ["x", "x"]) == top_k(1, "x")


def test_top_k_ranks_integers_beside_nulls_exactly_in_every_cut(reduce):
    whole = pa.table({"x": [2**53, 2**53 + 1, None, 1], "y": [7, 8, 9, None]})
    for size in (1, 2, 4):
        chunks = [whole.slice(start, size) for start in range(0, 4, size)]
        got = reduce(top_k(2, "y"), [chunk.select(["y"]) for chunk in chunks])
        assert_frame_equal(got, pd.DataFrame({"y": [9.0, 8.0]}, index=[2, 1]))
        with pytest.raises(ReduceError, match=f"a value of column 'x' is {2**53 + 1}, which has"):
            reduce(top_k(1, "x"), chunks)
        # Int64 stays what it is.
        told = pa.Table.from_pandas(pd.DataFrame({"x": pd.array(whole["x"].to_pylist(), "Int64")}))
        named = [told.slice(start, size) for start in range(0, 4, size)]
        assert reduce(top_k(1, "x"), named)["x"].to_dict() == {1: 2**53 + 1}


def test_categories_of_polars_are_texts_whatever_the_process_has_seen(reduce):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"k": ["zz", "b", "a"], "x": [3, 2, 1]}).cast({"k": pl.Categorical})
    for chunks in ([frame], [frame[:1], frame[1:]]):
        counts = reduce(group_by("k", n=("x", "count"), first=("k", "first")), chunks)
        assert counts.index.to_list() == ["a", "b", "zz"]
        assert counts["first"].dtype == counts.index.dtype == "str"
        assert reduce(top_k(1, "x"), chunks)["k"].dtype == "str"


@pytest.mark.parametrize(
    "reducer_", [td.sum(), describe(), group_by("x", n=("s", "count"))], ids=repr
)
def test_two_columns_of_one_name_are_named(reducer_):
    frame = pd.DataFrame([[1, 2, 3]], columns=["x", "s", "s"])
    with pytest.raises(ReduceError, match="there are several columns 's'; rename"):
        reducer_.partial(frame)


def test_top_k_of_texts_is_refused(reduce):
    with pytest.raises(ReduceError, match="top_k"):
        reduce(top_k(1, "s"), [pd.DataFrame({"s": ["a", "b"]})])


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3"])
def test_top_k_needs_a_positive_integer(k):
    with pytest.raises(ReduceError, match="must be an integer from 1 up"):
        top_k(k, "x")


def test_top_k_needs_a_column():
    with pytest.raises(ReduceError, match="needs a column"):
        top_k(3, [])
    with pytest.raises(PlanError, match="no column 'x'"):
        top_k(3, "x").check(["y"])


@examples(60)
@given(
    values=st.lists(
        st.one_of(st.floats(-3, 3), st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0])),
        max_size=40,
    ),
    edges=st.lists(st.integers(-3, 3), min_size=2, max_size=5, unique=True),
    data=st.data(),
)
def test_histogram_is_numpys_over_the_whole_without_nulls(values, edges, data, reduce, cut):
    frame = pd.DataFrame({"x": pd.Series(values, dtype="float64")})
    cuts = data.draw(st.lists(st.integers(0, len(values)), max_size=4))
    counts, got_edges = reduce(histogram("x", sorted(edges)), cut(frame, cuts))
    kept = frame.x.dropna().to_numpy()
    want, want_edges = np.histogram(kept, np.array(sorted(edges), dtype=float))
    assert counts.dtype == np.int64
    assert counts.tolist() == want.tolist()
    assert got_edges.tolist() == want_edges.tolist()


def test_histogram_of_no_chunks_is_zeros(reduce):
    counts, edges = reduce(histogram("x", [0, 1, 2]), [])
    assert (counts.tolist(), edges.tolist()) == ([0, 0], [0.0, 1.0, 2.0])
    assert reduce(histogram("x", [0, 1, 2]), [pd.DataFrame()])[0].tolist() == [0, 0]


@pytest.mark.parametrize("bins", [10, "auto", [1], [2, 1], [1, 1], [[1, 2], [3, 4]], ["a", "b"]])
def test_histogram_needs_increasing_edges(bins):
    with pytest.raises(ReduceError, match="edges"):
        histogram("x", bins)


def test_columns_that_hold_no_numbers_are_refused(reduce):
    for frame in (pd.DataFrame({"x": ["a"]}), pd.DataFrame({"x": pd.to_datetime(["2013-01-01"])})):
        with pytest.raises(ReduceError, match="not numbers"):
            reduce(histogram("x", [0, 1]), [frame])
        with pytest.raises(ReduceError, match="not numbers"):
            reduce(approx_quantiles("x", 0.5), [frame])


@pytest.mark.parametrize("make", [lambda c: histogram(c, [0, 1]), approx_distinct])
def test_a_missing_column_is_known_before_the_run(make):
    assert make("dep_delay").columns() == ("dep_delay",)
    with pytest.raises(PlanError, match="Did you mean 'dep_delay'"):
        make("dep_dely").check(["dep_delay"])


@examples(60)
@given(
    values=st.lists(st.one_of(st.integers(-50, 50), st.just(None)), max_size=60),
    q=st.lists(st.floats(0, 1), min_size=1, max_size=4),
    data=st.data(),
)
def test_quantiles_of_few_different_values_are_pandas_own(values, q, data, reduce, cut):
    frame = pd.DataFrame({"x": pd.Series(values, dtype="float64")})
    cuts = data.draw(st.lists(st.integers(0, len(values)), max_size=4))
    chunks = cut(frame, cuts)
    assert_series_equal(reduce(approx_quantiles("x", q), chunks), frame.x.quantile(q), atol=1e-12)
    one = reduce(approx_quantiles("x", q[0]), chunks)
    assert type(one) is float
    assert one == pytest.approx(frame.x.quantile(q[0]), nan_ok=True)


def test_quantiles_leave_out_nan_beside_the_nulls_of_arrow(reduce, cut):
    column = pd.arrays.ArrowExtensionArray(pa.array([1.0, None, np.nan, 3.0, 2.0]))
    frame = pd.DataFrame({"x": column})
    want = frame.x.quantile([0.25, 1])
    for cuts in ([], [1, 2, 3]):
        got = reduce(approx_quantiles("x", [0.25, 1]), cut(frame, cuts))
        assert got.tolist() == want.tolist()
        described = reduce(describe(), cut(frame, cuts))
        assert described.loc["~25%", "x"] == want[0.25]


@pytest.mark.parametrize("q", [-0.1, 1.1, [0.5, 2], [], "half"])
def test_quantiles_lie_between_0_and_1(q):
    with pytest.raises(ReduceError, match="between 0 and 1"):
        approx_quantiles("x", q)


def test_distinct_counts_are_close_and_do_not_depend_on_cuts(reduce, cut, rng):
    frame = pd.DataFrame({"x": rng.integers(0, 200_000, 300_000)})
    exact = frame.x.nunique()
    whole = reduce(approx_distinct("x"), [frame])
    assert abs(whole / exact - 1) < 3 * 0.0082
    assert reduce(approx_distinct("x"), cut(frame, [1, 70_000, 70_000, 200_000])) == whole
    assert reduce(approx_distinct("x"), []) == 0
    assert type(whole) is int


@pytest.mark.parametrize(
    "chunks",
    [
        ([True, False], [True, None, False]),
        ([1, 2], [1, "a"], [2.0, "a"]),
        ([2**70, 1], [2**70, None]),
        ([1], [Decimal("1.00"), Decimal("1.0")]),
    ],
)
def test_numbers_are_the_same_values_in_columns_of_objects(chunks, reduce):
    frames = [pd.DataFrame({"k": 1, "x": chunk}) for chunk in chunks]
    want = pd.concat(frames)["x"].nunique()
    assert reduce(approx_distinct("x"), frames) == want
    by_group = reduce(group_by("k", n=("x", "approx_distinct")), frames)
    assert by_group["n"].tolist() == [want]


INDEXED = pd.DataFrame(
    {"x": pd.array([4, None, 7, 9], dtype="Int64"), "k": ["b", "a", "a", "b"], "n": [5, 3, 9, 4]}
)


@pytest.mark.parametrize("levels", [["k"], ["n"], ["k", "x"]], ids=str)
def test_levels_that_pandas_noted_in_an_arrow_table_are_columns(levels, reduce, cut):
    tables = [pa.Table.from_pandas(chunk.set_index(levels)) for chunk in cut(INDEXED, [3])]
    whole = INDEXED[tables[0].column_names]
    assert_series_equal(reduce(td.sum(), tables), whole.sum(numeric_only=True))
    assert list(reduce(td.describe(), tables)) == [name for name in whole if name != "k"]
    assert_frame_equal(reduce(td.top_k(2, "n"), tables), whole.nlargest(2, "n"))
    assert reduce(td.approx_distinct("k"), tables) == 2
    got = reduce(td.group_by("k", s=("x", "sum"), n=("n", "max")), tables)
    assert_frame_equal(got, whole.groupby("k").agg(s=("x", "sum"), n=("n", "max")))


def test_an_index_without_a_name_that_pandas_noted_in_an_arrow_table_is_no_column(reduce):
    frame = INDEXED.set_axis([9, 3, 5, 7])
    table = pa.Table.from_pandas(frame)
    assert "__index_level_0__" in table.column_names
    assert_series_equal(reduce(td.sum(), [table]), frame.sum(numeric_only=True))
    assert_frame_equal(reduce(td.top_k(4, "n"), [table])[["n"]], INDEXED.nlargest(4, "n")[["n"]])


@pytest.mark.parametrize(
    "labels", [[0, 1, 2], [("a", 1), ("a", 2), ("b", 1)], ["x", "", "1"], ["x", None, "n"]]
)
def test_columns_of_an_arrow_table_are_called_as_it_calls_them(labels, reduce, cut):
    frame = INDEXED.set_axis(pd.Index(labels), axis=1)
    tables = [pa.Table.from_pandas(chunk) for chunk in cut(frame, [3])]
    x, k, n = tables[0].column_names
    whole = INDEXED.set_axis([x, k, n], axis=1)
    assert_series_equal(reduce(td.sum(), tables), whole.sum(numeric_only=True))
    got = reduce(td.group_by(k, s=(x, "sum"), n=(n, "max")), tables)
    assert_frame_equal(got, whole.groupby(k).agg(s=(x, "sum"), n=(n, "max")))
    got = reduce(td.group_by(n, s=(k, "last")), tables)
    assert_frame_equal(got, whole.groupby(n).agg(s=(k, "last")))


@pytest.mark.parametrize("label", [None, np.nan, pd.NaT], ids=str)
def test_a_column_without_a_name_is_refused_and_not_left_out(label):
    frame = pd.DataFrame([[1, 2]], columns=pd.Index([label, "x"], dtype=object))
    for reducer in (td.sum(), td.describe(), td.top_k(1, label)):
        with pytest.raises(ReduceError, match=f"a column is called {label}; rename it"):
            reducer.partial(frame)
    assert td.sum("x").finish(td.sum("x").partial(frame)) == 2


@pytest.mark.parametrize("reducer", [td.sum("v"), td.top_k(1, "v"), td.approx_distinct("v")])
def test_a_name_of_several_columns_is_refused_in_every_kind_of_table(reducer):
    table = pa.table([[1], [2], [3]], names=["v", "v", "x"])
    with pytest.raises(ReduceError, match="there are several columns 'v'"):
        reducer.partial(table)
    several = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("v", 1), ("v", 2)]))
    with pytest.raises(ReduceError, match=r"there is no column 'v'.*'v', 1"):
        reducer.partial(several)
    distinct = td.approx_distinct(("v", 2))
    assert distinct.finish(distinct.partial(several)) == 1
