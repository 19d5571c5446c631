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
    has_stopped, process = False, os.getpid()

    def handle(number: int, frame: Any) -> None:  # noqa: ARG001 - what a handler is given
        nonlocal has_stopped
        if os.getpid() != process:
            # A child that a function has forked, such as one of multiprocessing's pool, ends.
            is_ctrl_c = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_ctrl_c else signal.SIG_DFL)
            signal.raise_signal(number)
            return
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
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
