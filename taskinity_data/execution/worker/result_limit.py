"""How large a result may be that is sent from where it was made to the driver.

It knows nothing of how it is packed or sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import TooLargeToSend
from taskinity_data.execution.worker.run_item import measure_nbytes
from taskinity_data.machine import memory_limit
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from taskinity_data.outcome import Outcome

__all__ = ["estimate_nbytes", "limit_results", "refuse"]

SHARE = 3
"""A result and its packed copy are held at once, on the worker and then here; so it may take a
third of what either has, and the rest is for the library, the chunk and what else is there."""

LEAST_NBYTES = 8 << 20
"""Travels in any case: it takes 0.1 s, and no worker lives on less than ten times that."""


def limit_results(memory_nbytes: int | None) -> int:
    """Bytes that a result may take which a worker with `memory_nbytes` sends to this process."""
    known = (memory_limit(),) if memory_nbytes is None else (memory_limit(), memory_nbytes)
    return max(LEAST_NBYTES, min(known) // SHARE)


def estimate_nbytes(outcome: Outcome) -> int:
    """What an outcome's frames and tables take: told without packing them, which takes as much."""
    return sum(map(_measure, _parts(outcome)))


def _measure(value: Any) -> int:
    # Of the user's own classes nothing is asked: their attributes may do anything.
    is_known = type(value).__module__.partition(".")[0] in ("pandas", "pyarrow", "polars", "numpy")
    return (measure_nbytes(value) or 0) if is_known else 0


def _parts(outcome: Outcome) -> list[Any]:
    """The partials and the result; of the list of one that `collect` makes, what it holds."""
    value = outcome.value
    is_pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple)
    found = (*value[0], value[1]) if is_pair else (value,)
    held = [one[0] if type(one) is list and len(one) == 1 else one for one in found]
    return [one for one in held if one is not None]


def refuse(outcome: Outcome, nbytes: int, most_nbytes: int) -> TooLargeToSend:
    """What becomes of `outcome`, which takes `nbytes`."""
    largest = max(_parts(outcome), key=_measure, default=None)
    told, most = format_nbytes(nbytes), format_nbytes(most_nbytes)
    return TooLargeToSend(
        f"{outcome.task}: its result ({type(largest).__name__}, {told}) is too large to be sent to "
        f"the driver: {most} may travel, a third of the memory of a worker or of this machine. "
        "Write it where it is made (output=), reduce it there (reduce=td.group_by(...) or another "
        "reducer), or make chunks smaller (chunk_size=)",
        nbytes=nbytes,
        max_nbytes=most_nbytes,
    )
