"""A Python function a row, which holds the interpreter's lock: who runs it, and how much is lost.

Each way runs in a process of its own, by turns: one plain pandas loop, a hand-made
`multiprocessing` pool with pieces of 2 MiB, and `process` with no scheduler named, with
``"threads"`` and with ``"processes"``. Printed are seconds, their ratio to the pool's and to the
loop's, and CPU seconds of the calling process and of all others.

    python benchmarks/python_function.py [--rows 673552] [--rounds 430] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

FLIGHTS = Path(__file__).resolve().parents[1] / "datasets" / "flights"
WAYS = ("loop", "pool", "default", "threads", "processes")
PIECE_NBYTES = 2 << 20
ROUNDS = int(os.environ.get("ROUNDS", "430"))


def rate(number: int) -> int:
    for _ in range(ROUNDS):
        number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return number


def rate_rows(chunk: pd.DataFrame) -> pd.DataFrame:
    rates = [rate(number) for number in chunk["flight"].tolist()]
    return chunk[["carrier"]].assign(rate=rates)


def run_loop(path: str) -> Any:
    frame = rate_rows(pd.read_csv(path))
    return frame.groupby("carrier").rate.sum()


def run_piece(path: str, start: int, stop: int, names: list[str]) -> Any:
    """Sum the rows of the lines that begin from `start` on and before `stop`."""
    with open(path, "rb") as file:
        file.seek(max(0, start - 1))
        first = start if start == 0 else start - 1 + len(file.readline())
        file.seek(max(0, stop - 1))
        last = stop - 1 + len(file.readline())
    from io import BytesIO

    with open(path, "rb") as file:
        file.seek(first)
        text = file.read(last - first)
    frame = pd.read_csv(BytesIO(text), names=names, header=0 if start == 0 else None)
    return rate_rows(frame).groupby("carrier").rate.sum()


def run_pool(path: str) -> Any:
    size = os.path.getsize(path)
    with open(path) as file:
        names = file.readline().strip().split(",")
    starts = range(0, size, PIECE_NBYTES)
    pieces = [(path, start, min(start + PIECE_NBYTES, size), names) for start in starts]
    with multiprocessing.Pool(os.cpu_count()) as pool:
        sums = pool.starmap(run_piece, pieces, chunksize=1)
    return pd.concat(sums).groupby(level=0).sum()


def run_ours(path: str, scheduler: str | None) -> tuple[Any, dict[str, Any]]:
    import taskinity_data as td

    reduce = td.group_by("carrier", total=("rate", "sum"))
    run = td.process(path, rate_rows, reduce=reduce, scheduler=scheduler, progress=False)
    starts = run.outcomes.query("path.notna()") if "path" in run.outcomes else run.outcomes
    return run.value.total, {
        "chunks": len(starts),
        "reason": run.scheduler_reason,
    }


def measure(way: str, path: str) -> dict[str, Any]:
    begun_s = time.perf_counter()
    more: dict[str, Any] = {}
    if way == "loop":
        value = run_loop(path)
    elif way == "pool":
        value = run_pool(path)
    else:
        value, more = run_ours(path, None if way == "default" else way)
    took_s = time.perf_counter() - begun_s
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": took_s,
        "own_cpu_s": time.process_time(),
        "other_cpu_s": children.ru_utime + children.ru_stime,
        "sum": int(value.sum()),
        **more,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=673_552)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "PATH"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "flights.csv")
        files = sorted(FLIGHTS.glob("*.parquet"))
        frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
        for start in range(0, arguments.rows, len(frame)):
            rows = frame.head(arguments.rows - start)
            rows.to_csv(path, mode="a", index=False, header=start == 0)
        results: dict[str, list[dict[str, Any]]] = {way: [] for way in arguments.ways}
        for _ in range(arguments.repeat):
            for way in arguments.ways:
                command = [sys.executable, __file__, "--one", way, path]
                environment = {**os.environ, "ROUNDS": str(arguments.rounds)}
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True, cwd=folder, env=environment
                )
                results[way].append(json.loads(done.stdout.splitlines()[-1]))
    assert len({result["sum"] for found in results.values() for result in found}) == 1
    middle = {
        way: statistics.median(result["seconds"] for result in found)
        for way, found in results.items()
    }
    for way, found in results.items():
        last = found[-1]
        ratios = "".join(
            f"  {middle[way] / middle[base]:5.2f} of the {base}"
            for base in ("loop", "pool")
            if base in middle
        )
        print(
            f"{way:10} {middle[way]:6.2f} s{ratios}  CPU {last['own_cpu_s']:5.1f} + "
            f"{last['other_cpu_s']:5.1f} s  {last.get('chunks', '')} {last.get('reason', '')}"
        )


if __name__ == "__main__":
    main()
