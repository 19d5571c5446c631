"""How many chunks a run makes, by playing it through with what a slice took: pure.

It knows nothing of how that was measured.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from taskinity_data.chunks.sizing import Learner, Observation

if TYPE_CHECKING:
    from taskinity_data.chunks.cost_line import Line
    from taskinity_data.chunks.sizing import Size

__all__ = ["count_chunks"]

PLAYED, RECENT, LAST = 64, 16, 16
"""Chunks after which sizes hardly change any more, those whose mean stands for all that follow, and
for each worker the last ones, which taper off: these are played again."""


def count_chunks(first: Size, learnt: Learner, time: Line, total_nbytes: int, workers: int) -> int:
    """The chunks into which a run cuts `total_nbytes`, while it learns what they take.

    Parameters
    ----------
    first : Size
        What it begins with.
    learnt : Learner
        Tells the memory that chunks take, and what there is.
    time : Line
        Seconds that a chunk takes on its worker.
    total_nbytes, workers : int

    Returns
    -------
    int
        At least 1.

    Examples
    --------
    >>> from taskinity_data.chunks.cost_line import Line
    >>> from taskinity_data.chunks.sizing import Size
    >>> first = Size(16_000_000, "16 MB")
    >>> waits, computes = Line(0.05, 1e-9, 0.0), Line(0.0, 1e-7, 0.0)
    >>> [count_chunks(first, Learner(first), one, 10**9, 2) for one in (waits, computes)]
    [17, 692]
    """
    learner = Learner(first, learnt.worker_memory_nbytes, learnt.expansion)
    memory = learnt.memory
    window: deque[int] = deque()
    recent: deque[int] = deque(maxlen=RECENT)
    left, count = total_nbytes, 0
    while left > 0:
        size = min(left, learner.next_size(left, workers, len(window)).target_nbytes)
        left -= size
        count += 1
        window.append(size)
        recent.append(size)
        if len(window) >= 2 * workers:
            done = window.popleft()
            held = int(memory.predict(done)) if learnt.recent else None
            learner = learner.observe(Observation(done, time.predict(done), held))
        if count == PLAYED:
            usual = sum(recent) / len(recent)
            skipped = max(0, int(left / usual) - LAST * workers)
            count += skipped
            left -= int(skipped * usual)
    return count
