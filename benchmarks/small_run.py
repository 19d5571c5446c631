"""What a run of small data costs beside pandas, in the first call of a process and in later ones.

    python benchmarks/small_run.py --rounds 20

A CSV of 1 MB is grouped by a column. In a fresh process in which pandas and Arrow are loaded, the
first call loads modules of the package: how many, and the CPU time that is spent in them, without
what they import of others. Then `td.process` and pandas take turns, so that what else the machine
does falls on both; shown are medians, of wall time and of CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

import bench_data
import pandas as pd


def count_own_time() -> dict[str, float]:
    """Fill the dict that is returned with each module's CPU seconds, without what it imports."""
    own: dict[str, float] = {}
    inner = [0.0]
    run = SourceFileLoader.exec_module

    def exec_module(self: SourceFileLoader, module: object) -> None:
        begun = time.thread_time()
        inner.append(0.0)
        try:
            run(self, module)
        finally:
            taken = time.thread_time() - begun
            own[self.name] = taken - inner.pop()
            inner[-1] += taken

    SourceFileLoader.exec_module = exec_module
    return own


def measure(path: str, rounds: int) -> dict[str, object]:
    import pyarrow.parquet  # noqa: F401 - what pandas' readers load is not ours

    own = count_own_time()
    import taskinity_data as td

    def ours() -> object:
        reduce = td.group_by("carrier", mean=("dep_delay", "mean"))
        return td.process(path, reduce=reduce, progress=False)

    def plain() -> object:
        return pd.read_csv(path).groupby("carrier").agg(mean=("dep_delay", "mean"))

    ours()
    plain()
    loaded = [seconds for name, seconds in own.items() if name.startswith("taskinity_data")]
    found: dict[str, object] = {"modules": len(loaded), "loading": sum(loaded) * 1e3}
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "pandas": []}
    for _ in range(rounds):
        for name, function in (("ours", ours), ("pandas", plain)):
            wall, cpu = time.perf_counter(), time.process_time()
            function()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    for name, seconds in taken.items():
        found[name] = [statistics.median(column) * 1e3 for column in zip(*seconds, strict=True)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        print(json.dumps(measure(asked.here, asked.rounds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flights.csv"
        bench_data.small(path, 36_000)
        command = [sys.executable, __file__, "--rounds", str(asked.rounds), "--here", str(path)]
        for _ in range(2):  # the first compiles what has changed
            answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(answer)
    (ours, ours_cpu), (plain, plain_cpu) = found["ours"], found["pandas"]
    print(
        f"first call: {found['modules']} modules of the package, "
        f"{found['loading']:.0f} ms of CPU in them"
    )
    print("| later calls | wall ms | CPU ms |\n| --- | --- | --- |")
    print(f"| td.process | {ours:.0f} | {ours_cpu:.0f} |")
    print(f"| pandas | {plain:.0f} | {plain_cpu:.0f} |")
    print(f"| more than pandas | {ours - plain:.0f} | {ours_cpu - plain_cpu:.0f} |")
    print(f"| times as long | {ours / plain:.1f} | {ours_cpu / plain_cpu:.1f} |")


if __name__ == "__main__":
    main()
