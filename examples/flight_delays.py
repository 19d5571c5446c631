"""The flights of 2013 that left late, by carrier: a flow's text, three functions, one answer.

python examples/flight_delays.py [--workers N] [--scheduler S]
"""

import argparse
from pathlib import Path

import taskinity_data as td

HERE = Path(__file__).resolve().parent


def data_preparation(data):
    return td.open_dataset(data)


def process_chunk(chunk):
    return chunk[chunk["dep_delay"] > 15]


aggregate_results = td.group_by(
    "carrier", flights=("dep_delay", "count"), mean_delay=("dep_delay", "mean")
)

flow = td.load_flow(HERE / "flight_delays.flow").bind(
    {
        "data_preparation": data_preparation,
        "process_chunk": process_chunk,
        "aggregate_results": aggregate_results,
    }
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int)
    parser.add_argument("--scheduler")
    options = parser.parse_args()
    run = td.run_flow(
        flow,
        data=HERE.parent / "datasets" / "flights",
        workers=options.workers,
        scheduler=options.scheduler,
    )
    print(run)


if __name__ == "__main__":
    main()
