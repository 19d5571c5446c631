"""Record the body of a ``@td.flow`` function while it runs: calls become tasks and edges."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from taskinity_data.errors import FlowError
from taskinity_data.flow.binding.match_arguments import Constant, Input, Source, Upstream
from taskinity_data.flow.binding.signatures import (
    Mark,
    Parameter,
    mark_of,
    name_of,
    read_parameters,
)
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.model import FlowInput, Task, Width
from taskinity_data.flow.naming import to_camel
from taskinity_data.wording import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Handle", "NamedReducer", "is_recording", "map_task", "record_call", "record_flow"]

_MISUSES = (
    "__bool__", "__len__", "__iter__", "__next__", "__contains__", "__getitem__", "__setitem__",
    "__delitem__", "__call__", "__int__", "__float__", "__index__", "__complex__", "__round__",
    "__str__", "__format__", "__bytes__", "__array__", "__fspath__", "__enter__", "__exit__",
    "__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__",
    "__rtruediv__", "__floordiv__", "__rfloordiv__", "__mod__", "__rmod__", "__pow__", "__rpow__",
    "__matmul__", "__rmatmul__", "__and__", "__rand__", "__or__", "__ror__", "__xor__", "__rxor__",
    "__lshift__", "__rshift__", "__neg__", "__pos__", "__abs__", "__invert__", "__eq__", "__ne__",
    "__lt__", "__le__", "__gt__", "__ge__", "__await__", "__aiter__",
)  # fmt: skip
"""Operations that need a value, which a handle does not have."""


class Handle:
    """Placeholder for a result, or an input, that does not exist yet. Pass it to tasks only."""

    __slots__ = ("_recording", "_source")
    __hash__ = object.__hash__

    def __init__(self, source: Upstream | Input, recording: _Recording) -> None:
        self._source = source
        self._recording = recording

    def __repr__(self) -> str:
        return f"<{_describe(self._source)}>"

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        _refuse(self, f".{name}")


def _refuse(handle: Handle, use: str) -> NoReturn:
    raise FlowError(
        f"{use} on {_describe(handle._source)}: "  # noqa: SLF001 - a handle has no attributes to show
        "this value does not exist yet in the body of a flow. "
        "Do this inside a task (a function decorated with @td.task), and call that"
    )


def _misuse(name: str) -> Callable[..., NoReturn]:
    def refuse(handle: Handle, *_args: Any, **_options: Any) -> NoReturn:
        _refuse(handle, name)

    refuse.__name__ = name
    return refuse


for _name in _MISUSES:
    setattr(Handle, _name, _misuse(_name))
del _name


@dataclass(frozen=True, slots=True)
class NamedReducer:
    """A reducer as a task: what ``td.task(reducer, name=...)`` gives back.

    It is called in a flow's body with the handle of what it reduces.
    """

    reducer: Any
    __taskinity_task__: Mark

    is_reducer = True

    def __call__(self, results: Any) -> Any:
        """Record the reduction of `results` in the flow whose body is running."""
        if not is_recording():
            raise FlowError(
                f"reducer {name_of(self)} is called outside the body of a flow: bind it to a task, "
                "or call it in a function decorated with @td.flow"
            )
        return record_call(self, (results,), {})


def _describe(source: Upstream | Input) -> str:
    if isinstance(source, Input):
        return f"the input {source.name!r}"
    return f"the result of task {source.task}"


@dataclass(slots=True, eq=False)
class _Recording:
    flow: str
    tasks: list[Task] = field(default_factory=list)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)

    def free_name(self, preferred: str) -> str:
        """Return `preferred`, or ``wanted_2`` and so on if the flow has it already."""
        names = {task.name for task in self.tasks}
        name, number = preferred, 2
        while name in names:
            name, number = f"{preferred}_{number}", number + 1
        return name


_current: ContextVar[_Recording | None] = ContextVar("taskinity_data_recording", default=None)


def is_recording() -> bool:
    """Return whether the body of a ``@td.flow`` function is running in this context."""
    return _current.get() is not None


def record_call(
    function: Any, args: tuple[Any, ...], options: Mapping[str, Any], width: Width = None
) -> Handle:
    """Add a task to the flow whose body is running; return a handle for its result.

    Raises
    ------
    FlowError
        The arguments do not fit the function, or hold handles where none can be.
    """
    recording = _current.get()
    mark = mark_of(function)
    if recording is None or mark is None:
        raise FlowError(
            ".map(...) can only be used in the body of a function decorated with @td.flow"
        )
    name_ = mark.name or name_of(function)
    if name_ is None:
        raise FlowError(f"flow {recording.flow}: a lambda needs a name: td.task(..., name='Clean')")
    name = recording.free_name(name_ if mark.name else to_camel(name_))
    reducer = function.reducer if isinstance(function, NamedReducer) else None
    parameters = (Parameter("results"),) if reducer is not None else read_parameters(function)
    call_arguments = _match_arguments(name, parameters, args, options)
    if width is not None and (not parameters or parameters[0].name not in call_arguments):
        raise FlowError(
            f"task {name}: .map(...) needs a value for its first parameter, to fan out over"
        )
    arguments = {
        key: _to_source(recording, name, key, value) for key, value in call_arguments.items()
    }
    first = parameters[0].name if width is not None or reducer is not None else None
    recording.tasks.append(
        Task(
            name,
            mark.description,
            width,
            mark.policy,
            function if reducer is None else reducer,
            arguments,
            first,
        )
    )
    for source in arguments.values():
        if isinstance(source, Upstream):
            recording.edges[source.task, name] = None
    return Handle(Upstream(name), recording)


def map_task(function: Any, *args: Any, **options: Any) -> Handle:
    """Fan `function` out over its first argument; the others are the same for every piece."""
    return record_call(function, args, options, width="*")


def record_flow(function: Callable[..., Any], name: str, description: str | None) -> Flow:
    """Return the flow that the body of `function` describes; its parameters become inputs.

    Raises
    ------
    FlowError
        The body misuses a handle, or returns something else than one task's result.
    """
    recording = _Recording(name)
    inputs = []
    handles: dict[str, Handle] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise FlowError(f"flow {name}: parameter {parameter.name!r} can't be passed by keyword")
        is_required = parameter.default is parameter.empty
        inputs.append(
            FlowInput(parameter.name, is_required, None if is_required else parameter.default)
        )
        handles[parameter.name] = Handle(Input(parameter.name), recording)
    token = _current.set(recording)
    try:
        result = function(**handles)
    finally:
        _current.reset(token)
    output = None
    if isinstance(result, Handle) and isinstance(result._source, Upstream):  # noqa: SLF001 - see _refuse
        output = result._source.task  # noqa: SLF001 - see _refuse
    elif result is not None:
        raise FlowError(
            f"flow {name}: its body returns {type(result).__name__}; return the result of one "
            "task, or nothing"
        )
    tasks, edges = tuple(recording.tasks), tuple(recording.edges)
    flow = Flow(name, description, tasks, edges, tuple(inputs))
    return Flow(
        name, description, tasks, edges, tuple(inputs), None if output == flow.last else output
    )


def _match_arguments(
    task: str, parameters: tuple[Parameter, ...], args: tuple[Any, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by the names of the parameters that take them."""
    by_position = [parameter.name for parameter in parameters if not parameter.is_keyword]
    if len(args) > len(by_position):
        raise FlowError(
            f"task {task}: {len(args)} arguments for {len(by_position)} parameters that are passed "
            f"by position ({', '.join(by_position)})"
        )
    arguments = dict(zip(by_position, args, strict=False))
    by_name = [parameter.name for parameter in parameters if not parameter.is_positional]
    for name, value in options.items():
        if name not in by_name:
            raise FlowError(
                f"task {task}: the function has no parameter {name!r}.{suggest(name, by_name)}"
            )
        if name in arguments:
            raise FlowError(f"task {task}: parameter {name!r} is passed twice")
        arguments[name] = value
    missing = [
        parameter.name
        for parameter in parameters
        if not parameter.is_optional and parameter.name not in arguments
    ]
    if missing:
        raise FlowError(f"task {task}: nothing fills {', '.join(map(repr, missing))}")
    return arguments


def _to_source(recording: _Recording, task: str, parameter: str, value: Any) -> Source:
    if isinstance(value, Handle):
        if value._recording is not recording:  # noqa: SLF001 - see _refuse
            raise FlowError(f"task {task}: {parameter!r} comes from another flow's body")
        return value._source  # noqa: SLF001 - see _refuse
    if _holds_handle(value):
        raise FlowError(
            f"task {task}: {parameter!r} holds results within a {type(value).__name__}: pass each "
            "as its own parameter, or fan out with .map(...)"
        )
    return Constant(value)


def _holds_handle(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(item, Handle) for pair in value.items() for item in pair)
    return isinstance(value, (list, tuple, set, frozenset)) and any(
        isinstance(item, Handle) for item in value
    )
