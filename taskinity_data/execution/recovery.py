"""What protects a run from an item that takes too long or too much, and what else to try with it.

It knows nothing of queues or policies; it says how an item is run, and what it can be split into.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskinity_data.execution.process import Guard

if TYPE_CHECKING:
    from taskinity_data.chunks.chunk import Chunk
    from taskinity_data.execution.deadline import Deadline
    from taskinity_data.execution.process import Item, Job
    from taskinity_data.execution.strategies import Strategy
    from taskinity_data.outcome import Failure

__all__ = ["guard", "is_too_large", "split_chunk"]

_LEAST_NBYTES = 256 << 20
"""What a child process may hold in any case: Python with pandas and pyarrow has 130 MiB."""


def guard(item: Item, job: Job, strategy: Strategy, deadline: Deadline | None) -> Item:
    """`item` with a guard where it may have to be ended, without one elsewhere.

    That is where a step has a time limit, where a worker died under it, and where the run has an
    end, `deadline`, and `strategy` can't end its workers.
    """
    may_outlast = deadline is not None and not hasattr(strategy, "abort")
    if may_outlast and not job.is_timed and hasattr(strategy, "can_send"):
        may_outlast = strategy.can_send(job)
    if not getattr(strategy, "can_end", False) or not (
        job.is_timed or item.is_suspect or may_outlast
    ):
        return item if item.guard is None else replace(item, guard=None)
    memory = strategy.memory_nbytes
    return replace(
        item, guard=Guard(None if memory is None else max(memory, _LEAST_NBYTES), deadline)
    )


def is_too_large(failure: Failure) -> bool:
    """Whether an item failed for want of memory: NumPy's and Arrow's errors are such too."""
    return failure.is_a(MemoryError)


def split_chunk(chunk: Chunk) -> tuple[Chunk, ...]:
    """`chunk` as two smaller ones, in order; itself alone where it is one record.

    Where its rows are known those of the halves are too: text is looked through for them once.
    """
    halves = chunk.split()
    if len(halves) < 2 or chunk.rows is None or halves[0].rows is not None:
        return halves
    first, second = (half.pieces[0] for half in halves)
    counts = [grain.rows for grain in chunk.reader.recut(first, first.nbytes)]
    if None in counts:
        return halves
    rows = sum(count for count in counts if count is not None)
    return (
        replace(halves[0], pieces=(replace(first, rows=rows),)),
        replace(halves[1], pieces=(replace(second, rows=chunk.rows - rows),)),
    )
