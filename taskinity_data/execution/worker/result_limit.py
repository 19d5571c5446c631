"""How large a result is that is sent from where it was made to the driver, and its refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskinity_data.data_kinds import measure_nbytes
from taskinity_data.errors import TooLargeToSend
from taskinity_data.wording import format_nbytes

if TYPE_CHECKING:
    from taskinity_data.outcome import Outcome

__all__ = ["NotSendable", "estimate_nbytes", "refuse"]


class NotSendable(TypeError):  # noqa: N818 - says what is the matter
    """A result that can't be pickled."""


def estimate_nbytes(outcome: Outcome) -> int:
    """Return what an outcome's frames and tables take, without packing them."""
    return sum(map(_measure, _parts(outcome)))


def _measure(value: Any) -> int:
    # Attributes of the user's own classes are not read: they may do anything.
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
