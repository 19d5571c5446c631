"""Runs a batch of items where a worker is: here, or those with a guard in a child process."""

from __future__ import annotations

import os
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING

from taskinity_data.errors import TaskinityDataError
from taskinity_data.execution.worker.child_pool import ChildPool
from taskinity_data.execution.worker.log_capture import lower_level
from taskinity_data.execution.worker.run_item import run_each
from taskinity_data.execution.worker.shipping import (
    Parcel,
    pack_ended,
    unpack_items,
    unpack_job,
    unpack_outcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.outcome import Outcome, OutcomeBlock

__all__ = ["run_items", "run_parcel"]

_DASK_TRIMS = "65536"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

_children = ChildPool()
"""The children of a worker process. They end with it, and by themselves when they idle."""


@cache
def keep_freed_memory() -> bool:
    """Let this process keep 128 MiB of what it frees, where Dask has set that it keeps nothing.

    Its nannies have each freed block given back to the system, so that each chunk gets the memory
    of the one before page by page: a fifth of the CPU of a chunk that is only read and grouped.
    """
    if os.environ.get("MALLOC_TRIM_THRESHOLD_") != _DASK_TRIMS:
        return False
    try:
        from ctypes import CDLL

        set_option = CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # not glibc
    return bool(
        set_option(_M_MMAP_THRESHOLD, 32 << 20) and set_option(_M_TRIM_THRESHOLD, 128 << 20)
    )


def run_items(
    job: Job, items: Iterable[Item], children: ChildPool, blob: bytes | None = None
) -> list[Outcome | OutcomeBlock | BaseException]:
    """Return the outcomes of `items`, in their order: see `run_each`.

    An error stands for one that never began. `blob` is `job`, packed, where that is done already.
    """
    ended: list[Outcome | OutcomeBlock | BaseException] = []
    for is_guarded, group in groupby(items, lambda item: item.guard is not None):
        if not is_guarded:
            ended += run_each(job, group)
            continue
        for item in group:
            try:
                ended.append(unpack_outcome(children.run(job, item, blob)))
            except TaskinityDataError as error:
                ended.append(error)
    return ended


def run_parcel(packed: bytes | Parcel, items_blob: bytes) -> list[bytes | BaseException]:
    """Runs packed `items` on a worker; each outcome or block of outcomes is packed alone.

    An outcome whose value can't be pickled becomes that item's failure.
    """
    keep_freed_memory()
    job = packed.unpack() if isinstance(packed, Parcel) else unpack_job(packed)
    blob = packed.blob if isinstance(packed, Parcel) else packed
    outcomes: list[bytes | BaseException] = []
    with lower_level(job.log_level):
        for is_guarded, group in groupby(
            unpack_items(items_blob), lambda item: item.guard is not None
        ):
            items = list(group)
            if not is_guarded:
                ended = run_each(job, items, restores=True)
                outcomes += pack_ended(ended, items, job.max_nbytes)
                continue
            for item in items:
                try:
                    outcomes.append(_children.run(job, item, blob))
                except TaskinityDataError as error:
                    outcomes.append(error)
    return outcomes
