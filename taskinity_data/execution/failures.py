"""An exception as a value: told with the frames that its author knows, and able to travel.

It knows nothing of what was done when it was raised, or of what follows from it.
"""

from __future__ import annotations

import os
import pickle
import traceback
from pathlib import Path

import cloudpickle

from taskinity_data.chunks.stores import clean_text
from taskinity_data.errors import TaskinityDataError
from taskinity_data.execution.unpickle import load_back
from taskinity_data.outcome import Failure

__all__ = ["describe_failure", "format_user_traceback"]

_PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep
_MACHINERY = (
    _PACKAGE,
    f"{os.sep}distributed{os.sep}",
    f"{os.sep}concurrent{os.sep}futures{os.sep}",
)

_MAX_PICKLED_ERROR = 1 << 20
"""An exception larger than this stays on the worker; its text travels all the same."""


def describe_failure(error: BaseException) -> Failure:
    """`error` as a value, with the frames that its author knows, and no secrets of URLs."""
    try:
        message = str(error)
    except Exception as second:  # noqa: BLE001 - a user's __str__ may do anything
        message = f"(its __str__ raised {type(second).__name__})"
    return Failure(
        kind=type(error).__name__,
        message=clean_text(message),
        traceback=clean_text(format_user_traceback(error)),
        ancestry=tuple(f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__),
        error=_portable(error),
    )


def format_user_traceback(error: BaseException) -> str:
    """The traceback without this library's, Dask's and the pool's frames.

    Where nothing else is left (the reader or a reducer refused), the message alone.
    """
    if isinstance(error, TaskinityDataError):
        return f"{type(error).__name__}: {error}\n"
    try:
        told = traceback.TracebackException.from_exception(error, limit=-64)
        seen: traceback.TracebackException | None = told
        while seen is not None:
            kept = [
                frame
                for frame in seen.stack
                if not any(part in frame.filename for part in _MACHINERY)
            ]
            seen.stack = traceback.StackSummary.from_list(kept)
            seen = seen.__cause__ or seen.__context__
        return "".join(told.format())
    except Exception:  # noqa: BLE001 - an exception so broken that it can't be told
        return f"{type(error).__name__}\n"


def _portable(error: BaseException) -> BaseException | None:
    # What pickle can't, because its class came here by value, cloudpickle sends back by value.
    for dumps in (pickle.dumps, cloudpickle.dumps):
        try:
            blob = dumps(error)
            if len(blob) > _MAX_PICKLED_ERROR:
                return None
            again: object = load_back(blob)
        except Exception:  # noqa: BLE001 - what can't travel is told by its text
            again = None
        if type(again) is type(error):
            return error
    return None
