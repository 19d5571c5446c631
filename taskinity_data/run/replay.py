"""Runs the functions of one piece of a fan-out here and now, with nothing caught."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.chunk import Chunk
from taskinity_data.errors import ResumeError
from taskinity_data.execution.jobs import call_job, chunk_job, resolve
from taskinity_data.execution.open_fan_out import find_item
from taskinity_data.execution.worker.run_item import call_step
from taskinity_data.flow.stages import Call, FanOutStage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskinity_data.flow.stages import Stage

__all__ = ["run_piece"]


def run_piece(
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    values: Mapping[str, Any],
    name: str,
    ranges: Sequence[str],
    key: str,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Return what the functions of the fan-out `name` return for the item `key`.

    Parameters
    ----------
    steps : sequence of Stage
    inputs, values : mapping
        The flow's inputs, and the results of tasks that are known already.
    name : str
        As the driver calls the fan-out.
    ranges : sequence of str
        Where the chunk lies; empty where the item is none.
    key : str
    storage_options : mapping or None
        Of a URL that is opened here, and not by a function.

    Raises
    ------
    ResumeError
        The fan-out is not there, or needs the results of another one.
    """
    results = dict(values)
    for stage in steps:
        if isinstance(stage, FanOutStage) and stage.name == name:
            over = resolve(stage.over, results, inputs)
            item = find_item(stage, over, ranges, key, storage_options)
            job = chunk_job(stage, results, inputs, [], keeps_result=True)
            chain = job.chain(item.position)
            data = item.data
            if isinstance(data, Chunk) and (not chain or chain[0].kind != "chunk"):
                data = data.load(chain[0].kind if chain else job.kind).data
            for step in chain:
                data = call_step(step, data)
            return data
        if isinstance(stage, Call) and all(need in results for need in stage.after):
            (step,) = call_job(stage, results, inputs).chains[0]
            results[stage.name] = step.function(*step.leading, **step.arguments)
    raise ResumeError(
        f"{name} takes what another fan-out or a later task gives, so that it can't be run alone; "
        "make the call again with only= and the chunk's range"
    )
