"""Integers beside nulls in Arrow and polars results of chunk functions: floats, or a refusal."""

from itertools import pairwise

import polars as pl
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.errors import ReduceError
from taskinity_data.reducers.description import describe
from taskinity_data.reducers.grouped import group_by

WIDE = 2**53 + 1
TABLE = pa.table(
    {
        "k": ["a", "a", "b", "b", "a"],
        "n": pa.array([1, None, 2**53, None, 5]),
        "u": pa.array([None, 2**63, 1, None, 5], pa.uint64()),
        "small": pa.array([1, None, 3, 4, None], pa.int8()),
    }
)
WIDE_TABLE = pa.table({"k": ["a", "a", "b"], "n": [WIDE, None, 2**53 - 1]})
CUTS = ([], [1], [2], [1, 2], [1, 2, 3, 4])
FORMS = {"arrow": lambda table: table, "polars": pl.from_arrow}


def cut(table, cuts, form):
    ends = [0, *(cut for cut in cuts if cut < len(table)), len(table)]
    return [FORMS[form](table.slice(start, stop - start)) for start, stop in pairwise(ends)]


@pytest.mark.parametrize("form", mostly_thorough(FORMS, 1))
@pytest.mark.parametrize("reducer", [td.sum(), td.mean(), td.min(), td.max()], ids=repr)
def test_totals_are_floats_as_in_pandas_in_every_cut(reducer, form, reduce):
    want = getattr(TABLE.to_pandas(), reducer.name)(numeric_only=True)
    for cuts in CUTS:
        assert_series_equal(reduce(reducer, cut(TABLE, cuts, form)), want)


@pytest.mark.parametrize("form", mostly_thorough(FORMS, 1))
@pytest.mark.parametrize(
    "how", ["sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique"]
)
@pytest.mark.parametrize("column", mostly_thorough(["n", "u", "small"], 1))
def test_groups_are_floats_as_in_pandas_in_every_cut(column, how, form, reduce):
    frame = TABLE.to_pandas()
    for key in ("k", "n"):
        want = frame.groupby(key).agg(a=(column, how))
        for cuts in CUTS:
            got = reduce(group_by(key, a=(column, how)), cut(TABLE, cuts, form))
            assert_frame_equal(got, want, check_index_type=key == "n")


@pytest.mark.parametrize("form", mostly_thorough(FORMS, 1))
@pytest.mark.parametrize(
    "reducer",
    [
        td.max(),
        group_by("k", a=("n", "max")),
        group_by("k", a=("n", "first")),
        group_by("n", a=("k", "count")),
        group_by("k", "n", a=("n", "count")),
    ],
    ids=repr,
)
def test_an_integer_that_no_float_holds_is_refused_in_every_cut(reducer, form, reduce):
    for cuts in CUTS:
        with pytest.raises(ReduceError, match=r"column 'n'.* is 9007199254740993, which has no"):
            reduce(reducer, cut(WIDE_TABLE, cuts, form))


@pytest.mark.parametrize("form", mostly_thorough(FORMS, 1))
def test_what_does_not_give_that_integer_back_is_not_refused(form, reduce):
    for cuts in CUTS:
        chunks = cut(WIDE_TABLE, cuts, form)
        assert reduce(td.sum(), chunks)["n"] == 2.0**54
        assert reduce(describe(), chunks)["n"]["count"] == 2
        assert reduce(group_by("k", a=("n", "nunique")), chunks)["a"].tolist() == [1, 1]


def test_integers_without_nulls_stay_integers(reduce):
    table = WIDE_TABLE.filter(pa.array([True, False, True]))
    for cuts in CUTS:
        assert reduce(td.max(), cut(table, cuts, "arrow")).to_dict() == {"n": WIDE}
        got = reduce(group_by("n", a=("k", "count")), cut(table, cuts, "arrow"))
        assert_frame_equal(got, table.to_pandas().groupby("n").agg(a=("k", "count")))
