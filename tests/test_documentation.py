"""``make docs`` builds without a warning, and its reference has all there is."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import taskinity_data as td
from taskinity_data import errors, events
from taskinity_data.cli.group import commands
from taskinity_data.flow.keywords import TASK_KEYS
from taskinity_data.settings import NAMES, variable_of

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages; a warning, such as a link that leads nowhere, fails the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going"),
            *("-d", str(folder / "cache"), str(ROOT / "docs"), str(folder / "html")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def read(site, page):
    return (site / "reference" / f"{page}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", td.__all__)
def test_every_public_name_has_a_place_in_the_reference(name, site):
    if name in {"__version__", "errors", "settings", "testing"}:
        return
    page = read(site, f"api/taskinity_data.{name}")
    assert f'id="taskinity_data.{name}"' in page


def test_every_command_and_option_is_in_the_reference(site):
    page = read(site, "command-line")
    for name, command in commands.commands.items():
        assert f'<section id="{name}">' in page
        for option in command.params:
            assert option.opts[-1] in page or option.param_type_name == "argument", option


def test_every_error_has_its_cause_and_its_cure(site):
    page = read(site, "errors")
    kinds = [name for name in errors.__all__ if inspect.isclass(getattr(errors, name))]
    for name in set(kinds) - {"TaskinityDataError"}:
        section = page.split(f'<section id="{name.lower()}">')[1].split("</section>")[0]
        assert section.count("<strong>Cure:</strong>") == 1, name


def test_every_event_setting_and_key_is_in_the_reference(site):
    for name in set(events.__all__) - {"Event", "Observer"}:
        assert f">{name}<" in read(site, "events")
    for name in NAMES:
        assert f">{variable_of(name)}<" in read(site, "settings")
    for key in TASK_KEYS:
        assert f">{key}<" in read(site, "flow-language")


def test_the_site_can_be_searched(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(index.removeprefix("Search.setIndex(").rstrip(";\n").removesuffix(")"))
    assert {"quarantin", "chunk_siz", "duckdb"} <= set(terms["terms"])
