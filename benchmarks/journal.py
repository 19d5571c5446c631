"""What the journal costs: the share of a run of 50 ms chunks, and the time a chunk of empty ones.

Runs with and without it alternate, and the best of each counts, because other work on the machine
only ever adds.

    python benchmarks/journal.py [--rounds 5] [--chunks 100] [--empty 100000]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time

import numpy as np
import pandas as pd

import taskinity_data as td

GROUPS = 400
REDUCE = td.group_by("k", total=("x", "sum"), mean=("x", "mean"), most=("x", "max"))


def busy(_):
    """50 ms of CPU, and a frame that groups into 400 groups."""
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    return FRAME


def nothing(item):
    return item


FRAME = pd.DataFrame(
    {"k": [f"k{number % GROUPS}" for number in range(4 * GROUPS)], "x": np.arange(4.0 * GROUPS)}
)


def take(function, reduce, count, run_dir):
    """Seconds of the whole run, in this process, and CPU seconds of it."""
    flow = td.parse_flow("flow F:\n    Make -> Work[*] -> Add\n").bind(
        {"Make": lambda: list(range(count)), "Work": function, "Add": reduce}
    )
    wall, cpu = time.perf_counter(), time.process_time()
    run = td.run_flow(flow, scheduler="synchronous", run_dir=run_dir, progress=False)
    assert str(run.status) == "COMPLETED"
    return time.perf_counter() - wall, time.process_time() - cpu


def off():
    """No journal: what a run does in its first two seconds, for ever."""
    from taskinity_data.records import checkpoints

    class Never(checkpoints.Checkpoints):
        def enter(self, *_):
            return None

        def recall(self, *_):
            return None

        def keep(self, *_):
            return None

    import taskinity_data.run_journal as place

    kept = place.Checkpoints
    place.Checkpoints = Never
    return lambda: setattr(place, "Checkpoints", kept)


def compare(function, reduce, count, rounds, folder):
    best = {True: (9e9, 9e9), False: (9e9, 9e9)}
    for _ in range(rounds):
        for is_on in (False, True):
            back = (lambda: None) if is_on else off()
            found = take(function, reduce, count, os.path.join(folder, "runs"))
            back()
            best[is_on] = tuple(map(min, best[is_on], found))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--empty", type=int, default=100_000)
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="taskinity-benchmark-")
    try:
        best = compare(busy, REDUCE, asked.chunks, asked.rounds, folder)
        for kind, place in (("wall", 0), ("CPU", 1)):
            without, with_ = best[False][place], best[True][place]
            share = with_ / without - 1
            print(
                f"{asked.chunks} chunks of 50 ms, {kind}: {without:.3f} s without, "
                f"{with_:.3f} s with: {share:+.2%}"
            )
        best = compare(nothing, td.count(), asked.empty, 1, folder)
        for kind, place in (("wall", 0), ("CPU", 1)):
            added = (best[True][place] - best[False][place]) / asked.empty * 1e6
            print(f"{asked.empty} empty chunks, {kind}: {added:.1f} µs a chunk more")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
