"""What stands in data, names and errors is shown inert, wherever a run is shown; no secret is."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

import taskinity_data as td
from taskinity_data.cli.group import commands
from taskinity_data.errors import FlowFailed
from taskinity_data.report.summary import summarise, summary_html

SCRIPT = "<script>alert(1)</script>"
FORGED = "ERROR forged line"
EVIL = f"\x1b[31mred\x1b]0;title\x07\r\n{FORGED}\u202e{SCRIPT}\x9b2J&amp;\u2028x"
NAME = EVIL.replace("/", "_") + ".csv"
TASKS = f"""\
import taskinity_data as td

def prepare(data):
    return td.open_dataset(data)

def work(chunk):
    if chunk.n.iloc[0] == 10:
        raise ValueError({EVIL!r})
    return chunk

add = td.concat()
"""
FLOW = """\
flow F:
    task Work[*]:
        on_error: {}
    Prepare -> Work[*] -> Add
"""


def work(chunk):
    if chunk.n.iloc[0] == 10:
        raise ValueError(EVIL)
    return chunk


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    pd.DataFrame({EVIL: [EVIL] * 40, "n": range(40)}).to_csv(folder / "in" / NAME, index=False)
    (folder / "tasks.py").write_text(TASKS)
    return folder


@pytest.fixture(scope="module")
def run(ground):
    return td.process(
        f"{ground}/in/*.csv", work, reduce=td.concat(), chunk_size="10 rows", on_error="skip",
        scheduler="synchronous", progress=False,
    )  # fmt: skip


def check_text(text):
    assert text
    odd = {one for one in text if not one.isprintable() and one not in "\n\t"}
    assert odd == set()
    assert not any(line.startswith(FORGED) for line in text.split("\n"))


def check_html(text):
    odd = {one for one in text if not one.isprintable() and one not in "\n\t"}
    assert odd == set()
    assert SCRIPT not in text
    assert SCRIPT.replace("/", "_") not in text


TEXTS = {
    "summary": summarise,
    "str": str,
    "repr": repr,
    "plan": lambda run: repr(run.plan),
    "chunk": lambda run: str(run.plan.chunks[0]),
    "dataset": lambda run: repr(td.open_dataset(Path(run.plan.chunks[0].path))),
}
PAGES = {
    "summary": summary_html,
    "notebook": lambda run: run._repr_html_(),
    "report": lambda run: Path(run.report("hostile.html")).read_text(),
    "plan": lambda run: run.plan._repr_html_(),
    "dataset": lambda run: td.open_dataset(Path(run.plan.chunks[0].path))._repr_html_(),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts(kind, run):
    check_text(TEXTS[kind](run))


@pytest.mark.parametrize("kind", PAGES)
def test_pages(kind, run):
    check_html(PAGES[kind](run))


@pytest.mark.parametrize("how", ["text", "json", "failed", "no file", "plan"])
def test_the_command_line(how, ground, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("f.flow").write_text(FLOW.format("fail" if how == "failed" else "skip"))
    command = [
        "run", "f.flow", "--tasks", str(ground / "tasks.py"), "--input", f"data={ground}/in/*.csv",
        "--chunk-size", "10 rows", "--scheduler", "synchronous",
    ]  # fmt: skip
    if how == "json":
        command.append("--json")
    elif how == "no file":
        command[5] = f"data=in/{EVIL}"
    elif how == "plan":
        command = ["plan", f"{ground}/in/*.csv"]
    done = CliRunner().invoke(commands, command)
    assert done.exit_code == {"failed": 1, "no file": 1, "plan": 0}.get(how, 3), done.output
    check_text(done.output)
    if how == "json":
        told = json.loads(done.stdout)
        assert told["failures"][0]["error"] == f"ValueError: {EVIL}"


def test_an_error_that_is_raised(ground):
    with pytest.raises(FlowFailed) as caught:
        td.process(f"{ground}/in/*.csv", work, chunk_size="10 rows", scheduler="synchronous")
    odd = {one for one in str(caught.value) if not one.isprintable() and one != "\n"}
    assert odd == set()


SECRET = "hunter2"


def test_no_secret_of_a_url_or_an_option_is_shown_or_kept(ground, tmp_path, monkeypatch):
    import fsspec

    fsspec.filesystem("memory").pipe("/secret/a.csv", b"n\n1\n2\n10\n")
    options = {"storage_options": {"token": SECRET}, "run_dir": tmp_path / "runs"}
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    monkeypatch.setattr(logging.getLogger("taskinity_data"), "level", logging.DEBUG)
    logging.getLogger("taskinity_data").addHandler(handler)
    try:
        run = td.process(
            "memory://secret/a.csv", lambda chunk: 1 / 0, on_error="skip", max_failures=5,
            scheduler="synchronous", progress=False, **options,
        )  # fmt: skip
        shown = [str(run), repr(run), summary_html(run), Path(run.report("s.html")).read_text()]
        shown += [repr(run.plan), run.outcomes.to_string(), run.failures.to_string()]
        for address in (
            f"http://me:{SECRET}@127.0.0.1:9/a.csv", f"http://127.0.0.1:9/a.csv?sig={SECRET}"
        ):  # fmt: skip
            with pytest.raises(td.errors.TaskinityDataError) as caught:
                td.process(address, len, run_dir=tmp_path / "runs", scheduler="synchronous")
            shown.append(str(caught.value))
    finally:
        logging.getLogger("taskinity_data").removeHandler(handler)
    assert all(SECRET not in text for text in [*shown, heard.getvalue()])
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
