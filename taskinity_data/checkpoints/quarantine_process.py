"""Reads a chunk in a process of its own, so that a file which kills its reader kills only that.

The child is bounded in time, in memory and in
what it writes; it gets the chunk on its standard input and writes an Arrow file to its output.
"""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa

from taskinity_data.checkpoints.quarantine_rows import QuarantinedRows, write_table
from taskinity_data.redact import clean_text

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk

__all__ = ["SeparateReader", "main"]

MAX_S, MAX_RUN_S = 20.0, 60.0
"""How long one chunk may take, and all of a run: the driver waits for them. To start takes 0.4 s, a
few seconds on a loaded machine."""

MAX_MEMORY_NBYTES = 2 << 30
"""What the child may hold: chunks of up to 256 MiB are copied, readers take a few times that."""

MAX_WRITTEN_NBYTES = 512 << 20

_LOOK_S = 0.02
_MAX_ERROR_NBYTES = 2_000


class SeparateReader:
    """Reads chunks one after another, each in a process of its own; says why where it can't.

    Parameters
    ----------
    max_s, max_run_s : float
        Seconds that one may take, and all together.
    max_memory_nbytes : int
        What such a process may hold.
    """

    def __init__(
        self,
        max_s: float = MAX_S,
        max_run_s: float = MAX_RUN_S,
        max_memory_nbytes: int = MAX_MEMORY_NBYTES,
    ) -> None:
        self._max_s, self._left_s = max_s, max_run_s
        self._max_memory_nbytes = max_memory_nbytes

    def read(self, chunk: Chunk) -> QuarantinedRows:
        """Return the rows of `chunk`, or why they could not be copied."""
        limit_s = min(self._max_s, self._left_s)
        if limit_s <= 0:
            return _refuse("the time for that was used up by other chunks")
        begun = time.monotonic()
        try:
            return self._read(pickle.dumps(chunk, protocol=5), limit_s)
        except Exception as error:  # noqa: BLE001 - no process, no room, a reader of one's own
            return _refuse(clean_text(f"{type(error).__name__}: {error}"))
        finally:
            self._left_s -= time.monotonic() - begun

    def _read(self, blob: bytes, limit_s: float) -> QuarantinedRows:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from taskinity_data.checkpoints.quarantine_process import main; main({limit_s!r})"
        )
        with tempfile.TemporaryFile() as rows, tempfile.TemporaryFile() as errors:
            child = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=rows,
                stderr=errors,
                start_new_session=True,
            )
            # By a pipe, since it may hold a store's keys; and who does not read it blocks nobody.
            threading.Thread(target=_feed, args=(child.stdin, blob), daemon=True).start()
            try:
                why_not = self._watch(child, limit_s)
            finally:
                _end(child)
            if why_not is None and child.returncode:
                errors.seek(0)
                text = errors.read(_MAX_ERROR_NBYTES).decode("utf-8", "replace").strip()
                why_not = text if child.returncode == _REFUSED else _name(child.returncode)
            if why_not is not None:
                return _refuse(clean_text(why_not))
            rows.seek(0)
            data = rows.read()
        return QuarantinedRows(
            ".arrow", data, pa.ipc.open_file(pa.py_buffer(data)).read_all().num_rows
        )

    def _watch(self, child: subprocess.Popen[bytes], limit_s: float) -> str | None:
        """Return why `child` was ended; None where it has ended by itself."""
        until = time.monotonic() + limit_s
        process = psutil.Process(child.pid)
        while child.poll() is None:
            if time.monotonic() > until:
                return f"reading them took longer than {limit_s:.3g} s"
            try:
                rss_nbytes = process.memory_info().rss
            except psutil.Error:
                rss_nbytes = 0
            if rss_nbytes > self._max_memory_nbytes:
                return f"reading them took more than {self._max_memory_nbytes >> 20:,} MiB"
            time.sleep(_LOOK_S)
        return None


_REFUSED = 3
"""How a child ends whose reader raised an error, which stands on its standard error."""


def _refuse(why: str) -> QuarantinedRows:
    return QuarantinedRows(
        why_not=f"they were read in a process of their own, as that might fail: {why}"
    )


def _name(code: int) -> str:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"it died ({how})"


def _feed(pipe: Any, blob: bytes) -> None:
    with suppress(OSError), pipe:
        pipe.write(blob)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End it with all that it started, where it goes on, and wait for it."""
    if child.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main(limit_s: float) -> None:
    """Read the chunk on standard input, and write its rows to standard output."""
    # Where nobody is left to end it, the system does.
    signal.alarm(int(limit_s) + 5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN_NBYTES, MAX_WRITTEN_NBYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    output = os.dup(1)
    os.dup2(2, 1)  # what readers print is no row
    try:
        chunk: Any = pickle.load(sys.stdin.buffer)  # noqa: S301 - made by `SeparateReader.read`
        table = chunk.load("arrow").data
        with os.fdopen(output, "wb") as file:
            write_table(table, file)
    except Exception as error:  # noqa: BLE001 - reported to the parent
        os.write(2, f"{type(error).__name__}: {error}".encode("utf-8", "replace"))
        os._exit(_REFUSED)
    os._exit(0)
