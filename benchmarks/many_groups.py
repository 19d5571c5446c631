"""Millions of groups: taskinity_data against whole-file pandas, Polars (streaming) and DuckDB.

    python benchmarks/many_groups.py                           # 10 M rows, 2 M groups
    python benchmarks/many_groups.py --rows 40_000_000 --groups 20_000_000 --keys text

The data are made with NumPy, once, as Parquet: an `id` (integers all over 64 bits, or texts of 16
characters), each equally likely, and a float. Every variant computes sum, mean, count, min and max
of each group, in a process of its own; rounds alternate. Memory is the most that the driver and
the whole tree of processes held (proportional set size, sampled every 50 ms), less what they held
before the clock started; the answer's own size stands beside it. (The watching is in the seconds of
one core.)
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

HOWS = ("sum", "mean", "count", "min", "max")


def make(path: Path, rows: int, groups: int, keys: str) -> None:
    rng = np.random.default_rng(1)
    step = 1_000_000
    writer = None
    for start in range(0, rows, step):
        n = min(step, rows - start)
        numbers = rng.integers(0, groups, n).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        ids = pa.array(numbers.view(np.int64))
        if keys == "text":
            ids = pa.array([f"{number:016x}" for number in numbers.tolist()])
        table = pa.table({"id": ids, "amount": rng.normal(100, 20, n)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def ours(path: str, workers: int, **options: object) -> pd.DataFrame:
    import taskinity_data as td

    aggregates = {how: ("amount", how) for how in HOWS}
    run = td.process(
        path, reduce=td.group_by("id", **aggregates), workers=workers, progress=False, **options
    )
    return run.value


def with_pandas(path: str, _workers: int) -> pd.DataFrame:
    return pd.read_parquet(path).groupby("id")["amount"].agg(list(HOWS))


def with_polars(path: str, _workers: int) -> pd.DataFrame:
    import polars as pl

    amount = pl.col("amount")
    found = (
        pl.scan_parquet(path)
        .group_by("id")
        .agg(*(getattr(amount, how)().alias(how) for how in HOWS))
        .sort("id")
        .collect(engine="streaming")
    )
    return found.to_pandas().set_index("id")


def with_duckdb(path: str, workers: int) -> pd.DataFrame:
    import duckdb

    words = {"mean": "avg"}
    columns = ", ".join(f"{words.get(how, how)}(amount) AS {how}" for how in HOWS)
    with duckdb.connect(config={"threads": workers}) as connection:
        query = f"SELECT id, {columns} FROM read_parquet('{path}') GROUP BY id ORDER BY id"
        return connection.sql(query).df().set_index("id")


VARIANTS = {
    "taskinity_data": (ours, {}),
    "taskinity_data, processes": (ours, {"scheduler": "processes"}),
    "pandas, whole file": (with_pandas, {}),
    "Polars, streaming": (with_polars, {}),
    "DuckDB": (with_duckdb, {}),
}
NEEDS = {"Polars, streaming": "polars", "DuckDB": "duckdb"}


class Watch:
    """The most that a process and its children hold, from `begin` on."""

    def __init__(self) -> None:
        self.driver = self.tree = 0
        self._root = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            held = []
            for process in [self._root, *self._root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    held.append(process.memory_full_info().pss)
            self.driver = max(self.driver, held[0])
            self.tree = max(self.tree, sum(held))

    def begin(self) -> None:
        self.before = self._root.memory_full_info().pss
        self._thread.start()

    def end(self) -> dict[str, int]:
        self._done.set()
        self._thread.join()
        return {
            "driver": self.driver - self.before,
            "tree": self.tree - self.before,
        }


def run_here(name: str, path: str, workers: int) -> dict[str, object]:
    function, options = VARIANTS[name]
    watch = Watch()
    watch.begin()
    cpu = sum(os.times()[:4])
    begun = time.perf_counter()
    answer = function(path, workers, **options)
    seconds = time.perf_counter() - begun
    found = watch.end()
    return {
        "seconds": seconds,
        "cpu": sum(os.times()[:4]) - cpu,
        **found,
        "answer": int(answer.memory_usage(index=True).sum()),
        "groups": len(answer),
        "check": [float(f"{answer[how].sum():.9g}") for how in HOWS],
    }


def run_apart(name: str, path: Path, workers: int) -> dict[str, object]:
    command = [sys.executable, __file__, "--file", str(path), "--workers", str(workers)]
    # Polars asks the environment how many threads it may have.
    environment = {**os.environ, "POLARS_MAX_THREADS": str(workers)}
    found = subprocess.run(
        [*command, "--one", name], stdout=subprocess.PIPE, check=True, env=environment
    )
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, default=2_000_000)
    parser.add_argument("--keys", choices=("integer", "text"), default="integer")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="variants by the beginning of their names")
    parser.add_argument("--file", type=Path, help="data made before; else made and removed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_here(args.one, str(args.file), args.workers)))
        return
    names = [
        name
        for name in VARIANTS
        if (not args.only or name.startswith(tuple(args.only)))
        and (name not in NEEDS or importlib.util.find_spec(NEEDS[name]))
    ]
    with tempfile.TemporaryDirectory() as scratch:
        path = args.file or Path(scratch) / "many.parquet"
        if not path.exists():
            make(path, args.rows, args.groups, args.keys)
        found: dict[str, list[dict[str, object]]] = {}
        for number in range(args.rounds):
            for name in names:
                result = run_apart(name, path, args.workers)
                found.setdefault(name, []).append(result)
                print(number, name, result, file=sys.stderr)
        size = path.stat().st_size / 1e6
    checks = {json.dumps(result["check"]) for results in found.values() for result in results}
    assert len(checks) == 1, checks
    one = found[names[0]][0]
    print(
        f"{args.rows:,} rows ({size:,.0f} MB of Parquet), {one['groups']:,} groups by {args.keys}, "
        f"{args.workers} workers, {args.rounds} rounds, medians\n"
    )
    print("| | s | of one core, s | driver, MB | all processes, MB | answer, MB |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        cells = [
            statistics.median(float(result[word]) for result in found[name]) / unit
            for word, unit in (
                ("seconds", 1), ("cpu", 1),
                ("driver", 1e6), ("tree", 1e6), ("answer", 1e6),
            )
        ]  # fmt: skip
        print(
            f"| {name} | {cells[0]:.1f} | {cells[1]:.1f} | "
            + " | ".join(f"{c:,.0f}" for c in cells[2:])
            + " |"
        )


if __name__ == "__main__":
    main()
