"""``taskinity-data run --resume`` and ``taskinity-data runs``."""

import json
import os
import shlex
import signal
import sys
import types
from pathlib import Path

import pandas as pd
import pytest

import taskinity_data as td

TASKS = """\
import os, signal, threading
import taskinity_data as td


def data_preparation(data):
    return td.open_dataset(data, chunk_size="10 rows")


def process_chunk(chunk):
    with open("ran", "a") as file:
        file.write("x" if chunk["a"].iloc[0] < 40 else "y")
    if os.environ.get("STOP") and chunk["a"].iloc[0] >= 40:
        if os.environ["STOP"] == "raise":
            raise ValueError("stop here")
        if not os.path.exists("sent"):
            open("sent", "w").close()
            os.kill(os.getpid(), int(os.environ["STOP"]))
        threading.Event().wait(float(os.environ["NAP"]))
    return int(chunk["a"].sum())


def aggregate_results(process_chunk):
    return sum(process_chunk)
"""
RUN = ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
       "--scheduler", "threads", "--workers", "1", "--chunk-size", "10 rows")  # fmt: skip


@pytest.fixture
def stoppable(folder, monkeypatch):
    """The folder, with functions that stop where ``STOP`` says."""
    (folder / "my_tasks.py").write_text(TASKS)
    monkeypatch.delenv("STOP", raising=False)
    return folder


def runs_of(folder):
    return sorted(one for one in os.listdir(folder / ".taskinity") if one != ".gitignore")


def times(folder):
    return len((folder / "ran").read_text())


def test_a_failed_run_goes_on_by_its_id_or_as_the_newest(stoppable, call, monkeypatch):
    monkeypatch.setenv("STOP", "raise")
    said = call(*RUN)
    (run_id,) = runs_of(stoppable)
    assert said.exit_code == 1
    assert f"taskinity-data redrive {run_id}" in said.stdout
    for arguments in (("--resume", run_id), ("--resume",)):
        assert call(*RUN, *arguments).exit_code == 1
    assert (stoppable / "ran").read_text().count("x") == 4
    monkeypatch.delenv("STOP")
    said = call(*RUN, "--json", "--resume", run_id)
    answer = json.loads(said.stdout)
    assert (said.exit_code, answer["value"], answer["run_id"]) == (0, 4950, run_id)
    assert "finished chunks" in answer["notices"][-1]
    assert runs_of(stoppable) == [run_id]


def test_a_resume_of_what_is_not_there_is_a_wrong_call(stoppable, call):
    said = call(*RUN, "--resume", "20260101T000000-abcdef")
    assert said.exit_code == 2
    assert "no run" in said.stderr
    assert not (stoppable / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_says_how_to_go_on(stoppable, call_apart, call, number):
    said = call_apart(*RUN, "--json", env=os.environ | {"STOP": str(int(number)), "NAP": "0.1"})
    assert said.exit_code == 130
    (run_id,) = runs_of(stoppable)
    assert f"--resume {run_id}" in said.stderr
    answer = json.loads(said.stdout)
    assert (answer["status"], answer["run_id"]) == ("INTERRUPTED", run_id)
    before = times(stoppable)
    said = call(*RUN, "--resume", run_id)
    assert said.exit_code == 0
    # What ran when the signal came has ended, and was kept.
    assert times(stoppable) == 10
    assert before >= 5
    assert runs_of(stoppable) == [run_id]


def test_a_second_signal_stops_at_once(stoppable, call_apart):
    code = TASKS.replace(
        "threading.Event().wait", "os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait"
    )
    (stoppable / "my_tasks.py").write_text(code)
    said = call_apart(*RUN, env=os.environ | {"STOP": str(int(signal.SIGINT)), "NAP": "40"})
    assert said.exit_code == 130
    assert "Traceback" not in said.stderr


def test_runs_are_listed_shown_and_removed(stoppable, call, monkeypatch):
    assert "No runs in" in call("runs").stdout
    begun = stoppable / ".taskinity" / "begun"
    begun.mkdir(parents=True)
    (begun / "lock").touch()
    (begun / "run.json").write_text('{"run_id": "begun", "flow": "Totals"}')
    said = call("runs").stdout
    assert "INTERRUPTED" in said
    assert "NA" not in said
    call("runs", "clean", "--older-than", "0s")
    assert call(*RUN).exit_code == 0
    monkeypatch.setenv("STOP", "raise")
    assert call(*RUN).exit_code == 1
    listed = json.loads(call("runs", "list", "--json").stdout)["runs"]
    assert [one["status"] for one in listed] == ["FAILED", "COMPLETED"]
    assert [one["flow"] for one in listed] == ["Totals", "Totals"]
    text = call("runs").stdout
    failed, done = (one["run_id"] for one in listed)
    assert text.index(failed) < text.index(done)
    said = call("runs", "show", failed)
    assert said.exit_code == 0
    assert "Totals: FAILED" in said.stdout
    assert f"Log      {stoppable / '.taskinity' / failed / failed}.log\n" in said.stdout
    assert "ValueError: stop here" in said.stdout
    assert (
        f"\nNext     write the full report: taskinity-data report {done}\n"
        in call("runs", "show", done).stdout
    )
    shown = json.loads(call("runs", "show", done, "--json").stdout)
    # Ten chunks, and the two tasks that run once.
    assert (shown["value"], len(shown["outcomes"])) == (4950, 12)
    assert call("runs", "show", "nothing").exit_code == 2
    assert f"Would remove {done}" in call("runs", "clean", "--dry-run").stdout
    assert runs_of(stoppable) == sorted([failed, done])
    assert call("runs", "clean").stdout.startswith(f"Removed {done}")
    assert runs_of(stoppable) == [failed]
    removed = json.loads(call("runs", "clean", "--older-than", "0s", "--json").stdout)["removed"]
    assert [one["run_id"] for one in removed] == [failed]
    assert "Nothing to remove." in call("runs", "clean").stdout


# --- redrive --------------------------------------------------------------------------------------


def test_only_what_was_not_completed_is_run_again(stoppable, call, monkeypatch):
    monkeypatch.setenv("STOP", "raise")
    call(*RUN)
    (run_id,) = runs_of(stoppable)
    monkeypatch.delenv("STOP")
    (stoppable / "ran").unlink()
    said = call("redrive", run_id, "--scheduler", "threads", "--chunk-size", "10 rows", "--json")
    assert said.exit_code == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["value"] == sum(range(100))
    assert found["run_id"] == run_id
    assert times(stoppable) == 6


def test_a_redrive_takes_today_s_code(stoppable, call, monkeypatch):
    monkeypatch.setenv("STOP", "raise")
    call(*RUN)
    (run_id,) = runs_of(stoppable)
    monkeypatch.delenv("STOP")
    (stoppable / "ran").unlink()
    (stoppable / "better.py").write_text(TASKS.replace('["a"].sum()', '["a"].sum() * 2'))
    said = call(
        "redrive", run_id, "--tasks", "better.py", "--chunk-size", "10 rows",
        "--scheduler", "threads", "--json",
    )  # fmt: skip
    assert json.loads(said.stdout)["value"] == 2 * sum(range(100))
    assert times(stoppable) == 10
    assert "changed" in said.stderr


def test_what_only_the_same_call_can_go_on_with_is_refused(stoppable, call):
    done = td.process(
        "numbers.csv", len, run_dir=".taskinity", scheduler="synchronous", progress=False
    )
    said = call("redrive", done.run_id)
    assert said.exit_code == 2
    assert f"resume='{done.run_id}'" in said.stderr


def test_a_run_that_is_not_there_is_named(stoppable, call):
    said = call("redrive", "20260101T000000-aaaaaa")
    assert said.exit_code == 2
    assert "20260101T000000-aaaaaa" in said.stderr


def test_redrive_runs_only_what_was_set_aside(stoppable, call, monkeypatch):
    flow = (stoppable / "totals.flow").read_text()
    told = '        description: "Add up one chunk"\n'
    (stoppable / "totals.flow").write_text(flow.replace(told, told + "        on_error: bisect\n"))
    text = TASKS.replace(">= 40", "== 40")
    (stoppable / "my_tasks.py").write_text(text)
    monkeypatch.setenv("STOP", "raise")
    assert "taskinity-data redrive 2" in call(*RUN).stdout
    assert "Removed" not in call("runs", "clean").stdout
    call("runs", "clean", "--older-than", "0s")
    first = call(*RUN, "--json")
    assert first.exit_code == 3
    place = Path(json.loads(first.stdout)["quarantine"])
    assert sorted(one.suffix for one in place.iterdir()) == [".arrow", ".json"]
    (run_id,) = runs_of(stoppable)
    assert f"in {place}" in call("runs", "show", run_id).stdout
    (stoppable / "ran").unlink()
    monkeypatch.delenv("STOP")
    again = call("redrive", run_id, "--scheduler", "threads", "--json")  # cut as the run was
    assert again.exit_code == 0
    assert json.loads(again.stdout)["quarantine"] is None
    assert json.loads(again.stdout)["value"] == sum(range(100))
    assert times(stoppable) == 1


def test_what_failed_is_shown_with_its_place_or_its_key(folder, call):
    (folder / "list.flow").write_text(
        "flow List:\n    Numbers -> Half[*] -> Total\n    task Half[*]:\n        on_error: skip\n"
    )
    (folder / "list_tasks.py").write_text(
        "import taskinity_data as td\n"
        "def numbers(data):\n    return td.open_dataset(data) if data else [0, 1]\n"
        "def half(item):\n    raise ValueError('no')\n"
        "def total(half):\n    return 0\n"
    )
    for data in ("", "numbers.csv"):
        said = call(
            "run", "list.flow", "--tasks", "list_tasks.py", "--input", f"data={data}",
            "--scheduler", "synchronous", "--json",
        )  # fmt: skip
        answer = json.loads(said.stdout)
        failure = answer["failures"][0]
        where = f"first in {failure['path']} [{failure['start']} to {failure['stop']}]"
        shown = call("runs", "show", answer["run_id"]).stdout
        assert "Failed   Half: ValueError: no" in shown
        assert where in shown if data else f'"{failure["key"]}"' in shown


# --- diff and report ------------------------------------------------------------------------------


def test_two_runs_are_compared_as_text_and_as_an_object(stoppable, call):
    call(*RUN)
    (stoppable / "better.py").write_text(TASKS.replace('["a"].sum()', '["a"].sum() * 2'))
    call(*RUN, "--tasks", "better.py", "--workers", "2")
    after, before = td.list_runs(".taskinity")["run_id"]
    said = call("runs", "diff", before, after)
    assert "option workers: 1 -> 2" in said.stdout.splitlines()
    found = json.loads(call("runs", "diff", before, after, "--json").stdout)["differences"]
    assert [entry["name"] for entry in found if entry["kind"] == "code"] == ["ProcessChunk"]
    assert not [entry for entry in found if entry["name"] == "chunks"]
    assert call("runs", "diff", before, "nothing").exit_code == 2


def test_the_report_of_a_kept_run_is_written_where_it_was_asked_for(stoppable, call, monkeypatch):
    monkeypatch.setenv("STOP", "raise")
    call(*RUN)
    (run_id,) = runs_of(stoppable)
    said = call("report", run_id)
    assert said.stdout == f"Report: {stoppable / run_id}.html\n"
    said = call("report", run_id, "-o", "seen/r.html", "--json")
    answer = json.loads(said.stdout)
    assert (answer["status"], answer["report"]) == ("FAILED", str(stoppable / "seen" / "r.html"))
    assert "ValueError: stop here" in (stoppable / "seen" / "r.html").read_text()
    assert call("report", "nothing").exit_code == 2
    said = call("report", run_id, "-o", "numbers.csv/r.html")
    assert said.exit_code == 1
    assert "the report can't be written" in said.stderr


@pytest.mark.parametrize("decorator", ["", "@td.task\n", "@td.task(retries=1)\n"])
def test_a_failed_flow_is_redriven_by_the_command_that_its_summary_ends_with(
    stoppable, call, monkeypatch, decorator
):
    (stoppable / "my_tasks.py").write_text(TASKS.replace("def ", f"{decorator}def "))
    monkeypatch.setenv("STOP", "raise")
    said = call(*RUN)
    (run_id,) = runs_of(stoppable)
    redrive, replay, report = said.stdout.splitlines()[-3:]
    assert redrive.endswith(f"taskinity-data redrive {run_id}")
    assert f'td.replay("{run_id}", "' in replay
    assert report.endswith(f"taskinity-data report {run_id}")
    assert call("runs", "show", run_id).stdout.splitlines()[-4:-1] == [redrive, replay, report]
    monkeypatch.delenv("STOP")
    again = call(*redrive.partition("taskinity-data ")[2].split(), "--chunk-size", "10 rows")
    assert again.exit_code == 0


def test_functions_may_be_imported_by_the_file_that_redrive_looks_in(stoppable, call, monkeypatch):
    head, rest = TASKS.split("def process_chunk")
    (stoppable / "chunkwise.py").write_text(f"{head}\ndef process_chunk{rest}")
    names = "process_chunk, aggregate_results"
    (stoppable / "my_tasks.py").write_text(f"{head}\nfrom chunkwise import {names}\n")
    text = (stoppable / "chunkwise.py").read_text()
    (stoppable / "chunkwise.py").write_text(text.replace("def data_preparation", "def other"))
    monkeypatch.setenv("STOP", "raise")
    call(*RUN)
    (run_id,) = runs_of(stoppable)
    monkeypatch.delenv("STOP")
    said = call("redrive", run_id, "--chunk-size", "10 rows", "--json")
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["value"] == sum(range(100))


def test_what_is_shown_of_a_run_steers_no_terminal(stoppable, call, monkeypatch):
    (stoppable / "my_tasks.py").write_text(TASKS.replace("stop here", "\\x1b[2J\\u202e stop"))
    monkeypatch.setenv("STOP", "raise")
    call(*RUN)
    (run_id,) = runs_of(stoppable)
    for command in (("runs", "show", run_id), ("runs", "list")):
        said = call(*command)
        assert not set(said.stdout) & {"\x1b", "\u202e"}
    assert r"\x1b[2J\u202e stop" in call("runs", "show", run_id).stdout


# --- an output that is completed ------------------------------------------------------------------

WRITING = """\
import td_ran


def process_chunk(chunk):
    td_ran.numbers.append(int(chunk["a"].iloc[0]) // 10)
    if td_ran.numbers[-1] in td_ran.bad:
        raise ValueError("not yet")
    return chunk
"""
WRITE = ("run", "clean.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
         "--scheduler", "threads", "--chunk-size", "10 rows")  # fmt: skip


@pytest.fixture
def writing(folder, monkeypatch):
    """The folder, with a flow that writes; what comes tells which chunks ran, and refuses some."""
    ran = types.ModuleType("td_ran")
    ran.numbers, ran.bad = [], {2, 5, 9}
    monkeypatch.setitem(sys.modules, "td_ran", ran)
    text = (folder / "totals.flow").read_text()
    text = text.replace('        description: "Add up one chunk"\n', "        on_error: skip\n")
    (folder / "clean.flow").write_text(text)
    (folder / "my_tasks.py").write_text(
        "import taskinity_data as td\n"
        + WRITING
        + "\n\ndef data_preparation(data):\n    return td.open_dataset(data)\n"
        + "\n\ndef aggregate_results(process_chunk):\n    return len(process_chunk)\n"
    )
    return ran


def mend(folder, text):
    """Write the functions anew; another process would not have the old ones."""
    (folder / "my_tasks.py").write_text(text)
    sys.modules.pop("my_tasks", None)


def typed(said, **given):
    """What the summary says to type next, as arguments, with the values that it leaves open."""
    (line,) = [line for line in said.stdout.splitlines() if "taskinity-data redrive" in line]
    words = shlex.split(line.partition("taskinity-data ")[2])
    return [word.replace("...", given.get(word.partition("=")[0], "...")) for word in words]


@pytest.mark.parametrize("where", ["out", "memory://bucket/clean"])
def test_what_the_summary_says_completes_the_output(writing, folder, call, where):
    store = ("--storage-option", "note=1") if "://" in where else ()
    said = call(*WRITE, "--output", where, "--output-format", "csv", *store)
    assert said.exit_code == 3, said.stderr
    assert len(td.open_dataset(where).files) == 7
    (run_id,) = runs_of(folder)
    shown = call("runs", "show", run_id)
    assert typed(shown) == typed(said)
    if store:
        refused = call("redrive", run_id)
        assert refused.exit_code == 2
        assert "--storage-option note=..." in refused.stderr
    writing.numbers.clear()
    writing.bad.clear()
    again = call(*typed(said, note="1"))
    assert again.exit_code == 0, again.stderr
    assert sorted(writing.numbers) == [2, 5, 9]
    rows = pd.concat([chunk.read() for chunk in td.open_dataset(where).plan()])
    assert rows["a"].tolist() == list(range(100))
    assert runs_of(folder) == [run_id]
    refused = call(*typed(said, note="1"))
    assert (refused.exit_code, "already written" in refused.stderr) == (2, True)


def test_a_function_that_was_mended_runs_on_what_was_left_out_alone(writing, folder, call):
    said = call(*WRITE, "--output", "out", "--max-failures", "3")
    assert said.exit_code == 3
    writing.numbers.clear()
    text = (folder / "my_tasks.py").read_text()
    mend(folder, text.replace("in td_ran.bad", "in (5,)"))
    again = call(*typed(said))
    assert again.exit_code == 3
    assert "the current code" in again.stdout
    assert sorted(writing.numbers) == [2, 5, 9]
    mend(folder, text.replace("in td_ran.bad", "in ()"))
    writing.numbers.clear()
    assert call(*typed(again)).exit_code == 0
    assert writing.numbers == [5]
    assert pd.read_parquet("out")["a"].tolist() == list(range(100))


def test_a_run_that_failed_before_it_wrote_is_redriven_too(writing, folder, call):
    (folder / "clean.flow").write_text((folder / "totals.flow").read_text())
    said = call(*WRITE, "--output", "out", "--workers", "1")
    assert said.exit_code == 1
    assert not (folder / "out").exists()
    ran = set(writing.numbers)
    writing.numbers.clear()
    writing.bad.clear()
    again = call(*typed(said))
    assert again.exit_code == 0, again.stderr
    assert set(writing.numbers) == {*range(10)} - (ran - {2})
    assert pd.read_parquet("out")["a"].tolist() == list(range(100))


def test_a_url_with_secrets_is_not_typed_again(writing, folder, call):
    said = call(*WRITE, "--output", "memory://user:pw@bucket/clean")
    assert said.exit_code == 3
    (run_id,) = runs_of(folder)
    assert f'the same call with resume="{run_id}"; on the command line --resume {run_id}' in (
        said.stdout
    )
    assert call("redrive", run_id).exit_code == 2
    writing.bad.clear()
    again = call(*WRITE, "--output", "memory://user:pw@bucket/clean", "--resume", run_id)
    assert again.exit_code == 0, again.stderr


def test_a_run_that_stored_nothing_is_not_said_to_be_resumable(stoppable, call):
    (stoppable / "my_tasks.py").write_text(
        TASKS.replace("def process_chunk(chunk):", "def process_chunk(chunk):\n    1 / 0")
    )
    said = call(*RUN)
    (run_id,) = runs_of(stoppable)
    shown = call("runs", "show", run_id).stdout
    for text in (said.stdout, shown):
        assert "redrive" not in text
        assert "run a failed chunk in this process" in text


def test_one_chunk_is_reused_and_runs_that_are_equal_are_called_so(stoppable, call, monkeypatch):
    monkeypatch.setenv("STOP", "raise")
    arguments = [*RUN[:-1], "50 rows"]
    call(*arguments)
    (run_id,) = runs_of(stoppable)
    said = call(*arguments, "--resume", run_id)
    assert f"1 finished chunk of run {run_id} was reused" in said.stderr
    # The run stopped before it looked for more chunks.
    assert "Rows     100 planned = 50 processed + 50 failed" in said.stdout
    assert call("runs", "diff", run_id, run_id).stdout == "The runs do not differ.\n"
