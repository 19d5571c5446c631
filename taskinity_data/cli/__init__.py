"""The command line: one thin file a command.

What is slow to import (pandas, pyarrow, Dask, rich) is imported by the commands that need it, when
they run: ``--help``, ``visualize`` and ``validate`` of a text need none of it.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs ``taskinity-data`` with the arguments of this process, and ends it."""
    import atexit
    import os
    import sys
    import threading

    from taskinity_data.cli.group import EXIT_CODES, commands

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Closed by who called: the next file that is opened would take its place.
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    try:
        commands(prog_name="taskinity-data")
    except SystemExit as end:
        running = any(one.name.startswith("taskinity") for one in threading.enumerate())
        if end.code != EXIT_CODES["interrupted"] or not running:
            raise
        # A function that did not end in time is dropped: Python would wait for its thread.
        atexit._run_exitfuncs()  # noqa: SLF001 - temporary files go, as at any other end
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(EXIT_CODES["interrupted"])
