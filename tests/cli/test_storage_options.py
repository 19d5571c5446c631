"""--storage-option: it reaches the store, and its value stands nowhere."""

import json
import sys

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import taskinity_data as td
from taskinity_data.cli.options import parse_storage_options
from taskinity_data.errors import SettingsError

SECRET = "hush-password"
GIVEN = ("--storage-option", f"password={SECRET}", "--storage-option", "client={'a': 1}")


class Locked(MemoryFileSystem):
    """A store that opens for who knows the password, and shows what it was given."""

    protocol = "locked"

    def __init__(self, password=None, client=None, **more):
        super().__init__(**more)
        if (password, client) != (SECRET, {"a": 1}):
            raise PermissionError(f"not {password}")

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("locked://", "memory://"))


@pytest.fixture
def locked():
    fsspec.register_implementation("locked", Locked, clobber=True)
    system = fsspec.filesystem("memory")
    system.pipe("/locked/in/a.csv", b"a\n1\n2\n")
    yield system
    system.rm("/locked", recursive=True)


def check_nowhere(folder, said):
    texts = [said.stdout, said.stderr]
    texts += [
        path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()
    ]
    assert not [text for text in texts if SECRET in text]


def test_a_plan_reads_a_store_with_them(folder, call, locked):
    said = call("plan", "locked://locked/in/a.csv", *GIVEN)
    assert said.exit_code == 0, said.stderr
    check_nowhere(folder, said)
    said = call("plan", "locked://locked/in/a.csv", *GIVEN[:2], "--json")
    assert said.exit_code == 2
    assert "storage_options (password)" in said.stdout + said.stderr
    check_nowhere(folder, said)


def test_a_run_writes_to_a_store_with_them(folder, call, locked):
    (folder / "keep.flow").write_text("flow Keep:\n    DataPreparation -> Keep[*]\n")
    (folder / "keep.py").write_text(
        "import taskinity_data as td\n"
        "def data_preparation(data):\n    return td.open_dataset(data)\n"
        "def keep(chunk):\n    return chunk\n"
    )
    said = call(
        "run", "keep.flow", "--tasks", "keep.py", "--input", "data=numbers.csv",
        "--scheduler", "synchronous", "--report", "run.html",
        "--output", "locked://locked/out", *GIVEN,
    )  # fmt: skip
    assert said.exit_code == 0, said.stderr
    assert locked.exists("/locked/out/_manifest.json")
    assert (folder / "run.html").stat().st_size > 0
    assert [path for path in (folder / ".taskinity").rglob("*") if path.is_file()]
    check_nowhere(folder, said)


KEEP = """\
import taskinity_data as td


def data_preparation(data, storage_options=None):
    return td.open_dataset(data, storage_options=storage_options)


def keep(chunk):
    return chunk


def fail(chunk):
    raise ValueError("no")
"""
STORED = ("--tasks", "keep.py", "--input", "data=locked://locked/in/a.csv", *GIVEN)


@pytest.fixture
def flows(folder):
    (folder / "keep.flow").write_text("flow Keep:\n    DataPreparation -> Keep[*]\n")
    (folder / "fail.flow").write_text("flow Keep:\n    DataPreparation -> Fail[*]\n")
    (folder / "direct.flow").write_text("flow Direct:\n    task Keep[*]:\n")
    (folder / "keep.py").write_text(KEEP)


@pytest.mark.usefixtures("flows")
@pytest.mark.parametrize("output", [(), ("--output", "out"), ("--output", "locked://locked/out")])
def test_a_function_that_opens_the_data_gets_them_by_its_parameter(folder, call, locked, output):
    said = call("run", "keep.flow", *STORED, "--scheduler", "synchronous", *output)
    assert said.exit_code == 0, said.stderr
    assert locked.exists("/locked/out/_manifest.json") == ("locked://locked/out" in output)
    check_nowhere(folder, said)
    said = call("run", "keep.flow", *STORED, "--dry-run")
    assert "ChunkPlan of 1 chunk" in said.stdout, said.stderr
    said = call("plan", "keep.flow", *STORED)
    assert "ChunkPlan of 1 chunk" in said.stdout, said.stderr


@pytest.mark.usefixtures("flows")
def test_a_function_that_reads_files_here_gets_none_of_an_output_in_a_store(call, locked):
    said = call(
        "run", "keep.flow", "--tasks", "keep.py", "--input", "data=numbers.csv", *GIVEN,
        "--output", "locked://locked/out", "--scheduler", "synchronous",
    )  # fmt: skip
    assert said.exit_code == 0, said.stderr
    assert locked.exists("/locked/out/_manifest.json")


@pytest.mark.usefixtures("flows", "locked")
def test_a_url_that_the_run_itself_opens_is_opened_with_them(folder, call):
    given = [one.replace("data=", "chunk=") for one in STORED]
    said = call("run", "direct.flow", *given, "--scheduler", "synchronous", "--json")
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout)["ledger"]["rows"]["processed"] == 2
    check_nowhere(folder, said)
    assert "ChunkPlan of 1 chunk" in call("run", "direct.flow", *given, "--dry-run").stdout


@pytest.mark.usefixtures("flows", "locked")
@pytest.mark.parametrize("task", ["fail", "direct"])
def test_a_replay_opens_with_them_what_the_run_opened(folder, call, task):
    (folder / "direct.flow").write_text("flow Direct:\n    task Fail[*]:\n")
    given = [one.replace("data=", "chunk=") if task == "direct" else one for one in STORED]
    said = call("run", f"{task}.flow", *given, "--scheduler", "synchronous", "--json")
    answer = json.loads(said.stdout)
    key = answer["failures"][0]["key"]
    options = {"password": SECRET, "client": {"a": 1}}
    with pytest.raises(ValueError, match=r"^no$"):
        td.replay(answer["run_id"], key, storage_options=options)


@pytest.mark.usefixtures("flows", "locked")
def test_options_that_reach_no_url_are_refused_with_what_to_write(folder, call):
    (folder / "keep.py").write_text(KEEP.replace(", storage_options=None)", ")").replace(
        "storage_options=storage_options", ""
    ))  # fmt: skip
    said = call("run", "keep.flow", *STORED)
    assert said.exit_code == 2
    assert "storage_options (client, password) are not used" in said.stderr
    assert said.stderr.endswith("a parameter storage_options, and pass that to td.open_dataset\n")


@pytest.mark.usefixtures("flows", "locked")
def test_a_redrive_asks_for_them_again_and_uses_them(folder, call):
    (folder / "keep.py").write_text(
        KEEP.replace("    raise", "    if 2 in chunk.values:\n        raise") + "    return chunk\n"
    )
    said = call(
        "run", "fail.flow", *STORED, "--scheduler", "synchronous",
        "--chunk-size", "1 rows", "--json",
    )  # fmt: skip
    assert said.exit_code == 1
    run_id = json.loads(said.stdout)["run_id"]
    told = td.load_run(run_id).next_steps[0]
    assert told.endswith(
        f"redrive {run_id} --storage-option client=... --storage-option password=..."
    )
    said = call("redrive", run_id)
    assert said.exit_code == 2
    assert "--storage-option NAME=VALUE" in said.stderr
    (folder / "keep.py").write_text(KEEP.replace('raise ValueError("no")', "return chunk"))
    sys.modules.pop("keep", None)
    said = call("redrive", run_id, *GIVEN)
    assert said.exit_code == 0, said.stderr
    check_nowhere(folder, said)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([SECRET], "number 1: write NAME=VALUE"),
        (["anon=True", f"pass word={SECRET}"], "number 2: write NAME=VALUE"),
        ([f"password={SECRET}", f"password={SECRET}"], "password is repeated"),
    ],
)
def test_what_can_not_be_understood_is_told_without_its_value(texts, words):
    with pytest.raises(SettingsError, match=words) as caught:
        parse_storage_options(texts)
    assert SECRET not in str(caught.value)
    assert parse_storage_options(["anon=True", "key=a=b"]) == {"anon": True, "key": "a=b"}
