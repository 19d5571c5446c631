"""Thousands of small files summed: taskinity_data against a pandas loop and dask.dataframe.

    python benchmarks/many_files.py --files 2000 --rows 200 --rounds 3

Makes files of `rows` rows with two columns of integers in a temporary directory, as CSV, JSON Lines
and Parquet. All three give the sum of one column: taskinity_data and Dask by two threads, pandas in
a loop, file by file. Rounds alternate within one process, where everything is imported; the first,
in which nothing is warm, is left out. All must give the same answer.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import dask
import dask.dataframe as dd
import pandas as pd

import taskinity_data as td

READ = {
    "csv": (pd.read_csv, dd.read_csv, {}),
    "jsonl": (pd.read_json, dd.read_json, {"lines": True}),
    "parquet": (pd.read_parquet, dd.read_parquet, {}),
}


def total(chunk: pd.DataFrame) -> int:
    return int(chunk["a"].sum())


def ours(_: str, pattern: str, __: list[str]) -> int:
    return td.process(
        pattern, total, reduce=sum, workers=2, scheduler="threads", progress=False
    ).value


def loop(kind: str, _: str, files: list[str]) -> int:
    read, _, options = READ[kind]
    return sum(total(read(path, **options)) for path in files)


def with_dask(kind: str, pattern: str, _: list[str]) -> int:
    _, read, options = READ[kind]
    with dask.config.set(scheduler="threads", num_workers=2):
        return int(read(pattern, **options)["a"].sum().compute())


VARIANTS = {"taskinity_data": ours, "pandas in a loop": loop, "dask.dataframe": with_dask}


def make(directory: Path, kind: str, count: int, rows: int) -> list[str]:
    paths = []
    for number in range(count):
        frame = pd.DataFrame({"a": range(number, number + rows), "b": number})
        path = directory / f"{number:05}.{kind}"
        if kind == "csv":
            frame.to_csv(path, index=False)
        elif kind == "jsonl":
            frame.to_json(path, orient="records", lines=True)
        else:
            frame.to_parquet(path)
        paths.append(str(path))
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("| format | " + " | ".join(f"{name}, s" for name in VARIANTS) + " |")
    print("| --- " * (len(VARIANTS) + 1) + "|")
    for kind in READ:
        with tempfile.TemporaryDirectory() as made:
            files = make(Path(made), kind, args.files, args.rows)
            took: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for number in range(args.rounds + 1):
                answers = set()
                for name, variant in VARIANTS.items():
                    at = time.perf_counter()
                    answers.add(variant(kind, f"{made}/*.{kind}", files))
                    if number:
                        took[name].append(time.perf_counter() - at)
                assert len(answers) == 1, answers
        cells = " | ".join(f"{statistics.median(took[name]):.2f}" for name in VARIANTS)
        print(f"| {kind} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
