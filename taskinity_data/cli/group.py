"""Define ``taskinity-data`` itself: its commands, error messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from taskinity_data.cli.commands.bench import bench
from taskinity_data.cli.commands.demo import demo
from taskinity_data.cli.commands.doctor import doctor
from taskinity_data.cli.commands.plan import plan
from taskinity_data.cli.commands.redrive import redrive
from taskinity_data.cli.commands.report import report
from taskinity_data.cli.commands.run import run
from taskinity_data.cli.commands.runs import runs
from taskinity_data.cli.commands.validate import validate
from taskinity_data.cli.commands.visualize import visualize
from taskinity_data.cli.exit_codes import EXIT_CODES
from taskinity_data.cli.output import print_error
from taskinity_data.errors import (
    FlowFailed,
    LedgerError,
    ReadError,
    ReduceError,
    TaskinityDataError,
    WriteError,
)
from taskinity_data.version import __version__
from taskinity_data.wording import suggest

__all__ = ["commands"]

# These are raised while data is processed; all others report invalid arguments.
_FAILURES = (FlowFailed, LedgerError, ReduceError, ReadError, WriteError)


class _Commands(click.Group):
    """A group whose own errors are printed without a traceback."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except KeyboardInterrupt:
            # click would call it aborted, with a code of its own.
            click.echo("Interrupted.", err=True)
            sys.exit(EXIT_CODES["interrupted"])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        # Not every release of click suggests the close names of commands.
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command {args[0]!r}.{suggest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TaskinityDataError as error:
            print_error(str(error))
            is_failure = isinstance(error, _FAILURES)
            ctx.exit(EXIT_CODES["failed" if is_failure else "wrong call"])
        except KeyboardInterrupt as error:
            click.echo(f"Interrupted: {error}" if error.args else "Interrupted.", err=True)
            ctx.exit(EXIT_CODES["interrupted"])


_HELP = """Ordinary pandas functions over data that is too large for one frame.

A flow is a short text that names tasks and their order; their functions are in a Python file. The
data is cut into chunks, the chunks are processed in parallel, and the results are combined.

\b
Run an example on real flights:
  taskinity-data demo
Draw a flow, and show how a dataset would be cut:
  taskinity-data visualize delays.flow
  taskinity-data plan "flights/*.csv"
Run a flow with two workers, with the functions of my_tasks.py:
  taskinity-data run delays.flow --tasks my_tasks.py --input data="flights/*.csv" --workers 2
"""

_EPILOG = """\b
Exit codes: 0 completed; 1 the run failed; 2 invalid arguments; 3 completed, but some chunks failed
(within --max-failures), were skipped, quarantined or replaced by a fallback; 130 interrupted.
"""


@click.group(
    cls=_Commands,
    help=_HELP,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="taskinity-data")
def commands() -> None:
    """Takes the options before the command."""
    if os.environ.get("NO_COLOR"):
        click.get_current_context().color = False
    # A terminal of another encoding gets a question mark for a line character, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


for _command in (run, plan, validate, visualize, runs, report, redrive, bench, demo, doctor):
    commands.add_command(_command)
