"""`check=True` finds answers that depend on the cuts on a run's own chunks, and nothing else."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import taskinity_data as td
from taskinity_data.checks.compare import differ
from taskinity_data.errors import BindError, CheckError, FlowFailed
from taskinity_data.run import check as check_laws

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "k": RNG.choice(["a", "b", "c"], 600),
        "x": RNG.normal(10, 3, 600),
        "n": RNG.integers(0, 50, 600),
    }
)


@pytest.fixture
def ground(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("data.csv", index=False)
    FRAME.to_parquet("data.parquet")
    monkeypatch.setattr(check_laws, "MAX_S", 3600)  # no fewer cuts on a busy machine
    return tmp_path


def go(function, reduce, source="data.csv", **options):
    base = {"chunk_size": "150 rows", "scheduler": "synchronous", "check": True}
    return td.process(source, function, reduce=reduce, **(base | options))


GROUPS = td.group_by("k", total=("x", "sum"), mean=("x", "mean"), last=("n", "last"))


def to_table(chunk: pa.Table) -> pa.Table:
    return chunk.filter(pa.compute.greater(chunk["n"], 20))


SOUND = {
    "rows themselves": (None, GROUPS),
    "filter": (lambda chunk: chunk[chunk.n > 20], GROUPS),
    "filter of all": (lambda chunk: chunk[chunk.n > 1000], GROUPS),
    "table": (to_table, td.concat()),
    "row by row": (lambda chunk: chunk.assign(y=chunk.x * 2), td.collect()),
    "groups of each chunk, collected": (lambda chunk: chunk.groupby("k").x.sum(), td.collect()),
    "plain aggregate": (lambda chunk: len(chunk), sum),
    "number": (len, td.sum()),
    "own": (
        lambda chunk: chunk.groupby("k", as_index=False).x.sum(),
        td.reducer(lambda parts: pd.concat(parts).groupby("k", as_index=False).x.sum()),
    ),
}


def test_chunks_that_could_not_be_tried_are_not_called_independent_of_the_cuts(ground):
    run = go(lambda chunk: 1 / 0, td.sum(), "data.csv", on_error="skip")
    noted = [line for line in run.notices if line.startswith("check")]
    assert len(noted) == 3
    assert all("not tried there" in line for line in noted)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *((name, "data.csv") for name in SOUND),
        ("filter", FRAME),
        ("number", "data.parquet"),
    ],
    ids=lambda one: one if isinstance(one, str) else "frame",
)
def test_what_is_sound_runs_as_without_it(ground, name, source):
    function, reduce = SOUND[name]
    run = go(function, reduce, source)
    assert str(run.status) == "COMPLETED"
    (told,) = [line for line in run.notices if "check" in line]
    if name in ("groups of each chunk, collected", "plain aggregate"):
        assert "the same results again for the first 100 rows of 3 chunks; whether" in told
    else:
        assert "does not depend on the cuts as far as the first 100 rows of 3 chunks show" in told
    assert len(run.outcomes) >= 4
    without = go(function, reduce, source, check=False)
    assert differ(run.value, without.value) is None


@pytest.mark.parametrize(
    ("function", "is_told"),
    [
        (lambda chunk: chunk.drop_duplicates("n"), True),
        (lambda chunk: chunk[chunk.duplicated("n")], True),
        (lambda chunk: chunk.head(100), True),
        (lambda chunk: chunk[chunk.n % 3 == 0], False),
    ],
    ids=["drop_duplicates", "duplicated", "head", "filter"],
)
def test_what_only_rows_that_occur_twice_would_show_is_told(ground, function, is_told):
    run = td.process(
        pd.DataFrame({"n": range(4000)}),
        function,
        reduce=td.concat(),
        check=True,
        chunk_size="1_000 rows",
        scheduler="synchronous",
    )
    assert any("of rows that occur twice" in line for line in run.notices) is is_told


MEAN_OF_MEANS = td.reducer(
    lambda means: sum(means) / len(means), partial=lambda chunk: chunk.x.mean()
)
LAST = td.reducer(lambda parts: parts[-1] + len(parts), partial=lambda chunk: chunk.n.iloc[-1])

BROKEN = {
    "running total": (lambda chunk: chunk.assign(x=chunk.x.cumsum()), GROUPS, "ProcessChunk, red"),
    "running total, collected": (lambda chunk: chunk.x.cumsum(), td.collect(), "its rows depend"),
    "rank": (lambda chunk: chunk.assign(r=chunk.x.rank()), td.concat(), "ProcessChunk, reduced by"),
    "duplicates": (lambda chunk: chunk.drop_duplicates("n"), td.count(), "where rows are cut"),
    "mean of means": (None, MEAN_OF_MEANS, "can't be reduced|not associative|where rows are cut"),
    "counts its parts": (lambda chunk: chunk, LAST, "reducer"),
    "random": (lambda chunk: chunk.sample(5), td.concat(), "another result for the same rows"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_depends_on_the_cuts_is_found_before_anything_runs(ground, name):
    function, reduce, words = BROKEN[name]
    calls = []

    def counted(chunk):
        calls.append(len(chunk))
        return chunk if function is None else function(chunk)

    with pytest.raises(CheckError, match=words) as caught:
        go(counted, reduce)
    text = str(caught.value)
    assert "chunk 0, " in text
    assert "data.csv [bytes" in text
    assert "td.testing.check_reducer" in text
    assert caught.value.task == "ProcessChunk"
    assert caught.value.law
    assert max(calls) <= check_laws.ROWS
    assert go(function, reduce, check=False).value is not None


def test_the_rows_and_what_differs_are_shown(ground):
    with pytest.raises(CheckError) as caught:
        go(lambda chunk: chunk.drop_duplicates("k"), td.concat())
    text = str(caught.value)
    assert "In one chunk and in " in text
    assert text.count("\n---\n") >= 1


def test_what_is_written_is_compared_row_by_row(ground):
    go(lambda chunk: chunk[chunk.n > 20], None, output="sound")
    with pytest.raises(CheckError, match="its rows depend"):
        go(lambda chunk: chunk.drop_duplicates("n"), None, output="out")
    assert not (ground / "out").exists()


def test_flows_lists_and_streams_are_checked_too(ground):
    @td.task
    def process_chunk(chunk):
        return chunk.x.cumsum()

    @td.flow
    def look(data):
        return process_chunk.map(data)

    parts = [FRAME.iloc[:300], FRAME.iloc[300:]]
    for data in ("data.csv", parts, iter(parts)):
        with pytest.raises(CheckError, match="ProcessChunk: its rows"):
            td.run_flow(look, data=data, check=True, scheduler="synchronous")


def test_what_ran_before_the_check_is_told_with_the_failed_run(ground):
    flow = td.parse_flow("flow F:\n  DataPreparation -> ProcessChunk[*] -> Aggregate").bind(
        {
            "DataPreparation": lambda data: data,
            "ProcessChunk": lambda chunk: chunk.x.cumsum().to_frame(),
            "Aggregate": td.concat(),
        }
    )
    with pytest.raises(FlowFailed, match="where rows are cut") as caught:
        td.run_flow(flow, data="data.csv", check=True, scheduler="synchronous")
    assert isinstance(caught.value.__cause__, CheckError)
    assert not (caught.value.run.outcomes.task == "ProcessChunk").any()


def test_what_can_not_be_tried_is_said_and_run_all_the_same(ground):
    def by_itself(chunk: td.Chunk):
        return len(chunk.read())

    def refuse(chunk):
        if chunk.n.iloc[0] == FRAME.n.iloc[0]:
            raise ValueError("never this")
        return len(chunk)

    run = go(by_itself, td.sum())
    assert [line for line in run.notices if "reads its chunk itself" in line]
    assert run.value == 600
    run = go(refuse, td.sum(), on_error="skip")
    assert [line for line in run.notices if "never this" in line]
    assert run.value == 450
    flow = td.parse_flow("flow F:\n  Numbers -> Double[*] -> Total").bind(
        {"Numbers": lambda: [1, 2, 3], "Double": lambda number: number * 2, "Total": sum}
    )
    run = td.run_flow(flow, check=True)
    assert [line for line in run.notices if "no items whose rows can be cut" in line]
    assert run.value == 12


def test_a_slow_function_is_tried_on_fewer_cuts(ground, monkeypatch):
    monkeypatch.setattr(check_laws, "MAX_S", 5)
    ticks = iter(range(1_000_000))

    def tick():
        return next(ticks)

    calls, said = [], []
    real = check_laws.check_fan_out
    monkeypatch.setattr(
        "taskinity_data.run.check.check_fan_out",
        lambda fan_out, say: real(fan_out, said.append, tick),
    )
    assert go(lambda chunk: calls.append(1) or len(chunk), td.sum()).value == 600
    assert [line for line in said if "tried on few cuts" in line]
    assert len(calls) < 50


def test_inputs_are_left_as_they_were(ground):
    def spoil(chunk):
        chunk["x"] = 0.0
        return chunk

    before = FRAME.copy()
    run = go(spoil, td.concat(), FRAME)
    assert (run.value.x == 0).all()
    pd.testing.assert_frame_equal(FRAME, before)


def test_check_is_an_option_and_no_input(ground):
    with pytest.raises(BindError, match="Did you mean 'check'"):
        td.process("data.csv", len, chek=True)
