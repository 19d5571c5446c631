"""What a user types by mistake is answered by what was meant, or by what does work."""

import sqlite3

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.errors import BindError, PlanError

FRAME = pd.DataFrame({"dep_delay": [1.0, 2.0, 6.0], "carrier": ["A", "B", "C"]})


def work(chunk):
    return len(chunk)


def total(results):
    return sum(results)


FLOW = td.parse_flow("flow F:\n    Work[*] -> Total\n").bind([work, total])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: td.process(FRAME, reduce="sum"), r"write reduce=td.sum(...)"),
        (lambda: td.process(FRAME, reduce="groupby"), r"write reduce=td.group_by(...)"),
        (lambda: td.process(FRAME, reduce=3), r"write e.g. reduce=td.sum(), or td.group_by("),
        (lambda: td.process(FRAME, reduce=td.mean), r"call it, reduce=td.mean(...)"),
        (lambda: td.process(FRAME, len, chunksize=2), "Did you mean 'chunk_size'?"),
        (lambda: td.process(FRAME, len, reducer=sum), "Did you mean 'reduce'"),
        (lambda: td.process(FRAME, func=len), "Did you mean 'function'?"),
        (lambda: td.run_flow(FLOW, chunk=FRAME, worker=2), "Did you mean 'workers'"),
        (
            lambda: td.run_flow(FLOW, chunk=FRAME, timeout="3s"),
            "'timeout'. It is an option of tasks",
        ),
        (lambda: td.run_flow(FLOW, chunk=FRAME, sep=";"), "It is an option of td.open_dataset"),
        (lambda: td.process(FRAME, reduce=td.mean("dep_dela")), "Did you mean 'dep_delay'?"),
        (lambda: td.process(FRAME, lambda chunk, source: 1), "no value for parameter 'source'"),
    ],
)
def test_a_slip_is_answered_by_the_close_name(call, message):
    with pytest.raises((BindError, PlanError)) as caught:
        call()
    assert message in str(caught.value)


def test_a_parquet_file_takes_no_chunksize_and_says_what_does(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(PlanError, match="Did you mean 'chunk_size'"):
        td.open_dataset(tmp_path / "a.parquet", chunksize=2)


def test_columns_of_totals_are_accepted():
    assert td.process(FRAME, reduce=td.mean("dep_delay"), chunk_size="1 rows").value == 3.0


def test_a_database_is_answered_by_a_call_that_works(tmp_path):
    with pytest.raises(PlanError, match="database is read by pandas") as caught:
        td.process("sqlite:///a.db", len)
    call = str(caught.value).partition("chunks: ")[2].replace("100_000", "2")
    connection = sqlite3.connect(tmp_path / "a.db")
    FRAME.to_sql("flights", connection, index=False)
    names = {"td": td, "pandas": pd, "connection": connection, "function": len}
    assert eval(call, names | {"query": "select * from flights"}).value == [2, 1]
    connection.close()


def test_texts_are_answered_by_both_things_that_work(tmp_path):
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text("x;y\n1;2\n")
    with pytest.raises(PlanError) as caught:
        td.process(f"{tmp_path}/*.txt", len)
    for hint in ('format="csv"', "sep=", "function.map(paths)"):
        assert hint in str(caught.value)
    assert td.process(f"{tmp_path}/*.txt", format="csv", sep=";", reduce=td.sum("y")).value == 4

    @td.task
    def characters(path):
        return len(path.read_text())

    @td.flow
    def count(paths):
        return characters.map(paths)

    assert td.run_flow(count, paths=paths).value == [8, 8]
