import inspect
import json
import pickle
import re
import subprocess
import sys

import cloudpickle
import pytest

import taskinity_data as td

SLOW = ("pandas", "pyarrow", "numpy", "dask", "distributed", "bokeh", "click", "rich", "jinja2")


def _modules_after(code: str) -> set[str]:
    """The top names of what a fresh Python has imported after `code`."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    # The last line alone: `code` may print.
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]
    return {name.partition(".")[0] for name in json.loads(printed)}


@pytest.mark.thorough
def test_a_run_of_a_small_file_loads_no_scheduler_and_no_event_loop(tmp_path):
    path = tmp_path / "small.csv"
    path.write_text("a,b\nx,1\ny,2\n")
    loaded = _modules_after(
        "import taskinity_data as td\n"
        f"td.process({str(path)!r}, reduce=td.group_by('a', b=('b', 'sum')), progress=False)"
    )
    slow = {"asyncio", "bokeh", "dask", "distributed", "email", "fsspec", "jinja2", "rich"}
    # Those of hints, of pages and of commands, which a run that goes well needs none of.
    unneeded = {"difflib", "html", "shlex"}
    assert loaded & {*slow, "multiprocessing", *unneeded} == set()


def test_the_list_of_public_names_is_sorted_and_has_none_twice():
    assert td.__all__ == sorted(set(td.__all__))


@pytest.mark.parametrize("name", td.__all__)
def test_every_public_name_is_there_and_tells_what_it_is(name):
    found = getattr(td, name)
    assert found is not None
    if name != "__version__":
        assert inspect.getdoc(found), f"td.{name} has no docstring"


@pytest.mark.parametrize(
    "name", [name for name in td.__all__ if inspect.isclass(getattr(td, name))]
)
def test_what_a_public_class_offers_is_documented(name):
    for member, found in vars(getattr(td, name)).items():
        if not member.startswith("_") and (callable(found) or isinstance(found, property)):
            assert inspect.getdoc(found), f"td.{name}.{member} has no docstring"


def test_a_star_import_gives_the_public_names_and_no_other():
    namespace: dict[str, object] = {}
    exec("from taskinity_data import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(td.__all__)


def test_dir_holds_every_public_name():
    assert set(td.__all__) <= set(dir(td))


def test_a_name_that_is_not_there_is_an_attribute_error_with_close_names():
    with pytest.raises(AttributeError, match=r"no 'proces'\. Did you mean 'process'"):
        td.proces  # noqa: B018 - looking it up is the test
    assert not hasattr(td, "_zzz")


def test_a_name_found_once_is_the_same_object_ever_after():
    assert td.open_dataset is td.open_dataset
    assert td.Flow is vars(td)["Flow"]


def test_flow_is_the_decorator_whatever_was_imported_first():
    for first in ("import taskinity_data.flow.model", "import taskinity_data"):
        code = f"""
{first}
import taskinity_data as td
from taskinity_data.flow.language import parser

@td.task
def one():
    return 1

@td.flow
def bare():
    return one()

import taskinity_data.flow.decorators
import taskinity_data.flow.diagram.svg

@td.flow(name="Named")
def called():
    return one()

assert isinstance(bare, td.Flow), bare
assert called.name == "Named"
assert td.parse_flow is parser.parse_flow
"""
        subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.thorough
def test_type_checkers_see_every_public_name_with_its_type(tmp_path):
    uses = "\n".join(f"td.{name}" for name in td.__all__)
    (tmp_path / "uses.py").write_text(
        f"import taskinity_data as td\n{uses}\n"
        "td.absent\n"
        "reveal_type(td.sum)\n"
        "reveal_type(td.flow)\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--python-executable", sys.executable, "uses.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert re.findall(r"error: .*", checked) == [
        'error: Module has no attribute "absent"  [attr-defined]'
    ]
    assert "-> taskinity_data.reducers.totals.Total" in checked
    assert "taskinity_data.flow.flow.Flow" in checked


def test_importing_the_package_imports_none_of_the_slow_libraries():
    assert _modules_after("import taskinity_data").isdisjoint({*SLOW, "dotenv", "difflib"})


@pytest.mark.parametrize(
    "code",
    [
        "import taskinity_data as td; td.parse_flow('flow F:\\n    A -> B\\n').to_mermaid()",
        "import taskinity_data as td; td.errors.BindError; td.settings.load_settings()",
        "import taskinity_data as td; td.task(lambda x: x)",
    ],
)
def test_flows_errors_and_settings_need_no_data_library(code):
    assert _modules_after(code).isdisjoint(SLOW)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_line_explains_itself_without_a_slow_library(option):
    code = f"""
import sys
from taskinity_data.cli import main
sys.argv = ["taskinity-data", "{option}"]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
"""
    assert _modules_after(code).isdisjoint(set(SLOW) - {"click"})


def test_python_m_is_the_command_line():
    answer = subprocess.run(
        [sys.executable, "-m", "taskinity_data", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert td.__version__ in answer.stdout


def test_functions_that_refer_to_the_package_can_be_pickled():
    def compute():
        return td.sum().name

    td.flow  # noqa: B018 - where lazy_loader steps in
    compute.__module__ = "__main__"
    carried = cloudpickle.loads(cloudpickle.dumps(compute))
    assert carried() == "sum"
    assert pickle.loads(pickle.dumps(td)) is td
