"""Exceptions as values that travel, and unpickling what workers sent back."""

from __future__ import annotations

import io
import os
import pickle
import traceback
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
from cloudpickle import cloudpickle as pickling

from taskinity_data.errors import TaskinityDataError, shorten
from taskinity_data.outcome import Failure
from taskinity_data.redact import clean_text, hide, hide_in_error
from taskinity_data.wording import inert

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskinity_data.outcome import Attempt, Outcome

__all__ = [
    "describe_failure",
    "format_traceback",
    "format_user_traceback",
    "hide_in_outcome",
    "load_back",
    "to_text",
]

_PICKLER = "cloudpickle.cloudpickle"


def load_back(blob: bytes) -> Any:
    """Return what is pickled in `blob`, whose classes are those that this process has already."""
    return _Unpickler(io.BytesIO(blob)).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._own_classes: set[int] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        target = super().find_class(module, name)
        if module != _PICKLER:
            return target
        if name in ("_make_skeleton_class", "_make_skeleton_enum"):
            return lambda *arguments: self._make(target, arguments)
        if name == "_class_setstate":
            return lambda kind, state: (
                kind if id(kind) in self._own_classes else target(kind, state)
            )
        return target

    def _make(self, make: Any, arguments: tuple[Any, ...]) -> Any:
        # The class's id is the last argument but one in both.
        here = getattr(pickling, "_DYNAMIC_CLASS_TRACKER_BY_ID", {}).get(arguments[-2])
        kind = make(*arguments)
        if kind is here:
            self._own_classes.add(id(kind))
        return kind


_PACKAGE = str(Path(__file__).resolve().parents[2]) + os.sep
_MACHINERY = (
    _PACKAGE,
    f"{os.sep}distributed{os.sep}",
    f"{os.sep}concurrent{os.sep}futures{os.sep}",
)

_MAX_PICKLED_ERROR = 1 << 20
"""An exception larger than this stays on the worker; its text travels all the same."""

_MAX_KIND, _MAX_MESSAGE, _MAX_PART, _MAX_TRACEBACK = 200, 10_000, 4_000, 40_000
"""Characters of an exception's class, its message, a part of its traceback (a frame, a note, the
message again) and the whole traceback: more than a person reads, and little compared with a
chunk."""

_MAX_NOTES = 20
"""Notes of an exception that are shown."""


def describe_failure(error: BaseException) -> Failure:
    """Return `error` as a value, with the frames that its author knows, and no secrets of URLs.

    Texts are cut here, where they are made, so that failures are small everywhere.
    """
    from taskinity_data.execution.retry_rules import is_final

    return Failure(
        kind=shorten(type(error).__name__, _MAX_KIND),
        message=_shown(_text_of(error), _MAX_MESSAGE),
        traceback=_shown(format_user_traceback(error), _MAX_TRACEBACK),
        ancestry=tuple(
            shorten(f"{kind.__module__}.{kind.__qualname__}", _MAX_KIND)
            for kind in type(error).__mro__
        ),
        error=_portable(error) if hide_in_error(error) else None,
        is_final=is_final(error),
    )


def hide_in_outcome(outcome: Outcome) -> Outcome:
    """Return `outcome` without secrets in the texts that its worker made."""
    if not any(attempt.failure or attempt.logs for attempt in outcome.attempts):
        return outcome
    return replace(outcome, attempts=tuple(map(_hide_in_attempt, outcome.attempts)))


def _hide_in_attempt(attempt: Attempt) -> Attempt:
    failure = attempt.failure
    if failure is not None:
        texts = hide(failure.message), hide(failure.traceback)
        if texts != (failure.message, failure.traceback):
            failure = replace(failure, message=texts[0], traceback=texts[1], error=None)
    logs = tuple(line._replace(text=hide(line.text)) for line in attempt.logs)
    return replace(attempt, failure=failure, logs=logs)


def _text_of(error: BaseException) -> str:
    if isinstance(error, TaskinityDataError):
        return inert(shorten(error.message, _MAX_MESSAGE))
    return to_text(error)


def to_text(value: object) -> str:
    """Return ``str(value)``, or why there is none."""
    try:
        text = str(value)
        # A subclass of str may have any method.
        return text if type(text) is str else str.__str__(text)
    except Exception as error:  # noqa: BLE001 - a user's __str__ may do anything
        return f"(its __str__ raised {type(error).__name__})"


def _shown(text: str, max_chars: int) -> str:
    """Return `text` cut, without the secrets of URLs: also of one that the cut goes through."""
    return shorten(clean_text(shorten(text, 2 * max_chars)), max_chars)


def format_user_traceback(error: BaseException) -> str:
    """Return the traceback, cut, without this library's, Dask's and the pool's frames.

    Where nothing else is left (the reader or a reducer refused), the message alone.
    """
    if isinstance(error, TaskinityDataError):
        return f"{type(error).__name__}: {_text_of(error)}\n"
    return format_traceback(error, is_kept=_is_of_a_user)


def format_traceback(
    error: BaseException, is_kept: Callable[[traceback.FrameSummary], bool] = lambda _: True
) -> str:
    """Return the traceback of `error`, cut: the frames that are kept, and those of its causes."""
    try:
        whole = traceback.TracebackException.from_exception(error, limit=-64)
        waiting: list[Any] = [whole]
        while waiting:
            exception = waiting.pop()
            exception.stack = traceback.StackSummary.from_list(
                [frame for frame in exception.stack if is_kept(frame)]
            )
            # Formatting goes through a text line by line, which takes a minute for 64 MiB.
            exception._str = _shown(exception._str, _MAX_PART)  # noqa: SLF001 - no other way
            if (notes := exception.__notes__) is not None:
                shown = notes[:_MAX_NOTES] if isinstance(notes, (list, tuple)) else [notes]
                exception.__notes__ = [_shown(to_text(note), _MAX_PART) for note in shown]
            waiting += filter(
                None, (exception.__cause__, exception.__context__, *(exception.exceptions or ()))
            )
        return _join_parts(whole.format())
    except Exception:  # noqa: BLE001 - an exception so broken that it can't be described
        return f"{shorten(type(error).__name__, _MAX_KIND)}\n"


def _is_of_a_user(frame: traceback.FrameSummary) -> bool:
    return not any(part in frame.filename for part in _MACHINERY)


def _join_parts(parts: Iterable[str]) -> str:
    """Return the first of `parts`, and of too many the last, which have what was raised."""
    first: list[str] = []
    last: deque[str] = deque()
    left_out = 0
    chars = {"first": 0, "last": 0}
    for part in parts:
        part = shorten(part, _MAX_PART)
        if not last and chars["first"] + len(part) <= _MAX_TRACEBACK // 2:
            first.append(part)
            chars["first"] += len(part)
            continue
        last.append(part)
        chars["last"] += len(part)
        while chars["last"] > _MAX_TRACEBACK // 2:
            chars["last"] -= len(last.popleft())
            left_out += 1
    gap = [f"… {left_out:,} parts of the traceback left out …\n"] if left_out else []
    return "".join((*first, *gap, *last))


class _Bounded(io.BytesIO):
    """Refuses more than `_MAX_PICKLED_ERROR` bytes before they are copied."""

    def write(self, data: Any, /) -> int:
        if self.tell() + len(data) > _MAX_PICKLED_ERROR:
            raise OverflowError
        return super().write(data)


def _portable(error: BaseException) -> BaseException | None:
    # What pickle can't, because its class came here by value, cloudpickle sends back by value.
    for dump in (pickle.dump, cloudpickle.dump):
        file = _Bounded()
        try:
            dump(error, file)
            again: object = load_back(file.getvalue())
        except OverflowError:
            return None
        except Exception:  # noqa: BLE001 - what can't travel is described by its text
            again = None
        if type(again) is type(error):
            return error
    return None
