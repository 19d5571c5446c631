"""Inputs of the benchmarks, made once from seeds into `benchmarks/.data`, streaming.

    python benchmarks/bench_data.py            # all that `make bench` needs
    python benchmarks/bench_data.py lineitem --scale 0.01

`BENCH_DATA` names another directory. Files are made under another name and renamed, so
what lies there is whole. `--scale` divides the rows; scaled files have names of their own.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = Path(os.environ.get("BENCH_DATA", ROOT / "benchmarks" / ".data"))

GROUP_ROWS = 262_144
"""Rows of a row group of `lineitem`, and of a block of text."""


def measurements(path: Path, rows: int) -> None:
    """Write `station;temp` without a header: 400 stations, temperatures with one decimal."""
    rng = np.random.default_rng(1)
    names = np.array([f"Station {number:03d}" for number in range(400)])
    means = rng.uniform(-10, 30, len(names))
    options = pyarrow.csv.WriteOptions(include_header=False, delimiter=";", quoting_style="none")
    with path.open("wb") as file:
        for count in blocks(rows):
            station = rng.integers(0, len(names), count)
            temp = (means[station] + rng.normal(scale=10, size=count)).round(1)
            table = pa.table({"station": pa.array(names[station]), "temp": temp})
            pyarrow.csv.write_csv(table, file, options)


def lineitem(path: Path, rows: int) -> None:
    """Write the columns of TPC-H's lineitem but its comment, distributed about as there."""
    rng = np.random.default_rng(2)
    first = np.datetime64("1992-01-02", "ms")
    writer = None
    for count in blocks(rows):
        quantity = rng.integers(1, 51, count).astype(float)
        ship = first + rng.integers(0, 2526, count).astype("timedelta64[D]")
        receipt = ship + rng.integers(1, 31, count).astype("timedelta64[D]")
        is_old = receipt <= np.datetime64("1995-06-17")
        is_returned = rng.random(count) < 0.5
        table = pa.table(
            {
                "l_orderkey": np.sort(rng.integers(1, 4 * rows, count)),
                "l_partkey": rng.integers(1, 200_000, count),
                "l_suppkey": rng.integers(1, 10_000, count),
                "l_linenumber": rng.integers(1, 8, count),
                "l_quantity": quantity,
                "l_extendedprice": (quantity * rng.uniform(901, 2098, count)).round(2),
                "l_discount": rng.integers(0, 11, count) / 100,
                "l_tax": rng.integers(0, 9, count) / 100,
                "l_returnflag": np.where(is_old, np.where(is_returned, "R", "A"), "N"),
                "l_linestatus": np.where(ship > np.datetime64("1995-06-17"), "O", "F"),
                "l_shipdate": ship,
                "l_commitdate": first + rng.integers(0, 2526, count).astype("timedelta64[D]"),
                "l_receiptdate": receipt,
                "l_shipmode": np.array(["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"])[
                    rng.integers(0, 7, count)
                ],
            }
        )
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=GROUP_ROWS)
    writer.close()


def flights(path: Path, rows: int) -> None:
    """Write the flights of this repository as CSV, again and again until there are `rows`."""
    files = sorted((ROOT / "datasets" / "flights").glob("*.parquet"))
    frame = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    with path.open("w", newline="") as file:
        for start in range(0, rows, len(frame)):
            frame.head(rows - start).to_csv(file, index=False, header=start == 0)


def small(path: Path, rows: int) -> None:
    """Write a CSV of four columns; 36,000 rows are 1 MB."""
    rng = np.random.default_rng(3)
    pd.DataFrame(
        {
            "carrier": rng.choice(list("ABCDEFGH"), rows),
            "dep_delay": rng.normal(size=rows).round(3),
            "flight": rng.integers(0, 1_000_000, rows),
            "day": "2013-01-31",
        }
    ).to_csv(path, index=False)


def wide(path: Path, rows: int) -> None:
    """Write a CSV of 200 columns of floats."""
    rng = np.random.default_rng(4)
    with path.open("wb") as file:
        for start in range(0, rows, 5_000):
            values = rng.normal(size=(min(5_000, rows - start), 200)).round(3)
            table = pa.table({f"c{number}": values[:, number] for number in range(200)})
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=start == 0))


def sparse(path: Path, rows: int) -> None:
    """Write a CSV of 20 columns, nine tenths of whose fields are empty."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(rows, 20)).round(3)
    columns = {f"c{n}": pa.array(values[:, n], mask=rng.random(rows) < 0.9) for n in range(20)}
    pyarrow.csv.write_csv(pa.table(columns), path)


def comma(path: Path, rows: int) -> None:
    """Write a CSV with semicolons between the fields and commas in the numbers."""
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"key": rng.integers(0, 100, rows), "x": rng.normal(size=rows).round(4)})
    frame.to_csv(path, sep=";", decimal=",", index=False)


def quoted(path: Path, rows: int) -> None:
    """Write a CSV with a column of texts that hold commas and line ends."""
    rng = np.random.default_rng(7)
    texts = np.array(["plain", "two\nlines", "a, b", 'a "quoted" word', "three\nlines\nof text"])
    frame = pd.DataFrame(
        {
            "key": rng.choice(list("abcdefgh"), rows),
            "text": texts[rng.integers(0, len(texts), rows)],
            "x": rng.integers(0, 1_000, rows),
        }
    )
    frame.to_csv(path, index=False)


def small_files(path: Path, rows: int) -> None:
    """Write a directory of CSV files of 200 rows."""
    rng = np.random.default_rng(8)
    path.mkdir()
    for number in range(rows // 200):
        frame = pd.DataFrame({"key": rng.integers(0, 9, 200), "x": rng.normal(size=200).round(3)})
        frame.to_csv(path / f"{number:05d}.csv", index=False)


def gzipped(path: Path, rows: int) -> None:
    """Write a directory of eight gzip files of CSV."""
    rng = np.random.default_rng(9)
    path.mkdir()
    for number in range(8):
        count = rows // 8
        frame = pd.DataFrame(
            {"key": rng.integers(0, 400, count), "x": rng.normal(size=count).round(3)}
        )
        frame.to_csv(path / f"{number}.csv.gz", index=False, compression={"method": "gzip"})


def groups(path: Path, rows: int) -> None:
    """Write Parquet with a quarter as many keys as rows."""
    rng = np.random.default_rng(10)
    key = rng.integers(0, max(1, rows // 4), rows)
    pq.write_table(pa.table({"key": key, "x": rng.normal(size=rows)}), path, row_group_size=2**18)


def hive(path: Path, rows: int) -> None:
    """Write a directory of Parquet files, one for each month: `month=1/part.parquet` and so on."""
    rng = np.random.default_rng(11)
    for month in range(1, 13):
        count = rows // 12
        folder = path / f"month={month}"
        folder.mkdir(parents=True)
        table = pa.table({"key": rng.integers(0, 50, count), "x": rng.normal(size=count)})
        pq.write_table(table, folder / "part.parquet", row_group_size=2**17)


def records(path: Path, rows: int) -> None:
    """Write JSON Lines of four fields."""
    rng = np.random.default_rng(12)
    frame = pd.DataFrame(
        {
            "key": rng.choice(list("abcdefgh"), rows),
            "x": rng.normal(size=rows).round(4),
            "count": rng.integers(0, 100, rows),
            "text": "some words of no meaning",
        }
    )
    frame.to_json(path, orient="records", lines=True)


def skewed(path: Path, rows: int) -> None:
    """Write a directory of CSV files: one with 60 % of the rows, and 200 small ones."""
    rng = np.random.default_rng(13)
    path.mkdir()
    sizes = [rows * 6 // 10, *[rows * 4 // 10 // 200] * 200]
    for number, count in enumerate(sizes):
        frame = pd.DataFrame({"key": rng.integers(0, 9, count), "n": rng.integers(0, 200, count)})
        frame.to_csv(path / f"{number:03d}.csv", index=False)


def blocks(rows: int) -> Iterator[int]:
    """Rows of one block after another."""
    for start in range(0, rows, GROUP_ROWS):
        yield min(GROUP_ROWS, rows - start)


MAKERS: dict[str, tuple[Callable[[Path, int], None], int, str]] = {
    "measurements": (measurements, 50_000_000, "csv"),
    "lineitem": (lineitem, 30_000_000, "parquet"),
    "flights": (flights, 673_552, "csv"),
    "small": (small, 36_000, "csv"),
    "lines": (lineitem, 6_000_000, "parquet"),
    "narrow": (measurements, 5_000_000, "csv"),
    "wide": (wide, 50_000, "csv"),
    "sparse": (sparse, 300_000, "csv"),
    "comma": (comma, 2_000_000, "csv"),
    "quoted": (quoted, 1_000_000, "csv"),
    "small_files": (small_files, 400_000, "directory"),
    "gzipped": (gzipped, 4_000_000, "directory"),
    "groups": (groups, 4_000_000, "parquet"),
    "hive": (hive, 12_000_000, "directory"),
    "records": (records, 500_000, "jsonl"),
    "skewed": (skewed, 400_000, "directory"),
}


def find(name: str, scale: float = 1.0) -> Path:
    """Where the input `name` lies; it is made where it is not there yet."""
    make, rows, suffix = MAKERS[name]
    rows = max(1, round(rows * scale))
    path = DIRECTORY / f"{name}-{rows}.{suffix}"
    if not path.exists():
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        print(f"making {path.name}", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=DIRECTORY) as scratch:
            being_made = Path(scratch) / path.name
            make(being_made, rows)
            being_made.rename(path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MAKERS, []])
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    for name in options.names or MAKERS:
        print(find(name, options.scale))


if __name__ == "__main__":
    main()
