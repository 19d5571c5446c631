"""A folder with a flow, its functions and data, and the two ways to call the command line."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from taskinity_data.cli.group import commands

FLOW = """\
flow Totals:
    description: "Sums of two numbers"

    task DataPreparation:
        description: "Find the file"

    task ProcessChunk[*]:
        description: "Add up one chunk"

    task AggregateResults:
        description: "Add up all chunks"

    DataPreparation -> ProcessChunk[*] -> AggregateResults
"""

TASKS = """\
import taskinity_data as td


def data_preparation(data):
    print("looking for", data)
    return td.open_dataset(data)


def process_chunk(chunk, factor):
    return int(chunk["a"].sum()) * int(factor)


def aggregate_results(process_chunk):
    return {"total": sum(process_chunk), "chunks": len(process_chunk)}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory: totals.flow, my_tasks.py, numbers.csv (a = 0 … 99)."""
    (tmp_path / "totals.flow").write_text(FLOW)
    (tmp_path / "my_tasks.py").write_text(TASKS)
    rows = "".join(f"{number},x{number}\n" for number in range(100))
    (tmp_path / "numbers.csv").write_text("a,b\n" + rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@dataclass
class Said:
    """What a command said, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture
def call():
    """Calls the command line in this process."""

    def run(*arguments):
        result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def call_apart():
    """Calls the command line in a process of its own."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "taskinity_data", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
        return Said(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def datasets():
    """The folder of the real data that comes with a checkout."""
    return Path(__file__).parents[2] / "datasets"
