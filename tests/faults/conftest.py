"""Rounds and cleanliness for every test of faults."""

import os
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_generate_tests(metafunc):
    """`seed`: so many as FAULT_ROUNDS says for each scenario, few where it says none."""
    if "seed" in metafunc.fixturenames:
        share = metafunc.definition.get_closest_marker("rounds")
        usual, many = share.args if share else (1, 10)
        factor = float(os.environ.get("FAULT_ROUNDS", "0"))
        metafunc.parametrize("seed", range(round(many * factor) if factor else usual))


def pytest_collection_modifyitems(items):
    """Scenarios that have no rounds in the ordinary suite are not there."""
    items[:] = [one for one in items if not one.name.endswith("[NOTSET]")]


def pytest_terminal_summary(terminalreporter):
    """How many rounds of each scenario held."""
    if "FAULT_ROUNDS" not in os.environ:
        return
    counts = {}
    for word in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(word, ()):
            if "/faults/" in report.nodeid:
                name = report.nodeid.partition("::")[2].partition("[")[0]
                held, all_ = counts.get(name, (0, 0))
                counts[name] = held + (word == "passed"), all_ + 1
    terminalreporter.section("rounds")
    for name, (held, all_) in counts.items():
        words = name.removeprefix("test_").replace("_", " ")
        terminalreporter.write_line(f"{held:4} of {all_:4}  {words}")


def _processes():
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """The fourth rule: no process, thread or temporary file is left behind."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    threads, before = set(threading.enumerate()), _processes()
    yield
    gone = [psutil.Process(pid) for pid in _processes() - before if psutil.pid_exists(pid)]
    gone = [one for one in gone if "resource_tracker" not in " ".join(one.cmdline())]
    _, alive = psutil.wait_procs(gone, timeout=120)
    assert not alive
    left = [
        one
        for one in set(threading.enumerate()) - threads
        if one.is_alive() and one.name.startswith(("taskinity", "child"))
    ]
    assert not left
    assert not list(scratch.iterdir())
