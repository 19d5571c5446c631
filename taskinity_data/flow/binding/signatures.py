"""Read what a function declares: its mark of ``@td.task``, its name, parameters and chunk type.

Annotations that are texts are read, never evaluated, and no library is imported for them.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from typing import Any, NamedTuple

from taskinity_data.errors import BindError
from taskinity_data.policy import Policy

__all__ = [
    "MARK",
    "Mark",
    "Parameter",
    "find_kind",
    "is_reducer",
    "mark_of",
    "name_of",
    "read_parameters",
    "refuse_function",
    "without_mark",
]

_KINDS = {
    ("pandas", "DataFrame"): "pandas",
    ("pyarrow", "Table"): "arrow",
    ("polars", "DataFrame"): "polars",
    ("taskinity_data", "Chunk"): "chunk",
}
_ALIASES = {
    "pd": "pandas",
    "pa": "pyarrow",
    "pl": "polars",
    "td": "taskinity_data",
}
_BARE = {"Table": "pyarrow", "Chunk": "taskinity_data"}
"""Class names that say enough when a text gives no module. A bare DataFrame is pandas'."""

_LIBRARIES = frozenset({"pandas", "pyarrow", "polars", "taskinity_data", "dask", "modin"})


class Parameter(NamedTuple):
    """One parameter that can be filled.

    `is_positional`: only by position. `is_keyword`: only by name.
    """

    name: str
    is_optional: bool = False
    is_positional: bool = False
    is_keyword: bool = False
    annotation: Any = None


def read_parameters(function: Any) -> tuple[Parameter, ...]:
    """Return the parameters of `function` that can be filled, in order.

    ``*args`` counts as one parameter, filled by position, where nothing else can be; ``**kwargs``
    is never filled. A built-in that does not tell its parameters has one.

    Raises
    ------
    BindError
        The function hides its parameters in a way that can't be followed, or has ``**kwargs``
        alone.
    """
    try:
        signature = _read_signature(function)
    except ValueError:
        return (Parameter("value", is_positional=True),)
    except TypeError as error:
        raise BindError(f"its signature can't be read: {error}") from error
    parameters = [
        Parameter(
            parameter.name,
            is_optional=parameter.default is not parameter.empty,
            is_positional=parameter.kind is parameter.POSITIONAL_ONLY,
            is_keyword=parameter.kind is parameter.KEYWORD_ONLY,
            annotation=None if parameter.annotation is parameter.empty else parameter.annotation,
        )
        for parameter in signature.parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    rest = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is parameter.VAR_POSITIONAL
    ]
    if rest and all(parameter.is_keyword for parameter in parameters):
        parameters.insert(0, Parameter(rest[0].name, is_optional=True, is_positional=True))
    if not parameters and signature.parameters:
        (name,) = signature.parameters
        raise BindError(f"it takes **{name} alone, which nothing fills: name its parameters")
    return tuple(parameters)


def _read_signature(function: Any) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def find_kind(function: Any, parameter: Parameter) -> str:
    """Return the type in which `function` gets a piece of a dataset as `parameter`.

    Returns
    -------
    {"pandas", "arrow", "polars", "chunk"}
        ``"pandas"`` too where there is no annotation, or one that says nothing of tables (``dict``,
        ``int``): those are for items of a list, which go as they are.

    Raises
    ------
    BindError
        The annotation is a class of a data frame library that a chunk can't be read as.
    """
    annotation = parameter.annotation
    if annotation is None:
        return "pandas"
    forward = getattr(annotation, "__forward_arg__", None)
    if isinstance(annotation, str) or forward is not None:
        library, name = _read_annotation(str(forward or annotation), _globals_of(function))
    elif isinstance(annotation, type):
        library, name = annotation.__module__.partition(".")[0], annotation.__qualname__
    else:
        return "pandas"
    if (library, name) in _KINDS:
        return _KINDS[library, name]
    if library in _LIBRARIES:
        raise BindError(
            f"parameter {parameter.name!r} is annotated {library}.{name}, which a chunk can't be "
            "read as: write pandas.DataFrame, pyarrow.Table, polars.DataFrame or td.Chunk, or no "
            "annotation for items of a list"
        )
    return "pandas"


def _read_annotation(text: str, names: dict[str, Any]) -> tuple[str, str]:
    """Return the library and the class that the text of an annotation names, empty if none."""
    text = text.strip().strip("\"'")
    if not re.fullmatch(r"\w+(\.\w+)*", text):
        return "", text
    first, _, rest = text.partition(".")
    value = names.get(first)
    if isinstance(value, type) and not rest:
        return value.__module__.partition(".")[0], value.__qualname__
    if rest:
        module = getattr(value, "__name__", None) or _ALIASES.get(first, first)
        return module.partition(".")[0], rest.rpartition(".")[2]
    return ("pandas", text) if text == "DataFrame" else (_BARE.get(text, ""), text)


def _globals_of(function: Any) -> dict[str, Any]:
    while isinstance(function, functools.partial):
        function = function.func
    plain = inspect.unwrap(function)
    if not inspect.isroutine(plain) and not isinstance(plain, type):
        plain = vars(type(plain)).get("__call__", plain)
    return getattr(plain, "__globals__", {})


MARK = "__taskinity_task__"


class Mark(NamedTuple):
    """A task's name in a flow, its description and its policy; None if not given."""

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
    if name is None and _can_be_called(function):
        name = type(function).__name__
    return None if name == "<lambda>" else name


def _can_be_called(function: Any) -> bool:
    return callable(function) and not getattr(function, "is_flow", False)  # which only raises


def refuse_function(function: Any) -> str | None:
    """Return why `function` can't be a task, as text; None if it can."""
    if is_reducer(function):
        return None
    if not _can_be_called(function):
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
