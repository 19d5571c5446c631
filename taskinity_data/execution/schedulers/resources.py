"""What tasks ask of Dask's workers beside time and memory: whether anybody has it, before a run.

It knows nothing of what resources mean: they are names with amounts, as workers were started with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError, SchedulerError
from taskinity_data.flow.stages import FanOutStage, Reduce

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.flow.stages import Call, ChainStep, Stage

__all__ = ["check_resources", "name_resources", "resources_of", "tell_missing"]


def resources_of(steps: Iterable[ChainStep | Call | Reduce]) -> dict[str, float]:
    """What a worker must have that runs `steps` and what may stand in for them."""
    wanted: dict[str, float] = {}
    for step in steps:
        for one in (step, step.fallback):
            asked = one.task.policy.resources if one is not None else None
            for name, amount in (asked or {}).items():
                wanted[name] = max(amount, wanted.get(name, 0.0))
    return wanted


def name_resources(wanted: Mapping[str, float]) -> str:
    """
    >>> name_resources({"GPU": 1.0, "MEMORY": 2.5})
    'GPU=1 MEMORY=2.5'
    """
    return " ".join(f"{name}={amount:g}" for name, amount in wanted.items())


def check_resources(steps: Sequence[Stage], strategy: Strategy) -> None:
    """Raise where a task asks for what no worker has.

    Raises
    ------
    PlanError
        `strategy` is no cluster that has resources; a reducer asks for some.
    SchedulerError
        None of its workers has all of them.
    """
    for stage in steps:
        if isinstance(stage, FanOutStage):
            wanted = resources_of(step for chain in stage.chains for step in chain)
        else:
            wanted = resources_of([stage])
        if not wanted:
            continue
        told = name_resources(wanted)
        if isinstance(stage, Reduce) and stage.is_reducer:
            raise PlanError(
                f"{stage.name}: a reducer's partials are made by the task before it, and combined "
                f"here; give resources ({told}) to that task"
            )
        if not strategy.has_resources:
            raise PlanError(
                f"{stage.name}: resources ({told}) are those of a Dask cluster's workers, which "
                f"scheduler={strategy.name!r} has none of: start workers with them (dask worker "
                f'ADDRESS --resources "{told}") and give scheduler=ADDRESS, or leave resources out'
            )
        if not strategy.offers(wanted):
            raise SchedulerError(tell_missing(strategy.name, wanted, stage.name))


def tell_missing(name: str, wanted: Mapping[str, float], task: str) -> str:
    """That no worker of the cluster `name` has what `task` asks for, and what to do."""
    told = name_resources(wanted)
    return (
        f"{task}: no worker of {name} has {told}: start one that has (dask worker ADDRESS "
        f'--resources "{told}"), or ask for less'
    )
