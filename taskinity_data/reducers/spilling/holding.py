"""What holds the partials of one reducer while they wait and are combined.

Most are held as they are. A reducer whose partials can outgrow memory has a method ``hold()``,
which gives a `Holder` that may keep them elsewhere: a tree then combines what the holder made of
them. The answer must be the same to the last bit as that of the reducer's own `combine` and
`finish`. It knows nothing of trees or of where partials come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskinity_data.reducers.base import Reducer

__all__ = ["Holder", "Plainly", "hold"]


class Holder(Protocol):
    """Holds the partials of one run's reducer. Not thread-safe; lives in the driver alone."""

    def take(self, partial: Any) -> Any:
        """What stands for `partial`, which is the holder's from now on."""

    def combine(self, held: Sequence[Any]) -> Any:
        """What stands for all of `held`, given in chunk order, which are used up."""

    def finish(self, held: Any | None) -> Any:
        """The answer; None means that there were no chunks."""

    def close(self) -> None:
        """Let go of everything; may be called twice, and at any time."""


class Plainly:
    """Holds partials as they are."""

    def __init__(self, reducer: Reducer) -> None:
        self.combine = reducer.combine
        self.finish = reducer.finish

    def take(self, partial: Any) -> Any:
        """It."""
        return partial

    def close(self) -> None:
        """There is nothing to do."""


def hold(reducer: Reducer) -> Holder:
    """The holder that `reducer` brings, or a plain one."""
    make = getattr(reducer, "hold", None)
    return Plainly(reducer) if make is None else make()
