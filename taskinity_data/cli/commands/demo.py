"""``taskinity-data demo``: the main job on real flights, end to end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from taskinity_data.cli.options import as_json_option, examples, run_options
from taskinity_data.cli.output import answering
from taskinity_data.errors import SourceNotFound
from taskinity_data.run.options import typed_options

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from typing import Any

__all__ = ["Flights", "demo", "find_flights"]


class Flights(NamedTuple):
    """Where the flights are, what they are, and where the airlines' names are."""

    data: str
    airlines: str
    words: str


@click.command(
    short_help="Run an example on real flights, end to end.",
    epilog=examples("demo", "demo --workers 2 --json"),
)
@run_options({"workers": typed_options()["workers"]})
@as_json_option
@click.pass_context
def demo(ctx: click.Context, workers: int | None, as_json: bool) -> None:
    """Compute mean delays by airline of flights from New York in 2013: flow, plan, run, answer."""
    from taskinity_data.cli.commands.run import execute, keep

    with answering(as_json) as answer, ExitStack() as stack:
        flights = find_flights(stack)
        flow = _show_job(flights, workers)
        _tell("The run")
        inputs = {"data": flights.data, "airlines": flights.airlines}
        options = keep() | ({} if workers is None else {"workers": workers})
        report = str(options["run_dir"] / "demo.html") if "run_dir" in options else None
        code = execute(flow, inputs, options, answer, report=report)
        answer["data"] = flights.data
        if not as_json:
            click.echo(answer.text)
            click.echo()
            click.echo("Next, with your own files and functions: taskinity-data run --help")
            if report is not None:
                click.echo(f"This run as a page, for your browser: {report}")
    ctx.exit(code)


def find_flights(
    stack: ExitStack, checkout: Path | None = None, shipped: Traversable | None = None
) -> Flights:
    """Return the flights of a whole year in a checkout, else the month in the package.

    `stack` keeps the package's files in place, where they must be unpacked; `checkout` and
    `shipped` are where to look instead.

    Raises
    ------
    SourceNotFound
        Neither is there.
    """
    from importlib.resources import as_file, files

    checkout = Path(__file__).parents[3] if checkout is None else checkout
    folder = checkout / "datasets" / "flights"
    airlines = checkout / "datasets" / "airlines.csv"
    if airlines.is_file() and any(folder.glob("*.parquet")):
        words = "all flights that left New York in 2013, by month"
        return Flights(str(folder), str(airlines), words)
    shipped = files("taskinity_data") / "data" if shipped is None else shipped
    entries = {entry.name: entry for entry in shipped.iterdir()} if shipped.is_dir() else {}
    months = sorted(name for name in entries if name.endswith(".parquet"))
    if not months or "airlines.csv" not in entries:
        raise SourceNotFound(
            f"neither {folder} nor the package holds the flights; install taskinity_data again"
        )
    month, names = (stack.enter_context(as_file(entries[x])) for x in (months[0], "airlines.csv"))
    return Flights(
        str(month),
        str(names),
        f"the flights that left New York in {month.stem}, which come with the package; a checkout "
        "of the repository holds the whole year",
    )


def _show_job(flights: Flights, workers: int | None) -> Any:
    """Print the data, the flow and the plan; return the bound flow."""
    from taskinity_data.cli.commands.demo_flow import TASKS, TEXT, data_preparation
    from taskinity_data.flow.language.parser import parse_flow

    _tell("The data")
    click.echo(f"{flights.words}:\n{flights.data}")
    _tell("The flow")
    click.echo(TEXT)
    flow = parse_flow(TEXT).bind(TASKS)
    click.echo(flow.to_ascii())
    _tell("The plan")
    click.echo(repr(data_preparation(flights.data).plan(workers=workers)))
    return flow


def _tell(title: str) -> None:
    click.echo()
    click.echo(click.style(f"── {title} ──", bold=True))
