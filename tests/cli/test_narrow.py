"""What commands print in a narrow terminal, and in one that wants no colours."""

import os
import pty
import subprocess
import sys

import pandas as pd
import pytest

from taskinity_data.cli.output import lay_out

RUN = ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
       "--input", "factor=2", "--scheduler", "synchronous")  # fmt: skip


def test_tables_fit_forty_columns(folder, call, monkeypatch):
    assert call(*RUN).exit_code == 0
    monkeypatch.setenv("COLUMNS", "40")
    said = call("runs", "list").stdout
    assert max(map(len, said.splitlines())) <= 42  # pandas marks lines that go on
    assert {"flow", "Totals", "status", "COMPLETED"} <= set(said.split())
    monkeypatch.delenv("COLUMNS")
    piped = call("runs", "list").stdout
    assert max(map(len, piped.splitlines())) > 60  # no terminal: as it is


def test_a_line_break_in_a_value_begins_no_line_of_its_own(monkeypatch):
    frame = pd.DataFrame({"path": ["a\nb.csv", "c.csv"], "rows": pd.array([1, None], "Int64")})
    assert len(lay_out(frame).splitlines()) == 3


# --- NO_COLOR -------------------------------------------------------------------------------------


def in_terminal(*arguments, **environment):
    """What the command line writes to a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "taskinity_data", *arguments]
    clean = {name: text for name, text in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        command, stdout=theirs, stderr=theirs, stdin=theirs,
        env=clean | {"TERM": "xterm-256color"} | environment,
    ) as process:  # fmt: skip
        os.close(theirs)
        told = b""
        with open(ours, "rb", buffering=0) as stream:
            try:
                while part := stream.read(4096):
                    told += part
            except OSError:  # the other end is closed
                pass
    assert process.returncode == 0, told
    return told.decode()


def styles(text):
    """The escapes that set how letters look, and not those that move or clear."""
    return [part.partition("m")[0] for part in text.split("\x1b[")[1:] if part[:1].isdigit()
            and part.lstrip("0123456789;")[:1] == "m"]  # fmt: skip


@pytest.mark.thorough
def test_no_color_means_no_colors_and_no_bold_either(folder):
    assert "1" in styles(in_terminal("demo", "--size", "1MB", "--workers", "1"))
    assert "32" in styles(in_terminal(*RUN))
    assert styles(in_terminal("demo", "--size", "1MB", "--workers", "1", NO_COLOR="1")) == []
    assert styles(in_terminal(*RUN, NO_COLOR="1")) == []
