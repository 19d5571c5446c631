"""What it costs to see a run: its journal, log, progress and page, against the same run without.

Rounds are paired: each takes every variant once, in an order that turns from round to round, so
that what else the machine does falls on all of them; told are the medians of the differences within
rounds, and from where to where they lie. A round before them is not counted. CPU time is of this
process and of all that it started.

    python benchmarks/overhead.py                            # a quiet machine, about half an hour
    python benchmarks/overhead.py --rounds 2 --chunks 40 --empty 2000

- *share*: chunks of 50 ms of computing on a local cluster that is up, a process a core, each
  bringing a partial of 400 groups: the extra wall and CPU time of the run (goal: at most 2 % at
  1,000 chunks);
- *each*: empty list items, in this thread: the microseconds that each of them takes more. The page
  needs a Dask cluster, and is left out of it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from unittest.mock import patch

import numpy as np
import pandas as pd
import psutil
from distributed import Client, LocalCluster

import taskinity_data as td
from taskinity_data.checkpoints.checkpoints import Checkpoints
from taskinity_data.report.log_file import RunLog

GROUPS = 400
REDUCE = td.group_by("k", total=("x", "sum"), mean=("x", "mean"), most=("x", "max"))
PARTS = ("journal", "log", "progress", "page")
FRAME = pd.DataFrame(
    {"k": [f"k{number % GROUPS}" for number in range(4 * GROUPS)], "x": np.arange(4.0 * GROUPS)}
)


def busy(_):
    """50 ms of CPU, and a frame that groups into 400 groups."""
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    return FRAME


def nothing(item):
    return item


class Terminal(io.StringIO):
    """Takes what is drawn, as a terminal of 80 columns."""

    def isatty(self):
        return True


class NoJournal(Checkpoints):
    """What a run does in its first two seconds, for ever."""

    def enter(self, *_):
        return None

    def recall(self, *_):
        return None

    def keep(self, *_):
        return None

    def note_scheduler(self, *_):
        return None


class NoLog(RunLog):
    def on_event(self, _):
        return None

    def keep(self):
        return None


class NoPage:
    def __init__(self, _):
        pass

    def on_event(self, _):
        return None


def without(parts):
    """A run in which these `parts` do nothing."""
    stack = ExitStack()
    if "journal" in parts:
        stack.enter_context(patch("taskinity_data.run.journal.Checkpoints", NoJournal))
    if "log" in parts:
        stack.enter_context(patch("taskinity_data.run.journal.RunLog", NoLog))
    if "page" in parts:
        stack.enter_context(patch("taskinity_data.run.session.DashboardObserver", NoPage))
    return stack


def cpu_seconds():
    """Of this process, and of those that it has started."""
    here = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))


def take(parts, function, reduce, count, scheduler, folder):
    """Seconds of the whole run and CPU seconds of it, with `parts` switched on."""
    flow = td.parse_flow("flow F:\n    Make -> Work[*] -> Add\n").bind(
        {"Make": lambda: list(range(count)), "Work": function, "Add": reduce}
    )
    screen = Terminal() if "progress" in parts else io.StringIO()
    run_dir = os.path.join(folder, "runs")
    with without(set(PARTS) - set(parts)), patch.object(sys, "stderr", screen):
        wall, cpu = time.perf_counter(), cpu_seconds()
        run = td.run_flow(flow, scheduler=scheduler, run_dir=run_dir, progress="progress" in parts)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    assert str(run.status) == "COMPLETED", run
    shutil.rmtree(run_dir, ignore_errors=True)
    return wall, cpu


def compare(variants, rounds, **what):
    """Rounds of all `variants`: by their name a list of (wall, CPU) seconds."""
    names = list(variants)
    found = {name: [] for name in names}
    for number in range(-1, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            seconds = take(variants[name], **what)
            if number >= 0:
                found[name].append(seconds)
    return found


def differences(found, place):
    """By variant: what each round took more than the same round without anything."""
    bare = [seconds[place] for seconds in found["nothing"]]
    return {
        name: [seconds[place] - one for seconds, one in zip(taken, bare, strict=True)]
        for name, taken in found.items()
        if name != "nothing"
    }


def tell(title, found, scale, unit):
    told = {}
    for place, kind in enumerate(("wall", "CPU")):
        bare = statistics.median(seconds[place] for seconds in found["nothing"])
        for name, more in differences(found, place).items():
            values = sorted(scale(one, bare) for one in more)
            middle = statistics.median(values)
            told[f"{name}, {kind}"] = middle
            spread = f"{values[0]:+.2f} to {values[-1]:+.2f}"
            print(f"{title}, {name:8}, {kind:4}: {middle:+.2f} {unit} (rounds: {spread})")
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--chunks", type=int, default=1_000)
    parser.add_argument("--empty", type=int, default=100_000)
    parser.add_argument("--each-part", action="store_true", help="each part alone too")
    parser.add_argument("--json", action="store_true", help="one object at the end")
    asked = parser.parse_args()
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    print(f"{platform.platform()}, {cores} cores, load {load:.1f} before")
    if load > cores / 2:
        print("The machine is busy: wall times are worth nothing, CPU times a little.")
    folder = tempfile.mkdtemp(prefix="taskinity-benchmark-")
    back = os.getcwd()
    os.chdir(folder)  # logs go there
    try:
        alone = {one: (one,) for one in PARTS} if asked.each_part else {}
        with (
            LocalCluster(
                n_workers=cores, threads_per_worker=1, dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            share = compare(
                {"nothing": (), **alone, "all": PARTS}, asked.rounds,
                function=busy, reduce=REDUCE, count=asked.chunks, scheduler=client, folder=folder,
            )  # fmt: skip
        answer = {"share_percent": tell(
            f"{asked.chunks} chunks of 50 ms", share, lambda more, bare: more / bare * 100, "%"
        )}  # fmt: skip
        alone.pop("page", None)
        each = compare(
            {"nothing": (), **alone, "all": PARTS[:-1]}, asked.rounds,
            function=nothing, reduce=td.count(), count=asked.empty, scheduler="synchronous",
            folder=folder,
        )  # fmt: skip
        answer["each_us"] = tell(
            f"{asked.empty} empty chunks", each, lambda more, _: more / asked.empty * 1e6, "µs each"
        )
        bare = statistics.median(seconds[0] for seconds in each["nothing"]) / asked.empty * 1e6
        print(f"An empty chunk takes {bare:.0f} µs without any of it.")
        if asked.json:
            print(json.dumps(answer | {"bare_us": bare, "load": load, "cores": cores}))
    finally:
        os.chdir(back)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
