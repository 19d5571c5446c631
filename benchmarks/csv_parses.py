"""How long the exact CSV engine takes beside pandas, where columns hold 0, 1 and missing values.

Run ``python benchmarks/csv_parses.py [--fields N]``: figures of the machine at hand. Time must grow
with bytes, whatever number of columns they are made of, and stay within 1.5 times pandas' own.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import taskinity_data as td

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
COLUMNS = (1, 10, 100, 1000)
LINES = {"0 and 1": ("0", "1"), "missing": ("", "0"), "fractions": ("0,25", "1,5")}


def write(path: Path, rows: int, columns: int, values: tuple[str, str]) -> None:
    header = ";".join(["text", *(f"c{number}" for number in range(columns))])
    # The first row makes floats of all columns.
    lines = [header, ";".join(["a", *["0,5"] * columns])]
    pair = [";".join(["b", *[value] * columns]) for value in values]
    path.write_text("\n".join([*lines, *pair * (rows // 2)]) + "\n")


def best(function: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        function()
        times.append(time.process_time() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fields", type=int, default=2_000_000)
    fields = parser.parse_args().fields
    options = {"sep": ";", "decimal": ","}
    print(f"{'columns':>8} {'values':<10} {'MB':>6} {'pandas s':>9} {'chunk s':>8} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "data.csv"
        for columns in COLUMNS:
            for name, values in LINES.items():
                write(path, fields // columns, columns, values)
                alone = best(lambda: pd.read_csv(path, low_memory=False, **options))
                (chunk,) = td.open_dataset(str(path), **options).plan(chunk_size="1GiB")
                ours = best(chunk.read)
                print(
                    f"{columns:8,} {name:<10} {path.stat().st_size / 1e6:6.1f} {alone:9.3f} "
                    f"{ours:8.3f} {ours / alone:6.2f}"
                )


if __name__ == "__main__":
    main()
