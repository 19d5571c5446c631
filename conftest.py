"""Runs every code block and every command of the README and of guides, in a folder of their own."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sybil import Region, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

ROOT = Path(__file__).parent

FILE = re.compile(r"<!-- file: (?P<name>\S+) -->\n```\w*\n(?P<text>.*?)```", re.DOTALL)

# It is what runs these blocks.
NOT_RUN = {"make test"}


def _run_commands(example):
    """Each line after a ``$`` has to end with exit code 0."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: text for name, text in os.environ.items() if name != "MAKEFLAGS"}
    for line in example.parsed.splitlines():
        command = line.removeprefix("$ ")
        assert command != line, f"a command begins with '$ ': {line!r}"
        if command in NOT_RUN:
            continue
        ended = subprocess.run(
            command,
            shell=True,
            cwd=ROOT if command.startswith("make ") else None,
            env={**environment, "PATH": paths},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"


def _find_files(document):
    """The blocks that the reader is told to save, each under the name in the comment before it."""
    for found in FILE.finditer(document.text):
        # The comment's own region: the block after it is an example of its own.
        comment = found.start() + len("<!--")
        yield Region(found.start(), comment, found.group("name", "text"), _save_file)


def _save_file(example):
    name, text = example.parsed
    Path(name).write_text(text, encoding="utf-8")


def _enter_folder(namespace):
    folder = tempfile.TemporaryDirectory()
    (Path(folder.name) / "datasets").symlink_to(ROOT / "datasets")
    namespace["_folder"], namespace["_came_from"] = folder, Path.cwd()
    # What a script's functions are: shipped to workers by value, not by import.
    namespace["__name__"] = "__main__"
    os.chdir(folder.name)
    sys.path.insert(0, folder.name)


def _leave_folder(namespace):
    sys.path.remove(namespace["_folder"].name)
    sys.modules.pop("my_tasks", None)
    os.chdir(namespace["_came_from"])
    namespace["_folder"].cleanup()


pytest_collect_file = Sybil(
    parsers=[_find_files, PythonCodeBlockParser(), CodeBlockParser("console", _run_commands)],
    patterns=["README.md", "from-taskinity.md"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()


def pytest_itemcollected(item):
    """Leave documents, browsers, S3 and most pools for the thorough lane."""
    fixtures = set(getattr(item, "fixturenames", ()))
    params = getattr(getattr(item, "callspec", None), "params", {})
    names = {value for value in params.values() if isinstance(value, str)}
    # One pool in the fast lane shows that functions and results travel.
    is_first = item.name == "test_the_demo_text_runs_as_one_fan_out_of_four[processes]"
    starts_pool = "processes" in names and not is_first
    if item.path.suffix == ".md" or starts_pool or fixtures & {"browser", "s3"}:
        item.add_marker("thorough")


def pytest_collection_modifyitems(items):
    """Begin with what takes long, so that no process is left with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("thorough") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Make what a test has printed fit to travel to the process that reports it."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report
