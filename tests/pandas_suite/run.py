"""pandas' own parser tests, with each `read_csv` call also read in chunks (`make test-pandas`).

The tests come in the pandas wheel. Each call is made by pandas first; then the same text is read
from a file by `pandas.read_csv(low_memory=False)` and through `open_dataset` in three ways of
cutting. It fails on a wrong row, on a call that pandas refuses and chunks do not, on an error that
is none of `TaskinityDataError`, on a refusal that names neither an option nor a place, and where
more than `MAX_REFUSED` of the calls that pandas completes are refused.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from compare import Comparison

MAX_REFUSED = 0.11
"""The share of calls that pandas completes which chunks may refuse."""

ENGINES = {"python", "pyarrow"}
OTHER_PARSERS = {"python_parser_only", "pyarrow_parser_only"}
NOT_READ_CSV = ("test_read_fwf", "test_textreader", "test_python_parser_only", "test_network")


class PandasProxy:
    """pandas as test modules see it, with two functions replaced."""

    def __init__(self, pandas, functions):
        self._pandas, self._functions = pandas, functions

    def __getattr__(self, name):
        return self._functions.get(name) or getattr(self._pandas, name)


class Plugin:
    """Hands every call of pandas' tests to `Comparison`, and its verdict to the exit status."""

    def __init__(self, comparison):
        self.comparison = comparison
        self.without_data: set[str] = set()
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, config, items):
        kept = [item for item in items if is_for_c_engine(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
        items[:] = kept
        modules = {item.module for item in items}
        modules |= {
            module
            for module in config.pluginmanager.get_plugins()
            if str(getattr(module, "__file__", "")).endswith("parser/conftest.py")
        }
        functions = self.comparison.functions
        for module in modules:
            for name, value in list(vars(module).items()):
                if name == "pd":
                    module.pd = PandasProxy(value, functions)
                elif name in functions:
                    setattr(module, name, functions[name])

    def pytest_runtest_setup(self, item):
        self.comparison.test = item.nodeid.rpartition("parser/")[2]

    def pytest_runtest_logreport(self, report):
        if report.skipped and "Could not find" in str(report.longrepr):
            self.without_data.add(report.nodeid)
        if report.failed:
            self.failed.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter):
        for line in self.comparison.describe():
            terminalreporter.write_line(line)
        terminalreporter.write_line(
            f"{len(self.without_data)} tests left out: the wheel lacks their data files"
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        faults = self.comparison.find_faults(MAX_REFUSED)
        session.exitstatus = 1 if faults or self.failed else 0


def is_for_c_engine(item):
    if item.module.__name__.rpartition(".")[2] in NOT_READ_CSV:
        return False
    params = getattr(getattr(item, "callspec", None), "params", {})
    names = {
        "all_parsers",
        "all_parsers_all_precisions",
        "python_parser_only",
        "pyarrow_parser_only",
    }
    for name in names & params.keys():
        parser = params[name][0] if isinstance(params[name], tuple) else params[name]
        if parser.engine in ENGINES:
            return False
    return not OTHER_PARSERS & set(item.fixturenames)


def main() -> int:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as directory:
        plugin = Plugin(Comparison(Path(directory)))
        tests = Path(pd.__file__).parent / "tests" / "io" / "parser"
        arguments = ["-c", str(here / "pytest.ini"), str(tests), "--no-strict-data-files"]
        arguments += ["-W", "ignore", "-m", "not network", "--tb=short", *sys.argv[1:]]
        return int(pytest.main(arguments, plugins=[plugin]))


if __name__ == "__main__":
    sys.exit(main())
