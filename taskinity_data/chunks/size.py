"""Define the size of the next chunk: a target in bytes, and the reason for it as text."""

from __future__ import annotations

import math
from typing import NamedTuple

from taskinity_data.wording import format_nbytes

__all__ = [
    "ROWS_NBYTES",
    "Size",
    "format_rate",
    "format_seconds",
    "make_size",
    "memory_reason",
    "whole_groups",
]

ROWS_NBYTES = 32 << 20
"""What a chunk of whole groups of rows takes in memory where workers are threads, unless its fixed
cost is worth more. Its function and its partial take twice as much again, and threads share the
process: two of them peaked at 600 MB in TPC-H's Q1 with first chunks of 100 MB, now at 355."""


class Size(NamedTuple):
    """A target for the next chunk, in planned bytes, and the reason as text."""

    target_nbytes: int
    reason: str
    whole_nbytes: int = 0
    """Bytes up to which a group of rows that is decoded as a whole (a row group of Parquet, a
    stripe of ORC) is not cut, whatever the target; 0: all are."""


def make_size(nbytes: float, reason: str) -> Size:
    """Return `nbytes` as a whole number of at least 1, with its reason."""
    target = max(1, math.floor(min(nbytes, 2.0**62)))
    return Size(target, f"{format_nbytes(target)}: {reason}")


def whole_groups(size: Size, group_nbytes: int, whole_nbytes: float) -> Size:
    """Return `size` for groups of rows that are not cut up to `whole_nbytes`."""
    whole = math.floor(min(whole_nbytes, 2.0**62))
    if not size.target_nbytes < group_nbytes <= whole:
        return size._replace(whole_nbytes=whole)
    _, _, why = size.reason.partition(": ")
    reason = f"{format_nbytes(group_nbytes)}: a whole group of rows, not less; {why}"
    return Size(group_nbytes, reason, whole)


def memory_reason(worker_memory_nbytes: int, measured: str, share: float) -> str:
    """Return the reason for a size that memory limits, by what was `measured`."""
    whole = format_nbytes(worker_memory_nbytes)
    return f"{measured} within {share:g} of the {whole} that a worker has"


def format_rate(nbytes_s: float) -> str:
    """Return bytes per second as text."""
    return f"{nbytes_s / 1e6:.3g} MB/s"


def format_seconds(seconds: float) -> str:
    """Return a duration as text, in the unit that fits."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
