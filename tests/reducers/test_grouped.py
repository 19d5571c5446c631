import datetime as dt
import gc
import math
import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal
from properties import examples, mostly_thorough

import taskinity_data as td
from taskinity_data.errors import PlanError, ReduceError
from taskinity_data.reducers.base import concat
from taskinity_data.reducers.grouped import GroupBy, group_by

HOWS = ["sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique"]
NOT_FOR = {
    "key": {"mean", "var", "std"},
    "text": {"mean", "var", "std"},
    "string": {"mean", "var", "std"},
    "time": {"sum", "var", "std"},
    "zoned": {"sum", "var", "std"},
    "span": {"var", "std"},
    "category": {"sum", "mean", "min", "max", "var", "std"},
    "ordered": {"sum", "mean", "var", "std"},
    "date": {"sum", "mean", "var", "std"},
}


def make_frame(rng, n):
    def holes(values, missing):
        return np.where(rng.random(n) < 0.3, missing, values)

    seconds = rng.integers(0, 10**9, n)
    return pd.DataFrame(
        {
            "key": pd.Series(rng.choice(["b", "a", "é", None], n), dtype="str"),
            "number": rng.integers(0, 4, n),
            "half": holes(rng.integers(-2, 3, n) / 2, np.nan),
            "int8": rng.integers(-3, 4, n).astype("int8"),
            "int32": rng.integers(-100, 100, n).astype("int32"),
            "int64": rng.integers(-(10**12), 10**12, n),
            "uint64": rng.integers(0, 2**50, n).astype("uint64"),
            "bool": rng.random(n) < 0.5,
            "float32": rng.normal(size=n).astype("float32"),
            "float64": holes(rng.normal(size=n), np.nan),
            "Int64": pd.array(holes(rng.integers(-9, 9, n), None), dtype="Int64"),
            "Float64": pd.array(holes(rng.normal(size=n), None), dtype="Float64"),
            "boolean": pd.array(holes(rng.random(n) < 0.5, None), dtype="boolean"),
            "arrow_int": pd.array(
                holes(rng.integers(-9, 9, n), None), dtype=pd.ArrowDtype(pa.int64())
            ),
            "arrow_bool": pd.array(
                holes(rng.random(n) < 0.5, None), dtype=pd.ArrowDtype(pa.bool_())
            ),
            "text": pd.Series(rng.choice(["x", "y", "", None], n), dtype="str"),
            "string": pd.Series(rng.choice(["x", "y", None], n), dtype="string"),
            "time": pd.Series(pd.to_datetime(seconds, unit="s")).where(rng.random(n) < 0.7),
            "zoned": pd.Series(pd.to_datetime(seconds, unit="s", utc=True))
            .dt.tz_convert("America/New_York")
            .where(rng.random(n) < 0.7),
            "span": pd.Series(pd.to_timedelta(seconds % 1000, unit="s")).where(rng.random(n) < 0.7),
            "category": pd.Categorical(rng.choice(["u", "v", None], n), categories=["w", "v", "u"]),
            "ordered": pd.Categorical(
                rng.choice(["lo", "hi"], n), categories=["lo", "hi"], ordered=True
            ),
            "date": pd.Series(
                [dt.date(2013, 1, 1 + int(d)) for d in rng.integers(0, 28, n)], dtype=object
            ),
        }
    )


def every_aggregate(frame, by):
    return {
        f"{column}_{how}": (column, how)
        for column in frame.columns
        if column not in by
        for how in HOWS
        if how not in NOT_FOR.get(column, ())
    }


def pandas_answer(frame, by, aggregates):
    return frame.groupby(list(by) if len(by) > 1 else by[0], dropna=True, observed=True).agg(
        **aggregates
    )


def assert_agrees(got, want):
    # Of one row alone pandas gives the mean of float32 as float64, else as float32.
    want = want.astype({name: np.float32 for name in want if name == "float32_mean"})
    exact = [c for c in want if not c.startswith("float32")]
    assert_frame_equal(got[exact], want[exact], rtol=1e-11, atol=1e-13)
    # pandas adds float32 in float32; here a sum is rounded once.
    assert_frame_equal(got, want, rtol=1e-5, atol=1e-5)


KEYS = [
    ("key",),
    ("number",),
    ("half",),
    ("bool",),
    ("category",),
    ("zoned",),
    ("date",),
    ("Int64",),
    ("key", "number"),
    ("category", "half", "boolean"),
]


@pytest.mark.parametrize("by", mostly_thorough(KEYS, 2), ids="-".join)
def test_every_how_of_every_dtype_equals_pandas_over_the_whole(by, reduce, cut, rng):
    frame = make_frame(rng, 40)
    aggregates = every_aggregate(frame, by)
    want = pandas_answer(frame, by, aggregates)
    for cuts in ([], [1, 1, 15, 39], range(1, 40, 3)):
        assert_agrees(reduce(group_by(*by, **aggregates), cut(frame, cuts)), want)


@examples(25)
@given(n=st.integers(0, 25), seed=st.integers(0, 10**6), data=st.data())
def test_random_frames_and_cuts_equal_pandas(n, seed, data, reduce, cut):
    frame = make_frame(np.random.default_rng(seed), n)
    by = data.draw(st.sampled_from(KEYS))
    columns = data.draw(
        st.lists(st.sampled_from([c for c in frame if c not in by]), min_size=1, max_size=3)
    )
    aggregates = {
        name: pair for name, pair in every_aggregate(frame, by).items() if pair[0] in columns
    }
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6))
    got = reduce(group_by(*by, **aggregates), cut(frame, cuts))
    assert_agrees(got, pandas_answer(frame, by, aggregates))


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint64", "float32", "float64"])
def test_one_key_of_numbers_is_listed_as_pandas_lists_it(dtype, reduce, cut, rng):
    keys = rng.integers(0, 9, 50).astype(dtype) - np.dtype(dtype).type(3)  # unsigned ones wrap
    frame = pd.DataFrame({"k": keys, "v": range(50)})
    if frame.k.dtype.kind == "f":
        frame.loc[::7, "k"] = [np.inf, -np.inf, np.nan, -0.0, np.inf, np.nan, 1.5, -0.0]
    got = reduce(group_by("k", n=("v", "sum")), cut(frame, [7, 20]))
    assert_frame_equal(got, frame.groupby("k").agg(n=("v", "sum")), check_index_type="exact")


@pytest.mark.parametrize("dtype", ["str", "string", object, pd.ArrowDtype(pa.string())])
def test_one_key_of_texts_is_listed_as_pandas_lists_it(dtype, reduce, cut):
    # By code point: UTF-16 would put the emoji before U+FFFF, a locale the umlaut beside the vowel.
    texts = ["\u00e4", "Z", "a", "\uffff", "\U0001f600", "", None, "a\0b", "ab", "Z"]
    frame = pd.DataFrame({"k": pd.Series(texts, dtype=dtype), "v": range(len(texts))})
    got = reduce(group_by("k", n=("v", "sum")), cut(frame, [3, 7]))
    assert_frame_equal(got, frame.groupby("k").agg(n=("v", "sum")), check_index_type="exact")


def test_arrow_tables_give_what_their_pandas_frames_give(reduce, rng):
    n = 300
    table = pa.table(
        {
            "key": pa.array(rng.choice(["a", "b", None], n)),
            "day": pa.array([dt.date(2013, 1, 1 + i % 3) for i in range(n)]),
            "i": pa.array([None if x < 0.1 else int(x * 100) for x in rng.random(n)]),
            "f": pa.array(rng.normal(size=n)),
            "z": pa.array(rng.integers(0, 10**6, n), pa.timestamp("us", "UTC")),
            "d": pa.array(
                [Decimal(int(x * 100)) / 100 for x in rng.random(n)], pa.decimal128(9, 2)
            ),
            "c": pa.array(rng.choice(["p", "q"], n)).dictionary_encode(),
        }
    )
    aggregates = {
        f"{column}_{how}": (column, how)
        for column in "ifzdc"
        for how in HOWS
        if not (column == "z" and how in {"sum", "var", "std"})
        and not (column == "c" and how not in {"count", "first", "last", "nunique"})
    }
    for by in (("key",), ("day",), ("key", "day")):
        want = pandas_answer(table.to_pandas(), by, aggregates)
        chunks = [table.slice(start, 70) for start in range(0, n, 70)]
        got = reduce(group_by(*by, **aggregates), chunks)
        assert_frame_equal(got, want, rtol=1e-11)


SHORT_TEXTS = {
    "one byte": ["b", "a", "b", "c", "a"],
    "two bytes": ["DE", "AT", "\u00e9", "DE", "~~"],
    "one and three": ["a", "abc", "ab", "a", "abc"],
    "none and two": ["", "ab", "", "ab", "a"],
    "none": ["", "", "", "", ""],
    "a null": ["b", None, "b", "a", "a"],
}


@pytest.mark.parametrize("holes", [[1, 2, 3], [1, 2, None]], ids=["full", "null"])
@pytest.mark.parametrize("dtype", ["Int64", "Float32", "int16[pyarrow]"])
def test_arrow_tables_give_the_dtypes_that_pandas_noted_in_them(dtype, holes, reduce):
    frame = pd.DataFrame({"k": pd.array([1, 1, 2], dtype), "x": pd.array(holes, dtype)})
    tables = [pa.Table.from_pandas(frame.iloc[:2]), pa.Table.from_pandas(frame.iloc[2:])]
    aggregates = {how: ("x", how) for how in ("sum", "mean", "max", "std", "last")}
    assert_frame_equal(
        reduce(group_by("k", **aggregates), tables), frame.groupby("k").x.agg([*aggregates])
    )
    assert_series_equal(reduce(td.sum(), tables), frame.sum())


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary", "polars"])
@pytest.mark.parametrize("name", SHORT_TEXTS)
def test_short_texts_are_keys_like_any_others(name, kind, reduce):
    pl = pytest.importorskip("polars")
    texts = pa.array(SHORT_TEXTS[name], pa.large_string() if kind == "large_string" else None)
    if kind == "dictionary":
        texts = texts.dictionary_encode()
    table = pa.table({"k": texts, "q": texts.take([4, 3, 2, 1, 0]), "x": [1.0, 2.0, 3.0, 4.0, 5.0]})
    for by in (["k"], ["k", "q"]):
        want = (
            table.to_pandas()
            .groupby(by if len(by) > 1 else by[0], observed=True)
            .agg(s=("x", "sum"), n=("q", "count"))
        )
        for starts in ([0], [0, 1], [0, 2, 3]):
            ends = [*starts[1:], 5]
            chunks = [table[a:b] for a, b in zip(starts, ends, strict=True)]
            if kind == "polars":
                chunks = [pl.from_arrow(chunk) for chunk in chunks]
            got = reduce(group_by(*by, s=("x", "sum"), n=("q", "count")), chunks)
            assert_frame_equal(got, want)


@pytest.mark.parametrize("row", [0, 1, 4_999])
def test_a_flag_of_a_single_row_has_a_group(row, reduce):
    flags = ["N"] * 5_000
    flags[row] = "A"
    table = pa.table({"k": flags, "x": np.arange(5_000)})
    got = reduce(group_by("k", s=("x", "sum"), n=("x", "count")), [table])
    assert got.index.tolist() == ["A", "N"]
    assert got.to_numpy().tolist() == [[row, 1], [sum(range(5_000)) - row, 4_999]]


@pytest.mark.parametrize("n_groups", [127, 128, 32_767, 32_769])
def test_as_many_groups_as_narrow_codes_hold_and_one_more(n_groups, reduce, rng):
    numbers = np.tile(np.arange(n_groups), 2)
    keys = pa.array([f"k{number}" for number in numbers])
    parts = pa.array(np.where(numbers % 50 == 0, None, "a"))
    table = pa.table({"k": keys, "p": parts, "x": rng.normal(size=len(numbers)), "i": numbers})
    hows = {how: ("x", how) for how in ("sum", "min", "last", "std", "nunique")}
    for by in (["k"], ["p", "k"]):
        want = pandas_answer(table.to_pandas(), by, {**hows, "i": ("i", "sum")})
        reducer = group_by(*by, **hows, i=("i", "sum"), about=("x", "approx_distinct"))
        got = reduce(reducer, [table, table[:0]])
        assert_frame_equal(got.drop(columns="about"), want, rtol=1e-11)
        assert (got["about"] - got["nunique"]).abs().mean() < 0.01


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("ends", ["all", "lowest", "highest", "both"])
def test_integer_keys_near_each_other_and_at_the_ends_of_their_dtype(dtype, ends, reduce):
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    numbers = {
        "all": range(-128 if low else 0, 128),
        "lowest": [low + 3, low, low + 3],
        "highest": [high, high - 2, high],
        "both": [high, low, high],
    }[ends]
    keys = np.array(list(numbers), dtype=dtype)
    frame = pd.DataFrame({"k": keys, "x": np.arange(len(keys), dtype=float)})
    frame["q"] = frame["k"] == high
    for by in (["k"], ["q", "k"]):
        want = pandas_answer(frame, by, {"s": ("x", "sum"), "n": ("x", "nunique")})
        for chunks in ([frame], [frame[:1], frame[1:2], frame[2:]]):
            got = reduce(group_by(*by, s=("x", "sum"), n=("x", "nunique")), chunks)
            assert_frame_equal(got, want)


def test_polars_frames_are_taken_too(reduce):
    pl = pytest.importorskip("polars")
    chunks = [pl.DataFrame({"k": ["a", "b"], "x": [1, 2]}), pl.DataFrame({"k": ["a"], "x": [5]})]
    got = reduce(group_by("k", s=("x", "sum")), chunks)
    want = pd.DataFrame({"s": [6, 2]}, index=pd.Index(["a", "b"], name="k", dtype="str"))
    assert_frame_equal(got, want)


def test_the_answer_is_the_same_to_the_last_bit_in_any_order_of_arrival(reduce, cut, rng):
    frame = make_frame(rng, 400)
    frame["wide"] = rng.normal(size=400) * 10.0 ** rng.integers(-200, 200, 400)
    aggregates = {**every_aggregate(frame, ("key",)), "a": ("int64", "approx_distinct")}
    reducer = group_by("key", **aggregates)
    chunks = cut(frame, range(40, 400, 40))
    want = pickle.dumps(reduce(reducer, chunks))
    for _ in range(2):
        got = reduce(reducer, chunks, arrival=rng.permutation(len(chunks)).tolist())
        assert pickle.dumps(got) == want


def test_combine_leaves_its_partials_as_they_were(cut, rng):
    frame = make_frame(rng, 60)
    reducer = group_by("key", **every_aggregate(frame, ("key",)))
    partials = [reducer.partial(chunk) for chunk in cut(frame, [20, 40])]
    alone = [reducer.finish(partial) for partial in partials]
    together = reducer.finish(reducer.combine(partials))
    assert_frame_equal(reducer.finish(reducer.combine(partials)), together, check_exact=True)
    for partial, before in zip(partials, alone, strict=True):
        assert_frame_equal(reducer.finish(partial), before, check_exact=True)


@pytest.mark.parametrize(
    "dtype", ["int8", "int32", "uint8", "uint32", "Int8", "UInt16", "int32[pyarrow]"]
)
@pytest.mark.parametrize("count", [1, 3])
def test_sums_of_narrow_integers_are_as_wide_as_pandas_makes_them(dtype, count, reduce, cut):
    small = np.dtype(dtype.lower().partition("[")[0])
    values = [np.iinfo(small).max] * count + [1, 2]
    frame = pd.DataFrame({"k": [0] * count + [1, 1], "x": pd.Series(values, dtype=dtype)})
    got = reduce(group_by("k", s=("x", "sum")), cut(frame, [1, 2]))
    assert_frame_equal(got, frame.groupby("k").agg(s=("x", "sum")))


def test_sums_that_pandas_would_wrap_are_refused(reduce):
    reducer = group_by("k", s=("x", "sum"))
    chunks = [pd.DataFrame({"k": ["a"], "x": [2**63 - 1]}), pd.DataFrame({"k": ["a"], "x": [1]})]
    with pytest.raises(ReduceError, match=r"sum of column 'x' in a group is 9223372036854775808"):
        reduce(reducer, chunks)
    back = [*chunks, pd.DataFrame({"k": ["a"], "x": [-1]})]
    assert reduce(reducer, back).s.tolist() == [2**63 - 1]


def test_means_of_large_integers_do_not_wrap(reduce):
    chunks = [pd.DataFrame({"k": [1, 1], "x": [2**62, 2**62]})] * 3
    assert reduce(group_by("k", m=("x", "mean")), chunks).m.tolist() == [2.0**62]


def test_sums_of_floats_are_within_the_promise_whatever_the_chunks(reduce, cut, rng):
    n = 20_000
    values = rng.normal(size=n) * 10.0 ** rng.integers(-12, 12, n)
    frame = pd.DataFrame({"k": rng.integers(0, 5, n), "x": values})
    exact = [math.fsum(values[frame.k == key]) for key in range(5)]
    scale = [math.fsum(np.abs(values[frame.k == key])) for key in range(5)]
    for cuts in ([], range(0, n, 37)):
        got = reduce(group_by("k", s=("x", "sum")), cut(frame, cuts)).s
        assert all(abs(a - b) < 1e-13 * c for a, b, c in zip(got, exact, scale, strict=True))


def test_variances_are_stable_under_a_large_offset(reduce, cut, rng):
    small = rng.normal(size=1_000)
    frame = pd.DataFrame({"k": 0, "x": np.round(small, 3) + 1e9})
    got = reduce(group_by("k", v=("x", "var")), cut(frame, range(3, 1_000, 3))).v
    exact = np.var(frame.x.to_numpy() - 1e9, ddof=1)
    assert got.tolist() == pytest.approx([exact], rel=1e-12)


def test_zeros_infinities_and_nan(reduce, cut):
    frame = pd.DataFrame(
        {
            "k": [0.0, -0.0, 1.0, 1.0, 2.0, 2.0, np.nan],
            "x": [-0.0, 0.0, np.inf, 1.0, np.inf, -np.inf, 5.0],
        }
    )
    aggregates = {h: ("x", h) for h in ("sum", "min", "max", "mean", "count", "nunique", "first")}
    want = pandas_answer(frame, ("k",), aggregates)
    for cuts in ([], range(1, 7)):
        got = reduce(group_by("k", **aggregates), cut(frame, cuts))
        assert_frame_equal(got, want)
        assert not np.signbit(got["min"].iloc[0])


def test_decimals_are_added_exactly_beyond_pythons_default_digits(reduce):
    big = Decimal("12345678901234567890123456789012345.67")
    chunks = [pd.DataFrame({"k": ["a", "b"], "x": [big, None]}, dtype=object)] * 3
    got = reduce(group_by("k", s=("x", "sum"), n=("x", "count")), chunks)
    assert got.s.tolist() == [Decimal("37037036703703703670370370367037037.01"), 0]
    assert got.n.tolist() == [3, 0]


def test_texts_that_are_null_in_a_whole_chunk(reduce, cut):
    frame = pd.DataFrame({"k": [1, 1, 2, 2], "x": pd.Series([None, None, "a", None], dtype="str")})
    aggregates = {h: ("x", h) for h in ("sum", "min", "first", "last", "count", "nunique")}
    want = pandas_answer(frame, ("k",), aggregates)
    for cuts in ([2], [1, 2, 3], []):
        assert_frame_equal(reduce(group_by("k", **aggregates), cut(frame, cuts)), want)


@pytest.mark.parametrize("dtype", ["null[pyarrow]", "string[pyarrow]", "float64[pyarrow]", object])
def test_keys_that_are_all_null_make_no_group(dtype, reduce, cut):
    frame = pd.DataFrame({"k": pd.Series([None, None], dtype=dtype), "x": [1, 2]})
    for cuts in ([], [1]):
        got = reduce(group_by("k", s=("x", "sum"), n=("x", "nunique")), cut(frame, cuts))
        assert_frame_equal(got, frame.groupby("k").agg(s=("x", "sum"), n=("x", "nunique")))
        got = reduce(group_by("x", n=("k", "nunique"), f=("k", "first")), cut(frame, cuts))
        assert_frame_equal(got, frame.groupby("x").agg(n=("k", "nunique"), f=("k", "first")))


def test_a_key_that_is_null_in_a_whole_chunk_beside_one_of_many_values(reduce, cut):
    frame = pd.DataFrame({"k": ["a"] * 300, "l": np.arange(300), "x": 1})
    frame.loc[:149, "k"] = None
    for by in (["k", "l"], ["l", "k"]):
        got = reduce(group_by(*by, s=("x", "sum")), cut(frame, [150]))
        assert_frame_equal(got, frame.groupby(by).agg(s=("x", "sum")))


def test_integers_that_turn_into_floats_in_a_later_chunk(reduce):
    chunks = [
        pd.DataFrame({"k": [1], "x": [2**53 + 1]}),
        pd.DataFrame({"k": [1, 2], "x": [None, 0.5]}),
    ]
    aggregates = {h: ("x", h) for h in ("sum", "mean", "min", "max", "nunique", "first")}
    want = pandas_answer(pd.concat(chunks, ignore_index=True), ("k",), aggregates)
    assert_frame_equal(reduce(group_by("k", **aggregates), chunks), want)


def test_many_groups_sort_as_pandas_sorts_them(reduce, cut, rng):
    n = 150_000
    frame = pd.DataFrame({"a": rng.integers(0, 10**6, n), "b": rng.integers(0, 3, n), "x": 1.0})
    aggregates = {"s": ("x", "sum"), "v": ("x", "var"), "f": ("x", "first")}
    got = reduce(group_by("a", "b", **aggregates), cut(frame, [50_000, 100_000]))
    assert_frame_equal(got, pandas_answer(frame, ("a", "b"), aggregates))


def test_no_rows_keep_names_and_dtypes(reduce, cut, rng):
    frame = make_frame(rng, 10).iloc[:0]
    for by in (("key",), ("category", "number")):
        aggregates = every_aggregate(frame, by)
        want = pandas_answer(frame, by, aggregates)
        got = reduce(group_by(*by, **aggregates), [frame, frame])
        assert list(got.columns) == list(want.columns)
        assert_frame_equal(got.drop(columns="float32_mean"), want.drop(columns="float32_mean"))


def test_no_chunks_give_an_empty_frame_with_the_names(reduce):
    got = reduce(group_by("k", s=("x", "sum")), [])
    assert (list(got.columns), got.index.name, len(got)) == (["s"], "k", 0)
    assert list(reduce(group_by("k", "l", s=("x", "sum")), []).index.names) == ["k", "l"]


def test_none_says_nothing(reduce):
    frame = pd.DataFrame({"k": ["a"], "x": [1]})
    assert_frame_equal(
        reduce(group_by("k", s=("x", "sum")), [None, frame, None]),
        frame.groupby("k").agg(s=("x", "sum")),
    )
    assert_frame_equal(reduce(concat(), [None, frame, None]), frame)
    assert reduce(concat(), [None]).empty


def test_frames_without_rows_and_columns_say_nothing(reduce):
    chunks = [pd.DataFrame(), pd.DataFrame({"k": ["a"], "x": [1]}), pa.table({})]
    assert reduce(group_by("k", s=("x", "sum")), chunks).s.to_dict() == {"a": 1}
    assert len(reduce(group_by("k", s=("x", "sum")), [pd.DataFrame()] * 2)) == 0


def test_levels_of_the_index_serve_as_keys_as_in_pandas(reduce):
    chunk = pd.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]}).set_index("k")
    want = chunk.groupby("k").agg(s=("x", "sum"))
    assert_frame_equal(reduce(group_by("k", s=("x", "sum")), [chunk]), want)
    assert_frame_equal(reduce(group_by("k", s=("x", "sum")), [chunk["x"]]), want)


@pytest.mark.parametrize("by", [["number"], ["text", "number"]])
def test_keys_may_be_one_list(by, reduce, rng):
    frame = make_frame(rng, 100)
    want = frame.groupby(by, observed=True).agg(n=("span", "count"))
    assert_frame_equal(reduce(group_by(by, n=("span", "count")), [frame]), want)


def test_a_key_may_be_aggregated_and_a_column_used_twice(reduce):
    chunk = pd.DataFrame({"k": ["a", "b", "a"], "x": [1, 2, 3]})
    got = reduce(group_by("k", n=("k", "count"), s=("x", "sum"), t=("x", "sum")), [chunk])
    assert got.to_dict("list") == {"n": [2, 1], "s": [4, 2], "t": [4, 2]}


def test_approximate_distinct_counts_are_near_the_exact_ones(reduce, cut, rng):
    n = 60_000
    frame = pd.DataFrame({"k": rng.integers(0, 3, n), "x": rng.integers(0, 30_000, n)})
    got = reduce(
        group_by("k", a=("x", "approx_distinct"), e=("x", "nunique")), cut(frame, [9, 999])
    )
    assert (abs(got.a / got.e - 1) < 3 * 0.016).all()
    small = reduce(group_by("k", a=("x", "approx_distinct")), [frame.iloc[:30]])
    assert small.a.tolist() == frame.iloc[:30].groupby("k").x.nunique().tolist()


def test_a_missing_column_is_known_before_the_run_and_on_the_worker():
    reducer = group_by("carrier", m=("dep_delay", "mean"))
    assert reducer.columns() == ("carrier", "dep_delay")
    reducer.check(["dep_delay", "carrier", "x"])
    with pytest.raises(PlanError, match=r"no column 'dep_delay'. Did you mean 'dep_delays'\?"):
        reducer.check(["carrier", "dep_delays"])
    for data in (pd.DataFrame({"carrier": ["a"]}), pa.table({"carrier": ["a"]})):
        with pytest.raises(ReduceError, match=r"no column 'dep_delay'. There are: 'carrier'"):
            reducer.partial(data)


def test_what_is_no_frame_is_refused_with_what_to_do():
    with pytest.raises(ReduceError, match="a chunk returned dict; return a DataFrame"):
        group_by("k", n=("x", "count")).partial({"k": 1})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: group_by(n=("x", "count")), "needs a key"),
        (lambda: group_by("k"), "needs what to compute"),
        (lambda: group_by(("a", "b"), n=("x", "count")), r"group_by\('a', 'b', ...\)"),
        (lambda: group_by([], n=("x", "count")), "needs a key"),
        (lambda: group_by("k", {"x": "sum"}), "a key is a column's name, not dict"),
        (lambda: group_by("k", "k", n=("x", "count")), "is repeated"),
        (lambda: group_by("k", n=("x", "maen")), "Did you mean 'mean'"),
        (lambda: group_by("k", n=("x", ["sum"])), "unknown aggregate"),
        (lambda: group_by("k", n="count"), r"write n=\(.COLUMN., .sum.\)"),
        (lambda: group_by("k", n=("x",)), r"write n=\(.COLUMN., .sum.\)"),
    ],
)
def test_a_wrong_call_is_refused_at_once(make, message):
    with pytest.raises(ReduceError, match=message):
        make()


@pytest.mark.parametrize(
    ("column", "how", "message"),
    [
        ("text", "mean", "holds string, not numbers"),
        ("text", "std", "not numbers"),
        ("time", "sum", "times can't be added"),
        ("time", "std", "subtract a time first"),
        ("span", "var", "var of column 'span'"),
        ("category", "min", "min of column 'category'"),
    ],
)
def test_what_a_column_cannot_do_is_refused(column, how, message, reduce, rng):
    frame = make_frame(rng, 20)
    with pytest.raises(ReduceError, match=message):
        reduce(group_by("number", a=(column, how)), [frame])


def test_one_column_of_texts_here_and_numbers_there_cannot_be_added(reduce):
    chunks = [pd.DataFrame({"k": [1], "x": ["a"]}), pd.DataFrame({"k": [1], "x": [1]})]
    with pytest.raises(ReduceError, match="integers"):
        reduce(group_by("k", s=("x", "sum")), chunks)


def test_it_pickles_compares_and_reads_as_it_was_written():
    reducer = group_by("a", "b", n=("x", "count"))
    assert pickle.loads(pickle.dumps(reducer)) == reducer
    assert repr(reducer) == "group_by('a', 'b', n=('x', 'count'))"
    assert isinstance(reducer, GroupBy)
    assert reducer != group_by("a", n=("x", "count"))


@pytest.mark.parametrize("how", ["var", "std"])
def test_a_spread_beyond_floats_is_infinite_in_one_chunk_and_in_many(how, reduce, cut):
    frame = pd.DataFrame({"key": [1, 1, 1, 2, 2], "x": [1e300, -1e300, 1e300, 0.5, 1e200]})
    want = frame.groupby("key").agg(x=("x", how))
    assert want.x.tolist() == [np.inf, np.inf]
    for cuts in ([], [1, 2, 3, 4]):
        assert_frame_equal(reduce(group_by("key", x=("x", how)), cut(frame, cuts)), want)


@pytest.mark.parametrize("reducer", [group_by("key", total=("a", "sum")), td.sum()])
def test_a_partial_does_not_hold_on_to_the_rows_that_it_was_made_of(reducer):
    rows = 200_000
    before = pa.total_allocated_bytes()
    keys = pa.array([f"k{n % 10}" for n in range(rows)])
    table = pa.table({"key": keys, "a": pa.array(range(rows), pa.float64())})
    taken = pa.total_allocated_bytes() - before
    partial = reducer.partial(table)
    del keys, table
    gc.collect()
    assert partial is not None
    assert pa.total_allocated_bytes() - before < taken / 10


SPAN = pd.to_timedelta([1, 2], unit="s").to_series(index=[0, 1]).astype("m8[s]")


@pytest.mark.parametrize("how", ["sum", "mean", "std"])
@pytest.mark.parametrize(
    "other",
    [pd.Series([1.5, 2.5]), pd.Series([1, 2]), SPAN.astype("m8[ns]"), pd.Series([None, np.nan])],
    ids=str,
)
def test_times_are_not_added_to_numbers_nor_to_times_of_another_unit(how, other, reduce):
    chunks = [pd.DataFrame({"k": "a", "x": x}) for x in (SPAN, SPAN, other, SPAN, SPAN)]
    for places in ([0, 2], [2, 0], [0, 1, 2, 3, 4], [2, 0, 1, 3, 4], [0, 1, 3, 4, 2]):
        with pytest.raises(ReduceError, match=r"a column has .* in another; .*among \['x'\]"):
            reduce(group_by("k", a=("x", how)), [chunks[place] for place in places])


@pytest.mark.parametrize("how", ["sum", "mean", "std"])
def test_chunks_without_rows_say_nothing_of_what_times_are(how, reduce):
    frame = pd.DataFrame({"k": ["a", "a", "b"], "x": SPAN.reindex([0, 1, 0]).array})
    none = pd.DataFrame({"k": pd.Series([], dtype="str"), "x": pd.Series([], dtype="m8[s]")})
    got = reduce(group_by("k", a=("x", how)), [none, frame, none])
    assert_frame_equal(got, frame.groupby("k").agg(a=("x", how)))


@pytest.mark.parametrize("values", [[1e308] * 4, [-1e308] * 4, [1.7e308, 1e308, 1.7e308, 1e308]])
def test_variances_of_values_whose_sum_overflows_do_not_depend_on_the_cut(values, reduce, cut):
    frame = pd.DataFrame({"k": "a", "x": values})
    want = frame.groupby("k").agg(v=("x", "var"), s=("x", "std"))
    for cuts in ([], [1], [2], [1, 2, 3]):
        got = reduce(group_by("k", v=("x", "var"), s=("x", "std")), cut(frame, cuts))
        assert_frame_equal(got, want)


def test_variances_of_values_that_lie_too_far_apart_are_infinite_in_every_cut(reduce, cut):
    frame = pd.DataFrame({"k": "a", "x": [1e308, -1e308, 1e308, -1e308, 1e308]})
    for cuts in ([], [1], [2], [1, 2, 3, 4]):
        assert reduce(group_by("k", v=("x", "var")), cut(frame, cuts))["v"].tolist() == [math.inf]


def test_a_sum_of_bools_and_nulls_is_pandas_own_in_every_cut(reduce, cut):
    bools = pd.Series([True, None, None, True, False, None, None, True], dtype=object)
    frame = pd.DataFrame({"k": list("aaabbccc"), "x": bools})
    want = frame.groupby("k").agg(a=("x", "sum"))
    for cuts in ([], [1], [2], range(1, 8)):
        got = reduce(group_by("k", a=("x", "sum")), cut(frame, cuts))
        assert list(map(repr, got["a"])) == list(map(repr, want["a"]))


@pytest.mark.parametrize("other", [[0.5], np.array([5], dtype="uint64")], ids=["float", "uint64"])
def test_integer_keys_that_would_become_one_as_floats_are_refused(other, reduce):
    # pandas.concat makes floats of both, and 2**53 + 1 is none.
    wide = -(2**53) - 1
    chunks = [
        pd.DataFrame({"k": [wide, wide + 1], "x": [1, 1]}),
        pd.DataFrame({"k": other, "x": [1]}),
    ]
    for dtype in ("int64", "Int64", "category"):
        with pytest.raises(ReduceError, match=f"a key of column 'k' is {wide}, which has no exact"):
            reduce(group_by("k", n=("x", "count")), [chunks[0].astype({"k": dtype}), chunks[1]])
    chunks[0]["k"] += 1
    chunks[0].loc[1, "k"] = 7
    answer = reduce(group_by("k", n=("x", "count")), chunks)
    assert answer["n"].to_list() == [1, 1, 1]


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        *(("timedelta64", how) for how in ("mean", "sum", "std", "max")),
        *(("datetime64", how) for how in ("mean", "max")),
    ],
)
def test_times_stay_what_they_are_beside_a_chunk_without_rows_of_another_dtype(kind, how, reduce):
    rows = pd.DataFrame({"k": [1, 1, 2], "t": np.array([10, 20, 40], dtype=f"{kind}[s]")})
    for dtype in (f"{kind}[ns]", "object", "float64"):
        none = rows.iloc[:0].assign(t=pd.Series([], dtype=dtype))
        want = rows.groupby("k").agg(t=("t", how))
        for chunks in ([rows, none], [none, rows]):
            got = reduce(group_by("k", t=("t", how)), chunks)
            assert got["t"].dtype.kind == kind[0].replace("t", "m").replace("d", "M")
            assert_frame_equal(got, want.astype(got.dtypes))


ARROW_TIMES = [
    pa.timestamp("s"), pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns"),
    pa.duration("ms"), pa.duration("ns"),
]  # fmt: skip


@pytest.mark.parametrize("type_", ARROW_TIMES, ids=str)
def test_means_of_arrow_times_are_exact_in_every_cut(type_, reduce, cut):
    dtype = pd.ArrowDtype(type_)
    counts = pa.array([10**9, 10**9 + 3, None, -7, -8, None, 5])
    frame = pd.DataFrame({"k": list("aaabbcd"), "x": pd.Series(counts.cast(type_), dtype=dtype)})
    exact = pa.array([10**9 + 1, -7, None, 5]).cast(type_)
    want = pd.DataFrame({"x": pd.Series(exact, index=list("abcd"), dtype=dtype)}).rename_axis("k")
    for cuts in ([], [1], [3], range(1, 7)):
        chunks = cut(frame, cuts)
        got = reduce(group_by("k", x=("x", "mean"), least=("x", "min")), chunks)
        assert_frame_equal(got[["x"]], want)
        assert_frame_equal(got[["least"]], frame.groupby("k").agg(least=("x", "min")))
        empty = [frame.iloc[:0].astype({"x": object}), *chunks, frame.iloc[:0]]
        assert_frame_equal(reduce(group_by("k", x=("x", "mean")), empty), want)
        whole = frame.iloc[:2]
        assert reduce(td.mean("x"), cut(whole, [1])) == want.loc["a", "x"]


@pytest.mark.parametrize("type_", ARROW_TIMES, ids=str)
def test_spreads_of_arrow_durations_are_those_of_pandas_and_of_times_are_refused(
    type_, reduce, cut
):
    dtype = pd.ArrowDtype(type_)
    counts = pa.array([10**9, 10**9 + 30_000, None, -7_000, -8_000, None, 5]).cast(type_)
    frame = pd.DataFrame({"k": list("aaabbcd"), "x": pd.Series(counts, dtype=dtype)})
    reducer = group_by("k", x=("x", "std"))
    if dtype.kind == "M":
        with pytest.raises(ReduceError, match="std and var of times"):
            reduce(reducer, cut(frame, [2]))
        return
    want = frame.groupby("k").agg(x=("x", "std"))
    for cuts in ([], [1], range(1, 7)):
        assert_frame_equal(reduce(reducer, cut(frame, cuts)), want)


@pytest.mark.parametrize("type_", [pa.timestamp("s"), pa.duration("ns"), pa.date32()], ids=str)
@pytest.mark.parametrize("reducer", [td.approx_quantiles("x", [0.5]), td.histogram("x", [0, 1])])
def test_quantiles_and_histograms_of_arrow_times_are_refused(type_, reducer):
    days = pa.array([1], pa.int32() if type_ == pa.date32() else pa.int64())
    column = pd.Series(days.cast(type_), dtype=pd.ArrowDtype(type_))
    with pytest.raises(ReduceError, match="column 'x' holds times, not numbers"):
        reducer.partial(pd.DataFrame({"x": column}))


@pytest.mark.parametrize(
    ("reducer", "message"),
    [
        (td.group_by("l", a=("x", "sum")), "column 'l' can't be grouped: unhashable"),
        (td.group_by("x", "s", a=("x", "count")), "column 's' can't be grouped: unhashable"),
        (td.group_by("x", a=("l", "nunique")), "column 'l' can't be grouped: unhashable"),
        (td.group_by("x", a=("l", "approx_distinct")), "column 'l' can't be grouped: unhashable"),
        (td.approx_distinct("l"), "column 'l' can't be grouped: unhashable"),
        (td.group_by("x", a=("l", "min")), "min of column 'l'"),
    ],
    ids=repr,
)
def test_lists_and_dicts_that_pandas_can_not_group_are_refused_by_column(reducer, message):
    table = pa.table({"l": [[1, 2], [2], None], "s": [{"a": 1}] * 3, "x": [1, 1, 3]})
    with pytest.raises(ReduceError, match=message):
        reducer.partial(table)
    with pytest.raises(ReduceError, match=message.replace("unhashable", "Function")):
        reducer.partial(table.to_pandas(types_mapper=pd.ArrowDtype))


@pytest.mark.parametrize("chunk_rows", [1, 2, 9])
@pytest.mark.parametrize("scale", [0, 2])
def test_means_of_arrow_decimals_are_exact_and_rounded_as_pandas_rounds_them(scale, chunk_rows):
    dtype = pd.ArrowDtype(pa.decimal128(30, scale))
    step = Decimal(1).scaleb(-scale)
    numbers = [10**25 + 1, 10**25 + 4, 1, 2, -1, -2, None, None, 0]
    values = [None if number is None else number * step for number in numbers]
    frame = pd.DataFrame({"k": [1, 1, 2, 2, 3, 3, 4, 5, 5]})
    frame["v"] = pd.array(values, dtype=dtype)
    chunks = [frame.iloc[i : i + chunk_rows] for i in range(0, 9, chunk_rows)]

    def reduce(reducer):
        return reducer.finish(reducer.combine([reducer.partial(chunk) for chunk in chunks]))

    want = frame.groupby("k").agg(a=("v", "mean"))
    assert_frame_equal(reduce(td.group_by("k", a=("v", "mean"))), want)
    assert reduce(td.mean("v")) == frame["v"].mean()
    assert_series_equal(reduce(td.mean(["v"])), frame[["v"]].mean())
    assert reduce(td.describe()).loc["mean", "v"] == pytest.approx(float(frame["v"].mean()))


@pytest.mark.parametrize("scale", [0, 2])
def test_sums_of_decimals_that_their_dtype_can_not_hold_are_refused_and_means_are_exact(scale):
    largest = Decimal("9" * (38 - scale) + "." + "9" * scale)
    values = pd.array([largest] * 3, dtype=pd.ArrowDtype(pa.decimal128(38, scale)))
    frame = pd.DataFrame({"k": [1, 1, 1], "v": values})

    def reduce(reducer):
        return reducer.finish(
            reducer.combine([reducer.partial(frame[:2]), reducer.partial(frame[2:])])
        )

    for reducer in (td.sum("v"), td.group_by("k", a=("v", "sum"))):
        with pytest.raises(ReduceError, match=r"does not fit decimal128\(38, "):
            reduce(reducer)
    assert reduce(td.mean("v")) == largest
    assert reduce(td.group_by("k", a=("v", "mean")))["a"].tolist() == [largest]


@pytest.mark.parametrize("how", ["sum", "mean"])
def test_half_floats_are_aggregated_with_the_range_of_float32(how, reduce, cut):
    values = pd.Series([40_000.0, 0.5, 30_000, 0.25], dtype="float16")
    frame = pd.DataFrame({"k": [1, 2, 1, 2], "v": values})
    aggregates = {"a": ("v", how)}
    want = pandas_answer(frame, ["k"], aggregates)
    assert_frame_equal(reduce(td.group_by("k", **aggregates), cut(frame, [1, 3])), want)


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3]])
def test_extremes_of_arrow_floats_ignore_nan_beside_nulls(cuts, reduce, cut):
    numbers = pa.array([1.5, math.nan, None, 4.0, math.nan])
    frame = pd.DataFrame(
        {"k": [1, 1, 2, 2, 2], "v": pd.array(numbers, pd.ArrowDtype(pa.float64()))}
    )
    aggregates = {how: ("v", how) for how in ("min", "max")}
    want = pandas_answer(frame, ["k"], aggregates)
    assert_frame_equal(reduce(td.group_by("k", **aggregates), cut(frame, cuts)), want)
    assert reduce(td.min("v"), cut(frame, cuts)) == frame["v"].min()


@pytest.mark.parametrize("how", ["min", "max"])
def test_categories_of_different_orders_are_not_compared(how, reduce):
    chunks = [
        pd.DataFrame({"k": 1, "v": pd.Categorical(sizes, sizes, ordered=True)})
        for sizes in (["S", "L"], ["M"])
    ]
    for reducer in (td.group_by("k", a=("v", how)), getattr(td, how)("v")):
        with pytest.raises(ReduceError, match=r"order of categories is not the same.*set_categ"):
            reduce(reducer, chunks)
    sorted_chunks = [chunk.astype({"v": "str"}).astype({"v": "category"}) for chunk in chunks]
    for chunk in sorted_chunks:
        chunk["v"] = chunk["v"].cat.as_ordered()
    want = pandas_answer(pd.concat(sorted_chunks), ["k"], {"a": ("v", how)})
    assert_frame_equal(reduce(td.group_by("k", a=("v", how)), sorted_chunks), want)


def test_means_of_decimals_of_different_scales_are_floats_as_in_pandas(reduce):
    chunks = [
        pd.DataFrame({"k": 1, "v": pd.array([Decimal("1.5")], pd.ArrowDtype(pa.decimal128(9, s)))})
        for s in (1, 3)
    ]
    want = pandas_answer(pd.concat(chunks), ["k"], {"a": ("v", "mean")})
    assert_frame_equal(reduce(td.group_by("k", a=("v", "mean")), chunks), want)
    assert reduce(td.mean("v"), chunks) == 1.5


def test_a_column_of_nulls_of_no_type_adds_up_to_0_beside_a_chunk_without_rows(reduce):
    frame = pd.DataFrame({"v": pd.array([None, None], pd.ArrowDtype(pa.null()))})
    assert reduce(td.sum("v"), [frame, frame[:0]]) == frame["v"].sum()


def test_keys_that_can_not_be_sorted_are_refused(reduce):
    frames = [pd.DataFrame({"k": [key], "x": [1]}) for key in (1, dt.date(2020, 1, 1))]
    with pytest.raises(ReduceError, match=r"can't be sorted: .* give 'k' one dtype"):
        reduce(td.group_by("k", n=("x", "count")), frames)
    labelled = [frame.set_index("k")["x"] for frame in frames]
    with pytest.raises(ReduceError, match="keys of different types can't be sorted"):
        reduce(td.sum(), labelled)
