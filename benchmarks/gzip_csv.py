"""A gzip CSV of `station;temp`, grouped by station: taskinity_data against pandas and polars.

    python benchmarks/gzip_csv.py --rows 40_000_000 --rounds 3

Makes the text by `datasets/make.py measurements` (about 25 bytes a row: 40 million rows are 1 GB)
and packs it by `gzip -6`. pandas reads the whole file, or a million rows at a time and adds up;
polars reads it whole, or scans it and groups by its streaming engine. Each variant is a process of
its own, rounds alternate, so that each round compares what ran side by side. Time is from before
the file is opened to the answer (imports are done); CPU is that of the process; memory is the peak
of the whole tree of processes, sampled every 50 ms (proportional set size), without the page cache,
in which our scratch file of the unpacked text lies. All must give the same answer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

VARIANTS = ("ours", "pandas", "pandas-chunks", "polars-read", "polars-scan")


def ours(path: str):
    import taskinity_data as td

    run = td.process(
        path, reduce=td.group_by("station", low=("temp", "min"), mean=("temp", "mean"),
        high=("temp", "max")), sep=";", progress=False,
    )  # fmt: skip
    found = run.value
    return found if found.index.name == "station" else found.set_index("station")


def whole_pandas(path: str):
    import pandas as pd

    frame = pd.read_csv(path, sep=";")
    return frame.groupby("station").temp.agg(low="min", mean="mean", high="max")


def chunked_pandas(path: str):
    import pandas as pd

    parts = [
        chunk.groupby("station").temp.agg(low="min", high="max", total="sum", rows="count")
        for chunk in pd.read_csv(path, sep=";", chunksize=1_000_000)
    ]
    grouped = pd.concat(parts).groupby(level=0)
    found = grouped.agg({"low": "min", "total": "sum", "rows": "sum", "high": "max"})
    found["mean"] = found.total / found.rows
    return found[["low", "mean", "high"]]


def with_polars(path: str, *, scan: bool):
    import polars as pl

    temp = pl.col("temp")
    frame = pl.scan_csv(path, separator=";") if scan else pl.read_csv(path, separator=";").lazy()
    grouped = frame.group_by("station").agg(low=temp.min(), mean=temp.mean(), high=temp.max())
    return grouped.collect(engine="streaming").to_pandas().set_index("station")


def run_variant(name: str, path: str) -> None:
    import pandas as pd  # noqa: F401 - not part of the time
    import polars as pl  # noqa: F401

    import taskinity_data.run.api  # noqa: F401

    call = {
        "ours": ours,
        "pandas": whole_pandas,
        "pandas-chunks": chunked_pandas,
        "polars-read": lambda path: with_polars(path, scan=False),
        "polars-scan": lambda path: with_polars(path, scan=True),
    }[name]
    begun = time.perf_counter()
    cpu = time.process_time()
    answer = call(path)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    answer = answer.sort_index().round(6)
    print(json.dumps({"s": seconds, "cpu": cpu, "answer": answer.to_dict("list")}))


def tree_memory(process: psutil.Process) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def measure(name: str, path: str) -> dict:
    process = subprocess.Popen(
        [sys.executable, __file__, "--variant", name, "--file", path], stdout=subprocess.PIPE
    )
    peaks, done = [0], threading.Event()

    def watch() -> None:
        watched = psutil.Process(process.pid)
        while not done.wait(0.05):
            try:
                peaks.append(tree_memory(watched))
            except psutil.Error:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = process.communicate()[0]
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{name} failed")
    return {**json.loads(output), "peak": max(peaks)}


def make(rows: str, directory: str) -> str:
    path = str(Path(directory) / "measurements.csv")
    maker = str(Path(__file__).parents[1] / "datasets" / "make.py")
    subprocess.run(
        [sys.executable, maker, "measurements", "--rows", rows, "--seed", "1", "-o", path],
        check=True,
    )
    subprocess.run(["gzip", "-6", path], check=True)
    return f"{path}.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="40_000_000", help="of the text; 40 million are 1 GB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file", help="a file that is there already, instead of one of --rows")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        run_variant(options.variant, options.file)
        return
    with tempfile.TemporaryDirectory(prefix="gzip-csv-") as directory:
        path = options.file or make(options.rows, directory)
        print(f"{path}: {os.path.getsize(path) / 1e6:,.0f} MB")
        found: dict[str, list[dict]] = {name: [] for name in options.only}
        for _, name in itertools.product(range(options.rounds), options.only):
            found[name].append(measure(name, path))
    first = next(iter(found.values()))[0]["answer"]
    print(f"{'':15} {'median s':>9} {'best s':>7} {'cpu s':>7} {'peak MB':>8}")
    for name, runs in found.items():
        assert all(close(one["answer"], first) for one in runs), f"{name} gives another answer"
        times = [one["s"] for one in runs]
        peak = statistics.median(one["peak"] for one in runs) / 1e6
        cpu = statistics.median(one["cpu"] for one in runs)
        median = statistics.median(times)
        print(f"{name:15} {median:9.2f} {min(times):7.2f} {cpu:7.2f} {peak:8,.0f}")


def close(one: dict, other: dict) -> bool:
    pairs = ((a, b) for name in one for a, b in zip(one[name], other[name], strict=True))
    return all(abs(a - b) < 1e-4 for a, b in pairs)


if __name__ == "__main__":
    main()
