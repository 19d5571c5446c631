"""The command line: one thin file a command.

What is slow to import (pandas, pyarrow, Dask, rich) is imported by the commands that need it, when
they run: ``--help``, ``visualize`` and ``validate`` of a text need none of it.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs ``taskinity-data`` with the arguments of this process, and ends it."""
    from taskinity_data.cli.group import commands

    commands(prog_name="taskinity-data")
