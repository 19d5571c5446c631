"""How many workers a plan is made for, and what each may use.

It knows nothing of who runs them.
"""

from __future__ import annotations

from typing import Any

from taskinity_data.errors import PlanError, SettingsError
from taskinity_data.machine import count_cores, share_memory
from taskinity_data.policy import parse_nbytes

__all__ = ["check_memory", "check_workers"]


def check_workers(workers: Any) -> int:
    """`workers`, or the cores that this process may use where it is None.

    Raises
    ------
    PlanError
        It is no whole number from 1 up.
    """
    if workers is None:
        return count_cores()
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise PlanError(f"workers={workers!r}: give a whole number from 1 up")
    return workers


def check_memory(memory: Any, workers: int) -> int:
    """Bytes that one worker may use: `memory`, or its share of the machine where it is None.

    Raises
    ------
    PlanError
        It is no size.
    """
    if memory is None:
        return share_memory(workers)
    try:
        return parse_nbytes(memory)
    except SettingsError as error:
        raise PlanError(f"memory: {error}") from error
