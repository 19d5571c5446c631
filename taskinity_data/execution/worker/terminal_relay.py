"""What our processes write to this terminal comes here first, and goes on where our own lines go.

A progress bar moves the cursor: lines that another process writes meanwhile would tear it, and
be overwritten. Whatever stands in for `sys.stderr` by then gets the lines.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING

from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["relayed"]


@contextmanager
def relayed(threads: list[threading.Thread]) -> Iterator[dict[str, int]]:
    """Yield what `subprocess.Popen` takes for a child whose lines are to come here.

    Each of the `threads` that pass them on ends with the last line.
    """
    ends: dict[str, int] = {}
    try:
        for name in _terminals():
            reading, ends[name] = os.pipe()
            threads.append(_start(reading, name))
        yield ends
    finally:
        # The child has copies of its own.
        for writing in ends.values():
            os.close(writing)


def _terminals() -> list[str]:
    """Return the names of those of standard output and error that are a terminal."""
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    return [name for name, stream in streams.items() if stream is not None and stream.isatty()]


def _start(reading: int, name: str) -> threading.Thread:
    # The thread hides what the run's own thread hides.
    context = copy_context()
    thread = threading.Thread(
        target=context.run, args=(_pass_on, reading, name), name=f"taskinity-{name}", daemon=True
    )
    thread.start()
    return thread


def _pass_on(reading: int, name: str) -> None:
    """Write each whole line to what `sys.stdout` or `sys.stderr` is by then."""
    left = b""
    with open(reading, "rb", buffering=0) as pipe:
        while piece := pipe.read(1 << 16):
            *lines, left = (left + piece).split(b"\n")
            _write(name, b"".join(line + b"\n" for line in lines))
    _write(name, left)


def _write(name: str, text: bytes) -> None:
    stream = getattr(sys, name)
    if not text or stream is None:
        return
    try:
        stream.write(hide(text.decode("utf-8", "replace")))
        stream.flush()
    except (OSError, ValueError):
        pass  # the terminal has gone, or is closed: nobody would read it
