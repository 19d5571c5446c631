"""Help, plan, validate, visualize, doctor: what they say and what they do not load."""

import gzip
import json
import os
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from textwrap import dedent

import pytest
from properties import mostly_thorough

from taskinity_data.machine import MachineLimits, read_limits

SLOW = ("pandas", "pyarrow", "numpy", "dask", "distributed", "rich", "bokeh", "IPython", "polars")


# --- what is loaded -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        ["validate", "totals.flow"],
        ["visualize", "totals.flow"],
        ["visualize", "totals.flow", "-o", "totals.svg"],
        ["visualize", "totals.flow", "-o", "totals.mmd"],
    ],
    ids=" ".join,
)
def test_what_needs_no_data_loads_no_library_for_data(folder, arguments):
    code = dedent(
        f"""\
        import sys
        from taskinity_data.cli import main
        sys.argv = ["taskinity-data", *{arguments}]
        try:
            main()
        finally:
            print([name for name in {SLOW} if name in sys.modules], file=sys.stderr)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


# --- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "plan", "validate", "visualize", "doctor", "demo"])
def test_the_help_of_every_command_teaches_with_examples(call, command):
    said = call(command, "--help")
    assert said.exit_code == 0
    assert "Examples:\n" in said.stdout
    assert f"taskinity-data {command}" in said.stdout.split("Examples:")[1]


def test_help_shows_where_to_begin_and_what_exit_codes_mean(call):
    text = call("--help").stdout
    assert "taskinity-data demo" in text
    assert "130 interrupted" in text


def test_a_mistyped_command_gets_the_close_one(call):
    said = call("vizualise")
    assert said.exit_code == 2
    assert "visualize" in said.stderr


@pytest.mark.parametrize("command", ["report"])
def test_commands_that_do_not_exist_yet_are_not_there(call, command):
    assert call(command).exit_code == 2


# --- validate -------------------------------------------------------------------------------------


def test_a_right_flow_is_called_right(folder, call):
    said = call("validate", "totals.flow")
    assert said.exit_code == 0
    assert said.stdout.startswith("Totals: 3 tasks, 2 edges, no errors\n")
    assert "--tasks" in said.stdout


def test_one_edge_is_not_called_edges(folder, call):
    (folder / "totals.flow").write_text("flow Totals:\n    DataPreparation -> ProcessChunk\n")
    assert "2 tasks, 1 edge, no errors" in call("validate", "totals.flow").stdout


def test_with_functions_the_inputs_are_named(folder, call):
    said = call("validate", "totals.flow", "--tasks", "my_tasks.py")
    assert said.exit_code == 0, said.stderr
    assert "--input data=… --input factor=…" in said.stdout


def test_functions_that_do_not_fit_are_2(folder, call):
    text = (folder / "my_tasks.py").read_text()
    (folder / "my_tasks.py").write_text(text.replace("def process_chunk", "def proces_chunk"))
    said = call("validate", "totals.flow", "--tasks", "my_tasks.py")
    assert said.exit_code == 2
    assert "proces_chunk" in said.stderr


def test_every_error_of_a_text_is_told_with_its_line(folder, call):
    (folder / "bad.flow").write_text("flow F:\n    task A:\n        retrys: 3\n    A -> B -> A\n")
    said = call("validate", "bad.flow")
    assert said.exit_code == 2
    assert "line 3" in said.stderr
    assert "retries" in said.stderr
    assert "^" in said.stderr


# --- visualize ------------------------------------------------------------------------------------


def test_without_a_file_the_picture_is_text(folder, call):
    said = call("visualize", "totals.flow")
    assert said.exit_code == 0
    assert "│ ProcessChunk [*]  │" in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "begins"), [("a.svg", "<svg "), ("a.MMD", "flowchart TD"), ("a.txt", "Totals\n")]
)
def test_the_suffix_says_what_is_written(folder, call, name, begins):
    said = call("visualize", "totals.flow", "-o", name)
    assert (said.exit_code, said.stdout) == (0, "")
    assert (folder / name).read_text(encoding="utf-8").startswith(begins)


def test_the_svg_is_a_picture_of_the_flow(folder, call):
    call("visualize", "totals.flow", "-o", "a.svg")
    texts = [element.text for element in ET.parse(folder / "a.svg").iter() if element.text]
    assert {"DataPreparation", "ProcessChunk [*]", "AggregateResults"} <= set(texts)


def test_an_unknown_suffix_is_refused_and_nothing_is_written(folder, call):
    said = call("visualize", "totals.flow", "-o", "a.png")
    assert said.exit_code == 2
    assert "*.svg" in said.stderr
    assert not (folder / "a.png").exists()


def test_a_failed_write_leaves_the_old_picture_and_no_other_file(folder, call, monkeypatch):
    (folder / "a.svg").write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    before = sorted(folder.iterdir())
    said = call("visualize", "totals.flow", "-o", "a.svg")
    assert said.exit_code == 2
    assert "No space left" in said.stderr
    assert (folder / "a.svg").read_text() == "old"
    assert sorted(folder.iterdir()) == before


def test_a_folder_that_is_not_there_is_told(folder, call):
    said = call("visualize", "totals.flow", "-o", "nowhere/a.svg")
    assert said.exit_code == 2
    assert "nowhere/a.svg" in said.stderr


def test_a_script_s_flow_is_drawn_without_its_functions(folder, call):
    script = 'import taskinity_data as td\nflow = td.load_flow("totals.flow")\n'
    (folder / "script.py").write_text(script)
    assert "ProcessChunk [*]" in call("visualize", "script.py").stdout


# --- plan -----------------------------------------------------------------------------------------


def test_a_plan_is_shown_with_its_reason(folder, call):
    said = call("plan", "numbers.csv", "--chunk-size", "30 rows")
    assert said.exit_code == 0, said.stderr
    assert "ChunkPlan of 4 chunks" in said.stdout
    assert "rows   100" in said.stdout
    assert "why" in said.stdout


def test_all_chunks_are_listed_where_asked_for(folder, call):
    said = call("plan", "numbers.csv", "--chunk-size", "30 rows", "--chunks")
    assert said.stdout.count("numbers.csv") == 5
    assert "stop" in said.stdout


def test_json_holds_totals_and_chunks_that_add_up(folder, call):
    said = call("plan", "numbers.csv", "--chunk-size", "30 rows", "--chunks", "--json")
    plan = json.loads(said.stdout)
    assert (plan["chunks"], plan["files"], plan["rows"]) == (4, 1, 100)
    assert sum(chunk["nbytes"] for chunk in plan["chunk_list"]) == plan["nbytes"]
    assert [chunk["rows"] for chunk in plan["chunk_list"]] == [30, 30, 30, 10]


@pytest.mark.parametrize("options", [("--option", "sep=;"), ("--option", "sep=';'")])
def test_reader_options_mean_what_they_mean_in_pandas(folder, call, options):
    (folder / "semi.csv").write_text("1;2,5\n3;4,5\n")
    said = call(
        "plan", "semi.csv", *options, "--option", "header=None", "--option", "decimal=,", "--json"
    )
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["rows"] == 2


def test_a_tab_can_be_written_as_a_shell_can_write_it(folder, call):
    (folder / "tabs.csv").write_text("a\tb\n1\t2\n")
    said = call("plan", "tabs.csv", "--option", "sep=\\t", "--option", "columns=['b']", "--json")
    assert json.loads(said.stdout)["rows"] == 1, said.stderr


def test_several_sources_are_one_dataset(folder, call):
    (folder / "more.csv").write_text("a,b\n1,x\n")
    said = call("plan", "numbers.csv", "more.csv", "--json")
    assert json.loads(said.stdout)["files"] == 2
    assert json.loads(said.stdout)["rows"] == 101


def test_a_flow_s_plan_shows_its_stages(folder, call):
    said = call(
        "plan", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
        "--input", "factor=1", "--json",
    )  # fmt: skip
    assert said.exit_code == 0, said.stderr
    names = [stage["name"] for stage in json.loads(said.stdout)["stages"]]
    assert names == ["DataPreparation", "ProcessChunk", "AggregateResults"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere.csv",), "nowhere.csv"),
        (("numbers.csv", "--chunk-size", "0"), "0"),
        (("numbers.csv", "--option", "sepp=;"), "sepp"),
        (("numbers.csv", "--option", "sep"), "NAME=VALUE"),
        (("numbers.csv", "--option", "skipfooter=1"), "skipfooter"),
        (("numbers.csv", "--tasks", "my_tasks.py"), "dataset"),
        (("totals.flow",), "--tasks"),
        (("totals.flow", "--tasks", "my_tasks.py", "--option", "sep=;"), "functions"),
        ((), "SOURCE"),
    ],
)
def test_what_cannot_be_planned_is_2_in_words(folder, call, arguments, told):
    said = call("plan", *arguments)
    assert said.exit_code == 2
    assert told in said.stderr
    assert "Traceback" not in said.stderr


# --- doctor ---------------------------------------------------------------------------------------


def test_doctor_says_what_a_bug_report_needs(folder, call):
    text = call("doctor").stdout
    for word in ("python", "taskinity_data", "dask", "pandas", "pyarrow", "cores", "memory"):
        assert f"\n  {word}" in text
    assert str(folder) in text


def test_doctor_says_where_a_setting_came_from(folder, call, monkeypatch):
    monkeypatch.setenv("TASKINITY_CHUNK_SIZE", "1MiB")
    (folder / ".env").write_text("TASKINITY_MAX_WORKERS=3\n")
    settings = json.loads(call("doctor", "--json").stdout)["settings"]
    assert settings["chunk_size"]["value"] == "1MiB"
    assert "environment" in settings["chunk_size"]["source"]
    assert settings["max_workers"]["value"] == 3
    assert ".env" in settings["max_workers"]["source"]
    assert settings["log_level"]["source"] == "default"


def test_doctor_speaks_even_where_a_setting_is_broken(folder, call, monkeypatch):
    monkeypatch.setenv("TASKINITY_MAX_WORKERS", "many")
    said = call("doctor")
    assert said.exit_code == 0
    assert "TASKINITY_MAX_WORKERS=many" in said.stdout
    assert "Versions" in said.stdout


def write(root, **texts):
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_least_limit_of_all_groups_around_a_process_holds(tmp_path):
    write(
        tmp_path,
        proc="0::/user/job\n",
        groups__memory_dot_max="max\n",
        groups__user__memory_dot_max="2000000000\n",
        groups__user__cpu_dot_max="300000 100000\n",
        groups__user__job__memory_dot_max="4000000000\n",
        groups__user__job__cpu_dot_max="150000 100000\n",
    )
    assert read_limits(tmp_path / "proc", tmp_path / "groups") == MachineLimits(1.5, 2_000_000_000)


def test_inside_a_container_the_root_of_what_is_seen_holds(tmp_path):
    write(
        tmp_path,
        proc="0::/../not/seen/here\n",
        groups__memory_dot_max="1000\n",
        groups__cpu_dot_max="max 100000\n",
    )
    assert read_limits(tmp_path / "proc", tmp_path / "groups") == MachineLimits(None, 1000)


def test_control_groups_of_the_first_version_are_read(tmp_path):
    write(
        tmp_path,
        proc="5:cpu,cpuacct:/box\n9:memory:/box\n2:freezer:/\n",
        groups__memory__box__memory_dot_limit_in_bytes="3000\n",
        groups__memory__memory_dot_limit_in_bytes="9223372036854771712\n",
    )
    write(tmp_path / "groups" / "cpu" / "box", cpu_dot_cfs_quota_us="50000\n")
    write(tmp_path / "groups" / "cpu" / "box", cpu_dot_cfs_period_us="100000\n")
    assert read_limits(tmp_path / "proc", tmp_path / "groups") == MachineLimits(0.5, 3000)


def test_no_control_groups_are_no_limits(tmp_path):
    assert read_limits(tmp_path / "proc", tmp_path / "groups") == MachineLimits(None, None)


# --- compressed files -----------------------------------------------------------------------------


def test_compressed_files_are_planned_and_run_as_they_are(folder, call):
    (folder / "numbers.csv.gz").write_bytes(gzip.compress((folder / "numbers.csv").read_bytes()))
    said = call("plan", "numbers.csv.gz", "--chunk-size", "30 rows")
    assert said.exit_code == 0, said.stderr
    assert "ChunkPlan of 4 chunks" in said.stdout
    assert "of gzip; offsets are in the text" in said.stdout
    said = call("plan", "numbers.csv.gz", "--option", "compression=None")
    assert said.exit_code == 2
    assert "this is gzip" in said.stderr
    inputs = ("--input", "data=numbers.csv.gz", "--input", "factor=2")
    said = call("run", "totals.flow", "--tasks", "my_tasks.py", *inputs, "--chunk-size", "30 rows")
    assert said.exit_code == 0, said.stderr
    assert f"{{'total': {sum(range(100)) * 2}, 'chunks': 4}}" in said.stdout
    (folder / "numbers.csv.gz").write_bytes(b"\x1f\x8b\x08\0")
    said = call("plan", "numbers.csv.gz")
    assert said.exit_code == 1
    assert "ends in the middle of a member (byte 4 of the file's 4)" in said.stderr


@pytest.mark.parametrize("closed", mostly_thorough(["<&- >&- 2>&-", ">&-", "2>&-", "<&-"], 1))
def test_closed_streams_are_no_obstacle(tmp_path, closed):
    line = f"{shlex.quote(sys.executable)} -m taskinity_data doctor --json {closed}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) is (" >&-" not in f" {closed}")


# --- a full disk ----------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", mostly_thorough([(), ("--json",)], 1), ids=["text", "json"])
@pytest.mark.parametrize(
    "command",
    [
        ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
         "--input", "factor=2", "--scheduler", "synchronous"),
        ("plan", "numbers.csv"),
        ("runs", "list"),
        ("doctor",),
    ],
    ids=lambda command: command[0],
)  # fmt: skip
def test_an_answer_that_a_full_disk_does_not_take_is_one_line_and_1(folder, command, extra):
    said = to_full_disk(*command, *extra)
    assert said.returncode == 1
    lines = [line for line in said.stderr.splitlines() if not line.startswith("looking for")]
    assert lines == ["Error: standard output can't be written: No space left on device"]


def test_what_a_function_prints_to_a_full_disk_does_not_hide_why_the_run_failed(folder):
    text = (folder / "my_tasks.py").read_text().replace("return int", "return 1 / 0, int")
    (folder / "my_tasks.py").write_text(text)
    said = to_full_disk(
        "run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
        "--input", "factor=2", "--scheduler", "synchronous",
    )  # fmt: skip
    assert said.returncode == 1
    assert "ZeroDivisionError" in said.stderr
    assert said.stderr.endswith(
        "Error: standard output can't be written: No space left on device\n"
    )
    assert "Exception ignored" not in said.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_to_a_full_disk_is_one_line_too(folder, unbuffered):
    said = to_full_disk("--help", unbuffered=unbuffered)
    assert said.returncode == 1
    assert said.stderr == "Error: standard output can't be written: No space left on device\n"


def test_a_pipe_that_nobody_reads_any_more_is_no_error(folder):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "taskinity_data", "plan", "numbers.csv"],
        stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def to_full_disk(*arguments, unbuffered=""):
    with open("/dev/full", "w") as full:
        return subprocess.run(
            [sys.executable, "-m", "taskinity_data", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
