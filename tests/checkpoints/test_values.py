"""Values come back from bytes equal and with their types, or are refused."""

import datetime as dt
import math
import pickle
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import replace
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from built_in_reducers import BUILT_IN
from hypothesis import example, given
from hypothesis import strategies as st

import taskinity_data as td
from taskinity_data.checkpoints.values import NoExactForm, decode, encode
from taskinity_data.outcome import (
    Attempt,
    BadLine,
    BadLines,
    Failure,
    LogLine,
    Outcome,
    Status,
)
from taskinity_data.outcome_block import OutcomeBlock
from taskinity_data.output.parts import Part, StagedFile
from taskinity_data.reducers.row_labels import SeriesRows


def packed(value):
    return b"".join(encode(value))


def again(value):
    return decode(packed(value))


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.dates() | st.datetimes(timezones=st.none() | st.just(dt.UTC)) | st.timedeltas()
    | st.decimals() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner)
    | st.dictionaries(st.integers() | st.text() | st.tuples(st.booleans(), st.dates()), inner),
    max_leaves=20,
)  # fmt: skip


def same(a, b):
    """Equal with types, where NaN is NaN, whatever its sign, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and all(map(same, a.values(), b.values()))
    if isinstance(a, float):
        if math.isnan(a):
            return math.isnan(b)
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, dt.datetime):
        return a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.tzinfo == b.tzinfo
    return a == b


@example(-math.nan)
@example([complex(0.0, -math.nan), -0.0])
@given(plain)
def test_plain_values_come_back_as_they_are(value):
    assert same(again(value), value)


@pytest.mark.parametrize(
    "value",
    [
        {1, "a"}, frozenset([(1, 2)]), array("q", [-1, 2**62]), array("d"), Counter("aab"),
        2**5000, -(2**5000), "\ud800",
        "\ud83d\ude00", Decimal("-0.0"), {True: 1, "True": 2, None: 3}, {1: {(2, 3): [()]}},
        dt.datetime(2020, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
)  # fmt: skip
def test_more_kinds_come_back_as_they_are(value):
    found = again(value)
    assert found == value
    assert type(found) is type(value)
    assert isinstance(value, int) or repr(found) == repr(value)


ARRAYS = [
    np.arange(6, dtype=">i2").reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.array(3),
    np.array([], dtype="M8[ns]"),
    np.zeros((0, 3), dtype=np.float32),
    np.array(["a", "bb"]),
    np.array([b"a", b""]),
    np.array([None, "x", 1.5, (2,)], dtype=object),
    np.array([np.nan, -0.0, np.inf]),
    np.arange(10)[::3],
    np.arange(10_000),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda one: f"{one.dtype}{one.shape}")
def test_arrays_come_back_with_dtype_shape_and_order(array):
    found = again(array)
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes("A") == array.tobytes("A") or array.dtype == object
    assert found.tolist() == array.tolist() or array.dtype.kind in "fM"
    assert found.flags.writeable
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize(
    "scalar",
    [np.float32(1.5), np.int8(-3), np.bool_(True), np.datetime64("2020-01-01"), np.str_("x"),
     np.timedelta64(3, "s"), np.float64("nan"), np.uint64(2**64 - 1)],
)  # fmt: skip
def test_numpy_scalars_keep_their_type(scalar):
    found = again(scalar)
    assert type(found) is type(scalar)
    assert found.dtype == scalar.dtype
    assert found.tobytes() == scalar.tobytes()


def frame():
    days = pd.to_datetime(["2020-01-01", "2021-01-01"])
    made = pd.DataFrame(
        {
            "a": [1, 2], "b": [1.5, None], "s": ["x", None], "c": pd.Categorical(["u", "v"]),
            "t": days, "u": pd.to_datetime(["2020-01-01", None]), "ms": days.as_unit("ms"),
            "z": days.tz_localize("Europe/Berlin"), "d": pd.to_timedelta([1, 2], unit="s"),
            "I": pd.array([1, None], dtype="Int64"), "B": pd.array([True, None], dtype="boolean"),
            "F": pd.array([1.5, None], dtype="Float32"), "o": [{1: 2}, [3]],
            "ar": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64())),
            "al": pd.array([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
            "st": pd.array(["a", None], dtype=pd.StringDtype("python")),
            "sn": pd.array(["a", None], dtype=pd.StringDtype("pyarrow", na_value=pd.NA)),
            "p": pd.period_range("2020-01", periods=2, freq="M"), "iv": pd.interval_range(0, 2),
            "i8": np.array([1, 2], dtype=np.int8),
        }
    )  # fmt: skip
    made["late"] = [9, 8]
    return made


def test_frames_come_back_with_dtypes_and_attributes():
    made = frame()
    made.attrs["unit"] = "m"
    found = again(made)
    pd.testing.assert_frame_equal(found, made, check_freq=True)
    assert found.attrs == made.attrs
    wide = pd.DataFrame(np.random.default_rng(1).random((1000, 3)))
    for one in (
        wide,
        pd.concat([wide, wide]),
        wide.T.copy(),
        wide[[2, 0]],
        wide.iloc[:0],
        wide[[]],
    ):
        pd.testing.assert_frame_equal(again(one), one)


@pytest.mark.parametrize("name", frame().columns)
def test_series_indexes_and_arrays_come_back(name):
    series = frame()[name]
    found = again(series)
    pd.testing.assert_series_equal(found, series)
    if name not in ("o", "al"):
        index = pd.Index(series)
        pd.testing.assert_index_equal(again(index), index, exact=True)
    assert type(found.array) is type(series.array)


@pytest.mark.parametrize(
    "index",
    [
        pd.RangeIndex(3, 30, 3, name="n"),
        pd.MultiIndex.from_arrays([[1, 2], ["a", "b"]], names=["x", None]),
        pd.date_range("2020", periods=3, freq="D", tz="UTC", name="when"),
        pd.timedelta_range("1h", periods=3, freq="h"),
        pd.Index([], dtype=object),
        pd.Index([1, "a", None], dtype=object, name=("tuple", 1)),
        pd.CategoricalIndex(["a", "b"], ordered=True),
    ],
)
def test_indexes_come_back(index):
    found = again(index)
    pd.testing.assert_index_equal(found, index, exact=True)
    assert getattr(found, "freq", None) == getattr(index, "freq", None)
    labelled = pd.DataFrame({"a": range(len(index))}, index=index)
    pd.testing.assert_frame_equal(again(labelled), labelled)


@pytest.mark.parametrize(
    "value",
    [pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-01 01:00"), pd.Timedelta("1s"),
     pd.Timestamp("2020-10-25 01:30", tz="UTC").tz_convert("Europe/Berlin"), pd.NaT, pd.NA,
     pd.Timestamp("2020-01-01").as_unit("s")],
)  # fmt: skip
def test_pandas_scalars_come_back(value):
    found = again(value)
    assert type(found) is type(value)
    assert repr(found) == repr(value)
    assert getattr(found, "unit", 0) == getattr(value, "unit", 0)


@pytest.mark.parametrize(
    "data",
    [
        pa.table({"a": [1, None], "b": pa.array(["x", "y"]).dictionary_encode()}),
        pa.table({"a": pa.chunked_array([[1], [2, 3]])}).replace_schema_metadata({"k": "v"}),
        pa.table({"a": pa.array([], pa.decimal128(5, 2))}),
    ],
)
def test_arrow_data_come_back(data):
    found = again(data)
    assert type(found) is type(data)
    assert found.equals(data)
    assert found.schema.equals(data.schema, check_metadata=True)


def test_polars_data_come_back():
    data = pl.DataFrame({"a": [1, None], "b": ["x", "y"]}, schema_overrides={"a": pl.Int8})
    assert again(data).equals(data)
    assert again(data).schema == data.schema


class Mine:
    pass


class MyInt(int):
    pass


def looped():
    held = []
    held.append(held)
    return held


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Mine(), "Mine"), ([1, {"a": MyInt(3)}], "MyInt"), (lambda: 1, "function"),
        (looped(), "contains itself"), (defaultdict(list), "defaultdict"), (deque([1]), "deque"),
        (OrderedDict(a=1), "OrderedDict"), (dt.time(1), "time"), (range(3), "range"),
        (dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))), "time zone"),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), "an array of"),
        (pa.array([1]), "Int64Array"), (pl.Series([1]), "Series"),
        (pd.Series([Mine()]), "Mine"), (pa.table({"a": [1, 2]}).select([]), "without columns"),
        (pd.Series(pd.arrays.SparseArray([0, 1])), "Sparse"),
    ],
)  # fmt: skip
def test_what_has_no_exact_form_is_named(value, named):
    with pytest.raises(NoExactForm, match=named):
        encode(value)


def test_bytes_that_are_no_value_are_refused_and_run_nothing():
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    for data in (pickle.dumps(Evil()), b"", b"?", packed([1, 2])[:-1], packed(1) + b"x"):
        with pytest.raises(ValueError, match=r"stored|early"):
            decode(data)


REDUCERS = {
    **{reducer.name: reducer for reducer in BUILT_IN.values()},
    "own": td.reducer(lambda parts: sum(parts), partial=lambda chunk: float(chunk.x.sum())),
    **{
        f"group_by {how}": td.group_by("k", "when", new=(column, how))
        for how in ("sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique",
                    "approx_distinct")
        for column in ("x",)
    },
    "group_by texts": td.group_by(
        "c", a=("k", "min"), b=("k", "first"), n=("k", "nunique"), d=("when", "max"),
        i=("n", "sum"), e=("d", "mean"), q=("i", "sum"), m=("dec", "sum"),
    ),
}  # fmt: skip


def rows(seed, count=500):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "k": random.choice(["a", "b", "ccc"], count), "x": random.random(count) * 1e9,
            "n": random.integers(-(2**50), 2**50, count),
            "c": pd.Categorical((["u", "v"] * count)[:count]),
            "when": pd.to_datetime(random.integers(0, 3, count), unit="D"),
            "d": pd.to_timedelta(random.integers(0, 99, count), unit="s"),
            "i": pd.array(np.where(random.random(count) < 0.2, None, 7), dtype="Int32"),
            "dec": [Decimal(int(one)) / 100 for one in random.integers(0, 99, count)],
        }
    )  # fmt: skip


@pytest.mark.parametrize("name", REDUCERS)
def test_the_partials_of_built_in_reducers_come_back_to_the_last_bit(name):
    reducer = REDUCERS[name]
    chunks = [rows(1), rows(2), rows(3), rows(4).iloc[:0]]
    if name in ("sum", "mean", "min", "max"):
        kinds = [
            chunks,
            [SeriesRows(one.x) for one in chunks],
            [one.x.rename_axis("row") for one in chunks],
            [1.5, -0.0, float("nan")],
        ]
    elif name == "group_by texts":
        kinds = [[pa.Table.from_pandas(one, preserve_index=False) for one in chunks], chunks]
    else:
        kinds = [chunks]
    for given_ in kinds:
        partials = [reducer.partial(one) for one in given_]
        dump = getattr(reducer, "dump", lambda partial: partial)
        load = getattr(reducer, "load", lambda stored: stored)
        stored = [load(again(dump(one))) for one in partials]
        assert [packed(dump(one)) for one in stored] == [packed(dump(one)) for one in partials]
        a, b = reducer.combine(partials), reducer.combine(stored)
        assert packed(dump(a)) == packed(dump(b)) == packed(again(dump(b)))
        x, y = reducer.finish(a), reducer.finish(load(again(dump(b))))
        assert packed(x) == packed(y)


# -- outcomes --------------------------------------------------------------------------------------


def test_outcomes_read_back_without_values_exceptions_and_messages():
    failure = Failure("ValueError", "no", "in f", ("builtins.ValueError",), is_final=True)
    attempt = Attempt(2, 1.5, 0.25, "w/1", 0.1, 0.2, 0.3, 4, None, failure, ("a",), cpu_s=0.5)
    file = StagedFile("s/1", "k=1", None, 3, 99, "ab" * 32)
    kept = Outcome(
        "Work", "0f" * 16, Status.SKIPPED, (attempt, replace(attempt, failure=None)), 5, None, 77,
        is_fallback=True, is_quarantined=True, columns=("x", "y"),
        bad_lines=BadLines(1, 9, (BadLine("a.csv", 2, 11, 0, b"\xff", "utf-8", "bad"),)),
    )  # fmt: skip
    part = Part(3, "key", pa.schema({"x": pa.int64()}), (file,), (0, 1))
    logs = (LogLine(1.0, 20, "me", "text"),)
    raised = replace(attempt, failure=replace(failure, error=ValueError("no")), logs=logs)
    outcome = replace(kept, attempts=(raised, kept.attempts[1]), value=object(), output=part)
    found = again(outcome)
    assert found == kept
    assert (found.value, found.output, found.attempts[0].logs) == (None, part, ())
    assert found.attempts[0].failure.error is None


def test_a_block_reads_back_without_values():
    block = OutcomeBlock("Work", "w/1")
    block.add((1.0, 2.0, 0.5, 0.25, 0.125), 3, None, 4, object())
    block.add((3.0, 2.0, 0.5, 0.25, 0.125), None, 1, None, object())
    block.end_turn(array("d", [1.5, 0.25]), None)
    assert again(block) == block.without_values()
