"""`make bench-large`: how time and memory grow, and what sizes of chunks cost.

    python benchmarks/bench_large.py                  # all four parts, about 20 minutes
    python benchmarks/bench_large.py memory --scale 0.1

`memory`: peak of all processes for TPC-H Q1 over 30 to 240 million rows, one file under one to
eight names. `items`: time and memory of 10,000 to 1,000,000 items that do nothing, every outcome
kept. `skew`: two jobs of uneven cost with sizes that are learned, beside the best of seven fixed
sizes. `sizes`: a CSV by groups, and a Python function a row, in chunks of 0.1 to 2 s.

Each measurement is a process of its own, as in `bench.py`. The tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path
from typing import Any

import bench
import bench_data
import bench_jobs
from bench_jobs import JOBS, OURS, job, way
from bench_ordinary import process, steps_of_rows

GROWTH = (1, 2, 4, 8)
COUNTS = (10_000, 100_000, 1_000_000)
FIXED_KIB = (16, 64, 128, 256, 512, 1024, 4096)
TARGETS_S = (0.1, 0.2, 0.5, 1.0, 2.0)


def measure(
    name: str, way_name: str, options: argparse.Namespace, *, memory: bool = False
) -> dict[str, Any]:
    found = bench.measure(name, way_name, options.scale, memory=memory, script=__file__)
    print(f"{name} {way_name}: {found['seconds']:.2f} s", file=sys.stderr)
    return found


# memory -------------------------------------------------------------------------------------------

job("memory", "TPC-H Q1, function in Arrow: peak memory as the data grows", "lineitem")


def read_copies(count: int) -> Any:
    def run(path: Path) -> int:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            files = [Path(folder) / f"{number}.parquet" for number in range(count)]
            for file in files:
                file.hardlink_to(path)
            return len(bench_jobs.w2(files, bench_jobs.make_q1_arrow()))

    return run


for copies in GROWTH:
    way("memory", str(copies), *OURS, is_ours=True)(read_copies(copies))


def show_memory(options: argparse.Namespace) -> None:
    rows = round(bench_data.MAKERS["lineitem"][1] * options.scale)
    print("| rows | s | peak memory, MB |\n| --: | --: | --: |")
    for copies in GROWTH:
        found = measure("memory", str(copies), options, memory=True)
        peak = found["peak_nbytes"] / 1e6
        print(f"| {rows * copies:,} | {found['seconds']:.2f} | {peak:,.0f} |")


# items --------------------------------------------------------------------------------------------

job("items", "items that do nothing, every outcome kept", None)


def count_outcomes(count: int, scheduler: str) -> Any:
    def run() -> dict[str, int]:
        import psutil

        import taskinity_data as td

        flow = td.parse_flow(bench_jobs.FLOW).bind(
            {
                "make_items": lambda: list(range(count)),
                "do_nothing": bench_jobs.do_nothing,
                "count_items": bench_jobs.count_items,
            }
        )
        process = psutil.Process()
        before = process.memory_info().rss
        run = td.run_flow(flow, progress=False, workers=bench_jobs.WORKERS, scheduler=scheduler)
        grown = process.memory_info().rss - before
        return {"outcomes": len(run.outcomes), "nbytes": grown}

    return run


for scheduler in ("threads", "processes"):
    for count in COUNTS:
        way("items", f"{scheduler} {count}", *bench_jobs.OURS_ON_DASK, is_ours=True)(
            count_outcomes(count, scheduler)
        )


def show_items(options: argparse.Namespace) -> None:
    print("| scheduler | items | µs an item | bytes an item |\n| --- | --: | --: | --: |")
    for scheduler in ("threads", "processes"):
        for count in COUNTS:
            found = measure("items", f"{scheduler} {count}", options)
            answer = dict(found["answer"])
            micros = found["seconds"] / count * 1e6
            print(f"| {scheduler} | {count:,} | {micros:.0f} | {answer['nbytes'] / count:,.0f} |")


# skew ---------------------------------------------------------------------------------------------

job("skew by file", "Python a row; one of 201 files has 60 % of the rows", "skewed")
job("skew by content", "Python a row, whose cost grows along one file", "growing")


def growing(path: Path, rows: int) -> None:
    """Write a CSV of which the last rows cost 400 times as much as the first."""
    with path.open("w") as file:
        file.write("key,n\n")
        file.writelines(f"{row % 9},{row * 400 // rows}\n" for row in range(rows))


bench_data.MAKERS["growing"] = (growing, 200_000, "csv")


def take_steps(name: str, chunk_size: Any) -> None:
    pattern = "{}/*.csv" if name == "skew by file" else "{}"

    @way(name, str(chunk_size), *OURS, is_ours=True)
    def run(path: Path) -> int:
        import taskinity_data as td

        size = {} if chunk_size == "learned" else {"chunk_size": f"{chunk_size} KiB"}
        run = process(pattern.format(path), steps_of_rows, reduce=td.sum(), **size)
        return run.value


for skewed in ("skew by file", "skew by content"):
    for chunk_size in ("learned", *FIXED_KIB):
        take_steps(skewed, chunk_size)


def show_skew(options: argparse.Namespace) -> None:
    for name in ("skew by file", "skew by content"):
        seconds = {way: measure(name, way, options)["seconds"] for way in JOBS[name].ways}
        learned = seconds.pop("learned")
        best = min(seconds, key=seconds.__getitem__)
        print(f"\n{JOBS[name].title}: learned {learned:.2f} s, "
              f"{learned / seconds[best]:.2f} of the best fixed size\n")  # fmt: skip
        print("| chunk size, KiB | s |\n| --: | --: |")
        for size, took in seconds.items():
            print(f"| {size} | {took:.2f} |")


# sizes --------------------------------------------------------------------------------------------

job("sizes by groups", bench_jobs.JOBS["W1"].title, "measurements")
job("sizes by rows", bench_jobs.JOBS["W4"].title, "flights")
CPU_S_PER_MB = {"sizes by groups": 0.009, "sizes by rows": 0.26}
"""Seconds of one core for a megabyte, about: what makes chunks of a time of a size."""


def run_in_sizes(name: str, target_s: float) -> None:
    run = bench_jobs.w1 if name == "sizes by groups" else bench_jobs.w4

    @way(name, str(target_s), *OURS, is_ours=True)
    def run_sized(path: Path) -> int:
        nbytes = math.ceil(target_s / CPU_S_PER_MB[name] * 1e6)
        return len(run(path, chunk_size=f"{nbytes} B"))


for swept in CPU_S_PER_MB:
    for target_s in TARGETS_S:
        run_in_sizes(swept, target_s)


def show_sizes(options: argparse.Namespace) -> None:
    print("| seconds a chunk | by groups, s | a function a row, s |\n| --: | --: | --: |")
    for target_s in TARGETS_S:
        took = [measure(name, str(target_s), options)["seconds"] for name in CPU_S_PER_MB]
        print(f"| {target_s:g} | {took[0]:.2f} | {took[1]:.2f} |")


PARTS = {"memory": show_memory, "items": show_items, "skew": show_skew, "sizes": show_sizes}


def main() -> None:
    if bench.run_way(sys.argv[1:]):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all without any")
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs' rows")
    options = parser.parse_args()
    bench_data.DIRECTORY.mkdir(parents=True, exist_ok=True)
    for data in ("lineitem", "skewed", "growing", "measurements", "flights"):
        bench_data.find(data, options.scale)
    for part in options.parts or PARTS:
        print(f"\n## {part}\n")
        PARTS[part](options)


if __name__ == "__main__":
    main()
