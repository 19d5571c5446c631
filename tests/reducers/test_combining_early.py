"""A group-by whose partials are combined early gives what one gives that holds them all."""

import datetime as dt
import tracemalloc
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from properties import examples, mostly_thorough

import taskinity_data as td
from taskinity_data.reducers import tree
from taskinity_data.reducers.grouped import GroupBy, group_by
from taskinity_data.reducers.tree import OrderedTree

PLENTY = 1 << 40


@pytest.fixture
def budget(monkeypatch):
    """Set the budget; the sizes of the partials that are combined are listed."""
    sizes = []
    combine = GroupBy.combine

    def count(self, partials):
        sizes.append(len(partials))
        return combine(self, partials)

    monkeypatch.setattr(GroupBy, "combine", count)

    def set_budget(nbytes):
        monkeypatch.setattr(tree, "BUDGET_NBYTES", nbytes)
        sizes.clear()
        return sizes

    return set_budget


def _reduce(reducer, chunks, nbytes, split_every=4, arrival=None):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree, "BUDGET_NBYTES", nbytes)
        ordered = OrderedTree(reducer.combine, split_every, reducer.measure)
    for position in range(len(chunks)) if arrival is None else arrival:
        ordered.add((position,), reducer.partial(chunks[position]))
    ordered.close(len(chunks))
    return reducer.finish(ordered.result())


def _make(rng, n):
    def holes(values, missing):
        return np.where(rng.random(n) < 0.3, missing, values)

    seconds = rng.integers(0, 8, n)
    return pd.DataFrame(
        {
            "text": pd.Series(
                rng.choice(["b", "a", "é", "", "a much longer text", None], n), dtype="str"
            ),
            "number": rng.integers(-4, 4, n),
            "half": holes(rng.integers(-2, 3, n) / 2 * rng.choice([-1.0, 1.0], n), np.nan),
            "bool": rng.random(n) < 0.5,
            "Int64": pd.array(holes(rng.integers(-9, 9, n), None), dtype="Int64"),
            "arrow": pd.array(holes(rng.integers(-9, 9, n), None), dtype=pd.ArrowDtype(pa.int64())),
            "string": pd.Series(rng.choice(["x", "y", None], n), dtype="string"),
            "time": pd.Series(pd.to_datetime(seconds, unit="s")).where(rng.random(n) < 0.7),
            "zoned": pd.Series(pd.to_datetime(seconds, unit="s", utc=True)).dt.tz_convert(
                "Asia/Tokyo"
            ),
            "span": pd.to_timedelta(seconds, unit="s"),
            "category": pd.Categorical(rng.choice(["u", "v", None], n), categories=["w", "v", "u"]),
            "date": pd.Series([dt.date(2013, 1, 1 + int(d)) for d in seconds], dtype=object),
            "object": pd.Series(rng.choice(["p", "q", None], n), dtype=object),
            "x": holes(rng.normal(size=n) * 10.0 ** rng.integers(-9, 9, n), np.nan),
            "i": rng.integers(-(2**62), 2**62, n) // 64,
        }
    )


NUMBERS = ["sum", "count", "mean", "min", "max", "var", "std", "first", "last", "nunique"]
AGGREGATES = {
    **{f"x_{how}": ("x", how) for how in [*NUMBERS, "approx_distinct"]},
    **{f"i_{how}": ("i", how) for how in ("sum", "mean", "min")},
    **{f"text_{how}": ("text", how) for how in ("min", "sum", "nunique", "last")},
    **{f"{name}_last": (name, "last") for name in ("category", "date", "zoned", "Int64", "object")},
    "arrow_max": ("arrow", "max"),
    "span_sum": ("span", "sum"),
    "time_mean": ("time", "mean"),
}
KEYS = [
    "text",
    "number",
    "half",
    "bool",
    "Int64",
    "arrow",
    "string",
    "time",
    "zoned",
    "span",
    "category",
    "date",
    "object",
    ("text", "half"),
    ("category", "half", "date"),
]


@pytest.mark.parametrize("by", mostly_thorough(KEYS, 3), ids=str)
def test_answers_combined_early_are_those_of_all_at_once(by, cut, rng):
    by = (by,) if isinstance(by, str) else by
    frame = _make(rng, 50)
    aggregates = {new: pair for new, pair in AGGREGATES.items() if pair[0] not in by}
    chunks = cut(frame, [1, 1, 9, 16, 24, 49])
    want = _reduce(group_by(*by, **aggregates), chunks, PLENTY)
    got = _reduce(group_by(*by, **aggregates), chunks, 0)
    assert_frame_equal(got, want, check_exact=True)
    exact = {new: pair for new, pair in aggregates.items() if pair[1] in ("count", "last")}
    whole = frame.groupby(list(by) if len(by) > 1 else by[0], observed=True).agg(**exact)
    assert_frame_equal(got[list(exact)], whole)


@examples(10)
@given(data=st.data(), seed=st.integers(0, 10**6), n=st.integers(0, 30))
def test_any_cuts_budgets_and_order_of_arrival_give_the_same_bits(data, seed, n, cut):
    frame = _make(np.random.default_rng(seed), n)
    by = data.draw(st.lists(st.sampled_from(["text", "number", "half"]), min_size=1, unique=True))
    reducer = group_by(*by, a=("x", "sum"), b=("x", "std"), c=("x", "min"), d=("string", "max"))
    chunks = cut(frame, data.draw(st.lists(st.integers(0, n), max_size=8)))
    arrival = data.draw(st.permutations(range(len(chunks))))
    want = _reduce(reducer, chunks, PLENTY)
    for nbytes in (0, data.draw(st.integers(1, 20_000))):
        got = _reduce(reducer, chunks, nbytes, arrival=arrival)
        assert_frame_equal(got, want, check_exact=True)


MIXED = {
    "integers, floats": [[1, 2, 3, 2**53], [2.0, 0.5, 2.0**53, -0.0], [0, 1, 2, 3]],
    "widths": [np.array([1, 2], "int8"), np.array([2, 3], "uint64"), np.array([3, -1], "int64")],
    "bools, integers": [[True, False], [0, 1], [2, 3]],
    "nullable": [pd.array([1, None], "Int64"), pd.array([1.0, 2.5], "Float64"), [1, 2]],
    "units": [
        pd.to_datetime(["2020-01-01"]).as_unit("s"),
        pd.to_datetime(["2020-01-01"]).as_unit("ns"),
    ],
    "zones": [
        pd.to_datetime(["2020-01-01T12:00"], utc=True),
        pd.to_datetime(["2020-01-01T12:00"], utc=True).tz_convert("Asia/Tokyo"),
    ],
    "categories": [
        pd.Categorical(["a", "b"]),
        pd.Categorical(["b", "c"]),
        pd.Series(["c", "a"], dtype=object),
    ],
    "texts": [
        pd.Series(["a", "b"], dtype="str"),
        pd.Series(["b", "a"], dtype=object),
        pd.Series(["b"], dtype="string"),
    ],
    "texts, numbers": [
        pd.Series(["a", "b"], dtype="str"),
        [1, 2],
        pd.Series(["b", 1, 2.0], dtype=object),
    ],
    "decimals": [pd.Series([Decimal("1.0"), Decimal(2)]), pd.Series([Decimal("1.00"), Decimal(3)])],
    "bytes": [pd.Series([b"a", b"\xff"]), pd.Series([b"\xff", b""])],
    "half surrogates": [
        pd.Series(["\ud800", "b"], dtype=object),
        pd.Series(["b", "\ud800"], dtype=object),
    ],
    "nulls alone": [pd.Series([None, None], dtype=object), [1, 2], pd.Series([np.nan, 1.0])],
}


@pytest.mark.parametrize("kind", mostly_thorough(list(MIXED), 3))
def test_chunks_of_different_dtypes_agree_combined_early_or_not(kind):
    """As keys and as values."""
    chunks = [pd.DataFrame({"k": keys, "v": range(len(keys))}) for keys in MIXED[kind] * 3]
    reducer = group_by("k", n=("v", "sum"), first=("k", "first"), kinds=("k", "nunique"))
    try:
        want = _reduce(reducer, chunks, PLENTY)
    except (TypeError, UnicodeEncodeError) as error:  # pandas can't list such keys either
        with pytest.raises(type(error)):
            _reduce(reducer, chunks, 0)
    else:
        assert_frame_equal(_reduce(reducer, chunks, 0), want, check_exact=True)
    chunks = [frame.rename(columns={"k": "v", "v": "k"}) for frame in chunks]
    reducer = group_by("k", last=("v", "last"), kinds=("v", "nunique"))
    want = _reduce(reducer, chunks, PLENTY)
    assert_frame_equal(_reduce(reducer, chunks, 0), want, check_exact=True)


def test_partials_that_wait_take_a_few_times_the_answer(rng):
    n_groups, n_chunks = 60_000, 20
    keys = [rng.integers(0, n_groups, 20_000) for _ in range(n_chunks)]
    reducer = group_by("k", **{how: ("v", how) for how in ("sum", "mean", "min", "max", "var")})
    chunks = [pd.DataFrame({"k": column, "v": column * 0.5}) for column in keys]
    want = _reduce(reducer, chunks, PLENTY, split_every=16)
    tracemalloc.start()
    got = _reduce(reducer, chunks, 0, split_every=16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert_frame_equal(got, want, check_exact=True)
    # 16 partials are 24 MB; the answer, and what it is made of, 7.
    assert peak < 30_000_000


@pytest.fixture
def numbers(tmp_path, rng):
    path = tmp_path / "numbers.csv"
    frame = pd.DataFrame({"k": rng.integers(0, 2_000, 10_000), "v": rng.normal(size=10_000)})
    frame.to_csv(path, index=False)
    return str(path)


LATE = {how: ("v", how) for how in ("sum", "mean", "std", "max")}


@pytest.mark.parametrize(
    "scheduler",
    ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.thorough)],
)
def test_a_run_that_combines_early_gives_the_same_bits_on_every_scheduler(
    scheduler, numbers, budget
):
    reducer = group_by("k", **LATE)
    options = {"chunk_size": "500 rows", "progress": False, "workers": 2}
    sizes = budget(PLENTY)
    want = td.process(numbers, reduce=reducer, scheduler="synchronous", **options).value
    assert sizes == [16, 4, 2]
    sizes = budget(0)
    got = td.process(numbers, reduce=reducer, scheduler=scheduler, **options).value
    if scheduler == "synchronous":  # elsewhere the first chunk may be the last to arrive
        assert len(sizes) > 3
    assert_frame_equal(got, want, check_exact=True)


def test_the_static_graph_gives_the_bits_of_a_run_that_combines_early(numbers, budget):
    dataset = td.open_dataset(numbers, chunk_size="500 rows")
    flow = td.parse_flow("flow F:\n    Open -> Part[*] -> Groups").bind(
        {
            "open": lambda data: data,
            "part": lambda chunk: chunk[chunk.v != 5],
            "groups": group_by("k", **LATE),
        }
    )
    want = flow.to_delayed(data=dataset).compute(scheduler="synchronous")
    sizes = budget(0)
    got = td.run_flow(flow, data=dataset, scheduler="threads", progress=False).value
    assert len(sizes) > 3
    assert_frame_equal(got, want, check_exact=True)
