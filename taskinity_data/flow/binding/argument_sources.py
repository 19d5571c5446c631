"""Define the sources of a task's parameters: another task's result, an input of the flow, a
constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Constant", "Input", "Source", "Upstream"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The result of the stage called `task`; of a fan-out: the list of its results, in order."""

    task: str


@dataclass(frozen=True, slots=True)
class Input:
    """What the caller of the flow hands over under `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the flow itself."""

    value: Any


Source = Upstream | Input | Constant
