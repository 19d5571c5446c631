"""What a flow would do: its stages, and the chunks of those datasets that are known before it runs.

It calls none of the flow's functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.chunks.plan import ChunkPlan
    from taskinity_data.cli.output import Answer
    from taskinity_data.flow.model import Flow
    from taskinity_data.flow.stages import FanOut, Source, Stage

__all__ = ["describe_plan", "preview"]


def preview(
    flow: Flow,
    inputs: Mapping[str, str],
    options: Mapping[str, Any],
    answer: Answer,
    *,
    is_told: bool,
) -> None:
    """Puts stages and known plans into `answer`, and prints them where `is_told`.

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
            plan = _plan_of(stage, inputs, options)
            entry["plan"] = None if plan is None else describe_plan(plan)
            if is_told:
                known = repr(plan) if plan is not None else _why_unknown(stage.over)
                click.echo("\n".join(f"   {line}" for line in known.splitlines()))


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
    stage: FanOut, inputs: Mapping[str, str], options: Mapping[str, Any]
) -> ChunkPlan | None:
    """The plan where what is fanned out over is an input, else None."""
    from taskinity_data.flow.stages import Input

    if not isinstance(stage.over, Input) or stage.over.name not in inputs:
        return None
    from taskinity_data.chunks.dataset import open_dataset
    from taskinity_data.chunks.plan import ChunkPlan

    source = inputs[stage.over.name]
    dataset = open_dataset(source)
    if stage.width != "*":
        reason = f"exactly {stage.width} slices, as the flow asks for"
        return ChunkPlan(dataset.divide(stage.width), dataset.extents, None, reason)
    chosen = {
        name: options[name] for name in ("workers", "memory", "chunk_size") if name in options
    }
    return dataset.plan(**chosen)
