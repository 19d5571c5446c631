"""Flights written as Parquet: `td.process(output=…)` against `dask.dataframe.to_parquet`.

    python benchmarks/write_throughput.py --times 4 --workers 2 --rounds 3

Both read the same Parquet files (the flights of `datasets/`, written `--times` times over, a file a
month), on the same cluster of local processes that was started before the clock, and write all
columns with snappy to a new directory on the same disk. Rounds alternate which comes first. Ours
syncs every file to the disk and sums it; `to_parquet` does neither, so that one more row does its
`to_parquet` and then `sync`, which writes out whatever else is waiting, too. What was written is
compared by rows and by the sum of a column.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import taskinity_data as td

if TYPE_CHECKING:
    from collections.abc import Callable

FLIGHTS = Path(__file__).parents[1] / "datasets" / "flights"
ROW_GROUP = 100_000


def make_source(folder: Path, times: int) -> int:
    """Writes the source; bytes of its columns in memory."""
    nbytes = 0
    for month in sorted(FLIGHTS.glob("*.parquet")):
        table = pa.concat_tables([pq.read_table(month)] * times)
        nbytes += table.nbytes
        pq.write_table(table, folder / month.name, row_group_size=ROW_GROUP)
    return nbytes


def ours(source: Path, target: Path, client: Any) -> None:
    td.process(str(source), output=target, scheduler=client, progress=False)


def dasks(source: Path, target: Path, client: Any) -> None:
    del client  # it is the current one
    import dask.dataframe as dd

    with warnings.catch_warnings(action="ignore"):  # Dask's own, of this pandas
        dd.read_parquet(source).to_parquet(target)


def dasks_and_sync(source: Path, target: Path, client: Any) -> None:
    dasks(source, target, client)
    os.sync()


WAYS: dict[str, Callable[[Path, Path, Any], None]] = {
    "taskinity_data": ours,
    "dask.dataframe.to_parquet": dasks,
    "dask.dataframe.to_parquet, then sync": dasks_and_sync,
}


def check(target: Path) -> tuple[int, float]:
    table = ds.dataset(target).to_table(columns=["distance"])
    return table.num_rows, pa.compute.sum(table["distance"]).as_py()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--times", type=int, default=4, help="of 336,776 rows")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    from distributed import Client, LocalCluster

    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    files: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as parent:
        source, target = Path(parent, "source"), Path(parent, "target")
        source.mkdir()
        nbytes = make_source(source, given.times)
        expected = check(source)
        with (
            LocalCluster(
                n_workers=given.workers, threads_per_worker=1, host="127.0.0.1",
                dashboard_address=":0",
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            for number in range(given.rounds + 1):
                names = list(WAYS) if number % 2 else list(reversed(WAYS))
                for name in names:
                    os.sync()
                    begun = time.perf_counter()
                    WAYS[name](source, target, client)
                    took_s = time.perf_counter() - begun
                    if check(target) != expected:
                        raise SystemExit(f"{name} wrote other rows")
                    files[name] = len(list(target.glob("*.parquet")))
                    if number:  # the first round imports what workers need
                        seconds[name].append(took_s)
                    shutil.rmtree(target)
    print(f"{expected[0]:,} rows, {nbytes / 1e6:,.0f} MB in memory, {given.workers} workers")
    print("| | s, each round | median s | MB/s | files |\n| --- | --- | --- | --- | --- |")
    for name, found in seconds.items():
        median_s = statistics.median(found)
        each = " ".join(f"{one:.2f}" for one in found)
        print(
            f"| {name} | {each} | {median_s:.2f} | {nbytes / 1e6 / median_s:,.0f} | {files[name]} |"
        )
    pairs = [b / a for a, b in zip(*list(seconds.values())[:2], strict=True)]
    print(f"to_parquet took {statistics.median(pairs):.2f} times as long (median of paired rounds)")


if __name__ == "__main__":
    main()
