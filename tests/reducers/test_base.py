import operator
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from built_in_reducers import BUILT_IN
from pandas.testing import assert_frame_equal, assert_series_equal

import taskinity_data as td
from taskinity_data.errors import BindError, ReduceError
from taskinity_data.reducers.base import Reducer, check_reduce, collect, concat, count, reducer


def test_every_built_in_is_in_this_list():
    names = {
        name
        for name in td.__all__
        if getattr(getattr(td, name), "__module__", "").startswith("taskinity_data.reducers.")
    }
    assert names - {"reducer"} == {text.partition("(")[0] for text in BUILT_IN}


@pytest.mark.parametrize("built_in", BUILT_IN.values(), ids=repr)
def test_the_name_of_every_built_in_leads_to_its_call(built_in):
    with pytest.raises(BindError, match=rf"write reduce=td\.{built_in.name}\("):
        check_reduce(built_in.name)


def assert_same(got, want):
    assert type(got) is type(want)
    if isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
    elif isinstance(want, pd.DataFrame):
        assert_frame_equal(got, want, check_exact=True)
    elif isinstance(want, pd.Series):
        assert_series_equal(got, want, check_exact=True)
    else:
        assert np.array_equal(got, want)


@pytest.mark.parametrize("text", list(BUILT_IN))
def test_every_built_in_keeps_the_protocol_pickles_and_reads_as_its_call(text):
    built_in = BUILT_IN[text]
    assert isinstance(built_in, Reducer)
    assert built_in.is_reducer is True
    assert built_in.wants in {"pandas", "arrow"}
    assert isinstance(built_in.name, str)
    assert built_in.releases_gil is True
    assert repr(built_in) == text
    assert pickle.loads(pickle.dumps(built_in)) == built_in
    assert hash(built_in) == hash(pickle.loads(pickle.dumps(built_in)))
    with pytest.raises(AttributeError):
        built_in.other = 1
    built_in.check(["k", "x"])


@pytest.mark.parametrize("text", list(BUILT_IN))
def test_partials_of_every_built_in_pickle_and_go_on_working(text, reduce):
    built_in = BUILT_IN[text]
    chunks = [pd.DataFrame({"k": ["a", "b"], "x": [i, i + 0.5]}) for i in range(4)]
    partials = [pickle.loads(pickle.dumps(built_in.partial(chunk))) for chunk in chunks]
    got = built_in.finish(pickle.loads(pickle.dumps(built_in.combine(partials))))
    assert_same(got, reduce(built_in, chunks, split_every=4))


@pytest.mark.parametrize("text", list(BUILT_IN))
def test_every_built_in_has_an_answer_without_any_chunk(text):
    built_in = BUILT_IN[text]
    answer = built_in.finish(None)
    assert type(answer) is type(built_in.finish(built_in.partial(pd.DataFrame({"k": [], "x": []}))))


def test_the_tree_and_the_protocol_import_neither_pandas_nor_numpy():
    code = (
        "import sys, taskinity_data.reducers.tree, taskinity_data.reducers.base\n"
        "print(sorted({'pandas', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "[]"


def test_collect_keeps_anything_in_chunk_order(reduce):
    results = ["a", None, 3, {"x": 1}, [4]]
    assert reduce(collect(), results, arrival=[4, 2, 0, 1, 3]) == results
    assert reduce(collect(), []) == []


def test_concat_is_pandas_concat_with_a_fresh_index(reduce, cut):
    frame = pd.DataFrame({"i": range(10), "s": pd.Series(list("abcdefghij"), dtype="str")})
    chunks = [*cut(frame, [3, 3, 7]), frame.iloc[:0]]
    got = reduce(concat(), chunks)
    assert_frame_equal(got, frame)
    assert isinstance(got.index, pd.RangeIndex)


def test_concat_of_results_without_rows_and_columns_keeps_dtypes(reduce):
    chunks = [pd.DataFrame(), pd.DataFrame({"i": [1]}), pd.DataFrame()]
    assert_frame_equal(reduce(concat(), chunks), pd.DataFrame({"i": [1]}))


def test_concat_of_tables_series_and_polars_frames_keeps_their_kind(reduce):
    tables = [pa.table({"i": [1]}), pa.table({"i": [2, 3]})]
    assert reduce(concat(), tables).to_pydict() == {"i": [1, 2, 3]}
    series = [pd.Series([1], name="x"), pd.Series([2], name="x")]
    assert_series_equal(reduce(concat(), series), pd.Series([1, 2], name="x"))
    pl = pytest.importorskip("polars")
    frames = [pl.DataFrame({"i": [1]}), pl.DataFrame({"i": [2]})]
    assert reduce(concat(), frames).to_dict(as_series=False) == {"i": [1, 2]}


@pytest.mark.parametrize("kind", ["arrow", "polars"])
def test_concat_fills_gaps_as_pandas_does(kind, reduce):
    chunks = [{"a": [1], "b": ["x"]}, {"b": ["y"], "c": [2.5]}, {}]
    want = pd.concat([pd.DataFrame(chunk) for chunk in chunks], ignore_index=True)
    if kind == "arrow":
        got = reduce(concat(), [pa.table(chunk) for chunk in chunks]).to_pandas()
    else:
        pl = pytest.importorskip("polars")
        got = reduce(concat(), [pl.DataFrame(chunk) for chunk in chunks]).to_arrow().to_pandas()
    assert_frame_equal(got, want)


def test_concat_refuses_what_is_no_frame_and_kinds_that_do_not_mix(reduce):
    with pytest.raises(ReduceError, match="a chunk returned int; use collect"):
        reduce(concat(), [3])
    with pytest.raises(ReduceError, match="different types"):
        reduce(concat(), [pd.DataFrame({"i": [1]}), pa.table({"i": [1]})])


@pytest.mark.parametrize("kind", ["arrow", "polars", "pandas"])
def test_concat_refuses_columns_that_do_not_fit_together(kind, reduce):
    if kind == "pandas":
        chunks = [pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": [1]})]
    elif kind == "arrow":
        chunks = [pa.table({"a": [1]}), pa.table({"a": ["x"]})]
    else:
        pl = pytest.importorskip("polars")
        chunks = [pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [[1]]})]
    with pytest.raises(ReduceError, match=r"concat\(\): chunks' results do not fit together: .*"):
        reduce(concat(), chunks)


def test_count_counts_rows_items_and_results(reduce):
    things = [
        pd.DataFrame({"a": [1, None, 3]}),
        pa.table({"a": [1, None]}),
        pd.Series([1, 2], index=["a", "b"]),
        np.zeros((4, 2)),
        [1, 2, 3],
        7,
        np.float64(1.5),
        "text",
        None,
    ]
    got = reduce(count(), things)
    assert got == 3 + 2 + 2 + 4 + 3 + 1 + 1 + 1 + 0
    assert type(got) is int
    assert reduce(count(), []) == 0
    assert count().columns() == ()


def test_a_reducer_of_ones_own_gets_lists_in_chunk_order(reduce):
    joined = reducer("".join, partial=str, finish=lambda text: f"<{text}>")
    assert reduce(joined, list(range(10)), arrival=list(reversed(range(10)))) == "<0123456789>"
    assert reduce(reducer(sum), [1, 2, 3, 4, 5]) == 15
    assert reduce(reducer(pd.concat), [pd.Series([1]), pd.Series([2])]).tolist() == [1, 2]


def test_a_reducer_of_ones_own_with_one_chunk_or_none(reduce):
    def refuse(partials):
        raise AssertionError

    assert reduce(reducer(refuse, partial=len), [[1, 2]]) == 2
    assert reduce(reducer(refuse, finish=len), []) is None


def test_none_is_a_partial_like_any_other(reduce):
    assert reduce(reducer(lambda parts: parts.count(None)), [None, None, 5]) == 2
    assert reduce(reducer(sum, finish=lambda partial: partial is None), [None]) is True


def test_dump_and_load_store_partials():
    own = reducer(sum, dump=str, load=int)
    partial = own.combine([own.partial(40), own.partial(2)])
    assert own.dump(partial) == "42"
    assert own.finish(own.load("42")) == 42
    assert reducer(sum).load(reducer(sum).dump((3,))) == (3,)


def test_a_reducer_that_is_put_together_wrongly_is_refused():
    with pytest.raises(ReduceError, match=r"combine=3\): must be a function"):
        reducer(3)
    with pytest.raises(ReduceError, match=r"finish='x'"):
        reducer(sum, finish="x")
    with pytest.raises(ReduceError, match="or neither"):
        reducer(sum, dump=str)


def test_a_reducer_of_ones_own_pickles_and_names_its_functions():
    own = reducer(operator.itemgetter(0), partial=len)
    assert pickle.loads(pickle.dumps(own)).partial([1]) == (1,)
    assert repr(reducer(sum, partial=len)) == "reducer(sum, partial=len)"
    assert own.name == "itemgetter"
    assert own.columns() is None
    own.check([])
