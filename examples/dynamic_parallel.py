"""The number of tasks comes from the data and from the machine; sizes adapt while one watches.

python examples/dynamic_parallel.py [--workers N] [--scheduler S]
"""

import argparse
import os
from pathlib import Path

import pandas as pd

import taskinity_data as td
from taskinity_data.events import ChunkSubmitted

DATA = Path(__file__).resolve().parent.parent / "datasets"


@td.task(description="The destinations that are in the data, busiest first")
def find_destinations(data):
    flights = pd.read_parquet(data, columns=["dest"])
    return flights["dest"].value_counts().head(12).index.tolist()


@td.task(description="Worst day of one destination")
def study(destination, data):
    columns = ["month", "day", "arr_delay"]
    flights = pd.read_parquet(data, columns=columns, filters=[("dest", "==", destination)])
    daily = flights.groupby(["month", "day"])["arr_delay"].mean()
    return destination, "{}-{}".format(*daily.idxmax()), round(float(daily.max()))


@td.task(description="All of them in one table")
def collect_days(studies):
    return pd.DataFrame(studies, columns=["dest", "worst day", "minutes late"])


@td.flow
def dynamic_parallel(data):
    """A task for each destination: how many, the data says."""
    return collect_days(study.map(find_destinations(data), data=data))


class Watch:
    """Prints the size of each chunk as it is handed to a worker."""

    def on_event(self, event):
        if isinstance(event, ChunkSubmitted) and event.nbytes:
            print(f"  {event.nbytes:,} bytes")


def late(chunk):
    return chunk[chunk["dep_delay"] > 15]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="default: the cores")
    parser.add_argument("--scheduler", default="threads")
    options = parser.parse_args()
    where = {"workers": options.workers, "scheduler": options.scheduler}

    month = DATA / "flights" / "2013-07.parquet"
    run = td.run_flow(dynamic_parallel, data=str(month), **where)
    print(run.value.to_string(index=False))
    tasks = int((run.outcomes["task"] == "Study").sum())
    print(f"{tasks} tasks from the data, on {run.workers} workers of this machine\n")

    print("chunks of two CSV files, cut while the run goes:")
    total = td.group_by("carrier", flights=("dep_delay", "count"))
    run = td.process(DATA / "flights_csv", late, reduce=total, observers=[Watch()], **where)
    sizes = [chunk.nbytes for chunk in run.plan]
    print(f"{len(sizes)} chunks of {min(sizes):,} to {max(sizes):,} bytes; why:")
    for first, _, reason in run.sizes["ProcessChunk"]:
        print(f"  from chunk {first}: {reason}")
    print(f"{run.value['flights'].sum():,} late flights of {run.ledger.at['processed', 'rows']:,}")


if __name__ == "__main__":
    main()
