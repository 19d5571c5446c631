"""A large dataset in chunks, by the flow beside this file: a table of sizes and workers.

python examples/parallel_data_processing.py [--workers N] [--scheduler S] [--rows N]
"""

import argparse
import runpy
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa

import taskinity_data as td

HERE = Path(__file__).resolve().parent


def data_preparation(data):
    # Told, because to find the types of small files all of them is read once before.
    schema = pa.schema({"carrier": "string", "hour": "int64", "dep_delay": "float64"})
    return td.open_dataset(data, schema=schema)


def process_chunk(chunk):
    part = pd.cut(chunk["hour"], [0, 12, 18, 24], labels=["morning", "afternoon", "evening"])
    hours = chunk["dep_delay"] / 60
    return chunk[["carrier"]].assign(part=part.astype("str"), hours=hours)


aggregate_results = td.group_by(
    "carrier", "part", flights=("hours", "count"), mean_hours=("hours", "mean")
)

flow = td.load_flow(HERE / "parallel_data_processing.flow").bind(
    {
        "data_preparation": data_preparation,
        "process_chunk": process_chunk,
        "aggregate_results": aggregate_results,
    }
)


def measure(data, scheduler, workers):
    """A run, cut the same for whoever runs it, and its seconds without workers' start and stop."""
    run = td.run_flow(flow, data=data, scheduler=scheduler, workers=workers, chunk_size="2MiB")
    return run, run.timings["total"] - run.timings["start_workers"] - run.timings["close"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="a number beside 1 and 2")
    parser.add_argument("--scheduler", default="threads", help="of more than one worker")
    parser.add_argument("--rows", type=int, default=3_000_000, help="of the largest size")
    options = parser.parse_args()
    make = runpy.run_path(str(HERE.parent / "datasets" / "make.py"))["main"]

    with tempfile.TemporaryDirectory() as folder:
        sizes = {rows: f"{folder}/{rows}.csv" for rows in (options.rows // n for n in (16, 4, 1))}
        for rows, file in sizes.items():  # says on standard error how long it took, or why not
            if make(["flights", "--rows", str(rows), "--seed", "1", "-o", file]):
                raise SystemExit("TMPDIR=FOLDER puts the files elsewhere, --rows makes fewer")
        print("     rows     MB  chunks  workers  seconds  speed-up")
        for rows, file in sizes.items():
            alone, alone_s = measure(file, "synchronous", 1)
            more = sorted({2, options.workers} - {1})
            measured = [(alone, alone_s), *(measure(file, options.scheduler, n) for n in more)]
            for run, seconds in measured:
                mb = run.ledger.at["processed", "bytes"] / 1e6
                print(f"{rows:>9,} {mb:>6.1f} {len(run.plan):>7} {run.workers:>8} {seconds:>8.2f} "
                      f"{alone_s / seconds:>9.2f}")  # fmt: skip
            same = all(run.value.equals(alone.value) for run, _ in measured)
            print(f"  the same answer, to the last bit: {same}")
    print("\nThe latest of the largest:", alone.value.nlargest(3, "mean_hours").round(2), sep="\n")
    planned, processed = alone.ledger.loc[["planned", "processed"], "rows"]
    print(f"\nrows planned {planned:,} = processed {processed:,}")


if __name__ == "__main__":
    main()
