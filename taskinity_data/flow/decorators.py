"""Define ``@td.task`` and ``@td.flow``: functions become tasks, and a function's body becomes a
flow.

Outside of a flow's body a task is called like any function.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from taskinity_data.errors import BindError, FlowError, SettingsError
from taskinity_data.flow.binding.signatures import MARK, Mark, is_reducer, name_of, refuse_function
from taskinity_data.flow.keywords import KEYWORDS, make_policy
from taskinity_data.flow.naming import is_name, to_camel
from taskinity_data.flow.recording import (
    NamedReducer,
    is_recording,
    map_task,
    record_call,
    record_flow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskinity_data.flow.flow import Flow
    from taskinity_data.flow.keywords import TaskKeywords
    from taskinity_data.policy import Value

__all__ = ["MarkedTask", "flow", "task"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class MarkedTask(Protocol[P, R_co]):
    """A function that went through ``@td.task``: called as before, and ``.map`` in a flow."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function; in a flow's body, record a task instead."""

    def map(self, over: Any, /, *args: Any, **options: Any) -> Any:
        """Fan out over the chunks, or items, of `over`; only in a flow's body."""


@overload
def task(function: Callable[P, R_co], /) -> MarkedTask[P, R_co]: ...
@overload
def task(
    function: str | None = None, /, **options: Unpack[TaskKeywords]
) -> Callable[[Callable[P, R_co]], MarkedTask[P, R_co]]: ...
@overload
def task(function: Any, /, **options: Unpack[TaskKeywords]) -> Any: ...


def task(  # the keywords are the published ones
    function: Any = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    retries: int = 0,
    retry_delay: str | float = "1s",
    max_delay: str | float = "60s",
    retry_on: Any = None,
    give_up_on: Any = (),
    timeout: str | float | None = None,
    on_error: str | Value | Callable[..., Any] = "fail",
    validate_input: Any = None,
    validate_output: Any = None,
    resources: Mapping[str, float] | None = None,
    pure: bool = False,
) -> Any:
    """Mark a function as a task; bare (``@td.task``) or called (``@td.task(...)``).

    Parameters
    ----------
    function : callable or reducer
        A reducer becomes a task that is called in a flow's body:
        ``td.task(td.group_by(...), name="AggregateResults")(parts)``.
    name : str, optional
        What it is called in a flow, instead of its own name. May come first, by position.
    description : str, optional
        Default: the first line of its docstring.
    retries : int
        Further attempts after one that failed.
    retry_delay, max_delay : duration
        A retry waits for a random time, at most `retry_delay` before the first and twice as long
        before each further one, up to `max_delay`; ``"1s"``, or seconds.
    retry_on, give_up_on : exception class or several
        None: all but errors that would only repeat.
    timeout : duration, optional
        For one attempt, which is ended within a second after it: the task runs in a child
        process, so that it must pickle and has no side effects here. Not for ``"synchronous"``.
    on_error : {"fail", "skip", "bisect"}, function of the same input, or ``td.value(...)``
        ``"bisect"`` halves a failed chunk until its bad rows are alone, which are left out.
    validate_input, validate_output : callable, or anything with ``.validate``
        A function gives False, or a boolean for each row; a schema (pandera's) raises. Rows that
        fail are named.
    resources : dict of str to float, optional
        Dask's worker resources.
    pure : bool
        Whether it has no side effects, so that ``backups=True`` may run it twice on a chunk.

    Raises
    ------
    SettingsError
        A keyword's value is invalid.
    BindError
        What is decorated can't be a task: not callable, async, a generator.

    Notes
    -----
    Within the body of a ``@td.flow`` function a call records an edge and gives a handle, and
    ``.map(dataset_or_list, **small_inputs)`` fans out over its first argument. Anywhere else a call
    runs the function, at the cost of one more Python call.
    """
    arguments = locals()
    first_name = function if isinstance(function, str) else None
    if first_name is not None and name is not None:
        raise SettingsError(f"name: passed twice, {first_name!r} and {name!r}")
    shown = name or first_name
    if shown is not None and not is_name(shown):
        raise SettingsError(f"name: {shown!r} is not a valid task name: use letters, digits and _")
    policy = make_policy(**{keyword: arguments[keyword] for keyword in KEYWORDS})

    def mark(decorated: Any) -> Any:
        return _mark(decorated, Mark(shown, description, policy))

    return mark if function is None or first_name is not None else mark(function)


def _mark(function: Any, mark: Mark) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(_mark(function.__func__, mark))
    refused = refuse_function(function)
    if refused is not None:
        raise BindError(f"@task on {getattr(function, '__name__', function)!r}: {refused}")
    if is_reducer(function):
        name = mark.name or to_camel(type(function).__name__.strip("_"))
        return NamedReducer(function, Mark(name, mark.description, mark.policy))
    if mark.description is None:
        mark = Mark(mark.name, _first_line(function), mark.policy)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        if is_recording():
            return record_call(call, args, options)
        return function(*args, **options)

    setattr(call, MARK, mark)
    if mark.name is None and not hasattr(function, "__name__"):
        call.__name__ = name_of(function) or "<lambda>"
    call.map = functools.partial(map_task, call)  # type: ignore[attr-defined] # functions take any
    return call


@overload
def flow(function: Callable[..., Any], /) -> Flow: ...
@overload
def flow(
    function: None = None, /, *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], Flow]: ...


def flow(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
) -> Any:
    """Make a `Flow` of a function's body; bare (``@td.flow``) or called.

    The body runs once, now, with handles for the inputs: calls of tasks become tasks and edges,
    ``task.map(...)`` a fan-out. What it returns is the flow's value. The parameters are the flow's
    inputs. A task that is called twice is two tasks (``Clean``, ``Clean_2``).

    Parameters
    ----------
    function : callable
    name : str, optional
        Default: the function's name in the style of tasks (``flight_delays``: ``FlightDelays``).
    description : str, optional
        Default: the first line of the docstring.

    Raises
    ------
    FlowError
        The body uses a result that is not there yet, or the graph can't be run.

    Examples
    --------
    >>> @task
    ... def process_chunk(chunk):
    ...     return len(chunk)
    >>> @task
    ... def total(counts):
    ...     return sum(counts)
    >>> @flow
    ... def count_rows(data):
    ...     return total(process_chunk.map(data))
    >>> count_rows
    Flow(CountRows: ProcessChunk[*], Total; 1 edges)
    """

    def record(body: Callable[..., Any]) -> Flow:
        if not callable(body) or getattr(body, "is_flow", False):
            raise FlowError(f"@flow is for functions, not for {type(body).__name__}")
        flow_name = name or to_camel(name_of(body) or "Flow")
        return record_flow(body, flow_name, description or _first_line(body))

    return record if function is None else record(function)


def _first_line(function: Any) -> str | None:
    text = inspect.getdoc(function) if inspect.isroutine(function) else None
    return text.partition("\n")[0].strip() or None if text else None
