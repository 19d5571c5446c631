"""Parsers that run the code of documents, and compare what it prints with what they show.

A block ``output`` holds what the block of Python or console before it prints; ``...`` stands for
anything. ``DOCUMENTS=write`` writes what is printed into the documents instead of comparing.
"""

import contextlib
import doctest
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from sybil import Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).resolve().parents[2]

FILE = re.compile(r"<!-- file: (?P<name>\S+) -->\n```\w*\n(?P<text>.*?)```", re.DOTALL)

# It is what runs these blocks.
NOT_RUN = {"make test"}

CHECKER = doctest.OutputChecker()
IS_WRITING = os.environ.get("DOCUMENTS") == "write"


PYTHON = PythonEvaluator()


def run_python(example):
    """Run a block, and keep what it prints for the block behind it."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        PYTHON(example)
    example.namespace["_printed"] = printed.getvalue()


def run_commands(example):
    """Each line after a ``$`` has to end with exit code 0."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {name: text for name, text in os.environ.items() if name != "MAKEFLAGS"}
    example.namespace["_printed"] = ""
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
        example.namespace["_printed"] += ended.stdout


def compare_output(example):
    """What a document shows is what was printed."""
    shown, printed = tidy(example.parsed), tidy(example.namespace["_printed"])
    options = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    # A line of dots may stand for no line, too.
    for expected in (shown, shown.replace("\n...\n", "\n")):
        if CHECKER.check_output(expected, printed, options):
            return
    if not IS_WRITING:
        difference = CHECKER.output_difference(doctest.Example("", shown), printed, options)
        raise AssertionError(difference)
    path = Path(example.path)
    before, after = f"```output\n{example.parsed}```", f"```output\n{printed}```"
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"not once in {path}: {before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def tidy(text):
    """Return `text` without blanks at the ends of lines, and without blank lines around it."""
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


def find_files(document):
    """The blocks that the reader is told to save, each under the name in the comment before it."""
    for found in FILE.finditer(document.text):
        # The comment's own region: the block after it is an example of its own.
        comment = found.start() + len("<!--")
        yield Region(found.start(), comment, found.group("name", "text"), save_file)


def save_file(example):
    name, text = example.parsed
    Path(name).write_text(text, encoding="utf-8")


def enter_folder(namespace):
    """Begin a document in an empty folder beside `datasets`."""
    folder = tempfile.TemporaryDirectory()
    (Path(folder.name) / "datasets").symlink_to(ROOT / "datasets")
    namespace["_folder"], namespace["_came_from"] = folder, Path.cwd()
    namespace["_modules"] = set(sys.modules)
    # What a script's functions are: shipped to workers by value, not by import.
    namespace["__name__"] = "__main__"
    os.chdir(folder.name)
    sys.path.insert(0, folder.name)


def leave_folder(namespace):
    folder = namespace["_folder"].name
    sys.path.remove(folder)
    for name in set(sys.modules) - namespace["_modules"]:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]
    os.chdir(namespace["_came_from"])
    namespace["_folder"].cleanup()


PARSERS = [
    find_files,
    CodeBlockParser("python", run_python),
    CodeBlockParser("console", run_commands),
    CodeBlockParser("output", compare_output),
]
