"""Define ``@td.once``: a value is made once in each worker process, and closed with its run."""

from __future__ import annotations

import functools
import inspect
import os
import secrets
import threading
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from taskinity_data.errors import BindError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ONCE", "close_values", "holds_values", "once", "within_session"]

P = ParamSpec("P")
T = TypeVar("T")

ONCE = "__taskinity_once__"
"""The attribute with the name of a function's values: the same in all copies of the function."""

_HAS_ENDED = "@once: the run that this call belongs to has ended"

_session: ContextVar[str] = ContextVar("_session", default="")
_values: dict[tuple[int, str], _Values] = {}
_ended: deque[tuple[int, str]] = deque(maxlen=1_000)
_lock = threading.Lock()


@overload
def once(function: Callable[P, Iterator[T]], /) -> Callable[P, T]: ...
@overload
def once(function: Callable[P, T], /) -> Callable[P, T]: ...


def once(function: Callable[..., Any], /) -> Any:
    """Let a function make its value once in each worker process: a model, a connection.

    Chunk functions, and whatever else runs in a run, call the decorated function to get the value.
    The first call makes it; other threads of the process wait for it and share it. It is closed at
    the end of the run, and another run makes its own.

    Parameters
    ----------
    function : callable
        Returns the value, or yields it, as fixtures of pytest do: the code after the ``yield`` runs
        at the end. A value that is returned is closed by its method ``close()``, if it has one.
        Values are kept by arguments, which must be hashable.

    Raises
    ------
    BindError
        What is decorated can't make a value: not callable, or async.

    Notes
    -----
    An error of the function is that of the chunk that called it, and nothing is kept: the next
    call, of a retry or of another chunk, tries again. A ``timeout`` includes the time to make the
    value. Values are closed in the reverse order; one that can't be closed is a notice of the run.
    They are not closed in processes that die or are killed, and in those of a
    `concurrent.futures.Executor` only when the process ends, as with calls outside of a run and in
    threads that a chunk function has started itself.

    Examples
    --------
    >>> @once
    ... def table():
    ...     print("made")
    ...     return {"a": 1}
    >>> table()["a"] + table()["a"]
    made
    2
    """
    name = getattr(function, "__name__", repr(function))
    if not callable(function):
        raise BindError(f"@once on {name}: it is not callable")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise BindError(f"@once on {name}: it is an async function; give a plain one")

    @functools.wraps(function)
    def get(*args: Any, **options: Any) -> Any:
        return _get(function, getattr(get, ONCE), args, options)

    setattr(get, ONCE, secrets.token_hex(8))
    return get


def _get(function: Any, token: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    key = token, args, tuple(sorted(options.items()))
    try:
        hash(key)
    except TypeError as error:
        name = getattr(function, "__name__", function)
        raise TypeError(
            f"@once: {name}() takes hashable arguments, e.g. a path ({error})"
        ) from None
    # By process: one that was forked has values of its own.
    owner = os.getpid(), _session.get()
    with _lock:
        if owner not in _values:
            if owner in _ended:
                raise RuntimeError(_HAS_ENDED)
            _values[owner] = _Values()
        values = _values[owner]
    return values.get(key, function)


class _Values:
    """What was made for one run in this process; used by all of its threads."""

    def __init__(self) -> None:
        from multiprocessing.util import Finalize

        self._lock = threading.RLock()
        self._made: dict[Any, Any] = {}
        self._closes: list[tuple[str, Callable[[], object]]] = []
        self._is_closed = False
        # Unlike atexit, it acts in the processes of multiprocessing too, and not in forked ones.
        self.close = Finalize(None, self._close, exitpriority=1)

    def get(self, key: tuple[Any, tuple[Any, ...], Any], function: Any) -> Any:
        """Return the value of that key; `function` makes it."""
        if key not in self._made:
            with self._lock:
                if key not in self._made:
                    self._made[key] = self._make(function, key[1], dict(key[2]))
        if self._is_closed:  # meanwhile, with all that had been made by then
            self._close()
            raise RuntimeError(_HAS_ENDED)
        return self._made[key]

    def _make(self, function: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if inspect.isgeneratorfunction(function):
            context = contextmanager(function)(*args, **options)
            value = context.__enter__()
            close: Any = functools.partial(context.__exit__, None, None, None)
        else:
            value = function(*args, **options)
            close = getattr(value, "close", None)
        if callable(close):
            self._closes.append((getattr(function, "__name__", repr(function)), close))
        return value

    def _close(self) -> list[str]:
        self._is_closed = True
        texts = []
        while self._closes:
            name, close = self._closes.pop()
            try:
                close()
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything
                texts.append(f"@once: closing {name} raised {type(error).__name__}: {error}")
        return texts


@contextmanager
def within_session(session_id: str) -> Iterator[None]:
    """Let what is called in this thread have the values of that run, while the block runs."""
    token = _session.set(session_id)
    try:
        yield
    finally:
        _session.reset(token)


def holds_values(session_id: str) -> bool:
    """Return whether this process has values of that run."""
    return (os.getpid(), session_id) in _values


def close_values(session_id: str | None = None) -> list[str]:
    """Close what this process has made for that run, None: for all; return what went wrong.

    What was made last is closed first. What a cancelled chunk calls later raises.
    """
    texts: list[str] = []
    for owner in list(_values) if session_id is None else [(os.getpid(), session_id)]:
        with _lock:
            values = _values.pop(owner, None)
            _ended.append(owner)
        texts += (values and values.close()) or []
    return texts
