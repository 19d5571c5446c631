"""What a user gave is quoted in errors, and cut: a message fits on a screen, whatever was given."""

import pandas as pd
import pytest
from click.testing import CliRunner
from properties import mostly_thorough

import taskinity_data as td
from taskinity_data.cli.group import commands

LONG = "x" * 1_000_000
WORDS = "word " * 200_000
FRAME = pd.DataFrame({"a": [1, 2]})
FLOW = td.parse_flow("flow F:\n    task Make:\n")
SCREENS = 4_500

TEXTS = {
    "a key": "flow F:\n    task Make:\n        {}: 3\n",
    "a value": "flow F:\n    task Make:\n        retries: {}\n",
    "an unknown word": "flow F:\n    {}\n",
    "a text before": "{}\nflow F:\n",
    "a name": "flow F:\n    task {} y:\n",
    "the flow's name": "flow {} y:\n    task Make:\n",
    "an edge": "flow F:\n    A -> {} -> ]\n",
    "a list": "flow F:\n    A -> [{}, ]\n",
    "a fallback": "flow F:\n    task Make:\n        on_error: {}\n",
    "an edge to itself": "flow F:\n    {0} -> {0}\n",
    "a duplicate": "flow F:\n    task {0}:\n    task {0}:\n",
    "a cycle": "flow F:\n    {0} -> B\n    B -> {0}\n",
    "a lone task": "flow F:\n    task {}:\n    A -> B\n",
    "a second flow": "flow {0}:\n    task Make:\nflow {0}:\n",
    "after the column": "flow F:\n    task Make: {}\n",
}


@pytest.mark.parametrize("long", mostly_thorough([LONG, WORDS], 1), ids=["one word", "many words"])
@pytest.mark.parametrize("place", TEXTS)
def test_a_flow_text_is_quoted_around_the_column(place, long):
    with pytest.raises(td.errors.TaskinityDataError) as found:
        td.parse_flow(TEXTS[place].format(long)).bind({"Make": print})
    assert len(str(found.value)) < SCREENS
    assert all(len(message) < SCREENS for _, _, message in getattr(found.value, "problems", ()))


def test_the_column_of_a_long_line_is_shown():
    with pytest.raises(td.errors.FlowSyntaxError) as found:
        td.parse_flow(f"flow F:\n    A -> {'B, ' * 100_000}?? -> C\n")
    line, column, _ = found.value.problems[0]
    shown = str(found.value).splitlines()[-2:]
    assert line == 2
    assert column > 4
    assert shown[1].strip("^ ") == ""
    assert len(shown[0]) < 120


CALLS = {
    "path": lambda long: td.open_dataset(long),
    "path in a folder": lambda long: td.open_dataset(f"there/{long}/*.csv"),
    "URL": lambda long: td.open_dataset(f"nosuch://{long}"),
    "list of paths": lambda long: td.open_dataset([long]),
    "format": lambda long: td.open_dataset(FRAME, format=long),
    "columns": lambda long: td.open_dataset(FRAME, columns=[long]),
    "filters": lambda long: td.open_dataset(FRAME, filters=[(long, "==", 1)]),
    "operator": lambda long: td.open_dataset(FRAME, filters=[("a", long, 1)]),
    "schema": lambda long: td.open_dataset(FRAME, schema=long),
    "dtype": lambda long: td.open_dataset(FRAME, schema={"a": long}),
    "chunk size": lambda long: td.open_dataset(FRAME, chunk_size=long),
    "option": lambda long: td.open_dataset(FRAME, **{long: 1}),
    "separator": lambda long: td.open_dataset("a.csv", sep=long),
    "encoding": lambda long: td.open_dataset("a.csv", encoding=long),
    "process option": lambda long: td.process(FRAME, len, **{long: 1}),
    "scheduler": lambda long: run(scheduler=long),
    "workers": lambda long: run(workers=long),
    "memory": lambda long: run(memory=long),
    "max_failures": lambda long: run(max_failures=long),
    "run_timeout": lambda long: run(run_timeout=long),
    "resume": lambda long: run(resume=long, run_dir="kept"),
    "run_dir": lambda long: run(run_dir=long),
    "output": lambda long: td.process(FRAME, output=long, scheduler="synchronous"),
    "output_format": lambda long: td.process(FRAME, output="out", output_format=long),
    "if_exists": lambda long: td.process(FRAME, output="out", if_exists=long),
    "partition_by": lambda long: td.process(
        FRAME, output="out", partition_by=[long], scheduler="synchronous", progress=False
    ),
    "input": lambda long: run(**{long: 1}),
    "task option": lambda long: td.task(on_error=long)(print),
    "retry_delay": lambda long: td.task(retry_delay=long)(print),
    "bind": lambda long: FLOW.bind({long: print}),
    "flow file": lambda long: td.load_flow(long),
    "run": lambda long: td.load_run(long),
    "group_by": lambda long: td.process(
        FRAME, reduce=td.group_by(long, n=("a", "count")), scheduler="synchronous", progress=False
    ),
    "how": lambda long: td.group_by("a", n=("a", long)),
    "column": lambda long: td.process(
        FRAME, lambda chunk: chunk[long], scheduler="synchronous", progress=False
    ),
}  # fmt: skip


def run(**options):
    return td.run_flow(FLOW.bind({"Make": lambda: 1}), progress=False, **options)


@pytest.mark.parametrize("call", CALLS)
def test_an_option_is_quoted_in_short(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n")
    with pytest.raises(td.errors.TaskinityDataError) as found:
        CALLS[call](LONG)
    # What a run that has begun raises has a traceback.
    is_run = isinstance(found.value, td.errors.FlowFailed)
    assert len(str(found.value)) < (21_000 if is_run else SCREENS)


def test_a_setting_is_quoted_in_short(monkeypatch):
    monkeypatch.setenv("TASKINITY_CHUNK_SIZE", "x" * 100_000)
    with pytest.raises(td.errors.SettingsError) as found:
        run()
    assert len(str(found.value)) < SCREENS
    assert "64MiB" in str(found.value)


@pytest.mark.parametrize(
    "command",
    [["run", LONG], ["runs", "show", LONG], ["plan", LONG], ["run", "f.flow", "--input", LONG],
     ["report", LONG], ["validate", LONG]],
    ids=lambda command: " ".join(one[:12] for one in command),
)  # fmt: skip
def test_the_command_line_quotes_in_short(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.flow").write_text("flow F:\n    task Make:\n")
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == 2, done.exception
    assert len(done.output) < SCREENS
