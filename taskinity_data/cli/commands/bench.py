"""``taskinity-data bench``: the table of sequential against parallel, measured on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from taskinity_data.cli.options import as_json_option, examples
from taskinity_data.cli.output import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.cli.commands.bench_measure import BenchJob, Measured, Pools

__all__ = ["bench"]

RECORDS = (10_000, 100_000, 1_000_000)
FEWER = {"wait": 200, "python": 20, "arrow": 1}
"""By what ``--quick`` divides the records of each function: about 20 s on two idle cores."""
_WORKERS = 4

_COLUMNS = "{:<19} {:>9} {:<9} {:>7} {:>7}  {:>9} {:>9} {:>8}"


@click.command(
    short_help="Compare sequential with parallel runs on this machine.",
    epilog=examples("bench --quick", "bench --workers 8", "bench --json > bench.json"),
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of workers. Default: four for the function that waits, one per core for the "
    "others.",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Fewer records for the slow functions: under a minute on an idle machine, but less exact.",
)
@as_json_option
def bench(workers: int | None, quick: bool, as_json: bool) -> None:
    """Time three functions on 10,000, 100,000 and 1,000,000 records, in sequence and in parallel.

    One waits for a millisecond per record, one computes in pure Python, one is an Arrow kernel.
    The full benchmark takes about half an hour: the waits of a million records alone take 17
    minutes in sequence.
    """
    from taskinity_data.cli.commands.bench_measure import JOBS, Pools
    from taskinity_data.machine import count_cores

    with answering(as_json) as answer, Pools() as pools:
        click.echo(f"{count_cores()} cores. Starting the workers is left out.")
        click.echo()
        click.echo(_head())
        answer["lines"] = []
        for job in JOBS:
            records = [count // (FEWER[job.name] if quick else 1) for count in RECORDS]
            for line in _measure_job(job, records, _count_workers(job, workers), pools):
                answer["lines"].append(asdict(line) | {"speed_up": line.speed_up})
                click.echo(_row(job, line))
        answer["pool_start_s"] = {f"{a} {n}": took for (a, n), took in pools.started_s.items()}
        answer["quick"] = quick
        click.echo()
        for (name, n), took in pools.started_s.items():
            click.echo(f"Starting {n} {name} took {took:.1f} s, with their imports.")


def _count_workers(job: BenchJob, workers: int | None) -> int:
    """Return the number of workers; more than the cores if the function only waits."""
    from taskinity_data.machine import count_cores

    return workers or (count_cores() if job.is_bound_to_cores else _WORKERS)


def _measure_job(job: BenchJob, records: list[int], n: int, pools: Pools) -> Iterator[Measured]:
    """Measure each size in sequence, in threads and in processes."""
    from taskinity_data.cli.commands.bench_measure import in_sequence, measure

    for count in records:
        alone = in_sequence(job, count)
        for name in ("threads", "processes"):
            yield measure(job, count, alone, pools, name, n)


def _head() -> str:
    names = (
        "function", "records", "pool", "workers", "chunks", "sequence", "parallel", "speed-up",
    )  # fmt: skip
    return _COLUMNS.format(*names)


def _row(job: BenchJob, line: Measured) -> str:
    return _COLUMNS.format(
        job.words,
        f"{line.records:,}",
        line.pool,
        line.workers,
        f"{line.chunks:,}",
        f"{line.sequential_s:.2f} s",
        f"{line.parallel_s:.2f} s",
        f"{line.speed_up:.2f}×",
    )
