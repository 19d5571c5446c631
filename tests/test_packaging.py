import email
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

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
        [sys.executable, "-m", "taskinity_data", "demo", "--size", "1MB", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout)
    assert answer["data"].startswith("The flights that left New York in 2013-01")
    assert answer["ledger"]["rows"]["processed"] == 27_004


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An environment with the wheel that the sdist builds, beside the dependencies of this one."""
    folder = tmp_path_factory.mktemp("installed")
    build = "from hatchling.build import build_sdist; print(build_sdist({!r}))"
    subprocess.run([sys.executable, "-c", build.format(str(folder))], cwd=ROOT, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"),
            *("--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--no-index"),
            str(sdist),
        ],
        env={**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")},  # hatchling is there
        check=True,
    )
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python, packages


def test_the_sdist_builds_a_wheel_that_runs_in_an_environment_of_its_own(installed, tmp_path):
    python, packages = installed
    code = """
import taskinity_data as td
run = td.process(f"{td.__path__[0]}/data/2013-01.parquet", len, reduce=sum, progress=False)
print(td.__file__, run.value)
"""
    ended = subprocess.run(
        [str(python), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [str(packages / "taskinity_data" / "__init__.py"), "27004"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_completes_commands_options_and_files(shell, installed):
    command = installed[0].parent / "taskinity-data"

    def complete(*typed):
        """What click's script for `shell` gets from the command."""
        line = ["taskinity-data", *typed]
        environment = {
            "_TASKINITY_DATA_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": typed[-1] if shell == "fish" else str(len(line) - 1),
        }
        ended = subprocess.run(
            [str(command)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return set(re.split(r"[,\s]", ended.stdout))

    assert {"validate", "visualize"} <= complete("v")
    assert {"--workers"} <= complete("run", "--wor")
    assert "file" in complete("run", "del")
    assert "file" in complete("run", "delays.flow", "--tasks", "my")


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


def test_the_conda_recipe_requires_what_pyproject_requires():
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8"))
    needed = {line.replace("[distributed]", "") for line in PROJECT["dependencies"]}
    needed = {re.sub(r"^dask>=", "dask-core>=", line) for line in needed}
    dask = next(line for line in needed if line.startswith("dask-core"))
    needed |= {dask.replace("dask-core", "distributed"), f"python{PROJECT['requires-python']}"}
    assert {line.replace(" ", "") for line in recipe["requirements"]["run"]} == needed
    assert recipe["context"]["version"] == td.__version__
    commands = [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == commands


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (td.__version__, PROJECT["license"])


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=str)
def test_a_workflow_calls_targets_and_extras_that_there_are(path):
    text = path.read_text(encoding="utf-8")
    targets = re.findall(
        r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"\bmake ([\w-]+)", text)) <= set(targets)
    for extras in re.findall(r"extra: \[(.*)\]", text):
        users = set(PROJECT["optional-dependencies"]) - {"dev", "docs", "test"}
        assert set(extras.split(", ")) == users
    for job in yaml.safe_load(text)["jobs"].values():
        assert "uses" in job or job["runs-on"]
