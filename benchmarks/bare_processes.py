"""What a run in processes reaches of what bare processes do, which do nothing else but the work.

In turns, for the speed of a machine that others share drifts by more than what is looked for.

    python benchmarks/bare_processes.py --records 2_000_000 --workers 2 --rounds 3
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd

from taskinity_data.cli.commands.bench_measure import (
    JOBS,
    Alone,
    Pools,
    combine,
    compute,
    measure,
)

JOB = JOBS[1]
"""Computes in plain Python."""

WARM_UP_S = 0.3


def idle(_: int) -> None:
    time.sleep(WARM_UP_S)


def work(start: int, stop: int) -> int:
    return compute(pd.DataFrame({"value": range(start, stop)}))


def bare_processes(records: int, workers: int) -> Alone:
    """Time processes that share `records` evenly, from when they have imported all they need."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(idle, range(workers * 2)))
        cuts = [records * number // workers for number in range(workers + 1)]
        at = time.perf_counter()
        answers = list(pool.map(work, cuts, cuts[1:]))
        return Alone(time.perf_counter() - at, combine(JOB)(answers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ours_s = bare_s = 0.0
    with Pools() as pools:
        pools.get("processes", args.workers)
        for _ in range(args.rounds):
            bare = bare_processes(args.records, args.workers)
            line = measure(JOB, args.records, bare, pools, "processes", args.workers)
            print(f"{line.parallel_s:.2f} s here, {bare.seconds:.2f} s in bare processes")
            ours_s, bare_s = ours_s + line.parallel_s, bare_s + bare.seconds
    print(f"{bare_s / ours_s:.1%} of what bare processes reach")


if __name__ == "__main__":
    main()
