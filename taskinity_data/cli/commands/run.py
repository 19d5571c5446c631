"""``taskinity-data run``: runs a flow, or shows what it would do."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from taskinity_data.cli.logging_setup import logging_as_set
from taskinity_data.cli.options import (
    as_json_option,
    examples,
    input_option,
    parse_inputs,
    parse_run_options,
    run_options,
    tasks_option,
)
from taskinity_data.cli.output import JsonAnswer, answering, print_error
from taskinity_data.errors import BindError, FlowFailed, TaskinityDataError
from taskinity_data.events import Observer, SchedulerChanged
from taskinity_data.run.options import typed_options

if TYPE_CHECKING:
    from taskinity_data.events import Event
    from taskinity_data.flow.flow import Flow
    from taskinity_data.run.result import Run

__all__ = ["execute", "keep", "run", "summarise_for_shell"]

_EXIT_CODES = {"COMPLETED": 0, "FAILED": 1, "PARTIAL": 3, "INTERRUPTED": 130}


@click.command(
    short_help="Run a flow.",
    epilog=examples(
        'run delays.flow --tasks my_tasks.py --input data="flights/*.csv"',
        "run delays.flow --tasks my_tasks.py --input data=big.csv --workers 2 --memory 1GiB",
        "run clean.flow --tasks my_tasks.py --input data=big.csv --output clean",
        "run clean.flow --tasks my_tasks.py --input data=big.csv --output s3://bucket/clean",
        "run delays.flow --tasks my_tasks.py --input data=big.csv --report delays.html",
        "run delays.flow --tasks my_tasks.py --input data=big.csv --dry-run",
        "run my_script.py --json > answer.json",
    ),
)
@click.argument("flow", metavar="FLOW_OR_SCRIPT", type=click.Path())
@tasks_option
@input_option
@run_options(typed_options())
@click.option(
    "--report",
    metavar="FILE.html",
    type=click.Path(),
    help="Write the report of the run to this file at the end, even if the run failed.",
)
@click.option(
    "--dashboard",
    is_flag=True,
    help="Print the address of Dask's dashboard while the flow runs. Without --scheduler, run on a "
    "Dask cluster on this machine.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show stages and chunks without running any chunk. Tasks that return the data to be cut "
    "are called.",
)
@as_json_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    flow: str,
    tasks_path: str | None,
    input_texts: tuple[str, ...],
    dry_run: bool,
    dashboard: bool,
    report: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run FLOW_OR_SCRIPT: a flow file with --tasks, or a Python script with a variable `flow`."""
    from taskinity_data.cli.loading import open_flow

    with answering(as_json) as answer:
        inputs = parse_inputs(input_texts)
        chosen = parse_run_options(options)
        opened = open_flow(flow, tasks_path)
        if not opened.is_bound:
            raise BindError(f"{flow}: pass its functions with --tasks FILE.py")
        if dry_run and report is not None:
            raise click.UsageError("--report can't be used with --dry-run, which runs nothing")
        if dry_run:
            from taskinity_data.cli.commands.preview import preview

            preview(opened, inputs, chosen, answer, is_printed=not as_json)
            return
        code = execute(opened, inputs, chosen | keep(), answer, dashboard=dashboard, report=report)
        if not as_json and answer.text is not None:
            click.echo(answer.text)
    ctx.exit(code)


def execute(
    flow: Flow,
    inputs: dict[str, str],
    options: dict[str, Any],
    answer: JsonAnswer,
    *,
    dashboard: bool = False,
    report: str | None = None,
) -> int:
    """Run the bound `flow`, add its result to `answer`, and return the exit code.

    Raises
    ------
    TaskinityDataError
        An error before the run begins. A failed run is reported, and not raised.
    """
    from taskinity_data.report.failure import explain_interrupt
    from taskinity_data.run.api import run_flow
    from taskinity_data.settings import load_settings

    observers = [_DashboardLink()] if dashboard else []
    settings = load_settings()
    with ExitStack() as stack:
        if dashboard and settings.scheduler is None and "scheduler" not in options:
            # Threads and child processes have none to show.
            from taskinity_data.execution.schedulers.connect import start_cluster

            cluster = start_cluster(options.get("workers") or settings.max_workers)
            options = options | {"scheduler": stack.enter_context(cluster)}
        stack.enter_context(logging_as_set())
        try:
            done = run_flow(flow, inputs=inputs, observers=observers, **options)
        except FlowFailed as error:
            if error.run is None:
                raise
            done = error.run
            # The summary ends with what to do next.
            print_error(str(error).partition("\nNext: ")[0])
        except KeyboardInterrupt as error:
            stopped = getattr(error, "run", None)
            if stopped is not None:
                answer.update(_describe(stopped))
                _report(stopped, report, answer)
                error.args = (explain_interrupt(stopped, _command_to_resume(stopped)),)
            raise
    answer.update(_describe(done))
    _report(done, report, answer)
    peaks = done.outcomes["peak_nbytes"].dropna()
    answer.peak_nbytes = int(peaks.max()) if len(peaks) else None
    answer.text = summarise_for_shell(done, is_explained=str(done.status) == "FAILED")
    return _EXIT_CODES[str(done.status)]


def summarise_for_shell(done: Run, *, is_explained: bool = False) -> str:
    """Return the summary of a run, with a command as the next step, not a call in Python."""
    from taskinity_data.report.summary import colours_stdout, summarise

    if not done.next_steps:
        is_kept = done.directory is not None
        command = f"taskinity-data report {done.run_id}" if is_kept else "add --report FILE.html"
        done = replace(done, next_steps=(f"write the full report: {command}",))
    return summarise(done, is_explained=is_explained, is_coloured=colours_stdout())


def _command_to_resume(run: Any) -> str:
    typed = sys.argv[1:]
    if typed[:1] == ["run"]:
        typed += [] if "--resume" in typed else ["--resume", run.run_id]
        return shlex.join(["taskinity-data", *typed])
    return next((step.partition(": ")[2] for step in run.next_steps), "")


def keep() -> dict[str, Any]:
    """Return the option with which this run is stored from its start, so that it can be resumed.

    Where the directory can't be written and nobody asked for it, the run goes on without, and says
    so.
    """
    from taskinity_data.settings import load_settings

    settings = load_settings()
    folder = settings.run_dir.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if settings.source_of("run_dir") == "default" and not os.access(there, os.W_OK | os.X_OK):
        click.echo(f"No journal is written: {there} is not writable.", err=True)
        return {}
    return {"run_dir": folder}


def _report(done: Any, path: str | None, answer: JsonAnswer) -> None:
    if path is None:
        return
    try:
        written = done.report(path)
    except TaskinityDataError as error:
        # The answer is worth more than the report.
        print_error(f"the run is {str(done.status).lower()}, but {error}")
        return
    answer["report"] = str(written)
    click.echo(f"Report: {written}", err=True)


class _DashboardLink(Observer):
    """Prints where the dashboard is as soon as there is one."""

    takes_batches = True

    def on_event(self, event: Event) -> None:
        if isinstance(event, SchedulerChanged):
            link = event.dashboard_link or f"none: {event.scheduler} has no dashboard"
            # By its present name: a progress bar keeps what is written there above itself.
            print(f"Dashboard: {link}", file=sys.stderr, flush=True)


def _describe(run: Any) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "flow": run.flow.name,
        "status": str(run.status),
        "value": run.value,
        "ledger": run.ledger.to_dict(),
        "timings": run.timings,
        "scheduler": run.scheduler,
        "scheduler_reason": run.scheduler_reason,
        "workers": run.workers,
        "dashboard_link": run.dashboard_link,
        "chunks": {name: len(plan) for name, plan in run.plans.items()},
        "output": None if run.output is None else run.output._asdict(),
        "sizes": {
            name: [
                {"from_chunk": first, "target_nbytes": nbytes, "reason": reason}
                for first, nbytes, reason in changes
            ]
            for name, changes in run.sizes.items()
        },
        "failures": run.failures,
        "quarantine": None if run.quarantine is None else str(run.quarantine),
        "notices": list(run.notices),
        "log": None if run.log is None else str(run.log),
        "next_steps": list(run.next_steps),
        "bad_lines": run.bad_lines.drop(columns="raw"),
    }
