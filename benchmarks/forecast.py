"""How near forecasts come: twelve jobs, each forecast by a few slices and then run whole.

    python benchmarks/forecast.py --rows 40_000_000 --workers 2

Makes its data in a temporary folder (measurements as CSV, sorted by temperature too, as JSON Lines
and as Parquet), forecasts each job in a process of its own, runs it in another, and prints both.
Goal: nine of ten within 25 %, all within the range.

With `--cpu` chunks are timed by the CPU time of their threads, and what a run took is reckoned from
them, laid out on its workers, and from the rest of its CPU time: for a machine that others use too.
What waits, for Python's lock or asleep, then counts as nothing; trials get three times as long.
"""

from __future__ import annotations

import argparse
import heapq
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd

import taskinity_data as td

HERE = Path(__file__).resolve().parent
HOW = {"low": ("temp", "min"), "mean": ("temp", "mean"), "high": ("temp", "max")}


def by_station(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk.groupby("station").temp.agg(["sum", "count"])


def in_python(chunk: pd.DataFrame) -> int:
    return sum(1 for name in chunk.station.head(20_000) if name.endswith("a"))


def waits(chunk: pd.DataFrame) -> int:
    time.sleep(0.05)
    return len(chunk)


def uneven(chunk: pd.DataFrame) -> int:
    # Texts of hot places cost ten times as much as those of others.
    hot = chunk[chunk.temp > 20]
    return sum(len(name) for name in hot.station.tolist() * 10) + len(chunk)


def filtered(chunk: pd.DataFrame) -> pd.DataFrame:
    return chunk[chunk.temp > 45]


# name: source, function, reduce, options
JOBS = {
    "group CSV by a reducer": ("csv", None, lambda: td.group_by("station", **HOW), {}),
    "group CSV in pandas": ("csv", by_station, td.collect, {}),
    "count rows of CSV": ("csv", None, td.count, {}),
    "a loop in Python": ("csv", in_python, td.collect, {}),
    "a function that waits": ("csv", waits, td.collect, {}),
    "uneven work": ("csv", uneven, td.collect, {}),
    "rows that are kept": ("csv", filtered, td.concat, {}),
    "group Parquet by a reducer": ("parquet", None, lambda: td.group_by("station", **HOW), {}),
    "group Parquet in pandas": ("parquet", by_station, td.collect, {}),
    "quantiles of Parquet": ("parquet", None, lambda: td.approx_quantiles("temp", 0.5), {}),
    "group JSON Lines in pandas": ("jsonl", by_station, td.collect, {}),
    "costly rows at the end": ("sorted.csv", uneven, td.collect, {}),
}


def count_cpu() -> None:
    """Let chunks, and what a driver does, be timed by CPU time."""
    from taskinity_data.execution.worker import run_item as process
    from taskinity_data.forecast import driver_cost as here
    from taskinity_data.forecast import estimate
    from taskinity_data.forecast import side_by_side as beside

    def clocks(perf_counter: object) -> SimpleNamespace:
        return SimpleNamespace(
            time=time.time,
            perf_counter=perf_counter,
            thread_time=time.thread_time,
            process_time=time.process_time,
        )

    process.time = clocks(time.thread_time)
    beside.time = estimate.time = here.time = clocks(time.process_time)
    beside.ALONE_S *= 3
    beside.PARALLEL_S *= 3


def lay_out(run: td.Run, cpu_s: float, workers: int) -> float:
    """Seconds of a run on a machine of its own."""
    free = [0.0] * workers
    tries = run.attempts[run.attempts.path.notna()].sort_values("started")
    for seconds in tries.duration_s:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free) + max(0.0, cpu_s - tries.duration_s.sum()) / workers


def one(name: str, kind: str, folder: str, workers: int, is_cpu: bool) -> dict[str, object]:
    if is_cpu:
        count_cpu()
    source, function, reduce, options = JOBS[name]
    path = str(Path(folder) / f"measurements.{source}")
    reader = {"sep": ";"} if source.endswith("csv") else {}
    if kind == "forecast":
        begun = time.perf_counter()
        plan = td.open_dataset(path, **reader).plan(workers=workers)
        planned = time.perf_counter()
        found = plan.estimate(function, reduce(), workers=workers, **options)
        return {
            "low": found.seconds.low,
            "middle": found.seconds.middle,
            "high": found.seconds.high,
            "scheduler": found.scheduler,
            "doubts": found.doubts,
            "plan_s": planned - begun,
            "took_s": time.perf_counter() - planned,
        }
    # A run of anything, so that what Python loads at the first one is not counted.
    td.process(pd.DataFrame({"a": [1, 2]}), len, progress=False)
    dataset = td.open_dataset(path, **reader)
    begun, cpu_s = time.perf_counter(), time.process_time()
    run = td.process(dataset, function, reduce=reduce(), workers=workers, progress=False, **options)
    seconds = time.perf_counter() - begun
    if is_cpu:
        seconds = lay_out(run, time.process_time() - cpu_s, workers)
    return {"seconds": seconds, "scheduler": run.scheduler}


def call(name: str, kind: str, folder: str, workers: int, is_cpu: bool) -> dict[str, object]:
    command = [sys.executable, __file__, "--one", name, "--kind", kind, "--folder", folder]
    command += ["--workers", str(workers), *(["--cpu"] if is_cpu else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def make_data(folder: Path, rows: int) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    if (folder / "measurements.sorted.csv").exists():
        return
    make = HERE.parent / "datasets" / "make.py"
    csv = folder / "measurements.csv"
    command = [sys.executable, str(make), "measurements", "--rows", str(rows), "--seed", "1"]
    subprocess.run([*command, "-o", str(csv)], check=True, stdout=subprocess.DEVNULL)
    options = pyarrow.csv.ParseOptions(delimiter=";")
    parquet = folder / "measurements.parquet"
    with (
        pyarrow.csv.open_csv(csv, parse_options=options) as batches,
        pyarrow.parquet.ParquetWriter(parquet, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    table = pyarrow.parquet.read_table(parquet)
    with (folder / "measurements.jsonl").open("w") as lines:
        for batch in table.slice(0, rows // 3).to_batches():
            batch.to_pandas().to_json(lines, orient="records", lines=True)
    options = pyarrow.csv.WriteOptions(delimiter=";", quoting_style="none")
    pyarrow.csv.write_csv(table.sort_by("temp"), folder / "measurements.sorted.csv", options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=40_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--one")
    parser.add_argument("--kind")
    parser.add_argument("--folder", help="with the data, made there where it is missing")
    parser.add_argument("--cpu", action="store_true", help="count CPU time, see above")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one, args.kind, args.folder, args.workers, args.cpu)))
        return
    near = inside = 0
    with tempfile.TemporaryDirectory() as own:
        folder = args.folder or own
        make_data(Path(folder), args.rows)
        print("| job | forecast | took | off | inside | to forecast |")
        print("| --- | --- | ---: | ---: | --- | ---: |")
        for name in [name for name in JOBS for _ in range(args.rounds)]:
            told = call(name, "forecast", folder, args.workers, args.cpu)
            real = call(name, "run", folder, args.workers, args.cpu)
            off = real["seconds"] / told["middle"] - 1
            is_inside = told["low"] <= real["seconds"] <= told["high"]
            near += abs(off) <= 0.25
            inside += is_inside
            print(
                f"| {name} ({real['scheduler']}) | {told['low']:.1f} to {told['high']:.1f} s "
                f"| {real['seconds']:.1f} s | {off:+.0%} | {'yes' if is_inside else 'no'} "
                f"| {told['took_s']:.1f} s |",
                flush=True,
            )
    count = len(JOBS) * args.rounds
    print(f"\n{near} of {count} within 25 %, {inside} within the range")


if __name__ == "__main__":
    main()
