"""Writes the text of a compressed file into its scratch file, within limits: bombs, a full disk.

It knows nothing of how the text is made.
"""

from __future__ import annotations

import os
import shutil
from threading import Event, Lock
from typing import TYPE_CHECKING

from taskinity_data.errors import PlanError
from taskinity_data.sources.compression.codecs import codec_of, unpack_line
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskinity_data.sources.file import SourceFile

__all__ = ["MAX_RATIO", "RATIO_FLOOR_NBYTES", "RESERVE_NBYTES", "ScratchWriter", "Stopped"]

MAX_RATIO = 500
"""Text of a byte of file, at most, once there are `RATIO_FLOOR_NBYTES` of text. Repetitive logs
reach 100 to 200 with xz; a bomb of zeros has 1,000 (gzip) to 45,000 (bz2)."""

RATIO_FLOOR_NBYTES = 256 << 20

RESERVE_NBYTES = 256 << 20
"""Bytes that stay free on the disk of the scratch files."""

_LOOK_NBYTES = 32 << 20
"""Text between two looks at the disk's free space."""


class ScratchWriter:
    """Writes text into a scratch file, within the limits; parts may be written from threads."""

    def __init__(
        self, target: int, file: SourceFile, max_nbytes: int | None, directory: str, stop: Event
    ) -> None:
        self._target, self._file, self._directory = target, file, directory
        self._max_nbytes, self._stop = max_nbytes, stop
        self._stop_parts = Event()
        self._lock = Lock()
        self._next_look = 0
        self._expected = 0
        self.nbytes = 0

    def expect(self, nbytes: int) -> None:
        """Raise now where `nbytes`, which the file declares, is too much."""
        self._expected = nbytes
        self._check(nbytes)
        if nbytes > shutil.disk_usage(self._directory).free - RESERVE_NBYTES:
            raise self.full()

    def stop_parts(self) -> None:
        """Let the threads that write parts of this file end."""
        self._stop_parts.set()

    def begin_again(self) -> None:
        """Forget all that was written, once no thread writes any more."""
        os.ftruncate(self._target, 0)
        self._stop_parts.clear()
        self.nbytes = self._next_look = 0

    def write(self, blocks: Iterator[bytes], place: int = 0, nbytes: int | None = None) -> int:
        """Write `blocks` from `place` on; how many bytes. More than `nbytes` are not written."""
        done = 0
        for block in blocks:
            if self._stop.is_set() or self._stop_parts.is_set():
                raise Stopped
            if done == 0 and place == 0:
                self._check_first(block)
            if nbytes is not None and done + len(block) > nbytes:
                return done + len(block)
            self._count(len(block))
            view = memoryview(block)
            while view:
                written = os.pwrite(self._target, view, place + done)
                view, done = view[written:], done + written
        return done

    def full(self) -> PlanError:
        """What to raise where the disk is full."""
        free = shutil.disk_usage(self._directory).free
        needed = f"{self._expected:,}" if self._expected else f"more than {self.nbytes:,}"
        return PlanError(
            f"{self._file}: unpacking it needs {needed} bytes in {self._directory}, where "
            f"{free:,} are free and {RESERVE_NBYTES:,} must stay free; make room, or set TMPDIR to "
            "a directory on a larger disk"
        )

    def _count(self, nbytes: int) -> None:
        with self._lock:
            self.nbytes += nbytes
            self._check(self.nbytes)
            if self.nbytes < self._next_look:
                return
            self._next_look = self.nbytes + _LOOK_NBYTES
        if shutil.disk_usage(self._directory).free < RESERVE_NBYTES + nbytes:
            raise self.full()

    def _check(self, nbytes: int) -> None:
        limit = self._max_nbytes
        if limit is not None and nbytes > limit:
            raise PlanError(
                f"{self._file}: unpacks to more than the {limit:,} bytes of max_nbytes; give more: "
                + _raise_to(2 * max(nbytes, limit))
            )
        most = MAX_RATIO * self._file.nbytes
        if limit is None and nbytes > max(RATIO_FLOOR_NBYTES, most):
            raise PlanError(
                f"{self._file}: its {self._file.nbytes:,} bytes unpack to more than {MAX_RATIO} "
                "times as much, as those of a bomb do; where it is none, say how much it may be: "
                + _raise_to(max(4 * nbytes, 1 << 30))
            )

    def _check_first(self, block: bytes) -> None:
        codec = codec_of(block)
        if codec is None:
            return
        if codec == "tar":
            raise PlanError(
                f"{self._file}: holds a tar archive; unpack the member that is meant first: "
                f"{unpack_line('tar', self._file.path)}"
            )
        raise PlanError(f"{self._file}: is compressed twice, within it is {codec}; unpack it once")


def _raise_to(nbytes: int) -> str:
    size = format_nbytes(nbytes).partition(" (")[0].replace(" ", "")
    return f'compression={{"method": "infer", "max_nbytes": "{size}"}}'


class Stopped(Exception):  # noqa: N818 - never seen: another error is on its way
    """Another file or part failed, or the user gave up."""
