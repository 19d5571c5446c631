"""What a driver is to do, as values: each piece of work with what it needs.

It knows nothing of how, where or when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskinity_data.execution.fan_out import FanOut
    from taskinity_data.execution.process import Job
    from taskinity_data.execution.strategies import Strategy

__all__ = ["Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """One thing that the driver can do as soon as `needs` have their values.

    Exactly one of `open` (a fan-out), `job` (a plain task) and `finish` (a reducer's last step, or
    a plain aggregate's inputs) is what it is made of.
    """

    name: str
    needs: tuple[str, ...]
    open: Callable[[Mapping[str, Any], Strategy], FanOut] | None = None
    job: Callable[[Mapping[str, Any]], Job] | None = None
    finish: tuple[str, int] | None = None
    is_local: bool = False
