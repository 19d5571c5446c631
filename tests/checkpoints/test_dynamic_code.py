"""A resumed run sees changes of code that is reached by texts; what it can't see is reported."""

import importlib
import sys

import pandas as pd
import pytest

import taskinity_data as td

HELPERS = "OFFSET = 1\n\n\ndef shift(n):\n    return n + OFFSET\n"
CALLS = {
    "import_module": "importlib.import_module('dyn_helpers').shift(n)",
    "import_module by its name": "import_module('dyn_helpers').shift(n)",
    "__import__": "__import__('dyn_helpers').shift(n)",
    "a submodule": "importlib.import_module('dyn_package.inner').shift(n)",
    "a module's __getattr__": "dyn_lazy.shift(n)",
    "a lazy package": "dyn_package.inner.shift(n)",
    "globals": "globals()['OFF' + chr(83) + 'ET'] + n",
    "globals in a loop": "[globals()[name] for name in NAMES][0] + n",
    "vars": "vars(sys.modules[__name__])[NAMES[0]] + n",
}
TASKS = """\
import importlib
import sys
from importlib import import_module

import dyn_lazy
import dyn_package

NAMES = ["OFF" + chr(83) + "ET"]
OFFSET = 1
STATE = sys.modules["dyn_state"]


def work(chunk):
    n = int(chunk.n.iloc[0])
    STATE.calls.append(n)
    if n >= STATE.fails_from:
        raise ValueError("stop here")
    return {call}
"""
LAZY = """\
TABLE = {"shift": lambda n: n + OFFSET}
OFFSET = 1


def __getattr__(name):
    if name in TABLE:
        return TABLE[name]
    raise AttributeError(name)
"""
PACKAGE = """\
import importlib


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return importlib.import_module("." + name, __name__)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    state = type(sys)("dyn_state")
    monkeypatch.setitem(sys.modules, "dyn_state", state)
    (tmp_path / "dyn_package").mkdir()
    pd.DataFrame({"n": range(4)}).to_csv(tmp_path / "rows.csv", index=False)
    yield tmp_path
    forget()


def forget():
    for name in list(sys.modules):
        if name.startswith("dyn_") and name != "dyn_state":
            del sys.modules[name]
    importlib.invalidate_caches()


def run(folder, call, offset=1, fails_from=99, **options):
    """A run of four chunks in what stands for a new process, and which of them ran."""
    forget()
    files = {
        "dyn_tasks.py": TASKS.replace("{call}", call),
        "dyn_helpers.py": HELPERS,
        "dyn_lazy.py": LAZY,
        "dyn_package/__init__.py": PACKAGE,
        "dyn_package/inner.py": HELPERS,
    }
    for name, text in files.items():
        (folder / name).write_text(text.replace("OFFSET = 1", f"OFFSET = {offset}"))
    state = sys.modules["dyn_state"]
    state.calls, state.fails_from = [], fails_from
    tasks = importlib.import_module("dyn_tasks")
    try:
        done = td.process(
            "rows.csv", tasks.work, chunk_size="1 rows", scheduler="synchronous", run_dir="kept",
            progress=False, **options,
        )  # fmt: skip
    except td.errors.FlowFailed as error:
        done = error.run
    return done, state.calls


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_changed_code_runs_again(folder, call):
    stopped, calls = run(folder, call, fails_from=2)
    assert calls == [0, 1, 2]
    done, calls = run(folder, call, offset=100, resume=True)
    assert calls == [0, 1, 2, 3]
    assert done.run_id == stopped.run_id
    assert done.value == [100, 101, 102, 103]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_unchanged_code_does_not(folder, call):
    run(folder, call, fails_from=2)
    done, calls = run(folder, call, resume=True)
    assert calls == [2, 3]
    assert done.value == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (
            "importlib.import_module('dyn_helper' + chr(115)).shift(n)",
            "modules by import_module()",
        ),
        ("globals()[NAMES[0]] + n", "names from globals()"),
        ("getattr(dyn_lazy, chr(115) + 'hift')(n)", "names of dyn_lazy by getattr()"),
        ("dyn_package.inner.shift(n)", "modules by import_module() in dyn_package.__getattr__"),
    ],
)
def test_what_cannot_be_followed_is_reported_at_the_first_run(folder, call, what):
    stopped, _ = run(folder, call, fails_from=2)
    told = [one for one in stopped.notices if "will not be noticed" in one]
    assert len(told) == 1
    assert what in told[0]
    done, _ = run(folder, call, resume=True)
    assert "will not be noticed" in "".join(td.load_run(done.run_id, "kept").notices)


@pytest.mark.parametrize("call", ["globals()['OFFSET'] + n", CALLS["import_module"]])
def test_what_is_followed_is_not_reported(folder, call):
    # dyn_lazy and dyn_package are imported, and not used.
    stopped, _ = run(folder, call, fails_from=2)
    assert not [one for one in stopped.notices if "will not be noticed" in one]
