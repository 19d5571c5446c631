"""pyarrow's own Parquet tests, each reading of a file also done in chunks (`make test-pandas`).

The tests come in the pyarrow wheel. Each `read_table`, `read_pandas` and `ParquetFile.read` is done
by pyarrow first; then the same file (that of a buffer is written first) is read through
`open_dataset` in three ways of cutting, and compared as Arrow and as pandas. It fails on a wrong
row, on a reading that pyarrow refuses and chunks do not, on an error that is none of
`TaskinityDataError`, on a refusal that names neither an option nor the file, and where more than
`MAX_REFUSED` of the readings that pyarrow completes are refused.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pyarrow.tests.parquet
import pytest
from compare import Comparison
from pyarrow.parquet import core

MAX_REFUSED = 0.12
"""The share of readings that pyarrow completes which chunks may refuse."""

NO_DATA = "PARQUET_TEST_DATA"


class Plugin:
    """Hands all readings of pyarrow's tests to `Comparison`; its verdict is the exit status."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.without_data: set[str] = set()
        self.failed: set[str] = set()

    def pytest_collection_modifyitems(self, items):
        read_table = self.comparison.wrap_read_table()
        for module in {pq, core, *(item.module for item in items)}:
            if hasattr(module, "read_table"):
                module.read_table = read_table
        core.ParquetFile.__init__, core.ParquetFile.read = self.comparison.wrap_file()

    def pytest_runtest_setup(self, item):
        self.comparison.test = item.nodeid.rpartition("/")[2]

    def pytest_runtest_logreport(self, report):
        lacks_data = NO_DATA in str(report.longrepr) or "No such file" in str(report.longrepr)
        if report.failed and lacks_data:
            self.without_data.add(report.nodeid)
        elif report.failed:
            self.failed.add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter):
        for line in self.comparison.describe(MAX_REFUSED):
            terminalreporter.write_line(line)
        terminalreporter.write_line(
            f"{len(self.without_data)} tests left out: the wheel lacks their data files"
        )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        faults = self.comparison.find_faults(MAX_REFUSED)
        session.exitstatus = 1 if faults or self.failed else 0


def main() -> int:
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as directory:
        plugin = Plugin(Comparison(Path(directory)))
        tests = Path(pyarrow.tests.parquet.__file__).parent
        arguments = ["-c", str(here / "pytest.ini"), str(tests), "-W", "ignore", "--tb=short"]
        return int(pytest.main([*arguments, *sys.argv[1:]], plugins=[plugin]))


if __name__ == "__main__":
    sys.exit(main())
