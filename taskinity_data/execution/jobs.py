"""Turns a stage of a flow, with the values of its arguments, into the job that workers do.

The run and the static Dask graph both build their nodes here, so that they do the same. It knows
nothing of who runs a job, or of where chunks come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.execution.process import Job, Step
from taskinity_data.execution.resources import resources_of
from taskinity_data.flow import stages
from taskinity_data.flow.sources import Constant, Input
from taskinity_data.policy import Policy, Value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.flow.sources import Source
    from taskinity_data.flow.stages import Call, FanOut, Reduce, Stage

__all__ = ["call_job", "chunk_job", "consumers", "policies", "reducers_of", "resolve"]


def resolve(source: Source, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """The value behind `source`."""
    if isinstance(source, Constant):
        return source.value
    return inputs[source.name] if isinstance(source, Input) else values[source.task]


def call_job(stage: Call | Reduce, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Job:
    """The job of a task that runs once."""
    step = _call_step(stage, values, inputs)
    return Job(stage.name, ((step,),), resources=resources_of([stage]))


def chunk_job(
    stage: FanOut,
    values: Mapping[str, Any],
    inputs: Mapping[str, Any],
    reducers: Sequence[Any],
    keeps_result: bool,
) -> Job:
    """The job that is done to each piece of a fan-out."""
    chains = tuple(
        tuple(_chunk_step(step, values, inputs) for step in chain) for chain in stage.chains
    )
    wanted = {reducer.wants for reducer in reducers}
    # What takes Arrow takes frames too: the reader may choose.
    kind = "native" if wanted == {"arrow"} else "pandas"
    wants = resources_of(step for chain in stage.chains for step in chain)
    return Job(stage.name, chains, kind, tuple(reducers), keeps_result, resources=wants)


def _call_step(stage: Call | Reduce, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Step:
    given = {name: resolve(source, values, inputs) for name, source in stage.arguments.items()}
    policy = stage.task.policy
    fallback: Step | Value | None = None
    if stage.fallback is not None:
        fallback = _call_step(stage.fallback, values, inputs)
    elif isinstance(policy.on_error, Value):
        fallback = policy.on_error
    return Step(
        task=stage.task.name,
        function=_function(stage.task.function),
        takes_piece=False,
        leading=tuple(given.pop(name) for name in stage.positional),
        arguments=given,
        fallback=fallback,
        validate_input=policy.validate_input,
        validate_output=policy.validate_output,
        timeout_s=policy.timeout_s,
    )


def _chunk_step(step: stages.Step, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Step:
    policy = step.task.policy
    fallback: Step | Value | None = None
    if step.fallback is not None:
        fallback = _chunk_step(step.fallback, values, inputs)
    elif isinstance(policy.on_error, Value):
        fallback = policy.on_error
    return Step(
        task=step.task.name,
        function=_function(step.task.function),
        kind=step.kind,
        arguments={
            name: resolve(source, values, inputs) for name, source in step.arguments.items()
        },
        fallback=fallback,
        validate_input=policy.validate_input,
        validate_output=policy.validate_output,
        timeout_s=policy.timeout_s,
    )


def _function(function: Any) -> Any:
    # A reducer that stands where a plain function is asked for reduces what it is given.
    if not getattr(function, "is_reducer", False):
        return function
    return _Reduced(function)


class _Reduced:
    """A reducer as a plain function of one value."""

    def __init__(self, reducer: Any) -> None:
        self._reducer = reducer
        self.__name__ = self.__qualname__ = reducer.name

    def __call__(self, data: Any) -> Any:
        return self._reducer.finish(self._reducer.partial(data))


def reducers_of(name: str, all_stages: Sequence[Stage]) -> list[Reduce]:
    """The stages that reduce the fan-out `name` by a reducer, in the flow's order."""
    return [
        stage
        for stage in all_stages
        if isinstance(stage, stages.Reduce) and stage.over == name and stage.is_reducer
    ]


def consumers(name: str, all_stages: Sequence[Stage]) -> list[Stage]:
    """The stages that take the results of `name` themselves, not their partials."""
    found: list[Stage] = []
    for stage in all_stages:
        if isinstance(stage, stages.FanOut):
            sources = [stage.over]
            for step in (step for chain in stage.chains for step in chain):
                sources += [*step.arguments.values()]
                sources += [*step.fallback.arguments.values()] if step.fallback else []
        elif stage.fallback is not None:
            sources = [*stage.arguments.values(), *stage.fallback.arguments.values()]
        else:
            sources = [*stage.arguments.values()]
        if isinstance(stage, stages.Reduce) and stage.is_reducer:
            continue
        if any(isinstance(source, stages.Upstream) and source.task == name for source in sources):
            found.append(stage)
    return found


def policies(all_stages: Sequence[Stage]) -> dict[str, Policy]:
    """The policy of each task, and of each fan-out by its own name."""
    found: dict[str, Policy] = {}
    for stage in all_stages:
        if isinstance(stage, stages.FanOut):
            found |= {task.name: task.policy for task in stage.tasks}
            found.setdefault(stage.name, stage.tasks[0].policy if stage.tasks else stage.policy)
        else:
            found[stage.name] = stage.task.policy
    return found
