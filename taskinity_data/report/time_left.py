"""Estimate how long the chunks that remain will take, from the time of those that have ended."""

from __future__ import annotations

__all__ = ["estimate_left"]

_MIN_CHUNKS = 5
"""After which the time that is left is known: the first are slower, or not like the others."""


def estimate_left(
    done: float,
    remain: float,
    *,
    ended: int,
    at_work: int,
    chunks_left: int | None,
    workers: int,
    worked_s: float,
    spent_s: float,
) -> float | None:
    """Return the seconds left from the moment when the last chunk ended; None if unknown.

    Parameters
    ----------
    done, remain : float
        Bytes, or chunks where they have none, that have ended in this try, and that have not.
    ended, at_work : int
        Chunks that have ended in this try, and those that a worker or its queue has.
    chunks_left : int or None
        Chunks that have not ended; None if unknown.
    worked_s, spent_s : float
        What workers spent on chunks that have ended, and how long ago the first of them began.

    Notes
    -----
    What chunks have cost so far, by bytes, is what those that remain will cost. Of that the workers
    have done a part already: all their time that has not gone into chunks that ended, as far as it
    went into chunks at all. The last chunks keep no more workers busy than they are many.
    """
    if ended < _MIN_CHUNKS or done <= 0 or spent_s <= 0:
        return None
    worked_s = worked_s or spent_s
    under_way = min(workers, at_work) * worked_s / ended
    paid_s = workers * spent_s
    used_s = max(worked_s, min(paid_s, worked_s + under_way))
    begun_s = min(under_way, used_s - worked_s)
    at_once = float(workers if chunks_left is None else min(workers, max(1, chunks_left)))
    cost_s = max(0.0, worked_s / done * remain - begun_s)
    return max(cost_s / workers * paid_s / used_s, cost_s / at_once)
