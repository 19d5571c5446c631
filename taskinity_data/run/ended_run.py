"""A run that has just ended: what its driver did, as a `Run`, and what the journal keeps of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.run.result import Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.execution.driver import Driver
    from taskinity_data.flow.flow import Flow

__all__ = ["collect_details", "make_run"]


def make_run(
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
    worked = dict.fromkeys(("read", "function", "partial", "single", "cpu"), 0.0)
    timings = {**seconds, **driver.seconds, **worked}
    for is_of_item, attempt in driver.account.outcomes.totals():
        if not is_of_item:
            # What a reducer finishes is combining already.
            timings["single"] += attempt.function_s
            continue
        timings["read"] += attempt.read_s
        timings["function"] += attempt.function_s
        timings["partial"] += attempt.partial_s
        timings["cpu"] += attempt.cpu_s or 0.0
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


def collect_details(run: Run, driver: Driver) -> dict[str, Any]:
    """Return what the journal stores of `run` in addition to its chunks, as plain values."""
    return {
        "timings": dict(run.timings),
        "accounts": _accounts(driver),
        "sizes": dict(run.sizes),
        "singles": [outcome for item, outcome in driver.account.outcomes.singles if item is None],
        "output": None if run.output is None else list(run.output),
        "log": None if run.log is None else str(run.log),
        "notices": list(driver.account.notices.lines),
        "workers": list(map(tuple, driver.chooser.strategy.worker_rows)),
    }


def _accounts(driver: Driver) -> dict[str, Any]:
    return {fan_out.name: fan_out.account() for fan_out in driver.fan_outs.values()}


def _ranks(flow: Flow, driver: Driver) -> dict[str, int]:
    """Return the rank of each task in the flow; tasks of one fan-out share a rank."""
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
