"""Lets Ctrl-C, SIGTERM and SIGHUP stop a run: first it ends what runs, the second time at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "STOPS",
    "raise_interrupt",
    "soft_interrupts",
]


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that stop a run: Ctrl-C, who ends processes, a terminal that is closed."""


_handled: set[int] = set()
"""The signals that a run handles now."""

_forking = threading.local()


def raise_interrupt(number: int, frame: Any) -> None:  # noqa: ARG001 - what a handler is given
    """Stop at once: a signal handler."""
    raise KeyboardInterrupt


@contextmanager
def soft_interrupts(stop: Callable[[], bool]) -> Iterator[None]:
    """Calls `stop` on the first signal; where it says False, and on the second, raises.

    Only in the main thread, and only for signals that nobody else handles: their handlers are put
    back at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    has_stopped = False

    def handle(number: int, frame: Any) -> None:  # noqa: ARG001 - what a handler is given
        nonlocal has_stopped
        if has_stopped or not stop():
            raise KeyboardInterrupt
        has_stopped = True

    before = {
        number: handler
        for number, handler in ((candidate, signal.getsignal(candidate)) for candidate in STOPS)
        if handler in (signal.default_int_handler, raise_interrupt)
        or (number != signal.SIGINT and handler is signal.SIG_DFL)
    }
    for number in before:
        signal.signal(number, handle)
    _handled.update(before)
    try:
        yield
    finally:
        for number, handler in before.items():
            _handled.discard(number)
            signal.signal(number, handler)


def _before_fork() -> None:
    # Python loses signals that reach a child before it is ready; blocked ones arrive afterwards.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handled)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _begin_child() -> None:
    """Let a process that a function forks, such as one of a pool, end as without a run."""
    for number in _handled:
        is_ctrl_c = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_ctrl_c else signal.SIG_DFL)
    _handled.clear()
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_child)
