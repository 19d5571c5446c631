"""Define the mark that ``@td.task`` leaves on a function, and the name of a function."""

from __future__ import annotations

import functools
import inspect
from typing import Any, NamedTuple

from taskinity_data.policy import Policy

__all__ = ["MARK", "Mark", "is_reducer", "mark_of", "name_of", "refuse_function", "without_mark"]

MARK = "__taskinity_task__"


class Mark(NamedTuple):
    """A task's name in a flow, its description and its policy; None where not given."""

    name: str | None = None
    description: str | None = None
    policy: Policy = Policy()


def mark_of(function: Any) -> Mark | None:
    """Return the mark of a function that went through ``@td.task``, else None."""
    mark = getattr(function, MARK, None)
    return mark if isinstance(mark, Mark) else None


def is_reducer(function: Any) -> bool:
    """Return whether `function` is a reducer: an object, not the class of one."""
    return not isinstance(function, type) and getattr(function, "is_reducer", False) is True


def without_mark(function: Any) -> Any:
    """Return what runs: the reducer itself if ``td.task(reducer)`` made a task of it."""
    is_named = is_reducer(function) and mark_of(function) is not None
    return function.reducer if is_named else function


def name_of(function: Any) -> str | None:
    """Return the name of `function`: that of its mark, its own, or that of its class.

    A lambda and a reducer have none; a ``functools.partial`` has that of its function.
    """
    mark = mark_of(function)
    if mark is not None and mark.name is not None:
        return mark.name
    if isinstance(function, functools.partial):
        return name_of(function.func)
    if is_reducer(function):
        return None
    name = getattr(function, "__name__", None)
    if name is None and callable(function):
        name = type(function).__name__
    return None if name == "<lambda>" else name


def refuse_function(function: Any) -> str | None:
    """Return why `function` can't be a task, as text; None if it can."""
    if is_reducer(function):
        return None
    if not callable(function):
        return f"{_shorten(function)} is not callable"
    plain = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    plain = inspect.unwrap(plain)
    called = plain if inspect.isroutine(plain) else vars(type(plain)).get("__call__", plain)
    for function_ in (plain, called):
        if inspect.iscoroutinefunction(function_) or inspect.isasyncgenfunction(function_):
            return "it is an async function; a worker calls plain ones (asyncio.run within it)"
        if inspect.isgeneratorfunction(function_):
            return "it is a generator; return a list, or one frame, instead of yielding"
    return None


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
