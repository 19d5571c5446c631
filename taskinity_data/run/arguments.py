"""What `run_flow` and `process` are called with: the keywords, whose they are, and the flow."""

from __future__ import annotations

from dataclasses import fields
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from taskinity_data.chunks.open_dataset import DatasetKeywords
from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.errors import BindError, PlanError
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.keywords import KEYWORDS, TaskKeywords, default_keywords
from taskinity_data.flow.stages import FanOutStage, Stage
from taskinity_data.formats.csv.label_options import SIGNATURE
from taskinity_data.run.options import RunOptions
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "ProcessKeywords",
    "check_flow",
    "explain_input",
    "show_keywords",
    "sort_options",
    "sort_plans",
]


class RunKeywords(TypedDict, total=False):
    """The fields of `RunOptions`: a type checker takes no keywords from a dataclass."""

    workers: int | None
    memory: str | int | None
    scheduler: Any
    wait_for_workers: str | float | None
    priority: int
    backups: bool
    chunk_size: str | int
    max_failures: int | str | None
    run_timeout: str | float | None
    plan: ChunkPlan | Mapping[str, ChunkPlan] | None
    check: bool
    output: str | os.PathLike[str] | None
    output_format: str
    partition_by: str | Sequence[str]
    if_exists: str
    only_new: bool
    allow_repeated: bool
    max_rows_per_file: int | None
    output_compression: str | None
    storage_options: Mapping[str, Any] | None
    resume: bool | str | None
    run_dir: str | os.PathLike[str] | None
    progress: bool | None
    observers: Sequence[Any]


class ProcessKeywords(TaskKeywords, DatasetKeywords, RunKeywords, total=False):
    """The options of `process`."""


def show_keywords(function: F) -> F:
    """Give `function` a signature that shows the options of `process` instead of ``**options``.

    Editors take them from the annotation; `help` and notebooks take them from here.
    """
    shown = signature(function)
    defaults = default_keywords() | SIGNATURE
    defaults |= {parameter.name: parameter.default for parameter in fields(RunOptions)}
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=kind)
        for name, kind in ProcessKeywords.__annotations__.items()
    ]
    named = [
        parameter
        for parameter in shown.parameters.values()
        if parameter.kind is not Parameter.VAR_KEYWORD
    ]
    function.__signature__ = shown.replace(parameters=[*named, *options])  # type: ignore[attr-defined]
    return function


def sort_options(
    options: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return `options` for the task, for the dataset and for the run.

    Raises
    ------
    BindError
        One that none of them has; the message names close ones.
    """
    names = (
        {*KEYWORDS, "name", "description"},
        # What pandas has and a dataset refuses is refused there, with the reason.
        {*DatasetKeywords.__annotations__, *SIGNATURE},
        {option.name for option in fields(RunOptions)},
    )
    sorted_: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    for name, value in options.items():
        # A size of chunks and the options of stores are the run's, which passes them on.
        owner = next((number for number in (2, 0, 1) if name in names[number]), None)
        if owner is None or name == "chunksize":
            all_names = set.union(*names, {"source", "function", "reduce"}) - {name}
            raise BindError(f"process() has no option {name!r}.{suggest(name, all_names)}")
        sorted_[owner][name] = value
    return sorted_


def explain_input(name: str) -> str:
    """Return a hint at the option that `name`, which is no input of a flow, may be."""
    if name in KEYWORDS:
        return " It is an option of tasks: set it in the flow's text, or with @td.task."
    if name in {*DatasetKeywords.__annotations__, *SIGNATURE}:
        return " It is an option of td.open_dataset: set it where a task opens the data."
    return suggest(name, [option.name for option in fields(RunOptions)])


def check_flow(flow: Any) -> Flow:
    """Return `flow` itself, if it is one and every task has its function."""
    if not isinstance(flow, Flow):
        raise BindError(
            f"run_flow runs a Flow, not {type(flow).__name__}: parse_flow(text).bind(tasks), or a "
            "function marked @td.flow"
        )
    if not flow.is_bound:
        missing = [task.name for task in flow.tasks if task.function is None]
        raise BindError(
            f"flow {flow.name}: no function for {', '.join(missing)}; bind them: flow.bind(tasks)"
        )
    return flow


def sort_plans(
    steps: Sequence[Stage], plan: ChunkPlan | Mapping[str, ChunkPlan] | None
) -> tuple[tuple[str, ChunkPlan], ...]:
    """Return which plan each fan-out repeats."""
    names = [stage.name for stage in steps if isinstance(stage, FanOutStage)]
    if plan is None:
        return ()
    if isinstance(plan, ChunkPlan):
        if len(names) != 1:
            raise PlanError(
                f"plan= holds one plan, but the flow fans out {len(names)} times "
                f"({', '.join(names) or 'never'}): give a dict of plans by these names"
            )
        return ((names[0], plan),)
    for name in plan:
        if name not in names:
            raise PlanError(f"plan= names {name!r}, which is not a fan-out.{suggest(name, names)}")
    return tuple(plan.items())
