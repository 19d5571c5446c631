"""Runs that are kept: their report afterwards, and what differs between two of them."""

import os
import re
import signal
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td
from taskinity_data.checkpoints.journal import Journal, list_segments, read_segment
from taskinity_data.checkpoints.values import encode
from taskinity_data.errors import FlowFailed, ResumeError
from taskinity_data.run.kept_run import load_run

MODULE = """\
FACTOR = 2


def scale(chunk):
    return chunk.assign(x=chunk.x * FACTOR)


def stop_at_50(chunk):
    if chunk.x.max() >= 50:
        raise ValueError("<b>stop</b>\\x1b[31m here")
    return chunk
"""

REDUCE = td.group_by("k", total=("x", "sum"))


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """The working directory, with a file of 100 rows and a module of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    frame(100).to_csv("a.csv", index=False)
    (tmp_path / "kept_tasks.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("kept_tasks", None)


def frame(rows):
    return pd.DataFrame({"k": ["a", "b"] * (rows // 2), "x": range(rows)})


def tasks():
    import kept_tasks

    return kept_tasks


def go(*given, **options):
    """A run as it is kept."""
    return load_run(live(*given, **options).run_id, "runs")


def live(source="a.csv", function=None, **options):
    base = {
        "reduce": REDUCE, "chunk_size": "10 rows", "scheduler": "synchronous", "run_dir": "runs",
    }  # fmt: skip
    return td.process(source, function or tasks().scale, **(base | options))


def failed(**options):
    with pytest.raises(FlowFailed) as caught:
        go(function=tasks().stop_at_50, **options)
    return load_run(caught.value.run.run_id, "runs")


def words_of(path):
    html = path.read_text()
    text = re.sub(r"<(style|title|desc)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", text)))


# --- report ---------------------------------------------------------------------------------------


def test_the_report_of_a_kept_run_says_what_that_of_the_run_itself_says(ground):
    done = td.process(
        "a.csv", tasks().scale, reduce=REDUCE, chunk_size="10 rows", scheduler="threads",
        workers=2, run_dir="runs",
    )  # fmt: skip
    there = words_of(done.report(ground / "then.html"))
    again = words_of(load_run(done.run_id, "runs").report(ground / "again.html"))
    assert f"log {ground / 'runs' / done.run_id / done.run_id}.log" in again
    # Shares of the whole differ: a run's own time goes on until its journal is closed.
    for title in ("10 of 10 chunks", "10 chunks: from", "11 attempts on"):
        parts = [text[text.index(title) :][:40] for text in (there, again)]
        assert parts[0] == parts[1]
    assert "10 chunks" in again
    assert "not kept" not in again


def test_a_failed_run_has_its_failures_and_the_calls_that_try_them_again(ground):
    path = failed().report("out/r.html")
    assert path.parent == ground / "out"
    words = words_of(path)
    assert "FAILED" in words
    assert "<b>stop</b>�[31m here" in words
    assert "a.csv [" in words
    assert "in stop_at_50" in words
    assert "not_run" not in words
    assert "Planned bytes and rows by status" in words
    assert "not run" in words


def test_chunks_of_an_earlier_try_are_told_as_such(ground):
    before = failed()
    import kept_tasks

    kept_tasks.stop_at_50.__code__ = (lambda chunk: chunk).__code__
    again = go(function=kept_tasks.stop_at_50, resume=before.run_id)
    assert again.run_id == before.run_id
    words = words_of(again.report())
    assert "COMPLETED" in words
    # Its code differs, so that all are run again; a try with the same code has them all.
    assert "10 of 10 chunks" in words
    third = go(function=kept_tasks.stop_at_50, resume=before.run_id)
    assert "10 of 10 chunks, 10 reused" in words_of(third.report())


@pytest.mark.parametrize("sizes", [(10, 30), (10, 30, 10)])
def test_chunks_of_an_earlier_try_that_were_cut_otherwise_are_kept_no_more(ground, sizes):
    run_id = failed().run_id
    for size in sizes:
        done = live(function=tasks().scale, chunk_size=f"{size} rows", resume=run_id)
        kept = load_run(run_id, "runs")
        assert sorted(kept.outcomes.key) == sorted(done.outcomes.key)
        assert kept.outcomes.rows.sum() == 100


def test_what_an_earlier_try_left_out_takes_no_time_of_a_later_one(ground):
    def stop(chunk):
        time.sleep(0.05)  # so long that it is no other chunk's companion in a batch
        at, is_second = chunk.x.iloc[0], Path("second").exists()
        if at == 90 or (at == 50 and is_second):
            raise KeyboardInterrupt
        if at in (30, 50) and not is_second:
            raise ValueError("bad")
        return chunk

    with pytest.raises(KeyboardInterrupt) as caught:
        live(function=stop, on_error="skip")
    (ground / "second").touch()
    with pytest.raises(KeyboardInterrupt):
        live(function=stop, on_error="skip", resume=caught.value.run.run_id)
    words = words_of(load_run(caught.value.run.run_id, "runs").report())
    assert "Workers over time" not in words  # of one attempt alone
    assert "8 of 9 chunks, 7 reused" in words
    assert "ValueError: bad skipped stop · 1 attempt" in words


def test_the_report_of_a_kept_run_has_its_inputs_options_and_versions(ground, monkeypatch):
    done = live(max_failures=3, sep=",", storage_options={})
    told = "Inputs source a.csv sep , storage_options a value that is not kept Options"
    assert told in words_of(done.report())
    run = load_run(done.run_id, "runs")
    monkeypatch.setattr(pd, "__version__", "0.0")
    words = words_of(run.report())
    assert told in words
    assert "chunk_size 10 rows max_failures 3" in words
    assert f"Environment python {sys.version.split()[0]}" in words


def without_end(run, *kinds):
    """The run's journal as it was before those records were written, in a run of its own."""
    (segment,) = list_segments(run.directory)
    copy = run.directory.with_name(run.run_id + "-cut")
    copy.mkdir()
    (copy / "lock").touch()
    journal = Journal(copy, copy.name)
    for record in read_segment(segment, run.run_id)[0]:
        if record.kind not in kinds:
            value = encode(record.load()) if record.nbytes else ()
            journal.add(record.kind, record.details, value)
    journal.close()
    return load_run(copy.name, "runs")


def test_a_run_that_was_killed_is_reported_as_far_as_it_came(ground):
    killed = without_end(go(), "E")
    assert killed.status == "INTERRUPTED"
    words = words_of(killed.report())
    assert "This run did not come to its end, or its process was killed" in words
    assert "10 chunks" in words
    assert "95th percentile" in words
    assert "Ledger" not in words


def test_a_run_without_chunks_has_a_report(ground):
    words = words_of(without_end(go(), "B", "C", "K", "P", "F", "E").report())
    assert "No chunk had ended, or none was kept." in words
    assert "Bottleneck" not in words
    assert "INTERRUPTED" in words


def test_a_run_that_ended_is_the_same_once_it_is_kept(ground):
    done = live(function=tasks().stop_at_50, on_error="skip")
    kept = load_run(done.run_id, "runs")
    assert type(kept) is type(done) is td.Run
    for name in (
        "run_id",
        "status",
        "scheduler",
        "workers",
        "sizes",
        "timings",
        "log",
    ):
        if name != "timings":
            assert getattr(kept, name) == getattr(done, name)
    assert kept.flow.to_text() == done.flow.to_text()
    assert set(kept.outcomes.key) == set(done.outcomes.key)
    assert kept.failures.traceback.tolist() == done.failures.traceback.tolist() != []
    pd.testing.assert_frame_equal(kept.ledger, done.ledger)
    pd.testing.assert_frame_equal(kept.value, done.value)
    assert done.directory == kept.directory.absolute() == ground / "runs" / done.run_id
    assert abs((kept.started - done.started).total_seconds()) < 60
    assert str(kept).splitlines()[0].startswith("stop_at_50: PARTIAL in ")
    assert done.diff(kept).empty


def test_a_run_that_is_not_kept_has_no_difference(ground):
    done = td.process(frame(4), len, reduce=sum, scheduler="synchronous")
    assert (done.directory, done.missing) == (None, ())
    with pytest.raises(ResumeError, match="was not stored"):
        done.diff(done)
    with pytest.raises(td.errors.BindError, match=r"not str: pass td\.load_run\(run_id\)"):
        done.diff(done.run_id)


GOES_ON = """\
import os, sys, threading
import taskinity_data as td

def wait(chunk):
    if len(os.listdir("marks")) >= 3:
        print("waits", flush=True)
        sys.stdin.readline()
    open(f"marks/{chunk.x.iloc[0]}", "w").close()
    return len(chunk)

td.process("a.csv", wait, chunk_size="10 rows", scheduler="threads", workers=1, run_dir="runs",
           progress=False)
"""


def test_a_run_that_goes_on_now_and_one_that_is_killed_have_reports(ground):
    (ground / "marks").mkdir()
    (ground / "goes_on.py").write_text(GOES_ON)
    process = subprocess.Popen(
        [sys.executable, "goes_on.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"waits\n"
        (run_id,) = td.list_runs("runs")["run_id"]
        run = load_run(run_id, "runs")
        assert run.status == "RUNNING"
        words = words_of(run.report())
        assert "This run is in progress" in words
        assert len(run.outcomes)
        assert f"{len(run.outcomes)} of {len(run.outcomes)} chunk" in words
        assert "threads, 1 worker" in words
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    words = words_of(load_run(run_id, "runs").report())
    assert "INTERRUPTED" in words
    assert "its process was killed" in words
    assert f"{len(run.outcomes)} of {len(run.outcomes)} chunk" in words


COMPARED = ["task", "key", "path", "start", "stop", "rows", "nbytes", "status", "attempts", "error"]


def rows_of(run):
    """What became of chunks and their parts, in their order."""
    frame = run.outcomes[run.outcomes.path.notna()].sort_values(["path", "start"])
    return frame[COMPARED].astype(object).where(frame.notna(), None).values.tolist()


def refuses(*numbers, error=ValueError):
    def look(chunk):
        if chunk.x.isin(numbers).any() and (error is ValueError or len(chunk) > 3):
            raise error("no")
        return chunk

    return look


@pytest.mark.parametrize("source", ["a.csv", "a.parquet", "frame", "files"])
@pytest.mark.parametrize("error", [ValueError, MemoryError])
def test_parts_of_split_chunks_stand_in_the_report_of_a_kept_run(ground, source, error):
    frame(100).to_parquet("a.parquet")
    source = frame(100) if source == "frame" else source
    if isinstance(source, str) and source == "files":
        for number in range(8):
            frame(4).assign(x=number).to_csv(f"part{number}.csv", index=False)
        source = "part*.csv"
    run = live(source, refuses(3, 42, error=error), on_error="bisect")
    kept = load_run(run.run_id, "runs")
    assert rows_of(kept) == rows_of(run)
    assert len(kept.attempts) == len(run.attempts) > 7
    assert kept.failures[COMPARED].values.tolist() == run.failures[COMPARED].values.tolist()
    now, then = words_of(run.report()), words_of(kept.report())
    assert "nothing is kept" not in then
    for words in (now, then):
        assert f"{len(run.plan)} chunks" in words
    counted = re.compile(r"[0-9]+ of [0-9]+ chunks")
    assert counted.findall(then) == counted.findall(now) != []


def test_a_chunk_that_runs_again_leaves_no_parts_of_before(ground):
    run = live(function=refuses(3, 42), on_error="bisect")
    other = live(function=refuses(45), on_error="bisect", resume=run.run_id)
    assert sorted(rows_of(load_run(run.run_id, "runs"))) == sorted(rows_of(other))
    whole = live(function=refuses(), on_error="bisect", resume=run.run_id)
    kept = load_run(run.run_id, "runs")
    assert sorted(rows_of(kept)) == sorted(rows_of(whole))
    assert len(rows_of(kept)) == 10
    with pytest.raises(FlowFailed):
        go(function=refuses(3, error=MemoryError), resume=run.run_id, reduce=lambda found: 1 / 0)
    kept = load_run(run.run_id, "runs")
    assert kept.status == "FAILED"
    assert len({tuple(row[1:5]) for row in rows_of(kept)}) == len(rows_of(kept)) > 10


# --- diff -----------------------------------------------------------------------------------------


def differences(before, after, kind):
    """Of one kind: name, before, after."""
    found = before.diff(after)
    found = found[found.kind == kind].drop(columns="kind")
    return [tuple(None if pd.isna(cell) else cell for cell in row) for row in found.to_numpy()]


def test_the_same_again_differs_in_nothing_but_times(ground):
    before, after = go(), go()
    assert set(before.diff(after).kind) == {"seconds"}
    assert {name for name, *_ in differences(before, after, "seconds")} <= {
        "the whole run", "work of ProcessChunk", "work of AggregateResults",
    }  # fmt: skip


def test_files_are_told_that_came_went_or_changed(ground):
    frame(20).to_csv("b.csv", index=False)
    frame(20).to_csv("c.csv", index=False)
    before = go(["a.csv", "b.csv"])
    frame(60).to_csv("a.csv", index=False)
    after = go(["a.csv", "c.csv"])
    found = {os.path.basename(name): pair for name, *pair in differences(before, after, "file")}
    assert found["b.csv"][1] is None
    assert found["c.csv"][0] is None
    assert None not in found["a.csv"]
    assert len(found) == 3
    (source,) = differences(before, after, "input")
    assert source == ("source", "['a.csv', 'b.csv']", "['a.csv', 'c.csv']")
    assert ("rows", "120", "80") in differences(before, after, "total")


def test_the_global_or_the_function_that_changed_is_named(ground):
    import kept_tasks

    def changed(before, after):
        return [name for name, *_ in differences(before, after, "code")]

    before = go()
    kept_tasks.FACTOR = 3
    after = go()
    assert changed(before, after) == ["kept_tasks.FACTOR"]
    kept_tasks.scale.__code__ = (lambda chunk: chunk.assign(x=chunk.x + 1)).__code__
    assert changed(after, go()) == ["ProcessChunk"]
    assert changed(go(), go(on_error=td.value(None))) == []
    assert changed(go(), go(reduce=td.group_by("k", total=("x", "max")))) == ["AggregateResults"]


def test_options_are_told_with_both_values(ground):
    after = go(chunk_size="20 rows", workers=3, scheduler="threads", max_failures="5%")
    assert sorted(differences(go(), after, "option")) == [
        ("chunk_size", "10 rows", "20 rows"),
        ("max_failures", None, "5%"),
        ("scheduler", "synchronous", "threads"),
        ("workers", None, "3"),
    ]
    written = go(reduce=None, output="out")
    assert differences(go(), written, "option") == [("output", None, "out")]


def test_a_table_in_memory_is_compared_by_what_it_holds(ground):
    before, same, other = go(frame(40)), go(frame(40)), go(frame(60))
    assert differences(before, same, "file") == []
    ((name, *_),) = differences(before, other, "file")
    assert name == "a table in memory"


def test_what_failed_in_one_run_stands_in_the_totals(ground):
    before, after = go(function=tasks().stop_at_50, on_error="skip"), failed()
    found = differences(before, after, "total")
    assert ("status", "PARTIAL", "FAILED") in found
    assert ("skipped", "5", "0") in found
    assert differences(before, after, "option") == []


def test_a_difference_is_inert(ground):
    name = "x\x1b[31m\nForged: line.csv"
    frame(20).to_csv(name, index=False)
    found = str(go().diff(go(name)).to_csv())
    assert "\x1b" not in found
    assert not [line for line in found.splitlines() if line.startswith("Forged")]


def test_secrets_are_kept_in_neither(ground):
    before, after = go(storage_options=None), go(max_failures=1)
    journal = b"".join(path.read_bytes() for path in ground.glob("runs/*/*.journal"))
    assert b"storage_options" not in journal
    assert [name for name, *_ in differences(before, after, "option")] == ["max_failures"]


def test_a_run_that_is_not_there_is_named(ground):
    with pytest.raises(ResumeError, match="20260101T000000-aaaaaa"):
        load_run("20260101T000000-aaaaaa", "runs")


# --- what is next ---------------------------------------------------------------------------------


def test_a_failed_run_says_what_to_type_next_and_that_works(ground):
    with pytest.raises(FlowFailed) as caught:
        go(function=tasks().stop_at_50)
    run = caught.value.run
    resume, replay, report = run.next_steps
    assert f'resume="{run.run_id}"' in resume
    assert f"run_dir={str(ground / 'runs')!r}" in replay
    with pytest.raises(ValueError, match="stop"):
        eval(replay.partition(": ")[2], {"td": td})
    command = report.partition(": ")[2]
    assert command == f"TASKINITY_RUN_DIR={ground / 'runs'} taskinity-data report {run.run_id}"
    assert [line[9:] for line in str(run).splitlines()[-3:]] == list(run.next_steps)
    assert load_run(run.run_id, "runs").next_steps == run.next_steps


def test_what_cannot_be_found_again_is_named_and_done_runs_have_no_next_step(ground):
    assert go().next_steps == ()
    with pytest.raises(FlowFailed) as caught:
        go(frame(60), tasks().stop_at_50)
    assert ", source=...)" in caught.value.run.next_steps[1]
    with pytest.raises(FlowFailed) as caught:
        go(function=tasks().stop_at_50, run_dir=None)
    # Too small to be kept, so that there is nothing to go on with.
    assert caught.value.run.next_steps == ()


def test_skipped_chunks_are_next_whether_the_others_were_written_or_not(ground):
    options = {"function": tasks().stop_at_50, "on_error": "skip"}
    for more in ({}, {"reduce": None, "output": "out"}):
        before = live(**options, **more)
        resume = before.next_steps[0]
        assert resume.endswith(f': the same call with resume="{before.run_id}"')
        assert before.next_steps == load_run(before.run_id, "runs").next_steps
        done = live(**(options | more | {"resume": before.run_id, "function": tasks().scale}))
        assert (str(done.status), done.next_steps) == ("COMPLETED", ())


# --- the log --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"function": len, "reduce": lambda found: 1 / 0}, "AggregateResults failed: ZeroDivision"),
        ({"run_timeout": 1e-9}, "run_timeout"),
    ],
    ids=["the aggregate", "the time"],
)
def test_the_log_says_why_a_run_failed_that_no_chunk_failed(ground, options, why):
    with pytest.raises(FlowFailed) as caught:
        go(**options)
    run = caught.value.run
    last = run.log.read_text().splitlines()[-1]
    assert f" ERROR {run.run_id} ended: FAILED, " in last
    assert why in last
    assert f"Its log is {run.log}" in str(caught.value).splitlines()


def test_a_small_call_leaves_no_log(ground):
    done = td.process(frame(4), len, reduce=sum, scheduler="threads")
    assert done.log is None
    assert not list(ground.rglob("*.log"))
