"""What this machine, and the container around this process, grant it: cores, memory, permissions.

It knows nothing of who asks. `distributed.system` tells much of the same, but loading distributed
takes longer than a small run.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MachineLimits",
    "count_cores",
    "memory_limit",
    "read_limits",
    "read_umask",
    "share_memory",
]

# Version 1 writes the largest page-aligned 64-bit number where there is no limit.
_NO_LIMIT = 2**62


class MachineLimits(NamedTuple):
    """The least of all control groups' limits; None where there is none, as off Linux."""

    cores: float | None
    memory_nbytes: int | None


def read_limits(
    proc: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> MachineLimits:
    """The limits of this process's control group and of all groups around it."""
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


def count_cores() -> int:
    """Cores that this process may use: its affinity's, or its container's share below that."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = read_limits().cores
    return own if quota is None else max(1, min(own, math.ceil(quota)))


def memory_limit() -> int:
    """Bytes that this process may use: the machine's memory, or its container's limit below it."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limit = read_limits().memory_nbytes
    return total if limit is None else min(total, limit)


def share_memory(workers: int) -> int:
    """Bytes that each of `workers` on this machine may use."""
    return max(1, memory_limit() // max(1, workers))


def _upward(root: Path, path: str) -> Iterator[Path]:
    """The group's folder and those around it.

    Inside a container `path` may name what is not seen there; then only the root is found.
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
    """Return the umask of this process, which the system gives back only where it is set."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask
