"""How large data are, and a result may be that is sent from where it was made to the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.errors import TooLargeToSend
from taskinity_data.machine import memory_limit
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from taskinity_data.outcome import Outcome

__all__ = ["NotSendable", "estimate_nbytes", "limit_results", "measure_nbytes", "refuse"]

SHARE = 3
"""A result and its packed copy are held at once, on the worker and then here; so it may take a
third of what either has, and the rest is for the library, the chunk and what else is there."""

MIN_NBYTES = 8 << 20
"""Travels in any case: it takes 0.1 s, and no worker lives on less than ten times that."""


class NotSendable(TypeError):  # noqa: N818 - says what is the matter
    """A result that can't be pickled."""


def limit_results(memory_nbytes: int | None) -> int:
    """Bytes that a result may take which a worker with `memory_nbytes` sends to this process."""
    limits = (memory_limit(),) if memory_nbytes is None else (memory_limit(), memory_nbytes)
    return max(MIN_NBYTES, min(limits) // SHARE)


def measure_nbytes(data: Any) -> int | None:
    """Bytes that a frame or table takes in memory, None for anything else.

    Objects in object columns count as their pointers only; measuring them would cost as much as
    many chunk functions do.
    """
    if hasattr(data, "memory_usage"):
        usage = data.memory_usage(index=False)
        return int(usage.sum() if hasattr(usage, "sum") else usage)
    if hasattr(data, "estimated_size"):
        return int(data.estimated_size())
    nbytes = getattr(data, "nbytes", None)
    return int(nbytes) if isinstance(nbytes, int) else None


def estimate_nbytes(outcome: Outcome) -> int:
    """Return what an outcome's frames and tables take, without packing them."""
    return sum(map(_measure, _parts(outcome)))


def _measure(value: Any) -> int:
    # Of the user's own classes nothing is read: their attributes may do anything.
    is_known = type(value).__module__.partition(".")[0] in ("pandas", "pyarrow", "polars", "numpy")
    return (measure_nbytes(value) or 0) if is_known else 0


def _parts(outcome: Outcome) -> list[Any]:
    """Return the partials and the result; of the one-item list of `collect` its item."""
    value = outcome.value
    is_pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], tuple)
    values = (*value[0], value[1]) if is_pair else (value,)
    contents = [value[0] if type(value) is list and len(value) == 1 else value for value in values]
    return [value for value in contents if value is not None]


def refuse(outcome: Outcome, nbytes: int, max_nbytes: int) -> TooLargeToSend:
    """Return the error of `outcome`, which takes `nbytes`."""
    largest = max(_parts(outcome), key=_measure, default=None)
    size, limit = format_nbytes(nbytes), format_nbytes(max_nbytes)
    return TooLargeToSend(
        f"{outcome.task}: its result ({type(largest).__name__}, {size}) is too large to be sent to "
        f"the driver: {limit} may travel, a third of the memory of a worker or of this machine. "
        "Write it where it is made (output=), reduce it there (reduce=td.group_by(...) or another "
        "reducer), or make chunks smaller (chunk_size=)",
        nbytes=nbytes,
        max_nbytes=max_nbytes,
    )
