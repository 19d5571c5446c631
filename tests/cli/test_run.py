"""``taskinity-data run``: answers, exit codes, and what stands on which stream."""

import json
import os
import signal
import subprocess
import sys
from textwrap import dedent

import pandas as pd
import pytest

CALL = ("run", "totals.flow", "--tasks", "my_tasks.py")
INPUTS = ("--input", "data=numbers.csv", "--input", "factor=2")
HERE = ("--scheduler", "synchronous", "--chunk-size", "30 rows")
TOTAL = sum(range(100)) * 2


def rewrite(folder, old, new):
    path = folder / "my_tasks.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_flow_with_functions_from_a_file_runs_and_shows_its_answer(folder, call):
    said = call(*CALL, *INPUTS, *HERE)
    assert said.exit_code == 0, said.stderr
    assert f"{{'total': {TOTAL}, 'chunks': 4}}" in said.stdout
    assert "Totals: COMPLETED" in said.stdout


def test_json_is_one_object_and_all_else_is_on_standard_error(folder, call_apart):
    rewrite(
        folder, "return int(", "import os; os.write(1, b'raw\\n'); print('hello')\n    return int("
    )
    said = call_apart(*CALL, *INPUTS, *HERE, "--json")
    answer = json.loads(said.stdout)
    assert said.exit_code == 0
    assert answer["status"] == "COMPLETED"
    assert answer["value"] == {"total": TOTAL, "chunks": 4}
    assert answer["ledger"]["rows"]["processed"] == 100
    assert answer["chunks"] == {"ProcessChunk": 4}
    assert answer["failures"] == []
    for text in ("looking for numbers.csv", "hello", "raw"):
        assert text in said.stderr


@pytest.mark.thorough
def test_worker_processes_print_to_standard_error_and_have_a_dashboard(folder, call_apart):
    rewrite(folder, "return int(", "print('hello from a worker', flush=True)\n    return int(")
    inputs = (*INPUTS, "--chunk-size", "30 rows", "--workers", "1")
    said = call_apart(*CALL, *inputs, "--dashboard", "--json")
    assert json.loads(said.stdout)["value"] == {"total": TOTAL, "chunks": 4}
    assert said.stderr.count("hello from a worker") == 4
    assert "Dashboard: http://" in said.stderr


@pytest.mark.thorough
def test_functions_of_the_tasks_file_reach_worker_processes_with_their_neighbours(
    folder, call_apart, tmp_path_factory
):
    (folder / "helper.py").write_text("def double(value):\n    return value * 2\n")
    rewrite(folder, "import taskinity_data as td", "import taskinity_data as td\nimport helper")
    rewrite(folder, "* int(factor)", "* helper.double(1)")
    rewrite(folder, "(chunk, factor)", "(chunk)")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    said = call_apart(
        "run", str(folder / "totals.flow"), "--tasks", str(folder / "my_tasks.py"),
        "--input", f"data={folder / 'numbers.csv'}", "--chunk-size", "30 rows",
        "--scheduler", "processes", "--workers", "1", "--json", cwd=elsewhere,
    )  # fmt: skip
    assert json.loads(said.stdout)["value"] == {"total": TOTAL, "chunks": 4}


def test_a_script_names_its_flow_with_the_tasks_beside_it(folder, call):
    script = dedent(
        """\
        import taskinity_data as td
        from my_tasks import aggregate_results, data_preparation, process_chunk

        flow = td.load_flow("totals.flow")
        """
    )
    (folder / "script.py").write_text(script)
    said = call("run", "script.py", *INPUTS, *HERE)
    assert said.exit_code == 0, said.stderr
    assert f"'total': {TOTAL}" in said.stdout


def test_a_flow_written_in_python_runs_from_its_script(folder, call):
    script = dedent(
        """\
        import taskinity_data as td

        @td.task
        def numbers(count):
            return list(range(int(count)))

        @td.task
        def square(number):
            return number * number

        @td.task
        def add(values):
            return sum(values)

        @td.flow
        def flow(count):
            return add(square.map(numbers(count)))
        """
    )
    (folder / "squares.py").write_text(script)
    said = call("run", "squares.py", "--input", "count=5", "--scheduler", "synchronous")
    assert said.exit_code == 0, said.stderr
    assert "\nAnswer   30\n" in said.stdout


def test_a_script_without_a_flow_is_told_what_to_write(folder, call):
    script = 'import taskinity_data as td\nmine = td.load_flow("totals.flow")\n'
    (folder / "script.py").write_text(script)
    said = call("run", "script.py")
    assert said.exit_code == 2
    assert "flow = mine" in said.stderr


def test_a_users_failure_is_1_with_frames_file_range_and_next_step(folder, call):
    rewrite(folder, "return int(", "assert chunk['a'].min() < 60, 'too large'\n    return int(")
    said = call(*CALL, *INPUTS, *HERE)
    assert said.exit_code == 1
    assert "AssertionError: too large" in said.stderr
    assert 'my_tasks.py", line 10, in process_chunk' in said.stderr
    assert "numbers.csv" in said.stderr
    assert "run a failed chunk in this process" in said.stdout
    assert "too large" not in said.stdout
    assert "execution/" not in said.stderr
    assert "Totals: FAILED" in said.stdout
    assert "in process_chunk" not in said.stdout


def test_a_failed_run_has_its_json_too(folder, call):
    rewrite(folder, "return int(", "raise ValueError('no')\n    return int(")
    said = call(*CALL, *INPUTS, *HERE, "--json")
    answer = json.loads(said.stdout)
    assert said.exit_code == 1
    assert answer["status"] == "FAILED"
    assert answer["failures"][0]["error"] == "ValueError: no"
    assert answer["failures"][0]["path"].endswith("numbers.csv")


def test_failures_within_the_limit_are_3(folder, call):
    text = (folder / "totals.flow").read_text()
    skips = '"Add up one chunk"\n        on_error: skip'
    (folder / "totals.flow").write_text(text.replace('"Add up one chunk"', skips))
    rewrite(folder, "return int(", "assert chunk['a'].min() < 60, 'too large'\n    return int(")
    said = call(*CALL, *INPUTS, *HERE, "--max-failures", "50%", "--json")
    answer = json.loads(said.stdout)
    assert said.exit_code == 3, said.stderr
    assert answer["status"] == "PARTIAL"
    assert answer["value"] == {"total": sum(range(60)) * 2, "chunks": 2}
    assert answer["ledger"]["rows"]["skipped"] == 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "totals.flow"), "--tasks FILE.py"),
        (("run", "total.flow"), "totals.flow"),
        ((*CALL, *HERE), "data"),
        ((*CALL, *INPUTS, "--input", "fakter=3"), "factor"),
        ((*CALL, "--input", "data"), "NAME=VALUE"),
        ((*CALL, "--input", "data=a", "--input", "data=b"), "is repeated"),
        ((*CALL, *INPUTS, "--workers", "0"), "x>=1"),
        ((*CALL, *INPUTS, "--chunk-size", "64 MiBs"), "64 MiBs"),
        ((*CALL, *INPUTS, "--chunk-size", "0"), "0"),
        ((*CALL, *INPUTS, "--memory", "lots"), "lots"),
        ((*CALL, *INPUTS, "--max-failures", "many"), "many"),
        ((*CALL, *INPUTS, "--scheduler", "treads"), "threads"),
        ((*CALL, "--imput", "data=a"), "--input"),
        (("run", "totals.flow", "--tasks", "my_task.py"), "my_tasks.py"),
        (("run", "totals.flow", "--tasks", "numbers.csv"), "*.py"),
    ],
)
def test_a_wrong_call_is_2_told_in_words_before_anything_runs(folder, call, arguments, told):
    said = call(*arguments)
    assert said.exit_code == 2
    assert told in said.stderr
    assert "Traceback" not in said.stderr
    assert "looking for" not in said.stdout


def test_a_wrong_call_has_its_json_too(folder, call):
    said = call(*CALL, *HERE, "--json")
    assert said.exit_code == 2
    assert json.loads(said.stdout)["error"]["type"] == "BindError"


def test_a_tasks_file_that_fails_is_shown_with_its_own_frames_alone(folder, call):
    (folder / "broken.py").write_text("def half():\n    return 1 / 0\n\nhalf()\n")
    said = call("run", "totals.flow", "--tasks", "broken.py", *INPUTS)
    assert said.exit_code == 2
    assert "ZeroDivisionError" in said.stderr
    assert 'broken.py", line 2, in half' in said.stderr
    assert "importlib" not in said.stderr
    assert "loading.py" not in said.stderr


def test_a_tasks_file_may_have_the_name_of_an_installed_module(folder, call):
    (folder / "my_tasks.py").rename(folder / "json.py")
    said = call("run", "totals.flow", "--tasks", "json.py", *INPUTS, *HERE)
    assert said.exit_code == 0, said.stderr
    assert json.loads("1") == 1


def test_a_dry_run_shows_chunks_by_calling_what_finds_them_and_nothing_else(folder, call):
    rewrite(folder, "return int(", "print('one chunk')\n    return int(")
    rewrite(folder, "return {", "print('all chunks')\n    return {")
    said = call(*CALL, *INPUTS, "--dry-run", "--chunk-size", "30 rows")
    assert said.exit_code == 0, said.stderr
    assert "1. DataPreparation: runs once" in said.stdout
    assert "2. ProcessChunk: once a chunk or item of what DataPreparation returns" in said.stdout
    assert "ChunkPlan of 4 chunks" in said.stdout
    assert "Called for that: DataPreparation" in said.stdout
    assert said.stdout.count("looking for") == 1
    assert "one chunk" not in said.stdout
    assert "all chunks" not in said.stdout
    assert not (folder / ".taskinity").exists()


def test_a_dry_run_tells_a_reducer_by_what_it_combines(folder, call):
    text = (folder / "my_tasks.py").read_text()
    (folder / "my_tasks.py").write_text(
        text[: text.index("def aggregate_results")] + "aggregate_results = td.sum()\n"
    )
    said = call(*CALL, *INPUTS, "--dry-run")
    assert (
        "3. AggregateResults: combines the partials of ProcessChunk, in chunk order" in said.stdout
    )


def test_a_dry_run_that_can_not_find_its_data_is_1_with_the_users_frames(folder, call):
    rewrite(folder, "return td.open_dataset(data)", "raise ValueError('nothing there')")
    said = call(*CALL, *INPUTS, "--dry-run")
    assert said.exit_code == 1
    assert "DataPreparation failed: ValueError: nothing there" in said.stderr
    assert 'my_tasks.py", line 6, in data_preparation' in said.stderr


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("list(range(7))", "7 items"),
        ("iter([])", "A chunk is each frame that it gives"),
        ("data", "ChunkPlan of 1 chunk"),
    ],
)
def test_a_dry_run_tells_what_is_no_dataset(folder, call, returned, told):
    rewrite(folder, "return td.open_dataset(data)", f"return {returned}")
    said = call(*CALL, *INPUTS, "--dry-run")
    assert said.exit_code == 0, said.stderr
    assert told in said.stdout


def test_a_dry_run_leaves_open_what_a_fan_out_has_to_bring(folder, call):
    (folder / "twice.flow").write_text(
        "flow Twice:\n    DataPreparation -> ProcessChunk[*] -> Choose -> Again[*]\n"
    )
    (folder / "my_tasks.py").write_text(
        (folder / "my_tasks.py").read_text()
        + "\n\ndef choose(process_chunk):\n    return [1]\n\n\ndef again(item):\n    return 1\n"
    )
    said = call("run", "twice.flow", "--tasks", "my_tasks.py", *INPUTS, "--dry-run", "--json")
    stages = {one["name"]: one for one in json.loads(said.stdout)["stages"]}
    assert stages["ProcessChunk"]["plan"]["chunks"] >= 1
    assert stages["Again"]["plan"] is None
    shown = call("run", "twice.flow", "--tasks", "my_tasks.py", *INPUTS, "--dry-run").stdout
    assert "Its chunks are known once Choose has run." in shown


def test_a_dry_run_shows_the_plan_of_data_that_is_an_input(folder, call):
    (folder / "totals.flow").write_text(
        "flow Totals:\n    ProcessChunk[*] -> AggregateResults\n"
        "    task ProcessChunk[*]:\n        description: 'x'\n".replace("'", '"')
    )
    rewrite(folder, "def data_preparation", "def _unused")
    said = call(
        *CALL, "--input", "chunk=numbers.csv", "--input", "factor=2", "--dry-run",
        "--chunk-size", "30 rows",
    )  # fmt: skip
    assert said.exit_code == 0, said.stderr
    assert "ChunkPlan of 4 chunks" in said.stdout


def test_a_dry_run_shows_the_slices_of_a_fixed_width(folder, call):
    (folder / "totals.flow").write_text("flow Totals:\n    ProcessChunk[3] -> AggregateResults\n")
    rewrite(folder, "def data_preparation", "def _unused")
    inputs = ("--input", "chunk=numbers.csv", "--input", "factor=2")
    said = call(*CALL, *inputs, "--dry-run", "--json")
    assert json.loads(said.stdout)["stages"][0]["plan"]["chunks"] == 3


def test_a_dry_run_tells_numbered_siblings_as_side_by_side(folder, call):
    (folder / "totals.flow").write_text(
        "flow Totals:\n    DataPreparation -> [ProcessChunk1, ProcessChunk2] -> AggregateResults\n"
    )
    said = call(*CALL, *INPUTS, "--dry-run")
    assert said.exit_code == 0, said.stderr
    assert "ProcessChunk (ProcessChunk1 to ProcessChunk2): 2 times, each over" in said.stdout
    assert "then" not in said.stdout


@pytest.mark.parametrize(
    "arguments",
    [(*CALL, "--input", "data"), ("plan", "numbers.csv", "--option", "x")],
)
def test_an_option_that_can_not_be_understood_is_in_the_json_object_too(folder, call, arguments):
    said = call(*arguments, "--json")
    assert said.exit_code == 2
    assert json.loads(said.stdout)["error"]["type"] == "SettingsError"


def test_an_input_that_is_missing_is_told_with_the_option_that_gives_it(folder, call):
    said = call(*CALL)
    assert said.exit_code == 2
    assert "no value for parameter 'data'" in said.stderr
    assert "--input data=…" in said.stderr


def test_a_dry_run_checks_what_a_run_would_check(folder, call):
    said = call(*CALL, "--input", "data=numbers.csv", "--dry-run")
    assert said.exit_code == 2
    assert "factor" in said.stderr


def test_a_scheduler_without_a_dashboard_says_so(folder, call):
    said = call(*CALL, *INPUTS, *HERE, "--dashboard")
    assert "Dashboard: none" in said.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_with_130(folder, number):
    # Short sleeps: a signal just before a sleep is handled when the sleep ends.
    waits = (
        "import time; print('began', flush=True)\n    while True: time.sleep(0.05)\n    return int("
    )
    rewrite(folder, "return int(", waits)
    command = [sys.executable, "-m", "taskinity_data", *CALL, *INPUTS, *HERE, "--json"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        told = iter(process.stderr.readline, "")
        assert any(line == "began\n" for line in told)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    answer = json.loads(stdout)
    assert answer["status"] == "INTERRUPTED"
    assert answer["ledger"]["bytes"]["processed"] == 0
    assert "Traceback" not in stderr


def test_the_text_that_people_bring_gives_the_answer_of_one_whole_frame(
    folder, call_apart, datasets, demo_text
):
    (folder / "demo.flow").write_text(demo_text)
    rewrite(folder, "(chunk, factor)", "(chunk)")
    rewrite(folder, 'int(chunk["a"].sum()) * int(factor)', 'int((chunk["arr_delay"] > 15).sum())')
    months = sorted((datasets / "flights_csv").glob("*.csv"))
    said = call_apart(
        "run", "demo.flow", "--tasks", "my_tasks.py", "--workers", "2", "--json",
        "--input", f"data={datasets / 'flights_csv' / '*.csv'}",
    )  # fmt: skip
    answer = json.loads(said.stdout)
    late = sum(int((pd.read_csv(month)["arr_delay"] > 15).sum()) for month in months)
    assert len(months) > 1
    assert answer["value"] == {"total": late, "chunks": 4}
    assert said.exit_code == 0


def test_the_log_is_kept_where_the_setting_says(folder, call, monkeypatch):
    monkeypatch.setenv("TASKINITY_LOG_DIR", str(folder / "kept" / "here"))
    call(*CALL, *INPUTS, *HERE)
    (run_id,) = (path.name for path in (folder / ".taskinity").iterdir() if path.is_dir())
    text = (folder / "kept" / "here" / f"{run_id}.log").read_text()
    assert f"INFO {run_id} flow Totals begins" in text
    assert f"INFO {run_id} ended: COMPLETED" in text


def test_a_run_leaves_its_log_and_what_is_kept_of_it(folder, call):
    before = sorted(folder.iterdir())
    assert call(*CALL, *INPUTS, *HERE).exit_code == 0
    left = {path.name for path in folder.iterdir() if path not in before}
    assert left - {"__pycache__"} == {".taskinity"}
    assert len(list((folder / ".taskinity").glob("*/*.log"))) == 1


def test_the_last_line_is_a_command_whether_the_run_is_stored_or_not(folder, call, monkeypatch):
    said = call(*CALL, *INPUTS, *HERE)
    (run_id,) = (path.name for path in (folder / ".taskinity").iterdir() if path.is_dir())
    command = f"write the full report: taskinity-data report {run_id}"
    assert said.stdout.splitlines()[-1].removeprefix("Next").strip() == command
    # As of a directory of somebody else.
    monkeypatch.setattr(os, "access", lambda _, mode: mode == os.R_OK)
    for factor, status in (("2", "COMPLETED"), ("none", "FAILED")):
        said = call(*CALL, "--input", "data=numbers.csv", "--input", f"factor={factor}", *HERE)
        assert f"Totals: {status}" in said.stdout
        last = said.stdout.splitlines()[-1].removeprefix("Next").strip()
        assert last == "write the full report: add --report FILE.html"


def test_what_is_reused_is_a_note(folder, call):
    call(*CALL, *INPUTS, *HERE)
    said = call(*CALL, *INPUTS, *HERE, "--resume")
    assert "\nNote: 4 finished chunks of run " in f"\n{said.stderr}"
    assert "WARNING" not in said.stderr


def test_a_failed_run_says_where_its_log_is_and_what_it_said_is_in_it(folder, call):
    (folder / "my_tasks.py").write_text(
        "import logging\nimport taskinity_data as td\n\n\n"
        "def data_preparation(data):\n    return td.open_dataset(data)\n\n\n"
        "def process_chunk(chunk, factor):\n"
        "    logging.getLogger('mine').info('factor %s', factor)\n"
        "    raise ValueError(factor)\n\n\n"
        "def aggregate_results(process_chunk):\n    return 0\n"
    )
    said = call(*CALL, *INPUTS, "--scheduler", "processes", "--workers", "1")
    assert said.exit_code == 1
    (log,) = (folder / ".taskinity").glob("*/*.log")
    assert f"Its log is {log}" in said.stderr
    lines = log.read_text().splitlines()
    (mine,) = [number for number, line in enumerate(lines) if line.endswith(" mine: factor 2")]
    assert " ProcessChunk/" in lines[mine]
    assert any("ERROR" in line and "ValueError: 2" in line for line in lines[mine:])
    assert said.stderr.count("ValueError: 2") == 1


def test_a_log_that_cannot_be_written_is_said_and_the_run_goes_on(folder, call, monkeypatch):
    monkeypatch.setenv("TASKINITY_LOG_DIR", str(folder / "numbers.csv" / "logs"))
    said = call(*CALL, *INPUTS, *HERE)
    assert said.exit_code == 0
    assert f"the run has no log in {folder / 'numbers.csv' / 'logs'}" in said.stderr


# --- settings -------------------------------------------------------------------------------------


def test_a_scheduler_that_a_setting_names_is_told_with_the_setting(folder, call, monkeypatch):
    (folder / ".env").write_text("A=1\nTASKINITY_SCHEDULER=treads\n")
    said = call(*CALL, *INPUTS)
    assert said.exit_code == 2
    told = f"Error: TASKINITY_SCHEDULER in {folder / '.env'}, line 2: 'treads' is not a scheduler."
    assert told in said.stderr
    assert "Did you mean 'threads'" in said.stderr
    assert "--scheduler" not in said.stderr
    monkeypatch.setenv("TASKINITY_SCHEDULER", "nowhere.json")
    said = call(*CALL, *INPUTS)
    assert said.exit_code == 2
    assert "Error: TASKINITY_SCHEDULER in the environment: nowhere.json: there" in said.stderr


def test_a_scheduler_that_is_an_option_is_told_with_the_option(folder, call, monkeypatch):
    monkeypatch.setenv("TASKINITY_SCHEDULER", "threads")
    said = call(*CALL, *INPUTS, "--scheduler", "treads")
    assert said.exit_code == 2
    assert "Error: scheduler='treads' is not a scheduler." in said.stderr
