"""Four independent tasks side by side: the time of all four against one after another.

python examples/basic_parallel.py [--workers N] [--scheduler S]
"""

import argparse
import time

import pandas as pd

import taskinity_data as td


@td.task(description="Wait for the service of Newark")
def ask_newark(wait_s):
    time.sleep(wait_s)
    return {"EWR": 120_835}


@td.task(description="Wait for the service of Kennedy")
def ask_kennedy(wait_s):
    time.sleep(wait_s)
    return {"JFK": 111_279}


@td.task(description="Wait for the service of La Guardia")
def ask_la_guardia(wait_s):
    time.sleep(wait_s)
    return {"LGA": 104_662}


@td.task(description="Wait for the service of the weather")
def ask_weather(wait_s):
    time.sleep(wait_s)
    return {"weather": 26_115}


@td.task(description="All answers in one dict")
def gather(newark, kennedy, la_guardia, weather):
    return newark | kennedy | la_guardia | weather


@td.flow
def basic_parallel(wait_s):
    """Four questions to services that take their time, and one answer."""
    return gather(
        ask_newark(wait_s), ask_kennedy(wait_s), ask_la_guardia(wait_s), ask_weather(wait_s)
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--scheduler", default="threads")
    options = parser.parse_args()

    print(basic_parallel.to_ascii(), "\n")
    began = time.perf_counter()
    alone = gather(ask_newark(0.5), ask_kennedy(0.5), ask_la_guardia(0.5), ask_weather(0.5))
    sequential_s = time.perf_counter() - began

    run = td.run_flow(
        basic_parallel, wait_s=0.5, workers=options.workers, scheduler=options.scheduler
    )
    parallel_s = run.timings["total"] - run.timings["start_workers"] - run.timings["close"]
    asked = run.outcomes[run.outcomes["task"].str.startswith("Ask")]
    half = pd.to_timedelta(asked["duration_s"] / 2, unit="s")
    middles = asked["started"] + half
    most = max(int(((middles - middle).abs() < half).sum()) for middle in middles)

    print(f"answer: {run.value}")
    print(f"the same as one after another: {run.value == alone}")
    print(f"one after another: {sequential_s:.2f} s")
    print(f"workers: {run.workers}, {run.scheduler}: {parallel_s:.2f} s, "
          f"{sequential_s / parallel_s:.1f} times as fast")  # fmt: skip
    print(f"at the same time at most: {most} of 4 questions")


if __name__ == "__main__":
    main()
