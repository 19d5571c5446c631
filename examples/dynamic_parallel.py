"""The number of tasks comes from the data and from the machine; sizes adapt while one watches.

python examples/dynamic_parallel.py [--workers N] [--scheduler S]
"""

import argparse
import runpy
import tempfile
from pathlib import Path

import pandas as pd

import taskinity_data as td
from taskinity_data.events import ChunkSubmitted

DATA = Path(__file__).resolve().parent.parent / "datasets"


@td.task(description="The destinations with 600 flights or more, busiest first")
def find_destinations(data):
    flights = pd.read_parquet(data, columns=["dest"])["dest"].value_counts()
    return flights[flights >= 600].index.tolist()


@td.task(description="Worst day of one destination")
def study(destination, data):
    flights = pd.read_parquet(data, filters=[("dest", "==", destination)])
    daily = flights.groupby(["month", "day"])["arr_delay"].mean()
    return round(float(daily.max())), destination, "{}-{}".format(*daily.idxmax())


@td.task(description="The worst of them")
def find_worst(studies):
    return max(studies)


@td.flow
def dynamic_parallel(data):
    """A task for each destination: how many, the data says."""
    return find_worst(study.map(find_destinations(data), data=data))


class Watch:
    """Prints the size of each chunk as it is handed to a worker."""

    def on_event(self, event):
        if isinstance(event, ChunkSubmitted) and event.nbytes:
            print(f"{event.nbytes / 1e6:.2f}", end=" ", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, help="default: the cores")
    parser.add_argument("--scheduler", default="threads")
    where = vars(parser.parse_args())

    for month in ("2013-02", "2013-07"):
        run = td.run_flow(dynamic_parallel, data=f"{DATA}/flights/{month}.parquet", **where)
        found, tasks = run.results["FindDestinations"], (run.outcomes["task"] == "Study").sum()
        minutes, place, day = run.value
        print(f"{month}: {len(found)} destinations, so {tasks} tasks, workers: {run.workers}; "
              f"the worst: {minutes} minutes late to {place} on {day}")  # fmt: skip

    make = runpy.run_path(f"{DATA}/make.py")["main"]
    with tempfile.TemporaryDirectory() as folder:
        if make(["flights", "--rows", "400_000", "-o", f"{folder}/flights.csv"]):
            raise SystemExit("TMPDIR=FOLDER puts the file elsewhere")
        print("\nMB of each chunk, as it is handed out:")
        total = td.group_by("carrier", flights=("dep_delay", "count"))
        run = td.process(f"{folder}/flights.csv", lambda chunk: chunk[chunk["dep_delay"] > 15],
                         reduce=total, observers=[Watch()], progress=False, **where)  # fmt: skip
    print(f"\n{len(run.plan)} chunks, workers: {run.workers}; why:")
    for first, _, reason in run.sizes["ProcessChunk"]:
        print(f"  from chunk {first}: {reason}")
    print(f"{run.value['flights'].sum():,} late flights of {run.ledger.at['processed', 'rows']:,}")


if __name__ == "__main__":
    main()
