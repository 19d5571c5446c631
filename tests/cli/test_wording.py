"""Errors tell how the options that they name are typed, and leave all that they quote as it is."""

import json
import shlex

import pyarrow as pa
import pytest
from click.testing import CliRunner

from taskinity_data.cli.group import commands
from taskinity_data.cli.wording import add_typed_options
from taskinity_data.errors import PlanError
from taskinity_data.output.sink import open_sink


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("give encoding='utf-16'", "encoding='utf-16' is --option encoding=utf-16"),
        ('give format="csv"', 'format="csv" is --option format=csv'),
        (r"with sep='\t' here", r"sep='\t' is --sep '\t'"),
        ("see sep=, quotechar= and sep=", "sep= is --sep; quotechar= is --option quotechar=…"),
        (
            "give schema={'a': 'str'}, or schema='scan'",
            (
                "schema={'a': 'str'} is --option \"schema={'a': 'str'}\"; "
                "schema='scan' is --option schema=scan"
            ),
        ),
        ("select with columns= what", "columns= is --columns"),
        ('columns=["a", "b"]', 'columns=["a", "b"] is --columns a,b'),
        ("workers=0: from 1 up", "workers=0 is --workers 0"),
        ("give header=0.", "header=0 is --option header=0"),
    ],
)
def test_options_of_a_dataset_are_named_as_plan_takes_them(message, typed):
    assert add_typed_options(message, "plan") == f"{message}\nOn the command line: {typed}"


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("chunk_size='x': write bytes", "--chunk-size x"),
        ("max_failures=200%: at most", "--max-failures 200%"),
        ("partition_by=['a', 'b'] are", "--partition-by a --partition-by b"),
        ("output_compression='gzip': csv", "--output-compression gzip"),
        ("spreadsheet_safe=True means", "--spreadsheet-safe"),
        ("max_rows_per_file=0: give", "--max-rows-per-file 0"),
        ("give if_exists='append'", "--if-exists append"),
    ],
)
def test_options_of_a_run_are_named_as_run_takes_them(message, typed):
    for command in ("run", "redrive"):
        told, _, hint = add_typed_options(message, command).partition("\n")
        assert told == message
        assert hint.startswith("On the command line: ")
        assert hint.endswith(f" is {typed}")


@pytest.mark.parametrize(
    ("there", "asked", "typed"),
    [([], ["a", "b"], "--partition-by a --partition-by b"), (["a"], [], "--partition-by a")],
)
def test_what_an_output_was_written_with_is_named_as_it_is_typed(tmp_path, there, asked, typed):
    table = pa.table({"a": [1], "b": [2], "n": [3]})
    with open_sink(tmp_path / "out", partition_by=there) as sink:
        sink.commit([sink.writer.write("k", 0, table)])
    with pytest.raises(PlanError) as told:
        open_sink(tmp_path / "out", partition_by=asked, if_exists="append")
    assert f" is {typed}" in add_typed_options(str(told.value), "run")


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


def test_what_is_told_can_be_typed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;c\n1,5;2;3\n")
    first = CliRunner().invoke(commands, ["plan", str(path)])
    assert first.exit_code == 2
    typed = first.output.strip().partition("sep=';' is ")[2]
    assert typed == "--sep ';'"
    again = CliRunner().invoke(commands, ["plan", str(path), *shlex.split(typed)])
    assert again.exit_code == 0, again.output


def test_json_tells_the_same(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    result = CliRunner().invoke(commands, ["plan", str(path), "--json"])
    told = json.loads(result.stdout)["error"]["message"]
    typed = told.partition("encoding='utf-16' is ")[2]
    assert typed == "--option encoding=utf-16"
    again = CliRunner().invoke(commands, ["plan", str(path), *shlex.split(typed)])
    assert again.exit_code == 0, again.output
