"""``taskinity-data redrive``: rerun what a stored run did not complete, with the current code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskinity_data.cli.commands.run import execute
from taskinity_data.cli.options import (
    as_json_option,
    examples,
    input_option,
    parse_inputs,
    parse_run_options,
    run_options,
    tasks_option,
)
from taskinity_data.cli.output import answering
from taskinity_data.errors import BindError, ResumeError, SourceNotFound, TaskinityDataError
from taskinity_data.run.options import typed_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.flow.flow import Flow

__all__ = ["redrive"]


@click.command(
    short_help="Rerun what a run did not complete.",
    epilog=examples(
        "redrive 20260801T101500-3fa2c1",
        "redrive 20260801T101500-3fa2c1 --tasks my_tasks.py --report again.html",
    ),
)
@click.argument("run_id")
@tasks_option
@input_option
@run_options(typed_options(for_redrive=True))
@click.option("--report", metavar="FILE.html", type=click.Path(), help="As in run.")
@as_json_option
@click.pass_context
def redrive(
    ctx: click.Context,
    /,
    run_id: str,
    tasks_path: str | None,
    input_texts: tuple[str, ...],
    report: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Rerun what the run RUN_ID did not complete: failed and skipped chunks, and those that
    had not run.

    Results of finished chunks are reused, unless their data or the code in --tasks has changed.
    The data is cut as in that run, unless --chunk-size is given. Missing results are added to an
    existing output in one step. Without --tasks, the functions are read from the same file as in
    that run.
    """
    from taskinity_data.run.history import reopen

    with answering(as_json) as answer:
        chosen = parse_run_options(options)
        stored = {name: chosen[name] for name in ("storage_options",) if name in chosen}
        flow, inputs, files, repeated = reopen(run_id, parse_inputs(input_texts) | stored)
        inputs = {name: value for name, value in inputs.items() if name not in stored}
        flow = _bind_to_first(flow, run_id, [tasks_path] if tasks_path else files)
        _check_given_again(run_id, repeated.pop("asks"), chosen.get("storage_options", {}))
        chosen = repeated | chosen
        code = execute(flow, inputs, chosen | {"resume": run_id}, answer, report=report)
        if not as_json and answer.text is not None:
            click.echo(answer.text)
    ctx.exit(code)


def _bind_to_first(flow: Flow, run_id: str, files: Sequence[str]) -> Flow:
    """Return `flow` with the functions of the first file that defines or imports all of them."""
    from taskinity_data.cli.loading import import_file

    errors: list[TaskinityDataError] = []
    for file in files:
        try:
            return flow.bind(import_file(file))
        except (BindError, SourceNotFound) as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise BindError(f"run {run_id}: pass its functions with --tasks FILE.py")


def _check_given_again(
    run_id: str, asks: Sequence[str], storage_options: Mapping[str, Any]
) -> None:
    """Raise `ResumeError` if one of the storage options that the run had is missing."""
    missing = [name for name in asks if name not in storage_options]
    if missing:
        raise ResumeError(
            f"run {run_id}: the storage option {missing[0]!r} was not stored; pass it again: "
            f"--storage-option {missing[0]}=..."
        )
