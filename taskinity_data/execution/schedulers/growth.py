"""What a Dask cluster may grow to, and whether it is starting workers, by its cluster object."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Growth", "count_planned", "expect_growth"]

ADAPTIVE_S = 5.0
"""Dask's ``distributed.adaptive.target-duration``: an adaptive cluster asks for a worker for each
so many seconds of work that it sees, and gives workers back where it sees less."""


class Growth(NamedTuple):
    """How many threads a cluster will have, and how much work makes it start them.

    `queued_s` is in seconds for each of these threads; 0 where nothing depends on it.
    """

    threads: int
    queued_s: float


def expect_growth(
    cluster: Any, threads: Mapping[str, int], limit: int | None, *, has_grown: bool
) -> Growth:
    """Return what `cluster` will have, which has `threads` by worker now.

    Parameters
    ----------
    cluster : object or None
        The cluster object of the client, None if there is only an address.
    threads : mapping of worker to int
    limit : int or None
        The number of workers that the user has given.
    has_grown : bool
        Whether workers have joined in this run: more may.
    """
    now = sum(threads.values())
    adaptive: Any = getattr(cluster, "_adaptive", None)
    if getattr(adaptive, "state", None) in ("starting", "running"):
        each = _threads_of_worker(cluster, threads)
        max_threads = adaptive.maximum * each
        if math.isinf(max_threads):
            max_threads = 2 * max(now, each)
        queued_s = adaptive.target_duration
    elif (planned := count_planned(cluster)) is not None:
        max_threads, queued_s = planned * _threads_of_worker(cluster, threads), 0.0
    elif has_grown or (limit or 0) > now:
        max_threads, queued_s = limit or 2 * now, ADAPTIVE_S
    else:
        max_threads, queued_s = now, 0.0
    return Growth(int(max(now, max_threads, 1)), queued_s)


def count_planned(cluster: Any) -> int | None:
    """Return how many workers `cluster` is to have by now; None if it does not say."""
    spec = getattr(cluster, "worker_spec", None)
    if spec is None:
        return None
    return sum(len(worker.get("group", "1")) for worker in spec.values())


def _threads_of_worker(cluster: Any, threads: Mapping[str, int]) -> int:
    """Return the threads of a usual worker."""
    if threads:
        return max(1, round(sum(threads.values()) / len(threads)))
    options = (getattr(cluster, "new_spec", None) or {}).get("options", {})
    # Those of dask-jobqueue have the cores of a job, shared by its processes.
    cores = options.get("nthreads") or options.get("cores", 1) // (options.get("processes") or 1)
    return max(1, int(cores))
