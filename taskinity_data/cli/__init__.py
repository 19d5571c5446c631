"""The command line: one small file per command.

What is slow to import (pandas, pyarrow, Dask, rich) is imported by the commands that need it, when
they run: ``--help``, ``visualize`` and ``validate`` of a text need none of it.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Runs ``taskinity-data`` with the arguments of this process, and ends it."""
    import atexit
    import signal
    import sys

    from taskinity_data.cli.exit_codes import EXIT_CODES
    from taskinity_data.execution.schedulers.signals import STOPS, raise_interrupt

    # First of all: to load what a command needs takes most of a second. Who ignores one of them for
    # what he starts has his reasons, as nohup has.
    for number in STOPS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, raise_interrupt)
    for number in STOPS:
        # The last thing that is done: it must not change the exit code any more.
        atexit.register(signal.signal, number, signal.SIG_IGN)
    try:
        _main()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(EXIT_CODES["interrupted"])


def _main() -> None:
    import atexit
    import os
    import signal
    import sys
    import threading
    from contextlib import suppress

    from taskinity_data.cli.exit_codes import EXIT_CODES
    from taskinity_data.cli.group import commands
    from taskinity_data.cli.output import is_output_lost
    from taskinity_data.execution.schedulers.signals import STOPS

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Closed by who called: the next file that is opened would take its place.
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            mode = "w" if number else "r"
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    try:
        commands(prog_name="taskinity-data")
    except SystemExit as end:
        is_lost = is_output_lost()
        if end.code != EXIT_CODES["interrupted"]:
            if is_lost:
                sys.exit(end.code or EXIT_CODES["failed"])
            raise
        for number in STOPS:
            # Asked once more, while what is left is put away.
            signal.signal(number, lambda *_: os._exit(EXIT_CODES["interrupted"]))
        if not any(thread.name.startswith("taskinity") for thread in threading.enumerate()):
            raise
        # A function that did not end in time is dropped: Python would wait for its thread.
        atexit._run_exitfuncs()  # noqa: SLF001 - temporary files go, as at any other end
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(EXIT_CODES["interrupted"])
    except OSError as error:
        if not is_output_lost(error):
            raise
        sys.exit(EXIT_CODES["failed"])
