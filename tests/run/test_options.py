"""The options of a run: declared once, and what is derived from them."""

import re
import subprocess
import sys
from dataclasses import fields
from inspect import Parameter, signature

import pandas as pd
import pytest
from click.testing import CliRunner

import taskinity_data as td
from taskinity_data.chunks.open_dataset import DatasetKeywords, ReaderKeywords
from taskinity_data.cli.commands.redrive import redrive
from taskinity_data.cli.commands.run import run as run_command
from taskinity_data.errors import BindError, PlanError, SettingsError
from taskinity_data.flow.keywords import TaskKeywords
from taskinity_data.formats.csv.options import REFUSED, SIGNATURE
from taskinity_data.formats.parquet.options import PARQUET_OPTIONS
from taskinity_data.run.arguments import RunKeywords
from taskinity_data.run.options import RunOptions, repeated_options, typed_options


def _kinds(keywords):
    return {name: kind.__forward_arg__ for name, kind in keywords.__annotations__.items()}


def test_run_flow_and_process_take_the_fields_of_the_options_with_their_types_and_defaults():
    declared = {one.name: (one.type, one.default) for one in fields(RunOptions)}
    taken = {
        name: (one.annotation, one.default)
        for name, one in signature(td.run_flow).parameters.items()
        if one.kind is Parameter.KEYWORD_ONLY and name != "inputs"
    }
    assert taken == declared
    assert _kinds(RunKeywords) == {name: kind for name, (kind, _) in declared.items()}


def test_process_takes_the_options_of_task_with_their_types_and_defaults():
    taken = {
        name: one
        for name, one in signature(td.task).parameters.items()
        if one.kind is Parameter.KEYWORD_ONLY
    }
    assert _kinds(TaskKeywords) == {name: one.annotation for name, one in taken.items()}
    shown = signature(td.process).parameters
    assert {name: shown[name].default for name in taken} == {
        name: one.default for name, one in taken.items()
    }


@pytest.mark.pinned
def test_a_dataset_takes_by_name_what_pandas_reads_csv_with_and_can_be_kept():
    csv = {name for name in SIGNATURE if name not in REFUSED}
    assert set(ReaderKeywords.__annotations__) == {
        *csv,
        *PARQUET_OPTIONS,
        "newlines_in_values",
        "compression",
    }
    own = {
        name
        for name, one in signature(td.open_dataset).parameters.items()
        if one.kind is Parameter.KEYWORD_ONLY
    }
    shared = {one.name for one in fields(RunOptions)}
    assert (
        set(DatasetKeywords.__annotations__) - set(ReaderKeywords.__annotations__) == own - shared
    )


def test_the_signature_of_process_shows_every_option_by_name():
    shown = signature(td.process).parameters
    assert {"retries", "sep", "columns", "workers", "output", "observers"} <= set(shown)
    assert shown["workers"].default is None
    assert shown["retry_delay"].default == "1s"
    assert not any(one.kind is Parameter.VAR_KEYWORD for one in shown.values())


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"workers": 0}, SettingsError),
        ({"memory": "1 kB"}, SettingsError),
        ({"chunk_size": "many"}, PlanError),
        ({"max_failures": "-1"}, SettingsError),
        ({"run_timeout": "soon"}, SettingsError),
        ({"wait_for_workers": "soon"}, SettingsError),
        ({"partition_by": "a"}, PlanError),
    ],
    ids=str,
)
def test_an_invalid_value_is_an_error_before_any_function_is_called(options, error):
    def never(chunk):
        raise AssertionError

    with pytest.raises(error, match="soon|" + next(iter(options))):
        td.process(pd.DataFrame({"a": [1]}), never, scheduler="synchronous", **options)


def test_the_command_line_has_a_flag_with_its_help_for_each_option_that_can_be_typed():
    shown = " ".join(CliRunner().invoke(run_command, ["--help"]).output.split())
    again = " ".join(CliRunner().invoke(redrive, ["--help"]).output.split())
    for name, option in typed_options().items():
        flag = f"--{option.flag or name.replace('_', '-')}"
        assert flag in shown
        assert option.help[:40] in shown
        assert (f"{flag} " in again) is option.is_anew


def test_redrive_repeats_cuts_limits_and_how_the_output_is_written():
    options = RunOptions(
        workers=3,
        chunk_size="2 rows",
        max_failures="1%",
        output="there",
        output_format="csv",
        partition_by=("a", "b"),
        storage_options={"key": "hidden"},
        run_dir="runs",
    )
    head = {"options": options.journaled(), "written": options.how_written(), "output": "there"}
    assert repeated_options(head) == {
        "chunk_size": "2 rows",
        "max_failures": "1%",
        "output": "there",
        "output_format": "csv",
        "partition_by": ["a", "b"],
    }
    assert "storage_options" not in options.journaled()
    assert "hidden" not in repr(options)


@pytest.mark.thorough
def test_a_type_checker_knows_every_option_of_process_and_finds_a_slip(tmp_path):
    file = tmp_path / "call.py"
    file.write_text(
        "import taskinity_data as td\n"
        'td.process("a.csv", retries=2, sep=";", columns=["a"], workers=2, output="there")\n'
        'td.process("a.csv", worker=2)\n'
        'td.process("a.csv", workers="two")\n'
        'td.open_dataset("a.csv", sep=3)\n'
        "td.task(retires=3)\n"
        "def total(results: list[int]) -> int: return sum(results)\n"
        'reveal_type(td.process("a.csv", reduce=total).value)\n'
        'reveal_type(td.process("a.csv", reduce=td.count()).value)\n'
        'reveal_type(td.process("a.csv", reduce=td.group_by("a", n=("b", "sum"))).value)\n'
        "def show(run: td.Run) -> None: ...\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command.append("--no-incremental")
    found = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    # A call that fits no overload may have two errors.
    lines = {line.split(":")[1] for line in found.stdout.splitlines() if "error:" in line}
    assert lines == {"3", "4", "5", "6"}, found.stdout
    types = re.findall('Revealed type is "(.*)"', found.stdout)
    assert types == ["int", "int", "pandas.core.frame.DataFrame"], found.stdout


def test_inputs_of_process_fill_other_parameters_of_its_functions_by_name():
    frame = pd.DataFrame({"key": ["a", "b", "a"], "n": [1, 2, 3]})
    names = pd.DataFrame({"key": ["a", "b"], "name": ["x", "y"]})
    options = {"scheduler": "synchronous", "chunk_size": "1 rows"}

    def join(chunk, names, factor=1):
        return chunk.merge(names, on="key").name.item() * factor

    def add(results, end="."):
        return "".join(results) + end

    given = {"names": names, "factor": 2}
    assert td.process(frame, join, inputs=given, **options).value == ["xx", "yy", "xx"]
    given = {"names": names, "end": "!"}
    assert td.process(frame, join, reduce=add, inputs=given, **options).value == "xyx!"
    with pytest.raises(BindError, match="names"):
        td.process(frame, join, **options)
    with pytest.raises(BindError, match="more"):
        td.process(frame, join, inputs={"names": names, "more": 1}, **options)
    with pytest.raises(BindError, match="rename it"):
        td.process(frame, join, inputs={"source": names}, **options)
