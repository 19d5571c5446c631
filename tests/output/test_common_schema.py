"""Nulls take a type from others, at any depth, and nothing else does."""

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.errors import SchemaError
from taskinity_data.output.common_schema import CommonSchema, merge_types
from taskinity_data.output.sink import open_sink
from taskinity_data.output.to_arrow import plain_type

FLAT = st.sampled_from(
    [pa.null(), pa.int64(), pa.float64(), pa.string(), pa.binary(), pa.date32(), pa.string_view()]
)
DICTIONARIES = st.builds(
    pa.dictionary, st.sampled_from([pa.int8(), pa.int32()]), FLAT, st.booleans()
)
TYPES = st.recursive(
    FLAT | DICTIONARIES,
    lambda inner: (
        st.builds(pa.list_, inner)
        | st.builds(pa.large_list, inner)
        | st.lists(
            st.tuples(st.sampled_from("ab"), inner), max_size=2, unique_by=lambda p: p[0]
        ).map(pa.struct)
    ),
    max_leaves=4,
)


@given(TYPES, TYPES)
def test_merging_asks_for_no_order_and_is_final(one, other):
    one, other = plain_type(one), plain_type(other)
    merged = merge_types(one, other)
    assert merge_types(other, one) == merged
    assert merge_types(one, one) == one
    assert merge_types(one, pa.null()) == one
    if merged is not None:
        assert merge_types(merged, one) == merged
        assert merge_types(merged, other) == merged
    assert plain_type(one) == one


@pytest.mark.parametrize("format_", ["parquet", "arrow"])
def test_rows_of_any_order_of_chunks_have_the_full_types(tmp_path, format_):
    frames = [
        pd.DataFrame({"c": pd.Categorical(c), "s": s, "l": l})
        for c, s, l in (  # noqa: E741
            ([None, None], [None, None], [[], None]),
            (["x", None], [{"a": 1, "b": None}, None], [[1], [None]]),
            ([None, "y"], [{"a": None, "b": "t"}, None], [[], []]),
        )
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        target = tmp_path / "".join(map(str, order))
        with open_sink(target, format=format_) as sink:
            parts = [sink.writer.write("k", i, frames[j]) for i, j in enumerate(order)]
            told = sink.commit(parts)
        expected = {
            "c": pa.dictionary(pa.int32(), pa.large_string()),
            "s": pa.struct({"a": pa.int64(), "b": pa.large_string()}),
            "l": pa.large_list(pa.int64()),
        }
        assert told.schema.types == list(expected.values())
        table = ds.dataset(target, format=format_).to_table()
        wanted = pd.concat([frames[j] for j in order])
        assert table["c"].to_pylist() == [None if x != x else x for x in wanted.c.astype(object)]
        assert table["l"].to_pylist() == wanted.l.tolist()
        assert [s and (s["a"], s["b"]) for s in table["s"].to_pylist()] == [
            s and (s["a"], s["b"]) for s in wanted.s
        ]


def test_types_are_named_with_the_chunk_that_they_come_from():
    common = CommonSchema()
    common.add(pa.schema({"a": pa.null()}), "chunk 0")
    common.add(pa.schema({"a": pa.int64()}), "chunk 1")
    common.add(pa.schema({"a": pa.date32()}), "chunk 2", has_rows=False)
    with pytest.raises(SchemaError, match=r"int64 in chunk 1 and double in chunk 3") as caught:
        common.add(pa.schema({"a": pa.float64()}), "chunk 3")
    assert caught.value.column == "a"
    assert common.schema == pa.schema({"a": pa.int64()})
