"""What users have written against a release still works: names, parameters and options are listed.

``public_api.txt`` lists the public names of the newest release, a line each: functions with every
parameter and its default, methods and attributes of classes, errors, settings, keys of the flow
language, options of the command line. A line that is gone fails, unless the newest section of the
changelog quotes it in backticks, with what does it instead. Additions are free.
``PUBLIC_API=write`` writes the list anew, as part of a release.
"""

import dataclasses
import inspect
import os
import runpy
from pathlib import Path

import click
import pytest

import taskinity_data as td
from taskinity_data.cli.group import commands
from taskinity_data.flow.keywords import TASK_KEYS
from taskinity_data.settings import NAMES, variable_of

# A default's text may differ in other versions of pandas and Python.
pytestmark = pytest.mark.pinned

ROOT = Path(__file__).resolve().parents[1]
SNAPSHOT = ROOT / "tests" / "public_api.txt"
INTERNAL = runpy.run_path(str(ROOT / "docs" / "generate.py"))["INTERNAL"]


def list_api():
    """All lines of what is public now."""
    for name in td.__all__:
        yield from list_name(f"td.{name}", getattr(td, name))
    for module in (td.errors, td.testing):
        for name in module.__all__:
            yield from list_name(
                f"td.{module.__name__.rpartition('.')[2]}.{name}", getattr(module, name)
            )
    yield from (variable_of(name) for name in NAMES)
    yield from (f"flow key {key}" for key in TASK_KEYS)
    yield from list_options("taskinity-data", commands)


def list_name(name, value):
    yield name
    if inspect.isclass(value) and name.endswith(f".{value.__name__}"):
        yield from list_members(name, value)
    elif callable(value) and not inspect.isclass(value):
        yield from list_parameters(name, value)


def list_members(name, kind):
    fields = [f.name for f in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    annotated = [n for k in kind.__mro__ for n in vars(k).get("__annotations__", ())]
    for member in sorted({*fields, *annotated, *dir(kind)} - set(dir(Exception))):
        if member.startswith("_") or f"{kind.__name__}.{member}" in INTERNAL:
            continue
        yield f"{name}.{member}"
        method = inspect.getattr_static(kind, member, None)
        if inspect.isfunction(method):
            yield from list_parameters(f"{name}.{member}", method)


def list_parameters(name, function):
    parameters = inspect.signature(function).parameters
    if name == "td.process":  # the options of pandas' readers are pandas' own
        shared = (td.task, td.open_dataset, td.run_flow)
        known = {"reduce", *(p for one in shared for p in inspect.signature(one).parameters)}
        parameters = {key: p for key, p in parameters.items() if key in {"source", *known}}
    for parameter in parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        only = "*, " if parameter.kind is parameter.KEYWORD_ONLY else ""
        yield f"{name}({only}{mark}{parameter.name}{default})"


def list_options(name, command):
    yield name
    for parameter in command.params:
        yield from (f"{name} {option}" for option in parameter.opts if option.startswith("--"))
    if isinstance(command, click.Group):
        for below, subcommand in command.commands.items():
            yield from list_options(f"{name} {below}", subcommand)


def missing(released, current, changelog):
    """Lines of a release that are gone, and that the changelog's newest section does not quote."""
    newest = changelog.split("\n## ")[1]
    return [line for line in released if line not in set(current) and f"`{line}`" not in newest]


def test_no_public_name_went_or_changed_without_a_word_in_the_changelog():
    current = list(list_api())
    if os.environ.get("PUBLIC_API") == "write":
        SNAPSHOT.write_text("\n".join(current) + "\n", encoding="utf-8")
    released = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    gone = missing(released, current, changelog)
    assert not gone, "say in CHANGELOG.md what does these instead, in backticks: " + ", ".join(gone)


@pytest.mark.parametrize(
    ("released", "changelog", "expected"),
    [
        ("td.gone", "", ["td.gone"]),
        ("td.gone", "- `td.gone`: write `td.here`", []),
        ("td.here(x=1)", "- `td.here` has another default", ["td.here(x=1)"]),
        ("td.here(x=2)", "", []),
    ],
)
def test_a_line_that_is_gone_is_missing_until_the_newest_changes_quote_it(
    released, changelog, expected
):
    text = f"# Changelog\n\n## 2.0\n{changelog}\n\n## 1.0\n- `td.gone` was added\n"
    assert missing([released], ["td.here", "td.here(x=2)", "td.new"], text) == expected


def test_the_list_has_functions_classes_errors_settings_keys_and_options():
    lines = set(SNAPSHOT.read_text(encoding="utf-8").splitlines())
    assert {
        "td.process(*, reduce=None)",
        "td.process(*, chunk_size='auto')",
        "td.Run.value",
        "td.Run.report(path=None)",
        "td.errors.ReadError.column",
        "td.testing.check_reducer(frames)",
        "TASKINITY_RUN_DIR",
        "flow key on_error",
        "taskinity-data runs diff --json",
    } <= lines
    assert not [line for line in lines if "object at 0x" in line or "no_default" in line]
