"""Runs a batch of items where a worker is: here, or those with a guard in a child process."""

from __future__ import annotations

import os
import time
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from taskinity_data.errors import TaskinityDataError
from taskinity_data.execution.worker.child_pool import ChildPool
from taskinity_data.execution.worker.run_item import MAX_BATCH_S, run_each
from taskinity_data.execution.worker.side_effects import lower_level
from taskinity_data.flow import once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from taskinity_data.execution.worker.job import Item, Job
    from taskinity_data.execution.worker.shipping import Parcel
    from taskinity_data.outcome import Outcome, OutcomeBlock

__all__ = ["close_on_worker", "holds_values", "run_items", "run_parcel"]

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

    An error stands for one that can't be run. `blob` is `job`, packed, where that is done already.
    """
    ended: list[Outcome | OutcomeBlock | BaseException] = []
    for part in _divide(job, items):
        if part[0].guard is None:
            ended += run_each(job, part)
            continue
        from taskinity_data.execution.worker.shipping import unpack_outcomes

        try:
            ended += unpack_outcomes(children.run(job, part, blob))
        except TaskinityDataError as error:
            ended += [error] * len(part)
    return ended


def run_parcel(packed: bytes | Parcel, items_blob: bytes) -> list[bytes | BaseException]:
    """Run packed items on a worker: see `run_items`. Each outcome or block is packed alone.

    An outcome whose value can't be pickled becomes that item's failure.
    """
    from taskinity_data.execution.worker.shipping import (
        Parcel,
        pack_ended,
        unpack_items,
        unpack_job,
    )

    keep_freed_memory()
    job = packed.unpack() if isinstance(packed, Parcel) else unpack_job(packed)
    blob = packed.blob if isinstance(packed, Parcel) else packed
    outcomes: list[bytes | BaseException] = []
    with lower_level(job.log_level):
        for part in _divide(job, unpack_items(items_blob)):
            if part[0].guard is None:
                ended = run_each(job, part, restores=True)
                outcomes += pack_ended(ended, part, job.max_nbytes)
                continue
            try:
                outcomes += _children.run(job, part, blob)
            except TaskinityDataError as error:
                outcomes += [error] * len(part)
    return outcomes


def holds_values(packed: Parcel) -> bool:
    """Return whether this worker, or a child of it, has values of the run of a packed job."""
    return once.holds_values(packed.unpack().session_id) or _children.holds_values


async def close_on_worker(session_id: str, dask_worker: Any) -> list[str]:
    """Close what this Dask worker has made for that run, and return what went wrong."""
    from asyncio import get_running_loop

    # In a thread of its tasks: where it has one alone, that is the one that made them. Tasks that
    # were cancelled may run there for long.
    executor = None if dask_worker.state.executing else dask_worker.executors["default"]
    loop = get_running_loop()
    texts = await loop.run_in_executor(executor, once.close_values, session_id)
    return texts + await loop.run_in_executor(executor, _children.close_values, session_id)


def _divide(job: Job, items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield items that run together, until the batch has taken too long.

    Suspects, and items with a time limit of their own, are alone. `run_each`, which looks at the
    time too, begins later, so that where it ends early this does.
    """
    until_s = time.monotonic() + MAX_BATCH_S

    def divide(item: Item) -> tuple[bool, bool]:
        is_guarded = item.guard is not None
        return is_guarded, is_guarded and (job.is_timed or item.is_suspect)

    for (_, is_alone), group in groupby(items, divide):
        for part in ([item] for item in group) if is_alone else (list(group),):
            yield part
            if time.monotonic() > until_s:
                return
