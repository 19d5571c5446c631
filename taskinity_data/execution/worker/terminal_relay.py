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
from pathlib import Path
from typing import TYPE_CHECKING

from taskinity_data.redact import hide

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Relay", "relayed"]

_PRELOAD = """
import os
for number, path in {pipes!r}:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        continue
    os.set_blocking(pipe, True)
    os.dup2(pipe, number)
    os.close(pipe)
"""

CLOSE_S = 1.0
"""How long what is left in a pipe is waited for: a process that outlives its worker may hold it."""


class Relay:
    """Pipes in `folder` for those of standard output and error that are a terminal.

    Attributes
    ----------
    preload : str
        What a worker runs first.
    """

    def __init__(self, folder: str) -> None:
        self._ends: list[tuple[int, threading.Thread]] = []
        pipes: list[tuple[int, str]] = []
        for number, name in _terminals():
            path = str(Path(folder) / name)
            os.mkfifo(path, 0o600)
            reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            # As long as this end is open, the last worker's end is not the end.
            writing = os.open(path, os.O_WRONLY)
            os.set_blocking(reading, True)
            self._ends.append((writing, _start(reading, name)))
            pipes.append((number, path))
        self.preload = _PRELOAD.format(pipes=pipes) if pipes else ""

    def close(self) -> None:
        """Pass on what is left; the workers have ended."""
        ends, self._ends = self._ends, []
        for writing, thread in ends:
            os.close(writing)
            thread.join(CLOSE_S)


@contextmanager
def relayed() -> Iterator[dict[str, int]]:
    """Yield what `subprocess.Popen` takes for a child whose lines are to come here."""
    ends: dict[str, int] = {}
    try:
        for _, name in _terminals():
            reading, ends[name] = os.pipe()
            _start(reading, name)
        yield ends
    finally:
        # The child has copies of its own.
        for writing in ends.values():
            os.close(writing)


def _terminals() -> list[tuple[int, str]]:
    """Number and name of those of standard output and error that are a terminal."""
    names = enumerate(("stdout", "stderr"), start=1)
    has_pipes = hasattr(os, "mkfifo")
    streams = [(number, name, getattr(sys, name)) for number, name in names if has_pipes]
    return [
        (number, name) for number, name, stream in streams if stream is not None and stream.isatty()
    ]


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
