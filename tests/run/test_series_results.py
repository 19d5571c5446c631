"""A Series that a chunk gave: rows, labelled numbers, or refused, the same for every reducer."""

import logging
from itertools import chain

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from built_in_reducers import BUILT_IN
from pandas.testing import assert_series_equal

import taskinity_data as td
from taskinity_data.errors import CheckError, FlowFailed

FRAME = pd.DataFrame(
    {
        "x": [5.0, 1.0, np.nan, 3.0, 4.0, 1.0, 7.0, 2.0],
        "k": [1, 0, 2, 1, 0, 2, 1, 0],
        "s": list("abcabcab"),
        "t": pd.date_range("2020-01-01", periods=8),
    }
)
CUTS = [1, 3, 4, 100]
HOWS = ["sum", "mean", "min", "max"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "f.csv"
    FRAME.to_csv(path, index=False)
    return path


def run(source, function, reduce, size=3, **options):
    return td.process(
        source,
        function,
        reduce=reduce,
        chunk_size=f"{size} rows",
        scheduler="synchronous",
        **options,
    ).value


def totals(source, function, size, hows=HOWS, **options):
    """The answers of several reducers, of one run."""
    names = ", ".join(f"By{how}" for how in hows)
    text = "".join(f"    task By{how}:\n" for how in hows)
    flow = td.parse_flow(f"flow F:\n    task Use[*]:\n{text}    Use[*] -> [{names}]\n")
    tasks = {"use": function, **{f"by{how}": getattr(td, how)() for how in hows}}
    data = td.open_dataset(source, chunk_size=f"{size} rows", **options)
    run = td.run_flow(flow.bind(tasks), inputs={"data": data}, scheduler="synchronous")
    return {how: run.results[f"By{how}"] for how in hows}


def pieces(size, frame=FRAME):
    return [
        frame.iloc[start : start + size].reset_index(drop=True)
        for start in range(0, len(frame), size)
    ]


def same(got, want):
    assert got == want or (pd.isna(got) and pd.isna(want))
    assert isinstance(got, float) == isinstance(want, float)


ROWS = {
    "column": lambda c: c["x"],
    "integers": lambda c: c["k"],
    "bools": lambda c: c["x"] > 2,
    "nullable": lambda c: c["k"].astype("Int64").where(c["k"] > 0),
    "arrow": lambda c: c["x"].astype("float64[pyarrow]"),
    "filtered": lambda c: c["x"][c["x"] > 2],
    "first rows": lambda c: c.loc[c["k"] == 1, "x"],
    "none": lambda c: c["x"][c["x"] > 99],
    "none in most": lambda c: c["k"][c["x"] == 7],
    "head": lambda c: c["x"].head(2),
    "every other": lambda c: c["x"].iloc[::2],
    "without nulls": lambda c: c["x"].dropna(),
    "query": lambda c: c.query("x > 1").x,
    "in two parts": lambda c: pd.concat([c["x"][:1], c["x"][2:]]),
    "computed": lambda c: np.log(c["x"][c["x"] > 1]) * c["k"][c["x"] > 1],
    "row by row": lambda c: c[["x", "k"]].sum(axis=1),
    "made with the index": lambda c: pd.Series(np.where(c["k"] > 1, 1, 0), index=c.index),
    "of a filtered frame": lambda c: c.assign(y=c["x"] * 2)[c["k"] < 2]["y"],
    "exploded": lambda c: c["x"].map(lambda x: [x, x]).explode().astype("float64"),
}


@pytest.mark.parametrize("name", list(ROWS))
def test_a_series_labelled_by_rows_of_the_chunk_is_rows_whatever_the_cuts(name, path):
    function = ROWS[name]
    for size in CUTS:
        rows = pd.concat([function(piece) for piece in pieces(size)])
        got = totals(path, function, size, [*HOWS, "count"])
        assert got.pop("count") == len(rows)
        for how in HOWS:
            same(got[how], getattr(rows, how)())


@pytest.mark.parametrize(("column", "hows"), [("s", ["sum", "min", "max"]), ("t", HOWS[1:])])
def test_texts_and_times_are_reduced_as_pandas_reduces_a_series(column, hows, path):
    for size in CUTS:
        got = totals(path, lambda c: c[column], size, hows, parse_dates=["t"])
        assert got == {how: getattr(FRAME[column], how)() for how in hows}


LABELLED = {
    "group-by": lambda c: c.groupby("k")["x"].sum(),
    "two keys": lambda c: c.groupby(["s", "k"])["x"].sum(),
    "numbers of columns": lambda c: c[["x", "k"]].sum(),
    "quantiles": lambda c: c["x"].quantile([0.25, 0.5]),
    "by a mask": lambda c: c["x"].groupby((c["k"] > 0).to_numpy()).sum(),
    "counted": lambda c: c["s"].value_counts(),
    "named": lambda c: pd.Series(np.bincount(c["k"])).rename_axis("bin"),
    "rows named on purpose": lambda c: c["x"].rename_axis("row"),
    "another index": lambda c: c.set_index("s")["x"],
    "nothing in some chunks": lambda c: c[c["k"] > 1].groupby("k")["x"].sum(),
    "no labels in some chunks": lambda c: (
        c.groupby("k")["x"].sum() if len(c) > 2 else pd.Series(dtype="float64")
    ),
}


@pytest.mark.parametrize("name", list(LABELLED))
def test_a_series_labelled_otherwise_is_combined_label_by_label(name, path):
    function = LABELLED[name]
    for size in (3, 100):
        parts = [function(piece) for piece in pieces(size)]
        parts = [part for part in parts if len(part)]
        levels = list(range(parts[0].index.nlevels))
        for how, got in totals(path, function, size).items():
            want = getattr(pd.concat(parts).groupby(level=levels), how)()
            assert_series_equal(got, want, check_dtype=False, check_names=False)


REFUSED = {
    "bincount": lambda c: pd.Series(np.bincount(c["k"], minlength=3)),
    "group-by over an array": lambda c: c["x"].groupby(c["k"].to_numpy()).sum(),
    "without a name": lambda c: c.groupby("k")["x"].sum().rename_axis(None),
    "renumbered": lambda c: c["x"].reset_index(drop=True),
    "filtered and renumbered": lambda c: c[c["x"] > 2]["x"].reset_index(drop=True),
    "made anew": lambda c: pd.Series([c["x"].sum(), c["k"].sum()]),
    "objects": lambda c: pd.Series([1, 2], index=pd.Index([0, 1], dtype=object)),
    "categories": lambda c: c["x"].groupby(pd.Categorical(c["k"]), observed=True).sum(),
    "sorted by value": lambda c: c["x"].iloc[::-1],
    "one of two levels": lambda c: c[["x"]].stack(),
}
REDUCERS = {reducer.name: reducer for reducer in BUILT_IN.values()}
REDUCERS["group_by"] = td.group_by("x", n=("x", "count"))
for any_labels in ("collect", "concat"):
    del REDUCERS[any_labels]


@pytest.mark.parametrize("name", list(REFUSED))
def test_any_other_integers_without_a_name_are_refused_whatever_the_cuts(name, path):
    for size in [4] if name == "sorted by value" else CUTS:
        with pytest.raises(
            FlowFailed, match=r"(?s)a chunk returned a Series .*to_frame.*rename_axis"
        ):
            run(path, REFUSED[name], td.sum(), size)


@pytest.mark.parametrize("reducer", list(REDUCERS))
def test_every_reducer_refuses_them_at_once(reducer, path):
    calls = []

    def renumber(chunk):
        calls.append(len(chunk))
        return chunk["x"].reset_index(drop=True)

    with pytest.raises(FlowFailed, match=r"(?s)result\.to_frame\('x'\).*rename_axis\('bin'\)"):
        run(path, renumber, REDUCERS[reducer], size=100, retries=3, retry_delay="0s")
    assert calls == [8]


@pytest.mark.parametrize("reducer", list(REDUCERS))
def test_every_reducer_reads_rows_as_it_reads_a_frame_of_that_column(reducer, path):
    for function in (ROWS["column"], ROWS["filtered"]):
        want = run(path, lambda c, f=function: f(c).to_frame(), REDUCERS[reducer])
        got = run(path, function, REDUCERS[reducer])
        if reducer in HOWS:
            assert got == want["x"]
        elif isinstance(want, pd.DataFrame):
            pd.testing.assert_frame_equal(got, want)
        else:
            got, want = (got[0], want[0]) if reducer == "histogram" else (got, want)
            assert np.array_equal(got, want)


def test_each_of_the_two_lines_that_are_named_settles_it(path):
    def bins(chunk):
        return pd.Series(np.bincount(chunk["k"], minlength=3))

    rows = run(path, lambda c: bins(c).to_frame("value"), td.sum())
    assert rows.to_dict() == {"value": 8}
    labelled = run(path, lambda c: bins(c).rename_axis("bin"), td.sum())
    assert labelled.to_dict() == {0: 3, 1: 3, 2: 2}


@pytest.mark.parametrize("size", CUTS)
def test_sums_of_columns_named_by_integers_are_refused_also_where_there_is_one(size, tmp_path):
    (tmp_path / "one.csv").write_text("1\n2\n3\n4\n")
    (tmp_path / "three.csv").write_text("1,2,3\n" * 6)
    for name in ("one.csv", "three.csv"):
        with pytest.raises(FlowFailed, match="rename_axis"):
            run(tmp_path / name, lambda c: c.sum(), td.sum(), size, header=None)
        got = run(tmp_path / name, lambda c: c.sum().rename_axis("column"), td.sum(), header=None)
        assert got.index.name == "column"


@pytest.mark.parametrize("size", CUTS)
def test_columns_of_arrow_and_polars_have_no_labels_and_are_rows(size, path):
    def arrow(chunk: pa.Table):
        return chunk["x"]

    def array(chunk: pa.Table):
        return pc.multiply(chunk["k"].combine_chunks(), 2)

    def polars(chunk: pl.DataFrame):
        return chunk.filter(pl.col("k") > 0)["x"]

    rows = {arrow: FRAME["x"], array: FRAME["k"] * 2, polars: FRAME["x"][FRAME["k"] > 0]}
    for function, column in rows.items():
        want = {how: getattr(column, how)() for how in HOWS} | {"count": len(column)}
        assert totals(path, function, size, want) == want


def test_frames_of_an_iterator_and_of_a_list_are_chunks_too():
    frames = pieces(3)
    want = FRAME["x"][FRAME["x"] > 1].sum()
    stream = td.process(
        iter(frames), lambda c: c["x"][c["x"] > 1], reduce=td.sum(), scheduler="synchronous"
    )
    assert stream.value == want
    by_name = [piece.set_index("s") for piece in frames]
    by_place = [piece.set_axis(piece.index + 10) for piece in frames]
    for items in (frames, by_name, by_place):
        assert reduce_items(items, lambda item: item["x"][item["x"] > 1], td.sum()) == want
        assert reduce_items(items, lambda item: item["x"], td.max()) == FRAME["x"].max()
    sums = reduce_items(by_name, lambda item: item.groupby("s")["x"].sum(), td.sum())
    assert sums.to_dict() == FRAME.groupby("s")["x"].sum().to_dict()
    assert all(type(frame.index) is pd.RangeIndex for frame in frames)


def reduce_items(items, function, reducer):
    @td.task
    def use(item):
        return function(item)

    flow = td.parse_flow(
        "flow F:\n    task Prepare:\n    task Use[*]:\n    task Total:\n"
        "    Prepare -> Use[*] -> Total\n"
    )
    bound = flow.bind({"prepare": lambda: items, "use": use, "total": reducer})
    return td.run_flow(bound, scheduler="synchronous").value


def test_of_items_that_are_no_frames_no_labels_are_rows():
    got = reduce_items([1, 2], lambda item: pd.Series({"a": item}), td.sum())
    assert got.to_dict() == {"a": 3}
    with pytest.raises(FlowFailed, match="to_frame"):
        reduce_items([1, 2], lambda item: pd.Series([item, item]), td.sum())


def test_each_step_of_a_chain_has_the_rows_of_what_it_was_given(path):
    text = (
        "flow F:\n    task Filter[*]:\n    task Pick[*]:\n    task Total:\n"
        "    Filter[*] -> Pick[*] -> Total\n"
    )

    def total(first, second):
        flow = td.parse_flow(text).bind({"filter": first, "pick": second, "total": td.sum()})
        return td.run_flow(flow, inputs={"chunk": path}, scheduler="synchronous").value

    def renumber(chunk):
        return chunk[chunk["k"] > 0].reset_index(drop=True)

    assert total(renumber, lambda rows: rows["x"][1:]) == FRAME["x"][FRAME["k"] > 0][1:].sum()
    assert total(lambda chunk: chunk["x"], lambda x: x[x > 1] * 2) == 42
    with pytest.raises(FlowFailed, match="to_frame"):
        total(lambda chunk: pd.Series(np.bincount(chunk["k"])), lambda bins: bins * 2)


def test_what_goes_elsewhere_than_to_a_reducer_has_plain_labels(path):
    lists = td.reducer(lambda parts: [*chain(*parts)], partial=lambda part: [part])
    for function in (lambda c: c["x"][c["x"] > 1], lambda c: c[c["x"] > 1], lambda c: c.T):
        flow = td.parse_flow(
            "flow F:\n    task Pick[*]:\n    task Keep:\n    task Own:\n    task Count:\n"
            "    Pick[*] -> [Keep, Own, Count]\n"
        ).bind({"pick": function, "keep": list, "own": lists, "count": td.count()})
        results = td.run_flow(flow, inputs={"chunk": path}, scheduler="synchronous").results
        want = function(FRAME[["x", "k", "s"]])
        for part in (*results["Keep"], *results["Own"]):
            assert type(part.index) is type(want.index)
            assert part.ndim == 1 or type(part.columns) is type(want.columns)


def test_mean_of_numbers_that_chunks_gave_is_noticed_once(path, caplog):
    options = {"chunk_size": "3 rows", "scheduler": "synchronous"}
    with caplog.at_level(logging.WARNING):
        run_ = td.process(path, lambda c: c["x"].mean(), reduce=td.mean(), **options)
    means = [piece["x"].mean() for piece in pieces(3)]
    assert run_.value == pytest.approx(sum(means) / 3)
    assert ["mean of means" in record.getMessage() for record in caplog.records] == [True]
    assert ["mean of means" in line for line in run_.notices] == [True]
    for function, reducer in [(lambda c: c["x"], td.mean()), (lambda c: c["x"].sum(), td.sum())]:
        assert td.process(path, function, reduce=reducer, **options).notices == ()


def test_checks_know_which_series_are_rows(path):
    td.testing.check_reducer(td.sum(), [FRAME["x"], FRAME["x"] * 2])
    td.testing.check_reducer(td.sum(), [FRAME.groupby("s")["x"].sum()] * 2)
    td.testing.check_reducer(td.group_by("s", n=("x", "sum")), [FRAME.groupby("s")["x"].sum()] * 2)
    td.testing.check_chunkwise(lambda c: c["x"][c["x"] > 1], FRAME)
    assert run(path, lambda c: c["x"][c["x"] > 1], td.sum(), check=True) == 21
    assert run(path, lambda c: c.groupby("k")["x"].sum(), td.sum(), check=True).sum() == 23
    with pytest.raises(CheckError, match="to_frame"):
        run(path, REFUSED["bincount"], td.sum(), check=True)


def test_a_resumed_run_uses_what_is_kept_of_rows_again(path, tmp_path):
    calls, ready = tmp_path / "calls", tmp_path / "ready"

    def pick(chunk):
        with calls.open("a") as file:
            file.write("x")
        if chunk["x"].iloc[-1] == 2 and not ready.exists():
            raise ValueError("not yet")
        return chunk["x"]

    options = {"scheduler": "synchronous", "run_dir": tmp_path, "chunk_size": "3 rows"}
    with pytest.raises(FlowFailed):
        td.process(path, pick, reduce=td.sum(), resume=True, **options)
    ready.touch()
    assert td.process(path, pick, reduce=td.sum(), resume=True, **options).value == 23
    assert calls.read_text() == "x" * 4


def test_bools_and_integers_beside_nulls_in_columns_of_arrow_are_pandas_numbers(path):
    def bools(chunk: pa.Table):
        return pc.if_else(pc.equal(chunk["k"], 0), None, pc.equal(chunk["k"], 1))

    def integers(chunk: pl.DataFrame):
        return chunk.select(pl.when(pl.col("k") > 0).then(pl.col("k")).alias("k"))["k"]

    for size in (1, 3, 100):
        want = {"sum": 3, "mean": 0.6, "min": False, "max": True}
        assert totals(path, bools, size) == want
        want = {how: getattr(FRAME["k"][FRAME["k"] > 0], how)() for how in HOWS}
        got = totals(path, integers, size)
        assert got == want
        assert isinstance(got["max"], float)  # beside nulls, as pandas has them


@pytest.mark.parametrize("size", CUTS)
def test_means_of_times_are_rounded_as_pandas_rounds_them(size, path):
    def spans(chunk):
        return pd.to_timedelta(1 - chunk["k"] * 3, unit="us")

    assert run(path, spans, td.mean(), size) == spans(FRAME).mean()
    by_key = run(
        path,
        lambda c: pd.DataFrame({"s": c["s"], "t": spans(c)}),
        td.group_by("s", t=("t", "mean")),
    )
    assert by_key["t"].to_dict() == spans(FRAME).groupby(FRAME["s"]).mean().to_dict()
