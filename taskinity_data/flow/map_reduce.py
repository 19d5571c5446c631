"""The flow of three tasks behind one function and one reducer, and its stages.

It opens nothing: what `DataPreparation` is to return is known by whoever runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.flow.flow import Flow
from taskinity_data.flow.model import Task
from taskinity_data.flow.stages import FanOutStage, Stage, stages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from taskinity_data.policy import Policy

__all__ = ["pass_rows", "short_flow"]


def short_flow(
    function: Callable[..., Any] | None,
    reduce: Any,
    policy: Policy,
    name: str = "ProcessChunk",
    description: str | None = None,
    inputs: Collection[str] = (),
) -> tuple[Flow, tuple[Stage, ...]]:
    """Return the flow DataPreparation -> `name`[*] -> AggregateResults, and its stages.

    Parameters
    ----------
    function : callable or None
        chunk -> anything; None: the rows themselves are reduced.
    reduce : Reducer or callable
    inputs : names
        What else fills parameters of the functions.

    Returns
    -------
    flow, stages
        Without DataPreparation's stage: its value is given.

    Raises
    ------
    BindError
        A parameter that nothing fills.
    """
    flow = Flow(
        "Process",
        tasks=(
            Task("DataPreparation", function=_source),
            Task(name, description, "*", policy, pass_rows if function is None else function),
            Task("AggregateResults", function=reduce),
        ),
        edges=(("DataPreparation", name), (name, "AggregateResults")),
    ).bind({})
    # Reducers take the rows from the reader, unless an option is a matter of the step between.
    reads_only = function is None and getattr(reduce, "is_reducer", False) and not policy.needs_step
    steps = tuple(
        stage._replace(chains=((),), policy=policy)
        if reads_only and isinstance(stage, FanOutStage)
        else stage
        for stage in stages(flow, ("source", *inputs))
        if stage.name != "DataPreparation"
    )
    return flow, steps


def pass_rows(chunk: Any) -> Any:
    """Return the chunk itself: the function of a task without one."""
    return chunk


def _source(source: Any) -> Any:
    return source
