"""The options of a run, checked before anything is started.

It knows nothing of what is done with them.
"""

from __future__ import annotations

from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from taskinity_data.chunks.plan import ChunkPlan
from taskinity_data.errors import BindError, PlanError, SettingsError
from taskinity_data.flow.model import Flow
from taskinity_data.flow.policies import POLICY_FIELDS
from taskinity_data.flow.stages import FanOutStage, Stage
from taskinity_data.policy import parse_nbytes
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = [
    "check_flow",
    "check_workers",
    "keywords_of",
    "parse_max_failures",
    "parse_memory",
    "sort_options",
    "sort_plans",
    "with_defaults",
]


def check_flow(flow: Any) -> Flow:
    """`flow` itself, if it is one and every task has its function."""
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


def with_defaults(flow: Flow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs given, and the flow's own values for the others."""
    defaults = {one.name: one.default for one in flow.inputs or () if not one.is_required}
    return {**defaults, **given}


_LEAST_NBYTES = 1 << 20


def parse_memory(memory: str | int | None) -> int | None:
    """Bytes that one worker may use, None where nothing is said.

    Raises
    ------
    SettingsError
        It is no size, or so small that only a slip can mean it.
    """
    nbytes = None if memory is None else parse_nbytes(memory)
    if nbytes is not None and nbytes < _LEAST_NBYTES:
        raise SettingsError(
            f"memory={memory!r}: a worker needs more than {nbytes:,} bytes, 1 MiB at least; write "
            "e.g. 2GiB"
        )
    return nbytes


def check_workers(workers: int | None) -> int | None:
    """`workers` itself, if it is None or a whole number from 1 up."""
    if workers is not None and (
        isinstance(workers, bool) or not isinstance(workers, int) or workers < 1
    ):
        raise SettingsError(f"workers={workers!r} is not a whole number from 1 up, e.g. workers=4")
    return workers


def parse_max_failures(value: int | str | None) -> float | None:
    """A count as an int, a share as a float from 0 to 1."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal():
            return int(text)
        try:
            share = float(text.removesuffix("%")) / 100 if text.endswith("%") else -1.0
        except ValueError:
            share = -1.0
        if 0 <= share <= 1:
            return share
    raise SettingsError(
        f"max_failures={value!r} is neither a count such as 10 nor a share such as '1%'"
    )


def sort_plans(
    steps: Sequence[Stage], plan: ChunkPlan | Mapping[str, ChunkPlan] | None
) -> tuple[tuple[str, ChunkPlan], ...]:
    """Which plan each fan-out repeats."""
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
            raise PlanError(f"plan= names {name!r}, which is no fan-out.{suggest(name, names)}")
    return tuple(plan.items())


def keywords_of(function: Callable[..., Any]) -> set[str]:
    """The names that `function` takes by keyword only."""
    found = signature(function).parameters.items()
    return {name for name, one in found if one.kind is Parameter.KEYWORD_ONLY}


def sort_options(
    options: Mapping[str, Any],
    run_names: Collection[str],
    dataset_names: Collection[str],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """`options` for the task, for the dataset and for the run.

    Raises
    ------
    BindError
        One that none of them has; close names are told.
    """
    task_names = {*POLICY_FIELDS, "name", "description"}
    sorted_: tuple[dict[str, Any], dict[str, Any], dict[str, Any]] = ({}, {}, {})
    for name, value in options.items():
        if name in run_names:
            sorted_[2][name] = value
        elif name in task_names:
            sorted_[0][name] = value
        elif name in dataset_names:
            sorted_[1][name] = value
        else:
            known = {*run_names, *task_names, *dataset_names}
            raise BindError(f"process() has no option {name!r}.{suggest(name, known)}")
    return sorted_
