"""``if_exists="append"``: each input is in the output once, whatever is repeated."""

import json
import os
import shutil
from pathlib import Path

import duckdb
import fsspec
import pandas as pd
import polars as pl
import pytest

import taskinity_data as td
from taskinity_data.errors import PlanError

URL = "memory://bucket/out"


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """A directory with an empty folder ``in``, and an empty ``memory://``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    store = fsspec.filesystem("memory").store
    store.clear()
    yield tmp_path
    store.clear()


def put(name, rows=10, folder="in"):
    """A file of so many rows; their numbers begin with that of the file."""
    first = 1_000 * int(name)
    frame = pd.DataFrame({"n": range(first, first + rows), "year": [2013, 2014] * (rows // 2)})
    frame.to_csv(f"{folder}/{name}.csv", index=False)
    return frame


def append(source="in", function=lambda chunk: chunk, **options):
    base = {"output": "out", "if_exists": "append", "scheduler": "synchronous"}
    base |= {"chunk_size": "5 rows", "progress": False}
    return td.process(source, function, **(base | options))


def numbers(target="out"):
    """The rows that stand there, by the library's own reader."""
    dataset = td.open_dataset(target)
    return pd.concat([chunk.read() for chunk in dataset.plan()]).n.tolist()


def every(*names, rows=10):
    return [1_000 * name + row for name in names for row in range(rows)]


def state(folder):
    """All that lies in `folder`, with what would show that it was written anew."""
    found = [Path(folder), *sorted(Path(folder).rglob("*"))]
    return [(str(one), one.stat().st_ino, one.stat().st_mtime_ns) for one in found]


@pytest.mark.parametrize("target", ["out", URL])
@pytest.mark.parametrize("output_format", ["parquet", "csv", "jsonl", "arrow"])
def test_a_nightly_job_has_each_input_once(ground, target, output_format):
    options = {"output": target, "output_format": output_format, "only_new": True, "resume": True}
    for night in (1, 1, 2, 3, 3, 3):
        put(str(night)) if not Path("in", f"{night}.csv").exists() else None
        run = append(**options)
        assert str(run.status) == "COMPLETED"
        assert numbers(target) == every(*range(1, night + 1))
    put("4")
    put("5")
    run = append(**options)
    assert run.output.rows == 20
    assert sorted({Path(one).name for one in run.plan.files}) == ["4.csv", "5.csv"]
    assert numbers(target) == every(1, 2, 3, 4, 5)


@pytest.mark.parametrize("target", ["out", URL])
@pytest.mark.parametrize("resume", [None, True])
def test_inputs_that_are_there_are_refused_with_the_choices_before_anything_runs(
    ground, target, resume
):
    put("1")
    append(output=target)
    put("2")
    calls = []
    with pytest.raises(PlanError) as caught:
        append(function=calls.append, output=target, resume=resume)
    for word in ("in/1.csv", "1 of these 2 inputs", "only_new=True", "allow_repeated=True",
                 "if_exists='overwrite'"):  # fmt: skip
        assert word in str(caught.value)
    assert "2.csv" not in str(caught.value)
    assert calls == []
    assert numbers(target) == every(1)
    append("in/2.csv", output=target)
    assert numbers(target) == every(1, 2)
    append(function=lambda chunk: chunk.assign(n=-chunk.n), output=target, allow_repeated=True)
    assert numbers(target) == every(1, 2) + [-n for n in every(1, 2)]


def test_where_nothing_is_new_nothing_runs_and_the_output_is_not_touched(ground):
    put("1")
    append(only_new=True)
    before = state("out")
    flow = td.parse_flow("flow Clean:\n    Prepare -> Clean[*] -> Join -> Report\n").bind(
        {
            "prepare": lambda data: td.open_dataset(data),
            "clean": lambda chunk: 1 / 0,
            "join": lambda clean: pd.concat(clean),
            "report": lambda join: len(join),
        }
    )
    run = td.run_flow(
        flow, data="in", output="out", if_exists="append", only_new=True, progress=False,
        scheduler="threads", run_dir="runs",
    )  # fmt: skip
    assert str(run.status) == "COMPLETED"
    assert (run.value, run.results["Join"]) == (None, None)
    assert run.output[1:] == (0, 0, 0)
    assert any("nothing is new" in text for text in run.notices)
    assert state("out") == before
    assert str(td.load_run(run.run_id, run_dir="runs").status) == "COMPLETED"
    assert "nothing is new" in str(run)
    run.report("report.html")
    counted = append(only_new=True, reduce=td.count())
    assert (counted.value, str(counted.status)) == (0, "COMPLETED")
    assert append(only_new=True).value == "out"
    assert state("out") == before


@pytest.mark.parametrize("target", ["out", URL])
@pytest.mark.parametrize("options", [{}, {"only_new": True}])
def test_a_changed_input_is_named_and_refused(ground, target, options):
    put("1")
    put("2")
    append(output=target)
    put("2", rows=12)
    put("3")
    with pytest.raises(PlanError, match=r"in/2\.csv, which has changed since.*overwrite"):
        append(output=target, **options)
    assert numbers(target) == every(1, 2)
    append("in/[!2].csv", output=target, only_new=True)
    assert numbers(target) == every(1, 2, 3)


def test_a_file_is_known_wherever_it_lies(ground):
    put("1")
    put("2")
    append()
    Path("in").rename("moved")
    Path("link").symlink_to("moved")
    for source in ("moved", ["moved/2.csv", "moved/1.csv"], str(ground / "moved"), "link",
                   (ground / "moved").as_uri()):  # fmt: skip
        assert append(source, only_new=True).output.rows == 0
    # Put back from a backup: another inode at the old place, of the old size and time.
    shutil.copytree("moved", "in")
    assert append("in", only_new=True).output.rows == 0
    # Written through another name of the same place.
    put("2", rows=12, folder="moved")
    shutil.rmtree("in")
    Path("in").symlink_to("moved")
    with pytest.raises(PlanError, match=r"2\.csv, which has changed since"):
        append("in", only_new=True)
    assert numbers() == every(1, 2)


def test_a_copy_is_a_file_of_its_own_unless_it_may_be_a_moved_one(ground):
    put("1")
    append()
    shutil.copyfile("in/1.csv", "in/2.csv")  # of another time
    append(only_new=True)
    assert numbers() == every(1, 1)
    Path("other").mkdir()
    shutil.copy2("in/1.csv", "other/3.csv")  # of the same
    with pytest.raises(
        PlanError, match=r"in/1\.csv, of which .*other/3\.csv has the size and time"
    ):
        append("other", only_new=True)
    shutil.copy2("in/1.csv", "in/3.csv")
    append(only_new=True)  # both are there, so that they are two
    assert numbers() == every(1, 1, 1)


def test_objects_of_one_content_in_a_store_are_two(ground):
    store = fsspec.filesystem("memory")
    source = Path(ground, "in")
    options = {"output": "out", "only_new": True}
    put("1")
    text = (source / "1.csv").read_bytes()
    store.pipe_file("/bucket/in/1.csv", text)
    append("memory://bucket/in", **options)
    assert append("memory://bucket/in", **options).output.rows == 0
    store.pipe_file("/bucket/in/2.csv", text)
    append("memory://bucket/in", **options)
    assert numbers() == every(1, 1)


def test_members_of_an_archive_are_inputs_of_their_own(ground):
    put("1")
    put("2")
    shutil.make_archive("both", "zip", "in")
    append("zip://1.csv::both.zip", only_new=True)
    append("zip://1.csv::both.zip", only_new=True)
    assert numbers() == every(1)
    append("zip://*.csv::both.zip", only_new=True)
    assert numbers() == every(1, 2)


def test_all_parts_lie_beside_each_other(ground):
    for night in range(1, 13):
        put(str(night))
        append(only_new=True)
    target = ground / "out"
    assert not [one for one in target.iterdir() if one.is_dir()]
    expected = every(*range(1, 13))
    parts = sorted(target.glob("*.parquet"))
    assert pd.concat(map(pd.read_parquet, parts)).n.tolist() == expected
    assert pl.read_parquet(f"{target}/*.parquet")["n"].to_list() == expected
    found = duckdb.sql(f"select n from '{target}/*.parquet'").df()
    assert found.n.tolist() == expected
    assert numbers() == pd.read_parquet(target).n.tolist() == expected
    told = json.loads((target / "_manifest.json").read_text())
    assert [one["path"] for one in told["parts"]] == [one.name for one in parts]
    assert told["rows"] == len(expected)


@pytest.mark.parametrize("target", ["out", URL])
def test_partitions_are_appended_to_in_their_own_directories(ground, target):
    for night in (1, 1, 2, 2, 3):
        put(str(night)) if not Path("in", f"{night}.csv").exists() else None
        append(output=target, partition_by="year", only_new=True)
    assert sorted(numbers(target)) == every(1, 2, 3)
    if target == "out":
        folders = [one.name[:11] for one in Path("out").iterdir() if one.is_dir()]
        assert sorted(folders) == ["year=2013", "year=2014"]
    with pytest.raises(PlanError, match="already"):
        append(output=target, partition_by="year")


def test_what_else_lies_in_the_directory_stays(ground):
    put("1")
    append()
    target = ground / "out"
    target.chmod(0o2775)
    (target / ".notes").mkdir()
    (target / ".notes" / "mine.txt").write_text("mine")
    (target / "_SUCCESS").write_text("")
    (target / ".link").symlink_to("/nowhere")
    put("2")
    append(only_new=True)
    assert (target / ".notes" / "mine.txt").read_text() == "mine"
    assert (target / "_SUCCESS").exists()
    assert (target / ".link").readlink() == Path("/nowhere")
    assert target.stat().st_mode & 0o7777 == 0o2775
    assert sorted(os.listdir(ground)) == ["in", "out"]


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: pd.DataFrame({"n": range(10)}), "a table in memory"),
        (lambda: iter([pd.DataFrame({"n": range(10)})]), "an iterator of frames"),
    ],
)
def test_what_has_no_files_is_appended_each_time_and_is_never_new(ground, make, what):
    options = {} if "iterator" not in what else {"chunk_size": "auto"}
    for _ in range(2):
        append(make(), **options)
    assert numbers() == 2 * list(range(10))
    with pytest.raises(PlanError, match=f"only_new=True: {what} has no fingerprint"):
        append(make(), only_new=True, **options)
    put("1")
    append("in", function=lambda chunk: chunk[["n"]], only_new=True)
    assert numbers() == 2 * list(range(10)) + every(1)


def test_a_list_of_items_is_never_new(ground):
    flow = td.parse_flow("flow Make:\n    task Make[*]:\n").bind(
        {"make": lambda item: pd.DataFrame({"n": [item]})}
    )
    options = {"output": "out", "if_exists": "append", "scheduler": "synchronous"}
    for _ in range(2):
        td.run_flow(flow, inputs={name: [1, 2] for name in flow.required_inputs}, **options)
    assert numbers() == [1, 2, 1, 2]
    with pytest.raises(PlanError, match="a list of items has no fingerprint"):
        td.run_flow(
            flow, inputs={name: [1] for name in flow.required_inputs}, only_new=True, **options
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only_new": True, "if_exists": "error"}, "only_new=True requires if_exists='append'"),
        ({"allow_repeated": True, "if_exists": "overwrite"}, "requires if_exists='append'"),
        ({"only_new": True, "allow_repeated": True}, "give one of them"),
        ({"only_new": "yes"}, "give True or False"),
        ({"only_new": True, "output": None}, "requires output="),
    ],
)
def test_options_that_say_nothing_are_refused(ground, options, said):
    put("1")
    with pytest.raises(PlanError, match=said):
        append(**options)


def refusing(*bad):
    def look(chunk):
        if set(chunk.n) & set(bad):
            raise ValueError("not yet")
        return chunk

    return look


@pytest.mark.parametrize("target", ["out", URL])
def test_rows_that_were_skipped_are_neither_lost_nor_doubled(ground, target):
    put("1")
    put("2")
    put("3")
    options = {"output": target, "on_error": "skip", "only_new": True, "run_dir": "runs"}
    # Of 2 the second chunk is missing, of 3 there is nothing.
    first = append(function=refusing(2_007, 3_001, 3_007), **options)
    assert str(first.status) == "PARTIAL"
    assert numbers(target) == every(1) + every(2, rows=5)
    put("4")
    second = append(function=refusing(3_001, 3_007), **options)
    lacks = [one for one in second.notices if "lacks rows of" in one]
    assert len(lacks) == 1
    assert "2.csv" in lacks[0]
    assert f'resume="{first.run_id}"' in lacks[0]
    assert "3.csv" not in lacks[0]
    assert numbers(target) == every(1) + every(2, rows=5) + every(4)
    # A failed upload that is sent again: another file of the same name, of which nothing is there.
    put("3", rows=12)
    append(**options)
    done = append(resume=first.run_id, **options)
    assert str(done.status) == "COMPLETED"
    assert numbers(target) == every(1, 2, 4) + every(3, rows=12)
    assert not [one for one in append(**options).notices if "lacks" in one]


def test_two_runs_that_append_at_once_are_one(ground):
    put("1")
    put("2")
    told = []

    def meddle(chunk):
        with pytest.raises(PlanError) as caught:
            append(only_new=True)
        told.append(str(caught.value))
        return chunk

    append(function=meddle, only_new=True, scheduler="threads", workers=1)
    assert all("is writing it" in text for text in told)
    assert numbers() == every(1, 2)
