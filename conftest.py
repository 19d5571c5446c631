"""Runs every code block and every command of the README and of the documentation."""

import pytest
from documents import PARSERS, enter_folder, leave_folder
from sybil import Sybil

pytest_collect_file = Sybil(
    parsers=PARSERS,
    patterns=[
        "README.md",
        "docs/*.md",
        "docs/guide/*.md",
        "docs/cookbook/*.md",
        "docs/coming-from/*.md",
        "docs/reference/*.md",
        "docs/how-it-works/*.md",
    ],
    setup=enter_folder,
    teardown=leave_folder,
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
