"""``taskinity-data runs``: list, show, compare and remove stored runs."""

from __future__ import annotations

import click

from taskinity_data.cli.options import as_json_option, examples
from taskinity_data.cli.output import answering, lay_out
from taskinity_data.errors import shorten
from taskinity_data.wording import inert_line

__all__ = ["runs"]

_MAX_VALUE = 200


@click.group(
    short_help="List, show, compare and remove stored runs.",
    invoke_without_command=True,
    epilog=examples(
        "runs",
        "runs show 20260801T101500-3fa2c1",
        "runs diff 20260801T101500-3fa2c1 20260802T090000-77e01b",
        "runs clean --older-than 30d",
    ),
)
@click.pass_context
def runs(ctx: click.Context) -> None:
    """List the runs in TASKINITY_RUN_DIR (.taskinity), newest first."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_, as_json=False)


@runs.command("list", short_help="List all runs, newest first.")
@as_json_option
def list_(as_json: bool) -> None:
    """List all runs, newest first."""
    from taskinity_data.run.history import list_runs
    from taskinity_data.settings import load_settings

    with answering(as_json) as answer:
        frame = list_runs()
        answer["runs"] = frame
        if as_json:
            return
        if frame.empty:
            click.echo(f"No runs in {load_settings().run_dir.absolute()}.")
            return
        shown = frame.assign(
            started=frame["started"].dt.strftime("%Y-%m-%d %H:%M:%S UTC"),
            duration_s=frame["duration_s"].round(1),
            chunks=frame["chunks"]
            .map("{:,}".format, na_action="ignore")
            .astype("object")
            .fillna(""),
            output=frame["output"].fillna(""),
        )
        click.echo(lay_out(shown))


@runs.command(short_help="Show a run.")
@click.argument("run_id")
@as_json_option
def show(run_id: str, as_json: bool) -> None:
    """Show the run RUN_ID: its summary, and where its log is."""
    from taskinity_data.cli.commands.run import summarise_for_shell
    from taskinity_data.run.history import load_run

    with answering(as_json) as answer:
        run = load_run(run_id)
        answer |= {
            "run_id": run.run_id,
            "flow": run.flow.name,
            "status": str(run.status),
            "started": run.started,
            "duration_s": run.duration_s,
            "stop_reason": run.stop_reason,
            "output": run.output and run.output.path,
            "log": run.log,
            "value": run.value,
            "versions": run.versions,
            "notices": list(run.notices),
            "next_steps": list(run.next_steps),
            "outcomes": run.outcomes,
            "failures": run.failures,
            "quarantine": None if run.quarantine is None else str(run.quarantine),
        }
        if as_json:
            return
        click.echo(summarise_for_shell(run))
        if run.log is not None:
            click.echo(f"{'Log':<8} {inert_line(str(run.log))}")


@runs.command(short_help="Compare two runs.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@as_json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Show what differs between the runs A and B: inputs, files, code, options, versions, times,
    totals.
    """
    from taskinity_data.run.history import load_run

    with answering(as_json) as answer:
        difference = load_run(before).diff(load_run(after))
        answer["differences"] = difference
        if not as_json:
            if difference.empty:
                click.echo("The runs do not differ.")
            for kind, name, *values in difference.fillna("absent").itertuples(index=False):
                before, after = (shorten(value, _MAX_VALUE) for value in values)
                click.echo(f"{kind} {name}: {before} -> {after}")


@runs.command(short_help="Remove completed or old runs.")
@click.option(
    "--older-than",
    metavar="AGE",
    help="Also remove runs of any status that are older, e.g. 30d or 12h; 0s removes all.",
)
@click.option("--dry-run", is_flag=True, help="List what would be removed, without removing it.")
@as_json_option
def clean(older_than: str | None, dry_run: bool, as_json: bool) -> None:
    """Remove completed runs.

    Runs that failed or were interrupted, and runs with a quarantine, are only removed with
    --older-than. A run that is still in progress is never removed.
    """
    from taskinity_data.policy import parse_duration
    from taskinity_data.run.history import clean_runs
    from taskinity_data.wording import format_nbytes

    with answering(as_json) as answer:
        age_s = None if older_than is None else parse_duration(older_than)
        removed = clean_runs(older_than_s=age_s, dry_run=dry_run)
        answer["removed"] = [
            {"run_id": run_id, "status": status, "nbytes": nbytes}
            for run_id, status, nbytes in removed
        ]
        if as_json:
            return
        verb = "Would remove" if dry_run else "Removed"
        for run_id, status, nbytes in removed:
            click.echo(f"{verb} {run_id} ({status}, {format_nbytes(nbytes)})")
        if not removed:
            click.echo("Nothing to remove.")
