"""Read the limits of this machine and of the container around this process: cores, memory, umask.

`distributed.system` reports much of the same, but importing distributed takes longer than a small
run.
"""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MachineLimits",
    "count_cores",
    "limit_results",
    "memory_limit",
    "read_limits",
    "read_umask",
    "share_memory",
]

SHARE = 3
"""A result and its packed copy are held at once, on the worker and then here; so it may take a
third of what either has, and the rest is for the library, the chunk and what else is there."""

MIN_NBYTES = 8 << 20
"""Travels in any case: it takes 0.1 s, and no worker lives on less than ten times that."""

# Control groups of version 1 report the largest page-aligned 64-bit number for "no limit".
_NO_LIMIT = 2**62


class MachineLimits(NamedTuple):
    """The lowest limits of all control groups; None without a limit, as on other systems."""

    cores: float | None
    memory_nbytes: int | None


def read_limits(
    proc: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> MachineLimits:
    """Read the limits of this process's control group and of all groups around it."""
    cores: list[float] = []
    memory: list[int] = []
    for line in _text(proc).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            for folder in _upward(groups, path):
                cores += _quota(*[*_text(folder / "cpu.max").split(), "", ""][:2])
                memory += _nbytes(_text(folder / "memory.max"))
        elif "memory" in controllers.split(","):
            for folder in _upward(groups / "memory", path):
                memory += _nbytes(_text(folder / "memory.limit_in_bytes"))
        elif "cpu" in controllers.split(","):
            for root in (groups / controllers, groups / "cpu"):
                for folder in _upward(root, path):
                    quota = _text(folder / "cpu.cfs_quota_us")
                    cores += _quota(quota, _text(folder / "cpu.cfs_period_us"))
    return MachineLimits(min(cores, default=None), min(memory, default=None))


@cache
def _own_limits() -> MachineLimits:
    # Read five times a run, and a millisecond each in nested control groups.
    return read_limits()


def count_cores() -> int:
    """Return the number of cores that this process may use: of its affinity, or its container's
    share.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = _own_limits().cores
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def memory_limit() -> int:
    """Return the bytes that this process may use, of the machine's or the container's memory."""
    # What psutil returns, which takes 6 ms to be imported.
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _own_limits().memory_nbytes
    return total if limit is None else min(total, limit)


def limit_results(memory_nbytes: int | None) -> int:
    """Bytes that a result may take which a worker with `memory_nbytes` sends to this process."""
    limits = (memory_limit(),) if memory_nbytes is None else (memory_limit(), memory_nbytes)
    return max(MIN_NBYTES, min(limits) // SHARE)


def share_memory(workers: int) -> int:
    """Return the bytes that each of `workers` on this machine may use."""
    return max(1, memory_limit() // max(1, workers))


def _upward(root: Path, path: str) -> Iterator[Path]:
    """Yield the group's directory and those around it.

    Inside a container `path` may name a directory that is not visible there; then only the root
    is yielded.
    """
    folder = root / path.strip().lstrip("/")
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _quota(quota: str, period: str) -> list[float]:
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return []
    return [int(quota) / int(period)]


def _nbytes(text: str) -> list[int]:
    return [int(text)] if text.isdigit() and int(text) < _NO_LIMIT else []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def read_umask() -> int:
    """Return the umask of this process; the only way to read it is to set it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
