"""Measure three functions in sequence and in parallel.

In sequence means: the function on all records at once, in this process, without this library.
Starting a pool is measured separately.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from taskinity_data.errors import ReduceError
from taskinity_data.execution.schedulers.connect import open_strategy
from taskinity_data.run.api import process

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "JOBS", "Alone", "BenchJob", "Measured", "Pools", "combine", "compute", "frame_of",
    "in_sequence", "kernel", "measure", "wait",
]  # fmt: skip

WAIT_S = 0.001
_ROUNDS = 400
_WARM_UP_S = 0.3
_MIN_TURNS, _MAX_TURNS = 8, 16
"""Chunks that each worker gets, of about a second: even shares, and enough of them that none ends
alone for long; few, so that handing them out costs nothing."""


def wait(chunk: pd.DataFrame) -> int:
    """Wait a millisecond for each record, as for an answer of another machine."""
    for _ in range(len(chunk)):
        time.sleep(WAIT_S)
    return len(chunk)


def compute(chunk: pd.DataFrame) -> int:
    """Compute in plain Python, some 20 µs a record."""
    total = 0
    for number in chunk["value"].tolist():
        for _ in range(_ROUNDS):
            number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        total ^= number
    return total


def kernel(chunk: pa.Table) -> int:
    """Search a pattern in a text made of each record, with Arrow."""
    texts = pc.cast(chunk["value"], pa.string())
    return int(pc.sum(pc.match_substring_regex(texts, "(17|71).*(3|9)$")).as_py() or 0)


@dataclass(frozen=True)
class BenchJob:
    """A function, its words, and how it is called in sequence."""

    name: str
    words: str
    function: Callable[[Any], int]
    is_bound_to_cores: bool
    makes: Callable[[pd.DataFrame], Any]


def _as_is(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


JOBS = (
    BenchJob("wait", "waits 1 ms a record", wait, False, _as_is),
    BenchJob("python", "computes in Python", compute, True, _as_is),
    BenchJob("arrow", "an Arrow kernel", kernel, True, pa.Table.from_pandas),
)


@dataclass(frozen=True)
class Measured:
    """One line of the table."""

    job: str
    records: int
    pool: str
    workers: int
    sequential_s: float
    parallel_s: float
    chunks: int

    @property
    def speed_up(self) -> float:
        """How often the parallel time fits into the sequential one."""
        return self.sequential_s / self.parallel_s


class Pools:
    """Pools of workers that are started once and kept over several runs; closed with the block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        # Runs of two seconds are stored, and these are not the user's.
        self.run_dir = self._stack.enter_context(TemporaryDirectory(prefix="taskinity-bench-"))
        self._open: dict[tuple[str, int], Any] = {}
        self.started_s: dict[tuple[str, int], float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            error.args = ()  # how to resume its run, which goes with the directory
        # The last that was opened first: each puts back the log levels that it found.
        self._stack.close()

    def get(self, name: str, workers: int) -> Any:
        """Return the pool of that name, ready and warm: each worker has run a chunk."""
        key = name, workers
        if key not in self._open:
            at = time.perf_counter()
            pool = self._open[key] = open_strategy(name, workers, None)
            self._stack.callback(pool.close)
            pool.close = _leave_open  # type: ignore[method-assign]
            warm = pd.DataFrame({"value": range(workers * 4)})
            process(
                warm, _warm_up, reduce=sum, chunk_size="1 rows", workers=workers,
                scheduler=pool, progress=False, run_dir=self.run_dir,
            )  # fmt: skip
            self.started_s[key] = time.perf_counter() - at - _WARM_UP_S
        return self._open[key]


def _leave_open() -> None:
    """Replace the `close` that a run calls: the pool is reused."""


def _warm_up(chunk: pd.DataFrame) -> int:
    time.sleep(_WARM_UP_S / 4)
    return len(chunk)


def frame_of(records: int) -> pd.DataFrame:
    """Return `records` of one integer each."""
    return pd.DataFrame({"value": range(records)})


class Alone(NamedTuple):
    """The seconds and the answer of the function on all records at once."""

    seconds: float
    answer: int


def in_sequence(job: BenchJob, records: int) -> Alone:
    """Time the function of `job` on all `records` at once, in this process."""
    data = job.makes(frame_of(records))
    at = time.perf_counter()
    answer = job.function(data)
    return Alone(time.perf_counter() - at, answer)


def measure(job: BenchJob, records: int, alone: Alone, pools: Pools, name: str, n: int) -> Measured:
    """Time `job` on `records` with `n` workers of the pool `name`, to compare with `alone`.

    Chunks are 8 to 16 even ones for each worker.

    Raises
    ------
    ReduceError
        The answer is another one.
    """
    turns = min(max(_MIN_TURNS, int(alone.seconds / n)), _MAX_TURNS)
    rows = max(1, -(-records // (n * turns)))
    run = process(
        frame_of(records), job.function, reduce=combine(job), workers=n,
        chunk_size=f"{rows} rows", scheduler=pools.get(name, n), progress=False,
        run_dir=pools.run_dir,
    )  # fmt: skip
    if run.value != alone.answer:
        raise ReduceError(f"{job.name}: {run.value} in parallel, {alone.answer} in sequence")
    spent = run.timings
    parallel_s = spent["total"] - spent["start_workers"] - spent["close"]
    return Measured(
        job=job.name,
        records=records,
        pool=name,
        workers=n,
        sequential_s=alone.seconds,
        parallel_s=parallel_s,
        chunks=int(run.outcomes["path"].notna().sum()),
    )


def combine(job: BenchJob) -> Callable[[list[int]], int]:
    """Return what brings the answers of chunks together."""
    return _exclusive_or if job.function is compute else sum


def _exclusive_or(parts: Sequence[int]) -> int:
    total = 0
    for part in parts:
        total ^= part
    return total
