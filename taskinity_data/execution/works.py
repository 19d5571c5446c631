"""What a driver is given: one thing to do for each stage of a flow, and what each waits for.

It knows nothing of when they are done, or by whom.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from taskinity_data.chunks.streams import is_stream
from taskinity_data.execution.jobs import call_job, chunk_job, consumers, reducers_of, resolve
from taskinity_data.execution.pieces import as_dataset, open_fan_out
from taskinity_data.execution.work import Work
from taskinity_data.flow.stages import Call, FanOut, Reduce, Stage, Upstream
from taskinity_data.redact import add_secrets, known_secrets, secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.dataset import Dataset
    from taskinity_data.execution import fan_out as opened
    from taskinity_data.execution.choose import Chooser
    from taskinity_data.execution.pieces import PieceOptions
    from taskinity_data.execution.process import Writer

__all__ = ["Output", "make_works", "only_kernels"]


class Output(Protocol):
    """Where the results of a fan-out go."""

    @property
    def writer(self) -> Writer:
        """What workers write with."""

    def choose(self, dataset: Dataset) -> Dataset:
        """Return `dataset` with those of its files alone that are to be written."""

    def refuse_unlisted(self, what: str) -> None:
        """Raise `PlanError` where files alone can be taken, and `what` has none."""

    def check_sources(self, paths: Sequence[str]) -> None:
        """Raise `PlanError` where what is read is also what is written."""


def make_works(
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    options: PieceOptions,
    chooser: Chooser,
    outputs: Mapping[str, Output] | None = None,
    check: Callable[[opened.FanOut], None] | None = None,
) -> list[Work]:
    """A work for each of `steps`, in their order; `outputs` get the results of fan-outs by name.

    `check` sees each fan-out before it begins.
    """
    outputs = outputs or {}
    fan_outs = {stage.name for stage in steps if isinstance(stage, FanOut)}
    works = []
    for stage in steps:
        if isinstance(stage, FanOut):
            output = outputs.get(stage.name)
            works.append(_fan_out_work(stage, steps, inputs, options, chooser, output, check))
        elif isinstance(stage, Reduce) and stage.is_reducer:
            number = [one.name for one in reducers_of(stage.over, steps)].index(stage.name)
            works.append(Work(stage.name, (stage.over,), finish=(stage.over, number)))
        else:
            works.append(_call_work(stage, inputs, fan_outs, options))
    return works


def _call_work(
    stage: Call | Reduce, inputs: Mapping[str, Any], fan_outs: set[str], options: PieceOptions
) -> Work:
    takes_list = any(
        isinstance(source, Upstream) and source.task in fan_outs
        for source in stage.arguments.values()
    )
    return Work(
        stage.name,
        stage.after,
        job=lambda values: replace(
            call_job(stage, values, inputs), log_level=options.log_level, secrets=known_secrets()
        ),
        is_local=takes_list,
    )


def _fan_out_work(
    stage: FanOut,
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    options: PieceOptions,
    chooser: Chooser,
    output: Output | None,
    check: Callable[[opened.FanOut], None] | None,
) -> Work:
    reducers = [one.task.function for one in reducers_of(stage.name, steps)]
    takers = consumers(stage.name, steps)
    # What is written need not come here as well, unless a task asks for it.
    keeps_result = bool(takers) or not (reducers or output)

    def open_(values: Mapping[str, Any], strategy: Any) -> Any:
        job = chunk_job(stage, values, inputs, reducers, keeps_result)
        value = resolve(stage.over, values, inputs)
        # A task may have opened it, with options of its own.
        add_secrets(secrets_in(value))
        job = replace(job, log_level=options.log_level, secrets=known_secrets())
        if output is not None:
            # One kind for all chunks: which of them "native" means differs from chunk to chunk.
            kind = "arrow" if job.kind == "native" else job.kind
            job = replace(job, writer=output.writer, kind=kind)
            value = _choose(output, value, options)
        fan_out = open_fan_out(stage, job, value, options, strategy)
        paths = [extent.path for extent in fan_out.extents]
        # A file of a store is opened by each worker for itself.
        seen = [one.file.local for one in fan_out.extents if one.failure is None]
        chooser.check_files([path for path in seen if path is not None])
        if output is not None:
            output.check_sources(paths)
        if check is not None:
            check(fan_out)
        return fan_out

    return Work(stage.name, stage.after, open=open_)


def _choose(output: Output, value: Any, options: PieceOptions) -> Any:
    """What is fanned out of `value`: of a dataset those files that `output` takes."""
    if is_stream(value):
        output.refuse_unlisted("an iterator of frames")
        return value
    dataset = as_dataset(value, options.storage_options)
    if dataset is not None:
        return output.choose(dataset)
    output.refuse_unlisted(f"a {type(value).__name__} of items")
    return value


def only_kernels(steps: Sequence[Stage]) -> bool:
    """Whether built-in reducers alone run, in kernels that release Python's lock."""
    return all(
        not any(stage.chains)
        if isinstance(stage, FanOut)
        else isinstance(stage, Reduce) and bool(getattr(stage.task.function, "releases_gil", False))
        for stage in steps
    )
