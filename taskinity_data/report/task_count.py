"""Count the chunks of one task, and estimate from their times how long those that remain take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskinity_data.outcome import Status

if TYPE_CHECKING:
    from taskinity_data.outcome import Outcome

__all__ = ["TaskCount", "state_of"]

_MIN_CHUNKS = 5
"""After which the time that is left is known: the first are slower, or not like the others."""

_ENDED = ("COMPLETED", "REUSED", "FALLBACK", "SKIPPED", "FAILED")


@dataclass(slots=True)
class TaskCount:
    """One task, or one fan-out, so far.

    `counts` are its chunks by their state. `done_nbytes` and `done_rows` are those of all chunks
    that have ended; `fresh` are chunks that this try of the run has ended, `worked_s` what workers
    spent on them, and `ended_s` when the last of them ended.
    """

    name: str
    started_s: float = 0.0
    chunks: int | None = None
    nbytes: int = 0
    is_fan_out: bool = False
    is_final: bool = False
    is_done: bool = False
    retried: int = 0
    done_nbytes: int = 0
    done_rows: int = 0
    fresh: int = 0
    fresh_nbytes: int = 0
    fresh_rows: int = 0
    worked_s: float = 0.0
    ended_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """Chunks that have ended, one way or the other."""
        return sum(self.counts[state] for state in _ENDED)

    @property
    def lost(self) -> int:
        """Chunks that have failed or were skipped."""
        return self.counts["FAILED"] + self.counts["SKIPPED"]

    @property
    def total(self) -> float:
        """All planned bytes, or chunks where they have none; 0 if unknown."""
        return float(self.nbytes or self.chunks or 0)

    @property
    def done(self) -> float:
        """What of `total` has ended."""
        return float(self.done_nbytes if self.nbytes else self.ended)

    @property
    def share(self) -> float | None:
        """The completed share, from 0 to 1, by bytes or else by chunks; None if unknown."""
        if self.is_done:
            return 1.0
        return min(1.0, self.done / self.total) if self.total else None

    def add_ended(
        self, nbytes: int, rows: int, seconds: float, at_s: float, *, chunks: int = 1
    ) -> None:
        """Count `chunks` that workers spent `seconds` on; 0 if an earlier try has ended one."""
        self.done_nbytes += nbytes
        self.done_rows += rows
        if chunks:
            self.fresh += chunks
            self.fresh_nbytes += nbytes
            self.fresh_rows += rows
            self.worked_s += seconds
            self.ended_s = at_s

    def estimate_left(self, now_s: float, workers: int, at_work: int) -> float | None:
        """Return the seconds left, None if unknown; `at_work` are chunks that workers have.

        Notes
        -----
        What chunks have cost so far, by bytes, is what those that remain will cost. Of that the
        workers have done a part already: all their time that has not gone into chunks that ended,
        as far as it went into chunks at all. The last chunks keep no more workers busy than they
        are many.
        """
        done = self.fresh_nbytes if self.nbytes else self.fresh
        spent_s = self.ended_s - self.started_s
        if self.fresh < _MIN_CHUNKS or done <= 0 or spent_s <= 0:
            return None
        worked_s = self.worked_s or spent_s
        under_way = min(workers, at_work) * worked_s / self.fresh
        paid_s = workers * spent_s
        used_s = max(worked_s, min(paid_s, worked_s + under_way))
        begun_s = min(under_way, used_s - worked_s)
        at_once = workers if self.chunks is None else min(workers, max(1, self.chunks - self.ended))
        cost_s = max(0.0, worked_s / done * (self.total - self.done) - begun_s)
        left_s = max(cost_s / workers * paid_s / used_s, cost_s / at_once)
        return max(left_s - (now_s - self.ended_s), 0.0) or None


def state_of(outcome: Outcome) -> str:
    """Return the state of a chunk that has ended, one of `run_columns.STATES`."""
    if outcome.status is not Status.COMPLETED:
        return str(outcome.status)
    return "FALLBACK" if outcome.is_fallback else "REUSED" if outcome.is_recalled else "COMPLETED"
