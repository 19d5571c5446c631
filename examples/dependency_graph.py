"""Flights, weather and planes: joined, three analyses side by side, one summary.

python examples/dependency_graph.py [--workers N] [--scheduler S]
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd

import taskinity_data as td

DATA = Path(__file__).resolve().parent.parent / "datasets"


def flights():
    months = [pd.read_parquet(path) for path in sorted((DATA / "flights").glob("2013-0[1-3]*"))]
    return pd.concat(months)[["origin", "tailnum", "dep_delay", "time_hour"]]


def weather():
    return pd.read_parquet(DATA / "weather.parquet", columns=["origin", "time_hour", "precip"])


def planes():
    return pd.read_csv(DATA / "planes.csv", usecols=["tailnum", "year"])


def join(flights, weather, planes):
    return flights.merge(weather, on=["origin", "time_hour"]).merge(planes, on="tailnum")


def by_rain(join):
    return join.groupby(join["precip"] > 0)["dep_delay"].mean().rename({False: "dry", True: "rain"})


def by_age(join):
    age = pd.cut(2013 - join["year"], [-1, 10, 20, 60], labels=["to 10", "to 20", "older"])
    return join.groupby(age, observed=True)["dep_delay"].mean()


def by_airport(join):
    return join.groupby("origin")["dep_delay"].mean()


def summary(by_rain, by_age, by_airport):
    parts = {"weather": by_rain, "age of the plane": by_age, "airport": by_airport}
    return pd.concat(parts).rename("mean delay, minutes")


flow = td.parse_flow("""
flow DependencyGraph:
    [Flights, Weather, Planes] -> Join -> [ByRain, ByAge, ByAirport] -> Summary
""").bind([flights, weather, planes, join, by_rain, by_age, by_airport, summary])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--scheduler", default="threads")
    print(flow.to_ascii(), "\n")
    run = td.run_flow(flow, **vars(parser.parse_args()))
    seconds = run.outcomes.set_index("task")["duration_s"]
    print(run.value.round(2).to_string(), "\n")
    timed = [replace(one, description=f"{seconds[one.name]:.3f} s") for one in flow.tasks]
    print(replace(flow, tasks=tuple(timed)).to_ascii(), "\n")

    # The chain of tasks that took longest: no number of workers makes the flow shorter.
    best = {}
    for name in flow.order:
        took, path = max((best[a] for a, b in flow.edges if b == name), default=(0.0, ()))
        best[name] = took + seconds[name], (*path, name)
    took, path = max(best.values())
    print(f"critical path: {' -> '.join(path)}, {took:.2f} s of {seconds.sum():.2f} s in all")


if __name__ == "__main__":
    main()
