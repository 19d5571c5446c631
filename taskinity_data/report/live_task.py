"""Keep the state of one task, or of one fan-out and its chunks in columns, for the dashboard."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from taskinity_data.report.time_left import estimate_left

__all__ = ["STATES", "LiveTask"]

STATES = ("FAILED", "SKIPPED", "FALLBACK", "RETRYING", "RUNNING", "PENDING", "COMPLETED", "REUSED")
"""What a chunk can be, what should be seen first: ``RUNNING`` is handed to a worker or its queue,
``REUSED`` was finished by an earlier run, ``PENDING`` was given back when the run ended."""

_CODES = {state: code for code, state in enumerate(STATES)}
_ENDED = ("COMPLETED", "REUSED", "FALLBACK", "SKIPPED", "FAILED")


@dataclass(slots=True)
class LiveTask:
    """One task of the flow, or one fan-out, so far.

    The place of a chunk, by its key, in the columns is in `index`: `codes` are those of its state,
    `sizes` its bytes (1 where they are unknown), `locations` its range, and `notes` its rows and
    time. A chunk whose parts have taken its place has the size 0. `fresh` chunks and bytes are
    those that this try has done, in `worked_s`.
    """

    name: str
    state: str = "PENDING"
    chunks: int | None = None
    is_final: bool = False
    is_fan_out: bool = False
    nbytes: int = 0
    done_nbytes: int = 0
    done_rows: int = 0
    retried: int = 0
    fresh: int = 0
    fresh_nbytes: int = 0
    worked_s: float = 0.0
    begun_s: float = 0.0
    ended_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    index: dict[str, int] = field(default_factory=dict)
    codes: bytearray = field(default_factory=bytearray)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    locations: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

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
        return float(min(self.done_nbytes, self.nbytes) if self.nbytes else self.ended)

    def left_s(self, now_s: float, workers: int) -> float | None:
        """Return the seconds left, None if unknown; see `estimate_left`."""
        left_s = estimate_left(
            self.fresh_nbytes if self.nbytes else self.fresh,
            self.total - self.done,
            ended=self.fresh,
            at_work=self.counts["RUNNING"],
            chunks_left=None if self.chunks is None else self.chunks - self.ended,
            workers=workers,
            worked_s=self.worked_s,
            spent_s=self.ended_s - self.begun_s,
        )
        return max((left_s or 0.0) - (now_s - self.ended_s), 0.0) or None

    def describe(self) -> str:
        """Describe its progress in a few words."""
        if not self.is_fan_out:
            return self.state.lower()
        total = "" if self.chunks is None else f" of {self.chunks:,}"
        about = total if self.is_final else total.replace(" of ", " of about ")
        parts = [f"{self.ended:,}{about} chunks"]
        parts += [f"{self.lost:,} failed or skipped"] if self.lost else []
        parts += [f"{self.counts['REUSED']:,} reused"] if self.counts["REUSED"] else []
        parts += [f"{self.retried:,} tried again"] if self.retried else []
        return ", ".join(parts)

    def add_chunk(self, key: str, nbytes: int, location: str, state: str) -> None:
        """Add a chunk in `state`."""
        self.index[key] = len(self.codes)
        self.codes.append(_CODES[state])
        self.sizes.append(nbytes or 1)
        self.locations.append(location)
        self.notes.append("")
        self.counts[state] += 1

    def set_state(self, index: int, state: str) -> None:
        """Change the state of the chunk at `index`."""
        self.counts[STATES[self.codes[index]]] -= 1
        self.counts[state] += 1
        self.codes[index] = _CODES[state]

    def split(self, index: int) -> None:
        """Let the chunk at `index` count and be drawn no more, since its parts have its place."""
        self.counts[STATES[self.codes[index]]] -= 1
        self.codes[index], self.sizes[index] = _CODES["COMPLETED"], 0
