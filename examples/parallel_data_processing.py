"""A dataset in chunks, by the flow beside this file: a table of sizes and workers, measured here.

python examples/parallel_data_processing.py [--workers N] [--scheduler S]
"""

import argparse
from pathlib import Path

import pandas as pd

import taskinity_data as td

HERE = Path(__file__).resolve().parent
FLIGHTS = sorted((HERE.parent / "datasets" / "flights").glob("*.parquet"))


def data_preparation(data):
    return td.open_dataset(data, columns=["carrier", "hour", "dep_delay"])


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scheduler", default="threads")
    options = parser.parse_args()

    print(f"{'rows':>9} {'workers':>7} {'chunks':>6} {'seconds':>8} {'speed-up':>8}")
    answers = {}
    for months in (1, 4, 12):
        alone = None
        for scheduler, workers in (("synchronous", 1), (options.scheduler, options.workers)):
            run = td.run_flow(
                flow,
                data=FLIGHTS[:months],
                workers=workers,
                scheduler=scheduler,
                chunk_size="20_000 rows",
            )
            spent = run.timings
            seconds = spent["total"] - spent["start_workers"] - spent["close"]
            alone = alone or seconds
            rows = run.ledger.at["processed", "rows"]
            print(f"{rows:>9,} {run.workers:>7} {len(run.plan):>6} {seconds:>8.2f} "
                  f"{alone / seconds:>8.2f}")  # fmt: skip
            assert answers.setdefault(months, run.value).equals(run.value)

    print("\nWith any number of workers the same answer, to the last bit; its latest flights:")
    print(run.value.nlargest(3, "mean_hours").round(2).to_string())
    rows = run.ledger["rows"]
    print(f"\nrows planned {rows['planned']:,} = processed {rows['processed']:,}")


if __name__ == "__main__":
    main()
