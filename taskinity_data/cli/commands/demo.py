"""``taskinity-data demo``: an example on real flights, with pandas for comparison."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import click

from taskinity_data.cli.options import as_json_option, examples, run_options
from taskinity_data.cli.output import answering
from taskinity_data.errors import SourceNotFound
from taskinity_data.run.options import typed_options
from taskinity_data.wording import format_count, format_nbytes, format_seconds

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from typing import Any

    from taskinity_data.cli.output import JsonAnswer

__all__ = ["Flights", "demo", "find_flights"]


class Flights(NamedTuple):
    """Where the flights are, what they are, and where the airlines' names are."""

    data: str
    airlines: str
    words: str


@click.command(
    short_help="Run an example on real flights, and compare with pandas.",
    epilog=examples("demo", "demo --workers 2 --json", "demo --size 2GB"),
)
@run_options({"workers": typed_options()["workers"]})
@click.option(
    "--size",
    default="500MB",
    metavar="S",
    help="Size of the CSV file made from the flights, in a temporary directory. Default: 500MB.",
)
@as_json_option
@click.pass_context
def demo(ctx: click.Context, workers: int | None, size: str, as_json: bool) -> None:
    """Compute delays of flights from New York, by airline and part of the day, also with pandas."""
    # Loads pandas, which is not in its time below either.
    from taskinity_data.cli.commands import demo_flow  # noqa: F401
    from taskinity_data.cli.commands.run import execute, keep
    from taskinity_data.policy import parse_nbytes

    nbytes = parse_nbytes(size)
    with answering(as_json) as answer, ExitStack() as stack:
        flights = find_flights(stack)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="taskinity-demo-")))
        _tell("The data")
        answer["data"] = _write_csv(flights, folder, nbytes)
        started = time.perf_counter()
        flow, plan = _show_job(folder, workers)
        planned_s = time.perf_counter() - started
        _tell("The run")
        inputs = {"data": str(folder), "airlines": flights.airlines}
        options = {**keep(), "plan": plan} | ({} if workers is None else {"workers": workers})
        report = str(options["run_dir"] / "demo.html") if "run_dir" in options else None
        code = execute(flow, inputs, options, answer, report=report)
        took_s = time.perf_counter() - started
        click.echo("" if as_json else answer.text)
        _tell("Beside pandas")
        _compare(folder, flights.airlines, answer, planned_s, took_s)
        if report is not None:
            click.echo(f"Open the run's page in your browser: {report}")
    ctx.exit(code)


def _compare(
    folder: Path, airlines: str, answer: JsonAnswer, planned_s: float, took_s: float
) -> None:
    """Run pandas in a process of its own, and print times, memory and whether the answers agree."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    import pandas as pd

    from taskinity_data.cli.commands.demo_flow import run_pandas

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        pandas = process.submit(run_pandas, folder, airlines).result()
    try:
        pd.testing.assert_frame_equal(pandas.answer, answer["value"], rtol=1e-9, check_dtype=False)
        is_same = True
    except AssertionError:
        is_same = False
    answer |= {"took_s": took_s, "pandas_s": pandas.took_s, "is_same_as_pandas": is_same}
    click.echo(
        f"pandas          {format_seconds(pandas.took_s)}, at most "
        f"{format_nbytes(pandas.peak_nbytes)}: all files in one frame, on one core"
    )
    peak = "" if answer.peak_nbytes is None else f", at most {format_nbytes(answer.peak_nbytes)}"
    click.echo(
        f"taskinity_data  {format_seconds(took_s)}{peak} in a process: "
        f"{format_seconds(planned_s)} to open and plan, {format_count(answer['workers'], 'worker')}"
    )
    verdict = "are the same" if is_same else "differ: please report this"
    click.echo(f"The answers {verdict}.")


def _write_csv(flights: Flights, folder: Path, nbytes: int) -> str:
    """Write the flights as CSV, each month in a file, as often as gives about `nbytes`."""
    import pyarrow as pa
    from pyarrow.csv import write_csv
    from pyarrow.parquet import read_table

    data = Path(flights.data)
    months = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
    tables = {month.stem: read_table(month) for month in months}
    copies = max(1, round(nbytes / (_ROW_NBYTES * sum(map(len, tables.values())))))
    for name, table in tables.items():
        write_csv(pa.concat_tables([table] * copies), folder / f"{name}.csv")
    written = sum(file.stat().st_size for file in folder.iterdir())
    words = f"{flights.words}, {format_count(copies, 'time')} as CSV: {format_nbytes(written)}"
    click.echo(f"{words} in {format_count(len(tables), 'file')}")
    return words


_ROW_NBYTES = 107
"""Of a flight as CSV, on average."""


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
        words = "All flights that left New York in 2013"
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
        f"The flights that left New York in {month.stem}, which come with the package (a checkout "
        "of the repository holds the whole year)",
    )


def _show_job(folder: Path, workers: int | None) -> tuple[Any, Any]:
    """Print the flow and the plan; return the bound flow, and the plan that is run."""
    from taskinity_data.cli.commands.demo_flow import TASKS, TEXT, data_preparation
    from taskinity_data.flow.language.parser import parse_flow

    _tell("The flow")
    # What was opened for the plan is what is run.
    dataset = data_preparation(folder)
    opened = lambda data: dataset  # noqa: ARG005, E731 - the flow's input is shown all the same
    flow = parse_flow(TEXT).bind(TASKS | {"DataPreparation": opened})
    click.echo(flow.to_ascii())
    _tell("The plan")
    plan = dataset.plan(workers=workers)
    click.echo(repr(plan))
    return flow, plan


def _tell(title: str) -> None:
    click.echo()
    click.echo(click.style(f"── {title} ──", bold=True))
