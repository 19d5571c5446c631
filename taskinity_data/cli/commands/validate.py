"""``taskinity-data validate``: whether a flow, and its functions, fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from taskinity_data.cli.options import examples, tasks_option
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from taskinity_data.flow.flow import Flow

__all__ = ["validate"]


@click.command(
    short_help="Check a flow and its functions.",
    epilog=examples("validate delays.flow", "validate delays.flow --tasks my_tasks.py"),
)
@click.argument("flow", metavar="FLOW", type=click.Path())
@tasks_option
def validate(flow: str, tasks_path: str | None) -> None:
    """Check FLOW, a flow file or a script, and with --tasks that its functions match.

    Nothing is run. All problems are reported together, with line and column.
    """
    from taskinity_data.cli.loading import open_flow

    for line in _describe(open_flow(flow, tasks_path)):
        click.echo(line)


def _describe(flow: Flow) -> list[str]:
    tasks, edges = format_count(len(flow.tasks), "task"), format_count(len(flow.edges), "edge")
    lines = [f"{flow.name}: {tasks}, {edges}, no errors"]
    if not flow.is_bound:
        return [*lines, "No functions were checked; pass them with --tasks FILE.py"]
    needed = flow.required_inputs
    if needed:
        arguments = " ".join(f"--input {name}=…" for name in needed)
        return [*lines, f"All tasks have functions. Inputs to pass: {arguments}"]
    return [*lines, "All tasks have functions. The flow needs no inputs."]
