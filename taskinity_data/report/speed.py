"""Say how much faster the chunks of a run were than one after another, and name its times."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DRIVER_TIMES", "WORKER_TIMES", "speed_up"]

DRIVER_TIMES = {
    "start_workers": "starting workers",
    "plan": "planning",
    "combine": "combining",
    "wait": "waiting for workers",
    "close": "stopping workers",
}
WORKER_TIMES = {"read": "reading", "function": "the function", "partial": "reducing and writing"}
"""The parts of `Run.timings` in words: of the driver's time, and of the workers', summed up."""


def speed_up(timings: Mapping[str, float], workers: int) -> float | None:
    """Return how many times as long the chunks' work takes as the run took for it.

    None where that work is not known. The time of tasks that run once is none that workers share.
    Where such tasks ran beside the chunks, all workers were busy at best.

    >>> speed_up({"total": 5.0, "single": 3.0, "work": 3.0}, 2)
    1.5
    """
    work = timings.get("work")
    if not work or not timings["total"]:
        return None
    return work / max(timings["total"] - timings.get("single", 0.0), work / max(1, workers))
