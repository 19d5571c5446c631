"""What holds for every test: the same settings, signals and properties, and an empty folder."""

import os
import signal
from pathlib import Path

import properties
import pytest

# `make test-pandas` runs them, with options and markers of their own.
collect_ignore = ["pandas_suite", "pyarrow_suite"]

properties.load_profile()

# A shell that starts `make test &` ignores Ctrl-C, `nohup` also SIGHUP, and the processes that
# tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="session")
def _neutral_ground(tmp_path_factory):
    """No setting of the person who runs the tests, nothing left in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("TASKINITY_"):
                patch.delenv(name)
        # A relative PYTHONPATH would no longer lead anywhere for the processes that tests start.
        if "PYTHONPATH" in os.environ:
            there = os.environ["PYTHONPATH"].split(os.pathsep)
            patch.setenv("PYTHONPATH", os.pathsep.join(map(os.path.abspath, there)))
        patch.chdir(tmp_path_factory.mktemp("ground"))
        yield


@pytest.fixture(scope="session")
def demo_text():
    """The flow text that people bring, to the letter: comments, blanks at lines' ends."""
    return (Path(__file__).parent / "parallel_demo.flow").read_text(encoding="utf-8")
