"""Errors name options as they are typed on the command line."""

import json
import shlex

import pyarrow as pa
import pytest
from click.testing import CliRunner

from taskinity_data.cli.group import commands
from taskinity_data.cli.words import in_typed_words
from taskinity_data.errors import PlanError
from taskinity_data.records.sink import open_sink


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("give encoding='utf-16'", "give --option encoding=utf-16"),
        ('give format="csv"', "give --option format=csv"),
        (r"with sep='\t' here", r"with --sep '\t' here"),
        ("look at sep=, quotechar= and escapechar=", "look at --sep, --option quotechar=… and "),
        (
            "give schema={'a': 'str'}, or schema='scan'",
            "--option \"schema={'a': 'str'}\", or --opt",
        ),
        ("select with columns= what", "select with --columns what"),
        ('columns=["a", "b"]', "--columns a,b"),
        ("workers=0: from 1 up", "--workers 0: from 1 up"),
        ("give header=0.", "give --option header=0."),
    ],
)
def test_options_of_a_dataset_are_named_as_plan_takes_them(message, typed):
    assert typed in in_typed_words(message, "plan")


@pytest.mark.parametrize(
    ("message", "typed"),
    [
        ("chunk_size='x': write bytes", "--chunk-size x: write bytes"),
        ("max_failures=200%: at most", "--max-failures 200%: at most"),
        ("partition_by=['a', 'b'] are", "--partition-by a --partition-by b are"),
        ("output_compression='gzip': csv", "--output-compression gzip: csv"),
        ("spreadsheet_safe=True means", "--spreadsheet-safe means"),
        ("max_rows_per_file=0: give", "--max-rows-per-file 0: give"),
        ("give if_exists='append'", "give --if-exists append"),
    ],
)
def test_options_of_a_run_are_named_as_run_takes_them(message, typed):
    assert in_typed_words(message, "run") == typed
    assert in_typed_words(message, "redrive") == typed


@pytest.mark.parametrize(
    ("there", "asked", "typed"),
    [
        (
            [],
            ["a", "b"],
            (
                "without --partition-by, and parts with --partition-by a --partition-by b can't be "
                "added to it; leave --partition-by out"
            ),
        ),
        (
            ["a"],
            [],
            (
                "with --partition-by a, and parts without --partition-by can't be added to it; "
                "say --partition-by a"
            ),
        ),
    ],
)
def test_what_an_output_was_written_with_is_named_as_it_is_typed(tmp_path, there, asked, typed):
    table = pa.table({"a": [1], "b": [2], "n": [3]})
    with open_sink(tmp_path / "out", partition_by=there) as sink:
        sink.commit([sink.writer.write("k", 0, table)])
    with pytest.raises(PlanError) as told:
        open_sink(tmp_path / "out", partition_by=asked, if_exists="append")
    assert f"was written {typed}, or" in in_typed_words(str(told.value), "run")


@pytest.mark.parametrize(
    "message",
    ["/data/columns=3/sep=5/a.csv: empty", "td.open_dataset(sep=';')", "my_sep=';'", "unfiltered"],
)
def test_paths_and_calls_stay_as_they_are(message):
    assert in_typed_words(message, "plan") == message
    assert in_typed_words("sep=';'", "validate") == "sep=';'"


def test_a_run_says_where_reader_options_are_given():
    told = in_typed_words("a.csv: this is UTF-16 text; give encoding='utf-16'", "run")
    assert told.startswith("a.csv: this is UTF-16 text; give encoding='utf-16'\n")
    assert "td.open_dataset(path, " in told


def test_what_is_told_can_be_typed(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b;c\n1,5;2;3\n")
    first = CliRunner().invoke(commands, ["plan", str(path)])
    assert first.exit_code == 2
    typed = first.output.strip().partition("columns with ")[2]
    assert typed == "--sep ';'"
    again = CliRunner().invoke(commands, ["plan", str(path), *shlex.split(typed)])
    assert again.exit_code == 0, again.output


def test_json_tells_the_same(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,2\n".encode("utf-16"))
    result = CliRunner().invoke(commands, ["plan", str(path), "--json"])
    told = json.loads(result.stdout)["error"]["message"]
    assert told.endswith("give --option encoding=utf-16")
    again = CliRunner().invoke(
        commands, ["plan", str(path), *shlex.split(told.partition("give ")[2])]
    )
    assert again.exit_code == 0, again.output
