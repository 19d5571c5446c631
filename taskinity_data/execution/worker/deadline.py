"""The end of a run's time, on a clock that does not jump, wherever it is looked at."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["Deadline"]


class Deadline:
    """A moment on the monotonic clock; sent elsewhere, it is the time that is left.

    Processes of one machine share that clock, so that for them it stays the same moment. On another
    machine the time left at sending counts from when it is unpacked: the way there comes on top.

    Parameters
    ----------
    left_s : float
        Seconds from now.
    """

    __slots__ = ("_at_s",)

    def __init__(self, left_s: float) -> None:
        self._at_s = time.monotonic() + left_s

    @property
    def left_s(self) -> float:
        """Seconds until then; negative afterwards."""
        return self._at_s - time.monotonic()

    def __reduce__(self) -> tuple[Any, ...]:
        now_s = time.monotonic()
        return _unpack, (self._at_s - now_s, now_s, _clock())


def _unpack(left_s: float, sent_s: float, clock: str | None) -> Deadline:
    on_its_way_s = time.monotonic() - sent_s
    # The second is for a container whose clock has been set off from its machine's.
    is_same = clock is not None and clock == _clock() and on_its_way_s >= 0
    return Deadline(left_s - on_its_way_s if is_same else left_s)


@cache
def _clock() -> str | None:
    """Whose monotonic clock this is: a name for this start of this machine, None if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
