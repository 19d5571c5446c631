"""``taskinity-data doctor``: print the details of this machine for a bug report."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from typing import Any

import click

from taskinity_data.cli.options import as_json_option, examples
from taskinity_data.cli.output import answering
from taskinity_data.errors import SettingsError
from taskinity_data.machine import read_limits
from taskinity_data.settings import working_directory
from taskinity_data.version import __version__
from taskinity_data.wording import format_nbytes

__all__ = ["doctor"]

_PACKAGES = (
    "dask",
    "distributed",
    "pandas",
    "pyarrow",
    "numpy",
    "polars",
    "bokeh",
    "click",
    "rich",
)


@click.command(
    short_help="Show versions, machine and settings, for a bug report.",
    epilog=examples("doctor", "doctor --json > machine.json"),
)
@as_json_option
def doctor(as_json: bool) -> None:
    """Print versions, cores, memory, disk, and each setting with its source."""
    with answering(as_json) as answer:
        answer.update(_examine())
        if not as_json:
            click.echo(_describe(answer))


def _examine() -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version(), "taskinity_data": __version__}
        | {name: _version_of(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "executable": sys.executable,
        "cores": _examine_cores(),
        "memory_nbytes": _examine_memory(),
        "disk_free_nbytes": {
            path: shutil.disk_usage(path).free
            for path in (str(working_directory()), tempfile.gettempdir())
        },
        "settings": _examine_settings(),
    }


def _version_of(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _examine_cores() -> dict[str, float | None]:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {"machine": os.cpu_count(), "affinity": affinity, "container": read_limits().cores}


def _examine_memory() -> dict[str, int | None]:
    import psutil

    memory = psutil.virtual_memory()
    return {
        "machine": memory.total,
        "available": memory.available,
        "container": read_limits().memory_nbytes,
    }


def _examine_settings() -> dict[str, dict[str, Any]]:
    from taskinity_data.settings import NAMES, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        # The one place that must still speak when a setting is broken.
        return {"error": {"value": str(error), "source": "settings"}}
    return {
        name: {"value": getattr(settings, name), "source": settings.source_of(name)}
        for name in NAMES
    }


def _describe(setting: dict[str, Any]) -> str:
    cores, memory = setting["cores"], setting["memory_nbytes"]
    sections = {
        "Versions": {name: text or "not installed" for name, text in setting["versions"].items()},
        "Machine": {
            "platform": setting["platform"],
            "python": setting["executable"],
            "cores": f"{cores['machine']} in the machine, {cores['affinity'] or 'all'} for this "
            f"process, container's limit: {_or_none(cores['container'], '{:g}'.format)}",
            "memory": f"{format_nbytes(memory['machine'])} in the machine, "
            f"{format_nbytes(memory['available'])} available, container's limit: "
            f"{_or_none(memory['container'], format_nbytes)}",
        },
        "Free disk": {
            path: format_nbytes(free) for path, free in setting["disk_free_nbytes"].items()
        },
        "Settings": {
            name: f"{entry['value']}  ({entry['source']})"
            for name, entry in setting["settings"].items()
        },
    }
    lines = []
    for title, entries in sections.items():
        wide = max(map(len, entries))
        lines += [title, *(f"  {name:<{wide}}  {text}" for name, text in entries.items()), ""]
    return "\n".join(lines).rstrip()


def _or_none(value: Any, formatted: Any) -> str:
    return "none" if value is None else str(formatted(value))
