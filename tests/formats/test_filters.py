"""Filters: shapes, messages, and the rows that pass."""

import pickle

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from taskinity_data.errors import PlanError
from taskinity_data.formats.filters import parse_filters

TABLE = pa.table(
    {
        "a": pa.array([1, 2, None, 4, 5], pa.int64()),
        "b": ["x", "y", "x", None, "z"],
        "c": [0.5, float("nan"), None, 2.0, 3.0],
    }
)


@pytest.mark.parametrize(
    "filters",
    [
        [("a", ">", 1)],
        [("a", "=", 2)],
        [("a", "!=", 2)],
        [("a", "<=", 2)],
        [("a", ">=", 2), ("b", "==", "y")],
        [("a", "<", 2), ("b", "==", "y")],
        [[("a", "<", 2)], [("b", "==", "y")]],
        [["a", "<", 2]],
        [("b", "in", {"x", "z"})],
        [("b", "in", ["x", None])],
        [("b", "not in", ("x",))],
        [("c", "!=", 2.0)],
        [("a", "==", None)],
        (pc.field("a") > 1) & pc.field("b").is_null(),
    ],
)
def test_the_rows_that_pass_are_those_of_pandas(tmp_path, filters):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    expected = pd.read_parquet(tmp_path / "t.parquet", filters=filters)
    passed = parse_filters(filters, TABLE.schema).apply(TABLE).to_pandas()
    pd.testing.assert_frame_equal(passed, expected)


def test_no_filter_is_none():
    assert parse_filters(None, TABLE.schema) is None


def test_columns_are_those_the_filter_needs():
    assert parse_filters([[("b", "==", "x")], [("a", ">", 1)]], TABLE.schema).columns == ("b", "a")
    expression = (pc.field("c") > 1) | pc.field("a").is_null()
    assert parse_filters(expression, TABLE.schema).columns == ("a", "c")


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([("a", ">", 1)], ("a",)),
        ([("a", ">", 1), ("b", "in", ["x"])], ("a", "b")),
        ([("b", "in", ["x", None])], ()),
        ([("b", "not in", ["x"])], ()),
        ([[("a", ">", 1), ("b", "==", "x")], [("b", "==", "y")]], ("b",)),
    ],
)
def test_columns_that_are_never_null_in_a_row_that_passes(filters, names):
    parsed = parse_filters(filters, TABLE.schema)
    assert parsed.not_null == names
    assert all(parsed.apply(TABLE)[name].null_count == 0 for name in names)


def test_text_is_the_same_for_sets_of_any_order_and_differs_for_other_values():
    texts = {parse_filters([("b", "in", s)], TABLE.schema).text for s in ({"x", "y"}, {"y", "x"})}
    assert len(texts) == 1
    one, other = (
        parse_filters(pc.field("a").isin(list(range(n))), TABLE.schema) for n in (500, 501)
    )
    assert one.text != other.text
    assert one != other


def test_filters_pickle():
    parsed = parse_filters([("a", ">", 1)], TABLE.schema)
    again = pickle.loads(pickle.dumps(parsed))
    assert again == parsed
    assert again.apply(TABLE).select(["a", "b"]) == parsed.apply(TABLE).select(["a", "b"])


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ([("aa", ">", 1)], "no column 'aa'.*Did you mean 'a'"),
        ([], "not a list of predicates.*write e.g."),
        ([[]], "has no predicate"),
        ([()], "has no predicate"),
        ([[("a", ">", 1)], []], "not a list of predicates"),
        ("a > 1", "not a list of predicates"),
        (("a", "==", 3), r"not a list of predicates"),
        ([("a", ">")], r"not \(column, operator, value\)"),
        ([(1, ">", 2)], r"not "),
        ([("a", "~", 3)], "'~' in .* is not one of"),
        ([("a", "in", 3)], r"needs a list of values, such as \[3\]"),
        ([("b", "in", "xyz")], r"needs a list of values, such as \['xyz'\]"),
        ([("a", "==", "x")], "does not fit the columns' types.*a: int64"),
        ([("a", "==", object())], "Arrow can't hold"),
        ([("a", "<=", 2**64)], "Arrow can't hold"),
        (pc.field("zz") > 1, "does not fit"),
        (pc.field("a") + 1, "does not fit"),
    ],
)
def test_a_wrong_filter_is_a_plan_error_that_says_what_is_wrong(filters, words):
    with pytest.raises(PlanError, match=words):
        parse_filters(filters, TABLE.schema)


def test_a_time_without_a_zone_is_refused_before_rows_are_looked_at():
    schema = pa.schema([("at", pa.timestamp("us", "UTC"))])
    for filters in (
        [("at", "<", pd.Timestamp("2013-01-01"))],
        pc.field("at") < pd.Timestamp("2013-01-01"),
    ):
        with pytest.raises(PlanError, match=r"does not fit the columns' types.*UTC"):
            parse_filters(filters, schema)


def test_an_ambiguous_column_is_refused():
    schema = pa.schema([("a", pa.int64()), ("a", pa.int64())])
    with pytest.raises(PlanError, match="several columns 'a'"):
        parse_filters([("a", ">", 1)], schema)


def test_rows_keep_their_order_over_many_batches():
    table = pa.concat_tables([pa.table({"a": range(n, n + 10)}) for n in range(0, 50_000, 10)])
    passed = parse_filters([("a", ">=", 5)], table.schema).apply(table)
    assert passed["a"].to_pylist() == list(range(5, 50_000))
