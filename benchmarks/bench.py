"""`make bench`: ordinary jobs, side by side with the libraries that are best at each.

    python benchmarks/bench.py                     # all, up to three rounds, 15 minutes
    python benchmarks/bench.py W2 W3 --rounds 1 --scale 0.1

Each measurement is a process of its own; ways of a job take turns, so that what else the machine
does falls on all of them. The clock starts when the way's libraries are loaded and, where it needs
one, its Dask cluster is up; pools that a way starts itself are in its time. Answers of one job must
be equal (floats within 1e-9 of their size). Memory is the peak of the process and its children,
sampled every 20 ms in one run more: proportional set size, so that shared pages count once. The
driver is the thread that calls taskinity_data, which computes no chunks; on a cluster its process.

The table is printed and written to `benchmarks/RESULTS.md`. Each line of `accepted.json` is a ratio
that a job has to reach; where one is more than 15 % worse, the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import bench_data
import bench_ordinary  # noqa: F401 - enters its jobs
from bench_jobs import ITEMS, JOBS, WORKERS, Job, Way

HERE = Path(__file__).resolve().parent
TOLERATED = 1.15
REPEATED_S = 8.0
"""A way that takes longer is measured once."""
LIBRARIES = ("pandas", "pyarrow", "numpy", "dask", "polars", "duckdb", "joblib")


def run_here(job: Job, way: Way, path: Path | None) -> dict[str, Any]:
    """Do the job in this process; how long it took, and its answer."""
    for library in way.libraries:
        importlib.import_module(library)
    with ExitStack() as stack:
        if way.on_cluster:
            stack.enter_context(_Cluster(way.libraries))
        inputs = [path] if job.data else []
        driver_time = time.process_time if way.on_cluster else time.thread_time
        started, used = time.perf_counter(), driver_time()
        answer = way.run(*inputs)
        seconds = time.perf_counter() - started
        driver_cpu_s = driver_time() - used
    return {
        "seconds": seconds,
        "driver_cpu_s": driver_cpu_s,
        "answer": make_comparable(answer, job.keys),
    }


class _Cluster:
    """A Dask cluster that is up, has loaded what its workers need, and is the current one."""

    def __init__(self, libraries: tuple[str, ...]) -> None:
        self._libraries = ["pandas", "pyarrow.parquet", *libraries]

    def __enter__(self) -> None:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
        )
        self._client = Client(self._cluster)
        for library in self._libraries:
            self._client.run(importlib.import_module, library)

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._cluster.close()


def make_comparable(answer: Any, keys: tuple[str, ...]) -> list[list[Any]]:
    """The answer as rows of plain values, columns and rows in one order."""
    if isinstance(answer, dict):
        return [list(row) for row in sorted(answer.items())]
    if not keys:
        return [[answer.item() if hasattr(answer, "item") else answer]]
    frame = answer.to_pandas() if hasattr(answer, "to_pandas") else answer
    if frame.index.names[0] is not None:
        frame = frame.reset_index()
    frame = frame.sort_values(list(keys))
    names = [*keys, *sorted(set(frame.columns) - set(keys))]
    return frame[names].astype(object).to_numpy().tolist()


def measure(
    name: str, way_name: str, scale: float, *, memory: bool, script: str = __file__
) -> dict[str, Any]:
    """Do the job in a process of its own, which `script` starts with `run_way`."""
    command = [sys.executable, script, name, "--way", way_name, "--scale", str(scale)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=bench_data.DIRECTORY)
    with ExitStack() as stack:
        peak = stack.enter_context(_Peak(process.pid)) if memory else None
        output = process.communicate()[0]
        seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{name}, {way_name}: the process ended with {process.returncode}")
    found = json.loads(output.splitlines()[-1])
    if JOBS[name].is_cold:
        found["seconds"] = seconds
    if peak is not None:
        found["peak_nbytes"] = peak.nbytes
    return found


class _Peak:
    """The most memory that a process and its children had at once."""

    def __init__(self, pid: int) -> None:
        self._pid, self._done, self.nbytes = pid, threading.Event(), 0
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        import psutil

        root = psutil.Process(self._pid)
        while not self._done.wait(0.02):
            total = 0
            try:
                for process in [root, *root.children(recursive=True)]:
                    total += process.memory_full_info().pss
            except psutil.Error:
                continue
            self.nbytes = max(self.nbytes, total)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def check_equal(name: str, job: Job, answers: dict[str, list[list[Any]]]) -> None:
    """Raise `SystemExit` where two ways of a job differ in more than the rounding of floats."""
    (first, expected), *others = answers.items()
    for other, found in others:
        if len(found) != len(expected) or not all(
            _same(a, b, job.tolerance)
            for x, y in zip(expected, found, strict=True)
            for a, b in zip(x, y, strict=True)
        ):
            raise SystemExit(f"{name}: {other} answers {found[:3]}, {first} {expected[:3]}")


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=tolerance)
    return one == other


def run_all(options: argparse.Namespace) -> dict[str, dict[str, dict[str, float]]]:
    """Measure the jobs; for each way its median seconds, and memory where it is sampled.

    A round goes through all jobs. There are as many as asked for, and as fit into the time; a way
    that takes long is measured in the first alone.
    """
    started = time.monotonic()
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {}
    peaks: dict[tuple[str, str], float] = {}
    for number in range(options.rounds):
        for name in options.jobs:
            if number and time.monotonic() - started > options.minutes * 60:
                break
            job = JOBS[name]
            found = runs.setdefault(name, {way: [] for way in job.ways})
            if number == 0 and job.data:
                bench_data.find(job.data, options.scale)
            for way, done in found.items():
                if done and done[0]["seconds"] > REPEATED_S:
                    continue
                done.append(measure(name, way, options.scale, memory=False))
                print(f"{name} {way}: {done[-1]['seconds']:.2f} s", file=sys.stderr)
                if job.samples_memory and number == 0:
                    peak = measure(name, way, options.scale, memory=True)["peak_nbytes"]
                    peaks[name, way] = peak / 1e6
            if number == 0:
                answers = {way: done[0]["answer"] for way, done in found.items()}
                check_equal(name, job, answers)
    return {
        name: {
            way: {
                "seconds": statistics.median(run["seconds"] for run in done),
                "driver_cpu_s": statistics.median(run["driver_cpu_s"] for run in done),
                "runs": len(done),
                "peak_mb": peaks.get((name, way), math.nan),
            }
            for way, done in found.items()
        }
        for name, found in runs.items()
    }


def describe(table: dict[str, dict[str, dict[str, float]]], options: argparse.Namespace) -> str:
    """The tables as Markdown."""
    libraries = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    lines = [
        f"# Results\n\n{os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.system()},",
        f"Python {platform.python_version()}, {libraries}.",
        f"Medians of the runs. The load when it began was {options.load:.1f}.",
    ]
    if options.scale != 1:
        lines.append(f"Inputs of {options.scale:g} times the rows that the titles name.")
    for name, ways in table.items():
        has_memory = JOBS[name].samples_memory
        best = min(
            found["seconds"] for way, found in ways.items() if not JOBS[name].ways[way].is_ours
        )
        lines += [f"\n## {name}: {JOBS[name].title}\n"]
        lines += [
            "| | s | of the best peer | runs | driver, s of CPU |"
            + (" peak memory, MB |" * has_memory)
        ]
        lines += ["| --- | --: | --: | --: | --: |" + (" --: |" * has_memory)]
        for way, found in ways.items():
            memory = f" {found['peak_mb']:,.0f} |" if has_memory else ""
            seconds = found["seconds"]
            ratio = seconds / best
            driver = f"{found['driver_cpu_s']:.2f}" if JOBS[name].ways[way].is_ours else ""
            lines += [
                f"| {way} | {seconds:.2f} | {ratio:.2f} | {found['runs']} | {driver} |{memory}"
            ]
    return "\n".join(lines) + "\n"


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def read_accepted() -> list[dict[str, Any]]:
    """The ratios that are asked for, one of a job's ways each."""
    return json.loads((HERE / "accepted.json").read_text())


def judge(table: dict[str, dict[str, dict[str, float]]]) -> tuple[str, bool]:
    """What `accepted.json` asks for beside what was measured, and whether all of it holds."""
    lines = [
        "\n## What is accepted\n",
        "| job | | beside | accepted | measured | |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    holds = True
    for wanted in read_accepted():
        ways = table.get(wanted["job"])
        if ways is None:
            continue
        found = ways[wanted["way"]]
        unit = wanted.get("unit", "ratio")
        if unit == "ratio":
            measured = found["seconds"] / ways[wanted["beside"]]["seconds"]
        elif unit == "µs an item":
            measured = found["seconds"] / ITEMS * 1e6
        else:
            measured = found["peak_mb"]
        is_met = measured <= wanted["at_most"]
        is_accepted = measured <= wanted["at_most"] * TOLERATED
        holds &= is_accepted
        verdict = "" if is_met else "within 15 %" if is_accepted else "**worse**"
        lines.append(
            f"| {wanted['job']} | {wanted['way']} | {wanted.get('beside', unit)} | "
            f"{wanted['at_most']:g} | {measured:.3g} | {verdict} |"
        )
    return "\n".join(lines) + "\n", holds


def run_way(arguments: list[str]) -> bool:
    """Do what `measure` asks of this process and print it; False where it asks nothing."""
    if "--way" not in arguments:
        return False
    parser = argparse.ArgumentParser()
    parser.add_argument("job")
    parser.add_argument("--way")
    parser.add_argument("--scale", type=float)
    wanted = parser.parse_args(arguments)
    job = JOBS[wanted.job]
    path = bench_data.find(job.data, wanted.scale) if job.data else None
    print(json.dumps(run_here(job, job.ways[wanted.way], path), default=float))
    return True


def main() -> int:
    if run_way(sys.argv[1:]):
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", help="of W1 to W8; all without any")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=14, help="after which no job is repeated")
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs' rows")
    options = parser.parse_args()
    options.jobs = options.jobs or list(JOBS)
    options.load = os.getloadavg()[0]
    bench_data.DIRECTORY.mkdir(parents=True, exist_ok=True)
    table = run_all(options)
    accepted, holds = judge(table)
    text = describe(table, options) + accepted
    print(text)
    if options.scale == 1 and options.jobs == list(JOBS):
        (HERE / "RESULTS.md").write_text(text)
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
