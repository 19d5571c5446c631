"""`plan --estimate`: what it tries, what it calls, what it refuses."""

import json
import sys

import pytest

from taskinity_data.forecast import side_by_side as beside

INPUTS = ("--input", "data=numbers.csv", "--input", "factor=2")

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(beside, "ALONE_S", 0.05)
    monkeypatch.setattr(beside, "PARALLEL_S", 0.05)


def test_a_dataset_s_functions_are_tried(folder, call):
    (folder / "alone.py").write_text("def process_chunk(chunk):\n    return chunk.a.sum()\n")
    said = call("plan", "numbers.csv", "--tasks", "alone.py", "--estimate", "--workers", "1")
    assert said.exit_code == 0, said.stderr
    assert "ChunkPlan of" in said.stdout
    assert "Forecast" in said.stdout
    assert "with 1 worker" in said.stdout


def test_the_forecast_is_part_of_the_one_object(folder, call):
    (folder / "alone.py").write_text(
        "import taskinity_data as td\naggregate_results = td.count()\n"
    )
    said = call("plan", "numbers.csv", "--tasks", "alone.py", "--estimate", "--json")
    found = json.loads(said.stdout)["forecast"]
    assert 0 < found["seconds"][0] <= found["seconds"][1] <= 9.01 * found["seconds"][0]
    parts = {"read", "function", "partial", "here", "start", "finish", "idle"}
    assert set(found["work_s"]) == parts


def test_a_flow_s_forecast_calls_what_feeds_the_fan_out_and_says_so(call):
    arguments = ["totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv"]
    said = call("plan", *arguments, "--input", "factor=2", "--estimate", "--json")
    stages = {stage["name"]: stage for stage in json.loads(said.stdout)["stages"]}
    assert stages["ProcessChunk"]["called"] == ["DataPreparation"]
    assert stages["ProcessChunk"]["forecast"]["seconds"][0] > 0
    shown = call("plan", *arguments, "--input", "factor=2", "--estimate")
    assert "Called for that: DataPreparation" in shown.stdout


def test_what_is_no_dataset_has_no_forecast_and_that_is_said(folder, call):
    text = (folder / "my_tasks.py").read_text().replace("td.open_dataset(data)", "[1, 2]")
    (folder / "my_tasks.py").write_text(text)
    said = call("plan", "totals.flow", "--tasks", "my_tasks.py", *INPUTS, "--estimate")
    assert said.exit_code == 0, said.stderr
    assert "2 items" in said.stdout
    assert "No forecast: only datasets that [*] cuts are tried." in said.stdout


def test_slices_that_a_policy_provides_for_are_left_out_and_told(folder, call):
    (folder / "many.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(60_000)))
    flow = (folder / "totals.flow").read_text()
    flow = flow.replace('"Add up one chunk"', '"Add up one chunk"\n        on_error: skip')
    (folder / "totals.flow").write_text(flow)
    (folder / "my_tasks.py").write_text(
        "import taskinity_data as td\n\n\n"
        "def data_preparation(data):\n"
        '    return td.open_dataset(data, chunk_size="10_000 rows")\n\n\n'
        "def process_chunk(chunk):\n"
        "    if chunk.a.min() >= 30_000:\n"
        '        raise ValueError("no such unit")\n'
        "    return len(chunk)\n\n\n"
        "def aggregate_results(process_chunk):\n"
        "    return sum(process_chunk)\n"
    )
    arguments = ["plan", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=many.csv"]
    said = call(*arguments, "--estimate", "--workers", "1", "--json")
    assert said.exit_code == 0, said.stderr
    stage = next(one for one in json.loads(said.stdout)["stages"] if "forecast" in one)
    (told,) = [one for one in stage["forecast"]["unsure"] if "failed" in one]
    assert "no such unit" in told
    assert stage["forecast"]["output_is"] == "results of chunks"
    (folder / "totals.flow").write_text(flow.replace("skip", "fail"))
    said = call(*arguments, "--estimate", "--workers", "1")
    assert said.exit_code == 2
    assert "no such unit" in said.stderr


def test_without_it_the_chunks_of_a_flow_are_shown_and_none_is_tried(call):
    arguments = [
        "plan", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
        "--input", "factor=2", "--chunk-size", "30 rows", "--chunks",
    ]  # fmt: skip
    said = call(*arguments)
    assert said.exit_code == 0, said.stderr
    assert "ChunkPlan of 4 chunks" in said.stdout
    assert "Called for that: DataPreparation" in said.stdout
    assert "Forecast" not in said.stdout
    assert said.stdout.count("numbers.csv") >= 4
    found = json.loads(call(*arguments, "--json").stdout)["stages"][1]
    assert [chunk["index"] for chunk in found["plan"]["chunk_list"]] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "numbers.csv"),
        ("plan", "totals.flow", "--tasks", "my_tasks.py", *INPUTS),
        ("run", "totals.flow", "--tasks", "my_tasks.py", *INPUTS, "--dry-run"),
    ],
)
def test_settings_hold_for_a_plan_as_for_a_run_and_arguments_beat_them(
    folder, call, monkeypatch, arguments
):
    monkeypatch.setenv("TASKINITY_CHUNK_SIZE", "10 rows")
    assert "ChunkPlan of 10 chunks" in call(*arguments).stdout
    assert "ChunkPlan of 2 chunks" in call(*arguments, "--chunk-size", "50 rows").stdout
    rewrite = (
        (folder / "my_tasks.py")
        .read_text()
        .replace("(data)\n\n", '(data, chunk_size="20 rows")\n\n')
    )
    (folder / "my_tasks.py").write_text(rewrite)
    if "totals.flow" in arguments:
        sys.modules.pop("my_tasks", None)
        assert "ChunkPlan of 5 chunks" in call(*arguments).stdout
    monkeypatch.setenv("TASKINITY_CHUNK_SIZE", "many")
    said = call(*arguments)
    assert (said.exit_code, "TASKINITY_CHUNK_SIZE" in said.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--estimate"], "go together"),
        (["--tasks", "my_tasks.py"], "go together"),
        (["--tasks", "empty.py", "--estimate"], "neither process_chunk nor aggregate_results"),
    ],
)
def test_what_can_not_be_tried_is_2_in_words(folder, call, arguments, told):
    (folder / "empty.py").write_text("")
    said = call("plan", "numbers.csv", *arguments)
    assert said.exit_code == 2
    assert told in said.stderr
