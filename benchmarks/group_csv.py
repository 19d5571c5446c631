"""A large `station;temp` file grouped by station: taskinity_data against a hand-made loop.

    python datasets/make.py measurements --rows 202_000_000 --seed 1 -o big.csv
    python benchmarks/group_csv.py big.csv --workers 2 --rounds 3

The peer is a `multiprocessing` pool over byte ranges that end at line ends: each worker reads its
own bytes with pandas (both engines, several chunk sizes; the best is taken) and groups them, the
parent adds up. It relies on no field holding a newline, which taskinity_data does not (the last row
tells it so). Each variant is a process of its own, rounds alternate; time is from before the pool
starts to the answer, and once more with the pool started before the clock. Memory is the peak of
the whole tree of processes in a run of its own, sampled every 50 ms: proportional set size, so that
pages that forked processes share count once. (To sample it slows what is sampled by a tenth.)
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import threading
import time

import pandas as pd
import psutil

HOW = {"low": ("temp", "min"), "mean": ("temp", "mean"), "high": ("temp", "max")}


def ours(path: str, workers: int, *, warm: bool, **options: object) -> tuple[pd.DataFrame, float]:
    import taskinity_data as td

    def call(**more: object) -> pd.DataFrame:
        run = td.process(
            path, reduce=td.group_by("station", **HOW), sep=";", workers=workers, progress=False,
            **options, **more,
        )  # fmt: skip
        return run.value

    if not warm:
        begun = time.perf_counter()
        return call(), time.perf_counter() - begun
    if options.get("scheduler") == "processes":
        from distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1") as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            client.run(lambda: __import__("taskinity_data.run.api"))
            options["scheduler"] = client
            begun = time.perf_counter()
            return call(), time.perf_counter() - begun
    import taskinity_data.run.api

    assert taskinity_data.run
    begun = time.perf_counter()
    return call(), time.perf_counter() - begun


def part(args: tuple[str, int, int, str]) -> pd.DataFrame:
    path, start, stop, engine = args
    with open(path, "rb", buffering=0) as file:
        file.seek(start)
        data = file.read(stop - start)
    frame = pd.read_csv(io.BytesIO(data), sep=";", names=["station", "temp"], engine=engine)
    return frame.groupby("station").temp.agg(["min", "sum", "count", "max"])


def ranges(path: str, chunk_nbytes: int) -> list[tuple[int, int]]:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        ends = [len(file.readline())]
        while ends[-1] < size:
            file.seek(min(size, ends[-1] + chunk_nbytes))
            file.readline()
            ends.append(file.tell())
    return list(itertools.pairwise(ends))


def loop(
    path: str, workers: int, *, warm: bool, engine: str, chunk: int
) -> tuple[pd.DataFrame, float]:
    begun = time.perf_counter()
    with multiprocessing.Pool(workers) as pool:
        if warm:
            pool.map(abs, range(workers))
            begun = time.perf_counter()
        todo = [(path, start, stop, engine) for start, stop in ranges(path, chunk)]
        parts = list(pool.imap_unordered(part, todo))
        total = (
            pd.concat(parts)
            .groupby(level=0)
            .agg({"min": "min", "sum": "sum", "count": "sum", "max": "max"})
        )
        answer = pd.DataFrame(
            {"low": total["min"], "mean": total["sum"] / total["count"], "high": total["max"]}
        )
        return answer, time.perf_counter() - begun


VARIANTS = {
    "taskinity_data": (ours, {}),
    "taskinity_data, processes": (ours, {"scheduler": "processes"}),
    "taskinity_data, newlines_in_values=False": (ours, {"newlines_in_values": False}),
}
for engine_ in ("c", "pyarrow"):
    for mega in (4, 16, 64):
        VARIANTS[f"loop, {engine_}, {mega} MB"] = (
            loop, {"engine": engine_, "chunk": mega * 10**6},
        )  # fmt: skip


def tree_nbytes(root: psutil.Process) -> int:
    total = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def run_one(name: str, args: argparse.Namespace, *, warm: bool) -> dict[str, object]:
    command = [sys.executable, __file__, args.file, "--workers", str(args.workers), "--one", name]
    found = subprocess.run(
        [*command, *(["--warm"] if warm else [])], stdout=subprocess.PIPE, check=True
    )
    return json.loads(found.stdout.splitlines()[-1])


def measure_peak(name: str, args: argparse.Namespace) -> int:
    command = [sys.executable, __file__, args.file, "--workers", str(args.workers), "--one", name]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        root = psutil.Process(child.pid)
        while not done.wait(0.05):
            try:
                peak = max(peak, tree_nbytes(root))
            except psutil.Error:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    child.communicate()
    done.set()
    thread.join()
    if child.returncode:
        raise SystemExit(f"{name} failed")
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="variants by the beginning of their names")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--warm", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        function, options = VARIANTS[args.one]
        answer, seconds = function(args.file, args.workers, warm=args.warm, **options)
        print(json.dumps({"seconds": seconds, "check": round(float(answer["mean"].sum()), 6)}))
        return
    names = [n for n in VARIANTS if not args.only or n.startswith(tuple(args.only))]
    found: dict[tuple[str, bool], list[dict[str, object]]] = {}
    for number in range(args.rounds):
        for warm in (False, True):
            for name in names:
                result = run_one(name, args, warm=warm)
                found.setdefault((name, warm), []).append(result)
                print(number, name, "warm" if warm else "cold", result, file=sys.stderr)
    checks = {result["check"] for results in found.values() for result in results}
    assert len(checks) == 1, checks
    size = os.path.getsize(args.file) / 1e9
    print(f"{size:.2f} GB, {args.workers} workers, {args.rounds} rounds, medians\n")
    print("| | pool start counted, s | pool started before, s | peak memory of all processes, MB |")
    print("| --- | --- | --- | --- |")
    for name in names:
        cold, warm_ = (
            statistics.median(float(r["seconds"]) for r in found[name, warm])
            for warm in (False, True)
        )
        peak = measure_peak(name, args) / 1e6
        print(f"| {name} | {cold:.1f} | {warm_:.1f} | {peak:,.0f} |")


if __name__ == "__main__":
    main()
