"""Measure how long the work of a run's chunks would take one after another, as far as possible.

Time is computing plus waiting. What a chunk waited for other chunks (for Python's lock, for a core)
is no work: alone it would not have waited. Clocks do not tell that from waiting for a disk or a
service, but it can't have been more than the others computed.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from taskinity_data.machine import count_cores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.outcome import Attempt

__all__ = ["DRIVER_TIMES", "WORKER_TIMES", "measure_work", "speed_up"]

DRIVER_TIMES = {
    "start_workers": "starting workers",
    "plan": "planning",
    "combine": "combining",
    "wait": "waiting for workers",
    "close": "stopping workers",
}
WORKER_TIMES = {"read": "reading", "function": "the function", "partial": "reducing and writing"}
"""The parts of `Run.timings` in words: of the driver's time, and of the workers', summed up."""

_MIN_KNOWN = 0.9
"""The work is known where it comes to this share of the chunks' wall time at least, and so to no
more than 10 % less than its upper bound."""


class _Thread(NamedTuple):
    """What attempts on one thread computed: the thread itself, and its whole process meanwhile."""

    cpu_s: float = 0.0
    process_cpu_s: float = 0.0


def measure_work(
    attempts: Iterable[Attempt],
    *,
    workers: int,
    cores: int | None = None,
    host: str | None = None,
) -> dict[str, float]:
    """Return the seconds that `attempts` computed and would take one after another.

    Parameters
    ----------
    attempts : iterable of Attempt
        Those of chunks and items.
    workers : int
        How many ran at once at most.
    cores : int, optional
        Of the machine that is called `host`; default: this one. Of others one core is taken for
        granted.

    Returns
    -------
    dict of str to float
        ``cpu``, ``queued`` (for a core, on Linux) and ``work``, those that are known; none where an
        attempt was not measured.
    """
    spent = cpu = queued = 0.0
    processes: defaultdict[str, defaultdict[str, _Thread]] = defaultdict(
        lambda: defaultdict(_Thread)
    )
    for attempt in attempts:
        if attempt.cpu_s is None or attempt.process_cpu_s is None:
            return {}
        spent += attempt.duration_s
        cpu += attempt.cpu_s
        queued += attempt.queued_s
        process, _, thread = attempt.worker.rpartition("/")
        before = processes[process][thread]
        processes[process][thread] = _Thread(
            before.cpu_s + attempt.cpu_s, before.process_cpu_s + attempt.process_cpu_s
        )
    if not spent:
        return {}
    here = host or socket.gethostname(), cores or count_cores()
    work = cpu + max(0.0, spent - cpu - _mutual_seconds(processes, workers, *here))
    times = {"cpu": cpu} | ({"queued": queued} if queued else {})
    return times | ({"work": work} if work >= _MIN_KNOWN * spent else {})


def _mutual_seconds(
    processes: Mapping[str, Mapping[str, _Thread]], workers: int, host: str, cores: int
) -> float:
    """Return the seconds that chunks may have waited for one another, at most.

    While a thread of a process computes, all others of it may wait for Python's lock, and itself
    for the threads of a library (polars, Arrow) that it shares with them. While all cores compute,
    whoever is left over waits for one.
    """
    mutual = 0.0
    computed: defaultdict[str, float] = defaultdict(float)
    threads: defaultdict[str, int] = defaultdict(int)
    for name, by_thread in processes.items():
        process_cpu_s = max(thread.process_cpu_s for thread in by_thread.values())
        own_cpu_s = sum(thread.cpu_s for thread in by_thread.values())
        mutual += (min(len(by_thread), workers) - 1) * process_cpu_s
        mutual += max(0.0, process_cpu_s - own_cpu_s)
        where = name.rpartition(":")[0]
        computed[where] += process_cpu_s
        threads[where] += len(by_thread)
    for where, cpu_s in computed.items():
        room = cores if where == host else 1
        mutual += max(0, min(threads[where], workers) - room) * cpu_s / room
    return mutual


def speed_up(timings: Mapping[str, float], workers: int) -> float | None:
    """Return how many times as long the chunks' work takes as the run took for it.

    None where that work is not known. The time of tasks that run once is none that workers share.
    Where such tasks ran beside the chunks, all workers were busy at best.

    >>> speed_up({"total": 5.0, "single": 3.0, "work": 3.0}, 2)
    1.5
    """
    work = timings.get("work")
    if not work or not timings["total"]:
        return None
    return work / max(timings["total"] - timings.get("single", 0.0), work / max(1, workers))
