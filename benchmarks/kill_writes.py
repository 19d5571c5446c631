"""Kills a process that writes and commits, at random instants, and looks at what stands then.

    python benchmarks/kill_writes.py --rounds 50 --seed 1

Each round forks a process that opens a sink, writes parts and commits them, sends it SIGKILL after
a random part of the time that it takes undisturbed, and reads the target: it has to be what it was
before ("old", or absent) or what it was to be ("new"), with every checksum, row and value in place.
Then the next sink on the target has to open, and leave nothing beside it. `overwrite (two renames)`
is what systems do that can't exchange two directories: there the target may be absent until the
next sink opens, and is whole again then. Ends with exit code 1 if anything else was found.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from taskinity_data.records import commit
from taskinity_data.records.manifest import read_manifest
from taskinity_data.records.sink import open_sink
from taskinity_data.records.staging import digest_file

PARTS, ROWS = 8, 1_000
OLD, NEW = 0, 1_000_000
MODES = ("error", "overwrite", "overwrite (two renames)", "append")


def write(target: Path, if_exists: str, first: int) -> None:
    with open_sink(target, if_exists=if_exists) as sink:
        parts = []
        for index in range(PARTS):
            start = first + index * ROWS
            frame = pd.DataFrame({"number": np.arange(start, start + ROWS)})
            parts.append(sink.writer.write(f"key{index}", index, frame))
        sink.commit(parts, {"first": first})


def fork_writer(target: Path, mode: str) -> int:
    process = os.fork()
    if process:
        return process
    try:
        if "two renames" in mode:
            commit.exchange = lambda *_: False
        write(target, mode.split(maxsplit=1)[0], NEW)
    finally:
        os._exit(0)


def look(target: Path) -> str:
    """``"absent"``, ``"old"``, ``"new"``, ``"old + new"``, or what is wrong."""
    if not target.exists():
        return "absent"
    manifest = read_manifest(target)
    files = {str(path.relative_to(target)) for path in target.rglob("*.parquet")}
    if files != {part.path for part in manifest.parts}:
        return "other files than the manifest has"
    numbers = []
    for part in manifest.parts:
        if digest_file(str(target / part.path)) != (part.nbytes, part.checksum):
            return f"{part.path} is damaged"
        with pq.ParquetFile(target / part.path) as file:
            numbers += file.read(use_threads=False)["number"].to_pylist()
    whole = {name: list(range(first, first + PARTS * ROWS)) for name, first in RUNS}
    for name, expected in (*whole.items(), ("old + new", whole["old"] + whole["new"])):
        if numbers == expected:
            return name
    return f"{len(numbers)} rows of no run"


RUNS = (("old", OLD), ("new", NEW))
BEFORE = {mode: "absent" if mode == "error" else "old" for mode in MODES}
AFTER = {mode: "old + new" if mode == "append" else "new" for mode in MODES}


def prepare(folder: Path, mode: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    target = folder / "out"
    if BEFORE[mode] == "old":
        write(target, "error", OLD)
    return target


def measure(folder: Path, mode: str) -> float:
    """Seconds that an undisturbed process takes."""
    times = []
    for _ in range(3):
        target = prepare(folder, mode)
        begun = time.perf_counter()
        os.waitpid(fork_writer(target, mode), 0)
        times.append(time.perf_counter() - begun)
        assert look(target) == AFTER[mode], f"{mode}: undisturbed, it left {look(target)}"
    return max(times)


def kill_once(folder: Path, mode: str, delay_s: float) -> tuple[str, str | None]:
    """What was found, and what is wrong with it."""
    target = prepare(folder, mode)
    process = fork_writer(target, mode)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    found = look(target)
    possible = {BEFORE[mode], AFTER[mode], *(("absent",) if "two renames" in mode else ())}
    if found not in possible:
        return found, f"{mode}, killed after {delay_s:.4f} s: {found}"
    open_sink(target, if_exists="append").abort()
    again = look(target)
    if again not in {BEFORE[mode], AFTER[mode]} or (found != "absent" and again != found):
        return found, f"{mode}: {found}, and {again} behind the next sink"
    left = sorted(path.name for path in folder.iterdir() if path != target)
    return found, f"{mode}: {left} were left" if left else None


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=50, help="kills of each kind")
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    draw = random.Random(given.seed)
    wrong = []
    print(f"| if_exists | kills | absent | old | new | whole run | wrong |\n|{' --- |' * 7}")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "round")
        for mode in MODES:
            longest_s = measure(folder, mode)
            counts = dict.fromkeys(("absent", "old", "new"), 0)
            problems = []
            for _ in range(given.rounds):
                found, problem = kill_once(folder, mode, draw.uniform(0, 1.1 * longest_s))
                if problem:
                    problems.append(problem)
                else:
                    counts["new" if found == AFTER[mode] else found] += 1
            wrong += problems
            print(
                f"| {mode} | {given.rounds} | {counts['absent']} | {counts['old']} | "
                f"{counts['new']} | {longest_s * 1000:.0f} ms | {len(problems)} |",
                flush=True,
            )
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
