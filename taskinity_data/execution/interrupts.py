"""Lets Ctrl-C and SIGTERM stop a run softly: the first time it ends what runs, the second time now.

It knows nothing of how a run stops.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["raise_interrupt", "soft_interrupts"]


def raise_interrupt(number: int, frame: Any) -> None:  # noqa: ARG001 - what a handler is given
    """A handler that stops at once."""
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
        for number, handler in (
            (one, signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)
        )
        if handler in (signal.default_int_handler, raise_interrupt)
        or (number == signal.SIGTERM and handler is signal.SIG_DFL)
    }
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
