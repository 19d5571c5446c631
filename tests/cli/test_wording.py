"""Errors tell how the options that they name are typed, and leave all that they quote as it is."""

import json

import pytest
from click.testing import CliRunner

from taskinity_data.cli.group import commands
from taskinity_data.cli.wording import add_typed_options


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("give encoding='utf-16'", "encoding= is --option encoding=VALUE"),
        (r"with sep='\t' here", "sep= is --sep"),
        ("see sep=, quotechar= and sep=", "sep= is --sep; quotechar= is --option quotechar=VALUE"),
        ('columns=["a", "b"]', "columns= is --columns"),
        ("workers=0: from 1 up", "workers= is --workers"),
    ],
)
def test_options_of_a_dataset_are_named_as_plan_takes_them(message, typed):
    assert add_typed_options(message, "plan") == f"{message}\nOn the command line: {typed}"


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("chunk_size='x': write bytes", "chunk_size= is --chunk-size"),
        ("partition_by=['a', 'b'] are", "partition_by= is --partition-by"),
        ("max_rows_per_file=0: give", "max_rows_per_file= is --max-rows-per-file"),
    ],
)
def test_options_of_a_run_are_named_as_run_takes_them(message, typed):
    for command in ("run", "redrive"):
        assert add_typed_options(message, command) == f"{message}\nOn the command line: {typed}"


@pytest.mark.parametrize(
    "message",
    [
        "/data/columns=3/sep=5/a.csv: empty", "td.open_dataset(sep=';')", "my_sep=';'",
        "unfiltered",
        "column 'n': 'set workers=2 please' is not a valid int64",
        "can't be read: 'it\\'s sep=; here'",
        'the cell "chunk_size=7, or \'memory=1\'" of b.csv',
    ],
)  # fmt: skip
def test_what_is_quoted_and_paths_and_calls_are_no_options(message):
    assert add_typed_options(message, "plan") == message
    assert add_typed_options(message, "run") == message
    assert add_typed_options("sep=';'", "validate") == "sep=';'"


def test_a_cell_that_looks_like_an_option_is_shown_as_it_stands_in_the_file(tmp_path):
    cell = "set workers=2 please, or chunk_size='9' and sep=;"
    path = tmp_path / "a.csv"
    path.write_text(f'n\n1\n"{cell}"\n')
    tasks = tmp_path / "tasks.py"
    tasks.write_text(
        "import taskinity_data as td\n"
        f"def read():\n    return td.open_dataset({str(path)!r}, dtype={{'n': 'int64'}})\n"
        "def use(chunk):\n    return len(chunk)\n"
    )
    flow = tmp_path / "f.flow"
    flow.write_text("flow F:\n    Read -> Use[*]\n")
    call = ["run", str(flow), "--tasks", str(tasks), "--scheduler", "synchronous"]
    result = CliRunner().invoke(commands, call)
    assert result.exit_code == 1
    assert cell in result.output
    assert "--workers" not in result.output


def test_a_run_says_where_reader_options_are_given():
    told = add_typed_options("a.csv: this is UTF-16 text; give encoding='utf-16'", "run")
    assert told.startswith("a.csv: this is UTF-16 text; give encoding='utf-16'\n")
    assert "td.open_dataset(path, " in told


def test_what_is_named_can_be_typed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;c\n1,5;2;3\n")
    first = CliRunner().invoke(commands, ["plan", str(path)])
    assert first.exit_code == 2
    assert "sep= is --sep" in first.output
    again = CliRunner().invoke(commands, ["plan", str(path), "--sep", ";"])
    assert again.exit_code == 0, again.output


def test_json_names_the_same(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    result = CliRunner().invoke(commands, ["plan", str(path), "--json"])
    told = json.loads(result.stdout)["error"]["message"]
    assert "encoding= is --option encoding=VALUE" in told
    again = CliRunner().invoke(commands, ["plan", str(path), "--option", "encoding=utf-16"])
    assert again.exit_code == 0, again.output
