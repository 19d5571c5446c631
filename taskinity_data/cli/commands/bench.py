"""``taskinity-data bench``: the table of sequential against parallel, measured on this machine."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from taskinity_data.cli.options import as_json_option, examples
from taskinity_data.cli.output import answering
from taskinity_data.wording import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.cli.commands.bench_measure import BenchJob, Measured, Pools

__all__ = ["bench"]

RECORDS = (10_000, 100_000, 1_000_000)
FEWER = {"wait": 200, "python": 20, "arrow": 1}
"""By what ``--quick`` divides the records of each function: about 20 s on two idle cores."""
_WORKERS = 4

_COLUMNS = "{:<19} {:>9} {:<9} {:>7} {:>7}  {:>9} {:>9} {:>8} {:>5}  {:>6} {:>6} {:>7} {:>8} {:>7}"
_BUSY, _SMALL_S = 0.5, 1.0
_CLEARLY = 0.95


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
        click.echo(f"{count_cores()} cores. Shares are of the workers' time; starting is left out.")
        if quick:
            fewer = ", ".join(f"{job.words}: 1/{FEWER[job.name]}" for job in JOBS[:2])
            click.echo(f"--quick: fewer records ({fewer}), so that small ones say little.")
        answer["load_before"] = load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        busy = load > _BUSY * count_cores()
        if busy:
            click.echo(
                f"Other work keeps this machine busy (load {load:.1f}): take no figure for it."
            )
        click.echo()
        click.echo(_head())
        lines: list[Measured] = []
        for job in JOBS:
            records = [count // (FEWER[job.name] if quick else 1) for count in RECORDS]
            n = _count_workers(job, workers)
            for line in _measure_job(job, records, n, pools):
                lines.append(line)
                click.echo(_row(job, line))
        answer["lines"] = [asdict(line) | {"speed_up": line.speed_up} for line in lines]
        answer["pool_start_s"] = {f"{a} {n}": took for (a, n), took in pools.started_s.items()}
        answer["quick"] = quick
        answer["advice"] = advise(lines, pools.started_s)
        if busy:
            answer["advice"].insert(0, "Measure again while this machine is idle, before all else.")
        click.echo()
        for (name, n), took in pools.started_s.items():
            click.echo(f"Starting {n} {name} took {took:.1f} s, with their imports.")
        click.echo()
        for text in answer["advice"]:
            click.echo(f"- {text}")


def _count_workers(job: BenchJob, workers: int | None) -> int:
    """Return the number of workers; more than the cores if the function only waits."""
    from taskinity_data.machine import count_cores

    return workers or (count_cores() if job.is_bound_to_cores else _WORKERS)


def _measure_job(job: BenchJob, records: list[int], n: int, pools: Pools) -> Iterator[Measured]:
    """Measure both pools at the middle size, the faster one at every size, and the automatic chunk
    size.
    """
    from taskinity_data.cli.commands.bench_measure import in_sequence, measure

    small, middle, large = records
    alone = in_sequence(job, middle)
    both = [measure(job, middle, alone, pools, name, n) for name in ("threads", "processes")]
    best = _faster(*both).pool
    yield measure(job, small, in_sequence(job, small), pools, best, n)
    yield from both
    yield measure(job, middle, alone, pools, best, n, is_auto=True)
    alone = in_sequence(job, large)
    yield measure(job, large, alone, pools, best, n)
    if job.name == "python" and best != "processes":
        yield measure(job, large, alone, pools, "processes", n)


def _faster(threads: Measured, processes: Measured) -> Measured:
    """Return the faster pool; threads if processes win by less than the noise, since threads start
    at once.
    """
    return processes if processes.parallel_s < _CLEARLY * threads.parallel_s else threads


def advise(lines: list[Measured], started_s: dict[tuple[str, int], float]) -> list[str]:
    """Return advice on pool, number of workers and chunk size, a sentence each."""
    advice: list[str] = []
    for name, words in (
        ("wait", "A function that waits"),
        ("python", "A function that computes in Python"),
        ("arrow", "An Arrow kernel"),
    ):
        advice += _advise_on(name, words, [line for line in lines if line.job == name])
    slow = max(started_s.items(), key=lambda pair: pair[1])
    advice.append(
        f"Starting {slow[0][1]} {slow[0][0]} took {slow[1]:.1f} s: work of less than that is done "
        "sooner in threads."
    )
    return advice


def _advise_on(name: str, words: str, of_job: list[Measured]) -> Iterator[str]:
    """Yield advice on one kind of function, called `words`."""
    middle = sorted({line.records for line in of_job})[1]
    threads, processes = (
        next(x for x in of_job if x.records == middle and x.pool == pool and not x.is_auto)
        for pool in ("threads", "processes")
    )
    best = _faster(threads, processes)
    largest = max(
        (line for line in of_job if line.pool == best.pool), key=lambda line: line.records
    )
    reached = f"{words}: {largest.speed_up:.2f}× at {largest.records:,} records"
    sentence = (
        f"{words}: scheduler={best.pool!r} ({threads.speed_up:.2f}× in threads, "
        f"{processes.speed_up:.2f}× in processes at {middle:,} records; "
        f"{largest.speed_up:.2f}× at {largest.records:,})."
    )
    if largest.speed_up < 1.2 and largest.sequential_s >= _SMALL_S:
        yield f"{reached} in {best.pool}: this machine had no core to spare."
    elif largest.speed_up < 1.2:
        yield (
            f"{reached}, which take {largest.sequential_s:.2f} s in sequence: too little to share "
            "out."
        )
    elif name == "wait":
        yield (
            f"{sentence} Workers may be more than cores: workers={2 * best.workers} would wait "
            "less."
        )
    else:
        yield f"{sentence} More than {best.ideal} workers do not help on these cores."
    auto = next(line for line in of_job if line.is_auto)
    even = threads if auto.pool == "threads" else processes
    if auto.parallel_s > 1.1 * even.parallel_s and even.speed_up >= 1.2:
        yield (
            f"There chunk_size='auto' took {format_count(auto.chunks, 'chunk')} and "
            f"{auto.parallel_s:.2f} s, chunk_size='{-(-middle // even.chunks)} rows' "
            f"{format_count(even.chunks, 'chunk')} and {even.parallel_s:.2f} s: for few records "
            "that take long, name a size."
        )


def _head() -> str:
    names = (
        "function", "records", "pool", "workers", "chunks", "sequence", "parallel", "speed-up",
        "ideal", "useful", "slower", "reading", "reducing", "no work",
    )  # fmt: skip
    return _COLUMNS.format(*names)


def _row(job: BenchJob, line: Measured) -> str:
    shares = (line.useful, line.slower, line.reading, line.reducing, line.without_work)
    return _COLUMNS.format(
        job.words,
        f"{line.records:,}",
        line.pool,
        line.workers,
        f"auto {line.chunks:,}" if line.is_auto else f"{line.chunks:,}",
        f"{line.sequential_s:.2f} s",
        f"{line.parallel_s:.2f} s",
        f"{line.speed_up:.2f}×",
        line.ideal,
        *(f"{share * 100:.0f} %" for share in shares),
    )
