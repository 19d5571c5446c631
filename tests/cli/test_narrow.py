"""What commands say in a narrow terminal, and in one that wants no colours."""

import os
import pty
import subprocess
import sys

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.cli.wording import fold, lay_out

RUN = ("run", "totals.flow", "--tasks", "my_tasks.py", "--input", "data=numbers.csv",
       "--input", "factor=2", "--scheduler", "synchronous")  # fmt: skip


def too_wide(text, width):
    """Lines with more letters than that, but for those that hold one long word, or its name too."""
    return [one for one in text.splitlines() if len(one) > width and len(one.split()) > 2]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("runs", "list"), ["flow Totals", "status COMPLETED"]),
        (("plan", "numbers.csv", "--chunk-size", "30 rows", "--chunks"), ["start 4", "rows 30"]),
        (("doctor",), ["  max_workers", "temporary-directory"]),
    ],
    ids=["runs", "plan", "doctor"],
)
def test_forty_columns_are_enough(folder, call, monkeypatch, command, words):
    assert call(*RUN).exit_code == 0
    monkeypatch.setenv("COLUMNS", "40")
    said = call(*command)
    assert said.exit_code == 0
    assert too_wide(said.stdout, 40) == []
    for word in words:
        assert word in said.stdout
    monkeypatch.delenv("COLUMNS")
    piped = call(*command).stdout
    assert max(map(len, piped.splitlines())) > 60  # no terminal: as it is


WORDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=30), st.integers(0, 6), st.integers(20, 60))
def test_folding_keeps_every_word_in_order_and_the_width(words, indent, width):
    text = " " * indent + " ".join(words)
    folded = fold(text, width)
    assert folded.split() == text.split()
    assert max(map(len, folded.splitlines())) <= width


def test_a_row_that_does_not_fit_loses_nothing_and_begins_no_line_of_another():
    frame = pd.DataFrame(
        {"path": ["a\nb.csv", "c.csv"], "rows": pd.array([1, None], "Int64"), "size": [0.5, 2.0]}
    )
    assert lay_out(frame, 10) == "a\\nb.csv\n  rows 1,\n  size 0.5\nc.csv\n  size 2.0"
    assert lay_out(frame, 10, has_index=True).startswith("0  a\\nb.csv\n")
    assert lay_out(frame, 80).splitlines() == frame.to_string(index=False, na_rep="").splitlines()


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
def test_no_color_means_no_bold_and_no_dim_either(folder):
    assert "1" in styles(in_terminal("demo", "--size", "1MB", "--workers", "1"))
    assert "2" in styles(in_terminal(*RUN))
    assert styles(in_terminal("demo", "--size", "1MB", "--workers", "1", NO_COLOR="1")) == []
    assert styles(in_terminal(*RUN, NO_COLOR="1")) == []
