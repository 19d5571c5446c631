"""Bind functions to tasks by name, and report everything that does not fit together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from taskinity_data.errors import BindError
from taskinity_data.flow.binding.signatures import (
    is_reducer,
    mark_of,
    name_of,
    refuse_function,
    without_mark,
)
from taskinity_data.flow.binding.wiring import Wiring
from taskinity_data.flow.keywords import merge_policies
from taskinity_data.flow.model import find_nodes
from taskinity_data.flow.naming import to_snake
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from taskinity_data.flow.model import FlowGraph, Task

__all__ = ["bind", "raise_problems"]


class _Offer(NamedTuple):
    """A function that was handed over, and as what."""

    key: str
    label: str
    function: Any


GraphT = TypeVar("GraphT", bound="FlowGraph")


def bind(flow: GraphT, tasks: Any) -> GraphT:
    """Return `flow` with the functions of `tasks`; see `Flow.bind`."""
    problems: list[str] = []
    offers = _gather(flow, tasks, problems)
    bound: dict[str, Any] = {}
    used: set[str] = set()
    groups = {node.name: node.tasks for node in find_nodes(flow) if node.is_siblings}
    siblings = {task.name for members in groups.values() for task in members}
    for base, members in groups.items():
        keys = [to_snake(member.name) for member in members]
        keys_of_task = [key for key in keys if key in offers]
        if to_snake(base) in offers:
            used |= {to_snake(base), *keys_of_task}
            bound |= {member.name: offers[to_snake(base)] for member in members}
            if keys_of_task:
                both = ", ".join(keys_of_task)
                problems.append(
                    f"{base}1 to {base}{len(members)} are one fan-out: bind either "
                    f"{to_snake(base)} or {keys[0]} to {keys[-1]}, not both ({both})"
                )
        else:
            used |= set(keys_of_task)
            bound |= {m.name: offers[k] for m, k in zip(members, keys, strict=True) if k in offers}
    for task in flow.tasks:
        key = to_snake(task.name)
        if task.name not in siblings and key in offers:
            used.add(key)
            bound[task.name] = offers[key]
    problems += _find_unbound(flow, groups, bound, offers, used)
    if not isinstance(tasks, ModuleType):
        names = [to_snake(name) for name in [*groups, *(task.name for task in flow.tasks)]]
        problems += [
            f"{offers[key].label} matches no task of the flow.{suggest(key, names)}"
            for key in offers
            if key not in used
        ]
    result = replace(
        flow, tasks=tuple(_bind_task(task, bound.get(task.name), problems) for task in flow.tasks)
    )
    problems += Wiring(result, inputs=None).problems
    raise_problems(flow, problems)
    return result


def raise_problems(flow: FlowGraph, problems: list[str]) -> None:
    """Raise all `problems`, each once, as one error.

    Raises
    ------
    BindError
        There is at least one; `.problems` holds them.
    """
    unique = tuple(dict.fromkeys(problems))
    if len(unique) == 1:
        raise BindError(f"flow {flow.name}: {unique[0]}", problems=unique)
    if unique:
        lines = "\n".join(f"- {line}" for line in unique)
        raise BindError(
            f"flow {flow.name} and its functions don't fit, for {len(unique)} reasons:\n{lines}",
            problems=unique,
        )


def _gather(flow: FlowGraph, tasks: Any, problems: list[str]) -> dict[str, _Offer]:
    """Return the functions that were passed, by the names that they are bound to."""
    if isinstance(tasks, ModuleType):
        return _gather_module(flow, tasks, problems)
    offers: list[_Offer] = []
    if isinstance(tasks, Mapping):
        for name, function in tasks.items():
            if isinstance(name, str):
                offers.append(_Offer(to_snake(name), f"the function for {name!r}", function))
            else:
                problems.append(
                    f"{name!r} is not a name for a task: the keys of the dict are texts"
                )
    elif isinstance(tasks, (list, tuple)):
        for index, function in enumerate(tasks, start=1):
            name = name_of(function)
            if refused := refuse_function(function) if name is None else None:
                problems.append(f"item {index} of the list: {refused}")
            elif name is None:
                kind = "a reducer" if is_reducer(function) else "a lambda"
                problems.append(
                    f"item {index} of the list is {kind}, which has no name: hand over a dict such "
                    "as {'process_chunk': ...}"
                )
            else:
                offers.append(_Offer(to_snake(name), f"function {name}", function))
    else:
        problems.append(
            f"tasks come as a module, a dict by name or a list of functions, not as "
            f"{type(tasks).__name__}"
        )
    gathered: dict[str, _Offer] = {}
    for offer in offers:
        other = gathered.setdefault(offer.key, offer)
        if other.function is not offer.function:
            problems.append(f"two functions are handed over for {offer.key}")
    return gathered


def _gather_module(flow: FlowGraph, module: ModuleType, problems: list[str]) -> dict[str, _Offer]:
    names = {to_snake(task.name) for task in flow.tasks}
    names |= {to_snake(node.name) for node in find_nodes(flow)}
    candidates: dict[str, list[Any]] = {}
    for attribute, value in vars(module).items():
        mark = mark_of(value)
        key = to_snake(mark.name if mark and mark.name else attribute)
        is_exact = attribute == key and key in names
        is_task = callable(value) or is_reducer(value)
        if not attribute.startswith("__") and (is_exact or is_task):
            candidates.setdefault(key, []).append(value)
    gathered = {}
    for key, values in candidates.items():
        functions = [value for value in values if not isinstance(value, type)] or values
        if key in names and any(value is not functions[0] for value in functions):
            problems.append(f"module {module.__name__} has two functions for {key}")
        gathered[key] = _Offer(key, f"{module.__name__}.{key}", functions[0])
    return gathered


def _find_unbound(
    flow: FlowGraph,
    groups: dict[str, tuple[Task, ...]],
    bound: dict[str, Any],
    offers: dict[str, _Offer],
    used: set[str],
) -> list[str]:
    free = [key for key in offers if key not in used]
    missing = [task for task in flow.tasks if task.name not in bound and task.function is None]
    problems = []
    for base, members in groups.items():
        if all(member in missing for member in members):
            missing = [task for task in missing if task not in members]
            key = to_snake(base)
            problems.append(
                f"tasks {members[0].name} to {members[-1].name} have no function: expected {key} "
                f"for all, or {to_snake(members[0].name)} to {to_snake(members[-1].name)}."
                f"{suggest(key, free)}"
            )
    for task in missing:
        key = to_snake(task.name)
        problems.append(
            f"task {task.name} has no function: expected one called {key}.{suggest(key, free)}"
        )
    return problems


def _bind_task(task: Task, offer: _Offer | None, problems: list[str]) -> Task:
    if offer is None:
        return task
    refused = refuse_function(offer.function)
    if refused:
        problems.append(f"task {task.name}: {offer.label}: {refused}")
        return task
    mark = mark_of(offer.function)
    function = without_mark(offer.function)
    if mark is None:
        return replace(task, function=function)
    return replace(
        task,
        function=function,
        policy=merge_policies(mark.policy, task.policy, task.stated),
        description=task.description if task.description is not None else mark.description,
    )
