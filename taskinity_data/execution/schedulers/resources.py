"""Check before a run that workers have the resources that its tasks request.

Resources are names with amounts, as Dask's workers were started with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError, SchedulerError
from taskinity_data.flow.stages import Reduce, resources_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.flow.stages import Stage

__all__ = ["check_resources", "describe_missing", "name_resources"]


def name_resources(resources: Mapping[str, float]) -> str:
    """Return `resources` as Dask's command line takes it.

    >>> name_resources({"GPU": 1.0, "MEMORY": 2.5})
    'GPU=1 MEMORY=2.5'
    """
    return " ".join(f"{name}={amount:g}" for name, amount in resources.items())


def check_resources(steps: Sequence[Stage], strategy: Strategy) -> None:
    """Raise if a task asks for what no worker has.

    Raises
    ------
    PlanError
        `strategy` is not a cluster that has resources; a reducer asks for some.
    SchedulerError
        None of its workers has all of them.
    """
    for stage in steps:
        resources = resources_of(stage)
        if not resources:
            continue
        listed = name_resources(resources)
        if isinstance(stage, Reduce):
            raise PlanError(
                f"{stage.name}: a reducer's partials are made by the task before it, and combined "
                f"here; give resources ({listed}) to that task"
            )
        if not strategy.has_resources:
            raise PlanError(
                f"{stage.name}: resources ({listed}) require workers of a Dask cluster, and "
                f"scheduler={strategy.name!r} has none: start workers with them (dask worker "
                f'ADDRESS --resources "{listed}") and give scheduler=ADDRESS, or leave resources '
                "out"
            )
        if not strategy.offers(resources):
            raise SchedulerError(describe_missing(strategy.name, resources, stage.name))


def describe_missing(name: str, resources: Mapping[str, float], task: str) -> str:
    """Return the message that no worker of the cluster `name` has what `task` requests."""
    listed = name_resources(resources)
    return (
        f"{task}: no worker of {name} has {listed}: start one that has (dask worker ADDRESS "
        f'--resources "{listed}"), or ask for less'
    )
