"""What protects a run from an item that takes too long, or takes its process along.

It knows nothing of queues or policies; it says how an item is to be run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.execution.process import Guard

if TYPE_CHECKING:
    from taskinity_data.execution.process import Item, Job
    from taskinity_data.execution.strategies import Strategy

__all__ = ["guard"]

_LEAST_NBYTES = 256 << 20
"""What a child process may hold in any case: Python with pandas and pyarrow has 130 MiB."""


def guard(item: Item, job: Job, strategy: Strategy, until_s: float | None) -> Item:
    """`item` with a guard where it may have to be ended, without one elsewhere.

    That is where a step has a time limit, where a worker died under it, and where the run has an
    end, `until_s`, and `strategy` can't end its workers.
    """
    may_outlast = until_s is not None and not hasattr(strategy, "abort")
    if not getattr(strategy, "can_end", False) or not (
        job.is_timed or item.is_suspect or may_outlast
    ):
        return item if item.guard is None else replace(item, guard=None)
    memory = strategy.memory_nbytes
    return replace(
        item, guard=Guard(None if memory is None else max(memory, _LEAST_NBYTES), until_s)
    )
