"""A working directory that is gone and a disk that is full: errors that say what to do."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from properties import mostly_thorough

import taskinity_data as td

FRAME = pd.DataFrame({"a": [1, 2]})
FLOW = "flow F:\n    task Make:\n"


def count(source, **options):
    options = {"scheduler": "synchronous", "progress": False} | options
    return td.process(source, reduce=td.count(), **options)


@pytest.fixture
def gone(tmp_path, monkeypatch):
    """A working directory that was removed, and a folder that is there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    (tmp_path / "f.flow").write_text(FLOW)
    place = tmp_path / "place"
    place.mkdir()
    os.chdir(place)
    place.rmdir()
    yield tmp_path
    os.chdir(tmp_path)


CALLS = {
    "a frame": lambda _: count(FRAME),
    "a file": lambda folder: count(folder / "a.csv"),
    "a relative file": lambda _: td.open_dataset("a.csv"),
    "a relative glob": lambda _: td.open_dataset("*.csv"),
    "an output": lambda _: td.process(FRAME, output="out", scheduler="synchronous"),
    "a run_dir": lambda _: count(FRAME, run_dir="kept"),
    "runs": lambda _: td.list_runs(),
    "a run": lambda _: td.load_run("nosuch"),
    "a flow's file": lambda _: td.load_flow("f.flow"),
    "saving a flow": lambda _: td.save_flow(td.parse_flow(FLOW), "g.flow"),
    "flows": lambda _: td.list_flows("."),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_removed_working_directory_is_named(call, gone):
    with pytest.raises(td.errors.TaskinityDataError, match="working directory") as found:
        CALLS[call](gone)
    assert "cd" in str(found.value)


def test_a_whole_path_needs_no_working_directory(gone):
    assert td.open_dataset(gone / "a.csv").head(5)["a"].tolist() == [1, 2]
    assert td.load_flow(gone / "f.flow").name == "F"


@pytest.mark.parametrize(
    "command", mostly_thorough([["run", "f.flow"], ["runs"], ["plan", "a.csv"], ["doctor"]], 1)
)
def test_the_command_line_names_a_removed_working_directory(command, gone):
    done = subprocess.run(
        [sys.executable, "-m", "taskinity_data", *command],
        capture_output=True, text=True, check=False, env=os.environ | {"PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "working directory" in done.stderr
    assert "Traceback" not in done.stderr


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))


@pytest.fixture
def full(monkeypatch):
    """No file may grow beyond 1,000 bytes, as on a disk that is full."""
    # Compiled modules would be cut off, and fail wherever they are imported later.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.getsignal(signal.SIGXFSZ)
    limit_files()
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_report_that_finds_no_room_says_so(tmp_path, request):
    run = count(FRAME, run_dir=tmp_path / "kept")
    past = td.load_run(run.run_id, tmp_path / "kept")
    (tmp_path / "page.html").write_text("before")
    request.getfixturevalue("full")
    for report in (run.report, past.report):
        with pytest.raises(td.errors.TaskinityDataError, match="report") as found:
            report(tmp_path / "page.html")
        assert isinstance(found.value, OSError)
        assert str(tmp_path / "page.html") in str(found.value)
        assert "another" in str(found.value)
    # What was there is there, and nothing else.
    assert (tmp_path / "page.html").read_text() == "before"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["kept", "page.html"]


@pytest.mark.parametrize("place", ["file/page.html", "/proc/page.html", "/dev/full/page.html"])
def test_a_report_that_cannot_be_written_there_says_so(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(td.errors.TaskinityDataError, match="report") as found:
        count(FRAME).report(place)
    assert isinstance(found.value, OSError)
    assert place in str(found.value)


def test_a_report_in_a_removed_working_directory_says_so(tmp_path, monkeypatch):
    run = count(FRAME)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    place.rmdir()
    with pytest.raises(td.errors.TaskinityDataError, match="working directory"):
        run.report()
    os.chdir(tmp_path)
    assert run.report(tmp_path / "page.html").exists()


def test_the_command_line_keeps_the_answer_where_a_report_finds_no_room(tmp_path):
    (tmp_path / "f.flow").write_text(FLOW)
    (tmp_path / "t.py").write_text("def make():\n    return 42\n")
    command = [sys.executable, "-m", "taskinity_data"]
    kept = subprocess.run(
        [*command, "run", "f.flow", "--tasks", "t.py", "--report", "page.html"],
        cwd=tmp_path, capture_output=True, text=True, check=False, preexec_fn=limit_files,
        # Compiled modules would be cut off, and stay so.
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert kept.returncode == 0, kept.stderr
    assert "42" in kept.stdout
    assert "report can't be written" in kept.stderr
    assert "Traceback" not in kept.stderr
