"""Turn the stages of a flow into what a driver does: jobs, and what each waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from taskinity_data.errors import PlanError
from taskinity_data.execution.open_fan_out import as_dataset, open_fan_out
from taskinity_data.execution.worker.job import Job, Step
from taskinity_data.flow.binding.match_arguments import Constant, Input
from taskinity_data.flow.stages import (
    Call,
    ChainStep,
    FanOutStage,
    Reduce,
    Stage,
    Upstream,
    list_sources,
    resources_of,
)
from taskinity_data.formats.stream import is_stream
from taskinity_data.policy import Policy, Value
from taskinity_data.redact import add_secrets, known_secrets, secrets_in
from taskinity_data.sources.read import local_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskinity_data.chunks.open_dataset import Dataset
    from taskinity_data.execution import fan_out as opened
    from taskinity_data.execution.choose_scheduler import SchedulerChoice
    from taskinity_data.execution.fan_out import RunningFanOut
    from taskinity_data.execution.open_fan_out import PieceOptions
    from taskinity_data.execution.schedulers.base import Strategy
    from taskinity_data.execution.worker.job import ResultWriter
    from taskinity_data.flow.binding.match_arguments import Source

__all__ = [
    "OutputTarget",
    "Work",
    "call_job",
    "chunk_job",
    "is_taken",
    "make_works",
    "only_kernels",
    "policies",
    "reducers_of",
    "resolve",
]


def resolve(source: Source, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """Return the value behind `source`."""
    if isinstance(source, Constant):
        return source.value
    return inputs[source.name] if isinstance(source, Input) else values[source.task]


def call_job(stage: Call, values: Mapping[str, Any], inputs: Mapping[str, Any]) -> Job:
    """Return the job of a task that runs once."""
    step = _make_step(stage, values, inputs)
    return Job(stage.name, ((step,),), resources=resources_of(stage))


def chunk_job(
    stage: FanOutStage,
    values: Mapping[str, Any],
    inputs: Mapping[str, Any],
    reducers: Sequence[Any],
    keeps_result: bool,
) -> Job:
    """Return the job that is done to each piece of a fan-out."""
    chains = tuple(
        tuple(_make_step(step, values, inputs) for step in chain) for chain in stage.chains
    )
    input_kinds = {reducer.wants for reducer in reducers}
    # What takes Arrow takes frames too: the reader may choose.
    kind = "native" if input_kinds == {"arrow"} else "pandas"
    wants = resources_of(stage)
    return Job(stage.name, chains, kind, tuple(reducers), keeps_result, resources=wants)


def _make_step(
    step: ChainStep | Call, values: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Step:
    """Return what a worker calls for `step`, with the values of its arguments."""
    arguments = {name: resolve(source, values, inputs) for name, source in step.arguments.items()}
    policy = step.task.policy
    fallback: Step | Value | None = None
    if step.fallback is not None:
        fallback = _make_step(step.fallback, values, inputs)
    elif isinstance(policy.on_error, Value):
        fallback = policy.on_error
    chained = step if isinstance(step, ChainStep) else None
    positional = () if isinstance(step, ChainStep) else step.positional
    return Step(
        task=step.task.name,
        function=_function(step.task.function),
        kind="pandas" if chained is None else chained.kind,
        takes_piece=chained is not None,
        leading=tuple(arguments.pop(name) for name in positional),
        arguments=arguments,
        fallback=fallback,
        validate_input=policy.validate_input,
        validate_output=policy.validate_output,
        timeout_s=policy.timeout_s,
    )


def _function(function: Any) -> Any:
    # A reducer in place of a plain function reduces what it is given.
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
    """Return the stages that reduce the fan-out `name` by a reducer, in the flow's order."""
    return [stage for stage in all_stages if isinstance(stage, Reduce) and stage.over == name]


def is_taken(name: str, all_stages: Sequence[Stage]) -> bool:
    """Return whether a stage takes the results of `name` themselves, not their partials."""
    result = Upstream(name)
    return any(
        result in list_sources(stage) or (isinstance(stage, FanOutStage) and stage.over == result)
        for stage in all_stages
    )


def policies(all_stages: Sequence[Stage]) -> dict[str, Policy]:
    """Return the policy of each task, and of each fan-out by its own name."""
    by_name: dict[str, Policy] = {}
    for stage in all_stages:
        if isinstance(stage, FanOutStage):
            by_name |= {task.name: task.policy for task in stage.tasks}
            by_name.setdefault(stage.name, stage.tasks[0].policy if stage.tasks else stage.policy)
        else:
            by_name[stage.name] = stage.task.policy
    return by_name


class Work(NamedTuple):
    """One thing that the driver can do as soon as `needs` have their values.

    Exactly one of `open` (a fan-out), `job` (a plain task) and `finish` (a reducer's last step, or
    a plain aggregate's inputs) is what it is made of.
    """

    name: str
    needs: tuple[str, ...]
    open: Callable[[Mapping[str, Any], Strategy], RunningFanOut] | None = None
    job: Callable[[Mapping[str, Any]], Job] | None = None
    finish: tuple[str, int] | None = None
    is_local: bool = False


class OutputTarget(Protocol):
    """Where the results of a fan-out go."""

    @property
    def writer(self) -> ResultWriter:
        """What workers write with."""

    def choose(self, dataset: Dataset) -> Dataset:
        """Return `dataset` with those of its files alone that are to be written."""

    def refuse_unlisted(self, subject: str) -> None:
        """Raise `PlanError` if files alone can be taken, and `subject` has none."""

    def check_sources(self, paths: Sequence[str]) -> None:
        """Raise `PlanError` if what is read is also what is written."""


def make_works(
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    options: PieceOptions,
    chooser: SchedulerChoice,
    outputs: Mapping[str, OutputTarget] | None = None,
    check: Callable[[opened.RunningFanOut], None] | None = None,
) -> list[Work]:
    """Return a work for each of `steps`, in their order.

    `outputs` get the results of fan-outs by name, `check` sees each fan-out before it begins.
    """
    if options.backups and not any(
        isinstance(stage, FanOutStage) and _is_pure(stage) for stage in steps
    ):
        raise PlanError(
            "backups=True may run a function twice on a chunk, so it must have no side effects: "
            "mark it with @td.task(pure=True) or process(..., pure=True)"
        )
    outputs = outputs or {}
    fan_outs = {stage.name for stage in steps if isinstance(stage, FanOutStage)}
    works = []
    for stage in steps:
        if isinstance(stage, FanOutStage):
            output = outputs.get(stage.name)
            works.append(_fan_out_work(stage, steps, inputs, options, chooser, output, check))
        elif isinstance(stage, Reduce):
            number = reducers_of(stage.over, steps).index(stage)
            works.append(Work(stage.name, (stage.over,), finish=(stage.over, number)))
        else:
            works.append(_call_work(stage, inputs, fan_outs, options))
    return works


def _call_work(
    stage: Call, inputs: Mapping[str, Any], fan_outs: set[str], options: PieceOptions
) -> Work:
    takes_list = any(
        isinstance(source, Upstream) and source.task in fan_outs for source in list_sources(stage)
    )
    return Work(
        stage.name,
        stage.after,
        job=lambda values: replace(
            call_job(stage, values, inputs),
            log_level=options.log_level,
            secrets=known_secrets(),
            session_id=options.session_id,
        ),
        is_local=takes_list,
    )


def _fan_out_work(
    stage: FanOutStage,
    steps: Sequence[Stage],
    inputs: Mapping[str, Any],
    options: PieceOptions,
    chooser: SchedulerChoice,
    output: OutputTarget | None,
    check: Callable[[opened.RunningFanOut], None] | None,
) -> Work:
    reducers = [reduction.task.function for reduction in reducers_of(stage.name, steps)]
    # What is written need not come here as well, unless a task asks for it.
    keeps_result = is_taken(stage.name, steps) or not (reducers or output)

    def open_(values: Mapping[str, Any], strategy: Any) -> Any:
        job = chunk_job(stage, values, inputs, reducers, keeps_result)
        value = resolve(stage.over, values, inputs)
        # A task may have opened it, with options of its own.
        add_secrets(secrets_in(value))
        job = replace(
            job,
            log_level=options.log_level,
            secrets=known_secrets(),
            session_id=options.session_id,
            has_backups=options.backups and _is_pure(stage),
        )
        if output is not None:
            # One kind for all chunks: which of them "native" means differs from chunk to chunk.
            kind = "arrow" if job.kind == "native" else job.kind
            job = replace(job, writer=output.writer, kind=kind)
            value = _choose(output, value, options)
        fan_out = open_fan_out(stage, job, value, options, strategy)
        paths = [extent.path for extent in fan_out.extents]
        # A file of a store is opened by each worker for itself.
        local_paths = [
            local_path(extent.file) for extent in fan_out.extents if extent.failure is None
        ]
        chooser.check_files([path for path in local_paths if path is not None])
        if output is not None:
            output.check_sources(paths)
        if check is not None:
            check(fan_out)
        return fan_out

    return Work(stage.name, stage.after, open=open_)


def _is_pure(stage: FanOutStage) -> bool:
    return all(step.task.policy.pure for chain in stage.chains for step in chain)


def _choose(output: OutputTarget, value: Any, options: PieceOptions) -> Any:
    """Return what is fanned out of `value`: of a dataset those files that `output` takes."""
    if is_stream(value):
        output.refuse_unlisted("an iterator of frames")
        return value
    dataset = as_dataset(value, options.storage_options)
    if dataset is not None:
        return output.choose(dataset)
    output.refuse_unlisted(f"a {type(value).__name__} of items")
    return value


def only_kernels(steps: Sequence[Stage]) -> bool:
    """Return whether built-in reducers alone run, in kernels that release Python's lock."""
    return all(
        not any(stage.chains)
        if isinstance(stage, FanOutStage)
        else isinstance(stage, Reduce) and bool(getattr(stage.task.function, "releases_gil", False))
        for stage in steps
    )
