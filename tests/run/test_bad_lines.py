"""What a run hands over of lines that did not parse."""

import json
import os

import pandas as pd
import pytest
from click.testing import CliRunner

import taskinity_data as td
from taskinity_data.cli.group import commands
from taskinity_data.execution import run_account as book
from taskinity_data.outcome import Attempt, BadLine, BadLines, Outcome, Status

BAD = ["x,y,z", "p,q,r,s", "\x1b[31m,<b>,2"]


@pytest.fixture
def path(tmp_path):
    lines = ["a,b", "1,2", BAD[0], "3,4", BAD[1], BAD[2], "5,6", ""]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("chunk_size", [1, 9, "auto"])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_rows_are_those_that_pandas_leaves_and_the_others_come_back(path, chunk_size, scheduler):
    run = td.process(
        path,
        reduce=td.concat(),
        on_bad_lines="quarantine",
        chunk_size=chunk_size,
        scheduler=scheduler,
        progress=False,
    )
    pd.testing.assert_frame_equal(run.value, pd.read_csv(path, on_bad_lines="skip"))
    assert str(run.status) == "PARTIAL"
    told = run.bad_lines
    assert told["text"].tolist() == BAD
    assert told["reason"].tolist() == [f"expected 2 fields, saw {width}" for width in (3, 4, 3)]
    whole = path.read_bytes()
    assert [whole[a:b] for a, b in zip(told.start, told.stop, strict=True)] == told.raw.tolist()
    assert set(told.key) <= set(run.outcomes.key)
    ledger = run.ledger
    assert ledger.loc["quarantined", "rows"] == 3
    assert ledger.loc["quarantined", "bytes"] == sum(len(one.encode()) + 1 for one in BAD)
    assert ledger.loc["processed", "rows"] == 3
    assert ledger.loc["planned"].tolist() == ledger.drop("planned").sum().tolist()


def test_rows_that_failed_are_not_counted_with_lines_that_did_not_parse(path, tmp_path):
    def fail(chunk):
        if (chunk["a"] == 3).any():
            raise ValueError("three")
        return len(chunk)

    run = td.process(
        path, fail, on_bad_lines="quarantine", on_error="bisect", chunk_size="9 rows",
        run_dir=tmp_path / "runs", scheduler="synchronous", progress=False,
    )  # fmt: skip
    assert run.ledger.at["quarantined", "rows"] == 4
    for each in (run, td.load_run(run.run_id, run_dir=tmp_path / "runs")):
        assert each.bad_lines.attrs["count"] == 3
        assert "\n  3 lines did not parse" in each.explain()
        assert "only the first" not in each.explain()


def test_the_summary_names_count_and_first_lines_and_shows_them_inert(path):
    run = td.process(path, len, on_bad_lines="quarantine", progress=False)
    text = str(run)
    assert "3 lines did not parse and were quarantined: run.bad_lines" in text
    assert "expected 2 fields, saw 4: 'p,q,r,s'" in run.explain()
    assert "\x1b" not in text
    html = run._repr_html_()
    assert "3 lines did not parse" in html
    assert "<b>,2" not in html
    assert "\x1b" not in run.explain()


def test_a_run_without_bad_lines_is_complete(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    run = td.process(path, len, on_bad_lines="quarantine", progress=False)
    assert str(run.status) == "COMPLETED"
    assert run.bad_lines.empty
    assert run.bad_lines.dtypes.map(str).to_dict()["start"] == "int64"
    assert "Bad rows" not in str(run)


def test_a_chunk_that_a_value_stands_in_for_has_lines_only_where_it_was_read(path):
    def fail(chunk):
        raise ValueError("no")

    run = td.process(
        path, fail, on_bad_lines="quarantine", on_error=td.value(0), progress=False, chunk_size=9
    )
    ledger = run.ledger
    assert ledger.loc["planned"].tolist() == ledger.drop("planned").sum().tolist()


def test_the_command_line_ends_with_3_and_tells_them(path, tmp_path):
    script = tmp_path / "flow.py"
    script.write_text(
        "import taskinity_data as td\n"
        "@td.task\n"
        "def open_it(data):\n"
        "    return td.open_dataset(data, on_bad_lines='quarantine')\n"
        "@td.task\n"
        "def count(chunk):\n"
        "    return len(chunk)\n"
        "@td.flow\n"
        "def flow(data):\n"
        "    return count.map(open_it(data))\n"
    )
    result = CliRunner().invoke(
        commands,
        ["run", str(script), "--input", f"data={path}", "--json", "--scheduler", "synchronous"],
    )
    assert result.exit_code == 3, result.output
    told = json.loads(result.stdout)
    assert [one["text"] for one in told["bad_lines"]] == BAD


@pytest.mark.parametrize("use", ["to_dask", "to_delayed"])
def test_where_no_run_takes_them_it_is_refused(path, use):
    dataset = td.open_dataset(path, on_bad_lines="quarantine")

    @td.task
    def count(chunk):
        return len(chunk)

    @td.flow
    def flow(data):
        return count.map(data)

    with pytest.raises(td.errors.PlanError, match="on_bad_lines='skip'"):
        dataset.to_dask() if use == "to_dask" else flow.to_delayed(data=dataset)


def outcome(position, count=6):
    kept = tuple(
        BadLine("f", position * 100 + row, position * 100 + row + 2, row, b"x\n", "utf-8", "why")
        for row in range(count)
    )
    attempt = Attempt(1, 0.0, 0.1, "w")
    bad = BadLines(count, 2 * count, kept)
    return Outcome("P", f"k{position}", Status.COMPLETED, (attempt,), bad_lines=bad)


@pytest.mark.parametrize("order", [range(8), range(7, -1, -1), [3, 7, 0, 5, 1, 6, 2, 4]])
@pytest.mark.parametrize(("most", "max_nbytes"), [(10, 1 << 20), (1000, 21)])
def test_a_run_keeps_the_first_lines_whatever_order_chunks_end_in(
    order, most, max_nbytes, monkeypatch
):
    monkeypatch.setattr(book, "MAX_LINES", most)
    monkeypatch.setattr(book, "MAX_NBYTES", max_nbytes)
    taken = book.BadLineBook()
    held = 0
    for position in order:
        item = book_item(position)
        told = taken.take("P", item, outcome(position))
        assert told.bad_lines.lines == ()
        assert told.bad_lines.count == 6
        held = max(held, sum(len(lines) for _, lines in taken._lines.values()))
    assert [(entry.key, entry.line.row) for entry in taken.entries()] == [
        ("k0", row) for row in range(6)
    ] + [("k1", row) for row in range(4)]
    assert held <= 26


def book_item(position):
    from taskinity_data.execution.worker.job import Item

    return Item(f"k{position}", None, position)


def test_chunks_whose_columns_differ_are_named_by_file_and_range(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3,4\n5,6\n")

    def change(chunk):
        return chunk if chunk.a[0] < 5 else chunk.astype(str)

    with pytest.raises(td.errors.FlowFailed) as caught:
        td.process(
            path,
            change,
            output=tmp_path / "out",
            chunk_size=1,
            scheduler="synchronous",
            progress=False,
        )
    told = str(caught.value)
    assert "column 'a' is int64 in chunk 0" in told
    assert f"chunk 0 is {path} [bytes 4 to 8]" in told
    assert f"chunk 2 is {path} [bytes 12 to 16]" in told


def test_complex_numbers_that_are_to_be_written_are_refused_with_what_to_return(tmp_path):
    with pytest.raises(td.errors.FlowFailed, match="real and imaginary parts as two columns"):
        td.process(
            pd.DataFrame({"a": [1, 2]}),
            lambda chunk: chunk * 1j,
            output=tmp_path / "out",
            progress=False,
        )


def test_names_of_files_that_are_no_utf8_can_be_shown(tmp_path):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), b"a\xff.csv"))
    with open(path, "w") as file:
        file.write("a,b\n1,2\n1,2,3\n")
    run = td.process(path, len, on_bad_lines="quarantine", progress=False, scheduler="synchronous")
    assert run.bad_lines["path"].str.endswith(r"a\udcff.csv").all()
    assert run.outcomes["path"].dropna().str.endswith(r"a\udcff.csv").all()
    assert r"a\udcff.csv" in run.explain()

    def fail(chunk):
        raise ValueError(path)

    run = td.process(path, fail, on_error="skip", progress=False, on_bad_lines="skip")
    assert r"a\udcff.csv" in run.failures["error"].iloc[0]
