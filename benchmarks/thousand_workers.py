"""What the driver costs beside a thousand workers, which are simulated in virtual time.

    python benchmarks/thousand_workers.py --workers 1000 --chunk-s 1 --files 10000

Makes CSV files with the same 100 rows and counts them in chunks of `rows`. The first chunk is
read, and the others end with its outcome, so that no worker's computing is in the driver's process.
The clock advances by the CPU time that the driver takes between two looks at its window; where
nothing has ended by then, it jumps to the next end. Chunks last `chunk-s` seconds, give or take a
quarter (from a seed).

Prints the driver's share of a core, its time for a chunk, how busy the workers were, what was in
flight at most, and the memory for a chunk that the process has at most (tracemalloc, in a run of
its own, since it slows the driver).
"""

from __future__ import annotations

import argparse
import heapq
import random
import tempfile
import time
import tracemalloc
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pandas as pd

import taskinity_data as td
from taskinity_data.execution import driver
from taskinity_data.execution.schedulers.base import Strategy
from taskinity_data.execution.window import Window
from taskinity_data.execution.worker.run_item import run_each
from taskinity_data.outcome_block import OutcomeBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.execution.worker.job import Item, Job

ROWS = 100


class Simulated(Strategy):
    """Workers that are numbers: each runs one batch after the other, in the order of arrival."""

    name = "simulated"
    crosses_processes = True
    workers = 0

    def __init__(self, workers: int, chunk_s: float) -> None:
        self.now_s = self.busy_s = self.driver_s = 0.0
        self.batches = self.most_in_flight = 0
        self.workers, self._chunk_s = workers, chunk_s
        self._random = random.Random(7)
        self._free_s = [0.0] * workers
        self._first: Any = None
        self._ends: list[tuple[float, int, Future[Any], list[float]]] = []
        self._looked_s = time.thread_time()

    def load(self, job: Job) -> Job:
        """Return `job` itself."""
        return job

    def submit(self, loaded: Job, items: Sequence[Item], key: str) -> Future[Any]:  # noqa: ARG002
        """Note when `items` end."""
        at = time.thread_time()
        if not self.batches:  # what is done before the first chunk is not the driver's
            self._looked_s = at
        took_s = [self._chunk_s * self._random.uniform(0.75, 1.25) for _ in range(len(items))]
        if self._first is None:
            (self._first,) = run_each(loaded, items[:1])
        free_s = heapq.heappop(self._free_s)
        end_s = max(self.now_s, free_s) + sum(took_s)
        heapq.heappush(self._free_s, end_s)
        future: Future[Any] = Future()
        heapq.heappush(self._ends, (end_s, self.batches, future, took_s))
        self.batches += 1
        self.busy_s += sum(took_s)
        self.most_in_flight = max(self.most_in_flight, len(self._ends))
        self._looked_s += time.thread_time() - at
        return future

    def advance(self, *, jumps: bool = True) -> None:
        """End what has ended since the last look, by the time that the driver took since then.

        Where nothing has, it `jumps` to the next end.
        """
        took_s = time.thread_time() - self._looked_s
        self.driver_s += took_s
        self.now_s += took_s
        if self._ends and jumps:
            self.now_s = max(self.now_s, self._ends[0][0])
        while self._ends and self._ends[0][0] <= self.now_s:
            *_, future, took_s = heapq.heappop(self._ends)
            future.set_result([self._make_block(took_s)])
        self._looked_s = time.thread_time()

    def _make_block(self, took_s: Sequence[float]) -> OutcomeBlock:
        block = OutcomeBlock(self._first.task, self._first.workers[0])
        started_s, _, *times = self._first.times
        for seconds in took_s:
            block.add((started_s, seconds, *times), *self._first.counts, self._first.values[0])
        block.end_turn(self._first.spent, self._first.peak_nbytes)
        return block

    def close(self) -> None:
        """Do nothing: nothing was started."""


def simulate(pattern: str, workers: int, chunk_s: float, rows: int) -> tuple[Simulated, int]:
    """Return the simulation of a run, and the rows that it counted."""
    strategy = Simulated(workers, chunk_s)

    class VirtualWindow(Window):
        @property
        def done(self) -> int:
            strategy.advance(jumps=False)
            return super().done

        def wait(self, timeout_s: float, **options: Any) -> Any:
            strategy.advance(jumps=not self.done)
            return super().wait(timeout_s, **options)

        def pause(self, seconds: float) -> None:
            strategy.now_s += seconds
            strategy.advance(jumps=False)

    with mock.patch.object(driver, "Window", VirtualWindow):
        run = td.process(
            pattern,
            pd.DataFrame.copy,
            reduce=td.count(),
            chunk_size=f"{rows} rows",
            scheduler=strategy,
            progress=False,
        )
    return strategy, run.value


def main() -> None:
    """Simulate, twice: for times, and for memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--chunk-s", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=ROWS, help="a divisor of 100")
    given = parser.parse_args()
    chunks = given.files * ROWS // given.rows
    with tempfile.TemporaryDirectory() as folder:
        text = "a,b\n" + "".join(f"{number},{number % 7}\n" for number in range(ROWS))
        for number in range(given.files):
            Path(folder, f"{number:06}.csv").write_text(text)
        pattern = f"{folder}/*.csv"
        ended, rows = simulate(pattern, given.workers, given.chunk_s, given.rows)
        if rows != given.files * ROWS:
            raise SystemExit(f"{rows} rows instead of {given.files * ROWS}")
        tracemalloc.start()
        simulate(pattern, given.workers, given.chunk_s, given.rows)
        _, peak_nbytes = tracemalloc.get_traced_memory()
    print(
        f"{given.workers} workers, {chunks:,} chunks of {given.chunk_s:g} s: "
        f"{ended.now_s:.1f} s of the simulated clock; workers busy "
        f"{ended.busy_s / ended.now_s / given.workers:.0%}"
        f"\ndriver: {ended.driver_s / ended.now_s:.2f} of a core, "
        f"{ended.driver_s / chunks * 1e6:.0f} us a chunk; at most {ended.most_in_flight} "
        f"batches in flight; peak {peak_nbytes / chunks:.0f} bytes a chunk"
    )


if __name__ == "__main__":
    main()
