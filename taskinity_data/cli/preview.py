"""What a flow would do: its stages, and the chunks of those datasets that are known before it runs.

It calls none of the flow's functions, unless it is to forecast: then those that feed a fan-out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from taskinity_data.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.cli.output import Answer
    from taskinity_data.flow.model import Flow
    from taskinity_data.flow.stages import FanOut, Source, Stage
    from taskinity_data.forecast.forecast import Forecast

__all__ = ["describe_forecast", "describe_plan", "preview"]


def preview(
    flow: Flow,
    inputs: Mapping[str, str],
    options: Mapping[str, Any],
    answer: Answer,
    *,
    is_told: bool,
    is_estimated: bool = False,
) -> None:
    """Puts stages and known plans into `answer`, and prints them where `is_told`.

    Where `is_estimated`, the tasks that feed fan-outs are called, and each fan-out is tried on a
    few slices; else none of the flow's functions is called.

    Raises
    ------
    BindError
        Inputs are missing or not asked for.
    PlanError
        A dataset that is known can't be planned.
    """
    from taskinity_data.flow.stages import FanOut, stages

    steps = stages(flow, inputs)
    answer["flow"] = flow.name
    answer["stages"] = []
    for number, stage in enumerate(steps, 1):
        text = _tell(stage)
        entry: dict[str, Any] = {"name": stage.name, "text": text}
        answer["stages"].append(entry)
        if is_told:
            click.echo(f"{number}. {text}")
        if isinstance(stage, FanOut):
            feeds = Feeds(steps, inputs) if is_estimated else None
            plan = _plan_of(stage, inputs, options, feeds)
            entry["plan"] = None if plan is None else describe_plan(plan)
            told = [repr(plan) if plan is not None else _why_unknown(stage.over)]
            if plan is not None and feeds is not None and stage.width == "*":
                forecast = _estimate(stage, steps, feeds, plan, options)
                entry["forecast"] = describe_forecast(forecast)
                entry["called"] = feeds.called
                called = f"Called for that: {', '.join(feeds.called)}"
                told += [repr(forecast), *([called] if feeds.called else [])]
            if is_told:
                lines = "\n".join(told).splitlines()
                click.echo("\n".join(f"   {line}" for line in lines))


class Feeds:
    """The values that a fan-out needs, made by calling the tasks that they come from.

    Attributes
    ----------
    called : list of str
        The tasks that were called.
    """

    def __init__(self, steps: Sequence[Stage], inputs: Mapping[str, Any]) -> None:
        self.inputs = inputs
        self.values: dict[str, Any] = {}
        self.called: list[str] = []
        self._steps = {stage.name: stage for stage in steps}

    def get(self, source: Source) -> Any:
        """The value behind `source`.

        Raises
        ------
        PlanError
            It comes from a fan-out, which only a run can do.
        """
        from taskinity_data.flow.stages import Call, Constant, Input

        if isinstance(source, Constant):
            return source.value
        if isinstance(source, Input):
            return self.inputs[source.name]
        if source.task not in self.values:
            stage = self._steps.get(source.task)
            if not isinstance(stage, Call):
                raise PlanError(f"{source.task} fans out, or needs what does: only a run can tell")
            given = {name: self.get(one) for name, one in stage.arguments.items()}
            self.values[source.task] = stage.call(given)
            self.called.append(source.task)
        return self.values[source.task]


def _estimate(
    stage: FanOut,
    steps: Sequence[Stage],
    feeds: Feeds,
    plan: ChunkPlan,
    options: Mapping[str, Any],
) -> Forecast:
    from taskinity_data.flow.stages import Upstream
    from taskinity_data.forecast.estimate import estimate_job, make_job

    for step in (step for chain in stage.chains for step in chain):
        for source in step.arguments.values():
            if isinstance(source, Upstream):
                feeds.get(source)
    chosen = {name: options[name] for name in ("workers", "memory") if name in options}
    job = make_job(stage, steps, feeds.values, feeds.inputs)
    return estimate_job(plan, job, **chosen)


def describe_forecast(forecast: Forecast) -> dict[str, Any]:
    """A forecast as plain data: seconds and bytes, each range as [low, high]."""
    return {
        "seconds": list(forecast.seconds),
        "memory_nbytes": list(forecast.memory_nbytes),
        "output_nbytes": list(forecast.output_nbytes),
        "chunk_nbytes": forecast.chunk_nbytes,
        "chunk_reason": forecast.chunk_reason,
        "workers": forecast.workers,
        "scheduler": forecast.scheduler,
        "work_s": forecast.work._asdict(),
        "bottleneck": forecast.bottleneck,
        "more_workers": forecast.more_workers,
        "tried": forecast.tried,
    }


def describe_plan(plan: ChunkPlan, *, with_chunks: bool = False) -> dict[str, Any]:
    """A plan as plain data; with each chunk's place where asked for."""
    found: dict[str, Any] = {
        "chunks": len(plan),
        "files": len(plan.files),
        "nbytes": plan.nbytes,
        "rows": plan.rows,
        "target_nbytes": plan.target_nbytes,
        "reason": plan.reason,
    }
    if with_chunks:
        found["chunk_list"] = [
            {
                "index": chunk.index,
                "key": chunk.key,
                "path": chunk.path,
                "start": chunk.start,
                "stop": chunk.stop,
                "rows": chunk.rows,
                "nbytes": chunk.nbytes,
            }
            for chunk in plan
        ]
    return found


def _tell(stage: Stage) -> str:
    from taskinity_data.flow.stages import Call, FanOut

    if isinstance(stage, Call):
        return f"{stage.name}: runs once"
    if isinstance(stage, FanOut):
        over = _name_of(stage.over)
        if stage.members:
            # One after another is what a chain's tasks are, and not the siblings.
            names = f"{stage.name} ({stage.members[0]} to {stage.members[-1]})"
        else:
            names = " then ".join(task.name for task in stage.tasks) or "the rows themselves"
        if stage.width == "*":
            return f"{names}: once a chunk or item of {over}, side by side"
        return f"{names}: {stage.width} times, each over one of {stage.width} slices of {over}"
    how = "combines partials, in chunk order" if stage.is_reducer else "gets the list of results"
    return f"{stage.name}: {how} of {stage.over}"


def _name_of(source: Source) -> str:
    from taskinity_data.flow.stages import Input, Upstream

    if isinstance(source, Upstream):
        return f"what {source.task} returns"
    return f"input {source.name}" if isinstance(source, Input) else "a constant"


def _why_unknown(source: Source) -> str:
    from taskinity_data.flow.stages import Upstream

    if isinstance(source, Upstream):
        return f"Its chunks are known once {source.task} has run; `plan SOURCE` shows a dataset's."
    return "Its chunks are known once it runs."


def _plan_of(
    stage: FanOut, inputs: Mapping[str, str], options: Mapping[str, Any], feeds: Feeds | None
) -> ChunkPlan | None:
    """The plan where what is fanned out over is known, else None."""
    from taskinity_data.flow.stages import Input

    if feeds is not None:
        source = feeds.get(stage.over)
    elif isinstance(stage.over, Input) and stage.over.name in inputs:
        source = inputs[stage.over.name]
    else:
        return None
    from taskinity_data.chunks.dataset import Dataset, open_dataset
    from taskinity_data.chunks.plan import ChunkPlan

    dataset = source if isinstance(source, Dataset) else open_dataset(source)
    if stage.width != "*":
        reason = f"exactly {stage.width} slices, as the flow asks for"
        return ChunkPlan(dataset.divide(stage.width), dataset.extents, None, reason, is_given=True)
    chosen = {
        name: options[name] for name in ("workers", "memory", "chunk_size") if name in options
    }
    return dataset.plan(**chosen)
