"""A run that has just ended: what its driver did, as a `Run`, and what the journal keeps of it."""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.machine import count_cores
from taskinity_data.run.result import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskinity_data.execution.driver import Driver
    from taskinity_data.flow.flow import Flow
    from taskinity_data.outcome import Attempt

__all__ = ["facts_of", "measure_work", "run_of"]


def run_of(
    flow: Flow,
    driver: Driver,
    *,
    run_id: str,
    strategy: tuple[str, int, str | None],
    reason: str,
    seconds: Mapping[str, float],
) -> Run:
    """Return what `driver` did, as a run."""
    name, workers, link = strategy
    results = _results(flow, driver)
    timings = {**seconds, **driver.seconds, "read": 0.0, "function": 0.0, "partial": 0.0}
    timings["single"] = 0.0
    measured: list[Attempt] = []
    for is_of_item, attempt in driver.account.outcomes.totals():
        if not is_of_item:
            # What a reducer finishes is combining already.
            timings["single"] += attempt.function_s
            continue
        timings["read"] += attempt.read_s
        timings["function"] += attempt.function_s
        timings["partial"] += attempt.partial_s
        measured.append(attempt)
    timings |= measure_work(measured, workers=workers)
    plans, sizes = {}, {}
    for fan_out in driver.fan_outs.values():
        if chunks := fan_out.chunks:
            _, last = fan_out.sizes[-1]
            plans[fan_out.name] = ChunkPlan(
                chunks, fan_out.extents, last.target_nbytes, last.reason
            )
            sizes[fan_out.name] = [
                (at, size.target_nbytes, size.reason) for at, size in fan_out.sizes
            ]
    return Run(
        value=results.get(flow.last),
        results=results,
        status=driver.status,
        run_id=run_id,
        flow=flow,
        plans=plans,
        sizes=sizes,
        scheduler=name,
        scheduler_reason=reason,
        workers=workers,
        dashboard_link=link,
        timings=timings,
        stop_reason=driver.stop_reason,
        notices=tuple(driver.account.notices.lines),
        _ended=driver.account.outcomes,
        _accounts=_accounts(driver),
        _bad_lines=driver.account.bad_lines.entries(),
        _members=driver.chooser.strategy.worker_rows,
        _ranks=_ranks(flow, driver),
    )


def facts_of(run: Run, driver: Driver) -> dict[str, Any]:
    """Return what the journal keeps of `run` beside its chunks, as plain values."""
    from taskinity_data.checkpoints.plain_outcomes import to_plain

    return {
        "timings": dict(run.timings),
        "accounts": _accounts(driver),
        "sizes": {
            name: [list(change) for change in changes] for name, changes in run.sizes.items()
        },
        "singles": [
            to_plain(outcome) for item, outcome in driver.account.outcomes.singles if item is None
        ],
        "output": None if run.output is None else list(run.output),
        "log": None if run.log is None else str(run.log),
        "notices": list(driver.account.notices.lines),
        "workers": [list(row) for row in driver.chooser.strategy.worker_rows],
    }


def _accounts(driver: Driver) -> dict[str, Any]:
    return {fan_out.name: fan_out.account() for fan_out in driver.fan_outs.values()}


def _ranks(flow: Flow, driver: Driver) -> dict[str, int]:
    """Return where each task stands in the flow; tasks of one fan-out share a rank."""
    ranks = {name: number for number, name in enumerate(flow.order)}
    for fan_out in driver.fan_outs.values():
        names = [fan_out.name, *(step.task for chain in fan_out.job.chains for step in chain)]
        ranks |= dict.fromkeys(names, min(ranks.get(name, len(ranks)) for name in names))
    return ranks


def _results(flow: Flow, driver: Driver) -> dict[str, Any]:
    names = {task.name for task in flow.tasks}
    results = {name: value for name, value in driver.values.items() if name in names}
    for fan_out in driver.fan_outs.values():
        if not fan_out.job.keeps_result:
            results.pop(fan_out.name, None)
            continue
        if fan_out.name in driver.values:
            results[fan_out.name] = driver.values[fan_out.name]
        if len(fan_out.job.chains) > 1:
            for (position, *_), result in fan_out.results.by_index().items():
                if chain := fan_out.job.chain(position):
                    results[chain[-1].task] = result
    return results


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

    Notes
    -----
    Work is computing plus waiting. What a chunk waited for other chunks (for Python's lock, for a
    core) is none: alone it would not have waited. Clocks do not tell that from waiting for a disk
    or a service, but it can't have been more than the others computed.
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
