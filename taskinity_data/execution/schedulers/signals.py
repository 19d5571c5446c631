"""Lets Ctrl-C, SIGTERM and SIGHUP stop a run: first it ends what runs, the second time at once.

What must not be left half done can hold them for a while.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "STOPS",
    "block_ctrl_c",
    "hold_interrupts",
    "late_interrupts",
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
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def late_interrupts(meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
    """Signals that stop come after the block: what they broke into could not be closed again.

    `meanwhile` is called as soon as one comes, so that the block may end earlier for it.
    """
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:  # noqa: ARG001 - what a handler is given
        came.append(number)
        if meanwhile is not None:
            meanwhile()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for candidate in STOPS:
            if callable(handler := signal.getsignal(candidate)):
                before[candidate] = handler
                signal.signal(candidate, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in dict.fromkeys(came):
            signal.raise_signal(number)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Hold signals as `late_interrupts` does; what begins within it never gets a Ctrl-C.

    That holds in any thread. SIGTERM they get: it is what ends them.
    """
    # A signal that is blocked here goes to any thread that does not block it: that's not enough.
    with late_interrupts():
        mask = block_ctrl_c()
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def block_ctrl_c() -> set[Any]:
    """Keep Ctrl-C from this thread and what it starts; gives the signals that it blocked before."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
