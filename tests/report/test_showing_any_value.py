"""Whatever a run's answer is, and wherever it is shown: showing it never fails."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from properties import examples, mostly_thorough

import taskinity_data as td
from taskinity_data.cli.group import commands

FLOW = td.parse_flow("flow Odd:\n    task Make:\n")
HUGE = 10**5_000
ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8")


def class_with(**members):
    """A class whose special methods raise, or return what they may not."""
    return type("Odd", (), members)


def refuse(*_):
    raise RuntimeError("not to be shown")


class OddText(str):
    """A text whose methods raise."""

    __slots__ = ()
    __getitem__ = __len__ = splitlines = isprintable = refuse


class OddAttributes:
    def __getattr__(self, name):
        raise RuntimeError(f"{name} is not to be looked up")


def recursive():
    found = [1]
    found.append(found)
    return found


def deep():
    found = []
    for _ in range(5_000):
        found = [found]
    return found


LEAVES = {
    "repr raises": class_with(__repr__=refuse),
    "repr is not text": class_with(__repr__=lambda _: 3),
    "repr is huge": class_with(__repr__=lambda _: "x" * 300_000),
    "repr is odd": class_with(__repr__=lambda _: OddText("odd")),
    "len raises": class_with(__len__=refuse),
    "bool raises": class_with(__bool__=refuse),
    "eq raises": class_with(__eq__=refuse, __hash__=object.__hash__),
    "attributes raise": OddAttributes,
    "class raises": class_with(__class__=property(refuse)),
    "html raises": class_with(_repr_html_=refuse),
    "html is not text": class_with(_repr_html_=lambda _: 3),
    "html is odd": class_with(_repr_html_=lambda _: OddText("odd")),
    "html is huge": class_with(_repr_html_=lambda _: "<b>" * 300_000),
    "html is not a method": class_with(_repr_html_="html"),
    "says that it is a frame": class_with(to_string=refuse, iloc=None, shape="xy"),
    "shape is odd": class_with(shape=(object(), None)),
    "a mock": MagicMock,
    "huge integer": lambda: HUGE,
    "huge negative integer": lambda: -HUGE,
    "lone surrogate": lambda: "half \ud800 of it",
    "controls": lambda: "a\0b\x1b[31m\x07\r\x9b\u202e\u2028\ufeff",
    "signs": lambda: "é × … ÷ · 語 😀",
    "long text": lambda: "line\n" * 300_000,
    "NaN": lambda: float("nan"),
    "infinity": lambda: float("-inf"),
    "Decimal": lambda: Decimal("sNaN"),
    "complex": lambda: complex("nan"),
    "bytes": lambda: b"\0\xff" * 100_000,
    "NA": lambda: pd.NA,
    "NaT": lambda: pd.NaT,
    "recursive list": recursive,
    "deep list": deep,
    "array": lambda: np.array([object(), HUGE], dtype=object),
    "odd labels": lambda: pd.DataFrame(
        [[1, 2, 3, 4, 5]], columns=["\ud800", None, ("a", 1), HUGE, "x\n\x1b[2J"]
    ),
    "same labels": lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "odd cells": lambda: pd.DataFrame({"é": [HUGE, LEAVES["repr raises"](), "\ud800"]}),
    "odd series": lambda: pd.Series([LEAVES["repr raises"](), HUGE], name="\ud800×"),
    "wide frame": lambda: pd.DataFrame(np.zeros((3, 3_000))),
    "long cells": lambda: pd.DataFrame({"a": ["x" * 200_000] * 3}),
    "no columns": lambda: pd.DataFrame(index=range(3)),
}  # fmt: skip
WRAPPERS = {
    "itself": lambda one: one,
    "list": lambda one: [one],
    "long list": lambda one: [one] * 1_500,
    "tuple": lambda one: (one,),
    "dict": lambda one: {"a": one, HUGE: 1, "\ud800": 2},
    "cell": lambda one: pd.DataFrame({"a": pd.Series([one, None], dtype=object)}),
    "namespace": lambda one: SimpleNamespace(one=one),
}
WAYS = {
    "repr": repr,
    "str": str,
    "notebook": lambda run: run._repr_html_(),
    "report": lambda run: Path(run.report("odd.html")).read_text(encoding="utf-8"),
    "past": lambda run: repr(td.load_run(run.run_id, "kept")),
    "past report": lambda run: Path(
        td.load_run(run.run_id, "kept").report("past.html")
    ).read_text(encoding="utf-8"),
}  # fmt: skip


def run_that_gives(value):
    return td.run_flow(
        FLOW.bind({"Make": lambda: value}), scheduler="synchronous", progress=False, run_dir="kept"
    )


@cache
def ended():
    return td.process(
        pd.DataFrame({"a": range(6)}), lambda chunk: chunk, reduce=td.count(), progress=False,
        scheduler="synchronous", chunk_size="2 rows",
    )  # fmt: skip


def show(run, ways=tuple(WAYS)):
    """All that shows `run`, as text that no terminal is steered by."""
    for name in ways:
        text = WAYS[name](run)
        assert type(text) is str, name
        assert len(text) < 2_000_000, name
        text.encode()
        if "report" not in name and name != "notebook":
            assert "\x1b" not in text, name
    return str(run)


@pytest.mark.parametrize("leaf", LEAVES)
def test_any_answer_is_shown(leaf):
    show(run_that_gives(LEAVES[leaf]()))


@given(st.sampled_from(sorted(LEAVES)), st.sampled_from(sorted(WRAPPERS)))
@examples(15)
def test_any_answer_within_another_is_shown(leaf, wrapper):
    show(run_that_gives(WRAPPERS[wrapper](LEAVES[leaf]())), ("str", "notebook", "past"))


@given(st.recursive(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none()),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
@examples(12)
def test_plain_answers_are_shown_and_kept(value):
    run = run_that_gives(value)
    show(run, ("str", "notebook", "past"))
    json.loads(to_json(run.run_id))


def to_json(run_id):
    command = ["runs", "show", run_id, "--json"]
    done = CliRunner().invoke(commands, command, env={"TASKINITY_RUN_DIR": "kept"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_can_be_shown_of_an_answer_is_shown():
    shown = str(run_that_gives([1, HUGE, "text", LEAVES["repr raises"]()]))
    assert "list of 4: [1, <int of about 5,001 digits>, 'text', <Odd: its repr raised" in shown
    shown = str(run_that_gives(LEAVES["odd cells"]()))
    assert "DataFrame, 3 rows" in shown
    assert "<int of about 5,001 digits>" in shown


@pytest.mark.parametrize("encoding", mostly_thorough(ENCODINGS, 2))
@pytest.mark.parametrize("leaf", ["signs", "lone surrogate", "controls", "odd labels", "odd cells"])
def test_print_writes_a_run_in_any_encoding(leaf, encoding):
    raw = io.BytesIO()
    value = LEAVES[leaf]()
    frame = (
        pd.DataFrame({"é × …": pd.Series([value], dtype=object)})
        if isinstance(value, str)
        else value
    )
    shown = run_that_gives(frame)
    with redirect_stdout(io.TextIOWrapper(raw, encoding=encoding)) as out:
        print(shown)
        print(repr(shown))
        print(td.open_dataset(pd.DataFrame({"é×…": [1]})))
        print(ended().plan)
        out.flush()
    told = raw.getvalue().decode(encoding)
    assert "Odd: COMPLETED" in told
    assert "x 1 column" in told or "× 1 column" in told or "columns" in told


@pytest.mark.parametrize("encoding", mostly_thorough(ENCODINGS, 1))
@pytest.mark.parametrize("way", ["summary", "show", "list", "json", "plan", "dry run"])
def test_the_command_line_writes_in_any_encoding(way, encoding, tmp_path):
    (tmp_path / "é.csv").write_text("é\n1\n")
    (tmp_path / "odd.flow").write_text("flow Odd:\n    Prepare -> Work[*] -> Make\n")
    (tmp_path / "odd_tasks.py").write_text(
        "import pandas as pd\nimport taskinity_data as td\n"
        "def prepare(): return td.open_dataset('é.csv')\n"
        "def work(chunk): return chunk\n"
        "def make(work):\n"
        "    return pd.DataFrame({'é × 語': pd.Series([10**5000, '…\\ud800'], dtype=object)})\n"
    )
    run = ["run", "odd.flow", "--tasks", "odd_tasks.py", "--scheduler", "synchronous"]
    made = run_that_gives(LEAVES["signs"]()).run_id
    command = {
        "summary": run,
        "json": [*run, "--json"],
        "dry run": [*run, "--dry-run"],
        "show": ["runs", "show", made],
        "list": ["runs", "list"],
        "plan": ["plan", "é.csv"],
    }[way]
    raw, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        if way in ("show", "list"):
            patch.setenv("TASKINITY_RUN_DIR", str(Path("kept").absolute()))
        patch.chdir(tmp_path)
        out = io.TextIOWrapper(raw, encoding=encoding)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding=encoding))
        with pytest.raises(SystemExit) as end:
            commands(command, prog_name="taskinity-data")
        out.flush()
        sys.stderr.flush()
    assert end.value.code == 0, err.getvalue().decode(encoding)
    # click writes UTF-8 where the encoding is ASCII.
    told = raw.getvalue().decode("utf-8" if encoding == "ascii" else encoding)
    assert told.strip()
    if way == "json":
        assert json.loads(told)["value"]


@given(st.sampled_from(sorted(set(LEAVES) - {"a mock"})), st.sampled_from(sorted(WRAPPERS)))
@examples(15)
def test_any_answer_has_a_json_form(leaf, wrapper):
    from taskinity_data.cli.output import JsonAnswer, answering

    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("click.echo", lambda text: out.write(text))
        with answering(True) as answer:
            assert isinstance(answer, JsonAnswer)
            answer["value"] = WRAPPERS[wrapper](LEAVES[leaf]())
    assert "value" in json.loads(out.getvalue())


def test_a_huge_integer_is_exact_in_json():
    run = run_that_gives(HUGE)
    assert int(json.loads(to_json(run.run_id))["value"], 16) == HUGE


@given(st.integers(1, 200), st.sampled_from(ENCODINGS))
@examples(12)
def test_the_commands_lay_out_in_any_width(tmp_path, monkeypatch, width, encoding):
    monkeypatch.chdir(tmp_path)  # with no runs of other tests, which would all be listed
    made = run_that_gives(LEAVES["signs"]()).run_id
    env = {"COLUMNS": str(width), "TASKINITY_RUN_DIR": "kept"}
    runner = CliRunner(charset=encoding)
    for command in (["runs", "list"], ["runs", "show", made]):
        done = runner.invoke(commands, command, env=env)
        assert done.exit_code == 0, done.output


@given(st.integers(1, 200), st.sampled_from(ENCODINGS), st.booleans())
@examples(12)
def test_progress_is_drawn_in_any_width_and_encoding(width, encoding, is_terminal):
    raw = io.BytesIO()

    class Stream(io.TextIOWrapper):
        def isatty(self):
            return is_terminal

    stream = Stream(raw, encoding=encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(width))
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stderr", stream)
        run = td.process(
            pd.DataFrame({"a": range(4)}), lambda chunk: chunk, reduce=td.count(), progress=True,
            scheduler="synchronous", chunk_size="1 rows",
        )  # fmt: skip
        stream.flush()
    assert run.value == 4
    told = raw.getvalue().decode(encoding)
    assert "Traceback" not in told
    assert "dropped" not in told
    assert "%" in told or "4" in told


def test_a_run_is_printed_by_a_process_whose_output_is_ascii(tmp_path):
    code = (
        "import taskinity_data as td, pandas as pd\n"
        "f = td.parse_flow('flow Odd:\\n    task Make:\\n')\n"
        "make = lambda: pd.DataFrame({'\\xe9': [1, 2]})\n"
        "print(td.run_flow(f.bind({'Make': make}), scheduler='synchronous'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
        env={"PYTHONIOENCODING": "ascii:strict", "PATH": ""}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "DataFrame, 2 rows x 1 column" in done.stdout


ITEMS = td.parse_flow("flow Items:\n    Prepare -> Work[*] -> Combine\n")


def run_items(items, work, **inputs):
    names = {"Prepare": lambda n=None: items, "Work": work, "Combine": lambda work: len(work)}
    try:
        return td.run_flow(
            ITEMS.bind(names), inputs=inputs, scheduler="synchronous", progress=False,
            run_dir="kept",
        )  # fmt: skip
    except td.errors.FlowFailed as error:
        str(error).encode()
        return error.run


INPUTS = [HUGE, [1, HUGE], "half \ud800 of it", "nul \0\x1b[2J", float("nan"), ["\udcff.csv"]]


@pytest.mark.parametrize("value", INPUTS, ids=map(type, INPUTS))
def test_any_input_is_kept_or_left_out_and_shown(value):
    run = run_items([1, 2], lambda item: item, n=value)
    assert run.value == 2
    show(run)
    before = run_items([1, 2], lambda item: item, n=3)
    told = td.load_run(before.run_id, "kept").diff(td.load_run(run.run_id, "kept")).to_csv()
    told.encode()
    assert "\x1b" not in told
    assert run.run_id in set(td.list_runs("kept")["run_id"])


@pytest.mark.parametrize("leaf", ["repr raises", "repr is odd", "class raises", "huge integer"])
def test_any_item_that_fails_is_shown(leaf):
    def refuse_item(item):
        raise ValueError(item)

    show(run_items([LEAVES[leaf]()], refuse_item))
