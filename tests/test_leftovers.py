"""What a stopped run leaves goes: with its signal, or with the next run of its output."""

import gzip
import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

import taskinity_data as td

pytestmark = pytest.mark.thorough

TASKS = """\
import time
import taskinity_data as td


def data_preparation(data):
    return td.open_dataset(data, chunk_size="10 rows")


def process_chunk(chunk):
    if chunk["a"].iloc[0] >= 20:
        print("hangs", flush=True)
        while True:  # a signal just before a sleep is handled when the sleep ends
            time.sleep(0.05)


def aggregate_results(process_chunk):
    return len(process_chunk)
"""
FLOW = "flow Totals:\n    DataPreparation -> ProcessChunk[*] -> AggregateResults\n"
WAIT_S = 120


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_terminal_that_is_closed_interrupts_a_run_and_leaves_no_temporary_file(
    tmp_path, scheduler
):
    (tmp_path / "my_tasks.py").write_text(TASKS)
    (tmp_path / "totals.flow").write_text(FLOW)
    text = "a\n" + "".join(f"{n}\n" for n in range(100))
    (tmp_path / "numbers.csv.gz").write_bytes(gzip.compress(text.encode()))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = ["run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv.gz"]
    with subprocess.Popen(
        [sys.executable, "-m", "taskinity_data", *command, "--scheduler", scheduler,
         "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(scratch)}, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            assert "hangs" in process.stdout.readline()
            assert [one.name for one in scratch.iterdir() if one.name.startswith("taskinity-")]
            process.send_signal(signal.SIGHUP)
            _, told = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert "--resume" in told
    assert "Traceback" not in told
    assert [one.name for one in scratch.iterdir() if one.name.startswith("taskinity-")] == []


def test_who_ignores_a_closed_terminal_is_not_stopped_by_it():
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "sys.argv[1:] = ['--version']\n"
        "from taskinity_data.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "os.kill(os.getpid(), signal.SIGHUP)\nprint('goes on')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "goes on"), ended.stderr


def stop(chunk):
    if chunk["n"].iloc[0] >= 20:
        raise KeyboardInterrupt
    return chunk


def write(function=lambda chunk: chunk, **options):
    frame = pd.DataFrame({"n": range(40)})
    return td.process(
        frame, function, output="out", chunk_size="10 rows", scheduler="synchronous",
        progress=False, **options,
    )  # fmt: skip


def kept():
    return sorted(name for name in os.listdir() if name.startswith(".out.kept-"))


def test_kept_parts_of_a_run_whose_directory_was_removed_go_with_the_next_run(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for run_dir in ("runs", "other"):
        with pytest.raises(KeyboardInterrupt):
            write(stop, run_dir=run_dir)
    gone, stays = os.listdir("runs"), os.listdir("other")
    (gone,) = [name for name in gone if name[0] != "."]
    (stays,) = [name for name in stays if name[0] != "."]
    assert kept() == sorted([f".out.kept-{gone}", f".out.kept-{stays}"])
    shutil.rmtree(f"runs/{gone}")
    write()
    assert kept() == [f".out.kept-{stays}"]
    done = write(resume=stays, run_dir="other", if_exists="overwrite")
    assert done.outcomes["attempts"].tolist().count(1) >= 2
    assert kept() == []
    assert pd.read_parquet("out").n.tolist() == list(range(40))
