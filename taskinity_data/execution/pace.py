"""How fast items get done by one pool, and whether another one does them faster.

Pure arithmetic on what attempts have measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskinity_data.outcome import Attempt

__all__ = ["Pace"]

_COMPUTING = 0.5
"""The share of their time that items of a process of its own compute, from which on computing is
what they do: what waits for a service or a disk is far below it, plain Python close to 1."""


@dataclass
class Pace:
    """What one pool has done of one fan-out.

    Attributes
    ----------
    count : int
        Attempts.
    weight : int
        Bytes, or items where these have none.
    cpu_s, spent_s : float
        Seconds that the attempts computed, and took; summed.
    begun_s, ended_s : float
        When the first began and the last ended, since the epoch.
    """

    count: int = 0
    weight: int = 0
    cpu_s: float = 0.0
    spent_s: float = 0.0
    begun_s: float = math.inf
    ended_s: float = -math.inf

    def add(self, attempt: Attempt, weight: int) -> None:
        """One more attempt has ended."""
        self.count += 1
        self.weight += weight
        self.cpu_s += attempt.cpu_s or 0.0
        self.spent_s += attempt.duration_s
        self.begun_s = min(self.begun_s, attempt.started_s)
        self.ended_s = max(self.ended_s, attempt.started_s + attempt.duration_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds from the first begin to the last end."""
        return max(self.ended_s - self.begun_s, 0.0)

    def beats(self, other: Pace) -> bool:
        """Whether more was done in a second than by `other`.

        Of items that compute, the computing is compared: their cost may change along a file, while
        bytes a second would then compare one part of the data with another.
        """
        if self.cpu_s >= _COMPUTING * self.spent_s:
            return self.cpu_s * other.elapsed_s > other.cpu_s * self.elapsed_s
        return self.weight * other.elapsed_s > other.weight * self.elapsed_s
