"""A list-scheduling simulator: how long a workload takes with sizes that are learned, or fixed.

One driver hands out tasks one after another, each at `TASK_S`; an idle worker takes the next. No
process, no clock: virtual seconds only, so every run with the same seed is the same.

Run as a script it prints the table of ``docs/design/sizing.md``.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from taskinity_data.chunks.sizing import Learner, Observation, Size, first_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TASK_S = 0.0016
CHUNK_S = 52e-6
BLOCKS = 1024
MB = 1_000_000
SEEDS = 3
STEP = 2.0
QUEUED = 1
POLLS = True
WORKERS = (1, 2, 4, 16, 64)


@dataclass(frozen=True)
class Workload:
    """A dataset of `nbytes` on disk and what its chunks cost; `blocks` are relative costs."""

    name: str
    nbytes: int
    rate: float
    blocks: tuple[float, ...] = (1.0,)
    fixed_s: float = 0.003
    noise: float = 0.0
    speeds: tuple[float, ...] = (1.0,)
    expansion: float = 3.0
    sampled_expansion: float = 3.0
    base_nbytes: int = 120 * MB
    memory_nbytes: int = 2000 * MB
    read_rate: float = 100 * MB

    def cumulated(self) -> list[float]:
        return [0.0, *accumulate(self.blocks)]


@dataclass(frozen=True)
class Result:
    makespan_s: float
    chunks: int
    tasks: int
    largest_memory_share: float
    sizes: tuple[int, ...]
    longest_s: float
    busy_s: float


def simulate(
    workload: Workload,
    workers: int,
    next_size: Callable[[Learner, int, int], Size],
    batch: Callable[[Learner, int, int], int],
    seed: int = 0,
    *,
    learns: bool = True,
) -> Result:
    cumulated = workload.cumulated()
    mean = cumulated[-1] / len(workload.blocks)
    noise = random.Random(f"{seed} {workload.name} {workers}")

    def cost_until(position: int) -> float:
        at = position / workload.nbytes * len(workload.blocks)
        block = min(int(at), len(workload.blocks) - 1)
        return (
            (cumulated[block] + (at - block) * workload.blocks[block]) / mean / len(workload.blocks)
        )

    work_s = workload.nbytes / workload.rate

    def chunk_s(start: int, stop: int) -> float:
        seconds = workload.fixed_s + work_s * (cost_until(stop) - cost_until(start))
        if workload.noise:
            seconds *= noise.lognormvariate(-(workload.noise**2) / 2, workload.noise)
        return seconds

    learner = Learner(
        first_size(
            workload.nbytes,
            workers,
            workload.memory_nbytes,
            workload.sampled_expansion,
            workload.read_rate,
        ),
        workload.memory_nbytes,
        workload.sampled_expansion,
        total_nbytes=workload.nbytes,
    )
    speeds = [workload.speeds[i % len(workload.speeds)] for i in range(workers)]
    window = workers + (0 if workers == 1 else workers * QUEUED)
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    ends: list[tuple[float, int, list[tuple[int, float]]]] = []
    position = driver_s = finish = longest = busy = 0
    in_flight = in_flight_tasks = tasks = 0
    sizes: list[int] = []
    memory_share = 0.0

    while position < workload.nbytes or ends:
        # A chunk is handed out as soon as the window has room, and after what has ended by then.
        if (
            position < workload.nbytes
            and in_flight_tasks < window
            and not (POLLS and ends and ends[0][0] <= driver_s)
        ):
            task: list[tuple[int, float]] = []
            wanted = 1
            while position < workload.nbytes and len(task) < wanted:
                size = next_size(learner, workload.nbytes - position, in_flight).target_nbytes
                stop = min(workload.nbytes, position + size)
                if not task:
                    wanted = batch(learner, stop - position, workload.nbytes - position)
                task.append((stop - position, chunk_s(position, stop)))
                sizes.append(stop - position)
                position = stop
                in_flight += 1
            driver_s += TASK_S
            tasks += 1
            in_flight_tasks += 1
            free_s, worker = heapq.heappop(free)
            seconds = [s / speeds[worker] + CHUNK_S for _, s in task]
            duration = sum(seconds)
            busy += duration
            longest = max(longest, duration)
            end_s = max(driver_s, free_s) + duration
            heapq.heappush(free, (end_s, worker))
            done = [(n, s) for (n, _), s in zip(task, seconds, strict=True)]
            heapq.heappush(ends, (end_s, tasks, done))
            continue
        end_s, _, done = heapq.heappop(ends)
        finish = max(finish, end_s)
        driver_s = max(driver_s, end_s)
        in_flight_tasks -= 1
        for nbytes, seconds_ in done:
            in_flight -= 1
            memory = workload.base_nbytes + workload.expansion * nbytes
            memory_share = max(memory_share, memory / workload.memory_nbytes)
            if learns:
                learner = learner.observe(Observation(nbytes, seconds_, int(memory)))
    return Result(finish, len(sizes), tasks, memory_share, tuple(sizes), longest, busy)


def mean_makespan(workload: Workload, run: Callable[[int], Result]) -> float:
    """The mean over seeds, where chance plays a part: no size is best by luck alone."""
    seeds = range(SEEDS if workload.noise else 1)
    return sum(run(seed).makespan_s for seed in seeds) / len(seeds)


def learned(workload: Workload, workers: int, seed: int = 0) -> Result:
    """The run as the driver makes it: learned sizes, small chunks batched."""
    return simulate(
        workload,
        workers,
        lambda learner, left, in_flight: learner.next_size(left, workers, in_flight),
        lambda learner, nbytes, left: learner.batch_size(nbytes, left, workers),
        seed,
    )


def fixed(workload: Workload, workers: int, nbytes: int, seed: int = 0, batch: int = 1) -> Result:
    """The run with chunks of `nbytes`."""
    return simulate(
        workload,
        workers,
        lambda _learner, _left, _in_flight: Size(nbytes, "fixed"),
        lambda _learner, _nbytes, _left: batch,
        seed,
        learns=False,
    )


def best_fixed(workload: Workload, workers: int) -> tuple[int, float]:
    """The fixed size of a grid, within half of a worker's memory, with the shortest run."""
    most = (workload.memory_nbytes / 2 - workload.base_nbytes) / workload.expansion
    most = min(most, workload.nbytes)
    grid = [int(most)]
    chunks = workload.nbytes / most
    while chunks <= max(12 * workers, 128) and workload.nbytes / chunks >= 1024:
        grid.append(math.ceil(workload.nbytes / chunks))
        chunks *= STEP
    # The sizes that divide evenly among the workers: what the oracle knows and a run can't.
    grid += [
        math.ceil(workload.nbytes / (workers * k))
        for k in (1, 2, 3, 4, 6, 8, 12)
        if workload.nbytes / (workers * k) <= most
    ]
    runs = [
        (nbytes, mean_makespan(workload, partial(fixed, workload, workers, nbytes)))
        for nbytes in dict.fromkeys(grid)
    ]
    return min(runs, key=lambda run: run[1])


def workloads() -> tuple[Workload, ...]:
    """Forty workloads: what a flow may do to its data, on disks and workers of all kinds."""
    draw = random.Random(20)

    def lognormal(sigma: float, run: int = 1) -> tuple[float, ...]:
        # Cost that varies along the file, each level for `run` blocks.
        levels = [draw.lognormvariate(0, sigma) for _ in range(BLOCKS // run)]
        return tuple(level for level in levels for _ in range(run))

    heavy = tuple(draw.paretovariate(1.5) for _ in range(BLOCKS))
    bursts = tuple(draw.choice((0.2, 0.2, 0.2, 3.0)) for _ in range(BLOCKS))
    stalls = tuple(20.0 if draw.random() < 0.01 else 1.0 for _ in range(BLOCKS))
    rising = tuple(0.3 + 3 * i / BLOCKS for i in range(BLOCKS))
    falling = tuple(reversed(rising))
    wave = tuple(1.0 + 0.8 * math.sin(i / 40) for i in range(BLOCKS))
    hot = tuple(15.0 if 400 <= i < 440 else 1.0 for i in range(BLOCKS))
    hot_start = tuple(8.0 if i < 34 else 1.0 for i in range(BLOCKS))
    hot_end = tuple(8.0 if i >= 990 else 1.0 for i in range(BLOCKS))
    steps = tuple(4.0 if (i // 256) % 2 else 1.0 for i in range(BLOCKS))
    size, usual = 2000 * MB, 40 * MB
    unequal, mixed = (1.0, 2.0, 4.0), (4.0, 1.0)
    return (
        Workload("constant", size, 60 * MB),
        Workload("constant, slower", size, 10 * MB),
        Workload("fast reader", size, 800 * MB, read_rate=800 * MB),
        Workload("fast reader, huge", 40_000 * MB, 800 * MB, read_rate=800 * MB),
        Workload("task noise 0.1", size, 60 * MB, noise=0.1),
        Workload("task noise 0.3", size, 20 * MB, noise=0.3),
        Workload("lognormal 0.3", size, usual, lognormal(0.3)),
        Workload("lognormal 0.8", size, usual, lognormal(0.8)),
        Workload("lognormal 0.5 in runs of 16", size, usual, lognormal(0.5, 16)),
        Workload("lognormal 1 in runs of 4", 5 * size, usual, lognormal(1.0, 4)),
        Workload("stalls", size, usual, stalls),
        Workload("heavy tail", size, usual, heavy),
        Workload("heavy tail, huge", 5 * size, usual, heavy),
        Workload("bursts", size, usual, bursts),
        Workload("rising cost", size, usual, rising),
        Workload("rising cost, huge", 5 * size, usual, rising, noise=0.1),
        Workload("falling cost", size, usual, falling),
        Workload("wave", size, usual, wave),
        Workload("steps", size, usual, steps),
        Workload("hot region", size, usual, hot),
        Workload("hot region, huge", 5 * size, usual, hot),
        Workload("hot start", size, usual, hot_start),
        Workload("hot end", size, usual, hot_end),
        Workload("workers 1, 2, 4", size, usual, speeds=unequal),
        Workload("workers 1, 4, lognormal", size, usual, lognormal(0.5), speeds=mixed),
        Workload("workers 1, 2, 4, rising", 4 * size, usual, rising, speeds=unequal),
        Workload("workers 1, 2, 4, slow", size, 5 * MB, speeds=unequal),
        Workload("tiny", 2 * MB, 60 * MB),
        Workload("tiny, slow function", 2 * MB, 0.1 * MB),
        Workload("small", 40 * MB, 60 * MB),
        Workload("small, slow function", 40 * MB, 1 * MB, lognormal(0.3)),
        Workload("huge", 10 * size, 80 * MB, lognormal(0.2)),
        Workload("fixed 0.03 s a chunk", size, 60 * MB, fixed_s=0.03),
        Workload("fixed 0.3 s a chunk", 10 * size, 60 * MB, fixed_s=0.3),
        Workload("fixed 3 s a chunk", 10 * size, 60 * MB, fixed_s=3.0),
        Workload("pure overhead", 10 * size, 5000 * MB, fixed_s=0.05),
        Workload("expands 20 times", 2 * size, 60 * MB, expansion=20.0),
        Workload("little memory", size, 60 * MB, expansion=10.0, memory_nbytes=400 * MB),
        Workload("slow function", 200 * MB, 1 * MB, lognormal(0.3)),
        Workload("slow function, heavy tail", 200 * MB, 1 * MB, heavy),
    )


@dataclass(frozen=True)
class Comparison:
    workload: Workload
    workers: int
    best_nbytes: int
    best_s: float
    learned_s: float

    @property
    def ratio(self) -> float:
        return self.learned_s / self.best_s


def compare(
    all_workloads: Sequence[Workload], all_workers: Sequence[int] = WORKERS
) -> list[Comparison]:
    table = []
    for workload in all_workloads:
        for workers in all_workers:
            best_nbytes, best_s = best_fixed(workload, workers)
            learned_s = mean_makespan(workload, partial(learned, workload, workers))
            table.append(Comparison(workload, workers, best_nbytes, best_s, learned_s))
    return table


def markdown(table: Sequence[Comparison]) -> str:
    counts = sorted({row.workers for row in table})
    lines = [
        "| workload | " + " | ".join(f"{count} workers" for count in counts) + " |",
        "| --- |" + " --: |" * len(counts),
    ]
    for name in dict.fromkeys(row.workload.name for row in table):
        cells = [f"{row.ratio:.2f}" for row in table if row.workload.name == name]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    within = [sum(r.ratio <= 1.15 for r in table if r.workers == count) for count in counts]
    lines.append("| within 15 % | " + " | ".join(map(str, within)) + " |")
    mean = math.exp(sum(math.log(row.ratio) for row in table) / len(table))
    lines.append(f"\nWithin 15 %: {sum(within)} of {len(table)}; geometric mean {mean:.3f}.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown(compare(workloads())))
