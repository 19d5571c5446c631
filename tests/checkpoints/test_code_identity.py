"""Code is the same where it does the same, and another where anything that it reads is another."""

import importlib.util
import os
import subprocess
import sys
import threading

import pytest

from taskinity_data.checkpoints.code_identity import identify, list_changes

MODULE = """\
import math
import functools
import re
import threading
import pandas as pd
import numpy as np
import my_helpers
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

FACTOR = 2
LIMITS = MappingProxyType({"low": 1})
CLEAN = str.lower
TABLE = pd.DataFrame({"a": [1.5, 2.5]})
PATTERN = re.compile("a+")
NAMES = {"x", "y", "z"}
LOCK = threading.Lock()
UNUSED = 1

class Color(IntEnum):
    RED = 1

@dataclass
class Options:
    size: int = 3

class Base:
    limit = 5
    def weigh(self):
        return self.limit

class Model(Base):
    def __init__(self, k):
        self.k = k
    def __call__(self, chunk):
        return helper(chunk) * self.k + self.weigh()

def helper(x, step=1):
    return x * FACTOR + step

def deep(x):
    return deep(x - 1) if x else helper(x)

def chunk(x):
    # a comment
    def inner(y):
        return y + my_helpers.OFFSET
    with LOCK:
        return inner(helper(x)) + len(TABLE) + len(NAMES) + bool(PATTERN.match("a"))

def lazy(x):
    from my_helpers import shift
    return shift(x, Color.RED, Options(), LIMITS, CLEAN)

def make(n):
    return lambda x: x + n

def held(x):
    return x * held.factor

held.factor = 6
call = Model(4)
part = functools.partial(helper, step=3)
closed = make(7)
"""
HELPERS = "OFFSET = 1\nOTHER = 2\ndef shift(x, *rest):\n    return x + OFFSET\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    def load(text=MODULE, helpers=HELPERS):
        for name, source in (("my_helpers", helpers), ("my_code", text)):
            (tmp_path / f"{name}.py").write_text(source)
            spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, name, module)
            exec(compile(source, str(tmp_path / f"{name}.py"), "exec"), module.__dict__)
        return module

    return load


def digest(module, name):
    return identify({name: getattr(module, name)}).digest


ALL = ("chunk", "lazy", "deep", "call", "part", "closed", "held")


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("# a comment", "# another\n", ()),
        ("import math", "import math\n\n\n", ()),
        ("UNUSED = 1", "UNUSED = 2", ()),
        ("FACTOR = 2", "FACTOR = 3", ("chunk", "deep", "call", "part")),
        ("step=1", "step=2", ("chunk", "deep", "call", "part")),
        ("x * FACTOR + step", "step + x * FACTOR", ("chunk", "deep", "call", "part")),
        ("[1.5, 2.5]", "[1.5, 2.6]", ("chunk",)),
        ('"a+"', '"b+"', ("chunk",)),
        ('{"x", "y", "z"}', '{"z", "y", "x"}', ()),
        ('{"x", "y", "z"}', '{"z", "y"}', ("chunk",)),
        ("RED = 1", "RED = 2", ("lazy",)),
        ('"low": 1', '"low": 2', ("lazy",)),
        ("str.lower", "str.upper", ("lazy",)),
        ("size: int = 3", "size: int = 4", ("lazy",)),
        ("limit = 5", "limit = 6", ("call",)),
        ("self.limit", "self.limit + 1", ("call",)),
        ("Model(4)", "Model(5)", ("call",)),
        ("step=3", "step=4", ("part",)),
        ("make(7)", "make(8)", ("closed",)),
        ("factor = 6", "factor = 7", ("held",)),
        ("FACTOR = 2", "FACTOR = True + 1", ()),
        ("FACTOR = 2", "FACTOR = 2.0", ("chunk", "deep", "call", "part")),
    ],
)
def test_a_change_is_seen_by_those_that_read_it(load, old, new, changed):
    before = {name: digest(load(), name) for name in ALL}
    assert None not in before.values()
    module = load(MODULE.replace(old, new))
    assert {name for name in ALL if digest(module, name) != before[name]} == set(changed)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("OFFSET = 1", "OFFSET = 2", ("chunk", "lazy")),
        ("OTHER = 2", "OTHER = 3", ()),
        ("x + OFFSET", "OFFSET - x", ("lazy",)),
    ],
)
def test_other_modules_of_the_user_count_by_what_is_taken_of_them(load, old, new, changed):
    before = {name: digest(load(), name) for name in ALL}
    module = load(helpers=HELPERS.replace(old, new))
    assert {name for name in ALL if digest(module, name) != before[name]} == set(changed)


@pytest.mark.parametrize(
    "text",
    [
        "def chunk(x, m=my_helpers):\n    return m.shift(x)\n",
        "HELD = {'a': my_helpers}\ndef chunk(x):\n    return HELD['a'].shift(x)\n",
        "def make(m):\n    return lambda x: m.shift(x)\nchunk = make(my_helpers)\n",
        "class Held:\n    m = my_helpers\ndef chunk(x):\n    return Held.m.shift(x)\n",
        "def call(m, x):\n    return m.shift(x)\ndef chunk(x):\n    return call(my_helpers, x)\n",
        "def chunk(x):\n    return getattr(my_helpers, 'shift')(x)\n",
    ],
)
def test_a_module_that_is_handed_on_counts_by_what_any_code_takes_of_it(load, text):
    text = f"import my_helpers\n{text}"
    before = digest(load(text), "chunk")
    assert digest(load(text, HELPERS.replace("OTHER = 2", "OTHER = 3")), "chunk") == before
    assert digest(load(text, HELPERS.replace("OFFSET = 1", "OFFSET = 2")), "chunk") != before


@pytest.mark.parametrize(
    "text",
    [
        "LIMIT = 1\ndef chunk(x):\n    return x.query('a > @LIMIT')\n",
        "LIMIT = 1\ndef chunk(x):\n    return x.eval('b = a + @LIMIT')\n",
        "LIMIT, QUERY = 1, 'a > @LIMIT'\ndef chunk(x):\n    return x.query(QUERY)\n",
        "LIMIT = 1\ndef chunk(x):\n    return globals()['LIMIT']\n",
        (
            "class Kind(type):\n    def size(cls):\n        return 1\n"
            "class Held(metaclass=Kind):\n    pass\ndef chunk(x):\n    return Held.size()\n"
        ),
    ],
)
def test_what_texts_and_metaclasses_name_counts(load, text):
    before = digest(load(text), "chunk")
    assert digest(load(f"OTHER = 5\n{text}"), "chunk") == before
    changed = text.replace("LIMIT = 1", "LIMIT = 2").replace("return 1", "return 2")
    assert digest(load(changed.replace("QUERY = 1", "QUERY = 2")), "chunk") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("from statistics import mean as call", "from statistics import median as call"),
        ("from collections import Counter as call", "from collections import OrderedDict as call"),
        ("import json as call", "import csv as call"),
        ("class call:\n    a: int", "class call:\n    a: float"),
        ("call = np.frompyfunc(lambda x: x, 1, 1)", "call = np.frompyfunc(lambda x: -x, 1, 1)"),
    ],
)
def test_what_a_global_stands_for_counts(load, old, new):
    text = "import numpy as np\nOLD\ndef chunk(x):\n    return call, x\n"
    before, after = (digest(load(text.replace("OLD", value)), "chunk") for value in (old, new))
    assert before != after or after is None


def test_modules_that_are_not_loaded_yet_count_by_their_files(load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "my_late_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from . import deeper\nimport pandas\n")
    (package / "deeper.py").write_text("VALUE = 1\n")
    text = "def chunk(x):\n    from my_late_package import inner\n    return inner.deeper.VALUE\n"
    before = identify({"task": load(text).chunk})
    assert before.unstable == {}
    assert "my_late_package.inner" not in sys.modules
    (package / "deeper.py").write_text("VALUE = 2\n")
    after = identify({"task": load(text).chunk})
    assert list_changes(before.parts, after.parts) == ["the file of my_late_package.deeper"]
    monkeypatch.delitem(sys.modules, "my_late_package", raising=False)


def test_what_changed_is_named(load):
    before = identify({"task": load().chunk}).parts
    after = identify({"task": load(MODULE.replace("FACTOR = 2", "FACTOR = 3")).chunk}).parts
    assert list_changes(before, after) == ["my_code.FACTOR"]


def test_another_process_finds_the_same(load, tmp_path):
    load()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import my_code\n"
        "from taskinity_data.checkpoints.code_identity import identify\n"
        f"print(*(identify({{n: getattr(my_code, n)}}).digest for n in {ALL!r}))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert found[0] == found[1] == [digest(sys.modules["my_code"], name) for name in ALL]


def test_what_has_no_identity_is_named():
    with open(__file__) as file:
        found = identify({"task": lambda x, file=file: file})
    assert found.digest is None
    assert "TextIOWrapper" in found.unstable["task"]
    thread = threading.current_thread()
    assert identify({"task": lambda x: thread}).digest is None


def test_values_that_hold_themselves_and_reducers_have_an_identity():
    import taskinity_data as td

    held = [1]
    held.append(held)
    other = [1]
    other.append([1, other])
    assert identify({"a": held}).digest not in (None, identify({"a": other}).digest)
    late = td.group_by("k", n=("x", "sum"))
    assert identify({"a": late}).digest == identify({"a": td.group_by("k", n=("x", "sum"))}).digest
    assert identify({"a": late}).digest != identify({"a": td.group_by("k", n=("x", "mean"))}).digest
    one = td.reducer(lambda parts: sum(parts))
    assert (
        identify({"a": one}).digest == identify({"a": td.reducer(lambda parts: sum(parts))}).digest
    )
    assert (
        identify({"a": one}).digest != identify({"a": td.reducer(lambda parts: max(parts))}).digest
    )
