import email
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import taskinity_data as td

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)),
        ],
        check=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_the_package_and_nothing_beside_it(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {"taskinity_data", f"taskinity_data-{td.__version__}.dist-info"}
    assert "taskinity_data/py.typed" in wheel.namelist()


def test_the_wheel_holds_every_module_of_the_package(wheel):
    modules = {
        path.relative_to(ROOT).as_posix()
        for suffix in ("*.py", "*.pyi")
        for path in (ROOT / "taskinity_data").rglob(suffix)
    }
    assert "taskinity_data/__init__.pyi" in modules
    assert modules <= set(wheel.namelist())


def test_the_wheel_ships_one_month_of_flights_and_the_airlines_for_the_demo(wheel, tmp_path):
    data = sorted(name for name in wheel.namelist() if name.startswith("taskinity_data/data/"))
    assert data == ["taskinity_data/data/2013-01.parquet", "taskinity_data/data/airlines.csv"]
    month = wheel.extract(data[0], tmp_path)
    assert pq.read_metadata(month).num_rows == 27_004


def test_the_demo_runs_from_the_wheel_on_the_month_that_it_ships(wheel, tmp_path):
    wheel.extractall(tmp_path / "installed")
    ended = subprocess.run(
        [sys.executable, "-m", "taskinity_data", "demo", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["data"] == str(tmp_path / "installed/taskinity_data/data/2013-01.parquet")
    assert answer["ledger"]["rows"]["processed"] == 27_004


def test_the_wheel_gives_the_command_its_name(wheel):
    info = f"taskinity_data-{td.__version__}.dist-info"
    assert (
        "taskinity-data = taskinity_data.cli:main"
        in wheel.read(f"{info}/entry_points.txt").decode()
    )


def test_the_wheel_states_licence_python_and_version(wheel):
    info = f"taskinity_data-{td.__version__}.dist-info"
    stated = email.message_from_bytes(wheel.read(f"{info}/METADATA"))
    assert stated["License-Expression"] == "Apache-2.0"
    assert stated["Requires-Python"] == ">=3.11"
    assert stated["Version"] == td.__version__
    licence = wheel.read(f"{info}/licenses/LICENSE").decode()
    assert "Apache License" in licence
    assert "Version 2.0, January 2004" in licence


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {_name(line): line.partition("==")[2] for line in lines}


def test_every_dependency_is_justified_in_a_comment():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for needed in PROJECT["dependencies"]:
        (at,) = [at for at, line in enumerate(lines) if f'"{needed}"' in line]
        beside_or_above = re.search(r"# \S+", lines[at]) or lines[at - 1].lstrip().startswith("#")
        assert beside_or_above, f"{needed}: why?"


def test_the_lowest_constraints_are_the_lower_bounds_of_the_dependencies():
    pins = _pins("constraints-lowest.txt")
    for needed in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["polars"]:
        assert pins[_name(needed)] == needed.partition(">=")[2], needed


def test_the_constraints_pin_every_dependency_and_every_extra():
    pins = _pins("constraints.txt")
    assert all(pins.values())
    for extra in [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]:
        for needed in extra:
            assert _name(needed) in {*pins, "taskinity-data"}, needed


def test_the_changelog_has_an_entry_for_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(td.__version__)}\b", text, re.MULTILINE)
