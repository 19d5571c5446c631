"""Kills a process that writes and commits, at random instants, and looks at what stands then.

    python benchmarks/kill_writes.py --rounds 50 --seed 1
    python benchmarks/kill_writes.py --rounds 50 --seed 1 --store

Each round forks a process that writes parts and commits them, sends it SIGKILL after a random part
of the time that it takes undisturbed, and reads the target: it has to be what it was before ("old",
or absent) or what it was to be ("new"), with every checksum, row and value in place. Then the next
sink on the target has to open, and leave nothing but what was committed. Ends with exit code 1 if
anything else was found.

On the local disk the process opens a sink; `overwrite (two renames)` is what systems do that can't
exchange two directories: there the target may be absent until the next sink opens, and is whole
again then. With `--store` it is a whole run, from a Parquet file, and the target lies in an S3
server of its own (SeaweedFS) on this machine.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from hashlib import blake2b
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from s3_server import serving

import taskinity_data as td
from taskinity_data.errors import SourceNotFound
from taskinity_data.output.local import commit
from taskinity_data.output.manifest import Manifest, read_manifest
from taskinity_data.output.sink import open_sink
from taskinity_data.output.staging import digest_file

PARTS, ROWS = 8, 1_000
OLD, NEW = 0, 1_000_000
RUNS = {"old": OLD, "new": NEW}


def frame(first: int, rows: int) -> pd.DataFrame:
    return pd.DataFrame({"number": np.arange(first, first + rows)})


def name_rows(numbers: list[int]) -> str:
    """``"old"``, ``"new"``, ``"old + new"``, or what is wrong."""
    whole = {name: list(range(first, first + PARTS * ROWS)) for name, first in RUNS.items()}
    whole["old + new"] = whole["old"] + whole["new"]
    found = (name for name, expected in whole.items() if numbers == expected)
    return next(found, f"{len(numbers)} rows of no run")


class Disk:
    """Targets on the local disk."""

    modes = ("error", "overwrite", "overwrite (two renames)", "append")

    def __init__(self, folder: Path) -> None:
        self.folder, self.target = folder, folder / "out"

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def write(self, mode: str, first: int) -> None:
        if "two renames" in mode:
            commit.exchange = lambda *_: False
        with open_sink(self.target, if_exists=mode.split(maxsplit=1)[0]) as sink:
            parts = [
                sink.writer.write(f"key{index}", index, frame(first + index * ROWS, ROWS))
                for index in range(PARTS)
            ]
            sink.commit(parts, {"first": first})

    def look(self) -> str:
        """``"absent"``, what `name_rows` says, or what is wrong."""
        target = self.target
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
        return name_rows(numbers)

    def open_next(self) -> None:
        open_sink(self.target, if_exists="append").abort()

    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path != self.target)


class Store:
    """Targets in an S3 server."""

    modes = ("error", "overwrite", "append")

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        self.url, self.name, self.options = "s3://flights/out", "flights/out", options
        self.system = fsspec.filesystem("s3", **options)
        self.sources = {first: folder / f"{first}.parquet" for first in RUNS.values()}
        for first, path in self.sources.items():
            frame(first, PARTS * ROWS).to_parquet(path, row_group_size=ROWS)

    def clear(self) -> None:
        for name in self.list():
            self.system.rm_file(name)

    def list(self) -> list[str]:
        found = self.system.find(self.name, detail=True, refresh=True)
        return [name for name, told in found.items() if told["type"] == "file"]

    def write(self, mode: str, first: int) -> None:
        td.process(
            str(self.sources[first]), lambda chunk: chunk, output=self.url, if_exists=mode,
            storage_options=self.options, chunk_size=f"{ROWS} rows", scheduler="threads",
            workers=2, progress=False,
        )  # fmt: skip

    def look(self) -> str:
        """``"absent"``, what `name_rows` says, or what is wrong."""
        try:
            dataset = td.open_dataset(self.url, storage_options=self.options)
        except SourceNotFound:
            return "absent"
        for part in self.manifest().parts:
            data = self.system.cat_file(f"{self.name}/{part.path}")
            if blake2b(data, digest_size=32).hexdigest() != part.checksum:
                return f"{part.path} is damaged"
        return name_rows([n for chunk in dataset.plan() for n in chunk.read()["number"].tolist()])

    def manifest(self) -> Manifest:
        return Manifest.from_json(self.system.cat_file(f"{self.name}/_manifest.json"))

    def open_next(self) -> None:
        open_sink(self.url, if_exists="append", storage_options=self.options).abort()

    def left(self) -> list[str]:
        names = set(self.list())
        manifest = f"{self.name}/_manifest.json"
        if manifest in names:
            names -= {manifest, *(f"{self.name}/{part.path}" for part in self.manifest().parts)}
        return sorted(names) + self.system.list_multipart_uploads("flights")


def before(mode: str) -> str:
    return "absent" if mode == "error" else "old"


def after(mode: str) -> str:
    return "old + new" if mode == "append" else "new"


def prepare(place: Disk | Store, mode: str) -> None:
    place.clear()
    if before(mode) == "old":
        place.write("error", OLD)


def fork_writer(place: Disk | Store, mode: str) -> int:
    process = os.fork()
    if process:
        return process
    try:
        place.write(mode, NEW)
    except Exception:  # noqa: BLE001 - whatever it is, it is shown, and what stands is looked at
        traceback.print_exc()
    finally:
        os._exit(0)


def measure(place: Disk | Store, mode: str) -> float:
    """Seconds that an undisturbed process takes."""
    seconds = []
    for _ in range(3):
        prepare(place, mode)
        begun = time.perf_counter()
        os.waitpid(fork_writer(place, mode), 0)
        seconds.append(time.perf_counter() - begun)
        assert place.look() == after(mode), f"{mode}: undisturbed, it left {place.look()}"
    return statistics.median_high(seconds)


def kill_once(place: Disk | Store, mode: str, delay_s: float) -> tuple[str, str | None]:
    """What was found, and what is wrong with it."""
    prepare(place, mode)
    process = fork_writer(place, mode)
    time.sleep(delay_s)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    found = place.look()
    possible = {before(mode), after(mode), *(("absent",) if "two renames" in mode else ())}
    if found not in possible:
        return found, f"{mode}, killed after {delay_s:.4f} s: {found}"
    place.open_next()
    again = place.look()
    if again not in {before(mode), after(mode)} or (found != "absent" and again != found):
        return found, f"{mode}: {found}, and {again} behind the next sink"
    left = place.left()
    return found, f"{mode}: {left} were left" if left else None


def kill_often(
    place: Disk | Store, rounds: int, draw: random.Random, within_s: float | None
) -> list[str]:
    """Prints a row for each mode; all that was wrong."""
    wrong = []
    print(f"| if_exists | kills | absent | old | new | whole run | wrong |\n|{' --- |' * 7}")
    for mode in place.modes:
        longest_s = measure(place, mode) if within_s is None else within_s
        counts = dict.fromkeys(("absent", "old", "new"), 0)
        problems = []
        for _ in range(rounds):
            found, problem = kill_once(place, mode, draw.uniform(0, 1.5 * longest_s))
            if problem:
                problems.append(problem)
            else:
                counts["new" if found == after(mode) else found] += 1
        wrong += problems
        print(
            f"| {mode} | {rounds} | {counts['absent']} | {counts['old']} | "
            f"{counts['new']} | {longest_s * 1000:.0f} ms | {len(problems)} |",
            flush=True,
        )
    return wrong


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=50, help="kills of each kind")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--store", action="store_true", help="write to an S3 server")
    options.add_argument("--within", type=float, help="seconds, not measured, of one run")
    given = options.parse_args()
    draw = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "round")
        if given.store:
            with serving(parent, "flights") as storage_options:
                folder.mkdir()
                wrong = kill_often(Store(folder, storage_options), given.rounds, draw, given.within)
        else:
            wrong = kill_often(Disk(folder), given.rounds, draw, given.within)
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
