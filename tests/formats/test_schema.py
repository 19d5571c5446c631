import io
import random
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.chunks.open_dataset import open_dataset
from taskinity_data.errors import PlanError
from taskinity_data.formats.csv import sample as csv_sample
from taskinity_data.formats.schema import (
    ColumnFacts,
    arrow_schema,
    freeze,
    given_columns,
    is_proven_by,
    observe,
)

TOKENS = [
    "",
    "NA",
    "1",
    "-2",
    "0",
    "1.5",
    "-0.0",
    "inf",
    "True",
    "false",
    "x",
    "1x",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999",
]
POOLS = [TOKENS, ["1", "-2", ""], ["True", "", "1"], ["1", "9223372036854775808"], ["", "1.5", "1"]]

columns_of_text = st.sampled_from(POOLS).flatmap(
    lambda pool: st.lists(st.sampled_from(pool), min_size=1, max_size=8)
)


def read(texts, dtype=None):
    text = "".join(f"{text},\n" for text in texts)
    frame = pd.read_csv(
        io.StringIO(text), header=None, names=["c", "end"], low_memory=False, dtype=dtype
    )
    return frame["c"]


@given(texts=columns_of_text, cuts=st.sets(st.integers(1, 7)))
def test_slices_merge_to_what_pandas_infers_for_the_whole_or_are_refused(texts, cuts):
    places = [0, *sorted(cut for cut in cuts if cut < len(texts)), len(texts)]
    parts = [texts[a:b] for a, b in pairwise(places)]
    seen = ColumnFacts()
    for part in parts:
        seen |= observe(read(part))
    is_proven = is_proven_by(read(parts[0], dtype={"c": str}))
    has_wide = any(
        text.lstrip("-").isdigit() and not -(2**63) <= int(text) < 2**63 for text in texts
    )
    refusal, column = None, None
    try:
        column = freeze("c", seen, is_proven=is_proven)
    except PlanError as error:
        refusal = str(error)
    if column is None:
        assert "schema={'c': " in refusal
        assert has_wide
        return
    expected = read(texts)
    if not has_wide or is_proven:
        assert column.dtype == expected.dtype
    # Else each chunk that holds such an integer is refused, unless the column is of uint64.
    elif column.kind == "uint64":
        assert expected.dtype == np.uint64


@given(texts=columns_of_text, more=columns_of_text)
def test_once_proven_what_follows_makes_no_text_of_missing_values(texts, more):
    if is_proven_by(read(texts, dtype={"c": str})):
        both = read(texts + more)
        kept = both.isna().to_numpy()
        assert kept.sum() == sum(text in {"", "NA"} for text in texts + more)


def test_merging_is_the_same_in_any_order():
    parts = [observe(read([text])) for text in TOKENS]
    seen = [ColumnFacts(), ColumnFacts()]
    for place, order in enumerate((parts, random.Random(1).sample(parts, len(parts)))):
        for part in order:
            seen[place] |= part
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("texts", "dtype", "arrow"),
    [
        (["1"], "int64", pa.int64()),
        (["1", ""], "float64", pa.float64()),
        ([""], "float64", pa.float64()),
        (["True"], "bool", pa.bool_()),
        (["True", ""], "object", pa.bool_()),
        (["x", ""], "str", pa.large_string()),
        (["9223372036854775808"], "uint64", pa.uint64()),
    ],
)
def test_a_kind_has_a_pandas_and_an_arrow_type(texts, dtype, arrow):
    column = freeze("c", observe(read(texts)), is_proven=False)
    assert str(column.dtype) == dtype
    assert arrow_schema([column]).field("c").type == arrow


def test_a_column_of_no_rows_is_of_objects_as_in_pandas():
    assert freeze("c", ColumnFacts(), is_proven=False).dtype == read([]).dtype


@pytest.mark.parametrize(
    ("wanted", "dtype"),
    [
        ("int32", "int32"),
        (int, "int64"),
        ("float32", "float32"),
        (str, "str"),
        ("string", "string"),
        ("Int64", "Int64"),
        (bool, "bool"),
        (object, "object"),
        (pa.int16(), "int16"),
        (pa.string(), "str"),
        (pd.CategoricalDtype(["a", "b"]), "category"),
    ],
    ids=str,
)
def test_a_type_that_is_named_is_kept(wanted, dtype):
    column = given_columns(None, {"c": wanted}, ["b", "c"])["c"]
    assert str(column.dtype) == dtype
    assert column.is_given


def test_a_pyarrow_schema_names_types_by_column():
    schema = pa.schema({"0": pa.int64(), "b": pa.float64()})
    assert set(given_columns(None, schema, [0, "b"])) == {0, "b"}


@pytest.mark.parametrize(
    ("dtype", "schema", "said"),
    [
        (None, {"temprature": float}, "Did you mean 'temperature'"),
        ({"temprature": float}, None, "Did you mean 'temperature'"),
        (None, {"b": "datetime64[ns]"}, "convert in the chunk function"),
        (None, {"b": pa.timestamp("us")}, "cast in the chunk function"),
        (None, {"b": "complex128"}, "convert in the chunk function"),
        (None, {"b": "integer"}, "is not a dtype"),
        (None, "exact", "'scan'"),
        (None, ["b"], "dict"),
        ({"b": str}, {"b": str}, "keep one"),
    ],
    ids=str,
)
def test_a_schema_that_no_chunk_can_keep_is_refused(dtype, schema, said):
    with pytest.raises(PlanError) as caught:
        given_columns(dtype, schema, ["temperature", "b"])
    assert said in str(caught.value)


@pytest.mark.parametrize("schema", [{"a": "int64"}, pa.schema({"a": "int64"})])
def test_nothing_is_read_to_find_types_that_are_all_told(schema, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n")
    monkeypatch.setattr(csv_sample, "iter_slices", None)
    dataset = open_dataset(tmp_path / "a.csv", columns=["a"], schema=schema)
    assert dataset.schema.field("a").type == pa.int64()
