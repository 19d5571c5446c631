"""``taskinity-data report``: write the report of a stored run as one HTML file."""

from __future__ import annotations

import click

from taskinity_data.cli.options import as_json_option, examples
from taskinity_data.cli.output import answering

__all__ = ["report"]


@click.command(
    short_help="Write the report of a stored run.",
    epilog=examples(
        "report 20260801T101500-3fa2c1", "report 20260801T101500-3fa2c1 -o delays.html"
    ),
)
@click.argument("run_id")
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    type=click.Path(),
    help="File or directory to write to. Default: RUN_ID.html in the current directory.",
)
@as_json_option
def report(run_id: str, output: str | None, as_json: bool) -> None:
    """Write the report of the run RUN_ID: one HTML file that needs no network.

    If the run was killed or is still running, the report states what is missing.
    """
    from taskinity_data.run.history import load_run

    with answering(as_json) as answer:
        run = load_run(run_id)
        written = run.report(output)
        answer |= {"run_id": run_id, "status": run.status, "report": str(written)}
        if not as_json:
            click.echo(f"Report: {written}")
